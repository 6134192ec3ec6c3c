//! A request's place in a trace, and the headers that say it.
//!
//! Holds always: what is not exactly as the standard has it begins a new trace,
//! and then nothing of it is passed on (W3C Trace Context, sections 3.2 and 3.3).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use super::Sample;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Writes bytes as lower-case hexadecimal digits.
macro_rules! id {
    ($name:ident, $length:literal, $what:literal) => {
        #[doc = $what]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name([u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl $name {
            /// Reads lower-case digits; all zeros are none.
            fn read(text: &[u8]) -> Option<Self> {
                let mut bytes = [0; $length];
                if text.len() != 2 * $length {
                    return None;
                }
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = hex(pair)?;
                }
                (bytes != [0; $length]).then_some(Self(bytes))
            }
        }
    };
}

id!(TraceId, 16, "The id of a trace.");
id!(SpanId, 8, "The id of a span.");

impl SpanId {
    /// A new one; `None` when the system gives no random bytes.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// What a request says of the trace it belongs to.
#[derive(Debug)]
pub(super) struct Given {
    id: TraceId,
    parent: SpanId,
    sampled: bool,
    state: Vec<HeaderValue>,
}

impl Given {
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let line = lines.next()?.as_bytes();
        if lines.next().is_some() {
            return None;
        }
        let mut parts = line.splitn(5, |byte| *byte == b'-');
        let [version, id, parent, flags] = [(); 4].map(|()| parts.next());
        let version = hex(version?)?;
        // A later version may say more behind another "-"; 255 is none.
        if version == 255 || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Some(Self {
            id: TraceId::read(id?)?,
            parent: SpanId::read(parent?)?,
            sampled: hex(flags?)? & 1 == 1,
            state: headers.get_all(TRACESTATE).iter().cloned().collect(),
        })
    }
}

/// A request's place in a trace.
#[derive(Debug)]
pub struct Trace {
    id: TraceId,
    /// The gateway's own span.
    span: SpanId,
    /// That of its request to the app.
    to_app: SpanId,
    parent: Option<SpanId>,
    sampled: bool,
    state: Vec<HeaderValue>,
}

impl Trace {
    pub(super) fn begin(given: Option<Given>, sample: Sample) -> Option<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).ok()?;
        let (id, spans) = random.split_first_chunk::<16>()?;
        let (span, spans) = spans.split_first_chunk::<8>()?;
        let (to_app, _) = spans.split_first_chunk::<8>()?;
        let end = u64::from_be_bytes(*id.last_chunk()?);
        let new = Self {
            id: TraceId(*id),
            span: SpanId(*span),
            to_app: SpanId(*to_app),
            parent: None,
            sampled: sample.takes(end),
            state: Vec::new(),
        };
        Some(match given {
            None => new,
            Some(given) => Self {
                id: given.id,
                parent: Some(given.parent),
                sampled: given.sampled,
                state: given.state,
                ..new
            },
        })
    }

    /// The trace.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The gateway's own span.
    pub fn span(&self) -> SpanId {
        self.span
    }

    /// The span of the request to the app.
    pub fn to_app(&self) -> SpanId {
        self.to_app
    }

    /// The span that this one is part of, where a proxy told.
    pub fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    /// Whether its spans are recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Writes it into a request to the app: call after [`forget`].
    ///
    /// # Errors
    /// When a value cannot stand in a header, which none of these does.
    pub(super) fn write(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        let flags = u8::from(self.sampled);
        let line = format!("00-{}-{}-{flags:02x}", self.id, self.to_app);
        request.insert_header("traceparent", line)?;
        for state in &self.state {
            request.append_header("tracestate", state.clone())?;
        }
        Ok(())
    }
}

/// Takes what a client said of a trace out of its request.
pub(super) fn forget(request: &mut RequestHeader) {
    request.remove_header(&TRACEPARENT);
    request.remove_header(&TRACESTATE);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(lines: &[&str]) -> Option<Given> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, HeaderValue::from_str(line).unwrap());
        }
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        Given::read(&headers)
    }

    #[test]
    fn a_parent_is_read_as_the_standard_has_it() {
        let given = read(&[GOOD]).unwrap();
        assert_eq!(given.id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(given.parent.to_string(), "b7ad6b7169203331");
        assert!(given.sampled && given.state.len() == 2);
        assert!(!read(&[&GOOD.replace("-01", "-00")]).unwrap().sampled);
        assert!(read(&[&GOOD.replace("-01", "-03")]).unwrap().sampled);
        let later = GOOD.replacen("00-", "cc-", 1);
        assert!(read(&[&later]).is_some() && read(&[&format!("{later}-what-follows")]).is_some());
        for wrong in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replacen("00-", "0-", 1),
            &GOOD.replacen("00-", "zz-", 1),
            &format!("{GOOD}-x"),
            &format!("{GOOD}1"),
            GOOD.split_at(54).0,
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad6b7169203331", "b7ad6b716920333"),
            &GOOD.replace('-', "_"),
        ] {
            assert!(read(&[wrong]).is_none(), "{wrong}");
        }
        assert!(read(&[GOOD, GOOD]).is_none() && read(&[]).is_none());
    }

    #[test]
    fn what_the_app_reads_was_written_here() {
        let write = |trace: &Trace| {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.append_header("traceparent", "a client's").unwrap();
            request.append_header("tracestate", "a client's").unwrap();
            forget(&mut request);
            trace.write(&mut request).unwrap();
            let values = |name| {
                let all = request.headers.get_all(name).iter();
                all.map(|value| value.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            (values("traceparent"), values("tracestate"))
        };
        let all = Sample::try_from(1.0).unwrap();
        let (own, none) = (
            Trace::begin(None, all).unwrap(),
            Sample::try_from(0.0).unwrap(),
        );
        let (parent, state) = write(&own);
        assert_eq!(parent, [format!("00-{}-{}-01", own.id(), own.to_app())]);
        assert!(state.is_empty());
        // A proxy's decision to sample holds, whatever is decided here.
        let passed = Trace::begin(read(&[GOOD]), none).unwrap();
        let (parent, state) = write(&passed);
        assert_eq!(
            parent,
            [format!(
                "00-0af7651916cd43dd8448eb211c80319c-{}-01",
                passed.to_app()
            )]
        );
        assert_eq!(state, ["a=1", "b=2"]);
        assert_ne!(passed.span(), passed.to_app());
    }
}
