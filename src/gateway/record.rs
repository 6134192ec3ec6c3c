//! What is kept of a request that has ended: its line, and its spans.
//!
//! Holds always: this looks back and decides nothing; a route is named as the file
//! has it; a span says no more than the line does.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session as Downstream;

use super::decide::Permit;
use super::{Gateway, Visit};
use crate::access_log::{self, Entry, Way};
use crate::endpoints::Endpoint;
use crate::origin::Host;
use crate::request::{self, Asked};
use crate::route::{Decided, LoginAccount, Route};
use crate::telemetry::{Kind, Span, SpanId, Trace, Value, moment};

impl Gateway {
    /// A request's place in a trace, where there are traces.
    pub(super) fn trace(&self, headers: &HeaderMap, visit: &Visit) -> Option<Box<Trace>> {
        let telemetry = self.telemetry.as_ref()?;
        let trace = telemetry.begin(headers, visit.client.through_proxy);
        trace.map(Box::new)
    }

    /// Notes which route an answer of our own is about.
    pub(super) fn note_route(&self, asked: &Asked<'_>, visit: &mut Visit) {
        if Endpoint::at(asked.path).is_some() || self.routes.verify_file(asked.path).is_some() {
            return;
        }
        if let Decided::Route(route) = self.routes.decide(&asked.host, asked.path) {
            visit.route = Some(Arc::clone(route));
            let about = || match route.accounts.all() {
                [only] => Some(only),
                _ => route.accounts.of(asked.browser()),
            };
            visit.account = visit.account.take().or_else(|| about().cloned());
        }
    }

    /// Writes the line of a request that has ended, and sends its spans on.
    pub(super) fn record(&self, downstream: &Downstream, visit: &Visit) {
        let spans = self.telemetry.as_ref().zip(visit.trace.as_ref());
        let spans = spans.filter(|(telemetry, trace)| telemetry.wants(trace));
        if !Entry::is_written() && spans.is_none() {
            return;
        }
        let original = visit.original.as_deref();
        let header = original.unwrap_or(downstream.req_header());
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
        if Entry::is_written() {
            self.write_line(downstream, &seen, visit);
        }
        if let Some((telemetry, trace)) = spans {
            telemetry.send(spans_of(&seen, trace, visit));
        }
    }

    fn write_line(&self, downstream: &Downstream, seen: &Seen<'_>, visit: &Visit) {
        let tls = downstream
            .digest()
            .and_then(|digest| digest.ssl_digest.as_ref());
        let trace = visit.trace.as_ref().map(|trace| trace.id());
        let session = visit.permit.as_ref().and_then(Permit::session);
        let visitor = session.filter(|_| self.names_visitors);
        visit.log.write(&access_log::Request {
            id: visit.request_id.as_str(),
            trace: trace.as_ref().map(|id| id as &dyn Display),
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
            app: visit.app.as_ref().map(|app| app.name.as_str()),
            visitor: visitor.map(|session| self.sessions.visitor(session)),
            question: visit.original.is_some(),
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

/// A method as spans name it: there are few, whatever clients make up.
fn method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
    ];
    KNOWN.into_iter().find(|known| method == *known)
}

/// The gateway's own span, and those of whom it asked. Names and attributes are
/// those of OpenTelemetry's conventions for HTTP.
fn spans_of(seen: &Seen<'_>, trace: &Trace, visit: &Visit) -> Vec<Span> {
    let began = visit.log.started();
    let mut spans = vec![Span {
        trace: trace.id(),
        id: trace.span(),
        parent: trace.parent(),
        kind: Kind::Server,
        name: match (method(&seen.header.method), seen.route) {
            (Some(method), Some(route)) => format!("{method} {}", route.path.as_str()),
            (None, Some(route)) => format!("HTTP {}", route.path.as_str()),
            (known, None) => known.unwrap_or("HTTP").to_owned(),
        },
        began: moment(began),
        took: began.elapsed(),
        attributes: served(seen, visit),
        failed: seen.status >= 500,
    }];
    if let (Some(asked), Some(route)) = (visit.log.asked_app(), seen.route) {
        let mut attributes: Vec<(&'static str, Value)> = vec![
            (
                "http.request.method",
                method(&seen.header.method).unwrap_or("_OTHER").into(),
            ),
            ("wxgate.upstream", route.upstream.name().to_owned().into()),
        ];
        attributes.extend(peer(route, visit));
        let answered = visit.log.app_took();
        match answered {
            Some(took) => {
                attributes.push(("http.response.status_code", seen.status.into()));
                attributes.push(("wxgate.upstream_ms", millis(took)));
            }
            None => attributes.push(("error.type", visit.log.reason.into())),
        }
        spans.push(Span {
            trace: trace.id(),
            id: trace.to_app(),
            parent: Some(trace.span()),
            kind: Kind::Client,
            name: method(&seen.header.method).unwrap_or("HTTP").to_owned(),
            began: moment(asked),
            took: asked.elapsed(),
            attributes,
            failed: answered.is_none() || seen.status >= 400,
        });
    }
    let calls = visit.calls.iter().filter_map(|call| {
        let mut attributes: Vec<(&'static str, Value)> = vec![
            ("http.request.method", "GET".into()),
            ("wxgate.wechat.call", call.name.into()),
        ];
        if let Some(error) = &call.error {
            attributes.push(("error.type", Value::Text(error.clone())));
        }
        Some(Span {
            trace: trace.id(),
            id: SpanId::random()?,
            parent: Some(trace.span()),
            kind: Kind::Client,
            name: format!("GET wechat {}", call.name),
            began: moment(call.began),
            took: call.took,
            attributes,
            failed: call.error.is_some(),
        })
    });
    spans.extend(calls);
    spans
}

fn served(seen: &Seen<'_>, visit: &Visit) -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> = vec![
        (
            "http.request.method",
            method(&seen.header.method).unwrap_or("_OTHER").into(),
        ),
        ("url.scheme", visit.client.scheme.as_str().into()),
        ("url.path", seen.path.to_owned().into()),
        ("network.protocol.version", version(seen.header).into()),
        (
            "wxgate.request_id",
            visit.request_id.as_str().to_owned().into(),
        ),
        (
            "wxgate.decision",
            visit.log.way.map_or("none", Way::as_str).into(),
        ),
        ("wxgate.reason", visit.log.reason.into()),
    ];
    if let Some(host) = Host::from_authority(seen.authority) {
        all.push(("server.address", host.as_str().to_owned().into()));
    }
    if let Some(route) = seen.route {
        all.push(("http.route", route.path.as_str().to_owned().into()));
        all.push(("wxgate.route", route.to_string().into()));
    }
    if let Some(account) = seen.account {
        all.push(("wxgate.account", account.name.as_str().to_owned().into()));
    }
    if seen.status > 0 {
        all.push(("http.response.status_code", seen.status.into()));
    }
    if seen.status >= 500 {
        all.push(("error.type", seen.status.to_string().into()));
    }
    all
}

/// The peer that was tried last, as conventions name it.
fn peer(route: &Route, visit: &Visit) -> Vec<(&'static str, Value)> {
    let Some(name) = route.upstream.tried(&visit.tries) else {
        return Vec::new();
    };
    let port = |port: &str| port.parse::<u16>().ok();
    let parts = name.rsplit_once(':');
    match parts.and_then(|(host, end)| Some((host, port(end)?))) {
        Some((host, port)) => vec![
            ("server.address", host.to_owned().into()),
            ("server.port", port.into()),
        ],
        None => vec![("server.address", name.to_owned().into())],
    }
}

fn millis(took: Duration) -> Value {
    Value::Number(i64::try_from(took.as_millis()).unwrap_or(i64::MAX))
}
