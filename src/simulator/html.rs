//! Pages: one frame, one way to escape, one set of headers.
//!
//! What always holds: every page forbids scripts and anything from elsewhere,
//! is kept by no cache, and is the same on a phone.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

pub(super) use crate::html::escape;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' http: https:; \
    frame-src http: https:; form-action 'self'; base-uri 'none'";

const STYLE: &str = "\
body{font:16px/1.5 system-ui,-apple-system,'PingFang SC','Noto Sans CJK SC',sans-serif;\
margin:0 auto;max-width:46rem;padding:1rem;color:#222;background:#f6f6f6}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}\
small,.quiet{color:#777}code{background:#eee;padding:0 .25em;border-radius:3px;word-break:break-all}\
.card{background:#fff;border-radius:8px;padding:1rem;margin:1rem 0;box-shadow:0 1px 2px #0002}\
a.button,button{display:inline-block;border:0;border-radius:6px;padding:.6rem 1.4rem;margin:.2rem;\
background:#07c160;color:#fff;text-decoration:none;font:inherit;cursor:pointer}\
a.button.no,button.no{background:#e5e5e5;color:#333}\
a.person{display:flex;align-items:center;gap:.8rem;padding:.5rem;color:inherit;text-decoration:none;\
border-bottom:1px solid #eee}a.person:hover{background:#f0faf4}\
.face{width:44px;height:44px;border-radius:6px;background:#ddd;flex:none}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem .3rem 0;\
border-bottom:1px solid #eee;vertical-align:top}\
iframe{width:100%;height:22rem;border:1px solid #ddd;border-radius:8px;background:#fff}\
input,select{font:inherit;padding:.4rem;border:1px solid #ccc;border-radius:6px;max-width:11rem}\
ol{padding-left:0;list-style:none;margin:0}ol li{padding:.15rem 0;border-bottom:1px solid #f0f0f0}";

/// A page. `title` is text, `head` and `body` are HTML.
pub(super) fn page(title: &str, head: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style>{head}</head><body>{body}</body></html>\n",
        escape(title)
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, html).into_response()
}
