//! `/cgi-bin/…`: WeCom's two calls of a login, and the tokens of corps.
//!
//! What always holds: HTTP 200 for success and failure alike, as with `/sns/…`; a
//! corp's token that still lives is given again; no token is good for another
//! account than its own, and the same goes for codes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::SimKind;
use super::api::{Answer, Parameters, Work};
use super::errcode::Errcode;
use super::random;
use super::world::{State, World};

/// A corp's token's life, as `expires_in` says.
const LIFE: Duration = Duration::from_secs(7200);

/// The tokens of corps' apps, by appid and agent.
#[derive(Default)]
pub(super) struct CorpTokens(HashMap<String, CorpToken>);

struct CorpToken {
    account: usize,
    until: Duration,
}

impl CorpTokens {
    /// The token of this account, and for how long it is good.
    fn get(&mut self, account: usize, now: Duration) -> (String, Duration) {
        let alive = self.0.iter().find(|(_, token)| token.account == account);
        if let Some((text, token)) = alive.filter(|(_, token)| now < token.until) {
            return (text.clone(), token.until - now);
        }
        self.forget(account);
        let text = random::token();
        let until = now + LIFE;
        self.0.insert(text.clone(), CorpToken { account, until });
        (text, LIFE)
    }

    fn account_of(&self, token: &str, now: Duration) -> Result<usize, Errcode> {
        let known = self.0.get(token).ok_or(Errcode::TOKEN_MALFORMED)?;
        match now < known.until {
            true => Ok(known.account),
            false => Err(Errcode::TOKEN_EXPIRED),
        }
    }

    fn forget(&mut self, account: usize) {
        self.0.retain(|_, token| token.account != account);
    }

    /// All tokens are unknown from now on.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// `gettoken`.
pub(super) fn token(world: &World, state: &mut State, parameters: &Parameters) -> Work {
    let corp_id = parameters.required("corpid", Errcode::APPID_MISSING)?;
    let is_corp = |kind: &SimKind| matches!(kind, SimKind::WeCom { .. });
    let of_corp =
        |account: &&super::SimAccount| account.app_id == corp_id && is_corp(&account.kind);
    if !world.accounts.iter().any(|account| of_corp(&account)) {
        return Err(Errcode::APPID);
    }
    let secret = parameters.required("corpsecret", Errcode::SECRET_MISSING)?;
    // A secret is one app's.
    let own = |account: &super::SimAccount| of_corp(&account) && account.app_secret == secret;
    let account = world.accounts.iter().position(own);
    let account = account.ok_or(Errcode::CORP_SECRET)?;
    let (token, left) = state.corps.get(account, state.now);
    let answer =
        json!({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": left.as_secs()});
    Ok((Answer::Corp(answer), None))
}

/// `auth/getuserinfo`.
pub(super) fn user(world: &World, state: &mut State, parameters: &Parameters) -> Work {
    let token = parameters.required("access_token", Errcode::TOKEN_MISSING)?;
    let account = state.corps.account_of(token, state.now)?;
    let code = parameters.required("code", Errcode::CODE_MISSING)?;
    let its = world.accounts.get(account).ok_or(Errcode::CODE)?;
    let holder = state.grants.spend(&its.app_id, account, code, state.now)?;
    let who = match holder.visitor.userid.as_deref() {
        Some(userid) => json!({"errcode": 0, "errmsg": "ok", "userid": userid}),
        None => json!({"errcode": 0, "errmsg": "ok", "openid": holder.openid}),
    };
    Ok((Answer::Corp(who), Some(holder)))
}
