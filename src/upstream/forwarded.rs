//! Where a request came from: whom the gateway believes about it, and what the
//! app is told.
//!
//! Holds always: what the app reads in `X-Forwarded-*`, `X-Real-IP` and
//! `X-Request-Id` was written here; a client's own are believed only when the
//! connection comes from a configured proxy, read from right to left, and only
//! as far as proxies are trusted.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use serde::Deserialize;

use crate::origin::PublicScheme;
use crate::request::{Names, folded};

/// More proxies in a row than anybody has.
const MAX_PROXIES: usize = 32;

/// `trusted_proxies`: whose word about the client is believed. By default
/// nobody's.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TrustedProxies(Vec<Proxy>);

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Proxy(IpNet);

impl TryFrom<String> for Proxy {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let net = found
            .parse::<IpNet>()
            .or_else(|_| found.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| format!("found \"{found}\"; expected an address or a network, such as \"10.0.0.1\" or \"10.0.0.0/8\""))?;
        if net.prefix_len() == 0 {
            return Err(format!(
                "found \"{found}\", which is everybody; expected the addresses of your own proxies"
            ));
        }
        Ok(Self(net))
    }
}

/// Who is at the other end, as far as trusted proxies tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The visitor's address.
    pub address: IpAddr,
    /// The scheme the visitor used.
    pub scheme: PublicScheme,
    /// The proxies between, from our side to the visitor's.
    via: Vec<IpAddr>,
    /// Whether the connection comes from a trusted proxy.
    pub through_proxy: bool,
}

impl Client {
    /// A client nobody speaks for.
    pub fn unknown(address: IpAddr, scheme: PublicScheme) -> Self {
        Self {
            address,
            scheme,
            via: Vec::new(),
            through_proxy: false,
        }
    }
}

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|proxy| proxy.0.contains(&address))
    }

    /// Who sent a request that arrived from `peer` with `headers`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap, scheme: PublicScheme) -> Client {
        let peer = peer.to_canonical();
        let mut client = Client::unknown(peer, scheme);
        client.through_proxy = self.trusts(peer);
        if !client.through_proxy {
            return client;
        }
        // As bytes: a line that is no text is a hop nobody knows, and not none.
        let mut hops: Vec<&[u8]> = headers
            .get_all("x-forwarded-for")
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        while self.trusts(client.address) && client.via.len() < MAX_PROXIES {
            let Some(hop) = hops.pop().and_then(address) else {
                break;
            };
            client.via.push(client.address);
            client.address = hop.to_canonical();
        }
        if let Some(scheme) = said_scheme(headers) {
            client.scheme = scheme;
        }
        client
    }
}

/// The scheme that a proxy says its visitor used.
fn said_scheme(headers: &HeaderMap) -> Option<PublicScheme> {
    match headers.get("x-forwarded-proto")?.as_bytes() {
        b"https" => Some(PublicScheme::Https),
        b"http" => Some(PublicScheme::Http),
        _ => None,
    }
}

/// Whether a proxy says that its visitor used https: to be asked of one that is
/// trusted alone.
pub fn says_https(headers: &HeaderMap) -> bool {
    said_scheme(headers) == Some(PublicScheme::Https)
}

fn address(hop: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(hop).ok()?.trim().parse().ok()
}

static NAMES: Names = Names::new(WHERE_FROM);

/// Names that say where a request came from, folded and in order: the standard
/// one, those of this gateway, and those that proxies, CDNs and load balancers
/// write and many old apps read.
const WHERE_FROM: &[&str] = &[
    "ali-cdn-real-ip",
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-visitor",
    "client-ip",
    "disguised-host",
    "eo-client-ip",
    "eo-connecting-ip",
    "fastly-client-ip",
    "fastly-ssl",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "forwarded-proto",
    "front-end-https",
    "http-client-ip",
    "http-x-forwarded-for",
    "incap-client-ip",
    "proxy-client-ip",
    "remote-addr",
    "true-client-ip",
    "wl-proxy-client-ip",
    "wl-proxy-ssl",
    "x-appengine-user-ip",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-cdn-src-ip",
    "x-client-ip",
    "x-client-scheme",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forward-for",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-ingress-path",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-realip",
    "x-remote-addr",
    "x-remote-host",
    "x-remote-ip",
    "x-request-id",
    "x-request-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-script-prefix",
    "x-url",
    "x-url-scheme",
    "x-waws-unencoded-url",
    "z-forwarded-for",
];

/// Whether `name` says where a request came from. Apps believe such headers, so
/// that a client's own never pass.
pub fn says_where_from(name: &str) -> bool {
    folded_says_where_from(&folded(name))
}

/// The same of a name that is folded already.
pub(crate) fn folded_says_where_from(name: &str) -> bool {
    let family = || name.starts_with("x-forwarded-") || name.starts_with("x-original-");
    (name.starts_with('x') && family()) || NAMES.has(name)
}

/// Writes where the request came from, in place of what it said itself.
///
/// # Errors
/// When a value cannot stand in a header.
pub fn write_forwarded(
    request: &mut RequestHeader,
    client: &Client,
    host: &str,
    request_id: &HeaderValue,
) -> pingora::Result<()> {
    let unfit = |_| Error::new(ErrorType::InvalidHTTPHeader);
    let address = client.address.to_string();
    let (address, chain) = if client.via.is_empty() {
        let address = HeaderValue::try_from(address).map_err(unfit)?;
        (address.clone(), address)
    } else {
        let mut chain = address.clone();
        for hop in client.via.iter().rev() {
            chain.push_str(", ");
            chain.push_str(&hop.to_string());
        }
        let chain = HeaderValue::try_from(chain).map_err(unfit)?;
        (HeaderValue::try_from(address).map_err(unfit)?, chain)
    };
    let scheme = HeaderValue::from_static(client.scheme.as_str());
    request.insert_header("X-Forwarded-For", chain)?;
    request.insert_header("X-Forwarded-Proto", scheme)?;
    request.insert_header("X-Forwarded-Host", host)?;
    request.insert_header("X-Real-IP", address)?;
    request.insert_header("X-Request-Id", request_id.clone())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> Client {
        let proxies = TrustedProxies(
            trusted
                .iter()
                .map(|text| Proxy::try_from((*text).to_owned()).unwrap())
                .collect(),
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &map, PublicScheme::Https)
    }

    #[test]
    fn a_strangers_word_about_itself_is_not_believed() {
        let spoofed = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "http"),
        ];
        let seen = client(&[], "9.9.9.9", &spoofed);
        assert_eq!(
            (seen.address.to_string().as_str(), seen.scheme),
            ("9.9.9.9", PublicScheme::Https)
        );
        assert!(!seen.through_proxy);
    }

    #[test]
    fn proxies_are_walked_from_right_to_left_as_far_as_they_are_trusted() {
        let seen = client(
            &["10.0.0.0/8"],
            "10.0.0.1",
            &[
                ("x-forwarded-for", "6.6.6.6, 8.8.8.8"),
                ("x-forwarded-for", "10.0.0.2"),
            ],
        );
        assert_eq!(seen.address.to_string(), "8.8.8.8");
        assert_eq!(
            seen.via,
            [
                "10.0.0.1".parse::<IpAddr>().unwrap(),
                "10.0.0.2".parse().unwrap()
            ]
        );
        let broken = client(
            &["10.0.0.0/8"],
            "::ffff:10.0.0.1",
            &[("x-forwarded-for", "junk")],
        );
        assert_eq!(broken.address.to_string(), "10.0.0.1");
    }

    #[test]
    fn every_name_that_says_where_from_is_found() {
        for name in WHERE_FROM {
            assert!(says_where_from(name) && folded(name) == *name, "{name}");
            assert!(
                says_where_from(&name.replace('-', "_").to_uppercase()),
                "{name}"
            );
        }
        for name in ["x-forwarded-anything", "X_Original.Url", "Forwarded"] {
            assert!(says_where_from(name), "{name}");
        }
        for name in [
            "host",
            "user-agent",
            "x-requested-with",
            "x-real",
            "via",
            "from",
        ] {
            assert!(!says_where_from(name), "{name}");
        }
    }

    #[test]
    fn a_hop_that_is_no_text_does_not_hide_the_one_behind_it() {
        let seen = client(
            &["10.0.0.0/8"],
            "10.0.0.1",
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "é, 8.8.8.8"),
            ],
        );
        assert_eq!(seen.address.to_string(), "8.8.8.8");
        let broken = client(
            &["10.0.0.0/8"],
            "10.0.0.1",
            &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "é")],
        );
        assert_eq!(broken.address.to_string(), "10.0.0.1");
    }

    #[test]
    fn nobody_trusts_everybody() {
        for wrong in ["0.0.0.0/0", "::/0", "proxy.example.com", ""] {
            assert!(Proxy::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
