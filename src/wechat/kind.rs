//! What kind of account logs a visitor in, and which kind a browser can use.
//!
//! Holds always: each kind is for one kind of browser, and each kind of browser
//! for one kind of account; a user agent is a hint, and nothing is proved by it.
//!
//! Source: WeChat's pages "网页授权" and "网站应用微信登录", WeCom's page "构造网页授权链接".

use std::fmt;

use serde::{Deserialize, Serialize};

use super::authorize::Scope;

/// The number of an app in its corp: WeCom's `agentid`, such as 1000002.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgentId(u64);

impl AgentId {
    /// The number that `text` is, if it is one as WeCom writes it. None is 0.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        (plain && !text.starts_with('0'))
            .then(|| text.parse().ok().map(Self))
            .flatten()
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What kind of account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// 公众号: for WeChat's own browser.
    Official,
    /// 网站应用: a page with a code to scan, for ordinary browsers.
    Website,
    /// An app of 企业微信 (WeCom): for WeCom's browser.
    WeCom(AgentId),
}

impl Kind {
    /// What `gateway.toml` calls them.
    const NAMES: [&str; 3] = ["official", "website", "wecom"];

    /// The one of these names that `text` is.
    pub fn known_name(text: &str) -> Option<&'static str> {
        Self::NAMES.into_iter().find(|name| *name == text)
    }

    /// As `gateway.toml` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::Website => "website",
            Self::WeCom(_) => "wecom",
        }
    }

    /// The browser that it is for.
    pub fn browser(self) -> Browser {
        match self {
            Self::Official => Browser::WeChat,
            Self::Website => Browser::Other,
            Self::WeCom(_) => Browser::WeCom,
        }
    }

    /// What WeChat calls what a visitor grants of whom `scope` is asked here: at a
    /// website there is one scope, which includes the profile; WeCom is asked for
    /// no profile.
    pub fn scope_name(self, scope: Scope) -> &'static str {
        match self {
            Self::Official => scope.as_str(),
            Self::Website => "snsapi_login",
            Self::WeCom(_) => Scope::Base.as_str(),
        }
    }

    /// What can be asked for at most: a member of a corp has no profile here.
    pub fn most(self, scope: Scope) -> Scope {
        match self {
            Self::Official | Self::Website => scope,
            Self::WeCom(_) => Scope::Base,
        }
    }
}

/// What a browser says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// WeChat's own.
    WeChat,
    /// WeCom's, which says that it is WeChat's too.
    WeCom,
    /// Any other.
    Other,
}

impl Browser {
    /// The browser whose `User-Agent` is `agent`.
    pub fn of(agent: &[u8]) -> Self {
        let agent = agent.to_ascii_lowercase();
        let says = |word: &[u8]| agent.windows(word.len()).any(|part| part == word);
        match () {
            () if says(b"wxwork") => Self::WeCom,
            () if says(b"micromessenger") => Self::WeChat,
            () => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wecoms_browser_is_not_wechats_though_it_says_so() {
        let of = |agent: &str| Browser::of(agent.as_bytes());
        assert_eq!(
            of("Mozilla/5.0 (iPhone) MicroMessenger/8.0.60"),
            Browser::WeChat
        );
        assert_eq!(of("x micromessenger/8"), Browser::WeChat);
        for wecom in [
            "Mozilla/5.0 (iPhone) wxwork/4.1 MicroMessenger/7.0.1",
            "Mozilla/5.0 (Windows) MicroMessenger/7.0.20 WXWork/4.1",
            "wxwork/4.1",
        ] {
            assert_eq!(of(wecom), Browser::WeCom, "{wecom}");
        }
        assert_eq!(of("Mozilla/5.0 Chrome/120"), Browser::Other);
        assert_eq!(of(""), Browser::Other);
        assert_eq!(Browser::of(b"\xff MicroMessenger"), Browser::WeChat);
    }

    #[test]
    fn every_kinds_name_is_known() {
        for kind in [
            Kind::Official,
            Kind::Website,
            Kind::WeCom(AgentId(1_000_002)),
        ] {
            assert_eq!(Kind::known_name(kind.name()), Some(kind.name()));
        }
        assert_eq!(Kind::known_name("Official"), None);
    }

    #[test]
    fn an_agents_number_has_one_spelling() {
        assert_eq!(AgentId::parse("1000002").unwrap().to_string(), "1000002");
        for wrong in [
            "",
            "0",
            "01",
            "+1",
            "-1",
            "1 ",
            "1e3",
            "ww1",
            "99999999999999999999999",
        ] {
            assert!(AgentId::parse(wrong).is_none(), "{wrong}");
        }
    }
}
