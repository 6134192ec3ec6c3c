//! Headers that say who the visitor is or where they came from.

use std::collections::HashSet;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use wxgate::identity;
use wxgate::origin::PublicScheme;
use wxgate::upstream::{self, TrustedProxies};

/// What the gateway writes itself.
const WRITTEN: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
];

/// `data`: a byte that chooses the connection's other end, then the headers of
/// a request, one a line.
pub fn forwarded(data: &[u8]) {
    let (peer, lines) = data.split_first().unwrap_or((&b'0', b""));
    let peer = match peer % 4 {
        0 => "10.0.0.1",
        1 => "203.0.113.9",
        2 => "::ffff:10.0.0.1",
        _ => "2001:db8::9",
    };
    let Some(mut request) = super::request_of(b"GET", b"/", lines) else {
        return;
    };
    let before = request.headers.clone();
    let client = whence(peer.parse().unwrap(), &before);
    let allowed = HashSet::from([HeaderName::from_static("x_kept")]);
    identity::strip(&mut request, &allowed, false);
    stripped(&request, &before);
    upstream::write_forwarded(
        &mut request,
        &client,
        super::HOST,
        &HeaderValue::from_static("id"),
    )
    .unwrap();
    for (name, value) in &request.headers {
        let ours = WRITTEN.contains(&name.as_str());
        assert_eq!(ours, upstream::says_where_from(name.as_str()), "{name}");
        assert!(!ours || value.to_str().is_ok());
    }
    chain(&request, &before, peer.parse().unwrap());
}

/// A name as apps see it to which every character but letters and digits is
/// the same.
pub fn as_cgi_sees_it(name: &str) -> String {
    let fold = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_ascii_lowercase(),
        _ => '-',
    };
    name.bytes().map(fold).collect()
}

fn trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[0] >> 8 == 0xfd,
    }
}

fn whence(peer: IpAddr, headers: &HeaderMap) -> upstream::Client {
    let proxies: TrustedProxies = serde_json::from_str(r#"["10.0.0.0/8", "fd00::/8"]"#).unwrap();
    let nobody = TrustedProxies::default().client(peer, headers, PublicScheme::Https);
    assert!(nobody.address == peer.to_canonical() && !nobody.through_proxy);
    assert_eq!(nobody.scheme, PublicScheme::Https);
    let client = proxies.client(peer, headers, PublicScheme::Https);
    assert_eq!(client.through_proxy, trusted(peer.to_canonical()));
    if !client.through_proxy {
        assert_eq!(client, nobody, "a stranger was believed");
    }
    client
}

/// Nothing is left that an app could take for the gateway's word; everything
/// else is as it came.
fn stripped(request: &RequestHeader, before: &HeaderMap) {
    for name in request.headers.keys() {
        let seen = as_cgi_sees_it(name.as_str());
        assert!(!seen.starts_with("x-wechat-"), "{name}");
        assert!(
            !WRITTEN.contains(&seen.as_str()) && !matches!(&*seen, "forwarded" | "proxy"),
            "{name}"
        );
        assert!(
            !name.as_str().contains('_') || name.as_str() == "x_kept",
            "{name}"
        );
    }
    for name in before.keys() {
        let plain = !name.as_str().contains('_') || name.as_str() == "x_kept";
        if plain
            && name != "proxy"
            && !identity::is_identity(name.as_str())
            && !upstream::says_where_from(name.as_str())
        {
            let values = |headers: &HeaderMap| -> Vec<Vec<u8>> {
                let all = headers.get_all(name).iter();
                all.map(|value| value.as_bytes().to_vec()).collect()
            };
            assert_eq!(values(&request.headers), values(before), "{name}");
        }
    }
}

/// The way that is told: from the visitor to us, each step named by the one
/// before it, who is trusted. Nobody who is not is skipped.
fn chain(request: &RequestHeader, before: &HeaderMap, peer: IpAddr) {
    let told = request.headers.get("x-forwarded-for").unwrap();
    let mut told: Vec<IpAddr> = told
        .to_str()
        .unwrap()
        .split(", ")
        .map(|hop| hop.parse().unwrap())
        .collect();
    let address = told[0];
    assert_eq!(
        request.headers["x-real-ip"].to_str().unwrap(),
        address.to_string()
    );
    assert_eq!(told.pop(), Some(peer.to_canonical()));
    // A line that is not text is a step all the same.
    let said: Vec<Option<IpAddr>> = before
        .get_all("x-forwarded-for")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|hop| std::str::from_utf8(hop).ok()?.trim().parse::<IpAddr>().ok())
        .map(|hop| hop.map(|address| address.to_canonical()))
        .collect();
    let last = &said[said.len().checked_sub(told.len()).unwrap()..];
    let last: Vec<IpAddr> = last.iter().map(|hop| hop.expect("skipped")).collect();
    assert_eq!(told, last, "{said:?}");
    if let [_, proxies @ ..] = told.as_slice() {
        assert!(proxies.iter().all(|hop| trusted(*hop)), "{told:?}");
        assert!(trusted(peer.to_canonical()));
    }
}
