//! Pages for people: each trouble in its own words, Chinese and English.
//!
//! Holds always: a page is self-contained, allows no script and no frame, and
//! leads somewhere. Its words are `&'static str`; the few values that are not
//! are escaped where they are put in.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use qrcode::{Color, EcLevel, QrCode};
use sha2::{Digest, Sha256};

use super::Reply;
use crate::html::escape;
use crate::wechat::Errcode;

/// What a visitor is told instead of being let in. Each has its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A browser that is not WeChat's.
    OutsideWeChat,
    /// The visitor refused at WeChat.
    Refused,
    /// The login's cookie did not come back.
    CookieMissing,
    /// Logins succeed and the session does not stay.
    SessionNotKept,
    /// WeChat took none of several codes.
    CodeNotTaken,
    /// WeChat gave no answer that could be used, several times.
    NoAnswer,
    /// WeChat cannot be reached at all.
    Unreachable,
    /// The account's settings are wrong.
    AccountBroken,
    /// The account's quota at WeChat is used up.
    Quota,
    /// WeChat bars this visitor.
    Barred,
    /// A snapshot page's virtual visitor.
    Snapshot,
    /// WeChat granted less than the route needs.
    GrantedLess,
    /// A form was sent after the session had ended.
    SessionEnded,
    /// `logout` was opened as a page.
    ConfirmLogout,
    /// The visitor has logged out.
    LoggedOut,
    /// The app cannot be reached.
    AppDown,
    /// The app took too long.
    AppSlow,
    /// Nothing is served at this host or path.
    NotFound,
    /// The request cannot be understood in one way only.
    BadRequest,
    /// The route or endpoint does not take this method.
    MethodNotAllowed,
    /// The request took too long to arrive.
    RequestSlow,
    /// A WebSocket for a page of another site.
    ForeignOrigin,
    /// A mistake of the gateway's own.
    Internal,
}

struct Words {
    status: StatusCode,
    zh: (&'static str, &'static str),
    en: (&'static str, &'static str),
}

impl Trouble {
    fn words(self) -> Words {
        use StatusCode as S;
        let (status, zh, en) = match self {
            Self::OutsideWeChat => (
                S::FORBIDDEN,
                (
                    "请在微信中打开",
                    "本页面需要微信登录。请用微信扫描二维码，或在微信中打开下面的地址。",
                ),
                (
                    "Please open in WeChat",
                    "This page needs a WeChat login. Scan the code with WeChat, or open the address below in WeChat.",
                ),
            ),
            Self::Refused => (
                S::FORBIDDEN,
                (
                    "未获得授权",
                    "您没有同意微信授权，因此无法继续。您可以再试一次。",
                ),
                (
                    "Not authorised",
                    "You did not agree to the WeChat authorisation, so we cannot go on. You can try again.",
                ),
            ),
            Self::CookieMissing => (
                S::FORBIDDEN,
                (
                    "无法完成登录",
                    "登录信息没有返回：可能浏览器禁用了 Cookie，登录超过了十分钟，或链接来自另一台设备。请重新登录。",
                ),
                (
                    "The login could not be completed",
                    "Your browser did not send our login cookie back: cookies may be turned off, the login may have taken more than ten minutes, or the link may come from another device. Please log in again.",
                ),
            ),
            Self::SessionNotKept => (
                S::FORBIDDEN,
                (
                    "登录状态无法保存",
                    "微信登录成功了，但浏览器没有保存登录状态。请允许本站使用 Cookie，然后再试一次。",
                ),
                (
                    "The login does not stay",
                    "WeChat logged you in, but your browser does not keep our cookie. Please allow cookies for this site and try again.",
                ),
            ),
            Self::CodeNotTaken => (
                S::BAD_GATEWAY,
                ("登录未成功", "微信没有接受这次登录。请稍候再试。"),
                (
                    "The login did not succeed",
                    "WeChat did not accept this login. Please try again in a moment.",
                ),
            ),
            Self::NoAnswer => (
                S::BAD_GATEWAY,
                ("微信没有响应", "微信暂时没有给出有效的答复。请稍候再试。"),
                (
                    "WeChat does not answer",
                    "WeChat gave no usable answer. Please try again in a moment.",
                ),
            ),
            Self::Unreachable => (
                S::BAD_GATEWAY,
                ("无法连接微信", "本站暂时无法连接微信服务器。请稍候再试。"),
                (
                    "WeChat cannot be reached",
                    "This site cannot reach WeChat at the moment. Please try again in a moment.",
                ),
            ),
            Self::AccountBroken => (
                S::BAD_GATEWAY,
                (
                    "公众号设置有误",
                    "本站的公众号设置有误，请联系网站管理员，并告知下面的编号。",
                ),
                (
                    "This site's WeChat account is not set up correctly",
                    "Only the site's operator can mend this. Please report the numbers below.",
                ),
            ),
            Self::Quota => (
                S::SERVICE_UNAVAILABLE,
                ("登录人数过多", "微信登录暂时繁忙。请一分钟后再试。"),
                (
                    "Too many logins",
                    "WeChat takes no more logins for the moment. Please try again in a minute.",
                ),
            ),
            Self::Barred => (
                S::FORBIDDEN,
                (
                    "微信不允许登录",
                    "微信限制了此帐号的登录。请在微信中查看帐号状态。",
                ),
                (
                    "WeChat does not allow this login",
                    "WeChat restricts this account. Please look at its state in WeChat.",
                ),
            ),
            Self::Snapshot => (
                S::FORBIDDEN,
                (
                    "请使用完整服务",
                    "您正在浏览快照页。请点击页面下方的“使用完整服务”，然后继续。",
                ),
                (
                    "Please use the full service",
                    "This is a snapshot page. Tap 使用完整服务 (use the full service) at the bottom of the screen, then go on.",
                ),
            ),
            Self::GrantedLess => (
                S::BAD_GATEWAY,
                ("授权范围不足", "微信给出的授权少于本页面所需。请再试一次。"),
                (
                    "Not enough was granted",
                    "WeChat granted less than this page needs. Please try again.",
                ),
            ),
            Self::SessionEnded => (
                S::UNAUTHORIZED,
                (
                    "登录已过期",
                    "您的登录已过期，刚才提交的内容没有送达。请返回复制内容，重新登录后再提交。",
                ),
                (
                    "Your login has ended",
                    "What you just sent was not delivered. Go back to copy it, log in again, and send it once more.",
                ),
            ),
            Self::ConfirmLogout => (
                S::METHOD_NOT_ALLOWED,
                ("退出登录", "确定要退出登录吗？"),
                ("Log out", "Do you want to log out?"),
            ),
            Self::LoggedOut => (
                S::OK,
                ("已退出登录", "您已退出登录。"),
                ("Logged out", "You are logged out."),
            ),
            Self::AppDown => (
                S::BAD_GATEWAY,
                ("服务暂不可用", "网站暂时无法访问。请稍候刷新。"),
                (
                    "The site is down",
                    "The site cannot be reached at the moment. Please reload in a moment.",
                ),
            ),
            Self::AppSlow => (
                S::GATEWAY_TIMEOUT,
                ("服务响应超时", "网站没有及时响应。请稍候刷新。"),
                (
                    "The site is slow",
                    "The site did not answer in time. Please reload in a moment.",
                ),
            ),
            Self::NotFound => (
                S::NOT_FOUND,
                ("页面不存在", "这里没有内容。"),
                ("Not found", "There is nothing here."),
            ),
            Self::BadRequest => (
                S::BAD_REQUEST,
                ("无法理解的请求", "地址或请求有误。"),
                ("Bad request", "The address or the request is not valid."),
            ),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                ("不支持的请求方式", "此地址不支持这种请求方式。"),
                (
                    "Method not allowed",
                    "This address does not take such a request.",
                ),
            ),
            Self::RequestSlow => (
                S::REQUEST_TIMEOUT,
                ("请求超时", "请求没有及时送达。请检查网络后再试。"),
                (
                    "The request was too slow",
                    "Your request did not arrive in time. Please check your connection and try again.",
                ),
            ),
            Self::ForeignOrigin => (
                S::FORBIDDEN,
                ("来源不符", "此连接来自其他网站。"),
                (
                    "Another site",
                    "This connection was asked for by a page of another site.",
                ),
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                ("出错了", "网关发生错误。请稍候再试。"),
                (
                    "Something went wrong",
                    "The gateway made a mistake. Please try again in a moment.",
                ),
            ),
        };
        Words { status, zh, en }
    }

    /// The name of this trouble in the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::OutsideWeChat => "outside_wechat",
            Self::Refused => "refused_at_wechat",
            Self::CookieMissing => "login_cookie_missing",
            Self::SessionNotKept => "session_not_kept",
            Self::CodeNotTaken => "code_not_taken",
            Self::NoAnswer => "wechat_no_answer",
            Self::Unreachable => "wechat_unreachable",
            Self::AccountBroken => "account_broken",
            Self::Quota => "wechat_quota",
            Self::Barred => "visitor_barred",
            Self::Snapshot => "snapshot_visitor",
            Self::GrantedLess => "granted_less",
            Self::SessionEnded => "session_ended",
            Self::ConfirmLogout => "confirm_logout",
            Self::LoggedOut => "logged_out",
            Self::AppDown => "app_down",
            Self::AppSlow => "app_slow",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestSlow => "request_slow",
            Self::ForeignOrigin => "foreign_origin",
            Self::Internal => "internal",
        }
    }
}

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
        match self.trouble {
            Trouble::Quota => reply.with_header(header::RETRY_AFTER, "60"),
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
