//! Pages for people: each trouble in its own words, Chinese and English.
//!
//! Holds always: a page is self-contained, allows no frame, and leads somewhere;
//! it allows no script but one, on the pages that keep an address's fragment, and
//! that by its hash. Its words are `&'static str`; the few values that are not
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
    /// The same, for what may go better another time.
    Again(&'a str),
    /// The same, to where the visitor is: another browser is needed, or was.
    Reload(&'a str),
    /// A form that sends an empty POST to this path.
    Post(&'a str),
}

impl Onward<'_> {
    /// Where it leads, and what it says.
    fn link(&self) -> Option<(&str, &'static str)> {
        match self {
            Self::Link(to) => Some((to, "继续 / Continue")),
            Self::Again(to) => Some((to, "再试一次 / Try again")),
            Self::Reload(to) => Some((to, "重新载入 / Reload")),
            Self::Post(_) => None,
        }
    }
}

/// What becomes of an address's fragment, which no server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// It is kept until the visitor goes on.
    Keep,
    /// It is kept, and the visitor goes on at once.
    KeepAndGo,
    /// It is put back behind the address where the page leads.
    PutBack,
}

impl Fragment {
    fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::KeepAndGo => "go",
            Self::PutBack => "back",
        }
    }
}

/// A page: a trouble and the few values that belong on it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What happened.
    pub trouble: Trouble,
    /// Where to go from here.
    pub onward: Onward<'a>,
    /// The address to open elsewhere, shown as text and as a QR code.
    pub address: Option<&'a str>,
    /// What becomes of the address's fragment, where that is kept.
    pub fragment: Option<Fragment>,
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

/// Keeps the fragment in the tab's own memory, under the address it belongs to, for
/// the ten minutes that a login may take; and puts it back there. It goes nowhere
/// but where the page's link leads. Where it cannot run, the visitor goes on
/// without the fragment. WeChat's own is none.
const SCRIPT: &str = "(function(){var to=document.querySelector('a.go').href,step=document.body.dataset.step,key='wxgate-fragment',hash=location.hash,kept;\
try{if(step!=='back'){if(hash.length>1&&hash.length<4096&&hash!=='#wechat_redirect')sessionStorage.setItem(key,JSON.stringify({of:location.href.split('#')[0],hash:hash,at:Date.now()}));else sessionStorage.removeItem(key)}\
else{kept=JSON.parse(sessionStorage.getItem(key));sessionStorage.removeItem(key);if(kept&&kept.of===to&&Date.now()-kept.at<6e5&&kept.hash.charAt(0)==='#')to+=kept.hash}}catch(_){}\
if(step!=='keep')location.replace(to)})()";

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

fn policy(script: &str) -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}';{script} form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE)
    )
}

static POLICY: LazyLock<String> = LazyLock::new(|| policy(""));
static SCRIPT_POLICY: LazyLock<String> =
    LazyLock::new(|| policy(&format!(" script-src 'sha256-{}';", hash(SCRIPT))));

impl Page<'_> {
    fn html(&self) -> String {
        let words = self.trouble.words();
        let mut html = String::with_capacity(4096);
        let (title, text) = words.zh;
        let _ = write!(
            html,
            "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style>"
        );
        if let (Some(Fragment::KeepAndGo | Fragment::PutBack), Onward::Link(to)) =
            (self.fragment, self.onward)
        {
            let _ = write!(
                html,
                "<noscript><meta http-equiv=\"refresh\" content=\"0;url={}\"></noscript>",
                escape(to)
            );
        }
        let step = self
            .fragment
            .map(|step| format!(" data-step=\"{}\"", step.name()))
            .unwrap_or_default();
        let _ = write!(
            html,
            "</head><body{step}><main><h1>{title}</h1><p>{text}</p>"
        );
        let (title, text) = words.en;
        let _ = write!(
            html,
            "<div lang=\"en\"><h2>{title}</h2><p class=\"en\">{text}</p></div>"
        );
        if let Some(address) = self.address {
            // Scanned, it would be opened in WeChat again.
            if self.trouble != Trouble::OpenInBrowser {
                html.push_str(&qr_code(address));
            }
            let _ = write!(html, "<p><code>{}</code></p>", escape(address));
        }
        if let Some((to, says)) = self.onward.link() {
            let _ = write!(
                html,
                "<p><a class=\"go\" href=\"{}\">{says}</a></p>",
                escape(to)
            );
        }
        if let Onward::Post(to) = self.onward {
            let _ = write!(
                html,
                "<form method=\"post\" action=\"{}\"><button>退出 / Log out</button></form>",
                escape(to)
            );
        }
        html.push_str("<p><small>");
        if let Some(errcode) = self.errcode {
            let _ = write!(html, "errcode {}", errcode.code);
            if let Some(rid) = &errcode.rid {
                let _ = write!(html, " · rid {}", escape(rid));
            }
            html.push_str(" · ");
        }
        let _ = write!(html, "{}</small></p></main>", escape(self.request_id));
        if self.fragment.is_some() {
            let _ = write!(html, "<script>{SCRIPT}</script>");
        }
        html.push_str("</body></html>\n");
        html
    }

    /// The page as an answer.
    pub fn reply(&self) -> Reply {
        let reply = Reply::new(self.trouble.words().status)
            .with_body("text/html; charset=utf-8", self.html().into_bytes())
            .with_header(
                header::CONTENT_SECURITY_POLICY,
                match self.fragment {
                    None => &POLICY,
                    Some(_) => &SCRIPT_POLICY,
                },
            )
            .with_header(header::X_FRAME_OPTIONS, "DENY")
            .telling(self.trouble);
        let usual = match self.trouble {
            Trouble::Quota | Trouble::TooOften | Trouble::AppLoops => Some(60),
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
            fragment: None,
            retry_after: None,
            errcode: Some(&Errcode {
                side: Default::default(),
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
    fn a_page_with_the_script_allows_that_one_and_no_other_has_it() {
        let mut page = Page {
            trouble: Trouble::KeepFragment,
            onward: Onward::Link("/x?\"><script>alert(1)</script>"),
            address: None,
            fragment: Some(Fragment::KeepAndGo),
            retry_after: None,
            errcode: None,
            request_id: "r1",
        };
        let html = page.html();
        let (_, script) = html.split_once("<script>").unwrap();
        let (script, _) = script.split_once("</script>").unwrap();
        assert_eq!(html.matches("<script").count(), 1);
        assert!(SCRIPT_POLICY.contains(&format!("script-src 'sha256-{}'", hash(script))));
        assert!(
            html.contains("0;url=/x?&quot;&gt;") || html.contains("0;url=/x?&#34;&gt;"),
            "{html}"
        );
        page.fragment = None;
        assert!(!page.html().contains("<script"));
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
