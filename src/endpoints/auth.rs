//! `auth`: what a proxy tells of the request that it asks about.
//!
//! Holds always: what the proxy forwards is told once, in one way, whole, or not
//! at all: nothing is guessed, and there is no default. What is read of it is read
//! as if it had come by itself ([`Asked::read`]). Whether the proxy is to be
//! believed is for the caller to know.

use http::{HeaderMap, HeaderValue, Method, header};
use pingora::http::RequestHeader;

use super::PREFIX;
use crate::identity::{WRITTEN, is_anothers, is_identity, overrides_method};
use crate::origin::Host;
use crate::request::{Asked, Unreadable, folded};

/// How a proxy tells what it asks about, which shows what it does with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// nginx's `auth_request`: `X-Original-URI`, `X-Original-Method` and `Host`. It
    /// knows "yes", 401 and 403; the rest is an error to it.
    Original,
    /// Traefik's ForwardAuth and Caddy's `forward_auth`: `X-Forwarded-Uri`, `-Method`,
    /// `-Host` and `-Proto`. An answer other than "yes" is the visitor's.
    Forwarded,
    /// Envoy's `ext_authz` over HTTP: the target behind the endpoint's own path, with
    /// its method and `Host`. An answer other than "yes" is the visitor's.
    Path,
}

impl Manner {
    /// Whether the visitor gets the gateway's own answer, where it is no "yes".
    pub fn hands_on(self) -> bool {
        self != Self::Original
    }
}

/// Why it is not known what a proxy asks about. The names stand in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// A header that is needed is missing.
    Missing,
    /// A header stands twice.
    Twice,
    /// Two headers tell different things.
    Contradiction,
    /// What is told is no method, no target, no host or no scheme.
    Unfit,
    /// The client sent what would make the app see another visitor, path or method
    /// than is decided upon, and what nothing that is answered here would displace.
    Disguised,
}

impl Untold {
    /// One word for the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "auth_untold",
            Self::Twice => "auth_told_twice",
            Self::Contradiction => "auth_contradiction",
            Self::Unfit => "auth_unfit",
            Self::Disguised => "auth_disguised",
        }
    }
}

/// The request that a proxy asks about.
#[derive(Debug)]
pub struct Original {
    /// How it was told.
    pub manner: Manner,
    header: RequestHeader,
}

impl Original {
    /// Reads what `question`, a request to `auth`, tells.
    ///
    /// # Errors
    /// When that is not one request.
    pub fn read(question: &Asked<'_>) -> Result<Self, Untold> {
        let headers = question.headers();
        let (manner, target) = target(question)?;
        let method = match manner {
            Manner::Original => needed(headers, "x-original-method")?.as_bytes(),
            Manner::Forwarded => needed(headers, "x-forwarded-method")?.as_bytes(),
            Manner::Path => question.method().as_str().as_bytes(),
        };
        let method = Method::from_bytes(method).map_err(|_| Untold::Unfit)?;
        let host = host(question, manner)?;
        let scheme = match manner {
            Manner::Forwarded => Some(needed(headers, "x-forwarded-proto")?),
            Manner::Original | Manner::Path => once(headers, "x-forwarded-proto")?,
        };
        // Traefik calls that of a WebSocket `ws` or `wss`.
        let known =
            |scheme: &HeaderValue| matches!(scheme.as_bytes(), b"http" | b"https" | b"ws" | b"wss");
        if !scheme.is_none_or(known) {
            return Err(Untold::Unfit);
        }
        let unfit = |_| Untold::Unfit;
        let mut header =
            RequestHeader::build_no_case(method, target, Some(headers.len() + 1)).map_err(unfit)?;
        // A control character would be escaped, a fragment cut off: what is decided
        // upon would be another than what is forwarded.
        if header.raw_path() != target {
            return Err(Untold::Unfit);
        }
        for (name, value) in headers {
            if disguises(name.as_str(), value, target) {
                return Err(Untold::Disguised);
            }
            // The question's own framing, and its own way.
            let own = matches!(
                *name,
                header::HOST
                    | header::CONTENT_LENGTH
                    | header::TRANSFER_ENCODING
                    | header::CONNECTION
                    | header::EXPECT
            );
            if !own {
                header.append_header(name, value).map_err(unfit)?;
            }
        }
        // Some proxies ask without it.
        let opens_socket = ["sec-websocket-key", "sec-websocket-version"]
            .iter()
            .any(|name| headers.contains_key(*name));
        if opens_socket && !headers.contains_key(header::UPGRADE) {
            let socket = HeaderValue::from_static("websocket");
            header
                .insert_header(header::UPGRADE, socket)
                .map_err(unfit)?;
        }
        header
            .insert_header(header::HOST, host.as_str())
            .map_err(unfit)?;
        Ok(Self { manner, header })
    }

    /// The request, as if it had come by itself.
    ///
    /// # Errors
    /// When it could be read in more than one way.
    pub fn asked(&self) -> Result<Asked<'_>, Unreadable> {
        Asked::read(&self.header, b"")
    }

    /// Whether the client sent a header that some apps take for another method.
    pub fn overrides_method(&self) -> bool {
        let mut names = self.header.headers.keys();
        names.any(|name| overrides_method(name.as_str()))
    }

    /// Its header, for the log.
    pub fn into_header(self) -> RequestHeader {
        self.header
    }
}

/// Which way of telling the target is used: exactly one may be. A query of the
/// question's own tells nothing: Caddy leaves the visitor's there.
fn target<'r>(question: &Asked<'r>) -> Result<(Manner, &'r [u8]), Untold> {
    let headers = question.headers();
    let original = once(headers, "x-original-uri")?;
    let forwarded = once(headers, "x-forwarded-uri")?;
    let below = question
        .target
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix("/auth"))
        .filter(|rest| rest.starts_with('/'));
    match (below, original, forwarded) {
        (Some(target), None, None) => Ok((Manner::Path, target.as_bytes())),
        (None, None, None) => Err(Untold::Missing),
        (None, Some(target), None) => Ok((Manner::Original, target.as_bytes())),
        (None, None, Some(target)) => Ok((Manner::Forwarded, target.as_bytes())),
        _ => Err(Untold::Contradiction),
    }
}

/// The host that the visitor asked for. Where two places tell it, they agree.
fn host(question: &Asked<'_>, manner: Manner) -> Result<Host, Untold> {
    let headers = question.headers();
    if manner == Manner::Forwarded {
        return read_host(needed(headers, "x-forwarded-host")?);
    }
    match once(headers, "x-forwarded-host")? {
        Some(told) if read_host(told)? != question.host => Err(Untold::Contradiction),
        _ => Ok(question.host.clone()),
    }
}

fn read_host(told: &HeaderValue) -> Result<Host, Untold> {
    let host = told.to_str().ok().and_then(Host::from_authority);
    host.ok_or(Untold::Unfit)
}

/// The header called `name`, which may be missing.
fn once<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, Untold> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(Untold::Twice),
        (found, None) => Ok(found),
    }
}

fn needed<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h HeaderValue, Untold> {
    once(headers, name)?.ok_or(Untold::Missing)
}

/// Whether a client's header called `name` could make an app see what is not
/// decided upon. A proxy that forwards a request itself takes away what it knows of,
/// and cannot be told of the rest: a name of ours is displaced by ours, but another
/// spelling of it is not, nor are the names by which other gateways say who a
/// visitor is.
fn disguises(name: &str, value: &HeaderValue, target: &[u8]) -> bool {
    match &*folded(name) {
        "x-original-url" | "x-rewrite-url" => value.as_bytes() != target,
        _ => is_anothers(name) || (is_identity(name) && !WRITTEN.contains(&name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a question for `path` with `headers`: method, host and target.
    fn read(path: &str, headers: &[(&'static str, &str)]) -> Result<String, Untold> {
        let mut question = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
        question.insert_header("Host", "a.example:8080").unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            question.append_header(*name, value).unwrap();
        }
        let original = Original::read(&Asked::read(&question, b"").unwrap())?;
        let asked = original.asked().map_err(|_| Untold::Unfit)?;
        Ok(format!(
            "{} {} {}",
            asked.method(),
            asked.host,
            asked.target
        ))
    }

    const URI: (&str, &str) = ("x-original-uri", "/x?y=1");
    const METHOD: (&str, &str) = ("x-original-method", "POST");
    const FORWARDED: [(&str, &str); 4] = [
        ("x-forwarded-uri", "/x?y=1"),
        ("x-forwarded-method", "POST"),
        ("x-forwarded-host", "b.example"),
        ("x-forwarded-proto", "https"),
    ];

    #[test]
    fn each_manner_tells_the_same() {
        let path = "/.wxgate/auth";
        let told = read(path, &[URI, METHOD]);
        assert_eq!(told.as_deref(), Ok("POST a.example /x?y=1"));
        let told = read("/.wxgate/auth?y=2", &FORWARDED);
        assert_eq!(told.as_deref(), Ok("POST b.example /x?y=1"));
        let told = read("/.wxgate/auth/x?y=1", &[]);
        assert_eq!(told.as_deref(), Ok("GET a.example /x?y=1"));
        for (target, whole) in [
            ("/.wxgate/auth/", "/"),
            ("/.wxgate/auth//x/../%2e", "//x/../%2e"),
        ] {
            assert_eq!(
                read(target, &[]).as_deref(),
                Ok(&*format!("GET a.example {whole}"))
            );
        }
    }

    #[test]
    fn what_is_not_told_once_and_in_one_way_is_not_told() {
        let path = "/.wxgate/auth";
        let refused = |path, headers: &[(&'static str, &str)]| read(path, headers).unwrap_err();
        assert_eq!(refused(path, &[]), Untold::Missing);
        assert_eq!(refused(path, &[URI]), Untold::Missing);
        assert_eq!(refused(path, &[METHOD]), Untold::Missing);
        for missing in 0..FORWARDED.len() {
            let mut some = FORWARDED.to_vec();
            some.remove(missing);
            assert_eq!(refused(path, &some), Untold::Missing);
        }
        for twice in FORWARDED {
            let told = [FORWARDED.as_slice(), &[twice]].concat();
            assert_eq!(refused(path, &told), Untold::Twice);
        }
        assert_eq!(refused(path, &[URI, URI, METHOD]), Untold::Twice);
        assert_eq!(refused(path, &[URI, METHOD, METHOD]), Untold::Twice);
        let both = [FORWARDED.as_slice(), &[URI, METHOD]].concat();
        assert_eq!(refused(path, &both), Untold::Contradiction);
        for told in [URI, FORWARDED[0]] {
            assert_eq!(refused("/.wxgate/auth/x", &[told]), Untold::Contradiction);
        }
        let elsewhere = [URI, METHOD, ("x-forwarded-host", "b.example")];
        assert_eq!(refused(path, &elsewhere), Untold::Contradiction);
        let here = [URI, METHOD, ("x-forwarded-host", "A.example.:443")];
        assert!(read(path, &here).is_ok());
    }

    #[test]
    fn what_no_request_could_be_is_not_asked_about() {
        let path = "/.wxgate/auth";
        for target in [
            "x",
            "",
            "*",
            "http://a.example/x",
            "/a#b",
            "/a b",
            "/a\tb",
            "/\u{e4}#",
            "/a, /b",
        ] {
            let told = [("x-original-uri", target), METHOD];
            assert_eq!(read(path, &told), Err(Untold::Unfit), "{target}");
        }
        for method in ["", "GET POST", "GET, GET", "TRACE", "CONNECT"] {
            let told = [URI, ("x-original-method", method)];
            assert_eq!(read(path, &told), Err(Untold::Unfit), "{method}");
        }
        for (at, value) in [(2, "a.example, b.example"), (2, ""), (3, "HTTPS"), (3, "")] {
            let mut told = FORWARDED;
            told[at].1 = value;
            assert_eq!(read(path, &told), Err(Untold::Unfit), "{value}");
        }
    }

    #[test]
    fn what_would_disguise_a_request_is_refused() {
        let path = "/.wxgate/auth";
        for (name, value) in [
            ("x_wechat_openid", "o"),
            ("x-wechat_openid", "o"),
            ("x.wechat.openid", "o"),
            ("x-wechat-other", "o"),
            ("x-wx-openid", "o"),
            ("remote_user", "o"),
            ("x-rewrite-url", "/admin"),
            ("x_original_url", "/admin"),
        ] {
            let told = [URI, METHOD, (name, value)];
            assert_eq!(read(path, &told), Err(Untold::Disguised), "{name}");
        }
        for (name, value) in [("x-wechat-openid", "o"), ("x-original-url", "/x?y=1")] {
            assert!(read(path, &[URI, METHOD, (name, value)]).is_ok(), "{name}");
        }
    }
}
