//! A WeChat simulator: WeChat's two login pages and four api calls, and the two of
//! WeCom (企业微信), to the byte, for people who develop WeChat pages without WeChat, and for the
//! gateway's own tests. [`shop`] is the small legacy app that stands behind
//! the gateway in `wxgate demo`.
//!
//! One server plays both of WeChat's hosts: point `open_base_url` and
//! `api_base_url` at [`Simulator::base_url`].
//!
//! | path | what it is |
//! |---|---|
//! | `/connect/oauth2/authorize` | 网页授权: in WeChat's browser (`MicroMessenger`, not `wxwork`) `snsapi_base` passes unnoticed and `snsapi_userinfo` asks; in any other browser, where WeChat shows a dead end, a choice of visitors. With a corp's app (`agentid`) it passes unnoticed in WeCom's browser (`wxwork`) alone |
//! | `/connect/qrconnect` | the login of a website (网站应用), in ordinary browsers alone; a choice of who scans the code |
//! | `/cgi-bin/gettoken`, `/cgi-bin/auth/getuserinfo` | WeCom's api: a member's userid, or an outsider's openid |
//! | `/sns/oauth2/access_token`, `/sns/oauth2/refresh_token`, `/sns/userinfo`, `/sns/auth` | the api |
//! | `/simulator/` | what happens, for people, with switches for moods and visitors |
//! | `/simulator/choose/{authorize\|qrconnect}/{openid\|snapshot\|refuse}?{the authorize link's query}` | what the buttons of the choice and consent pages link to |
//! | `/simulator/calls`, `/simulator/events` | JSON |
//! | `POST /simulator/mood` | `mood`, and if wanted `api`, `times`, `ms`, `errcode`; form or JSON, as the next two |
//! | `POST /simulator/visitor` | `openid`: who visits when nobody was chosen |
//! | `POST /simulator/clock` | `seconds`: codes and tokens age by so much |
//!
//! What always holds: it is at least as strict as WeChat, so what works here
//! is not refused there for its form; and no page, event or log line holds a
//! secret, code or token (redirects and api answers do, as they must).
//!
//! It is made for loopback and has no access control of its own.
//!
//! Read on in the order of a login: `authorize`, `link`, `hop`,
//! `grants`, `api`, `corp`, `spoil`.

mod api;
mod authorize;
mod complaint;
mod corp;
mod desk;
mod desk_page;
mod errcode;
mod grants;
mod hop;
mod html;
mod journal;
mod link;
mod mood;
mod pages;
mod random;
pub mod shop;
mod socket;
mod spoil;
mod visitors;
mod world;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use tokio::net::TcpListener;

pub use journal::{Calls, Event, Tally};
pub use mood::{Api, Mood};
pub use shop::Shop;
pub use visitors::Visitor;

use mood::Spell;
use socket::Served;
use world::World;

/// What the simulator is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At least one.
    pub accounts: Vec<SimAccount>,
    /// From how many authorizes on WeChat says 10009; `None`, the default,
    /// for never.
    pub too_frequent: Option<Frequency>,
}

impl Settings {
    /// These accounts, and defaults for the rest.
    pub fn new(accounts: Vec<SimAccount>) -> Settings {
        Settings {
            accounts,
            too_frequent: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::new(vec![SimAccount::default()])
    }
}

/// A limit on one visitor's authorizes on one account.
#[derive(Clone, Copy, Debug)]
pub struct Frequency {
    /// So many pass.
    pub authorizes: usize,
    /// In any stretch of time of this length.
    pub within: Duration,
}

/// What kind of account it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SimKind {
    /// 公众号.
    #[default]
    Official,
    /// 网站应用, for qrconnect.
    Website,
    /// An app of 企业微信 (WeCom).
    WeCom {
        /// Its AgentId.
        agent_id: String,
    },
}

/// An account that the simulator knows.
#[derive(Clone)]
pub struct SimAccount {
    /// What kind of account it is.
    pub kind: SimKind,
    /// `wx` and 16 hex digits; a corp's CorpID.
    pub app_id: String,
    /// 32 hex digits.
    pub app_secret: String,
    /// 网页授权域名: each exactly a callback's host, in a sandbox account
    /// with its port if it has one.
    pub callback_hosts: Vec<String>,
    /// 测试号: http, ports and IP addresses are allowed.
    pub sandbox: bool,
    /// Whether `snsapi_userinfo` is allowed; else 10005.
    pub userinfo_granted: bool,
    /// Whether it is bound to an open platform account, so that visitors have a
    /// unionid.
    pub bound: bool,
}

impl Default for SimAccount {
    /// A sandbox account with fixed, well-known demo values and no callback
    /// host.
    fn default() -> SimAccount {
        SimAccount {
            kind: SimKind::Official,
            app_id: "wx5150a7c0ffee0001".to_owned(),
            app_secret: "0123456789abcdef0123456789abcdef".to_owned(),
            callback_hosts: Vec::new(),
            sandbox: true,
            userinfo_granted: true,
            bound: true,
        }
    }
}

impl fmt::Debug for SimAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimAccount")
            .field("kind", &self.kind)
            .field("app_id", &self.app_id)
            .field("app_secret", &"[redacted]")
            .field("callback_hosts", &self.callback_hosts)
            .field("sandbox", &self.sandbox)
            .field("userinfo_granted", &self.userinfo_granted)
            .field("bound", &self.bound)
            .finish()
    }
}

/// A running simulator. Clones are handles to the same one; it serves until
/// [`Simulator::stop`] or until the last handle is dropped.
#[derive(Clone)]
pub struct Simulator {
    served: Arc<Served>,
    world: Arc<World>,
}

impl Simulator {
    /// Serves on `listener`. Fails without an account, or where the listener
    /// has no address.
    pub async fn start(listener: TcpListener, settings: Settings) -> io::Result<Simulator> {
        if settings.accounts.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the simulator needs at least one account",
            ));
        }
        let base_url = format!("http://{}", reachable(listener.local_addr()?));
        let world = Arc::new(World::new(settings, base_url));
        let served = Arc::new(Served::start(listener, router(world.clone()))?);
        Ok(Simulator { served, world })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.served.addr()
    }

    /// `http://127.0.0.1:PORT`, both `open_base_url` and `api_base_url`.
    pub fn base_url(&self) -> String {
        self.world.base_url.clone()
    }

    /// Closes the listener and breaks every connection, for all handles.
    pub async fn stop(self) {
        self.served.stop().await;
    }

    /// Treats later requests so; [`Mood::Normal`] resets.
    pub fn set_mood(&self, mood: Mood) {
        self.cast(mood, None, None);
    }

    /// Treats the next `times` requests that the mood concerns so, then
    /// returns to normal.
    pub fn set_mood_times(&self, mood: Mood, times: u32) {
        match times {
            0 => self.cast(Mood::Normal, None, None),
            _ => self.cast(mood, None, Some(times)),
        }
    }

    /// Treats later calls of one api so, and the others normally. Moods of
    /// the visitor's hop know no api and are as with [`Simulator::set_mood`].
    pub fn set_mood_for(&self, api: Api, mood: Mood) {
        self.cast(mood, Some(api), None);
    }

    fn cast(&self, mood: Mood, only: Option<Api>, times: Option<u32>) {
        self.world.cast(Spell { mood, only, times });
    }

    /// How often each page and api was called, and what came of it.
    pub fn calls(&self) -> Calls {
        self.world.calls()
    }

    /// What it did, newest last, at most 200.
    pub fn events(&self) -> Vec<Event> {
        self.world.events()
    }

    /// Who may visit.
    pub fn visitors(&self) -> Vec<Visitor> {
        self.world.visitors()
    }

    /// Who visits when the browser has chosen nobody. An openid that no
    /// visitor has makes a new one. False, and nothing changed, if it is not
    /// 1 to 64 of `[A-Za-z0-9_-]`, or there are a thousand visitors already.
    pub fn set_default_visitor(&self, openid: &str) -> bool {
        self.world.set_default_visitor(openid)
    }

    /// The openid by which the account knows the visitor whose openid on the
    /// first account is `visitor`.
    pub fn openid_on(&self, app_id: &str, visitor: &str) -> Option<String> {
        self.world.openid_on(app_id, visitor)
    }

    /// Has the visitor with this openid take back what they granted.
    pub fn withdraw(&self, openid: &str) {
        self.world.withdraw(openid);
    }

    /// Makes the visitor with this openid on the first account a member of every
    /// corp, with this userid. False where there is no such visitor.
    pub fn employ(&self, openid: &str, userid: &str) -> bool {
        self.world.employ(openid, userid)
    }

    /// Corps' tokens are unknown from now on, as after a new one was made elsewhere.
    pub fn forget_corp_tokens(&self) {
        self.world.forget_corp_tokens();
    }

    /// Lets codes and tokens age by this much.
    pub fn advance_clock(&self, by: Duration) {
        self.world.advance_clock(by);
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("addr", &self.addr())
            .finish_non_exhaustive()
    }
}

fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/", get(async || Redirect::to("/simulator/")))
        .merge(authorize::routes())
        .merge(api::routes())
        .merge(desk::routes())
        .with_state(world)
}

/// Where a client reaches a listener on every address: on loopback.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

#[cfg(test)]
mod mood_tests;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod test_client;
#[cfg(test)]
mod tests;
