//! A request made ready for its app: what the client must not say is taken
//! away, then what the gateway says is written.
//!
//! Holds always: everything is taken away before anything is written, on every
//! route; identity is written last, and only that of a permit's session.

use http::{HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session as Downstream;
use pingora::{Error, ErrorType, Result};

use super::decide::Permit;
use super::{Gateway, Visit};
use crate::cookies::ForApp;
use crate::identity;
use crate::origin::Host;
use crate::route::{Identity, SessionCookie};
use crate::session::{Now, Payer, Session};
use crate::upstream;

/// Whether a request may reach its app twice: its method says so (RFC 9110,
/// section 9.2.2), and it has no body, which might be gone.
pub(super) fn may_repeat(downstream: &mut Downstream) -> bool {
    let header = downstream.req_header();
    // The "body" of a request for another protocol begins with the answer.
    let fields = &header.headers;
    let upgrades = downstream.is_upgrade_req()
        && !fields.contains_key(header::CONTENT_LENGTH)
        && !fields.contains_key(header::TRANSFER_ENCODING);
    header.method.is_idempotent() && (upgrades || downstream.as_mut().is_body_empty())
}

impl Gateway {
    /// Prepares `request`, which was asked of `authority`, for the app of
    /// `permit`'s route.
    pub(super) fn prepare(
        &self,
        request: &mut RequestHeader,
        permit: &Permit,
        authority: &str,
        visit: &Visit,
    ) -> Result<()> {
        let route = permit.route();
        identity::strip(
            request,
            &self.allowed_underscores,
            !route.methods.is_empty(),
        );
        self.hide_cookies(request, permit)?;
        upstream::write_forwarded(request, &visit.client, authority, visit.request_id.value())?;
        for (name, value) in &route.headers {
            request.insert_header(name.clone(), value.clone())?;
        }
        if let Some(host) = &route.upstream_host {
            request.insert_header(header::HOST, host.clone())?;
        }
        if route.upstream.closes() && !request.headers.contains_key(header::UPGRADE) {
            request.insert_header(header::CONNECTION, "close")?;
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.write(request, visit.trace.as_deref())?;
        }
        if let Some(session) = permit.session() {
            identity::vouch(request, session)?;
            if let Some(payer) = permit.payer() {
                identity::vouch_payer(request, payer)?;
            }
            if let Some(access) = visit.access.as_ref().filter(|_| route.access_token) {
                identity::lend(request, access)?;
            }
            if route.assertion {
                let (who, payer) = ((session, route.identity), permit.payer());
                self.assert(request, who, payer, authority, visit.now)?;
            }
        }
        Ok(())
    }

    /// Takes the gateway's cookies out, but for the session that let the
    /// visitor in, where the route forwards it.
    fn hide_cookies(&self, request: &mut RequestHeader, permit: &Permit) -> Result<()> {
        let kept = match (permit, permit.route().session_cookie) {
            (Permit::Vouched(_, account, carried), SessionCookie::Forward) => {
                Some(match carried.session.is_snapshot() {
                    false => account.session_cookie.as_str(),
                    true => account.snapshot_cookie.as_str(),
                })
            }
            _ => None,
        };
        match self.sessions.cookies().for_app(&request.headers, kept) {
            ForApp::Unchanged => {}
            ForApp::Removed => {
                request.remove_header(&header::COOKIE);
            }
            ForApp::Replaced(line) => {
                let line = HeaderValue::from_bytes(&line)
                    .map_err(|_| Error::new(ErrorType::InternalError))?;
                request.insert_header(header::COOKIE, line)?;
            }
        }
        Ok(())
    }

    /// Signs who the visitor is, for the host that was asked. Where a route
    /// promises that, no request goes without.
    pub(super) fn assert(
        &self,
        request: &mut RequestHeader,
        (session, identity): (&Session, Identity),
        payer: Option<&Payer>,
        authority: &str,
        now: Now,
    ) -> Result<()> {
        let host = Host::and_port(authority);
        let (Some(assertions), Some((host, port))) = (&self.assertions, host) else {
            return Error::e_explain(ErrorType::InternalError, "nothing to assert with");
        };
        let origin = self.routes.origin_at(&host, port);
        assertions.write(request, (session, identity), payer, &origin, now)
    }
}
