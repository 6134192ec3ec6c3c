//! What crosses from one host to another when a visitor logs in at a host that
//! is not their account's callback: an ask goes there, a ticket comes back.
//!
//! ```text
//! host      no session: a login of its own, 302 with an ask
//! callback  a session, or WeChat first; 302 with a ticket
//! host      the login's cookie, the ticket once: a session; 302 to the target
//! ```
//!
//! Between two gateways of one account, a client and the one that holds the secret,
//! the way is the same: see `client`.
//!
//! Holds always: both are sealed under a key of their own, which is made of the
//! session keys and of the login they belong to; a ticket opens at the host it
//! was made for, and for the browser alone whose login it is bound to, for it
//! carries a hash of that login's state, and the state leaves the cookie never.
//! Neither tells whoever reads an address who the visitor is or where they want
//! to go. Time is an argument, in milliseconds since 1970.

mod client;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

pub use self::client::{ClientAsk, ClientTicket, Named, NoAsk, Verdict};
use crate::origin::{Host, ReturnTo};
use crate::revocation::SessionId;
use crate::route::Need;
use crate::session::{Millis, Session, Sessions};
use crate::signing::{self, Keyring, MAX_TOKEN, Purpose, SealError};
use crate::store::Key;
use crate::wechat::{Scope, State};

/// Where the callback's host is asked.
pub const SIGN_ON_PATH: &str = "/.wxgate/sign-on";
/// Where a ticket is taken: below the callback, so that the cookies of logins are
/// sent there.
pub const TICKET_PATH: &str = "/.wxgate/callback/ticket";

/// How long an ask may take, a visit at WeChat included: as long as a login.
const ASK_LIFETIME: Millis = 600_000;
/// How long a ticket may take from one host to the other.
const TICKET_LIFETIME: Millis = 30_000;
/// By how much another machine's clock may be ahead of ours.
const CLOCK_LEEWAY: Millis = 60_000;
const BINDING_LEN: usize = 32;

/// Which login an ask and a ticket belong to, without telling its state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; BINDING_LEN]);

impl Binding {
    /// That of the login whose state is `state`.
    pub fn of(state: &State) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"wxgate\0sign-on\0");
        hash.update(state.as_str());
        Self(hash.finalize().into())
    }
}

/// What the callback's host is asked for.
pub struct Ask {
    /// The host that asks.
    pub host: Host,
    /// With which account, by the name of its table.
    pub account: String,
    /// And by its appid, should the table have changed.
    pub app_id: String,
    /// What the session must have.
    pub need: Need,
    /// The session that is not enough, whatever it tells.
    pub instead_of: Option<SessionId>,
    /// Whether a snapshot page's visitor may come.
    pub snapshots: bool,
    /// Whether any browser may be sent to WeChat with an official account.
    pub outside: bool,
    /// Whether WeChat is to be asked now, whoever has a session there, and none is
    /// to stay there: the openid goes beside another's session.
    pub fresh: bool,
    /// The login that it is for.
    pub binding: Binding,
    /// Which try that is, from 0.
    pub attempt: u8,
    /// When it was made.
    pub made: Millis,
}

#[derive(Serialize, Deserialize)]
struct AskWire<'a> {
    host: &'a str,
    account: &'a str,
    app_id: &'a str,
    scope: Scope,
    tokens: bool,
    unionid: bool,
    instead_of: Option<SessionId>,
    snapshots: bool,
    outside: bool,
    fresh: bool,
    attempt: u8,
    made: u64,
}

impl Ask {
    /// The ask as it stands in an address.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, keys: &Keyring) -> Result<String, SealError> {
        let payload = postcard::to_stdvec(&self.wire()).unwrap_or_default();
        seal(keys, Purpose::Ask, &self.binding, b"", &payload)
    }

    fn wire(&self) -> AskWire<'_> {
        AskWire {
            host: self.host.as_str(),
            account: &self.account,
            app_id: &self.app_id,
            scope: self.need.scope,
            tokens: self.need.tokens,
            unionid: self.need.unionid,
            instead_of: self.instead_of,
            snapshots: self.snapshots,
            outside: self.outside,
            fresh: self.fresh,
            attempt: self.attempt,
            made: self.made,
        }
    }

    /// The ask of an address whose query is `query`; `None` where none of ours
    /// stands there, once.
    pub fn of_query(keys: &Keyring, query: &str) -> Option<Self> {
        let (binding, payload) = open(keys, Purpose::Ask, b"", &only(query, "ask")?)?;
        Self::of_wire(signing::whole(&payload)?, binding)
    }

    fn of_wire(wire: AskWire<'_>, binding: Binding) -> Option<Self> {
        Some(Self {
            host: Host::new(wire.host)?,
            account: wire.account.to_owned(),
            app_id: wire.app_id.to_owned(),
            need: Need {
                scope: wire.scope,
                tokens: wire.tokens,
                unionid: wire.unionid,
            },
            instead_of: wire.instead_of,
            snapshots: wire.snapshots,
            outside: wire.outside,
            fresh: wire.fresh,
            binding,
            attempt: wire.attempt,
            made: wire.made,
        })
    }

    /// The query of `to`, if that is where the callback's host is asked.
    pub fn query_of(to: &ReturnTo) -> Option<&str> {
        let (path, query) = to.as_str().split_once('?')?;
        (path == SIGN_ON_PATH).then_some(query)
    }

    /// Whether it is in time.
    pub fn is_alive(&self, now: Millis) -> bool {
        in_time(self.made, ASK_LIFETIME, now)
    }

    /// Whether `session` is what is asked for.
    pub fn is_met_by(&self, session: &Session) -> bool {
        let enough = match session.is_snapshot() {
            true => self.snapshots && self.need.is_named_by(session.has()),
            false => self.need.is_met_by(session.has()),
        };
        enough && self.instead_of.as_ref() != Some(session.id())
    }
}

/// A session on its way from the callback's host to the one that asked.
pub struct Ticket {
    /// The session, as it holds at the callback's host.
    pub session: Session,
    /// The login that it is for.
    pub binding: Binding,
    /// Which try that is, from 0.
    pub attempt: u8,
    /// When it was made.
    pub made: Millis,
}

#[derive(Serialize, Deserialize)]
struct TicketWire<'a> {
    session: &'a [u8],
    attempt: u8,
    made: u64,
}

impl Ticket {
    /// The answer to `ask`.
    pub fn new(ask: &Ask, session: Session, now: Millis) -> Self {
        Self {
            session,
            binding: ask.binding,
            attempt: ask.attempt,
            made: now,
        }
    }

    /// The ticket as it stands in an address of `host`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, keys: &Keyring, host: &Host) -> Result<String, SealError> {
        let wire = TicketWire {
            session: &Sessions::pack(&self.session),
            attempt: self.attempt,
            made: self.made,
        };
        let payload = postcard::to_stdvec(&wire).unwrap_or_default();
        let context = host.as_str().as_bytes();
        seal(keys, Purpose::Ticket, &self.binding, context, &payload)
    }

    /// The ticket of an address of `host` whose query is `query`; `None` where
    /// none of ours for this host stands there, once.
    pub fn of_query(keys: &Keyring, host: &Host, query: &str) -> Option<Self> {
        let context = host.as_str().as_bytes();
        let (binding, payload) = open(keys, Purpose::Ticket, context, &only(query, "t")?)?;
        let wire: TicketWire<'_> = signing::whole(&payload)?;
        Some(Self {
            session: Sessions::unpack(wire.session)?,
            binding,
            attempt: wire.attempt,
            made: wire.made,
        })
    }

    /// Whether it is in time.
    pub fn is_alive(&self, now: Millis) -> bool {
        in_time(self.made, TICKET_LIFETIME, now)
    }

    /// Where the store notes that it was used: one place for all tickets of one
    /// login.
    pub fn key(&self) -> Key {
        let mut hash = Sha256::new();
        hash.update(b"wxgate\0ticket\0");
        hash.update(self.binding.0);
        hash.finalize().into()
    }
}

/// How long it must be remembered that a login's ticket was used: as long as
/// another could be in time.
pub const USED: std::time::Duration =
    std::time::Duration::from_millis(ASK_LIFETIME + TICKET_LIFETIME + 2 * CLOCK_LEEWAY);

fn in_time(made: Millis, lifetime: Millis, now: Millis) -> bool {
    now.saturating_sub(made) < lifetime && made <= now.saturating_add(CLOCK_LEEWAY)
}

fn seal(
    keys: &Keyring,
    purpose: Purpose,
    binding: &Binding,
    context: &[u8],
    payload: &[u8],
) -> Result<String, SealError> {
    let record = keys.conceal(purpose, &binding.0, context, payload)?;
    let head = binding.0.iter();
    let all: Vec<u8> = head.chain(&record).copied().collect();
    Ok(URL_SAFE_NO_PAD.encode(all))
}

fn open(
    keys: &Keyring,
    purpose: Purpose,
    context: &[u8],
    text: &str,
) -> Option<(Binding, zeroize::Zeroizing<Vec<u8>>)> {
    let short = text.len() <= MAX_TOKEN;
    let all = short.then(|| URL_SAFE_NO_PAD.decode(text).ok())??;
    let (binding, record) = all.split_first_chunk::<BINDING_LEN>()?;
    let payload = keys.reveal(purpose, binding, context, record)?;
    Some((Binding(*binding), payload))
}

/// The value of `name` in `query`, if it stands there once.
fn only(query: &str, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value.into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::{session, sessions};

    pub(super) const NOW: Millis = 1_000_000;

    pub(super) fn state() -> State {
        State::random(1).unwrap()
    }

    pub(super) fn ask(state: &State) -> Ask {
        Ask {
            host: Host::new("h.example").unwrap(),
            account: "shop".to_owned(),
            app_id: "wxaaaaaaaaaaaaaaaa".to_owned(),
            need: Need::OPENID,
            instead_of: None,
            snapshots: false,
            outside: false,
            fresh: false,
            binding: Binding::of(state),
            attempt: 1,
            made: NOW,
        }
    }

    #[test]
    fn an_ask_says_what_was_asked_and_is_readable_by_us_alone() {
        let (ours, others, state) = (sessions(None), sessions(None), state());
        let text = ask(&state).seal(ours.keys()).unwrap();
        let query = format!("ask={text}");
        let opened = Ask::of_query(ours.keys(), &query).unwrap();
        assert_eq!(opened.host.as_str(), "h.example");
        assert_eq!((opened.attempt, opened.made), (1, NOW));
        assert!(opened.binding == Binding::of(&state));
        assert!(Ask::of_query(others.keys(), &query).is_none());
        assert!(Ask::of_query(ours.keys(), &format!("{query}&{query}")).is_none());
        assert!(Ask::of_query(ours.keys(), &format!("t={text}")).is_none());
        // It is no ticket, wherever it is brought.
        let host = Host::new("h.example").unwrap();
        assert!(Ticket::of_query(ours.keys(), &host, &format!("t={text}")).is_none());
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for told in ["h.example", "shop", "wxaaaa", state.as_str()] {
            let told = told.as_bytes();
            assert!(!bytes.windows(told.len()).any(|part| part == told));
        }
    }

    #[test]
    fn a_ticket_opens_at_its_host_alone_and_with_no_byte_changed() {
        let (all, state) = (sessions(None), state());
        let host = |name| Host::new(name).unwrap();
        let made = session("callback.example", NOW / 1000);
        let ticket = Ticket::new(&ask(&state), made, NOW);
        let text = ticket.seal(all.keys(), &host("h.example")).unwrap();
        let opened = |text: &str, at| Ticket::of_query(all.keys(), &host(at), &format!("t={text}"));
        let ours = opened(&text, "h.example").unwrap();
        assert!(ours.session == ticket.session && ours.binding == ticket.binding);
        assert!(opened(&text, "i.example").is_none());
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(opened(&forged, "h.example").is_none(), "{at}");
            assert!(
                opened(text.get(..at).unwrap(), "h.example").is_none(),
                "{at}"
            );
        }
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for told in ["oVisitor", "小明", state.as_str()] {
            let told = told.as_bytes();
            assert!(!bytes.windows(told.len()).any(|part| part == told));
        }
        // Two tickets of one login are used once.
        let again = Ticket::new(&ask(&state), session("callback.example", 5), NOW + 9);
        assert_eq!(again.key(), ticket.key());
    }

    #[test]
    fn an_ask_lives_for_ten_minutes_and_a_ticket_for_half_of_one() {
        let state = state();
        let ask = ask(&state);
        assert!(ask.is_alive(NOW) && ask.is_alive(NOW + 599_999));
        assert!(!ask.is_alive(NOW + 600_000) && !ask.is_alive(NOW - 60_001));
        let ticket = Ticket::new(&ask, session("callback.example", 1000), NOW);
        assert!(ticket.is_alive(NOW) && ticket.is_alive(NOW + 29_999));
        assert!(!ticket.is_alive(NOW + 30_000) && !ticket.is_alive(NOW - 60_001));
        assert!(ticket.is_alive(NOW - 60_000));
    }

    #[test]
    fn an_ask_is_met_by_what_it_asks_for() {
        let (mut ask, made) = (ask(&state()), session("callback.example", 1000));
        assert!(ask.is_met_by(&made));
        ask.instead_of = Some(*made.id());
        assert!(!ask.is_met_by(&made));
        ask.instead_of = None;
        ask.need.tokens = true;
        assert!(!ask.is_met_by(&made));
    }
}
