//! A span, and spans as OTLP has them in JSON.
//!
//! Source: the OpenTelemetry protocol 1.x, "JSON Protobuf Encoding": ids in
//! hexadecimal digits, 64-bit numbers as text, enumerations as numbers.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::{ServiceName, SpanId, TraceId};

/// Whose work a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, for who asked.
    Server,
    /// Somebody else's, whom we asked.
    Client,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(i64::from(number))
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace it belongs to.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// Whose work it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub failed: bool,
}

/// The moment of the wall clock that `instant` was, seen from now.
pub fn moment(instant: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(instant.elapsed()).unwrap_or(now)
}

/// `spans` of `service`, as a collector takes them.
pub(super) fn request(service: &ServiceName, spans: &[Span]) -> Json {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", Value::from(service.as_str().to_owned())),
        ("service.version", Value::from(version)),
    ];
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&resource)},
        "scopeSpans": [{"scope": {"name": "wxgate", "version": version}, "spans": spans}],
    }]})
}

fn span(span: &Span) -> Json {
    let nanos = |at: Duration| at.as_nanos().to_string();
    let began = span.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut json = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        "startTimeUnixNano": nanos(began),
        "endTimeUnixNano": nanos(began + span.took),
        "attributes": attributes(&span.attributes),
    });
    if let Json::Object(fields) = &mut json {
        if let Some(parent) = span.parent {
            fields.insert("parentSpanId".to_owned(), parent.to_string().into());
        }
        if span.failed {
            fields.insert("status".to_owned(), json!({"code": 2}));
        }
    }
    json
}

fn attributes(all: &[(&'static str, Value)]) -> Vec<Json> {
    let one = |(key, value): &(&'static str, Value)| {
        let value = match value {
            Value::Text(text) => json!({"stringValue": text}),
            Value::Number(number) => json!({"intValue": number.to_string()}),
        };
        json!({"key": key, "value": value})
    };
    all.iter().map(one).collect()
}
