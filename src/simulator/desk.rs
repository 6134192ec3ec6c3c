//! `/simulator/…`: the simulator's own page, and its switches for programs.
//!
//! What always holds: a page of another site cannot turn the switches with a
//! visitor's browser, and secrets are not on the page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as FromState};
use axum::http::header::{ACCEPT, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::authorize::remember;
use super::desk_page;
use super::mood::Spell;
use super::visitors::Visitor;
use super::world::World;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/simulator", get(async || Redirect::to("/simulator/")))
        .route("/simulator/", get(desk))
        .route("/simulator/log", get(log))
        .route("/simulator/calls", get(calls))
        .route("/simulator/events", get(events))
        .route("/simulator/mood", post(mood))
        .route("/simulator/visitor", post(visitor))
        .route("/simulator/clock", post(clock))
        .route("/simulator/avatar/{openid}/{size}", get(avatar))
}

async fn desk(FromState(world): FromState<Arc<World>>) -> Response {
    let (spell, default) =
        world.step(|state| (state.spell.clone(), state.visitors.default().clone()));
    desk_page::desk(&world, &spell, &default)
}

async fn log(FromState(world): FromState<Arc<World>>) -> Response {
    desk_page::log(&world.events(), &world.calls())
}

async fn calls(FromState(world): FromState<Arc<World>>) -> Response {
    Json(world.calls()).into_response()
}

async fn events(FromState(world): FromState<Arc<World>>) -> Response {
    Json(world.events()).into_response()
}

async fn mood(
    FromState(world): FromState<Arc<World>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    switch(&headers, &body, |fields| {
        let spell = Spell::from_fields(fields)?;
        let mood = spell.described();
        world.cast(spell);
        Ok(json!({ "mood": mood }))
    })
}

async fn visitor(
    FromState(world): FromState<Arc<World>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut cookie = None;
    let mut response = switch(&headers, &body, |fields| {
        let openid = fields.get("openid").map_or("", String::as_str);
        if !world.set_default_visitor(openid) {
            return Err("openid: 1 to 64 of A-Z a-z 0-9 _ -, and at most 1000 visitors");
        }
        cookie = remember(openid);
        Ok(json!({ "visitor": openid }))
    });
    // What this browser chose before would outdo the new default.
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

async fn clock(
    FromState(world): FromState<Arc<World>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    /// Ten years, so that no sum of them overflows.
    const MOST: u64 = 10 * 366 * 24 * 3600;
    switch(&headers, &body, |fields| {
        let seconds = fields.get("seconds").and_then(|text| text.parse().ok());
        let seconds = seconds.filter(|seconds| *seconds <= MOST);
        let seconds = seconds.ok_or("seconds: a number from 0 to ten years")?;
        world.advance_clock(Duration::from_secs(seconds));
        Ok(json!({ "seconds": seconds }))
    })
}

async fn avatar(
    FromState(world): FromState<Arc<World>>,
    Path((openid, _size)): Path<(String, String)>,
) -> Response {
    let visitor = world.step(|state| state.visitors.find(&openid).cloned());
    match visitor.as_deref().filter(|visitor| visitor.has_avatar) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(visitor) => svg(visitor),
    }
}

fn svg(visitor: &Visitor) -> Response {
    let headers = [(CONTENT_TYPE, "image/svg+xml")];
    (headers, visitor.avatar()).into_response()
}

/// Turns a switch. People get the page again, programs what is now set.
fn switch(
    headers: &HeaderMap,
    body: &[u8],
    turn: impl FnOnce(&BTreeMap<String, String>) -> Result<Value, &'static str>,
) -> Response {
    if is_from_elsewhere(headers) {
        return (StatusCode::FORBIDDEN, "from another site\n").into_response();
    }
    match fields(headers, body).and_then(|fields| turn(&fields)) {
        Err(wrong) => (StatusCode::BAD_REQUEST, Json(json!({ "error": wrong }))).into_response(),
        Ok(_) if mentions(headers, ACCEPT, "text/html") => {
            Redirect::to("/simulator/").into_response()
        }
        Ok(now) => Json(now).into_response(),
    }
}

/// A browser says so of every form it posts; other clients say nothing.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// A form's or a JSON object's fields, as text.
fn fields(headers: &HeaderMap, body: &[u8]) -> Result<BTreeMap<String, String>, &'static str> {
    if !mentions(headers, CONTENT_TYPE, "json") {
        return Ok(form_urlencoded::parse(body).into_owned().collect());
    }
    let object: BTreeMap<String, Value> =
        serde_json::from_slice(body).map_err(|_| "not a JSON object")?;
    let text = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}

fn mentions(headers: &HeaderMap, name: axum::http::HeaderName, what: &str) -> bool {
    headers
        .get(name)
        .map(HeaderValue::as_bytes)
        .is_some_and(|value| String::from_utf8_lossy(value).contains(what))
}
