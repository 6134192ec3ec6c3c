//! The browser's hop to WeChat: the authorize URL, to the byte.
//!
//! Holds always: parameters in WeChat's order and case, the callback encoded
//! once with RFC 3986's unreserved characters alone left as they are, and the
//! `#wechat_redirect` at the end. WeChat matches the link with a regular
//! expression and shows an error page of its own when it differs.
//!
//! A website's visitors go to another page of the same host than an official
//! account's; a corp's to the same, with the app's number besides.
//!
//! Source: WeChat's page "网页授权", step 1; "网站应用微信登录", step 1; WeCom's page
//! "构造网页授权链接".

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::account::{Account, HopOptions};
use super::kind::Kind;

/// All but RFC 3986's unreserved characters.
pub const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a visitor is asked for. Ordered: the later includes the earlier. A website
/// asks with a scope of its own, `snsapi_login`, that includes both: there these say
/// what is fetched ([`Kind::scope_name`] is what WeChat calls it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// The openid, without the visitor noticing.
    #[default]
    #[serde(rename = "snsapi_base")]
    Base,
    /// The profile, after the visitor agreed.
    #[serde(rename = "snsapi_userinfo")]
    Userinfo,
}

impl Scope {
    /// The name WeChat knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "snsapi_base",
            Self::Userinfo => "snsapi_userinfo",
        }
    }
}

/// WeChat's `state`: 128 random bits and the number of this try, all in
/// `[A-Za-z0-9]`, for other characters come back changed.
///
/// The number lets a login stop that is sent round and round by a browser
/// without cookies, where nothing but the address travels along. Nothing
/// trusts it: who lowers it walks one more round themselves.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State(String);

const STATE_LEN: usize = 33;
const PIECE_LEN: usize = 8;

impl State {
    /// A new state for the try numbered `attempt`, from 0.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random(attempt: u8) -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)?;
        let attempt = attempt.min(9);
        Ok(Self(format!(
            "{:032x}{attempt}",
            u128::from_be_bytes(bytes)
        )))
    }

    /// A state as it came back; `None` when it was not made by
    /// [`State::random`].
    pub fn parse(text: &str) -> Option<Self> {
        let (random, attempt) = text.split_at_checked(STATE_LEN - 1)?;
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let ours = random.bytes().all(lower_hex)
            && attempt.len() == 1
            && attempt.bytes().all(|byte| byte.is_ascii_digit());
        ours.then(|| Self(text.to_owned()))
    }

    /// The state as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which try this is, from 0.
    pub fn attempt(&self) -> u8 {
        self.0
            .bytes()
            .last()
            .map_or(0, |digit| digit.wrapping_sub(b'0'))
    }

    /// The beginning, which names the login's cookie. It tells the browser's
    /// logins apart and proves nothing.
    pub fn piece(&self) -> &str {
        self.0.get(..PIECE_LEN).unwrap_or_default()
    }

    /// Whether `text` can be such a beginning.
    pub fn is_piece(text: &str) -> bool {
        text.len() == PIECE_LEN
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// Compares in constant time: whoever can guess it byte by byte could
    /// finish another person's login.
    pub fn same(&self, other: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), other.as_bytes());
        let differing = a.iter().zip(b).fold(0_u8, |seen, (x, y)| seen | (x ^ y));
        a.len() == b.len() && std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(…)")
    }
}

impl Account {
    /// Where to send the browser: `callback_path` begins with a slash and is
    /// put behind the account's callback origin.
    pub fn authorize_url(&self, callback_path: &str, scope: Scope, state: &State) -> String {
        let callback = format!("{}{callback_path}", self.callback_origin.as_str());
        let HopOptions {
            force_popup,
            force_snapshot,
            connect_redirect,
        } = self.hop;
        let wanted = |on: bool, parameter: &'static str| if on { parameter } else { "" };
        let (page, agent) = match self.kind {
            Kind::Official => ("oauth2/authorize", String::new()),
            Kind::Website => ("qrconnect", String::new()),
            Kind::WeCom(agent) => ("oauth2/authorize", format!("&agentid={agent}")),
        };
        format!(
            "{}/connect/{page}?appid={}&redirect_uri={}&response_type=code&scope={}&state={}{agent}{}{}{}#wechat_redirect",
            self.open_base.as_str(),
            self.app_id.as_str(),
            utf8_percent_encode(&callback, COMPONENT),
            self.kind.scope_name(scope),
            state.as_str(),
            wanted(force_popup, "&forcePopup=true"),
            wanted(force_snapshot, "&forceSnapShot=true"),
            wanted(connect_redirect, "&connect_redirect=1"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::tests::account;
    use super::*;

    #[test]
    fn the_authorize_url_is_wechats_to_the_byte() {
        let account = account("https://shop.example.com");
        let state = State::parse("00112233445566778899aabbccddeeff0").unwrap();
        assert_eq!(
            account.authorize_url("/.wxgate/callback", Scope::Base, &state),
            "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx1234567890abcdef\
             &redirect_uri=https%3A%2F%2Fshop.example.com%2F.wxgate%2Fcallback&response_type=code\
             &scope=snsapi_base&state=00112233445566778899aabbccddeeff0#wechat_redirect"
        );
    }

    #[test]
    fn each_kind_has_its_page_and_its_scope() {
        let mut account = account("https://shop.example.com");
        let state = State::parse("00112233445566778899aabbccddeeff0").unwrap();
        let middle = "appid=wx1234567890abcdef\
             &redirect_uri=https%3A%2F%2Fshop.example.com%2F.wxgate%2Fcallback&response_type=code";
        account.kind = Kind::Website;
        for scope in [Scope::Base, Scope::Userinfo] {
            assert_eq!(
                account.authorize_url("/.wxgate/callback", scope, &state),
                format!(
                    "https://open.weixin.qq.com/connect/qrconnect?{middle}\
                     &scope=snsapi_login&state=00112233445566778899aabbccddeeff0#wechat_redirect"
                )
            );
        }
        account.kind = Kind::WeCom(super::super::AgentId::parse("1000002").unwrap());
        for scope in [Scope::Base, Scope::Userinfo] {
            assert_eq!(
                account.authorize_url("/.wxgate/callback", scope, &state),
                format!(
                    "https://open.weixin.qq.com/connect/oauth2/authorize?{middle}\
                     &scope=snsapi_base&state=00112233445566778899aabbccddeeff0&agentid=1000002#wechat_redirect"
                )
            );
        }
    }

    #[test]
    fn what_is_asked_for_besides_stands_behind_the_state() {
        let mut account = account("https://shop.example.com");
        let state = State::parse("00112233445566778899aabbccddeeff0").unwrap();
        let ending = |account: &Account| {
            let url = account.authorize_url("/.wxgate/callback", Scope::Userinfo, &state);
            url.split_once("&state=").unwrap().1.to_owned()
        };
        account.hop.connect_redirect = true;
        assert_eq!(
            ending(&account),
            "00112233445566778899aabbccddeeff0&connect_redirect=1#wechat_redirect"
        );
        account.hop.force_popup = true;
        account.hop.force_snapshot = true;
        assert_eq!(
            ending(&account),
            "00112233445566778899aabbccddeeff0&forcePopup=true&forceSnapShot=true&connect_redirect=1#wechat_redirect"
        );
    }

    #[test]
    fn a_state_is_random_and_in_wechats_alphabet() {
        let one = State::random(2).unwrap();
        assert_ne!(one.as_str(), State::random(2).unwrap().as_str());
        assert!(
            one.as_str()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric())
        );
        assert_eq!(one.attempt(), 2);
        assert!(one.same(one.as_str()) && State::is_piece(one.piece()));
        assert!(!one.same(""));
        assert!(State::parse(one.as_str()).is_some());
        for wrong in [
            "",
            "0",
            &"0".repeat(34),
            &"G".repeat(33),
            &format!("{}x", "0".repeat(32)),
        ] {
            assert!(State::parse(wrong).is_none(), "{wrong}");
        }
    }
}
