//! The gateway's own answers, and the only map from a trouble to what a
//! visitor sees of it.
//!
//! Holds always: every answer is `no-store`; a page is self-contained, allows no
//! frame and no script but one of its own, and leads somewhere; its texts are `&'static str`,
//! so that nothing dynamic can leak, and the few values that are not (the
//! visitor's own address, WeChat's errcode and rid, the request's id) are
//! escaped where they are put in.

mod page;
mod words;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session as Downstream;
use serde_json::json;

pub use page::{Fragment, Onward, Page};
pub use words::Trouble;

/// An answer of the gateway's own.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// The trouble it tells of, as a page or as JSON.
    tells: Option<Trouble>,
}

impl Reply {
    /// An answer without a body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::with_capacity(8),
            body: Bytes::new(),
            tells: None,
        }
    }

    /// 302 to `location`, which the caller has made of parts that cannot lead
    /// elsewhere. Should it hold a byte that no header takes, the answer is an
    /// error instead of a redirect to half of it.
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::from_bytes(location.as_bytes()) {
            Ok(value) => {
                let mut reply = Self::new(StatusCode::FOUND);
                reply.headers.push((header::LOCATION, value));
                reply
            }
            Err(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// A JSON answer. It may tell who the visitor is: pages of other sites do
    /// not even get to load it (Fetch, section 3.6).
    pub fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        let reply = Self::new(status).with_body(
            "application/json; charset=utf-8",
            value.to_string().into_bytes(),
        );
        let name = HeaderName::from_static("cross-origin-resource-policy");
        reply.with_header(name, "same-origin")
    }

    /// JSON as WeChat sends it to servers: 200, and a type that says nothing of it.
    /// No page of another site's gets to load it.
    pub fn plain_json(value: &serde_json::Value) -> Self {
        let body = value.to_string().into_bytes();
        let reply = Self::new(StatusCode::OK).with_body("text/plain", body);
        let name = HeaderName::from_static("cross-origin-resource-policy");
        reply.with_header(name, "same-origin")
    }

    /// A text answer.
    pub fn text(text: &str) -> Self {
        Self::new(StatusCode::OK).with_body("text/plain; charset=utf-8", text.as_bytes().to_vec())
    }

    /// 401 for whoever is not a navigation: `login_url` is where the page may
    /// send its visitor. `msg` says the same as `message`, for pages written
    /// after WeChat's examples look for that name.
    pub fn login_required(login_url: &str) -> Self {
        Self::refused_until(login_url, "请先登录 / login required")
    }

    /// The same for whoever has a session, where it is not known yet who pays.
    pub fn payer_required(login_url: &str) -> Self {
        let message = "支付前还需一步登录 / one more login before the payment";
        Self::refused_until(login_url, message)
    }

    fn refused_until(login_url: &str, message: &str) -> Self {
        Self::json(
            StatusCode::UNAUTHORIZED,
            &json!({"code": 401, "message": message, "msg": message, "login_url": login_url}),
        )
    }

    /// Adds a header. A value that no header takes is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds a header whose value is one already.
    #[must_use]
    pub fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same for who takes every success for a "yes": a page that asks something
    /// first is then 401.
    #[must_use]
    pub fn refusing(mut self) -> Self {
        if self.status.is_success() {
            self.status = StatusCode::UNAUTHORIZED;
        }
        self
    }

    /// Adds a cookie.
    #[must_use]
    pub fn with_cookie(self, set_cookie: &str) -> Self {
        self.with_header(header::SET_COOKIE, set_cookie)
    }

    pub(super) fn with_body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.headers
            .push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        self.body = body.into();
        self
    }

    /// The same answer, known as one that tells of `trouble`.
    #[must_use]
    pub fn telling(mut self, trouble: Trouble) -> Self {
        self.tells = Some(trouble);
        self
    }

    /// The trouble it tells of, if it does.
    pub fn tells(&self) -> Option<Trouble> {
        self.tells
    }

    /// All values of the header called `name`.
    pub fn values(&self, name: &HeaderName) -> impl Iterator<Item = &str> {
        let found = self.headers.iter().filter(move |(found, _)| found == name);
        found.filter_map(|(_, value)| value.to_str().ok())
    }

    /// The first value of the header called `name`.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.and_then(|(_, value)| value.to_str().ok())
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Writes the answer. An unread request body closes the connection.
    ///
    /// # Errors
    /// When the visitor is gone.
    pub async fn send(self, downstream: &mut Downstream) -> pingora::Result<()> {
        let mut head = ResponseHeader::build(self.status, Some(self.headers.len() + 5))?;
        for (name, value) in self.headers {
            head.append_header(name, value)?;
        }
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        if !head.headers.contains_key(header::REFERRER_POLICY) {
            head.insert_header(header::REFERRER_POLICY, "no-referrer")?;
        }
        head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        let head_only =
            downstream.req_header().method == http::Method::HEAD || self.body.is_empty();
        downstream
            .write_response_header(Box::new(head), head_only)
            .await?;
        if !head_only {
            downstream
                .write_response_body(Some(self.body), true)
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_a_yes_by_accident() {
        for (status, left) in [(200, 401), (204, 401), (302, 302), (403, 403), (503, 503)] {
            let reply = Reply::new(StatusCode::from_u16(status).unwrap()).refusing();
            assert_eq!(reply.status().as_u16(), left);
        }
    }

    #[test]
    fn a_redirect_is_whole_or_none() {
        assert_eq!(Reply::redirect("https://a/b").status(), StatusCode::FOUND);
        assert_eq!(
            Reply::redirect("https://a/b\r\nSet-Cookie: x").status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }
}
