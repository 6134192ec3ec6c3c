//! One line a request: which way it took, and why.
//!
//! Holds always: a line names the path without its query, where codes stand;
//! no cookie, no header of the client's but its host, no openid: a visitor has a
//! name of its own here, which only the gateway's key connects with one.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use tracing::info;

/// The id of one request, in the log, at the app (`X-Request-Id`) and on pages.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new id: the process's random number and a count. It names a request
    /// and protects nothing.
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static PROCESS: LazyLock<u64> =
            LazyLock::new(|| getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut text = Vec::with_capacity(28);
        // Not by `format!`, which takes far longer: every request has one.
        hex(*PROCESS, 16, &mut text);
        hex(count, 12, &mut text);
        let value = HeaderValue::from_maybe_shared(Bytes::from(text));
        Self(value.unwrap_or(HeaderValue::from_static("none")))
    }

    /// An id that a trusted proxy gave, if it is one a log line can bear.
    pub fn from_proxy(given: &HeaderValue) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let text = given.as_bytes();
        ((1..=128).contains(&text.len()) && text.iter().all(allowed)).then(|| Self(given.clone()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as it stands in a header.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

/// Writes the last `digits` of `number` to `text`.
fn hex(number: u64, digits: u32, text: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        let digit = u8::try_from((number >> (4 * place)) & 15).unwrap_or_default();
        text.push(if digit < 10 {
            b'0' + digit
        } else {
            b'a' - 10 + digit
        });
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
    /// What WeChat would answer an app that does OAuth itself.
    Facade,
    /// Refused.
    Refused,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Vouched,
        Self::Public,
        Self::Anonymous,
        Self::Login,
        Self::Callback,
        Self::Endpoint,
        Self::VerifyFile,
        Self::Facade,
        Self::Refused,
    ];

    /// Its word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vouched => "vouched",
            Self::Public => "public",
            Self::Anonymous => "anonymous",
            Self::Login => "login",
            Self::Callback => "callback",
            Self::Endpoint => "endpoint",
            Self::VerifyFile => "verify_file",
            Self::Facade => "facade",
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
    /// When the app was first turned to.
    asked_app: Option<Instant>,
    /// When the header of its answer came.
    answered: Option<Instant>,
}

impl Entry {
    /// Starts the clock.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            way: None,
            reason: "",
            asked_app: None,
            answered: None,
        }
    }

    /// Notes the decision.
    pub fn decided(&mut self, way: Way, reason: &'static str) {
        self.way = Some(way);
        self.reason = reason;
    }

    /// Notes that the app is turned to.
    pub fn asks_app(&mut self) {
        self.asked_app.get_or_insert_with(Instant::now);
    }

    /// Notes that the header of its answer is there.
    pub fn app_answered(&mut self) {
        self.answered = Some(Instant::now());
    }

    /// When the request began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the app was first turned to, if it was.
    pub fn asked_app(&self) -> Option<Instant> {
        self.asked_app
    }

    /// How long the app took until the header of its answer came, connecting
    /// included.
    pub fn app_took(&self) -> Option<Duration> {
        Some(self.answered?.duration_since(self.asked_app?))
    }

    /// Whether lines are written at all.
    pub fn is_written() -> bool {
        tracing::enabled!(target: "wxgate::access", tracing::Level::INFO)
    }

    /// Writes the line.
    pub fn write(&self, request: &Request<'_>) {
        info!(
            target: "wxgate::access",
            request_id = request.id,
            trace_id = request.trace.map(tracing::field::display),
            client = request.client.map(tracing::field::display),
            http = request.http,
            tls = request.tls,
            method = request.method,
            host = request.host,
            path = request.path,
            route = request.route.map(tracing::field::display),
            account = request.account,
            app = request.app,
            visitor = request.visitor.map(|name| tracing::field::display(Name(name))),
            question = request.question.then_some(true),
            way = self.way.map_or("none", Way::as_str),
            reason = self.reason,
            status = request.status,
            bytes = request.bytes,
            ms = millis(self.started.elapsed()),
            upstream_ms = self.app_took().map(millis),
            wechat_ms = request.wechat.map(millis),
        );
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A visitor's name, as it stands in a line.
#[derive(Clone, Copy, Debug)]
pub struct Name(pub u64);

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The request that a line is about.
pub struct Request<'a> {
    /// Its id.
    pub id: &'a str,
    /// The trace it belongs to.
    pub trace: Option<&'a dyn Display>,
    /// Who sent it, as far as trusted proxies tell.
    pub client: Option<IpAddr>,
    /// The version of HTTP: `1.1`, `2`.
    pub http: &'static str,
    /// The version of TLS, where that ends here: `1.3`.
    pub tls: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
    /// The route that decided, by host and path of the file.
    pub route: Option<&'a dyn Display>,
    /// The account that it is about, if it is about one.
    pub account: Option<&'a str>,
    /// The app of the facade's that it is about, if it is about one.
    pub app: Option<&'a str>,
    /// The visitor's name, where there is a session.
    pub visitor: Option<u64>,
    /// Whether a proxy only asked about it.
    pub question: bool,
    /// The answer's status; 0 when there was none.
    pub status: u16,
    /// How many bytes of the answer's body were sent.
    pub bytes: usize,
    /// How long WeChat was asked, if it was.
    pub wechat: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_a_proxys_is_taken_if_harmless() {
        let from_proxy =
            |given: &str| RequestId::from_proxy(&HeaderValue::from_str(given).unwrap());
        let (first, second) = (RequestId::next(), RequestId::next());
        assert!(first.as_str() != second.as_str() && first.as_str().len() == 28);
        let mut text = Vec::new();
        hex(0x00c0_ffee_1234_5678, 16, &mut text);
        hex(0xabc, 4, &mut text);
        assert_eq!(text, b"00c0ffee123456780abc");
        assert!(from_proxy("4bf92f35-77b3_4.a").is_some());
        for wrong in ["", "a b", "a\tb", "ä", &"a".repeat(129)] {
            assert!(from_proxy(wrong).is_none());
        }
    }
}
