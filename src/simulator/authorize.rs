//! `/connect/…`: the browser's hop through WeChat, and the choices made on
//! the pages it shows.
//!
//! What always holds: a choice is checked like the link it came from, so no
//! address of the simulator's own leads where an authorize link would not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State as FromState};
use axum::http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::hop::{Browser, Hop};
use super::journal::{Calls, Tally};
use super::link::{AuthorizeLink, Door};
use super::pages;
use super::world::{State, World};

/// Remembers the browser's visitor.
const COOKIE_NAME: &str = "wxgate_simulator_visitor";

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/connect/oauth2/authorize", get(oauth2))
        .route("/connect/qrconnect", get(qrconnect))
        .route("/simulator/choose/{door}/{who}", get(choose))
}

async fn oauth2(
    FromState(world): FromState<Arc<World>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    arrive(&world, Door::Oauth2, &query.unwrap_or_default(), &headers)
}

async fn qrconnect(
    FromState(world): FromState<Arc<World>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    arrive(
        &world,
        Door::Qrconnect,
        &query.unwrap_or_default(),
        &headers,
    )
}

fn arrive(world: &World, door: Door, query: &str, headers: &HeaderMap) -> Response {
    let link = match AuthorizeLink::read(door, query, &world.accounts) {
        Ok(link) => link,
        Err(complaint) => {
            let hop = Hop::Wrong(complaint);
            world.step(|state| record(state, door.name(), None, &hop));
            return pages::complaint(complaint);
        }
    };
    let hop = world.step(|state| {
        let hop = Hop::first(world, state, &link, browser(headers), remembered(headers));
        record(state, door.name(), Some(&link), &hop);
        hop
    });
    show(hop, door, &link, query)
}

async fn choose(
    FromState(world): FromState<Arc<World>>,
    Path((door, who)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let door = match door.as_str() {
        "authorize" => Door::Oauth2,
        "qrconnect" => Door::Qrconnect,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let query = query.unwrap_or_default();
    let link = match AuthorizeLink::read(door, &query, &world.accounts) {
        Ok(link) => link,
        Err(complaint) => {
            let hop = Hop::Wrong(complaint);
            world.step(|state| record(state, "choose", None, &hop));
            return pages::complaint(complaint);
        }
    };
    let hop = world.step(|state| {
        let hop = Hop::chosen(&world, state, &link, &who)?;
        record(state, "choose", Some(&link), &hop);
        Some(hop)
    });
    let Some(hop) = hop else {
        return (StatusCode::NOT_FOUND, "no such visitor").into_response();
    };
    let chose_somebody = matches!(hop, Hop::Code { .. });
    let mut response = show(hop, door, &link, &query);
    // A name like "snapshot" is nobody's openid, so it is looked up in vain.
    if chose_somebody && let Some(cookie) = remember(&who) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

fn show(hop: Hop, door: Door, link: &AuthorizeLink, query: &str) -> Response {
    match hop {
        Hop::Wrong(complaint) => pages::complaint(complaint),
        Hop::NoCode(callback)
        | Hop::Code {
            callback,
            twice: false,
            ..
        } => redirect(&callback),
        Hop::Code { callback, .. } => pages::twice(&callback),
        Hop::Consent(visitor) => pages::consent(&visitor, door, query),
        Hop::Choice(visitors) => pages::choice(&visitors, door, link.scope, query),
    }
}

fn record(state: &mut State, name: &'static str, link: Option<&AuthorizeLink>, hop: &Hop) {
    tally(&mut state.journal.calls, name).count(&hop.outcome());
    let mut line = name.to_owned();
    if let Some(link) = link {
        line = format!("{line}: appid {}, scope {}", link.app_id, link.scope.name());
    }
    if let Some(visitor) = hop.visitor() {
        line = format!("{line}, visitor {}", visitor.shown());
    }
    let now = state.now;
    let line = format!("{line} → {}", hop.described());
    state.journal.record(now, line);
}

fn tally<'a>(calls: &'a mut Calls, name: &str) -> &'a mut Tally {
    match name {
        "authorize" => &mut calls.authorize,
        "qrconnect" => &mut calls.qrconnect,
        _ => &mut calls.choose,
    }
}

fn redirect(callback: &str) -> Response {
    // The link's reader let nothing but visible ASCII through.
    let Ok(location) = HeaderValue::from_str(callback) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// WeCom's browser names WeChat's too, and is another.
fn browser(headers: &HeaderMap) -> Browser {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    let agent = String::from_utf8_lossy(agent.unwrap_or_default());
    match () {
        () if agent.to_ascii_lowercase().contains("wxwork") => Browser::Wecom,
        () if agent.contains("MicroMessenger") => Browser::Wechat,
        () => Browser::Other,
    }
}

/// The openid this browser chose before.
fn remembered(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE_NAME).then_some(value))
}

/// The cookie that remembers a visitor. Its path is the login pages' alone,
/// for browsers do not tell the ports of 127.0.0.1 apart, and the gateway
/// behind another port should not meet it.
pub(super) fn remember(openid: &str) -> Option<HeaderValue> {
    let cookie = format!("{COOKIE_NAME}={openid}; Path=/connect; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&cookie).ok()
}
