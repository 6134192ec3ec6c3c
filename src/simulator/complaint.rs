//! What WeChat's own error pages say about an authorize link.
//!
//! What always holds: the texts are constants. What the link said is shown
//! nowhere, so that a page made of someone else's link carries nothing of it.

/// Why WeChat shows an error page in place of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// The link does not match WeChat's regular expression.
    Shape(&'static str),
    /// No account here has this appid.
    UnknownAppid,
    /// 10003: the callback is not on a configured host.
    Host(&'static str),
    /// 10005: the account may not ask for this scope.
    ScopeNotGranted,
    /// 10009: too many authorizes, as a login loop makes them.
    TooFrequent,
    /// 10010
    EmptyScope,
    /// 10011
    EmptyRedirectUri,
    /// 10012
    EmptyAppid,
    /// 10013
    EmptyState,
    /// 10016: a website's appid where an official account's is needed.
    OfWebsite,
    /// The desktop login was opened inside WeChat, where it cannot work.
    InsideWechat,
    /// A corp's login was opened elsewhere than in WeCom.
    OutsideWecom,
}

impl Complaint {
    /// WeChat's number for it, where it has one.
    pub(super) fn code(self) -> Option<u32> {
        match self {
            Complaint::Host(_) => Some(10003),
            Complaint::ScopeNotGranted => Some(10005),
            Complaint::TooFrequent => Some(10009),
            Complaint::EmptyScope => Some(10010),
            Complaint::EmptyRedirectUri => Some(10011),
            Complaint::EmptyAppid => Some(10012),
            Complaint::EmptyState => Some(10013),
            Complaint::OfWebsite => Some(10016),
            Complaint::Shape(_)
            | Complaint::UnknownAppid
            | Complaint::InsideWechat
            | Complaint::OutsideWecom => None,
        }
    }

    /// One word for counters and events.
    pub(super) fn outcome(self) -> String {
        match (self, self.code()) {
            (_, Some(code)) => code.to_string(),
            (Complaint::UnknownAppid, _) => "unknown appid".to_owned(),
            (Complaint::InsideWechat, _) => "inside WeChat".to_owned(),
            (Complaint::OutsideWecom, _) => "outside WeCom".to_owned(),
            _ => "malformed".to_owned(),
        }
    }

    /// WeChat's line.
    pub(super) fn chinese(self) -> &'static str {
        match self {
            Complaint::Shape(_) => "链接参数错误",
            Complaint::UnknownAppid => "AppID 参数错误",
            Complaint::Host(_) => "redirect_uri 域名与后台配置不一致",
            Complaint::ScopeNotGranted => "该公众号没有这些 scope 的权限",
            Complaint::TooFrequent => "操作太频繁，请稍后再试",
            Complaint::EmptyScope => "scope 不能为空",
            Complaint::EmptyRedirectUri => "redirect_uri 不能为空",
            Complaint::EmptyAppid => "appid 不能为空",
            Complaint::EmptyState => "state 不能为空",
            Complaint::OfWebsite => "请使用公众号的 AppID",
            Complaint::InsideWechat => "请在电脑浏览器中打开链接",
            Complaint::OutsideWecom => "请在企业微信客户端打开链接",
        }
    }

    /// The same for those who do not read Chinese, with what to correct.
    pub(super) fn english(self) -> &'static str {
        match self {
            Complaint::Shape(why) | Complaint::Host(why) => why,
            Complaint::UnknownAppid => "no account of this simulator has this appid",
            Complaint::ScopeNotGranted => {
                "the account has no right to this scope (userinfo_granted is off)"
            }
            Complaint::TooFrequent => {
                "too many authorizes in a short time, which is what a login loop looks like"
            }
            Complaint::EmptyScope => "scope is empty or missing",
            Complaint::EmptyRedirectUri => "redirect_uri is empty or missing",
            Complaint::EmptyAppid => "appid is empty or missing",
            Complaint::EmptyState => "state is empty or missing",
            Complaint::OfWebsite => {
                "a website's appid (网站应用) is for qrconnect, not for this page"
            }
            Complaint::OutsideWecom => "a corp's login (agentid) works in WeCom's browser alone",
            Complaint::InsideWechat => {
                "qrconnect is for desktop browsers and useless inside WeChat"
            }
        }
    }
}
