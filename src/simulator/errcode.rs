//! WeChat's errcodes, in WeChat's words.
//!
//! What always holds: an error's text is a constant and a fresh `rid`, so it
//! repeats nothing that the caller sent.

use serde::Serialize;

/// A refusal of WeChat's api.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errcode(pub(super) i64);

impl Errcode {
    pub(super) const BUSY: Errcode = Errcode(-1);
    pub(super) const TOKEN_UNKNOWN: Errcode = Errcode(40001);
    pub(super) const CORP_SECRET: Errcode = Errcode(40001);
    pub(super) const GRANT_TYPE: Errcode = Errcode(40002);
    pub(super) const OPENID: Errcode = Errcode(40003);
    pub(super) const APPID: Errcode = Errcode(40013);
    pub(super) const TOKEN_MALFORMED: Errcode = Errcode(40014);
    pub(super) const CODE: Errcode = Errcode(40029);
    pub(super) const REFRESH_TOKEN: Errcode = Errcode(40030);
    pub(super) const SECRET: Errcode = Errcode(40125);
    pub(super) const CODE_USED: Errcode = Errcode(40163);
    pub(super) const TOKEN_MISSING: Errcode = Errcode(41001);
    pub(super) const APPID_MISSING: Errcode = Errcode(41002);
    pub(super) const REFRESH_MISSING: Errcode = Errcode(41003);
    pub(super) const SECRET_MISSING: Errcode = Errcode(41004);
    pub(super) const CODE_MISSING: Errcode = Errcode(41008);
    pub(super) const OPENID_MISSING: Errcode = Errcode(41009);
    pub(super) const TOKEN_EXPIRED: Errcode = Errcode(42001);
    pub(super) const REFRESH_EXPIRED: Errcode = Errcode(42002);
    pub(super) const CODE_EXPIRED: Errcode = Errcode(42003);
    pub(super) const UNAUTHORIZED: Errcode = Errcode(48001);

    /// What `errmsg` says before its `rid`.
    pub(super) fn message(self) -> &'static str {
        match self.0 {
            -1 => "system error",
            0 => "ok",
            40001 => "invalid credential, access_token is invalid or not latest",
            40002 => "invalid grant_type",
            40003 => "invalid openid",
            40013 => "invalid appid",
            40014 => "invalid access_token",
            40029 => "invalid code",
            40030 => "invalid refresh_token",
            40125 => "invalid appsecret",
            40163 => "code been used",
            40164 => "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist",
            40226 => "code blocked",
            41001 => "access_token missing",
            41002 => "appid missing",
            41003 => "refresh_token missing",
            41004 => "appsecret missing",
            41008 => "missing code",
            41009 => "missing openid",
            42001 => "access_token expired",
            42002 => "refresh_token expired",
            42003 => "code expired",
            42007 => "user changed password, access_token and refresh_token invalid",
            45009 => "reach max api daily quota limit",
            45011 => "api minute-quota reach limit mustslower retry next minute",
            48001 => "api unauthorized",
            48004 => "api forbidden for irregularities, view detail on mp.weixin.qq.com",
            50001 => "user unauthorized",
            50002 => "user limited",
            _ => "simulated error",
        }
    }

    /// The same of WeCom's numbers, where its words are others.
    pub(super) fn corp_message(self) -> &'static str {
        match self.0 {
            -1 => "system busy",
            40001 => "invalid secret",
            40013 => "invalid corpid",
            40056 => "invalid agentid",
            41002 => "missing corpid",
            41004 => "missing secret",
            45009 => "api freq out of limit",
            48002 => "api forbidden",
            60011 => "no privilege to access/modify contact/party/agent",
            60020 => "not allow to access from your ip",
            301_002 => "not allow operate another agent with this accesstoken",
            _ => self.message(),
        }
    }

    /// WeCom's answer.
    pub(super) fn corp_body(self, now: u64) -> String {
        let hint = format!("{now}{:06}", super::random::number() % 1_000_000);
        let errmsg = match self.0 {
            0 => "ok".to_owned(),
            code => format!(
                "{}, hint: [{hint}], from ip: 203.0.113.7, more info at https://open.work.weixin.qq.com/devtool/query?e={code}",
                self.corp_message()
            ),
        };
        serde_json::json!({"errcode": self.0, "errmsg": errmsg}).to_string()
    }

    /// The api's answer, `now` being the simulator's clock in seconds.
    pub(super) fn body(self, now: u64) -> String {
        #[derive(Serialize)]
        struct Body {
            errcode: i64,
            errmsg: String,
        }
        let errmsg = match self.0 {
            0 => self.message().to_owned(),
            _ => format!("{}, rid: {}", self.message(), rid(now)),
        };
        serde_json::to_string(&Body {
            errcode: self.0,
            errmsg,
        })
        .expect("a number and a string are always JSON")
    }
}

/// WeChat's request id: three groups of eight hex digits, the first the time.
fn rid(now: u64) -> String {
    format!(
        "{:08x}-{:08x}-{:08x}",
        now & 0xffff_ffff,
        super::random::number(),
        super::random::number()
    )
}
