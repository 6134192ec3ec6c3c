//! One request's context: what is known of it, and nothing that decides.
//!
//! Holds always: time is read once, at the beginning; a request counts as being
//! on its way for exactly as long as its context lives.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pingora::http::RequestHeader;

use super::decide::Permit;
use crate::access_log::{self, RequestId};
use crate::facade::App;
use crate::origin::PublicScheme;
use crate::reply::Trouble;
use crate::route::{LoginAccount, Route};
use crate::secret::Secret;
use crate::session::{Millis, Now};
use crate::telemetry::Trace;
use crate::upstream::{Client, Tries};
use crate::wechat::calls::Call;

/// How slowly a body may come on average, in bytes a second: Apache's
/// mod_reqtimeout takes no less by default.
const MIN_BODY_RATE: u64 = 500;
/// From when on that is looked at.
const BODY_GRACE: Duration = Duration::from_secs(30);

/// One request's context.
#[derive(Debug)]
pub struct Visit {
    /// The evidence that the request may go to its app; `None` is never
    /// forwarded.
    pub(super) permit: Option<Permit>,
    /// The request that a proxy asks about; this one only carries the question.
    pub(super) original: Option<Box<RequestHeader>>,
    /// Whether nobody is to be asked anything, as the request is only explained.
    pub(super) is_rehearsal: bool,
    /// What acts in the visitor's name, where the app is to have it.
    pub(super) access: Option<Secret>,
    pub(super) log: access_log::Entry,
    /// The route that an answer of our own is about; a permit has its own.
    pub(super) route: Option<Arc<Route>>,
    /// The account that it is about, likewise.
    pub(super) account: Option<Arc<LoginAccount>>,
    /// The app of the facade's that it is about.
    pub(super) app: Option<Arc<App>>,
    /// What WeChat was asked.
    pub(super) calls: Vec<Call>,
    /// Its place in a trace, where there are traces.
    pub(super) trace: Option<Box<Trace>>,
    pub(super) request_id: RequestId,
    pub(super) client: Client,
    pub(super) now: Now,
    /// The same moment, finer.
    pub(super) now_ms: Millis,
    /// Which of the app's peers were tried.
    pub(super) tries: Tries,
    /// Whether the request line was none.
    pub(super) odd_line: bool,
    /// In how many seconds it may be tried again, where that is known.
    pub(super) retry_after: Option<u64>,
    /// What came of its body.
    pub(super) body: Body,
    /// Whether its answer may go on for longer than a session.
    pub(super) outlives: bool,
    /// What went wrong before Pingora noticed, for the visitor's page.
    pub(super) trouble: Option<Trouble>,
    _in_flight: InFlight,
}

impl Visit {
    /// A request has come; `in_flight` counts it.
    pub(super) fn begin(in_flight: &Arc<AtomicUsize>, scheme: PublicScheme) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            permit: None,
            original: None,
            is_rehearsal: false,
            access: None,
            log: access_log::Entry::start(),
            route: None,
            account: None,
            app: None,
            calls: Vec::new(),
            trace: None,
            request_id: RequestId::next(),
            client: Client::unknown(IpAddr::V4(Ipv4Addr::UNSPECIFIED), scheme),
            now: now.as_secs(),
            now_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            tries: Tries::default(),
            odd_line: false,
            retry_after: None,
            body: Body::default(),
            outlives: false,
            trouble: None,
            _in_flight: InFlight(Arc::clone(in_flight)),
        }
    }
}

impl Visit {
    /// The route that it is about.
    pub(super) fn route(&self) -> Option<&Route> {
        let permitted = self.permit.as_ref().map(Permit::route);
        permitted.or(self.route.as_ref()).map(|route| &**route)
    }

    /// The account that it is about.
    pub(super) fn account(&self) -> Option<&LoginAccount> {
        match &self.permit {
            Some(Permit::Vouched(_, account, _)) => Some(account),
            _ => self.account.as_deref(),
        }
    }
}

/// How much of a body came, and since when.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) bytes: u64,
    began: Option<Instant>,
}

impl Body {
    /// Notes a piece of it.
    pub(super) fn take(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.began.get_or_insert_with(Instant::now);
    }

    /// Whether it comes so slowly that it is there to hold the app's attention.
    pub(super) fn is_too_slow(&self) -> bool {
        self.began
            .is_some_and(|began| is_slow(self.bytes, began.elapsed()))
    }
}

fn is_slow(bytes: u64, took: Duration) -> bool {
    took > BODY_GRACE && bytes / took.as_secs() < MIN_BODY_RATE
}

/// Counts a request for as long as it is on its way.
#[derive(Debug)]
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_be_slow_but_not_endless() {
        assert!(!is_slow(1, Duration::from_secs(30)));
        assert!(is_slow(1, Duration::from_secs(31)));
        assert!(is_slow(500 * 59, Duration::from_secs(60)));
        assert!(!is_slow(500 * 60, Duration::from_secs(60)));
        assert!(!is_slow(u64::MAX, Duration::from_secs(3600)));
    }
}
