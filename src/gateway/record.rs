//! What is kept of a request that has ended: its line.
//!
//! Holds always: this looks back and decides nothing; a route is named as the file
//! has it.

use std::fmt::Display;
use std::sync::Arc;

use http::Version;
use pingora::http::RequestHeader;
use pingora::proxy::Session as Downstream;

use super::decide::Permit;
use super::{Gateway, Visit};
use crate::access_log::{self, Entry};
use crate::endpoints::Endpoint;
use crate::request::{self, Asked};
use crate::route::{Decided, LoginAccount, Route};

impl Gateway {
    /// Notes which route an answer of our own is about.
    pub(super) fn note_route(&self, asked: &Asked<'_>, visit: &mut Visit) {
        if Endpoint::at(asked.path).is_some() || self.routes.verify_file(asked.path).is_some() {
            return;
        }
        if let Decided::Route(route) = self.routes.decide(&asked.host, asked.path) {
            visit.route = Some(Arc::clone(route));
            visit.account = visit.account.take().or_else(|| route.account.clone());
        }
    }

    /// Writes the line of a request that has ended.
    pub(super) fn record(&self, downstream: &Downstream, visit: &Visit) {
        if !Entry::is_written() {
            return;
        }
        let header = downstream.req_header();
        let target = String::from_utf8_lossy(header.raw_path());
        let seen = Seen {
            header,
            authority: request::authority(header).unwrap_or_default(),
            path: target.split('?').next().unwrap_or_default(),
            status: downstream
                .response_written()
                .map_or(0, |response| response.status.as_u16()),
            route: visit.route(),
            account: visit.account(),
        };
        self.write_line(downstream, &seen, visit);
    }

    fn write_line(&self, downstream: &Downstream, seen: &Seen<'_>, visit: &Visit) {
        let tls = downstream
            .digest()
            .and_then(|digest| digest.ssl_digest.as_ref());
        let session = visit.permit.as_ref().and_then(Permit::session);
        let visitor = session.filter(|_| self.names_visitors);
        visit.log.write(&access_log::Request {
            id: visit.request_id.as_str(),
            client: Some(visit.client.address),
            http: version(seen.header),
            tls: tls.map(|tls| match &*tls.version {
                "TLSv1_3" => "1.3",
                "TLSv1_2" => "1.2",
                other => other,
            }),
            method: seen.header.method.as_str(),
            host: seen.authority,
            path: seen.path,
            route: seen.route.map(|route| route as &dyn Display),
            account: seen.account.map(|account| account.name.as_str()),
            visitor: visitor.map(|session| self.sessions.visitor(session)),
            status: seen.status,
            bytes: downstream.as_ref().body_bytes_sent(),
            wechat: (!visit.calls.is_empty())
                .then(|| visit.calls.iter().map(|call| call.took).sum()),
        });
    }
}

/// What a request was, and what came of it.
struct Seen<'a> {
    header: &'a RequestHeader,
    authority: &'a str,
    path: &'a str,
    status: u16,
    route: Option<&'a Route>,
    account: Option<&'a LoginAccount>,
}

fn version(header: &RequestHeader) -> &'static str {
    match header.version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
