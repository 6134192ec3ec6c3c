//! What can go wrong for a visitor, and what they are told: the one place for
//! the texts of all pages.

use http::StatusCode;

/// What a visitor is told instead of being let in. Each has its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A browser that is not WeChat's.
    OutsideWeChat,
    /// A browser that is not WeCom's.
    OutsideWeCom,
    /// A browser that is neither WeChat's nor WeCom's.
    OutsideBoth,
    /// WeChat's or WeCom's browser, where an ordinary one is needed.
    OpenInBrowser,
    /// WeCom's browser, where WeChat's or an ordinary one is needed.
    WeChatOrBrowser,
    /// WeChat's browser, where WeCom's or an ordinary one is needed.
    WeComOrBrowser,
    /// Somebody who is not of the corp.
    NotAMember,
    /// The same, where another browser has an account for them.
    NotAMemberHere,
    /// The visitor refused at WeChat.
    Refused,
    /// The login's cookie did not come back.
    CookieMissing,
    /// What one host gave for another does not let in, several times.
    SignOnFailed,
    /// Another gateway sent the visitor here to log in, and may not.
    ClientRefused,
    /// Logins succeed and the session does not stay.
    SessionNotKept,
    /// WeChat took none of several codes.
    CodeNotTaken,
    /// WeChat gave no answer that could be used, several times.
    NoAnswer,
    /// WeChat cannot be reached at all.
    Unreachable,
    /// WeChat takes the AppSecret for wrong.
    SecretWrong,
    /// WeChat takes the AppID for wrong.
    AppIdWrong,
    /// WeChat does not take calls from this machine's address.
    AddressRefused,
    /// WeChat has taken the api away from the account.
    ApiBanned,
    /// The account has no right to what the route asks for.
    NotEntitled,
    /// WeChat says no, with a number that is not known.
    AccountBroken,
    /// WeCom says no, for what only its operator can mend.
    CorpBroken,
    /// WeChat gave no unionid, which the route needs.
    NoUnionId,
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
    /// A form was sent to a route with `pay_account` before it is known who pays.
    NoPayer,
    /// `logout` was opened as a page.
    ConfirmLogout,
    /// The visitor has logged out.
    LoggedOut,
    /// The app cannot be reached.
    AppDown,
    /// The app is out, as the checks of its health say.
    AppOut,
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
    /// A body larger than the route takes.
    BodyTooLarge,
    /// One address starts or ends too many logins.
    TooOften,
    /// Too many logins wait for WeChat.
    Busy,
    /// The visitor is asked before WeChat asks.
    AskConsent,
    /// On the way to WeChat; the address's fragment is kept.
    KeepFragment,
    /// Back from WeChat; the fragment is put back.
    PutBackFragment,
    /// The store does not answer, and it is needed.
    StoreDown,
    /// Logged out here, and perhaps not yet everywhere.
    LogoutPending,
    /// A snapshot page's visitor wants to change something.
    SnapshotReadOnly,
    /// An app's link to the facade is not one that WeChat would take.
    AppLink,
    /// An app sends a visitor to the facade again and again.
    AppLoops,
    /// A mistake of the gateway's own.
    Internal,
}

/// What a page says.
pub(super) struct Words {
    pub(super) status: StatusCode,
    /// Title and text.
    pub(super) zh: (&'static str, &'static str),
    /// Title and text.
    pub(super) en: (&'static str, &'static str),
}

impl Trouble {
    /// Whether the visitor is to open the same address in another browser.
    pub fn leads_elsewhere(self) -> bool {
        matches!(
            self,
            Self::OutsideWeChat
                | Self::OutsideWeCom
                | Self::OutsideBoth
                | Self::OpenInBrowser
                | Self::WeChatOrBrowser
                | Self::WeComOrBrowser
        )
    }

    /// The title of its page, in English.
    pub fn title(self) -> &'static str {
        self.words().en.0
    }

    /// Its status and words, in Chinese and English.
    pub(super) fn words(self) -> Words {
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
            Self::OutsideWeCom => (
                S::FORBIDDEN,
                (
                    "请在企业微信中打开",
                    "本页面需要企业微信登录。请用企业微信扫描二维码，或在企业微信中打开下面的地址。",
                ),
                (
                    "Please open in WeCom",
                    "This page needs a WeCom login. Scan the code with WeCom, or open the address below in WeCom.",
                ),
            ),
            Self::OutsideBoth => (
                S::FORBIDDEN,
                (
                    "请在微信或企业微信中打开",
                    "本页面需要微信或企业微信登录。请用其中之一扫描二维码，或在其中打开下面的地址。",
                ),
                (
                    "Please open in WeChat or WeCom",
                    "This page needs a login with WeChat or WeCom. Scan the code with one of them, or open the address below in it.",
                ),
            ),
            Self::OpenInBrowser => (
                S::FORBIDDEN,
                (
                    "请在浏览器中打开",
                    "本页面在电脑浏览器中用微信扫码登录，不能在这里登录。请在浏览器中打开下面的地址（右上角“…”菜单可选择在浏览器中打开）。",
                ),
                (
                    "Please open in a browser",
                    "This page's login is a code that you scan with WeChat, shown in a desktop browser; it cannot be done here. Open the address below in a browser (the menu at the top right can do so).",
                ),
            ),
            Self::WeChatOrBrowser => (
                S::FORBIDDEN,
                (
                    "请在微信或浏览器中打开",
                    "本页面不能在这里登录。请用微信扫描二维码，或在微信、电脑浏览器中打开下面的地址。",
                ),
                (
                    "Please open in WeChat or a browser",
                    "You cannot log in to this page here. Scan the code with WeChat, or open the address below in WeChat or in a desktop browser.",
                ),
            ),
            Self::WeComOrBrowser => (
                S::FORBIDDEN,
                (
                    "请在企业微信或浏览器中打开",
                    "本页面不能在这里登录。请用企业微信扫描二维码，或在企业微信、电脑浏览器中打开下面的地址。",
                ),
                (
                    "Please open in WeCom or a browser",
                    "You cannot log in to this page here. Scan the code with WeCom, or open the address below in WeCom or in a desktop browser.",
                ),
            ),
            Self::NotAMember => (
                S::FORBIDDEN,
                (
                    "本页面只对企业成员开放",
                    "您的企业微信账号不是本企业的成员，因此无法登录。请在企业微信中切换到该企业，然后再试一次。",
                ),
                (
                    "This page is for members of the company",
                    "WeCom says that your account is not one of this company's, so we cannot let you in. Switch to the company in WeCom, then try again.",
                ),
            ),
            Self::NotAMemberHere => (
                S::FORBIDDEN,
                (
                    "企业微信登录只对企业成员开放",
                    "您的企业微信账号不是本企业的成员，因此不能在这里登录。请用微信扫描二维码，或在微信、电脑浏览器中打开下面的地址；也可在企业微信中切换到该企业，然后再试一次。",
                ),
                (
                    "In WeCom this page is for members of the company",
                    "WeCom says that your account is not one of this company's. Scan the code with WeChat, or open the address below in WeChat or in a desktop browser; or switch to the company in WeCom, then try again.",
                ),
            ),
            Self::CorpBroken => (
                S::BAD_GATEWAY,
                (
                    "企业微信应用设置有误",
                    "企业微信拒绝了本站的调用。请联系网站管理员，并告知下面的编号：网关日志写明了原因和修改位置。",
                ),
                (
                    "This site's WeCom app is set up wrongly",
                    "Only the site's operator can mend this; please report the numbers below. The gateway's log says what is wrong, and where to mend it.",
                ),
            ),
            Self::NoUnionId => (
                S::BAD_GATEWAY,
                (
                    "本站账号设置有误：UnionID",
                    "微信没有给出 UnionID，因此无法登录。请联系网站管理员，并告知下面的编号：需在微信开放平台（open.weixin.qq.com）“管理中心”绑定本站的账号。",
                ),
                (
                    "This site's account gives no UnionID",
                    "Only the site's operator can mend this; please report the number below. The account must be bound to an open platform account (open.weixin.qq.com, 管理中心).",
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
            Self::SignOnFailed => (
                S::FORBIDDEN,
                (
                    "无法在本站登录",
                    "登录凭据已经用过、已过期，或来自另一台设备。请重新登录。",
                ),
                (
                    "The login did not reach this site",
                    "What was to log you in here was used already, is too old, or came from another device. Please log in again.",
                ),
            ),
            Self::ClientRefused => (
                S::FORBIDDEN,
                (
                    "此网关未获准使用本站登录",
                    "您从一个开发或测试网关来到这里，但本站不认识它或它的地址。请联系其管理员：原因见本站网关的日志。",
                ),
                (
                    "That gateway may not log you in here",
                    "A development or test gateway sent you here, and this site does not know it or its address. Please tell its operator: the reason stands in the log of this site's gateway.",
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
            Self::SecretWrong => (
                S::BAD_GATEWAY,
                (
                    "本站账号设置有误：AppSecret",
                    "微信不接受本站的 AppSecret。请联系网站管理员，并告知下面的编号：核对 AppSecret（公众号：微信公众平台“基本配置”；网站应用：微信开放平台“管理中心 > 网站应用”），再改正 gateway.toml 中 [accounts] 的 app_secret。",
                ),
                (
                    "This site's AppSecret is wrong",
                    "Only the site's operator can mend this; please report the numbers below. Compare the AppSecret in WeChat's console (基本配置; of a website: 微信开放平台, 网站应用) with app_secret of [accounts] in gateway.toml.",
                ),
            ),
            Self::AppIdWrong => (
                S::BAD_GATEWAY,
                (
                    "本站账号设置有误：AppID",
                    "微信不认识本站的 AppID。请联系网站管理员，并告知下面的编号：核对 AppID（公众号：微信公众平台“基本配置”；网站应用：微信开放平台“管理中心 > 网站应用”），再改正 gateway.toml 中 [accounts] 的 app_id。",
                ),
                (
                    "This site's AppID is wrong",
                    "Only the site's operator can mend this; please report the numbers below. Compare the AppID in WeChat's console (基本配置; of a website: 微信开放平台, 网站应用) with app_id of [accounts] in gateway.toml.",
                ),
            ),
            Self::AddressRefused => (
                S::BAD_GATEWAY,
                (
                    "本站账号设置有误：IP 白名单",
                    "微信不接受来自本站服务器的调用。请联系网站管理员，并告知下面的编号：在微信公众平台“基本配置 > IP白名单”加入服务器的出口地址，该地址见网关日志；gateway.toml 无需改动。",
                ),
                (
                    "WeChat takes no calls from this site's server",
                    "Only the site's operator can mend this; please report the numbers below. Add the server's outgoing address, which the gateway's log tells, to the list in WeChat's console (基本配置 > IP白名单); nothing in gateway.toml is to be changed.",
                ),
            ),
            Self::ApiBanned => (
                S::BAD_GATEWAY,
                (
                    "本站账号的接口被封禁",
                    "微信停用了本站账号的接口。请联系网站管理员，并告知下面的编号：原因见微信公众平台（网站应用：微信开放平台）“通知中心”；也可在 gateway.toml 的 [accounts] 换用其他账号（app_id）。",
                ),
                (
                    "WeChat has banned this site's account from its api",
                    "Only the site's operator can mend this; please report the numbers below. The reason stands in WeChat's console (通知中心); another account can be set in [accounts] of gateway.toml (app_id).",
                ),
            ),
            Self::NotEntitled => (
                S::BAD_GATEWAY,
                (
                    "本站账号没有此项权限",
                    "微信没有给本站账号这项权限。请联系网站管理员，并告知下面的编号：公众号需为已认证的服务号，见微信公众平台“接口权限 > 网页授权”，也可将 gateway.toml 中 [[routes]] 的 scope 改为 snsapi_base；网站应用需通过审核并获得微信登录，见微信开放平台“管理中心 > 网站应用”。",
                ),
                (
                    "This site's account may not ask for this",
                    "Only the site's operator can mend this; please report the numbers below. A 公众号 must be a verified 服务号, see WeChat's console (接口权限 > 网页授权), or scope = \"snsapi_base\" of [[routes]] in gateway.toml asks for less; a website must be approved for the WeChat login (微信开放平台, 网站应用).",
                ),
            ),
            Self::AccountBroken => (
                S::BAD_GATEWAY,
                (
                    "微信拒绝了登录",
                    "微信拒绝了本站的登录请求，原因不明。请联系网站管理员，并告知下面的编号：其含义见微信文档“全局返回码”，并请核对微信公众平台“基本配置”（网站应用：微信开放平台）与 gateway.toml 的 [accounts]。",
                ),
                (
                    "WeChat refused the login",
                    "WeChat gave a number that is not known here. Please report the numbers below to the site's operator: WeChat's page 全局返回码 explains it; compare its console (基本配置; of a website: 微信开放平台) with [accounts] in gateway.toml.",
                ),
            ),
            Self::Quota => (
                S::SERVICE_UNAVAILABLE,
                (
                    "登录人数过多",
                    "微信暂不接受更多登录。已登录的访客不受影响，请稍后再试。",
                ),
                (
                    "Too many logins",
                    "WeChat takes no more logins for the moment. Whoever is logged in is not affected; please try again later.",
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
            Self::NoPayer => (
                S::UNAUTHORIZED,
                (
                    "支付前还需一步",
                    "您的登录仍然有效，但支付还需要确认一次您的微信身份，刚才提交的内容没有送达。请返回复制内容，继续完成这一步后再提交。",
                ),
                (
                    "One more step before the payment",
                    "You are logged in, but to pay, WeChat must be asked once more who you are; what you just sent was not delivered. Go back to copy it, continue to make this step, and send it once more.",
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
            Self::AppOut => (
                S::SERVICE_UNAVAILABLE,
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
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                ("内容过大", "提交的内容超过了本页面的限制。请减小后再试。"),
                (
                    "Too large",
                    "What you sent is larger than this page takes. Please make it smaller and try again.",
                ),
            ),
            Self::TooOften => (
                S::TOO_MANY_REQUESTS,
                ("登录过于频繁", "您所在的网络登录次数过多。请一分钟后再试。"),
                (
                    "Too many logins from here",
                    "There were too many logins from your network. Please try again in a minute.",
                ),
            ),
            Self::Busy => (
                S::SERVICE_UNAVAILABLE,
                ("登录排队中", "当前登录人数过多。请稍候再试。"),
                (
                    "Many are logging in",
                    "Too many visitors are logging in at this moment. Please try again in a few seconds.",
                ),
            ),
            Self::AskConsent => (
                S::UNAUTHORIZED,
                (
                    "需要您的微信资料",
                    "本页面需要您的微信昵称和头像。点击“继续”后，微信会询问您是否同意。",
                ),
                (
                    "This page asks for your WeChat profile",
                    "It needs your nickname and avatar. Tap Continue, and WeChat will ask whether you agree.",
                ),
            ),
            Self::KeepFragment => (
                S::UNAUTHORIZED,
                ("正在登录", "正在前往微信登录。如果没有反应，请点击“继续”。"),
                (
                    "Logging in",
                    "On the way to WeChat. If nothing happens, tap Continue.",
                ),
            ),
            Self::PutBackFragment => (
                S::OK,
                ("登录成功", "正在返回。如果没有反应，请点击“继续”。"),
                (
                    "Logged in",
                    "On the way back. If nothing happens, tap Continue.",
                ),
            ),
            Self::StoreDown => (
                S::SERVICE_UNAVAILABLE,
                (
                    "暂时无法确认登录",
                    "本站暂时无法确认您的登录状态。请稍候再试。",
                ),
                (
                    "Your login cannot be confirmed",
                    "This site cannot confirm logins at the moment. Please try again in a few seconds.",
                ),
            ),
            Self::LogoutPending => (
                S::SERVICE_UNAVAILABLE,
                (
                    "退出尚未完成",
                    "此浏览器已退出登录，但服务器尚未全部确认，将自动完成。如有疑虑，请稍候重新登录后再退出一次。",
                ),
                (
                    "Not logged out everywhere yet",
                    "This browser is logged out. Our servers have not all confirmed it yet and will do so by themselves. If in doubt, log in again later and log out once more.",
                ),
            ),
            Self::SnapshotReadOnly => (
                S::FORBIDDEN,
                (
                    "快照页只能浏览",
                    "您正在浏览快照页，不能提交内容。请点击页面下方的“使用完整服务”，然后再试一次。",
                ),
                (
                    "A snapshot page can only be read",
                    "This is a snapshot page, where nothing can be sent. Tap 使用完整服务 (use the full service) at the bottom of the screen, then try again.",
                ),
            ),
            Self::AppLink => (
                S::BAD_REQUEST,
                (
                    "应用的微信登录链接有误",
                    "请联系应用的开发者，并告知下面的编号。10003：redirect_uri 不在 callback_origins 中；10005、10010：scope；10011：redirect_uri 为空；10012、40013：appid；10013：state 须为 1 至 128 个字母或数字；没有 errcode：参数重复、response_type 不是 code，或链接过长。",
                ),
                (
                    "This app's link for the WeChat login is wrong",
                    "Only the app's developer can mend this; please report the number below. 10003: redirect_uri is at none of callback_origins; 10005, 10010: scope; 10011: no redirect_uri; 10012, 40013: appid; 10013: state must be 1 to 128 letters or digits; no errcode: a parameter stands twice, response_type is not code, or the link is too long.",
                ),
            ),
            Self::AppLoops => (
                S::TOO_MANY_REQUESTS,
                (
                    "应用反复要求登录",
                    "微信登录成功了，但应用一再要求重新登录。请允许该应用使用 Cookie，稍后再试。",
                ),
                (
                    "The app asks for a login again and again",
                    "WeChat logged you in, and the app keeps sending you back. Please allow cookies for the app, and try again in a minute.",
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
            Self::OutsideWeCom => "outside_wecom",
            Self::OutsideBoth => "outside_wechat_and_wecom",
            Self::OpenInBrowser => "open_in_browser",
            Self::WeChatOrBrowser => "open_in_wechat_or_browser",
            Self::WeComOrBrowser => "open_in_wecom_or_browser",
            Self::NotAMember => "not_a_member",
            Self::NotAMemberHere => "not_a_member_in_wecom",
            Self::Refused => "refused_at_wechat",
            Self::CookieMissing => "login_cookie_missing",
            Self::SignOnFailed => "sign_on_failed",
            Self::ClientRefused => "client_refused",
            Self::SessionNotKept => "session_not_kept",
            Self::CodeNotTaken => "code_not_taken",
            Self::NoAnswer => "wechat_no_answer",
            Self::Unreachable => "wechat_unreachable",
            Self::SecretWrong => "app_secret_wrong",
            Self::AppIdWrong => "app_id_wrong",
            Self::AddressRefused => "address_not_allowed",
            Self::ApiBanned => "api_banned",
            Self::NotEntitled => "account_not_entitled",
            Self::AccountBroken => "account_broken",
            Self::CorpBroken => "wecom_broken",
            Self::NoUnionId => "no_unionid",
            Self::Quota => "wechat_quota",
            Self::Barred => "visitor_barred",
            Self::Snapshot => "snapshot_visitor",
            Self::GrantedLess => "granted_less",
            Self::SessionEnded => "session_ended",
            Self::NoPayer => "no_payer",
            Self::ConfirmLogout => "confirm_logout",
            Self::LoggedOut => "logged_out",
            Self::AppDown => "app_down",
            Self::AppOut => "app_out",
            Self::AppSlow => "app_slow",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestSlow => "request_slow",
            Self::ForeignOrigin => "foreign_origin",
            Self::BodyTooLarge => "body_too_large",
            Self::TooOften => "too_many_logins_from_address",
            Self::Busy => "too_many_logins_in_flight",
            Self::AskConsent => "consent_page",
            Self::KeepFragment => "keep_fragment",
            Self::PutBackFragment => "fragment_put_back",
            Self::StoreDown => "store_down",
            Self::LogoutPending => "logout_pending",
            Self::SnapshotReadOnly => "snapshot_read_only",
            Self::AppLink => "app_link",
            Self::AppLoops => "app_loops",
            Self::Internal => "internal",
        }
    }
}
