//! One line a request: which way it took, and why.
//!
//! Holds always: a line names the path without its query, where codes stand;
//! no cookie, no header of the client's but its host, no openid.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::info;

/// The id of one request, in the log, at the app (`X-Request-Id`) and on pages.
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl RequestId {
    /// A new id: the process's random number and a count. It names a request
    /// and protects nothing.
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static PROCESS: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
            getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
        });
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{:016x}{count:012x}", *PROCESS))
    }

    /// An id that a trusted proxy gave, if it is one a log line can bear.
    pub fn from_proxy(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ((1..=128).contains(&text.len()) && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which way a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the app, with a session.
    Vouched,
    /// To the app, on a route that asks for no session.
    Public,
    /// To the app, on a route where a session is welcome and there is none.
    Anonymous,
    /// To WeChat.
    Login,
    /// Back from WeChat.
    Callback,
    /// One of the gateway's own paths.
    Endpoint,
    /// A file that WeChat asks for.
    VerifyFile,
    /// Refused.
    Refused,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Vouched => "vouched",
            Self::Public => "public",
            Self::Anonymous => "anonymous",
            Self::Login => "login",
            Self::Callback => "callback",
            Self::Endpoint => "endpoint",
            Self::VerifyFile => "verify_file",
            Self::Refused => "refused",
        }
    }
}

/// What a request's line will say.
#[derive(Debug)]
pub struct Entry {
    started: Instant,
    /// Which way it took; `None` until that is decided.
    pub way: Option<Way>,
    /// Why, in one word.
    pub reason: &'static str,
}

impl Entry {
    /// Starts the clock.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            way: None,
            reason: "",
        }
    }

    /// Notes the decision.
    pub fn decided(&mut self, way: Way, reason: &'static str) {
        self.way = Some(way);
        self.reason = reason;
    }

    /// Writes the line.
    pub fn write(&self, request: &Request<'_>) {
        info!(
            target: "wxgate::access",
            request_id = request.id,
            client = request.client.map(tracing::field::display),
            method = request.method,
            host = request.host,
            path = request.path,
            way = self.way.map_or("none", Way::as_str),
            reason = self.reason,
            status = request.status,
            ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
    }
}

/// The request that a line is about.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who sent it, as far as trusted proxies tell.
    pub client: Option<IpAddr>,
    /// Its method.
    pub method: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
    /// The answer's status; 0 when there was none.
    pub status: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_a_proxys_is_taken_if_harmless() {
        assert_ne!(RequestId::next().as_str(), RequestId::next().as_str());
        assert!(RequestId::from_proxy("4bf92f35-77b3_4.a").is_some());
        for wrong in ["", "a b", "a\nb", "ä", &"a".repeat(129)] {
            assert!(RequestId::from_proxy(wrong).is_none());
        }
    }
}
