//! An account (公众号, 网站应用, an app of 企业微信) as the gateway knows it.
//!
//! Holds always: the callback's origin is one that WeChat would accept for
//! this kind of account, and the secret can be read by [`super::api`] alone.

use std::fmt;

use serde::Deserialize;
use url::Url;

use super::corp::Corp;
use super::kind::Kind;
use crate::origin::{PublicOrigin, PublicScheme};
use crate::secret::Secret;

/// WeChat's host for pages that browsers are sent to.
pub const OPEN_BASE_URL: &str = "https://open.weixin.qq.com";
/// WeChat's host for calls from servers.
pub const API_BASE_URL: &str = "https://api.weixin.qq.com";
/// WeChat's second host for the same calls.
pub const API_FALLBACK_URL: &str = "https://api2.weixin.qq.com";
/// WeCom's host for calls from servers.
pub const CORP_API_BASE_URL: &str = "https://qyapi.weixin.qq.com";

/// An appid: `wx` and 16 hexadecimal digits with WeChat, a CorpID (`ww…`) with
/// WeCom, other letters with a simulator. Public.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct AppId(String);

impl AppId {
    /// The appid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppId {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=64).contains(&found.len()) && found.bytes().all(allowed) {
            Ok(Self(found))
        } else {
            Err(format!(
                "found \"{found}\"; expected the account's AppID, such as \"wx1234567890abcdef\""
            ))
        }
    }
}

/// A base URL of WeChat's (or the simulator's): scheme and authority, no path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(String);

impl BaseUrl {
    /// One of the constants above.
    pub fn wechat(url: &'static str) -> Self {
        Self(url.to_owned())
    }

    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether calls go over TLS.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "found \"{found}\"; expected a base URL without a path, such as \"{API_BASE_URL}\""
            )
        };
        let url = Url::parse(&found).map_err(|_| expected())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let known = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        if !bare || !known || !url.username().is_empty() || url.password().is_some() {
            return Err(expected());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// The file that WeChat, or WeCom, fetches from a domain's root to see who owns
/// it: its name and its content are both made of the same 16 characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VerifyFile(String);

impl VerifyFile {
    /// `MP_verify_….txt`, or WeCom's `WW_verify_….txt`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The 16 characters that WeChat expects to read.
    pub fn content(&self) -> &str {
        Self::core(&self.0).unwrap_or_default()
    }

    fn core(name: &str) -> Option<&str> {
        let rest = name.strip_prefix("MP_verify_");
        rest.or_else(|| name.strip_prefix("WW_verify_"))?
            .strip_suffix(".txt")
    }
}

impl TryFrom<String> for VerifyFile {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let good = Self::core(&found).is_some_and(|core| {
            core.len() == 16 && core.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if good {
            Ok(Self(found))
        } else {
            Err(format!(
                "found \"{found}\"; expected the name of the file as WeChat's console gives it, such as \"MP_verify_AbCdEfGhIjKlMnOp.txt\", or WeCom's, such as \"WW_verify_AbCdEfGhIjKlMnOp.txt\""
            ))
        }
    }
}

/// The language of what WeChat says of a visitor.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum Lang {
    /// 简体中文.
    #[default]
    #[serde(rename = "zh_CN")]
    Simplified,
    /// 繁體中文.
    #[serde(rename = "zh_TW")]
    Traditional,
    /// English.
    #[serde(rename = "en")]
    English,
}

impl Lang {
    /// The name WeChat knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simplified => "zh_CN",
            Self::Traditional => "zh_TW",
            Self::English => "en",
        }
    }
}

/// What the browser's hop to WeChat may ask for besides. Off unless asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopOptions {
    /// `forcePopup`: the consent window comes even where WeChat would not ask.
    pub force_popup: bool,
    /// `forceSnapShot`: the visitor sees the snapshot page first.
    pub force_snapshot: bool,
    /// `connect_redirect`: not in WeChat's documentation; large SDKs send it
    /// against a doubled callback on Android.
    pub connect_redirect: bool,
}

/// One account, ready to log visitors in.
#[derive(Clone)]
pub struct Account {
    pub(super) kind: Kind,
    pub(super) app_id: AppId,
    /// `None` where another gateway holds it: no call is made then.
    pub(super) app_secret: Option<Secret>,
    pub(super) callback_origin: PublicOrigin,
    pub(super) open_base: BaseUrl,
    pub(super) api_bases: Vec<BaseUrl>,
    pub(super) lang: Lang,
    pub(super) hop: HopOptions,
    /// Its token at WeCom, where it is of that kind.
    pub(super) corp: Corp,
}

/// What an [`Account`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// What kind of account it is.
    pub kind: Kind,
    /// The AppID; a corp's CorpID.
    pub app_id: AppId,
    /// The AppSecret.
    pub app_secret: Secret,
    /// The 网页授权域名 with its scheme.
    pub callback_origin: PublicOrigin,
    /// Where browsers are sent.
    pub open_base: BaseUrl,
    /// Where calls go.
    pub api_base: BaseUrl,
    /// Where a call goes when nothing could be sent to `api_base`.
    pub api_fallback: Option<BaseUrl>,
    /// The language of profiles.
    pub lang: Lang,
    /// What the browser's hop asks for besides.
    pub hop: HopOptions,
}

/// Why WeChat would refuse this callback origin on its own page (10003), where
/// the gateway learns nothing of it.
#[derive(Debug, thiserror::Error)]
#[error(
    "found \"{found}\"; expected https, no IP address and, unless kind = \"wecom\", no port, such as \"https://shop.example.com\": WeChat takes {what} from a test account alone (sandbox = true)"
)]
pub struct CallbackOriginError {
    found: String,
    what: &'static str,
}

/// Whether WeChat would take `origin` for callbacks of an account of `kind`. To
/// WeCom a port is a part of the domain.
///
/// # Errors
/// When it would not, and why.
pub fn acceptable_origin(
    origin: &PublicOrigin,
    kind: Kind,
    sandbox: bool,
) -> Result<(), CallbackOriginError> {
    let what = match origin {
        _ if sandbox => return Ok(()),
        origin if origin.scheme() != PublicScheme::Https => "http",
        origin if origin.port().is_some() && !matches!(kind, Kind::WeCom(_)) => "a port",
        origin if origin.is_address() => "an IP address",
        _ => return Ok(()),
    };
    Err(CallbackOriginError {
        found: origin.as_str().to_owned(),
        what,
    })
}

impl Account {
    /// The account of `parts`, whose origin is an [`acceptable_origin`].
    pub fn new(parts: Parts) -> Self {
        Self {
            kind: parts.kind,
            app_id: parts.app_id,
            app_secret: Some(parts.app_secret),
            callback_origin: parts.callback_origin,
            open_base: parts.open_base,
            api_bases: std::iter::once(parts.api_base)
                .chain(parts.api_fallback)
                .collect(),
            lang: parts.lang,
            hop: parts.hop,
            corp: Corp::new(),
        }
    }

    /// The account of `app_id` whose secret another gateway holds, at `origin`: it
    /// can name the account, and ask WeChat nothing.
    pub fn held_elsewhere(kind: Kind, app_id: AppId, origin: PublicOrigin) -> Self {
        Self {
            kind,
            app_id,
            app_secret: None,
            callback_origin: origin,
            open_base: BaseUrl::wechat(OPEN_BASE_URL),
            api_bases: Vec::new(),
            lang: Lang::default(),
            hop: HopOptions::default(),
            corp: Corp::new(),
        }
    }

    /// What kind of account it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The AppID.
    pub fn app_id(&self) -> &AppId {
        &self.app_id
    }

    /// Whether `other` is this account's AppSecret.
    pub fn has_secret(&self, other: &Secret) -> bool {
        (self.app_secret.as_ref()).is_some_and(|own| own.same(other))
    }

    /// Where calls go, in the order in which they are tried.
    pub fn api_bases(&self) -> &[BaseUrl] {
        &self.api_bases
    }

    /// The origin that WeChat sends visitors back to.
    pub fn callback_origin(&self) -> &PublicOrigin {
        &self.callback_origin
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.app_id.as_str())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::wechat) fn account(origin: &str) -> Account {
        Account::new(Parts {
            kind: Kind::Official,
            app_id: AppId::try_from("wx1234567890abcdef".to_owned()).unwrap(),
            app_secret: Secret::new("0123456789abcdef".to_owned()),
            callback_origin: PublicOrigin::try_from(origin.to_owned()).unwrap(),
            open_base: BaseUrl::wechat(OPEN_BASE_URL),
            api_base: BaseUrl::wechat(API_BASE_URL),
            api_fallback: None,
            lang: Lang::default(),
            hop: HopOptions::default(),
        })
    }

    #[test]
    fn what_wechat_would_answer_with_10003_is_refused_beforehand() {
        let of = |text: &str| PublicOrigin::try_from(text.to_owned()).unwrap();
        let acceptable =
            |text: &str, sandbox| acceptable_origin(&of(text), Kind::Official, sandbox).is_ok();
        let wecom = Kind::WeCom(crate::wechat::AgentId::parse("1").unwrap());
        let port = of("https://shop.example.com:8443");
        assert!(acceptable_origin(&port, wecom, false).is_ok());
        assert!(acceptable_origin(&port, Kind::Website, false).is_err());
        assert!(acceptable_origin(&of("https://127.0.0.1"), wecom, false).is_err());
        assert!(acceptable_origin(&of("http://shop.example.com"), wecom, false).is_err());
        assert!(acceptable("https://shop.example.com", false));
        for wrong in [
            "http://shop.example.com",
            "https://shop.example.com:8443",
            "https://127.0.0.1",
        ] {
            assert!(!acceptable(wrong, false), "{wrong}");
            assert!(acceptable(wrong, true), "{wrong}");
        }
    }

    #[test]
    fn a_verify_file_is_named_after_its_content() {
        let file = VerifyFile::try_from("MP_verify_AbCdEfGhIjKlMnOp.txt".to_owned()).unwrap();
        assert_eq!(file.content(), "AbCdEfGhIjKlMnOp");
        let wecoms = VerifyFile::try_from("WW_verify_AbCdEfGhIjKlMnOp.txt".to_owned()).unwrap();
        assert_eq!(wecoms.content(), "AbCdEfGhIjKlMnOp");
        for wrong in [
            "MP_verify_.txt",
            "MP_verify_AbCdEfGhIjKlMnO/.txt",
            "AbCdEfGhIjKlMnOp.txt",
            "../MP_verify_AbCdEfGhIjKlMnOp.txt",
        ] {
            assert!(VerifyFile::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_base_url_has_no_path() {
        let base = |text: &str| BaseUrl::try_from(text.to_owned());
        assert_eq!(
            base("http://127.0.0.1:8080/").unwrap().as_str(),
            "http://127.0.0.1:8080"
        );
        for wrong in [
            "",
            "api.weixin.qq.com",
            "https://a/b",
            "https://a?b",
            "ftp://a",
            "https://u:p@a",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
