//! The admin paths, on a listener of their own: health, readiness, metrics, a
//! status page, and the end of sessions.
//!
//! Holds always: they are never on the public listener; whoever only asks learns
//! nothing of visitors; whoever orders must show that they have the session keys
//! ([`crate::signing::Keyring::admin_word`]), which who can read the
//! configuration has, and a page in a browser has not.

mod attention;
mod chart;
mod facts;
mod figures;
mod page;
mod status;
mod tables;
mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use self::facts::Facts;
pub use self::status::Listeners;
use self::status::Status;
use crate::assembly::Lasting;
use crate::gateway::Live;
use crate::reload::Record;
use crate::revocation::{self, KEPT, Person, Revocation, Revocations};
use crate::route::LoginAccount;
use crate::secret::Secret;
use crate::session::{Now, Sessions};
use crate::tls::Spoken;
use crate::wechat::{Kind, OpenId, UserId};

/// How often what is counted is noted for the status page.
const LOOK: Duration = Duration::from_secs(10);

/// Where sessions are ended.
pub const REVOKE_PATH: &str = "/sessions/revoke";

/// What the admin paths tell of, and act upon.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The gateway, for its store, its session keys and its accounts.
    pub live: Live,
    /// What came of reading `gateway.toml` anew.
    pub record: Record,
    /// Whether the gateway is being stopped.
    pub stopped: watch::Receiver<bool>,
    /// What is counted, and what else outlives a reading of the file.
    pub lasting: Lasting,
    /// How TLS is spoken, where it is.
    pub spoken: Option<Arc<ArcSwap<Spoken>>>,
    /// Where the gateway listens.
    pub listeners: Listeners,
}

impl Admin {
    /// What there is to tell now.
    fn status(&self) -> Status {
        let (metrics, facts) = (&self.lasting.metrics, Facts::of(self));
        Status::of(metrics, &facts, &self.listeners, SystemTime::now())
    }

    /// Keeps the last day, minute by minute, for as long as it is polled.
    async fn keep_history(&self) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            self.lasting.metrics.note(SystemTime::now());
        }
    }
}

/// Whose sessions are to be ended: exactly one of `session`, `openid`, `userid`,
/// `everyone`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// A session's id, as `/.wxgate/me` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// A visitor's openid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openid: Option<String>,
    /// A corp's member's userid (企业微信).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userid: Option<String>,
    /// With the account of this name; with all accounts without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// All visitors.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
    /// Only sessions that were opened until then, in seconds since 1970; until
    /// now without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Now>,
}

impl Order {
    /// The revocations that it means at `now`, where `ended` has ended already.
    ///
    /// # Errors
    /// What is wrong with it, in words for the operator.
    pub fn revocations(
        &self,
        accounts: &[Arc<LoginAccount>],
        ended: &Revocations,
        now: Now,
    ) -> Result<Vec<Revocation>, String> {
        // Half of it, so that whoever logs in then is let in.
        if let Some(before) = self.before
            && before > now + revocation::LEEWAY / 2
        {
            return Err(format!(
                "before: found {before}, which lies in the future (now is {now}): those who log in until then would be put out again; \
                 expected a moment that has passed"
            ));
        }
        let openid = self.openid.as_deref();
        let userid = self.userid.as_deref();
        match (&self.session, openid, userid, self.everyone) {
            (Some(id), None, None, false) if self.account.is_none() && self.before.is_none() => {
                let id = revocation::parse_id(id).ok_or(
                    "session: expected the id that /.wxgate/me shows, 32 hexadecimal digits",
                )?;
                Ok(vec![Revocation::of_session(id, now.saturating_add(KEPT))])
            }
            (None, Some(openid), None, false) => {
                OpenId::try_from(openid.to_owned())
                    .map_err(|_| "openid: expected letters, digits, \"-\" and \"_\" alone")?;
                self.of_person(Person::OpenId(openid), accounts, ended, now)
            }
            (None, None, Some(userid), false) => {
                UserId::try_from(userid.to_owned()).map_err(
                    |_| "userid: expected letters, digits, \"-\", \"_\", \"@\" and \".\" alone",
                )?;
                self.of_person(Person::Member(userid), accounts, ended, now)
            }
            (None, None, None, true) if self.account.is_none() => {
                let moment = || ended.moment_for_everyone(now);
                Ok(vec![Revocation::of_everyone(
                    self.before.unwrap_or_else(moment),
                )])
            }
            _ => Err("expected one of session, openid, userid (each of these two with account, if it is to be one account's alone) \
                      and everyone; before goes with the last three"
                .to_owned()),
        }
    }

    /// One person with the accounts that may know them: only a corp has members.
    fn of_person(
        &self,
        person: Person<'_>,
        accounts: &[Arc<LoginAccount>],
        ended: &Revocations,
        now: Now,
    ) -> Result<Vec<Revocation>, String> {
        let is_corp = |kind| matches!(kind, Kind::WeCom(_));
        let fits = |account: &&Arc<LoginAccount>| match person {
            Person::OpenId(_) => true,
            Person::Member(_) => is_corp(account.wechat.kind()),
        };
        let wanted = self.account.as_deref();
        let named: Vec<_> = (accounts.iter())
            .filter(fits)
            .filter(|account| wanted.is_none_or(|wanted| wanted == account.name.as_str()))
            .collect();
        if named.is_empty() {
            let names = accounts.iter().filter(fits);
            let names: Vec<_> = names.map(|account| account.name.as_str()).collect();
            return Err(match (names.is_empty(), person) {
                (true, Person::Member(_)) => {
                    "userid: only accounts with kind = \"wecom\" have members, and there is none"
                        .to_owned()
                }
                _ => format!(
                    "account: found a name that is no account{}; expected one of: {}",
                    match person {
                        Person::OpenId(_) => "",
                        Person::Member(_) => " with kind = \"wecom\"",
                    },
                    names.join(", ")
                ),
            });
        }
        let of = |account: &&Arc<LoginAccount>| {
            let app_id = account.wechat.app_id().as_str();
            let moment = || ended.moment(app_id, person, now);
            Revocation::of(app_id, person, self.before.unwrap_or_else(moment))
        };
        Ok(named.iter().map(of).collect())
    }
}

/// Seconds since 1970.
pub fn now() -> Now {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// Serves the admin paths. They answer until the very end, so that whoever sends
/// traffic learns of the drain.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/status.json", get(status_json))
        .route(REVOKE_PATH, post(revoke))
        .with_state(admin.clone());
    let served = async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await };
    tokio::select! {
        ended = served => if let Err(error) = ended {
            warn!("the admin paths ended: {error}");
        },
        () = admin.keep_history() => {}
    }
}

/// What every answer about the state says of itself: it is of now, and nobody's
/// page may load it.
const OF_NOW: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// `/metrics`, in Prometheus' text format.
async fn metrics(State(admin): State<Admin>) -> Response {
    let text = text::write(&admin.lasting.metrics, &Facts::of(&admin));
    let kind = [(header::CONTENT_TYPE, text::CONTENT_TYPE)];
    (OF_NOW, kind, text).into_response()
}

/// What `/status` may be asked.
#[derive(Deserialize)]
struct Paused {
    paused: Option<String>,
}

/// `/status`, a page for people.
async fn status(State(admin): State<Admin>, Query(Paused { paused }): Query<Paused>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY.as_str()),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let html = page::html(&admin.status(), paused.is_some());
    (OF_NOW, headers, html).into_response()
}

/// The same for programs.
async fn status_json(State(admin): State<Admin>) -> Response {
    (OF_NOW, Json(admin.status())).into_response()
}

/// What `/readyz` may be asked to leave out.
#[derive(Deserialize)]
struct Except {
    except: Option<String>,
}

/// Whether traffic may come, and whether the store answers. A balancer that would
/// take every instance away while their store is down asks `/readyz?except=store`:
/// sessions go on meanwhile, once it is known which have ended.
async fn ready(State(admin): State<Admin>, Query(Except { except }): Query<Except>) -> Response {
    if *admin.stopped.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let gateway = admin.live.gateway();
    let knows = gateway.sessions.ended().is_complete();
    match gateway.store.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(error) if except.as_deref() == Some("store") && knows => {
            format!("ready, but for the store: {error}\n").into_response()
        }
        Err(error) => {
            let text = format!("store: {error}\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn revoke(State(admin): State<Admin>, headers: HeaderMap, body: Bytes) -> Response {
    let gateway = admin.live.gateway();
    if !knows_the_word(&gateway.sessions, &headers) {
        let message = "expected Authorization: Bearer WORD, which `wxgate sessions` knows";
        return refuse(StatusCode::UNAUTHORIZED, message);
    }
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let revocations = match order.revocations(&gateway.accounts, gateway.sessions.ended(), now()) {
        Ok(revocations) => revocations,
        Err(message) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &message),
    };
    for revocation in &revocations {
        let done = gateway.store.revoke(revocation).await;
        info!(certain = done.is_ok(), "an operator ended {revocation:?}");
        if let Err(error) = done {
            let message = format!(
                "ended at this instance, and tried again until all know it; not certain yet: {error}"
            );
            return refuse(StatusCode::SERVICE_UNAVAILABLE, &message);
        }
    }
    Json(json!({"code": 0, "data": {"revocations": revocations.len()}})).into_response()
}

fn knows_the_word(sessions: &Sessions, headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .is_some_and(|word| sessions.keys().is_admin_word(word))
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = json!({"code": status.as_u16(), "message": message});
    (status, Json(body)).into_response()
}

/// What became of an order that was sent to a running gateway.
#[derive(Debug)]
pub enum Sent {
    /// It was carried out.
    Done,
    /// It was not, and why.
    Refused(String),
    /// No gateway listens there.
    Nobody,
}

/// Sends `order` to the gateway whose admin paths are at `address`.
pub async fn send(address: SocketAddr, word: &Secret, order: &Order) -> Sent {
    let address = SocketAddr::new(here(address.ip()), address.port());
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(10))
        .build();
    let body = serde_json::to_string(order).unwrap_or_default();
    let sent = async {
        client?
            .post(format!("http://{address}{REVOKE_PATH}"))
            .bearer_auth(word.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
    };
    match sent.await {
        Ok(answer) if answer.status().is_success() => Sent::Done,
        Ok(answer) => {
            let status = answer.status();
            let told = answer.text().await.unwrap_or_default();
            let message = serde_json::from_str::<serde_json::Value>(&told)
                .ok()
                .and_then(|told| Some(told.get("message")?.as_str()?.to_owned()));
            Sent::Refused(match message {
                Some(message) => format!("{status}: {message}"),
                None => format!("{status}: is this a wxgate's admin_listen?"),
            })
        }
        Err(error) if error.is_connect() => Sent::Nobody,
        Err(error) => Sent::Refused(crate::wechat::api::reason(&error.without_url())),
    }
}

/// Asks the gateway whose admin paths are at `address` whether traffic may come:
/// `/readyz`, with `except` if that is given. What it says, and whether it is a yes.
///
/// # Errors
/// When nobody answers, in words for the operator.
pub async fn ask_ready(
    address: SocketAddr,
    except: Option<&str>,
) -> Result<(bool, String), String> {
    let address = SocketAddr::new(here(address.ip()), address.port());
    let except = except.map(|except| format!("?except={except}"));
    let url = format!("http://{address}/readyz{}", except.unwrap_or_default());
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(10))
        .build();
    let asked = async {
        let answer = client?.get(url).send().await?;
        Ok((answer.status().is_success(), answer.text().await?))
    };
    asked.await.map_err(|error: reqwest::Error| {
        let why = crate::wechat::api::reason(&error.without_url());
        format!("no gateway answers at {address} ({why})")
    })
}

/// Where a listener on `address` is reached from this machine.
fn here(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}
