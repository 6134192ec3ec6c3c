//! What an app's server is told: WeChat's JSON, and WeChat's numbers.
//!
//! Holds always: an error's text is a constant and the request's id, so that it
//! repeats nothing that was sent; a profile and a unionid are told with the scope for
//! them alone.

use serde_json::{Value, json};

use super::records::Given;
use crate::session::{Now, Sessions};
use crate::wechat::{OpenId, Scope};

/// Why an app's server gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The store does not answer.
    Busy,
    /// An access token that is none, or whose grant has ended.
    Token,
    /// A text that no access token can be.
    TokenMalformed,
    /// No access token.
    TokenMissing,
    /// An access token whose time is over.
    TokenExpired,
    /// Another `grant_type`.
    GrantType,
    /// Another visitor's openid.
    OpenId,
    /// No openid.
    OpenIdMissing,
    /// An appid that no app has.
    AppId,
    /// No appid.
    AppIdMissing,
    /// Another secret than the app's.
    Secret,
    /// No secret.
    SecretMissing,
    /// A code that is none, or another app's.
    Code,
    /// No code.
    CodeMissing,
    /// A code that was shown before.
    CodeUsed,
    /// A code whose time is over.
    CodeExpired,
    /// A refresh token that is none, another app's, or whose grant has ended.
    RefreshToken,
    /// No refresh token.
    RefreshMissing,
    /// A refresh token whose time is over.
    RefreshExpired,
    /// A profile without the scope for it.
    Scope,
    /// A parameter that stands twice.
    Unclear,
    /// Too many secrets of this app that are none, from one address.
    TooOften,
}

impl Refusal {
    /// WeChat's number, WeChat's words with what to mend, and the word for the log.
    fn row(self) -> (i64, &'static str, &'static str) {
        match self {
            Self::Busy => (-1, "system error: try again in a few seconds", "errcode_-1"),
            Self::Token => (
                40001,
                "invalid credential, access_token is invalid or not latest: log the visitor in again",
                "errcode_40001",
            ),
            Self::GrantType => (
                40002,
                "invalid grant_type: authorization_code, or refresh_token",
                "errcode_40002",
            ),
            Self::OpenId => (
                40003,
                "invalid openid: the access_token is another visitor's",
                "errcode_40003",
            ),
            Self::AppId => (
                40013,
                "invalid appid: no app_id of facade.apps is this",
                "errcode_40013",
            ),
            Self::TokenMalformed => (
                40014,
                "invalid access_token: it was cut short, perhaps",
                "errcode_40014",
            ),
            Self::Code => (
                40029,
                "invalid code: it is for one app, for five minutes, while its visitor is logged in",
                "errcode_40029",
            ),
            Self::RefreshToken => (
                40030,
                "invalid refresh_token: log the visitor in again",
                "errcode_40030",
            ),
            Self::Unclear => (
                40035,
                "invalid parameter: one stands twice",
                "errcode_40035",
            ),
            Self::Secret => (
                40125,
                "invalid appsecret: compare it with app_secret of facade.apps",
                "errcode_40125",
            ),
            Self::CodeUsed => (
                40163,
                "code been used: it is good once, and what was given for it has ended",
                "errcode_40163",
            ),
            Self::TokenMissing => (41001, "access_token missing", "errcode_41001"),
            Self::AppIdMissing => (
                41002,
                "appid missing: parameters are read from the address alone, not from a body",
                "errcode_41002",
            ),
            Self::RefreshMissing => (41003, "refresh_token missing", "errcode_41003"),
            Self::SecretMissing => (41004, "appsecret missing", "errcode_41004"),
            Self::CodeMissing => (41008, "missing code", "errcode_41008"),
            Self::OpenIdMissing => (41009, "missing openid", "errcode_41009"),
            Self::TokenExpired => (42001, "access_token expired: refresh it", "errcode_42001"),
            Self::RefreshExpired => (
                42002,
                "refresh_token expired: log the visitor in again",
                "errcode_42002",
            ),
            Self::CodeExpired => (
                42003,
                "code expired: it is good for five minutes",
                "errcode_42003",
            ),
            Self::TooOften => (
                45011,
                "api minute-quota reach limit mustslower retry next minute: too many wrong secrets of this app from this address",
                "errcode_45011",
            ),
            Self::Scope => (
                48001,
                "api unauthorized: ask for scope snsapi_userinfo",
                "errcode_48001",
            ),
        }
    }

    /// One word for the access log.
    pub fn reason(self) -> &'static str {
        self.row().2
    }

    /// The answer to the request called `id`.
    pub fn body(self, id: &str) -> Value {
        let (errcode, errmsg, _) = self.row();
        json!({"errcode": errcode, "errmsg": format!("{errmsg}, rid: {id}")})
    }
}

/// What is given for a code, or, with the `refresh` token that was shown, for that.
pub fn tokens(given: &Given, refresh: Option<&str>, sessions: &Sessions, now: Now) -> Value {
    let (access, expires_in) = given.access(sessions, now);
    let mut all = json!({
        "access_token": access,
        "expires_in": expires_in,
        "refresh_token": refresh.map_or_else(|| given.refresh(sessions, now), str::to_owned),
        "openid": given.session.openid().map(OpenId::as_str),
        "scope": given.scope.as_str(),
    });
    let unionid = given.session.unionid().filter(|_| {
        // As WeChat, which tells it with the exchange and not with a refresh.
        refresh.is_none() && given.scope == Scope::Userinfo
    });
    if let (Some(unionid), Some(all)) = (unionid, all.as_object_mut()) {
        all.insert("unionid".to_owned(), unionid.as_str().into());
    }
    all
}

/// The visitor's profile, as WeChat told it at their login.
///
/// # Errors
/// Without the scope for it.
pub fn profile(given: &Given) -> Result<Value, Refusal> {
    if given.scope < Scope::Userinfo {
        return Err(Refusal::Scope);
    }
    let session = &given.session;
    let mut all = json!({
        "openid": session.openid().map(OpenId::as_str),
        "nickname": session.nickname().unwrap_or_default(),
        "sex": 0,
        "province": "",
        "city": "",
        "country": "",
        "headimgurl": session.avatar().unwrap_or_default(),
        "privilege": [],
    });
    if let (Some(unionid), Some(all)) = (session.unionid(), all.as_object_mut()) {
        all.insert("unionid".to_owned(), unionid.as_str().into());
    }
    Ok(all)
}

/// An access token is good.
pub fn checked() -> Value {
    json!({"errcode": 0, "errmsg": "ok"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_number_and_word_are_the_same() {
        for refusal in [
            Refusal::Busy,
            Refusal::Token,
            Refusal::TokenMalformed,
            Refusal::TokenMissing,
            Refusal::TokenExpired,
            Refusal::GrantType,
            Refusal::OpenId,
            Refusal::OpenIdMissing,
            Refusal::AppId,
            Refusal::AppIdMissing,
            Refusal::Secret,
            Refusal::SecretMissing,
            Refusal::Code,
            Refusal::CodeMissing,
            Refusal::CodeUsed,
            Refusal::CodeExpired,
            Refusal::RefreshToken,
            Refusal::RefreshMissing,
            Refusal::RefreshExpired,
            Refusal::Scope,
            Refusal::Unclear,
            Refusal::TooOften,
        ] {
            let (errcode, _, word) = refusal.row();
            assert_eq!(word, format!("errcode_{errcode}"));
            let told = refusal.body("r1")["errmsg"].as_str().unwrap().to_owned();
            assert!(told.ends_with(", rid: r1"), "{told}");
        }
    }
}
