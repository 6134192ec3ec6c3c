//! An answer's bytes become what they tell of a visitor: a grant, a profile, tokens.
//!
//! Holds always: nothing but the id must be there, and what is not as it should be is
//! not believed; a secret is taken out of an answer without a copy left behind; no
//! error repeats what was sent.

use std::fmt;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::ApiError;
use crate::secret::Secret;
use crate::wechat::authorize::Scope;
use crate::wechat::errcode::{Errcode, Side};
use crate::wechat::openid::{OpenId, UnionId, UserId, Visitor};
use crate::wechat::tokens::Tokens;

/// How long an access token is good where WeChat does not say, in seconds.
const TOKEN_LIFE: u64 = 7200;

/// What WeChat gave for a code: proof of who the visitor is.
pub struct Grant {
    visitor: Visitor,
    unionid: Option<UnionId>,
    scope: Option<Scope>,
    snapshot: bool,
    tokens: Option<Tokens>,
}

/// A visitor's profile. Every field is what the visitor chose to show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The nickname, free of control characters and cut to 64 characters.
    pub nickname: Option<String>,
    /// The picture's address, `http` or `https`.
    pub avatar: Option<String>,
    /// The id across accounts.
    pub unionid: Option<UnionId>,
}

impl Grant {
    /// Private: only [`super::Api::exchange`] has such an answer from WeChat.
    pub(super) fn of(mut answer: Map<String, Value>) -> Result<Self, ApiError> {
        let tokens = take_tokens(&mut answer);
        Ok(Self {
            visitor: Visitor::OpenId(openid_of(&answer)?),
            unionid: unionid_of(&answer),
            scope: scope_of(&answer),
            snapshot: flag(&answer, "is_snapshotuser"),
            tokens,
        })
    }

    /// Private: only [`super::Api::exchange`] has such an answer from WeCom.
    pub(super) fn of_corp(answer: &Map<String, Value>) -> Result<Self, ApiError> {
        let either = |one, other| text(answer, one).or_else(|| text(answer, other));
        let visitor = match (either("userid", "UserId"), either("openid", "OpenId")) {
            (Some(userid), None) => {
                let userid = UserId::try_from(userid.to_owned());
                Visitor::Member(userid.map_err(|_| {
                    ApiError::Garbled("a userid with characters that no userid has")
                })?)
            }
            (None, Some(openid)) => {
                let openid = OpenId::try_from(openid.to_owned());
                Visitor::OpenId(openid.map_err(|_| {
                    ApiError::Garbled("an openid with characters that no openid has")
                })?)
            }
            (None, None) => return Err(ApiError::Garbled("neither a userid nor an openid")),
            (Some(_), Some(_)) => return Err(ApiError::Garbled("both a userid and an openid")),
        };
        Ok(Self {
            visitor,
            unionid: None,
            scope: None,
            snapshot: false,
            tokens: None,
        })
    }

    /// Who the visitor is.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// The id across accounts, if WeChat gave one.
    pub fn unionid(&self) -> Option<&UnionId> {
        self.unionid.as_ref()
    }

    /// What the visitor granted, if WeChat said so.
    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// A snapshot page's virtual visitor, who is nobody.
    pub fn is_snapshot(&self) -> bool {
        self.snapshot
    }

    /// What acts in the visitor's name.
    ///
    /// # Errors
    /// When WeChat gave none.
    pub fn tokens(&self) -> Result<&Tokens, ApiError> {
        self.tokens
            .as_ref()
            .ok_or(ApiError::Garbled("no access_token came with the openid"))
    }
}

impl Profile {
    pub(super) fn of(answer: &Map<String, Value>, openid: &OpenId) -> Result<Self, ApiError> {
        if openid_of(answer)? != *openid {
            return Err(ApiError::Garbled("a profile of another openid"));
        }
        Ok(Self {
            nickname: text(answer, "nickname")
                .map(shown_text)
                .filter(|name| !name.is_empty()),
            avatar: text(answer, "headimgurl").and_then(picture),
            unionid: unionid_of(answer),
        })
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?}, snapshot: {})", self.scope, self.snapshot)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(…)")
    }
}

/// What [`super::Api::exchange`] would say of `answer`'s bytes, `hidden` having been
/// sent. The grant itself is given to nobody who did not ask WeChat.
///
/// # Errors
/// See [`ApiError`].
pub fn try_grant(answer: Vec<u8>, hidden: &[&str]) -> Result<(), ApiError> {
    Grant::of(understand(Side::WeChat, answer.into(), hidden)?).map(drop)
}

/// The same of WeCom's answer.
///
/// # Errors
/// See [`ApiError`].
pub fn try_corp_grant(answer: Vec<u8>, hidden: &[&str]) -> Result<(), ApiError> {
    Grant::of_corp(&understand(Side::WeCom, answer.into(), hidden)?).map(drop)
}

/// What [`super::Api::profile`] makes of `answer`'s bytes, `openid` having been asked
/// for and `hidden` sent. A profile is a description and lets nobody in.
///
/// # Errors
/// See [`ApiError`].
pub fn read_profile(
    answer: Vec<u8>,
    hidden: &[&str],
    openid: &OpenId,
) -> Result<Profile, ApiError> {
    Profile::of(&understand(Side::WeChat, answer.into(), hidden)?, openid)
}

/// Reads an answer's bytes. Raw control characters, which occur in nicknames
/// and which no JSON parser takes, become spaces first.
pub(super) fn understand(
    side: Side,
    mut body: Zeroizing<Vec<u8>>,
    hidden: &[&str],
) -> Result<Map<String, Value>, ApiError> {
    if std::str::from_utf8(&body).is_err() {
        return Err(ApiError::Garbled("not UTF-8"));
    }
    body.iter_mut()
        .filter(|byte| byte.is_ascii_control())
        .for_each(|byte| *byte = b' ');
    let Ok(Value::Object(answer)) = serde_json::from_slice(&body) else {
        return Err(ApiError::Garbled("not a JSON object"));
    };
    match answer.get("errcode").map(number) {
        None | Some(Some(0)) => Ok(answer),
        Some(None) => Err(ApiError::Garbled("an errcode that is no number")),
        Some(Some(code)) => {
            let message = without(text(&answer, "errmsg").unwrap_or_default(), hidden);
            Err(ApiError::Errcode {
                code: Errcode {
                    side,
                    code,
                    rid: rid(&message),
                },
                message: message.chars().take(200).collect(),
            })
        }
    }
}

pub(super) fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn text<'a>(answer: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    answer.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// The text at `key`, taken out of `answer` without leaving a copy behind.
pub(super) fn take_secret(answer: &mut Map<String, Value>, key: &str) -> Option<Secret> {
    match answer.remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(Secret::new(text)),
        _ => None,
    }
}

/// The tokens of `answer`, taken out of it.
pub(super) fn take_tokens(answer: &mut Map<String, Value>) -> Option<Tokens> {
    let access = take_secret(answer, "access_token");
    // Taken even where it is of no use, to be wiped.
    let refresh = take_secret(answer, "refresh_token");
    Some(Tokens {
        access: access?,
        refresh,
        expires_in: expires_in(answer),
    })
}

/// For how long a token of `answer` is good, in seconds.
pub(super) fn expires_in(answer: &Map<String, Value>) -> u64 {
    let told = answer.get("expires_in").and_then(number);
    let seconds = told.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.unwrap_or(TOKEN_LIFE).min(TOKEN_LIFE)
}

fn flag(answer: &Map<String, Value>, key: &str) -> bool {
    match answer.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        // In doubt the visitor is a snapshot's, and is refused.
        Some(value) => number(value) != Some(0),
    }
}

pub(super) fn openid_of(answer: &Map<String, Value>) -> Result<OpenId, ApiError> {
    let found = text(answer, "openid").ok_or(ApiError::Garbled("no openid"))?;
    OpenId::try_from(found.to_owned())
        .map_err(|_| ApiError::Garbled("an openid with characters that no openid has"))
}

fn unionid_of(answer: &Map<String, Value>) -> Option<UnionId> {
    UnionId::try_from(text(answer, "unionid")?.to_owned()).ok()
}

fn scope_of(answer: &Map<String, Value>) -> Option<Scope> {
    let granted = text(answer, "scope")?;
    let profile = granted
        .split(',')
        .any(|scope| matches!(scope.trim(), "snsapi_userinfo" | "snsapi_login"));
    Some(if profile {
        Scope::Userinfo
    } else {
        Scope::Base
    })
}

/// A nickname without what could reorder or break the text around it.
fn shown_text(nickname: &str) -> String {
    let hidden = |c: &char| {
        c.is_control()
            || matches!(*c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    let shown: String = nickname.chars().filter(|c| !hidden(c)).take(64).collect();
    shown.trim().to_owned()
}

fn picture(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let text = url.as_str();
    (matches!(url.scheme(), "http" | "https") && text.len() <= 256).then(|| text.to_owned())
}

fn rid(message: &str) -> Option<String> {
    let (_, rest) = message.rsplit_once("rid:")?;
    let rid: String = rest
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(64)
        .collect();
    (!rid.is_empty()).then_some(rid)
}

/// WeChat's words, fit for a log: should the far end repeat what it was sent,
/// it stops here. Control characters go first, or they would hide a secret that
/// they stand in.
fn without(message: &str, hidden: &[&str]) -> String {
    let plain: String = message.chars().filter(|c| !c.is_control()).collect();
    hidden
        .iter()
        .fold(plain, |text, secret| text.replace(secret, "…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<Map<String, Value>, ApiError> {
        understand(Side::WeChat, body.as_bytes().to_vec().into(), &["hunter2"])
    }

    #[test]
    fn an_error_keeps_number_and_rid_and_loses_secrets() {
        let error =
            answer(r#"{"errcode":40125,"errmsg":"invalid appsecret hunter2, rid: 6543-ab-0"}"#)
                .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("40125") && text.contains("6543-ab-0") && text.contains("app_secret"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        for hiding in [r"rid: hunter2", r"hun\u0001ter2"] {
            let error = answer(&format!(r#"{{"errcode":1,"errmsg":"{hiding}"}}"#)).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_not_wechats_is_garbled() {
        for body in [
            "",
            "<html></html>",
            "[]",
            "{\"openid\":",
            "{\"errcode\":\"x\"}",
            "null",
        ] {
            assert!(matches!(answer(body), Err(ApiError::Garbled(_))), "{body}");
        }
        assert!(matches!(
            understand(Side::WeChat, vec![b'{', 0xff, b'}'].into(), &[]),
            Err(ApiError::Garbled(_))
        ));
        assert!(openid_of(&answer(r#"{"openid":"a\nb"}"#).unwrap()).is_err());
        assert!(openid_of(&answer("{}").unwrap()).is_err());
    }

    #[test]
    fn raw_control_characters_do_not_break_an_answer() {
        let answer = answer("{\"openid\":\"o1\",\"nickname\":\"a\u{1}b\"}").unwrap();
        assert_eq!(shown_text(text(&answer, "nickname").unwrap()), "a b");
    }

    #[test]
    fn a_corps_visitor_is_a_member_or_has_an_openid_and_never_both() {
        let of = |body: &str| Grant::of_corp(&answer(body).unwrap());
        for body in [
            r#"{"userid":"li.ming@x"}"#,
            r#"{"UserId":"li.ming@x","OpenId":""}"#,
        ] {
            let grant = of(body).unwrap();
            assert_eq!(grant.visitor().userid().unwrap().as_str(), "li.ming@x");
            assert!(grant.visitor().openid().is_none());
        }
        for body in [
            r#"{"openid":"oOut"}"#,
            r#"{"OpenId":"oOut","DeviceId":"d"}"#,
        ] {
            let grant = of(body).unwrap();
            assert_eq!(grant.visitor().openid().unwrap().as_str(), "oOut");
            assert!(grant.visitor().userid().is_none());
        }
        for body in [
            "{}",
            r#"{"userid":"","openid":""}"#,
            r#"{"userid":"a","openid":"o"}"#,
            r#"{"userid":"a","OpenId":"o"}"#,
            r#"{"userid":"a b"}"#,
            r#"{"openid":"li.ming@x"}"#,
            r#"{"userid":7}"#,
        ] {
            assert!(matches!(of(body), Err(ApiError::Garbled(_))), "{body}");
        }
    }

    #[test]
    fn a_snapshot_is_seen_in_any_spelling() {
        for (body, expected) in [
            ("{}", false),
            (r#"{"is_snapshotuser":0}"#, false),
            (r#"{"is_snapshotuser":1}"#, true),
            (r#"{"is_snapshotuser":"1"}"#, true),
            (r#"{"is_snapshotuser":true}"#, true),
        ] {
            assert_eq!(
                flag(&answer(body).unwrap(), "is_snapshotuser"),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn a_nickname_cannot_turn_the_text_around_it() {
        assert_eq!(shown_text("a\u{61c}b\u{200f}c"), "abc");
        assert_eq!(shown_text(" \u{202e}小明\u{7}🐼 "), "小明🐼");
        assert_eq!(shown_text(&"长".repeat(100)).chars().count(), 64);
        assert_eq!(picture("javascript:alert(1)"), None);
        assert_eq!(
            scope_of(&answer(r#"{"scope":"snsapi_base,snsapi_userinfo"}"#).unwrap()),
            Some(Scope::Userinfo)
        );
        // A website's one scope includes the profile.
        let login = answer(r#"{"scope":"snsapi_login"}"#).unwrap();
        assert_eq!(scope_of(&login), Some(Scope::Userinfo));
    }
}
