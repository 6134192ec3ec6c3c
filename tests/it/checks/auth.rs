//! What a proxy asks about is what it forwards, or nothing is answered.

use wxgate::endpoints::auth::{Manner, Original};
use wxgate::request::{Asked, Kind};

/// What every answer writes.
const ANSWERED: [&str; 9] = [
    "x-wechat-access-token",
    "x-wechat-appid",
    "x-wechat-assertion",
    "x-wechat-avatar",
    "x-wechat-nickname",
    "x-wechat-openid",
    "x-wechat-scope",
    "x-wechat-snapshot",
    "x-wechat-unionid",
];

/// `data`: a proxy's question, whose lines end with a line feed alone.
pub fn auth(data: &[u8]) {
    let (first, lines) = super::split_at_byte(data, b'\n');
    let (method, target) = super::split_at_byte(first, b' ');
    let Some(question) = super::request_of(method, target, lines) else {
        return;
    };
    let Ok(asked) = Asked::read(&question, b"") else {
        return;
    };
    let Ok(original) = Original::read(&asked) else {
        return;
    };
    let told = |name: &str| -> Vec<&[u8]> {
        let all = question.headers.get_all(name).iter();
        all.map(|value| value.as_bytes()).collect()
    };
    let (original_uri, forwarded_uri) = (told("x-original-uri"), told("x-forwarded-uri"));
    let below = asked.target.strip_prefix("/.wxgate/auth");
    let below = below.filter(|rest| rest.starts_with('/'));
    let ways = [
        original_uri.len(),
        forwarded_uri.len(),
        below.iter().count(),
    ];
    assert_eq!(ways.iter().sum::<usize>(), 1, "told once, in one way");
    let manner = original.manner;
    assert_eq!(manner.hands_on(), original_uri.is_empty());
    let Ok(about) = original.asked() else {
        return;
    };

    // Its target, byte for byte.
    let target = [original_uri, forwarded_uri].concat();
    let target = below.map_or_else(|| target[0], str::as_bytes);
    assert_eq!(about.target.as_bytes(), target);
    assert!(
        target
            .iter()
            .all(|byte| *byte > b' ' && *byte != 0x7f && *byte != b'#')
    );

    // Its method, and its host.
    let methods = match manner {
        Manner::Original => told("x-original-method"),
        Manner::Forwarded => told("x-forwarded-method"),
        Manner::Path => vec![asked.method().as_str().as_bytes()],
    };
    assert_eq!(methods, [about.method().as_str().as_bytes()]);
    match (manner, told("x-forwarded-host").as_slice()) {
        (Manner::Forwarded, [host]) => {
            assert!(
                host.to_ascii_lowercase()
                    .starts_with(about.host.as_str().as_bytes())
            );
        }
        (Manner::Forwarded, hosts) => panic!("{} hosts", hosts.len()),
        _ => assert_eq!(about.host, asked.host),
    }

    // Nothing of the family that no answer displaces; no question's framing.
    for name in about.headers().keys() {
        let known = ANSWERED.contains(&name.as_str());
        assert!(known || !super::as_cgi_sees_it(name.as_str()).starts_with("x-wechat-"));
    }
    assert_eq!(about.body_length(), 0);
    if question.headers.contains_key("sec-websocket-key") {
        assert_eq!(about.kind(), Kind::Other);
        assert!(about.changes_something());
    }
}
