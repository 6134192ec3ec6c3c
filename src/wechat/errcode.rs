//! WeChat's error numbers: one table from number to meaning.
//!
//! Holds always: a number that is not in the table means [`Meaning::Unknown`],
//! which lets nobody in. What a meaning leads to is the gateway's business.
//!
//! Source: WeChat's pages "网页授权" and "全局返回码".

/// An `errcode` with the `rid` that Tencent's support asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errcode {
    /// The number.
    pub code: i64,
    /// The id of the call at WeChat's side, if it gave one.
    pub rid: Option<String>,
}

/// What an error means for the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// WeChat is busy; whether the code was spent is unknown.
    Busy,
    /// The code is invalid, spent or too old.
    CodeSpent,
    /// The visitor gave no consent.
    Refused,
    /// The account's settings are wrong: only its operator can help.
    Operator,
    /// The account has called too often.
    Quota,
    /// WeChat has barred this visitor.
    Barred,
    /// The access token is dead.
    TokenDead,
    /// The refresh token is dead, or the visitor changed the password.
    RefreshDead,
    /// The account may not make this call.
    NotGranted,
    /// A number that is not in the table.
    Unknown,
}

/// Number, meaning, and for operators what to set right.
const TABLE: &[(i64, Meaning, &str)] = &[
    (-1, Meaning::Busy, "WeChat is busy"),
    (40029, Meaning::CodeSpent, "invalid code"),
    (40163, Meaning::CodeSpent, "code been used"),
    (42003, Meaning::CodeSpent, "code expired"),
    (41008, Meaning::Refused, "no code"),
    (
        40001,
        Meaning::Operator,
        "the AppSecret is wrong: compare app_secret with the console (开发 > 基本配置)",
    ),
    (
        40125,
        Meaning::Operator,
        "the AppSecret is wrong: compare app_secret with the console (开发 > 基本配置), and look whether it was reset",
    ),
    (
        40013,
        Meaning::Operator,
        "the AppID is wrong: compare app_id with the console (开发 > 基本配置)",
    ),
    (41002, Meaning::Operator, "the AppID is missing: set app_id"),
    (
        41004,
        Meaning::Operator,
        "the AppSecret is missing: set app_secret",
    ),
    (
        40164,
        Meaning::Operator,
        "this machine's address is not in the account's IP allow-list (开发 > 基本配置 > IP白名单)",
    ),
    (
        48004,
        Meaning::Operator,
        "the account's api was banned: see the console's notices (通知中心)",
    ),
    (40014, Meaning::TokenDead, "invalid access_token"),
    (42001, Meaning::TokenDead, "access_token expired"),
    (41001, Meaning::TokenDead, "access_token missing"),
    (40030, Meaning::RefreshDead, "invalid refresh_token"),
    (42002, Meaning::RefreshDead, "refresh_token expired"),
    (41003, Meaning::RefreshDead, "refresh_token missing"),
    (
        42007,
        Meaning::RefreshDead,
        "the visitor changed the password",
    ),
    (
        45009,
        Meaning::Quota,
        "the account's daily quota is used up (开发 > 接口权限)",
    ),
    (45011, Meaning::Quota, "too many calls in a minute"),
    (
        48001,
        Meaning::NotGranted,
        "the account has no right to this call (开发 > 接口权限 > 网页授权)",
    ),
    (
        50001,
        Meaning::NotGranted,
        "the visitor's grant does not cover this call",
    ),
    (50002, Meaning::Barred, "the visitor is barred"),
    (
        40226,
        Meaning::Barred,
        "WeChat holds this visitor for a high risk",
    ),
];

impl Errcode {
    /// What the number means.
    pub fn meaning(&self) -> Meaning {
        self.row()
            .map_or(Meaning::Unknown, |(_, meaning, _)| *meaning)
    }

    /// The same for an operator's eyes, with the place to set it right.
    pub fn advice(&self) -> &'static str {
        self.row().map_or(
            "a number that wxgate does not know; see WeChat's page 全局返回码",
            |(_, _, advice)| advice,
        )
    }

    fn row(&self) -> Option<&'static (i64, Meaning, &'static str)> {
        TABLE.iter().find(|(code, _, _)| *code == self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_once_and_an_unknown_one_is_unknown() {
        for (at, (code, meaning, _)) in TABLE.iter().enumerate() {
            assert!(
                TABLE[at + 1..].iter().all(|(other, _, _)| other != code),
                "{code}"
            );
            assert_eq!(
                Errcode {
                    code: *code,
                    rid: None
                }
                .meaning(),
                *meaning
            );
        }
        assert_eq!(
            Errcode {
                code: 99999,
                rid: None
            }
            .meaning(),
            Meaning::Unknown
        );
    }
}
