//! The simulator's moods: what WeChat does to its callers on a bad day.
//!
//! What always holds: a mood spoils only the answer. WeChat has done its work
//! by then, so a code is spent even where the caller never hears of it, and a
//! caller that replays it meets 40163. The one exception is
//! [`Mood::Errcode`], a refusal before the work (but -1, "busy", after which
//! the code is spent, as reported from the field).

use std::collections::BTreeMap;
use std::time::Duration;

/// WeChat's four calls, server to server, and WeCom's two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// `/sns/oauth2/access_token`
    Exchange,
    /// `/sns/oauth2/refresh_token`
    Refresh,
    /// `/sns/userinfo`
    Userinfo,
    /// `/sns/auth`
    Check,
    /// `/cgi-bin/gettoken`
    CorpToken,
    /// `/cgi-bin/auth/getuserinfo`
    CorpUser,
}

impl Api {
    pub(super) const ALL: [Api; 6] = [
        Api::Exchange,
        Api::Refresh,
        Api::Userinfo,
        Api::Check,
        Api::CorpToken,
        Api::CorpUser,
    ];

    /// Whether it is WeCom's.
    pub(super) fn is_corps(self) -> bool {
        matches!(self, Api::CorpToken | Api::CorpUser)
    }

    /// The name used in events, pages and forms.
    pub fn name(self) -> &'static str {
        match self {
            Api::Exchange => "exchange",
            Api::Refresh => "refresh",
            Api::Userinfo => "userinfo",
            Api::Check => "check",
            Api::CorpToken => "gettoken",
            Api::CorpUser => "getuserinfo",
        }
    }
}

/// How the simulator treats its callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As documented.
    Normal,
    /// Api answers come this much later.
    Slow(Duration),
    /// Api answers never come; the connection stays open.
    Hanging,
    /// Half an api answer, then the connection closes.
    CutOff,
    /// The connection is reset where the api answer would begin.
    ResetBeforeAnswer,
    /// The api answers 200 with a page of HTML.
    Html,
    /// The api answers 200 with nothing.
    EmptyBody,
    /// The api answers JSON that ends in its middle, with a correct length.
    TruncatedJson,
    /// The api answers JSON with bytes that are not UTF-8.
    InvalidUtf8,
    /// The api answers JSON of 32 MiB.
    HugeBody,
    /// One api answers this errcode.
    Errcode {
        /// Which api.
        api: Api,
        /// What it says.
        errcode: i64,
    },
    /// Api answers name an openid with a line break and a header after it.
    BadOpenId,
    /// The browser opens the callback twice with the same code: once hidden,
    /// then as the page. The answer is then a page and no 302, for HTTP knows
    /// no other way to make a browser do so.
    DoubleCallback,
    /// `snsapi_userinfo` ends at once as a snapshot page: a virtual visitor.
    Snapshot,
    /// The visitor refuses at once.
    Refuse,
}

impl Mood {
    /// One of each, for the form on the simulator's page.
    pub(super) fn samples() -> [Mood; 15] {
        [
            Mood::Normal,
            Mood::Slow(Duration::from_secs(3)),
            Mood::Hanging,
            Mood::CutOff,
            Mood::ResetBeforeAnswer,
            Mood::Html,
            Mood::EmptyBody,
            Mood::TruncatedJson,
            Mood::InvalidUtf8,
            Mood::HugeBody,
            Mood::Errcode {
                api: Api::Exchange,
                errcode: 40029,
            },
            Mood::BadOpenId,
            Mood::DoubleCallback,
            Mood::Snapshot,
            Mood::Refuse,
        ]
    }

    /// The name used in events, pages and forms.
    pub fn name(&self) -> &'static str {
        match self {
            Mood::Normal => "normal",
            Mood::Slow(_) => "slow",
            Mood::Hanging => "hanging",
            Mood::CutOff => "cut-off",
            Mood::ResetBeforeAnswer => "reset",
            Mood::Html => "html",
            Mood::EmptyBody => "empty",
            Mood::TruncatedJson => "truncated",
            Mood::InvalidUtf8 => "invalid-utf8",
            Mood::HugeBody => "huge",
            Mood::Errcode { .. } => "errcode",
            Mood::BadOpenId => "bad-openid",
            Mood::DoubleCallback => "double-callback",
            Mood::Snapshot => "snapshot",
            Mood::Refuse => "refuse",
        }
    }

    /// One line for people.
    pub(super) fn explained(&self) -> &'static str {
        match self {
            Mood::Normal => "as documented",
            Mood::Slow(_) => "api answers come late",
            Mood::Hanging => "api answers never come",
            Mood::CutOff => "half an api answer, then the connection closes",
            Mood::ResetBeforeAnswer => "the connection is reset before the api answer",
            Mood::Html => "the api answers a page of HTML",
            Mood::EmptyBody => "the api answers nothing",
            Mood::TruncatedJson => "the api's JSON ends in its middle",
            Mood::InvalidUtf8 => "the api's JSON is not UTF-8",
            Mood::HugeBody => "the api's JSON has 32 MiB",
            Mood::Errcode { .. } => "one api answers an errcode",
            Mood::BadOpenId => "openids with a line break",
            Mood::DoubleCallback => "the browser opens the callback twice",
            Mood::Snapshot => "snsapi_userinfo gives a snapshot visitor",
            Mood::Refuse => "the visitor refuses",
        }
    }

    fn spoils_answers(&self) -> bool {
        !matches!(
            self,
            Mood::Normal | Mood::DoubleCallback | Mood::Snapshot | Mood::Refuse
        )
    }
}

/// A mood, where it applies, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    pub(super) mood: Mood,
    pub(super) only: Option<Api>,
    pub(super) times: Option<u32>,
}

impl Spell {
    pub(super) const NORMAL: Spell = Spell {
        mood: Mood::Normal,
        only: None,
        times: None,
    };

    /// The mood for this api call, which counts as one of its times.
    pub(super) fn for_api(&mut self, api: Api) -> Mood {
        let elsewhere = match (&self.mood, self.only) {
            (Mood::Errcode { api: its, .. }, _) => *its != api,
            (_, Some(only)) => only != api,
            (_, None) => false,
        };
        if elsewhere || !self.mood.spoils_answers() {
            return Mood::Normal;
        }
        self.spend()
    }

    /// Whether this mood of the visitor's hop holds now; if so it counts as
    /// one of its times.
    pub(super) fn for_hop(&mut self, mood: &Mood) -> bool {
        self.mood == *mood && self.spend() == *mood
    }

    fn spend(&mut self) -> Mood {
        match &mut self.times {
            None => self.mood.clone(),
            Some(times) => {
                *times = times.saturating_sub(1);
                let mood = self.mood.clone();
                if *times == 0 {
                    *self = Spell::NORMAL;
                }
                mood
            }
        }
    }

    /// Reads what the form or JSON of `/simulator/mood` says.
    pub(super) fn from_fields(fields: &BTreeMap<String, String>) -> Result<Spell, &'static str> {
        let named = fields.get("mood").map_or("", String::as_str);
        let sample = Mood::samples()
            .into_iter()
            .find(|mood| mood.name() == named)
            .ok_or("mood: not one of the moods listed on /simulator/")?;
        let only = match fields.get("api").map(String::as_str) {
            None | Some("" | "all") => None,
            Some(name) => Some(
                Api::ALL
                    .into_iter()
                    .find(|api| api.name() == name)
                    .ok_or("api: one of exchange, refresh, userinfo, check")?,
            ),
        };
        let times = number(fields, "times", "times: a number from 1 up, or nothing")?;
        if times == Some(0) {
            return Err("times: a number from 1 up, or nothing");
        }
        let mood = match sample {
            Mood::Slow(usual) => number(fields, "ms", "ms: a number of milliseconds")?
                .map_or(Mood::Slow(usual), |ms| {
                    Mood::Slow(Duration::from_millis(ms))
                }),
            Mood::Errcode { api, errcode } => Mood::Errcode {
                api: only.unwrap_or(api),
                errcode: number(fields, "errcode", "errcode: a number")?.unwrap_or(errcode),
            },
            other => other,
        };
        Ok(Spell { mood, only, times })
    }

    /// The spell in words, for pages and events.
    pub(super) fn described(&self) -> String {
        let mut text = match &self.mood {
            Mood::Slow(by) => format!("slow ({} ms)", by.as_millis()),
            Mood::Errcode { api, errcode } => format!("errcode {errcode} from {}", api.name()),
            other => other.name().to_owned(),
        };
        if let (Some(api), false) = (self.only, matches!(self.mood, Mood::Errcode { .. })) {
            text = format!("{text}, only {}", api.name());
        }
        if let Some(times) = self.times {
            text = format!("{text}, {times} more times");
        }
        text
    }
}

fn number<T: std::str::FromStr>(
    fields: &BTreeMap<String, String>,
    name: &str,
    wanted: &'static str,
) -> Result<Option<T>, &'static str> {
    match fields.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| wanted),
    }
}
