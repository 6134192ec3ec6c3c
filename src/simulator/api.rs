//! `/sns/…`: the four calls a server makes; `/cgi-bin/…`, which are WeCom's, are
//! answered here and done in `corp`.
//!
//! What always holds: HTTP 200 and `text/plain` for success and failure
//! alike, and the order of the checks is WeChat's: account, secret, grant
//! type, then what the call is about.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State as FromState};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use super::corp;
use super::errcode::Errcode;
use super::grants::{ACCESS_LIFE, Granted, Holder};
use super::journal::Tally;
use super::mood::{Api, Mood};
use super::socket::Line;
use super::spoil;
use super::world::{State, World};
use super::{SimAccount, SimKind};

/// An openid as no account has one: clients must check the alphabet.
const BAD_OPENID: &str = "oBadOpenId\r\nX-WeChat-OpenId: oSomebodyElse";

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/sns/oauth2/access_token", route(Api::Exchange))
        .route("/sns/oauth2/refresh_token", route(Api::Refresh))
        .route("/sns/userinfo", route(Api::Userinfo))
        .route("/sns/auth", route(Api::Check))
        .route("/cgi-bin/gettoken", route(Api::CorpToken))
        .route("/cgi-bin/auth/getuserinfo", route(Api::CorpUser))
}

fn route(api: Api) -> MethodRouter<Arc<World>> {
    let handler = async move |FromState(world): FromState<Arc<World>>,
                              ConnectInfo(line): ConnectInfo<Line>,
                              RawQuery(query): RawQuery| {
        answer(api, &world, &line, &query.unwrap_or_default()).await
    };
    get(handler).post(handler)
}

async fn answer(api: Api, world: &World, line: &Line, query: &str) -> Response {
    let parameters = Parameters::read(query);
    let (result, mood) = world.step(|state| call(api, world, state, &parameters));
    let body = match result {
        Ok(mut answer) => {
            if mood == Mood::BadOpenId {
                answer.spoil_openid();
            }
            answer.json()
        }
        Err(errcode) if api.is_corps() => errcode.corp_body(world.unix_now()),
        Err(errcode) => errcode.body(world.unix_now()),
    };
    spoil::deliver(body, &mood, line).await
}

/// Does the work, counts it, and says which mood the answer is to meet.
fn call(
    api: Api,
    world: &World,
    state: &mut State,
    parameters: &Parameters,
) -> (Result<Answer, Errcode>, Mood) {
    let mood = state.spell.for_api(api);
    let work = |state: &mut State| match api {
        Api::Exchange => exchange(world, state, parameters),
        Api::Refresh => refresh(world, state, parameters),
        Api::Userinfo => userinfo(world, state, parameters),
        Api::Check => check(state, parameters),
        Api::CorpToken => corp::token(world, state, parameters),
        Api::CorpUser => corp::user(world, state, parameters),
    };
    let (result, whom) = match mood {
        Mood::Errcode { errcode, .. } => {
            let errcode = Errcode(errcode);
            if errcode == Errcode::BUSY {
                // Reported from the field: a code is spent behind a "busy".
                drop(work(state));
            }
            (Err(errcode), None)
        }
        _ => match work(state) {
            Ok((answer, holder)) => (Ok(answer), holder),
            Err(errcode) => (Err(errcode), None),
        },
    };
    let outcome = match (&result, &mood) {
        (Err(errcode), Mood::Errcode { .. }) => errcode.0.to_string(),
        (_, mood) if *mood != Mood::Normal && !matches!(mood, Mood::Slow(_)) => {
            mood.name().to_owned()
        }
        (Err(errcode), _) => errcode.0.to_string(),
        (Ok(_), _) => "ok".to_owned(),
    };
    tally(state, api).count(&outcome);
    let text = described(api, whom.as_deref(), &result, &mood);
    let now = state.now;
    state.journal.record(now, text);
    (result, mood)
}

fn tally(state: &mut State, api: Api) -> &mut Tally {
    let calls = &mut state.journal.calls;
    match api {
        Api::Exchange => &mut calls.exchange,
        Api::Refresh => &mut calls.refresh,
        Api::Userinfo => &mut calls.userinfo,
        Api::Check => &mut calls.check,
        Api::CorpToken => &mut calls.gettoken,
        Api::CorpUser => &mut calls.getuserinfo,
    }
}

fn described(
    api: Api,
    whom: Option<&Holder>,
    result: &Result<Answer, Errcode>,
    mood: &Mood,
) -> String {
    let mut text = api.name().to_owned();
    if let Some(holder) = whom {
        text = format!(
            "{text}: appid {}, scope {}, visitor {}",
            holder.app_id,
            holder.scope.name(),
            holder.visitor.shown()
        );
    }
    text.push_str(" → ");
    match result {
        Ok(_) => text.push_str("ok"),
        Err(errcode) => {
            let message = match api.is_corps() {
                true => errcode.corp_message(),
                false => errcode.message(),
            };
            text.push_str(&format!("{} {message}", errcode.0));
        }
    }
    match mood {
        Mood::Normal => text,
        mood => format!("{text} (mood: {})", mood.name()),
    }
}

pub(super) type Work = Result<(Answer, Option<Arc<Holder>>), Errcode>;

/// Whether it is an account that `/sns/…` knows.
fn is_sns(account: &SimAccount, app_id: &str) -> bool {
    account.app_id == app_id && !matches!(account.kind, SimKind::WeCom { .. })
}

fn exchange(world: &World, state: &mut State, parameters: &Parameters) -> Work {
    let app_id = parameters.required("appid", Errcode::APPID_MISSING)?;
    let account = world.accounts.iter().find(|its| is_sns(its, app_id));
    let account = account.ok_or(Errcode::APPID)?;
    let secret = parameters.required("secret", Errcode::SECRET_MISSING)?;
    if secret != account.app_secret {
        return Err(Errcode::SECRET);
    }
    parameters.grant_type("authorization_code")?;
    let code = parameters.required("code", Errcode::CODE_MISSING)?;
    let granted = state.grants.exchange(app_id, code, state.now)?;
    let holder = granted.holder.clone();
    let mut tokens = Tokens::of(granted);
    tokens.is_snapshotuser = holder.snapshot.then_some(1);
    tokens.unionid =
        (holder.scope.has_profile() && account.bound).then(|| holder.visitor.unionid.clone());
    Ok((Answer::Tokens(tokens), Some(holder)))
}

fn refresh(world: &World, state: &mut State, parameters: &Parameters) -> Work {
    let app_id = parameters.required("appid", Errcode::APPID_MISSING)?;
    if !world.accounts.iter().any(|its| is_sns(its, app_id)) {
        return Err(Errcode::APPID);
    }
    parameters.grant_type("refresh_token")?;
    let token = parameters.required("refresh_token", Errcode::REFRESH_MISSING)?;
    let granted = state.grants.refresh(app_id, token, state.now)?;
    let holder = granted.holder.clone();
    Ok((Answer::Tokens(Tokens::of(granted)), Some(holder)))
}

fn userinfo(world: &World, state: &mut State, parameters: &Parameters) -> Work {
    let holder = token_holder(state, parameters)?;
    if !holder.scope.has_profile() {
        return Err(Errcode::UNAUTHORIZED);
    }
    let visitor = &holder.visitor;
    let bound = world
        .accounts
        .get(holder.account)
        .is_some_and(|its| its.bound);
    let headimgurl = visitor
        .avatar_path()
        .map_or_else(String::new, |path| format!("{}{path}", world.base_url));
    let profile = Profile {
        openid: holder.openid.clone(),
        nickname: visitor.nickname.clone(),
        sex: 0,
        language: "",
        city: "",
        province: "",
        country: "",
        headimgurl,
        privilege: [],
        unionid: bound.then(|| visitor.unionid.clone()),
    };
    Ok((Answer::Profile(profile), Some(holder)))
}

fn check(state: &mut State, parameters: &Parameters) -> Work {
    let holder = token_holder(state, parameters)?;
    Ok((Answer::Valid, Some(holder)))
}

fn token_holder(state: &mut State, parameters: &Parameters) -> Result<Arc<Holder>, Errcode> {
    let token = parameters.required("access_token", Errcode::TOKEN_MISSING)?;
    let openid = parameters.required("openid", Errcode::OPENID_MISSING)?;
    state.grants.holder(token, openid, state.now)
}

/// What an api says when all is well, its fields in WeChat's order.
pub(super) enum Answer {
    Tokens(Tokens),
    Profile(Profile),
    Valid,
    /// WeCom's.
    Corp(Value),
}

#[derive(Serialize)]
pub(super) struct Tokens {
    access_token: String,
    expires_in: u64,
    refresh_token: String,
    openid: String,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_snapshotuser: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Profile {
    openid: String,
    nickname: String,
    sex: u8,
    language: &'static str,
    city: &'static str,
    province: &'static str,
    country: &'static str,
    headimgurl: String,
    privilege: [&'static str; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
}

impl Tokens {
    fn of(granted: Granted) -> Tokens {
        Tokens {
            access_token: granted.access_token,
            expires_in: ACCESS_LIFE.as_secs(),
            refresh_token: granted.refresh_token,
            openid: granted.holder.openid.clone(),
            scope: granted.holder.scope.name(),
            is_snapshotuser: None,
            unionid: None,
        }
    }
}

impl Answer {
    fn spoil_openid(&mut self) {
        match self {
            Answer::Tokens(tokens) => tokens.openid = BAD_OPENID.to_owned(),
            Answer::Profile(profile) => profile.openid = BAD_OPENID.to_owned(),
            Answer::Corp(answer) => answer["openid"] = BAD_OPENID.into(),
            Answer::Valid => {}
        }
    }

    fn json(&self) -> String {
        match self {
            Answer::Tokens(tokens) => serde_json::to_string(tokens),
            // WeChat does not escape control characters (field). The one that
            // a nickname here holds is put back raw; none holds a backslash,
            // which could look like it.
            Answer::Profile(profile) => {
                serde_json::to_string(profile).map(|json| json.replace("\\b", "\u{8}"))
            }
            Answer::Corp(answer) => return answer.to_string(),
            Answer::Valid => return Errcode(0).body(0),
        }
        .expect("strings and numbers are always JSON")
    }
}

/// A request's query, decoded.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: &str) -> Parameters {
        Parameters(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    pub(super) fn required(&self, name: &str, missing: Errcode) -> Result<&str, Errcode> {
        let found = self.0.iter().find(|(its, _)| its == name);
        match found {
            Some((_, value)) if !value.is_empty() => Ok(value),
            _ => Err(missing),
        }
    }

    fn grant_type(&self, wanted: &str) -> Result<(), Errcode> {
        match self.required("grant_type", Errcode::GRANT_TYPE)? {
            given if given == wanted => Ok(()),
            _ => Err(Errcode::GRANT_TYPE),
        }
    }
}
