//! A visitor's own connection, as far as TLS ends here: what it is called, who
//! is sent to it, and who is told to keep to it.
//!
//! Holds always: a redirect leads to the origin of a host that has routes, never
//! to a place or a port that a request names; nobody is sent to https who is
//! there already; over plain http nothing is said of HSTS (RFC 6797, section
//! 7.2), and an app that speaks of it is not corrected.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session as Downstream;

use super::{Gateway, Visit};
use crate::access_log::Way;
use crate::endpoints::Endpoint;
use crate::origin::PublicScheme;
use crate::reply::Reply;
use crate::request::Asked;
use crate::upstream::says_https;

/// `[server.tls]`, as far as requests notice it.
#[derive(Clone, Debug, Default)]
pub struct Https {
    /// What is said of HSTS, over TLS.
    pub hsts: Option<HeaderValue>,
    /// Whether who comes without TLS is sent to it.
    pub redirect: bool,
}

/// Whether the visitor's connection is TLS that ends here.
pub(super) fn is_secured(downstream: &Downstream) -> bool {
    let digest = downstream.digest();
    digest.is_some_and(|digest| digest.ssl_digest.is_some())
}

impl Gateway {
    /// What a connection's own scheme is to the app.
    pub(super) fn scheme_of(&self, secured: bool) -> PublicScheme {
        if secured {
            PublicScheme::Https
        } else {
            self.scheme
        }
    }

    /// The way to https for whoever asks for a page without it. Not for what
    /// WeChat fetches, which follows no redirect, nor for what carries a body,
    /// which has been read on the way already.
    pub(super) fn to_https(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        secured: bool,
        visit: &mut Visit,
    ) -> Option<Reply> {
        if !self.https.redirect || secured || !matches!(*asked.method(), Method::GET | Method::HEAD)
        {
            return None;
        }
        // A proxy's question, which has nowhere to go; what it asks about may have.
        if Endpoint::at(asked.path) == Some(Endpoint::Auth) {
            return None;
        }
        let there_already = visit.client.through_proxy && says_https(headers);
        if there_already
            || !(self.routes.serves(&asked.host)
                || self.routes.is_callback(&asked.host)
                || self.routes.facade_at(&asked.host).is_some())
            || self.routes.verify_file(asked.path).is_some()
        {
            return None;
        }
        let address = self.routes.origin(&asked.host).address(asked.target)?;
        visit.log.decided(Way::Refused, "plain_http");
        let reply = Reply::new(StatusCode::PERMANENT_REDIRECT);
        Some(reply.with_header(header::LOCATION, &address))
    }

    /// A reply of our own, as it is said over this connection.
    pub(super) fn over(&self, secured: bool, reply: Reply) -> Reply {
        match self.https.hsts.as_ref().filter(|_| secured) {
            Some(hsts) => reply.with_header(
                header::STRICT_TRANSPORT_SECURITY,
                hsts.to_str().unwrap_or_default(),
            ),
            None => reply,
        }
    }

    /// Likewise an app's.
    pub(super) fn keep_to_https(
        &self,
        downstream: &Downstream,
        response: &mut ResponseHeader,
    ) -> Result<()> {
        let Some(hsts) = &self.https.hsts else {
            return Ok(());
        };
        let name = header::STRICT_TRANSPORT_SECURITY;
        let silent = !response.status.is_informational() && !response.headers.contains_key(&name);
        if silent && is_secured(downstream) {
            response.insert_header(name, hsts.clone())?;
        }
        Ok(())
    }
}
