//! Pages for people: each trouble in its own words, Chinese and English.
//!
//! Holds always: a page is self-contained, allows no script and no frame, and
//! leads somewhere. Its words are `&'static str`; the few values that are not
//! are escaped where they are put in.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use qrcode::{Color, EcLevel, QrCode};
use sha2::{Digest, Sha256};

use super::Reply;
use super::words::Trouble;
use crate::html::escape;
use crate::wechat::Errcode;

/// Where a page leads.
#[derive(Clone, Copy, Debug)]
pub enum Onward<'a> {
    /// A link to this path or address.
    Link(&'a str),
    /// A form that sends an empty POST to this path.
    Post(&'a str),
}

/// A page: a trouble and the few values that belong on it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What happened.
    pub trouble: Trouble,
    /// Where to go from here.
    pub onward: Onward<'a>,
    /// The address to open in WeChat, shown as text and as a QR code.
    pub address: Option<&'a str>,
    /// In how many seconds it may be tried again, where that is known.
    pub retry_after: Option<u64>,
    /// WeChat's error, for whoever is to be told of it.
    pub errcode: Option<&'a Errcode>,
    /// The request's id in the gateway's log.
    pub request_id: &'a str,
}

const STYLE: &str = "body{font:16px/1.6 system-ui,-apple-system,'PingFang SC','Microsoft YaHei',sans-serif;color:#222;background:#f5f5f5;margin:0;padding:8vh 20px}\
main{max-width:26em;margin:auto;background:#fff;border-radius:12px;padding:28px 24px;text-align:center}\
h1{font-size:1.3em;margin:0 0 .5em}h2{font-size:1em;color:#666;margin:1.4em 0 .3em}p{margin:.3em 0}\
svg{width:240px;height:240px;margin:1em auto;display:block}\
a.go,button{display:inline-block;margin-top:1.4em;padding:.6em 2em;border:0;border-radius:8px;background:#07c160;color:#fff;font:inherit;text-decoration:none}\
code,small{color:#888;font-size:.8em;word-break:break-all}.en{color:#666;font-size:.9em}\
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}main{background:#1c1c1c}h2,.en{color:#999}}";

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

impl Page<'_> {
    fn html(&self) -> String {
        let words = self.trouble.words();
        let mut html = String::with_capacity(4096);
        let (title, text) = words.zh;
        let _ = write!(
            html,
            "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1><p>{text}</p>"
        );
        let (title, text) = words.en;
        let _ = write!(
            html,
            "<div lang=\"en\"><h2>{title}</h2><p class=\"en\">{text}</p></div>"
        );
        if let Some(address) = self.address {
            html.push_str(&qr_code(address));
            let _ = write!(html, "<p><code>{}</code></p>", escape(address));
        }
        let _ = match self.onward {
            Onward::Link(to) => write!(
                html,
                "<p><a class=\"go\" href=\"{}\">继续 / Continue</a></p>",
                escape(to)
            ),
            Onward::Post(to) => write!(
                html,
                "<form method=\"post\" action=\"{}\"><button>退出 / Log out</button></form>",
                escape(to)
            ),
        };
        html.push_str("<p><small>");
        if let Some(errcode) = self.errcode {
            let _ = write!(html, "errcode {}", errcode.code);
            if let Some(rid) = &errcode.rid {
                let _ = write!(html, " · rid {}", escape(rid));
            }
            html.push_str(" · ");
        }
        let _ = writeln!(
            html,
            "{}</small></p></main></body></html>",
            escape(self.request_id)
        );
        html
    }

    /// The page as an answer.
    pub fn reply(&self) -> Reply {
        let reply = Reply::new(self.trouble.words().status)
            .with_body("text/html; charset=utf-8", self.html().into_bytes())
            .with_header(header::CONTENT_SECURITY_POLICY, &POLICY)
            .with_header(header::X_FRAME_OPTIONS, "DENY");
        let usual = match self.trouble {
            Trouble::Quota | Trouble::TooOften => Some(60),
            Trouble::Busy | Trouble::StoreDown => Some(5),
            _ => None,
        };
        let reply = match self.retry_after.or(usual) {
            Some(seconds) => reply.with_header(header::RETRY_AFTER, &seconds.to_string()),
            None => reply,
        };
        match self.trouble {
            // Its form must be able to say where it comes from.
            Trouble::ConfirmLogout => reply
                .with_header(header::ALLOW, "POST")
                .with_header(header::REFERRER_POLICY, "same-origin"),
            _ => reply,
        }
    }
}

/// The longest address that becomes a QR code: a longer one has modules too
/// small for a phone to tell apart on a screen.
const MAX_QR: usize = 250;
/// White around a QR code, in modules (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;

/// The address as a picture, or nothing where it is too long for one: the
/// address itself stands below. One line for each run of dark modules keeps
/// the page small.
fn qr_code(address: &str) -> String {
    if address.len() > MAX_QR {
        return String::new();
    }
    let Ok(code) = QrCode::with_error_correction_level(address, EcLevel::L) else {
        return String::new();
    };
    let side = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(side).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let _ = write!(path, "M{} {}.5h{}", x + QUIET, y + QUIET, run.len());
            }
            x += run.len();
        }
    }
    let whole = side + 2 * QUIET;
    format!(
        "<svg viewBox=\"0 0 {whole} {whole}\" role=\"img\" aria-label=\"QR\"><rect width=\"{whole}\" height=\"{whole}\" fill=\"#fff\"/>\
         <path d=\"{path}\" stroke=\"#000\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_visitor_brings_is_escaped() {
        let page = Page {
            trouble: Trouble::OutsideWeChat,
            onward: Onward::Link("/x?\"><script>"),
            address: Some("https://shop.example.com/?q=<script>alert('1')</script>"),
            retry_after: None,
            errcode: Some(&Errcode {
                code: 40125,
                rid: Some("<b>".to_owned()),
            }),
            request_id: "r1",
        };
        let html = page.html();
        assert!(
            !html.contains("<script>") && !html.contains("<b>"),
            "{html}"
        );
        assert!(html.contains("<svg") && html.contains("errcode 40125") && html.contains("r1"));
    }

    #[test]
    fn the_policy_names_the_only_style_and_no_script() {
        assert!(
            POLICY.contains("style-src 'sha256-")
                && !POLICY.contains("script")
                && !POLICY.contains("unsafe")
        );
    }
}
