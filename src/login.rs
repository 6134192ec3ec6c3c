//! No session: remember where the visitor wanted to go, and send them to
//! WeChat: where their account's callback is another host, or its secret another
//! gateway's, by way of that.
//!
//! Holds always: each login lives in a signed cookie of its own, which only the
//! callback, and what lies below it, is sent, so that tabs do not fight, a restart loses nothing and no
//! app sees it. It ends after ten minutes, and a browser has at most four: a
//! fifth drops the oldest. A login that finished stays for two minutes, so that
//! a doubled callback finds its way and a loop can be seen.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::cookies::{self, CookieSettings, MaxAge};
use crate::origin::{Host, PublicOrigin, PublicScheme, ReturnTo};
use crate::reply::Reply;
use crate::request::Asked;
use crate::revocation::SessionId;
use crate::route::{LoginAccount, Need, OutsideWeChat, Route, Snapshot};
use crate::session::{Millis, Session, Sessions};
use crate::signing::{self, MAX_TOKEN, Purpose, SealError};
use crate::signon::{Ask, Binding, ClientAsk, SIGN_ON_PATH};
use crate::wechat::{Scope, State};

/// Where WeChat sends visitors back to: short and constant, for WeChat keeps
/// long links badly.
pub const CALLBACK_PATH: &str = "/.wxgate/callback";
/// In seconds, as cookies count.
const LIFETIME: u64 = 600;
/// By how much another machine's clock may be ahead of ours, in milliseconds.
const CLOCK_LEEWAY: Millis = 60_000;
/// How long a finished login is remembered.
pub const FINISHED_LIFETIME: u64 = 120;
const MAX_IN_FLIGHT: usize = 4;
/// How often a login is started again by itself before a page is shown.
pub const MAX_ATTEMPT: u8 = 2;

/// A login, as its cookie tells it.
#[derive(Debug)]
pub struct Login {
    /// What WeChat must bring back.
    pub state: State,
    /// The host the visitor came to.
    pub host: Host,
    /// With which account, by the name of its table.
    pub account: String,
    /// And by its appid, should the table have changed.
    pub app_id: String,
    /// What the session that it ends with must have.
    pub need: Need,
    /// The session that is not enough, whatever it tells: its tokens are gone.
    pub instead_of: Option<SessionId>,
    /// What it ends with.
    pub opens: Opens,
    /// Where the visitor wanted to go.
    pub to: ReturnTo,
    /// When it began.
    pub started: Millis,
    /// When it succeeded.
    pub finished: Option<Millis>,
    /// Whether this browser is known to have begun it: its piece stands in the
    /// list of logins in flight. The list's name binds it to this very host,
    /// while any host of the domain can add a cookie for the callback.
    pub listed: bool,
}

/// What a login ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opens {
    /// A session.
    Session,
    /// A session, and then a login with the account of this name, under which the
    /// visitor pays.
    SessionThenPayer(String),
    /// That second login: who pays, beside the session with this id.
    Payer(SessionId),
    /// A ticket for the host that asked, and nothing that stays here.
    Ticket,
}

impl Opens {
    /// What the login with its account ends with that a request for `route` begins:
    /// wherever WeChat can be asked in silence, who pays is asked right behind.
    pub fn for_route(route: &Route, asked: &Asked<'_>) -> Self {
        match &route.pay_account {
            Some(pays) if route.leads_to_wechat(asked) => {
                Self::SessionThenPayer(pays.name.as_str().to_owned())
            }
            _ => Self::Session,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    state: &'a str,
    host: &'a str,
    account: &'a str,
    app_id: &'a str,
    scope: Scope,
    to: &'a str,
    started: u64,
    finished: Option<u64>,
    tokens: bool,
    unionid: bool,
    instead_of: Option<SessionId>,
    opens: Opens,
}

/// What a new login is about.
#[derive(Debug)]
pub struct Start<'a> {
    /// The host the visitor came to.
    pub host: &'a Host,
    /// What their browser sees of it.
    pub origin: PublicOrigin,
    /// With which account.
    pub account: &'a LoginAccount,
    /// What the session that it ends with must have.
    pub need: Need,
    /// The session that is not enough, whatever it tells.
    pub instead_of: Option<SessionId>,
    /// What it ends with.
    pub opens: Opens,
    /// Where the visitor wants to go.
    pub to: ReturnTo,
    /// Which try this is, from 0.
    pub attempt: u8,
    /// The route it is for: what that allows is told to a callback's host that
    /// is another one.
    pub route: Option<&'a Route>,
}

impl Start<'_> {
    /// Where the visitor is sent.
    fn url(&self, sessions: &Sessions, state: &State, now: Millis) -> Result<String, SealError> {
        let wechat = &self.account.wechat;
        if sessions.is_direct(self.host, self.account) {
            return Ok(wechat.authorize_url(CALLBACK_PATH, self.need.scope, state));
        }
        let ask = self.ask(state, now);
        let origin = wechat.callback_origin().as_str();
        if let Some(via) = self.account.via() {
            let ask = ClientAsk {
                origin: self.origin.clone(),
                ask,
                kind: wechat.kind().name(),
                probe: false,
            };
            let (client, ask) = (via.client.as_str(), ask.seal(via)?);
            return Ok(format!("{origin}{SIGN_ON_PATH}?client={client}&ask={ask}"));
        }
        let ask = ask.seal(sessions.keys())?;
        Ok(format!("{origin}{SIGN_ON_PATH}?ask={ask}"))
    }

    fn ask(&self, state: &State, now: Millis) -> Ask {
        Ask {
            host: self.host.clone(),
            account: self.account.name.as_str().to_owned(),
            app_id: self.account.wechat.app_id().as_str().to_owned(),
            need: self.need,
            instead_of: self.instead_of,
            // What a snapshot page's visitor would pay with is made up too.
            snapshots: !matches!(self.opens, Opens::Payer(_))
                && (self.route).is_some_and(|route| route.snapshot == Snapshot::ReadOnly),
            outside: (self.route)
                .is_some_and(|route| route.outside_wechat == OutsideWeChat::Redirect),
            fresh: matches!(self.opens, Opens::Payer(_)),
            binding: Binding::of(state),
            attempt: self.attempt,
            made: now,
        }
    }
}

/// Starts a login: 302 to WeChat, or to the callback's host, with a cookie that
/// remembers it.
///
/// # Errors
/// When the system gives no random bytes.
pub fn start<'h>(
    sessions: &Sessions,
    cookie_lines: impl Iterator<Item = &'h [u8]>,
    start: Start<'_>,
    now: Millis,
) -> Result<Reply, SealError> {
    let state = State::random(start.attempt).map_err(|_| SealError)?;
    let url = start.url(sessions, &state, now)?;
    let login = Login {
        host: start.host.clone(),
        account: start.account.name.as_str().to_owned(),
        app_id: start.account.wechat.app_id().as_str().to_owned(),
        need: start.need,
        instead_of: start.instead_of,
        opens: start.opens,
        to: start.to,
        started: now,
        finished: None,
        listed: true,
        state,
    };
    let (settings, place) = (sessions.cookies(), sessions.place(start.host));
    let mut pieces = pending(settings, cookie_lines);
    pieces.retain(|piece| piece != login.state.piece());
    pieces.push(login.state.piece().to_owned());
    let dropped = pieces.len().saturating_sub(MAX_IN_FLIGHT);
    let mut reply = Reply::redirect(&url).with_cookie(&login.write(sessions, LIFETIME));
    for piece in pieces.drain(..dropped) {
        reply = reply.with_cookie(&forget_piece(settings, place, &piece));
    }
    let list = settings.write(
        place,
        settings.pending_name(),
        &pieces.join("."),
        "/",
        MaxAge::Seconds(LIFETIME),
    );
    Ok(reply.with_cookie(&list))
}

/// The pieces of the logins in flight, oldest first. The list is not signed:
/// whoever can write it owns the browser, and drops logins of their own.
fn pending<'h>(
    settings: &CookieSettings,
    cookie_lines: impl Iterator<Item = &'h [u8]>,
) -> Vec<String> {
    let cookies::Found::Once(list) = cookies::find(cookie_lines, settings.pending_name()) else {
        return Vec::new();
    };
    let text = std::str::from_utf8(list).unwrap_or_default();
    text.split('.')
        .filter(|piece| State::is_piece(piece))
        .take(2 * MAX_IN_FLIGHT)
        .map(str::to_owned)
        .collect()
}

fn forget_piece(settings: &CookieSettings, place: &str, piece: &str) -> String {
    settings.write(
        place,
        &settings.login_name(piece),
        "",
        CALLBACK_PATH,
        MaxAge::Delete,
    )
}

/// `Set-Cookie`s that end every login in flight that the browser tells `host` of.
pub fn forget_all<'h>(
    sessions: &Sessions,
    host: &Host,
    cookie_lines: impl Iterator<Item = &'h [u8]>,
) -> Vec<String> {
    let (settings, place) = (sessions.cookies(), sessions.place(host));
    let mut gone: Vec<String> = pending(settings, cookie_lines)
        .iter()
        .map(|piece| forget_piece(settings, place, piece))
        .collect();
    if !gone.is_empty() {
        let name = settings.pending_name();
        gone.push(settings.write(place, name, "", "/", MaxAge::Delete));
    }
    gone
}

/// The logins that a callback to `host` carries, at most four. Those that do
/// not verify, are too old or belong elsewhere are none.
pub fn carried(sessions: &Sessions, headers: &HeaderMap, host: &Host, now: Millis) -> Vec<Login> {
    let settings = sessions.cookies();
    let listed = pending(settings, cookies::lines(headers));
    let mut logins: Vec<Login> = cookies::pairs(cookies::lines(headers))
        .filter_map(|(name, token)| Some((settings.login_piece(name)?, token)))
        // An attacker below the same domain can add cookies; verifying is not free.
        .take(4 * MAX_IN_FLIGHT)
        .filter_map(|(piece, token)| {
            let mut login = Login::read(sessions, token)?;
            login.listed = listed.iter().any(|known| known == piece);
            let ours =
                login.state.piece() == piece && sessions.place(&login.host) == sessions.place(host);
            (ours && login.is_alive(now)).then_some(login)
        })
        .collect();
    logins.sort_by_key(|login| std::cmp::Reverse(login.started));
    logins.truncate(MAX_IN_FLIGHT);
    logins
}

impl Login {
    fn read(sessions: &Sessions, token: &[u8]) -> Option<Self> {
        let mut room = [0; MAX_TOKEN];
        let opened = sessions.keys().open(Purpose::Login, token, &mut room)?;
        let wire: Wire<'_> = signing::whole(opened.payload)?;
        let host = Host::new(wire.host)?;
        // Whether it stays at the host does not depend on the scheme.
        let origin = PublicOrigin::of(PublicScheme::Https, &host);
        Some(Self {
            state: State::parse(wire.state)?,
            host,
            account: wire.account.to_owned(),
            app_id: wire.app_id.to_owned(),
            need: Need {
                scope: wire.scope,
                tokens: wire.tokens,
                unionid: wire.unionid,
            },
            instead_of: wire.instead_of,
            opens: wire.opens,
            to: ReturnTo::of_request(&origin, wire.to)?,
            started: wire.started,
            finished: wire.finished,
            listed: false,
        })
    }

    fn write(&self, sessions: &Sessions, lifetime: u64) -> String {
        let wire = Wire {
            state: self.state.as_str(),
            host: self.host.as_str(),
            account: &self.account,
            app_id: &self.app_id,
            scope: self.need.scope,
            to: self.to.as_str(),
            started: self.started,
            finished: self.finished,
            tokens: self.need.tokens,
            unionid: self.need.unionid,
            instead_of: self.instead_of,
            opens: self.opens.clone(),
        };
        let payload = postcard::to_stdvec(&wire).unwrap_or_default();
        let token = sessions.keys().seal(Purpose::Login, &payload);
        let settings = sessions.cookies();
        settings.write(
            sessions.place(&self.host),
            &settings.login_name(self.state.piece()),
            &token,
            CALLBACK_PATH,
            MaxAge::Seconds(lifetime),
        )
    }

    fn is_alive(&self, now: Millis) -> bool {
        let (since, lifetime) = match self.finished {
            Some(finished) => (finished, FINISHED_LIFETIME),
            None => (self.started, LIFETIME),
        };
        now.saturating_sub(since) < lifetime * 1000 && since <= now.saturating_add(CLOCK_LEEWAY)
    }

    /// `Set-Cookie` that notes the success.
    pub fn finish(mut self, sessions: &Sessions, now: Millis) -> String {
        self.finished = Some(now);
        self.write(sessions, FINISHED_LIFETIME)
    }

    /// `Set-Cookie` that ends this login.
    pub fn forget(&self, sessions: &Sessions) -> String {
        let place = sessions.place(&self.host);
        forget_piece(sessions.cookies(), place, self.state.piece())
    }

    /// Whether `session` is what this login is for.
    pub fn is_met_by(&self, session: &Session) -> bool {
        self.need.is_met_by(session.has()) && self.instead_of.as_ref() != Some(session.id())
    }

    /// Whether this browser has no need of this login if it kept what `other` ended
    /// with.
    fn repeats(&self, other: &Self) -> bool {
        let alike = other.account == self.account && other.need == self.need;
        match (&self.opens, &other.opens) {
            // Of who pays there is one beside each session.
            (Opens::Payer(own), Opens::Payer(theirs)) => alike && own == theirs,
            (Opens::Payer(_), _) => false,
            // Nothing is kept: only the same ask again is a repetition.
            (Opens::Ticket, _) => alike && self.to == other.to,
            // Each began beside a session, which was not kept then.
            (_, Opens::Payer(_)) => true,
            (_, _) => alike,
        }
    }

    /// How many logins of the same kind this browser finished just before
    /// this one began. A browser that keeps the session needs none; tabs that
    /// log in side by side begin before the others finish.
    pub fn rounds_before(&self, others: &[Login]) -> usize {
        others
            .iter()
            .filter(|other| self.repeats(other))
            .filter(|other| {
                other
                    .finished
                    .is_some_and(|finished| finished <= self.started)
            })
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Need = Need {
        scope: Scope::Base,
        tokens: false,
        unionid: false,
    };

    fn login(started: Millis, finished: Option<Millis>) -> Login {
        Login {
            state: State::random(0).unwrap(),
            host: Host::new("a.example").unwrap(),
            account: "shop".to_owned(),
            app_id: "wx1".to_owned(),
            need: BASE,
            instead_of: None,
            opens: Opens::Session,
            to: ReturnTo::root(),
            started,
            finished,
            listed: true,
        }
    }

    #[test]
    fn rounds_are_counted_and_tabs_are_not() {
        let chain = [
            login(10, Some(12)),
            login(13, Some(15)),
            login(16, Some(18)),
        ];
        assert_eq!(login(19, None).rounds_before(&chain), 3);
        let tabs = [login(10, Some(15)), login(11, Some(16)), login(12, None)];
        assert_eq!(login(13, None).rounds_before(&tabs), 0);
    }

    #[test]
    fn rounds_of_a_second_login_are_those_beside_one_session() {
        let opening = |opens, started, finished| Login {
            opens,
            ..login(started, finished)
        };
        let payer = |id, at| opening(Opens::Payer([id; 16]), at, Some(at + 1));
        let before = [
            payer(1, 10),
            payer(1, 20),
            payer(2, 30),
            login(40, Some(41)),
        ];
        let now = |opens| opening(opens, 50, None).rounds_before(&before);
        assert_eq!(now(Opens::Payer([1; 16])), 2);
        assert_eq!(now(Opens::Payer([2; 16])), 1);
        assert_eq!(now(Opens::Payer([3; 16])), 0);
        // Whoever logs in anew has lost the sessions that those began beside.
        assert_eq!(now(Opens::Session), 4);
        assert_eq!(now(Opens::SessionThenPayer("pay".to_owned())), 4);
        // Other hosts ask again and again, each for its own visitor.
        let mut asks = [10, 20, 30].map(|at| opening(Opens::Ticket, at, Some(at + 1)));
        let origin = PublicOrigin::of(PublicScheme::Https, &Host::new("a.example").unwrap());
        for (at, ask) in asks.iter_mut().enumerate() {
            ask.to = ReturnTo::of_request(&origin, &format!("/?{at}")).unwrap();
        }
        let mut again = opening(Opens::Ticket, 50, None);
        assert_eq!(again.rounds_before(&asks), 0);
        again.to = asks[1].to.clone();
        assert_eq!(again.rounds_before(&asks), 1);
    }

    /// The logins that a callback to `host` finds among `lines`.
    fn found(sessions: &Sessions, lines: &[&str], host: &str, now: Millis) -> Vec<Login> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let pair = line.split(';').next().unwrap();
            headers.append(http::header::COOKIE, pair.parse().unwrap());
        }
        carried(sessions, &headers, &Host::new(host).unwrap(), now)
    }

    #[test]
    fn a_login_is_found_in_time_at_its_host_and_under_its_own_name() {
        let sessions = crate::session::tests::sessions(None);
        let mine = login(1_000_000, None);
        let cookie = mine.write(&sessions, LIFETIME);
        let list = format!(
            "{}={}",
            sessions.cookies().pending_name(),
            mine.state.piece()
        );
        let both = [cookie.as_str(), list.as_str()];
        let all = found(&sessions, &both, "a.example", 1_000_000);
        assert!(matches!(all.as_slice(), [one] if one.listed && one.state == mine.state));
        assert_eq!(found(&sessions, &both, "a.example", 1_599_999).len(), 1);
        assert_eq!(found(&sessions, &both, "a.example", 1_600_000).len(), 0);
        assert_eq!(found(&sessions, &both, "b.example", 1_000_000).len(), 0);
        let unlisted = found(&sessions, &both[..1], "a.example", 1_000_000);
        assert!(matches!(unlisted.as_slice(), [one] if !one.listed));
        let renamed = cookie.replacen(mine.state.piece(), "00000000", 1);
        assert_eq!(
            found(&sessions, &[&renamed, &list], "a.example", 1_000_000).len(),
            0
        );
        let others = crate::session::tests::sessions(None);
        assert_eq!(found(&others, &both, "a.example", 1_000_000).len(), 0);
    }

    #[test]
    fn a_signed_way_back_is_parsed_all_the_same() {
        let sessions = crate::session::tests::sessions(None);
        let opened = |to: &str| {
            let wire = Wire {
                state: "00112233445566778899aabbccddeeff0",
                host: "a.example",
                account: "shop",
                app_id: "wx1",
                scope: Scope::Base,
                to,
                started: 1,
                finished: None,
                tokens: false,
                unionid: false,
                instead_of: None,
                opens: Opens::Session,
            };
            let payload = postcard::to_stdvec(&wire).unwrap();
            let token = sessions.keys().seal(Purpose::Login, &payload);
            Login::read(&sessions, token.as_bytes())
        };
        assert_eq!(opened("/x?y").unwrap().to.as_str(), "/x?y");
        for to in [
            "",
            "@evil.example",
            ".evil.example/",
            "https://evil.example",
            "/\n/x",
        ] {
            assert!(opened(to).is_none(), "{to:?}");
        }
    }

    #[test]
    fn a_login_ends() {
        assert!(login(1_000_000, None).is_alive(1_599_999));
        assert!(!login(1_000_000, None).is_alive(1_600_000));
        assert!(login(1_000_000, Some(1_500_000)).is_alive(1_619_999));
        assert!(!login(1_000_000, Some(1_500_000)).is_alive(1_620_000));
        assert!(login(1_050_000, None).is_alive(1_000_000));
        assert!(!login(2_000_000, None).is_alive(1_000_000));
    }
}
