//! The same between two gateways: one holds an account's secret, and the other is
//! its client and logs visitors in by way of it.
//!
//! Holds always: what crosses is sealed under the client's own key, of which
//! session keys are no part, for a purpose of its own, with the client's name
//! inside; a ticket opens at the one origin it was made for. So neither is taken
//! for what crosses between hosts of one gateway, nor for another client's.

use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{Ask, AskWire, Binding, only, open, seal};
use crate::origin::PublicOrigin;
use crate::route::{AccountName, Via};
use crate::session::{Millis, Passed, Session};
use crate::signing::{self, Keyring, Purpose, SealError};
use crate::wechat::Kind;

/// How gateways of this version speak: the two may be of different ones.
const VERSION: u8 = 2;

/// Whom the query of an address names as the client that asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// Nobody: a host of this gateway's asks.
    Nobody,
    /// A client of this name.
    Client(AccountName),
    /// No name that a client can have, or two.
    Odd,
}

impl Named {
    /// Whom `query` names.
    pub fn in_query(query: &str) -> Self {
        let mut all = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "client");
        match (all.next(), all.next()) {
            (None, _) => Self::Nobody,
            (Some((_, name)), None) => {
                AccountName::try_from(name.into_owned()).map_or(Self::Odd, Self::Client)
            }
            (Some(_), Some(_)) => Self::Odd,
        }
    }
}

/// What the gateway that holds the secret is asked for.
pub struct ClientAsk {
    /// What the visitor's browser sees of the host that asks.
    pub origin: PublicOrigin,
    /// What is asked.
    pub ask: Ask,
    /// What kind of account it is there, by its name.
    pub kind: &'static str,
    /// Whether nobody comes along, and only the answer is wanted.
    pub probe: bool,
}

#[derive(Serialize, Deserialize)]
struct ClientAskWire<'a> {
    origin: &'a str,
    kind: &'a str,
    probe: bool,
    ask: AskWire<'a>,
}

/// Why an ask is none of a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAsk {
    /// Not sealed under its key for its name, or not once in the address.
    Forged,
    /// It is, by a gateway that speaks otherwise.
    OtherVersion,
}

impl ClientAsk {
    /// The ask as it stands in an address, of the client that `via` tells of.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, via: &Via) -> Result<String, SealError> {
        let wire = ClientAskWire {
            origin: self.origin.as_str(),
            kind: self.kind,
            probe: self.probe,
            ask: self.ask.wire(),
        };
        let payload = postcard::to_stdvec(&(VERSION, wire)).unwrap_or_default();
        let context = via.client.as_str().as_bytes();
        seal(
            &via.key,
            Purpose::ClientAsk,
            &self.ask.binding,
            context,
            &payload,
        )
    }

    /// The ask of an address whose query is `query`, of the client called `client`
    /// with `key`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of_query(key: &Keyring, client: &AccountName, query: &str) -> Result<Self, NoAsk> {
        let text = only(query, "ask").ok_or(NoAsk::Forged)?;
        let context = client.as_str().as_bytes();
        let opened = open(key, Purpose::ClientAsk, context, &text);
        let (binding, payload) = opened.ok_or(NoAsk::Forged)?;
        Self::read(binding, &payload).ok_or(NoAsk::OtherVersion)
    }

    fn read(binding: Binding, payload: &[u8]) -> Option<Self> {
        let (version, wire): (u8, ClientAskWire<'_>) = signing::whole(payload)?;
        let origin = PublicOrigin::try_from(wire.origin.to_owned()).ok()?;
        let kind = Kind::known_name(wire.kind)?;
        let ask = Ask::of_wire(wire.ask, binding)?;
        let agrees = version == VERSION && ask.host == *origin.host();
        agrees.then_some(Self {
            origin,
            ask,
            kind,
            probe: wire.probe,
        })
    }
}

/// A visitor on the way to the client's gateway.
pub struct ClientTicket {
    /// Who they are.
    pub visitor: Passed,
    /// The login that it is for.
    pub binding: Binding,
    /// Which try that is, from 0.
    pub attempt: u8,
    /// When it was made.
    pub made: Millis,
}

#[derive(Serialize, Deserialize)]
struct ClientTicketWire<'a> {
    visitor: &'a [u8],
    attempt: u8,
    made: u64,
}

impl ClientTicket {
    /// The answer to `ask`, as it stands in an address of `origin`, for the client
    /// called `client` with `key`: who the visitor of `session` is.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(
        key: &Keyring,
        client: &AccountName,
        origin: &PublicOrigin,
        ask: &Ask,
        session: &Session,
        now: Millis,
    ) -> Result<String, SealError> {
        let wire = ClientTicketWire {
            visitor: &Passed::pack(session),
            attempt: ask.attempt,
            made: now,
        };
        let payload = postcard::to_stdvec(&(VERSION, wire)).unwrap_or_default();
        let context = context(client, origin);
        seal(key, Purpose::ClientTicket, &ask.binding, &context, &payload)
    }

    /// The ticket of an address of `origin` whose query is `query`, for the client
    /// that `via` tells of; `None` where none stands there, once.
    pub fn of_query(via: &Via, origin: &PublicOrigin, query: &str) -> Option<Self> {
        let context = context(&via.client, origin);
        let text = only(query, "t")?;
        let (binding, payload) = open(&via.key, Purpose::ClientTicket, &context, &text)?;
        let (version, wire): (u8, ClientTicketWire<'_>) = signing::whole(&payload)?;
        let visitor = Passed::unpack(wire.visitor)?;
        (version == VERSION).then_some(Self {
            visitor,
            binding,
            attempt: wire.attempt,
            made: wire.made,
        })
    }
}

/// Where a ticket opens. A name holds no NUL.
fn context(client: &AccountName, origin: &PublicOrigin) -> Vec<u8> {
    [client.as_str(), "\0", origin.as_str()]
        .concat()
        .into_bytes()
}

/// What becomes of a client's asks, as the gateway that holds the secret says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// They are answered.
    Good,
    /// The client has another account.
    OtherAccount,
    /// The client has no such origin.
    OriginNotListed,
    /// One that is made now is too old there, or from the future.
    Late,
    /// It speaks otherwise.
    OtherVersion,
    /// The client has its account as one of another kind.
    OtherKind,
}

impl Verdict {
    /// The answer to the probing ask of `binding`, for whoever has the key, with the
    /// time `now` by which tickets are made.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(
        self,
        key: &Keyring,
        client: &AccountName,
        binding: &Binding,
        now: Millis,
    ) -> Result<String, SealError> {
        let payload = postcard::to_stdvec(&(VERSION, self, now)).unwrap_or_default();
        let context = client.as_str().as_bytes();
        seal(key, Purpose::ClientAnswer, binding, context, &payload)
    }

    /// What `text` answers to the probing ask of `binding`, and by which time; `None`
    /// where it is no answer of a gateway that has the key.
    pub fn read(via: &Via, binding: &Binding, text: &str) -> Option<(Self, Millis)> {
        let context = via.client.as_str().as_bytes();
        let (to, payload) = open(&via.key, Purpose::ClientAnswer, context, text)?;
        if to != *binding {
            return None;
        }
        let told: Option<(u8, Self, u64)> = signing::whole(&payload);
        Some(match told {
            Some((VERSION, verdict, now)) => (verdict, now),
            _ => (Self::OtherVersion, 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, ask, state};
    use super::*;
    use crate::session::tests::sessions;

    /// What the client called `client` knows.
    fn via(client: &str, key: &Keyring) -> Via {
        Via {
            client: client.to_owned().try_into().unwrap(),
            key: key.clone(),
        }
    }

    #[test]
    fn what_another_version_says_is_told_apart_from_what_nobody_sealed() {
        let ring = sessions(None);
        let via = via("dev", ring.keys());
        let binding = Binding::of(&state());
        let of = |payload: &[u8]| {
            let sealed = seal(&via.key, Purpose::ClientAsk, &binding, b"dev", payload);
            let query = format!("ask={}", sealed.unwrap());
            ClientAsk::of_query(&via.key, &via.client, &query).map(drop)
        };
        let origin = PublicOrigin::try_from("http://h.example:3000".to_owned()).unwrap();
        let ask = ask(&state());
        let wire = |origin, kind| ClientAskWire {
            origin,
            kind,
            probe: false,
            ask: ask.wire(),
        };
        let of_kind = |version: u8, origin, kind| {
            postcard::to_stdvec(&(version, wire(origin, kind))).unwrap()
        };
        let payload = |version, origin| of_kind(version, origin, "official");
        let good = payload(VERSION, origin.as_str());
        assert_eq!(of(&good), Ok(()));
        for other in [
            payload(VERSION + 1, origin.as_str()),
            payload(VERSION, "http://other.example:3000"),
            payload(VERSION, "h.example"),
            of_kind(VERSION, origin.as_str(), "other"),
            [&good[..], b"more"].concat(),
            good[..good.len() - 1].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(of(&other), Err(NoAsk::OtherVersion));
        }
        let sealed = seal(&via.key, Purpose::Ask, &binding, b"dev", &good).unwrap();
        let query = format!("ask={sealed}");
        let opened = ClientAsk::of_query(&via.key, &via.client, &query);
        assert_eq!(opened.map(drop), Err(NoAsk::Forged));
    }

    #[test]
    fn a_ticket_says_in_its_bytes_neither_who_nor_where() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let ring = sessions(None);
        let via = via("dev", ring.keys());
        let origin = PublicOrigin::try_from("http://h.example:3000".to_owned()).unwrap();
        let session = crate::session::tests::session("callback.example", NOW / 1000);
        let (state, Via { client, key }) = (state(), &via);
        let ticket = ClientTicket::seal(key, client, &origin, &ask(&state), &session, NOW);
        let ticket = ticket.unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
        for told in ["oVisitor", "小明", "h.example", "dev", state.as_str()] {
            let told = told.as_bytes();
            assert!(!bytes.windows(told.len()).any(|part| part == told));
        }
        let query = format!("t={ticket}");
        let payload = {
            let all = open(
                key,
                Purpose::ClientTicket,
                &context(client, &origin),
                &ticket,
            );
            all.unwrap().1
        };
        let (binding, context) = (Binding::of(&state), context(client, &origin));
        let other = seal(key, Purpose::Ticket, &binding, &context, &payload).unwrap();
        let other = format!("t={other}");
        assert!(ClientTicket::of_query(&via, &origin, &other).is_none());
        let opened = ClientTicket::of_query(&via, &origin, &query).unwrap();
        assert!(opened.binding == Binding::of(&state));
        assert_eq!((opened.attempt, opened.made), (1, NOW));
    }
}
