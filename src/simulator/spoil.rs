//! How an api answer reaches the caller, or does not.
//!
//! What always holds: the work is done before, so nothing here decides what
//! is true, only what is heard of it.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::mood::Mood;
use super::socket::Line;

/// The size of [`Mood::HugeBody`].
const HUGE: usize = 32 << 20;

/// What a proxy before WeChat shows when WeChat is not there.
const HTML: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n\
    <body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

/// Answers `body`, as the mood has it.
pub(super) async fn deliver(body: String, mood: &Mood, line: &Line) -> Response {
    match mood {
        Mood::Normal
        | Mood::Errcode { .. }
        | Mood::BadOpenId
        | Mood::DoubleCallback
        | Mood::Snapshot
        | Mood::Refuse => text(body),
        Mood::Slow(by) => {
            tokio::time::sleep(*by).await;
            text(body)
        }
        Mood::Hanging => std::future::pending().await,
        Mood::CutOff => {
            line.withhold(body.len().div_ceil(2));
            text(body)
        }
        Mood::ResetBeforeAnswer => {
            line.reset();
            text(body)
        }
        Mood::Html => ([(CONTENT_TYPE, "text/html")], HTML).into_response(),
        Mood::EmptyBody => text(""),
        Mood::TruncatedJson => {
            let mut bytes = body.into_bytes();
            bytes.truncate(bytes.len() / 2);
            text(bytes)
        }
        Mood::InvalidUtf8 => text(with_first(b"\"cut\":\"\xe5\xb0\"", &body)),
        Mood::HugeBody => {
            let mut field = b"\"huge\":\"".to_vec();
            field.resize(HUGE.saturating_sub(body.len()), b'x');
            field.push(b'"');
            text(with_first(&field, &body))
        }
    }
}

/// The JSON object `body` with one field more, before the others.
fn with_first(field: &[u8], body: &str) -> Vec<u8> {
    let fields = body.strip_prefix('{').unwrap_or(body);
    [b"{", field, b",", fields.as_bytes()].concat()
}

/// WeChat's content type, without a charset.
fn text(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "text/plain")], body.into()).into_response()
}
