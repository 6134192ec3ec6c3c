//! WeChat's error numbers: one table from number to meaning, who can act, and how.
//!
//! Holds always: a number that is not in the table means [`Meaning::Unknown`],
//! which lets nobody in. What a meaning leads to is the gateway's business.
//!
//! WeCom has numbers of its own, and some of WeChat's with another meaning: whose
//! number it is stands beside it.
//!
//! Source: WeChat's pages "网页授权" and "全局返回码"; WeCom's page "全局错误码".

/// Whose numbers they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// WeChat's.
    #[default]
    WeChat,
    /// WeCom's.
    WeCom,
}

/// An `errcode` with the `rid` that Tencent's support asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errcode {
    /// Whose number it is.
    pub side: Side,
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
    /// The AppSecret is wrong or missing.
    SecretWrong,
    /// The AppID is wrong or missing.
    AppIdWrong,
    /// This machine's address is not in the account's list.
    AddressRefused,
    /// WeChat has taken the api away from the account.
    ApiBanned,
    /// The account has no right to the call, or the grant does not cover it.
    NotGranted,
    /// The account has called too often in a minute.
    MinuteQuota,
    /// The account has called too often in a day.
    DailyQuota,
    /// WeChat has barred this visitor.
    Barred,
    /// The access token is dead.
    TokenDead,
    /// The refresh token is dead, or the visitor changed the password.
    RefreshDead,
    /// A number that is not in the table.
    Unknown,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The gateway does, by itself.
    Gateway,
    /// The visitor.
    Visitor,
    /// Whoever runs the site: a setting, or a menu of WeChat's console.
    Operator,
    /// Nobody; it passes.
    Time,
}

impl Meaning {
    /// Who can do something about it.
    pub fn who(self) -> Who {
        match self {
            Self::CodeSpent | Self::TokenDead | Self::RefreshDead => Who::Gateway,
            Self::Refused | Self::Barred => Who::Visitor,
            Self::SecretWrong
            | Self::AppIdWrong
            | Self::AddressRefused
            | Self::ApiBanned
            | Self::NotGranted
            | Self::Unknown => Who::Operator,
            Self::Busy | Self::MinuteQuota | Self::DailyQuota => Who::Time,
        }
    }

    /// What whoever runs the site is to set right: the menu in WeChat's console
    /// (mp.weixin.qq.com) and the setting in `gateway.toml`.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Busy => "WeChat is busy",
            Self::CodeSpent => "the code was of no use; logins begin anew by themselves",
            Self::Refused => "the visitor refused",
            Self::SecretWrong => {
                "compare accounts.NAME.app_secret with the AppSecret in WeChat's console (基本配置; of a website: 微信开放平台, 网站应用), and look whether it was reset there"
            }
            Self::AppIdWrong => {
                "compare accounts.NAME.app_id with the AppID in WeChat's console (基本配置; of a website: 微信开放平台, 网站应用)"
            }
            Self::AddressRefused => {
                "add this machine's outgoing address to the list in WeChat's console (基本配置 > IP白名单)"
            }
            Self::ApiBanned => {
                "WeChat has taken the api away from the account: see the notices in WeChat's console (通知中心)"
            }
            Self::NotGranted => {
                "the account has no right to this: a verified 服务号 has, see WeChat's console (接口权限 > 网页授权), and routes.scope = \"snsapi_base\" asks for less; a website that is approved for the WeChat login has (微信开放平台, 网站应用)"
            }
            Self::MinuteQuota => "too many calls in a minute; logins go on in a minute",
            Self::DailyQuota => {
                "the account's daily quota is used up: see WeChat's console (接口权限), where it can be cleared a few times a month"
            }
            Self::Barred => "WeChat bars this visitor",
            Self::TokenDead => "the access token is dead; it is renewed",
            Self::RefreshDead => "the visitor's grant has ended; they log in anew",
            Self::Unknown => "a number that wxgate does not know; see WeChat's page 全局返回码",
        }
    }
}

/// One number of WeChat's.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The number.
    pub code: i64,
    /// What WeChat calls it.
    pub name: &'static str,
    /// What it means here.
    pub meaning: Meaning,
}

const fn row(code: i64, name: &'static str, meaning: Meaning) -> Row {
    Row {
        code,
        name,
        meaning,
    }
}

/// Every number that is known.
pub const TABLE: &[Row] = &[
    row(-1, "system error", Meaning::Busy),
    row(40029, "invalid code", Meaning::CodeSpent),
    row(40163, "code been used", Meaning::CodeSpent),
    row(42003, "code expired", Meaning::CodeSpent),
    row(41008, "missing code", Meaning::Refused),
    row(40001, "invalid credential", Meaning::SecretWrong),
    row(40125, "invalid appsecret", Meaning::SecretWrong),
    row(41004, "appsecret missing", Meaning::SecretWrong),
    row(40013, "invalid appid", Meaning::AppIdWrong),
    row(41002, "appid missing", Meaning::AppIdWrong),
    row(
        40164,
        "invalid ip, not in whitelist",
        Meaning::AddressRefused,
    ),
    row(
        48004,
        "api forbidden for irregularities",
        Meaning::ApiBanned,
    ),
    row(48001, "api unauthorized", Meaning::NotGranted),
    row(50001, "user unauthorized", Meaning::NotGranted),
    row(45011, "api minute-quota reach limit", Meaning::MinuteQuota),
    row(
        45009,
        "reach max api daily quota limit",
        Meaning::DailyQuota,
    ),
    row(50002, "user limited", Meaning::Barred),
    row(40226, "high risk user, code blocked", Meaning::Barred),
    row(40014, "invalid access_token", Meaning::TokenDead),
    row(42001, "access_token expired", Meaning::TokenDead),
    row(41001, "access_token missing", Meaning::TokenDead),
    row(40030, "invalid refresh_token", Meaning::RefreshDead),
    row(42002, "refresh_token expired", Meaning::RefreshDead),
    row(41003, "refresh_token missing", Meaning::RefreshDead),
    row(42007, "user changed password", Meaning::RefreshDead),
];

/// WeCom's, of `gettoken` and `getuserinfo`.
pub const CORP_TABLE: &[Row] = &[
    row(-1, "system busy", Meaning::Busy),
    row(40029, "invalid code", Meaning::CodeSpent),
    row(41008, "missing code", Meaning::Refused),
    row(40001, "invalid secret", Meaning::SecretWrong),
    row(41004, "missing secret", Meaning::SecretWrong),
    row(40013, "invalid corpid", Meaning::AppIdWrong),
    row(41002, "missing corpid", Meaning::AppIdWrong),
    row(40056, "invalid agentid", Meaning::AppIdWrong),
    row(
        60020,
        "not allow to access from your ip",
        Meaning::AddressRefused,
    ),
    row(48002, "api forbidden", Meaning::NotGranted),
    row(60011, "no privilege", Meaning::NotGranted),
    row(
        301_002,
        "not allow operate another agent",
        Meaning::NotGranted,
    ),
    // Counted by the minute and the hour, not by the day.
    row(45009, "api freq out of limit", Meaning::MinuteQuota),
    row(40014, "invalid access_token", Meaning::TokenDead),
    row(42001, "access_token expired", Meaning::TokenDead),
    row(41001, "access_token missing", Meaning::TokenDead),
];

impl Errcode {
    /// What the number means.
    pub fn meaning(&self) -> Meaning {
        let table = match self.side {
            Side::WeChat => TABLE,
            Side::WeCom => CORP_TABLE,
        };
        let known = table.iter().find(|row| row.code == self.code);
        known.map_or(Meaning::Unknown, |row| row.meaning)
    }

    /// The same for an operator's eyes, with the place to set it right.
    pub fn advice(&self) -> &'static str {
        match (self.side, self.meaning()) {
            (Side::WeChat, meaning) => meaning.advice(),
            (Side::WeCom, Meaning::SecretWrong) => {
                "compare accounts.NAME.app_secret with the app's Secret in WeCom's console (应用管理 > the app)"
            }
            (Side::WeCom, Meaning::AppIdWrong) => {
                "compare accounts.NAME.app_id with the CorpID in WeCom's console (我的企业 > 企业信息), and agent_id with the app's AgentId (应用管理 > the app)"
            }
            (Side::WeCom, Meaning::AddressRefused) => {
                "add this machine's outgoing address to the app's list in WeCom's console (应用管理 > the app > 企业可信IP)"
            }
            (Side::WeCom, Meaning::NotGranted) => {
                "the app has no right to this: see WeCom's console (应用管理 > the app), and whether app_secret and agent_id are of one app"
            }
            (Side::WeCom, Meaning::TokenDead) => {
                "the corp's access token is dead; it is asked for anew"
            }
            (Side::WeCom, Meaning::Unknown) => {
                "a number that wxgate does not know; see https://open.work.weixin.qq.com/devtool/query, which is WeCom's console for such numbers"
            }
            (Side::WeCom, meaning) => meaning.advice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errcode(side: Side, code: i64) -> Errcode {
        Errcode {
            side,
            code,
            rid: None,
        }
    }

    #[test]
    fn every_number_stands_once_and_an_unknown_one_is_unknown() {
        for (side, table) in [(Side::WeChat, TABLE), (Side::WeCom, CORP_TABLE)] {
            for (at, row) in table.iter().enumerate() {
                assert!(table[at + 1..].iter().all(|other| other.code != row.code));
                assert_eq!(errcode(side, row.code).meaning(), row.meaning);
            }
            assert_eq!(errcode(side, 99999).meaning(), Meaning::Unknown);
        }
        // One number, two meanings: a corp's quota comes back within the hour.
        assert_eq!(errcode(Side::WeChat, 45009).meaning(), Meaning::DailyQuota);
        assert_eq!(errcode(Side::WeCom, 45009).meaning(), Meaning::MinuteQuota);
    }

    #[test]
    fn an_operators_mistake_names_the_place_to_mend_it() {
        for (side, table, console) in [
            (Side::WeChat, TABLE, "WeChat's console"),
            (Side::WeCom, CORP_TABLE, "WeCom's console"),
        ] {
            let operators = table.iter().map(|row| errcode(side, row.code));
            let unknown = errcode(side, 99999);
            for code in operators.chain((side == Side::WeCom).then_some(unknown)) {
                if code.meaning().who() == Who::Operator {
                    assert!(code.advice().contains(console), "{}", code.code);
                }
                // Of a website the console is another.
                let of_account = matches!(
                    code.meaning(),
                    Meaning::SecretWrong | Meaning::AppIdWrong | Meaning::NotGranted
                );
                if side == Side::WeChat && of_account {
                    assert!(code.advice().contains("微信开放平台"), "{}", code.code);
                }
            }
        }
    }
}
