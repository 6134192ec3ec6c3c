//! What crosses between two gateways of one account: nothing opens but what was
//! sealed, to the byte, once in the query, for its client, and a ticket at its own
//! origin. All of it is sealed under the key that signs sessions here, so that
//! nothing but its purpose keeps it apart from what crosses between hosts.

use std::sync::LazyLock;

use http::header;
use wxgate::origin::PublicOrigin;
use wxgate::route::{AccountName, Need, Via};
use wxgate::session::Sessions;
use wxgate::signon::{Ask, Binding, ClientAsk, ClientTicket, Named, NoAsk, Ticket, Verdict};
use wxgate::wechat::State;

use super::session::{NOW, STATE, changed, session_token};
use super::{APP_ID, HOST, account, sessions};

const ORIGIN: &str = "http://localhost:3000";

/// An ask, a ticket and an answer of a client's, as they stand on their way.
struct Sealed {
    sessions: Sessions,
    via: Via,
    ask: String,
    ticket: String,
    answer: String,
    binding: Binding,
}

fn name(text: &str) -> AccountName {
    text.to_owned().try_into().unwrap()
}

fn origin(text: &str) -> PublicOrigin {
    text.to_owned().try_into().unwrap()
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let (sessions, account) = (sessions(), account("shop"));
    let via = Via {
        client: name("dev"),
        key: sessions.keys().clone(),
    };
    let binding = Binding::of(&State::parse(STATE).unwrap());
    let asked = ClientAsk {
        origin: origin(ORIGIN),
        ask: Ask {
            host: origin(ORIGIN).host().clone(),
            account: "shop".to_owned(),
            app_id: APP_ID.to_owned(),
            need: Need::OPENID,
            instead_of: None,
            snapshots: false,
            outside: false,
            fresh: false,
            binding,
            attempt: 0,
            made: NOW * 1000,
        },
        kind: "official",
        probe: false,
    };
    let cookie = format!("{}={}", account.session_cookie, session_token(&sessions));
    let value = header::HeaderValue::try_from(&cookie).unwrap();
    let lines = std::iter::once(value.as_bytes());
    let host = wxgate::origin::Host::new(HOST).unwrap();
    let session = sessions.read(lines, &host, &account, NOW).unwrap().session;
    let Via { client, key } = &via;
    let ticket = ClientTicket::seal(key, client, &asked.origin, &asked.ask, &session, NOW * 1000);
    Sealed {
        ask: asked.seal(&via).unwrap(),
        ticket: ticket.unwrap(),
        answer: Verdict::Good.seal(key, client, &binding, NOW).unwrap(),
        binding,
        sessions,
        via,
    }
});

/// `data`: the query of an address, in which `@` stands for an ask that is good and
/// `!` for a ticket; and a change to both, and to an answer.
pub fn clients(data: &[u8]) {
    let Sealed {
        ask,
        ticket,
        answer,
        ..
    } = &*SEALED;
    let text = String::from_utf8_lossy(data.get(..4096).unwrap_or(data));
    query(&text.replace('@', ask).replace('!', ticket));
    for (name, good) in [("ask", ask), ("t", ticket)] {
        let value = changed(good, data);
        query(&format!("{name}={}", String::from_utf8_lossy(&value)));
    }
    // One is not taken for another.
    for other in [ask, ticket] {
        answered(other);
        query(&format!("ask={answer}&t={answer}"));
        query(&format!("ask={ticket}&t={ask}"));
    }
    answered(&String::from_utf8_lossy(&changed(answer, data)));
    answered(&text);
}

fn query(query: &str) {
    let Sealed {
        sessions,
        via,
        ask,
        ticket,
        ..
    } = &*SEALED;
    let values = |name: &str| -> Vec<String> {
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    let is = |name: &str, good: &str| matches!(values(name).as_slice(), [one] if one == good);
    let opened = ClientAsk::of_query(&via.key, &via.client, query);
    match &opened {
        Ok(asked) => assert!(is("ask", ask) && asked.origin.as_str() == ORIGIN && !asked.probe),
        Err(why) => assert!(!is("ask", ask) && *why == NoAsk::Forged, "{query}"),
    }
    assert!(ClientAsk::of_query(&via.key, &name("other"), query).is_err());
    let opened = ClientTicket::of_query(via, &origin(ORIGIN), query);
    assert_eq!(opened.is_some(), is("t", ticket), "{query}");
    if let Some(ticket) = opened {
        assert_eq!((ticket.attempt, ticket.made), (0, NOW * 1000));
    }
    for elsewhere in [
        "http://localhost",
        "https://localhost:3000",
        "http://localhost:3001",
    ] {
        assert!(ClientTicket::of_query(via, &origin(elsewhere), query).is_none());
    }
    let other = Via {
        client: name("other"),
        key: via.key.clone(),
    };
    assert!(ClientTicket::of_query(&other, &origin(ORIGIN), query).is_none());
    // Of what crosses between hosts it is nothing, whatever the key.
    assert!(Ask::of_query(sessions.keys(), query).is_none());
    let host = origin(ORIGIN).host().clone();
    assert!(Ticket::of_query(sessions.keys(), &host, query).is_none());
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (Named::in_query(query), values("client").as_slice()) {
        (Named::Nobody, []) => {}
        (Named::Client(name), [one]) => {
            assert!(name.as_str() == one && (1..=32).contains(&one.len()));
            assert!(one.chars().all(allowed), "{one}");
        }
        (Named::Odd, [one]) => {
            assert!(
                !(1..=32).contains(&one.len()) || !one.chars().all(allowed),
                "{one}"
            );
        }
        (Named::Odd, [_, _, ..]) => {}
        (named, values) => panic!("{named:?} of {values:?}"),
    }
}

fn answered(text: &str) {
    let Sealed {
        via,
        answer,
        binding,
        ..
    } = &*SEALED;
    let read = Verdict::read(via, binding, text);
    assert_eq!(
        read,
        (text == answer).then_some((Verdict::Good, NOW)),
        "{text}"
    );
}

/// The same for the ask, the ticket and the answer with `byte` at `at`, or cut there.
pub fn client_with(byte: u8, at: usize) {
    let Sealed {
        ask,
        ticket,
        answer,
        ..
    } = &*SEALED;
    for (name, good) in [("ask", ask), ("t", ticket), ("", answer)] {
        let at = at % good.len();
        let mut other = good.clone().into_bytes();
        other[at] = byte;
        for text in [&*String::from_utf8_lossy(&other), good.get(..at).unwrap()] {
            match name {
                "" => answered(text),
                name => query(&format!("{name}={text}")),
            }
        }
    }
}
