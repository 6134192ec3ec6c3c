//! The request's way: one Pingora phase, one step.
//!
//! Holds always: a request is forwarded only with a permit, and only `decide`
//! makes one. Identity is written in `upstream_request_filter` alone: earlier, a
//! client could have Pingora delete it by naming it in `Connection`. Every
//! request that Pingora could parse ends in one line of the access log; what it
//! could not is answered 400 by Pingora itself.

mod answer;
mod auth;
mod browser;
mod count;
mod decide;
mod explained;
mod facade;
mod forward;
mod fresh;
mod https;
mod live;
mod pay;
mod record;
mod response;
mod sign_on;
mod visit;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session as Downstream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tracing::warn;

use self::answer::refuse_unread;
use self::decide::Permit;
pub use self::explained::{Explained, Fate};
pub use self::https::Https;
use self::https::is_secured;
pub use self::live::{Course, Live, Successor};
use self::visit::Body;
pub use self::visit::Visit;
use crate::access_log::{RequestId, Way};
use crate::callback::Callbacks;
use crate::connection;
use crate::facade::Facade;
use crate::identity::AllowedUnderscores;
use crate::identity::assertion::Assertions;
use crate::limits::Logins;
use crate::metrics::{Metrics, RouteCounters};
use crate::origin::PublicScheme;
use crate::reply::Trouble;
use crate::request::{self, Asked, Unreadable};
use crate::route::{LoginAccount, Routes};
use crate::session::{Session, Sessions};
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::tokens::Keeper;
use crate::upstream::{NoPeer, Resolver, TrustedProxies, Upstream, why};

/// How long a connection may be idle between two requests.
const KEEPALIVE_SECONDS: u64 = 60;
/// How long a client may pause while sending, and while receiving a stream.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a WebSocket may be silent: as long as the app may.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the rest of a refused request is read, so that its answer arrives.
const DRAIN: Duration = Duration::from_secs(2);
/// There is nobody to ask.
const NO_PEER: ErrorType = ErrorType::Custom("no_peer");

/// The gateway, as one reading of `gateway.toml` has it: everything a request
/// may need on its way.
///
/// A clone shares all of it.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) routes: Arc<Routes>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) store: Arc<Store>,
    pub(crate) keeper: Keeper,
    /// What proofs are signed with; `None` when no route asks for any.
    pub(crate) assertions: Option<Arc<Assertions>>,
    pub(crate) callbacks: Arc<Callbacks>,
    pub(crate) accounts: Arc<[Arc<LoginAccount>]>,
    /// Apps that do OAuth themselves; `None` where there are none.
    pub(crate) facade: Option<Arc<Facade>>,
    pub(crate) logins: Arc<Logins>,
    pub(crate) resolver: Resolver,
    pub(crate) trusted_proxies: Arc<TrustedProxies>,
    pub(crate) scheme: PublicScheme,
    /// Who is sent to https, and told to keep to it.
    pub(crate) https: Https,
    pub(crate) allowed_underscores: Arc<AllowedUnderscores>,
    /// Traces; `None` where there are none.
    pub(crate) telemetry: Option<Arc<Telemetry>>,
    /// Whether the access log names visitors.
    pub(crate) names_visitors: bool,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where what is counted of `routes` stands.
    pub(crate) counters: Arc<RouteCounters>,
    /// Requests on their way, for those who wait for the last one.
    pub(crate) in_flight: Arc<AtomicUsize>,
}

/// The header's bytes as they came; of HTTP/2, which has limits and framing of
/// its own, none.
fn raw_header(downstream: &Downstream) -> Bytes {
    if downstream.req_header().version < Version::HTTP_2 {
        downstream.to_h1_raw()
    } else {
        Bytes::new()
    }
}

/// Reads what is left of a request's body, so that it is not taken for the next
/// request's header, and tells the connection that one may come. Where none may,
/// Pingora reads the rest itself, and closes.
async fn end_request(downstream: &mut Downstream) {
    let http_1 = downstream.req_header().version < Version::HTTP_2;
    if !http_1 || downstream.get_keepalive().is_none() {
        return;
    }
    match downstream.as_mut().drain_request_body().await {
        Ok(()) => connection::request_is_done(),
        Err(_) => downstream.set_keepalive(None),
    }
}

#[async_trait]
impl ProxyHttp for Live {
    type CTX = Course;

    /// None: Pingora's own compresses, which is switched off, and would still be
    /// made and asked for every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// What `gateway.toml` says now holds for the request until its end.
    fn new_ctx(&self) -> Course {
        let gateway = self.0.load_full();
        let visit = Visit::begin(&gateway.in_flight, gateway.scheme);
        Course { gateway, visit }
    }

    /// Pingora's limits, which are none, become ours.
    async fn early_request_filter(
        &self,
        downstream: &mut Downstream,
        course: &mut Course,
    ) -> Result<()> {
        let visit = &mut course.visit;
        visit.odd_line = !connection::header_is_complete();
        // Only where Pingora keeps the connection anyway: it has marked those
        // of unclear framing to be closed.
        if downstream.get_keepalive().is_some() {
            downstream.set_keepalive(Some(KEEPALIVE_SECONDS));
        }
        let patience = if downstream.is_upgrade_req() {
            SOCKET_TIMEOUT
        } else {
            CLIENT_TIMEOUT
        };
        downstream.set_read_timeout(Some(patience));
        if downstream.req_header().version == Version::HTTP_2 {
            // A stream that is not taken; whole connections look after themselves.
            downstream.set_write_timeout(Some(CLIENT_TIMEOUT));
        }
        Ok(())
    }

    async fn request_filter(
        &self,
        downstream: &mut Downstream,
        course: &mut Course,
    ) -> Result<bool> {
        let Course { gateway, visit } = course;
        let peer = downstream
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(|address| address.ip());
        let secured = is_secured(downstream);
        let header = downstream.req_header();
        if let Some(peer) = peer {
            let scheme = gateway.scheme_of(secured);
            visit.client = gateway
                .trusted_proxies
                .client(peer, &header.headers, scheme);
        }
        if visit.client.through_proxy
            && let Some(id) = header
                .headers
                .get("x-request-id")
                .and_then(RequestId::from_proxy)
        {
            visit.request_id = id;
        }
        visit.trace = gateway.trace(&header.headers, visit);
        let asked = if visit.odd_line {
            Err(Unreadable::Line)
        } else {
            Asked::read(header, &raw_header(downstream))
        };
        let close = asked.is_err();
        let reply = match asked {
            Ok(asked) => {
                let reply = match gateway.to_https(&asked, &header.headers, secured, visit) {
                    Some(reply) => Some(reply),
                    None => {
                        let decision = gateway.decide(&asked, visit.now);
                        let decision = gateway.freshen(decision, &asked, visit).await;
                        gateway.carry_out(decision, &asked, visit).await
                    }
                };
                if reply.is_some() {
                    gateway.note_route(&asked, visit);
                }
                reply
            }
            Err(unreadable) => {
                visit.log.decided(Way::Refused, unreadable.reason());
                Some(refuse_unread(unreadable, visit))
            }
        };
        let Some(reply) = reply else {
            return Ok(false);
        };
        let waits = downstream.req_header().headers.contains_key(header::EXPECT);
        if close || waits {
            // What follows cannot be told from the request's own body.
            downstream.set_keepalive(None);
        }
        if !matches!(downstream.req_header().method, Method::GET | Method::HEAD) {
            // Closing at once could take the answer along.
            downstream.set_close_on_response_before_downstream_finish(false);
            downstream.set_total_drain_timeout(Some(DRAIN));
        }
        let reply = gateway.over(secured, reply);
        Box::pin(reply.send(downstream)).await?;
        Ok(true)
    }

    /// Bounds bodies: their size, whatever they said of it, and their slowness.
    /// What passes through a WebSocket is no body.
    async fn request_body_filter(
        &self,
        downstream: &mut Downstream,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        course: &mut Course,
    ) -> Result<()> {
        let visit = &mut course.visit;
        let Some(bytes) = body.as_ref().filter(|_| !downstream.was_upgraded()) else {
            return Ok(());
        };
        let most = visit
            .permit
            .as_ref()
            .map_or(0, |permit| permit.route().max_body.bytes());
        visit.body.take(bytes.len());
        let trouble = if visit.body.bytes > most {
            Trouble::BodyTooLarge
        } else if visit.body.is_too_slow() {
            Trouble::RequestSlow
        } else {
            return Ok(());
        };
        visit.trouble = Some(trouble);
        let mut error = Error::explain(ErrorType::InvalidHTTPHeader, trouble.reason());
        error.as_down();
        Err(error)
    }

    async fn upstream_peer(
        &self,
        _downstream: &mut Downstream,
        course: &mut Course,
    ) -> Result<Box<HttpPeer>> {
        let Course { gateway, visit } = course;
        // Each attempt sends the body anew.
        visit.body = Body::default();
        visit.log.asks_app();
        let Some(permit) = &visit.permit else {
            return Error::e_explain(ErrorType::InternalError, "a request without a permit");
        };
        let affinity =
            || Upstream::affinity(permit.session().map(Session::id), visit.client.address);
        let upstream = &permit.route().upstream;
        let next = upstream.next(&gateway.resolver, affinity, &mut visit.tries);
        match next.await {
            Ok(peer) => Ok(Box::new(peer)),
            Err(NoPeer::Nameless(error)) => {
                warn!(%upstream, "the app's name has no address: {error}");
                visit.trouble = Some(Trouble::AppDown);
                Error::e_explain(NO_PEER, "no address")
            }
            Err(NoPeer::Out(due)) => {
                visit.trouble = Some(Trouble::AppOut);
                visit.retry_after = Some(due.as_secs().max(1));
                Error::e_explain(NO_PEER, "every peer is out")
            }
        }
    }

    /// The app's other peers are tried before it counts as down: nothing was sent
    /// yet.
    fn fail_to_connect(
        &self,
        _downstream: &mut Downstream,
        _peer: &HttpPeer,
        course: &mut Course,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let visit = &mut course.visit;
        let again = visit.permit.as_ref().is_some_and(|permit| {
            let upstream = &permit.route().upstream;
            let again = upstream.not_connected(&mut visit.tries, &error);
            if again {
                let peer = upstream.tried(&visit.tries);
                warn!(
                    peer,
                    error = why(&error),
                    "the app's peer takes no connection"
                );
            }
            again
        });
        error.set_retry(again);
        error
    }

    /// What may have reached the app is sent again in one case alone: the request
    /// is safe to repeat, and the connection, which had served before, ended
    /// without a byte of an answer (RFC 9110, section 9.2.2).
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        downstream: &mut Downstream,
        mut error: Box<Error>,
        course: &mut Course,
        reused: bool,
    ) -> Box<Error> {
        let visit = &mut course.visit;
        let again = error.esource() == &ErrorSource::Upstream
            && visit.permit.as_ref().is_some_and(|permit| {
                let may_repeat = forward::may_repeat(downstream);
                let upstream = &permit.route().upstream;
                upstream.broke_off(&mut visit.tries, &error, reused, may_repeat)
            });
        error.set_retry(again);
        error
    }

    async fn upstream_request_filter(
        &self,
        downstream: &mut Downstream,
        request: &mut RequestHeader,
        course: &mut Course,
    ) -> Result<()> {
        let Course { gateway, visit } = course;
        let Some(permit) = &visit.permit else {
            return Error::e_explain(ErrorType::InternalError, "a request without a permit");
        };
        let authority = request::authority(downstream.req_header()).unwrap_or_default();
        gateway.prepare(request, permit, authority, visit)
    }

    /// What no app may say in the gateway's name, and what ends at each hop.
    async fn upstream_response_filter(
        &self,
        downstream: &mut Downstream,
        response: &mut ResponseHeader,
        course: &mut Course,
    ) -> Result<()> {
        let Course { gateway, visit } = course;
        let interim = response.status.is_informational();
        if !interim || response.status == StatusCode::SWITCHING_PROTOCOLS {
            visit.log.app_answered();
            gateway.count_app_answer(visit);
        }
        if let Some(permit) = &visit.permit {
            let upstream = &permit.route().upstream;
            upstream.answered(&mut visit.tries, response.status);
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !downstream.is_upgrade_req() {
            let mut error = Error::explain(ErrorType::InvalidHTTPHeader, "a 101 nobody asked for");
            error.as_up();
            return Err(error);
        }
        response::take_claims_away(response, gateway.sessions.cookies())
    }

    /// Has a WebSocket or a stream of events end with its visitor's session.
    /// Renews the session's cookie, but never in an answer that caches between
    /// may give to others. Says what is said of https. To an HTTP/1.0 client, who knows no chunks, an answer
    /// of unknown length ends with the connection (RFC 9112, section 6.1).
    async fn response_filter(
        &self,
        downstream: &mut Downstream,
        response: &mut ResponseHeader,
        course: &mut Course,
    ) -> Result<()> {
        let Course { gateway, visit } = course;
        if let Some(kind) = response::lasting(response) {
            match visit.permit.as_ref().and_then(Permit::session) {
                Some(session) => {
                    let (sessions, session) = (Arc::clone(&gateway.sessions), session.clone());
                    connection::lasts(kind, async move { sessions.until_ended(session).await });
                    visit.outlives = true;
                }
                None => connection::lasts(kind, std::future::pending()),
            }
        }
        if let Some(Permit::Vouched(route, account, carried)) = &visit.permit
            && (carried.renew || carried.paying.is_some())
            && !response.status.is_informational()
            && !response::is_shared(response)
        {
            if carried.renew {
                gateway.count_session(account, "renewed");
                let cookie = gateway.sessions.write(&carried.session, account, visit.now);
                response.append_header(header::SET_COOKIE, cookie)?;
            }
            if let Some(cookie) = gateway.renewed_payer(route, carried, visit.now) {
                response.append_header(header::SET_COOKIE, cookie)?;
            }
        }
        gateway.keep_to_https(downstream, response)?;
        let old = downstream.req_header().version < Version::HTTP_11;
        if old && response.remove_header(&header::TRANSFER_ENCODING).is_some() {
            downstream.set_keepalive(None);
        }
        Ok(())
    }

    /// Ends a stream of events whose visitor's session has ended, where it shares
    /// its connection, as over HTTP/2: with the next event.
    fn response_body_filter(
        &self,
        _downstream: &mut Downstream,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        course: &mut Course,
    ) -> Result<Option<Duration>> {
        let Course { gateway, visit } = course;
        if !visit.outlives {
            return Ok(None);
        }
        let session = visit.permit.as_ref().and_then(Permit::session);
        if session.is_some_and(|session| gateway.sessions.left(session) == 0) {
            let mut error = Error::explain(ErrorType::ConnectionClosed, "the session has ended");
            error.as_down();
            return Err(error);
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        downstream: &mut Downstream,
        error: &Error,
        course: &mut Course,
    ) -> FailToProxy {
        let Course { gateway, visit } = course;
        let trouble = visit.trouble.or_else(|| response::trouble_of(error));
        let status = match trouble {
            Some(trouble) => gateway.tell(downstream, trouble, visit).await,
            None => 0,
        };
        if error.esource() != &ErrorSource::Downstream {
            let upstream = visit.permit.as_ref().map(|permit| &permit.route().upstream);
            let tried = upstream.and_then(|upstream| upstream.tried(&visit.tries));
            let named = upstream.map(Upstream::name);
            warn!(
                upstream = named,
                peer = tried,
                error = why(error),
                "the app did not answer"
            );
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }

    async fn logging(
        &self,
        downstream: &mut Downstream,
        _error: Option<&Error>,
        course: &mut Course,
    ) {
        let Course { gateway, visit } = course;
        let response = downstream.response_written();
        gateway.count(
            response.map_or(0, |response| response.status.as_u16()),
            visit,
        );
        gateway.record(downstream, visit);
        end_request(downstream).await;
    }

    /// Pingora writes this into its log: no query, where codes stand.
    fn request_summary(&self, downstream: &Downstream, course: &Course) -> String {
        let visit = &course.visit;
        format!(
            "{} {}",
            downstream.req_header().method,
            visit.request_id.as_str()
        )
    }
}

impl Gateway {
    /// Shows a trouble that came up on the way, if nothing was written yet.
    async fn tell(&self, downstream: &mut Downstream, trouble: Trouble, visit: &mut Visit) -> u16 {
        // What only announced an answer is none.
        let written = downstream.response_written();
        let announced = |status: StatusCode| {
            status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
        };
        if written.is_some_and(|response| !announced(response.status)) {
            return 0;
        }
        visit.log.reason = trouble.reason();
        downstream.set_keepalive(None);
        let reply = match Asked::read(downstream.req_header(), &raw_header(downstream)) {
            Ok(asked) => self.page(trouble, &asked, &self.way_back(&asked), visit),
            Err(unreadable) => refuse_unread(unreadable, visit),
        };
        let status = reply.status().as_u16();
        let reply = self.over(is_secured(downstream), reply);
        // Should the visitor be gone, there is nobody left to tell.
        let _ = reply.send(downstream).await;
        status
    }
}
