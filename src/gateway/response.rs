//! The app's answers, and its failures, on their way back.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::connection::Lasting;
use crate::cookies::CookieSettings;
use crate::identity;
use crate::reply::Trouble;

/// Takes away what ends at each hop (RFC 9110, section 7.6.1), and what only
/// the gateway may say: who the visitor is, and the gateway's own cookies.
pub(super) fn take_claims_away(
    response: &mut ResponseHeader,
    settings: &CookieSettings,
) -> Result<()> {
    let names: Vec<HeaderName> = response
        .headers
        .keys()
        .filter(|name| ends_here(name) || identity::is_identity(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        response.remove_header(&name);
    }
    let ours = |cookie: &HeaderValue| settings.sets_ours(cookie.as_bytes());
    let cookies = response.headers.get_all(header::SET_COOKIE);
    if cookies.iter().any(ours) {
        let kept: Vec<HeaderValue> = cookies
            .iter()
            .filter(|cookie| !ours(cookie))
            .cloned()
            .collect();
        response.remove_header(&header::SET_COOKIE);
        for cookie in kept {
            response.append_header(header::SET_COOKIE, cookie)?;
        }
    }
    Ok(())
}

/// Of these the engine takes away `Connection` itself.
fn ends_here(name: &HeaderName) -> bool {
    *name == header::TRAILER || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// What a failure on the way to the app is to the visitor; `None` when the
/// visitor is the one who left.
pub(super) fn trouble_of(error: &Error) -> Option<Trouble> {
    match (error.esource(), error.etype()) {
        (
            ErrorSource::Downstream,
            ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Trouble::RequestSlow),
        (ErrorSource::Downstream, _) => Some(Trouble::BadRequest),
        (_, ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            Some(Trouble::AppSlow)
        }
        (ErrorSource::Upstream, _) | (_, ErrorType::ConnectError) => Some(Trouble::AppDown),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Trouble::Internal),
    }
}

/// What follows `response`, if it may go on for longer than a session: the
/// messages of a WebSocket, a stream of events.
pub(super) fn lasting(response: &ResponseHeader) -> Option<Lasting> {
    let events = || {
        let kind = response.headers.get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| {
            let kind = kind.as_bytes();
            let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        })
    };
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Some(Lasting::Socket);
    }
    events().then_some(Lasting::Events)
}

/// Whether a cache between may keep `response` and give it to others: it says
/// for how long, and does not say that it is private (RFC 9111, sections 3 and
/// 5.2.2).
pub(super) fn is_shared(response: &ResponseHeader) -> bool {
    let mut kept = ["expires", "cdn-cache-control", "surrogate-control"]
        .iter()
        .any(|name| response.headers.contains_key(*name));
    for value in response.headers.get_all(header::CACHE_CONTROL) {
        let value = value.as_bytes().to_ascii_lowercase();
        let says = |word: &[u8]| value.windows(word.len()).any(|part| part == word);
        if says(b"private") || says(b"no-store") || says(b"no-cache") {
            return false;
        }
        kept |= says(b"public") || says(b"max-age") || says(b"s-maxage");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_caches_may_share_is_known() {
        let shared = |name: &'static str, value: &str| {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.insert_header(name, value).unwrap();
            is_shared(&response)
        };
        for value in ["public", "max-age=60", "S-MaxAge=1", "Public, max-age=1"] {
            assert!(shared("Cache-Control", value), "{value}");
        }
        for value in [
            "private, max-age=60",
            "no-store",
            "no-cache",
            "must-revalidate",
            "",
        ] {
            assert!(!shared("Cache-Control", value), "{value}");
        }
        assert!(shared("Expires", "Thu, 01 Dec 2033 16:00:00 GMT"));
    }
}
