//! What crosses from one host to another: nothing opens but what was sealed, to
//! the byte, once in the query, and at its own host.

use std::sync::LazyLock;

use http::header;
use wxgate::origin::Host;
use wxgate::route::Need;
use wxgate::session::Sessions;
use wxgate::signon::{Ask, Binding, Ticket};
use wxgate::wechat::State;

use super::session::{NOW, STATE, changed, session_token};
use super::{APP_ID, HOST, account, sessions};

/// One ask and one ticket for [`HOST`], as they stand in an address.
struct Sealed {
    sessions: Sessions,
    ask: String,
    ticket: String,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let (sessions, account) = (sessions(), account("shop"));
    let host = Host::new(HOST).unwrap();
    let ask = Ask {
        host: host.clone(),
        account: "shop".to_owned(),
        app_id: APP_ID.to_owned(),
        need: Need::OPENID,
        instead_of: None,
        snapshots: false,
        outside: false,
        fresh: false,
        binding: Binding::of(&State::parse(STATE).unwrap()),
        attempt: 0,
        made: NOW * 1000,
    };
    let cookie = format!("{}={}", account.session_cookie, session_token(&sessions));
    let value = header::HeaderValue::try_from(&cookie).unwrap();
    let lines = std::iter::once(value.as_bytes());
    let session = sessions.read(lines, &host, &account, NOW).unwrap().session;
    let ticket = Ticket::new(&ask, session, NOW * 1000);
    Sealed {
        ask: ask.seal(sessions.keys()).unwrap(),
        ticket: ticket.seal(sessions.keys(), &host).unwrap(),
        sessions,
    }
});

/// `data`: the query of an address, in which `@` stands for an ask that is good and
/// `!` for a ticket; and a change to both.
pub fn signon(data: &[u8]) {
    let Sealed { ask, ticket, .. } = &*SEALED;
    let text = String::from_utf8_lossy(data.get(..4096).unwrap_or(data));
    query(&text.replace('@', ask).replace('!', ticket));
    for (name, good) in [("ask", ask), ("t", ticket)] {
        let value = changed(good, data);
        query(&format!("{name}={}", String::from_utf8_lossy(&value)));
    }
}

fn query(query: &str) {
    let Sealed {
        sessions,
        ask,
        ticket,
    } = &*SEALED;
    let is = |name: &str, good: &str| {
        let values: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.into_owned())
            .collect();
        matches!(values.as_slice(), [one] if one == good)
    };
    let (keys, here) = (sessions.keys(), Host::new(HOST).unwrap());
    let opened = Ask::of_query(keys, query);
    assert_eq!(opened.is_some(), is("ask", ask), "{query}");
    let opened = Ticket::of_query(keys, &here, query);
    assert_eq!(opened.is_some(), is("t", ticket), "{query}");
    let elsewhere = Host::new("other.example.com").unwrap();
    assert!(Ticket::of_query(keys, &elsewhere, query).is_none());
    if let Some(ticket) = opened {
        assert_eq!(ticket.session.openid().unwrap().as_str(), "oVisitor");
        assert!(ticket.is_alive(NOW * 1000) && !ticket.is_alive((NOW + 30) * 1000));
    }
}

/// The same for the ask and the ticket with `byte` at `at`, or cut there.
pub fn crossing_with(byte: u8, at: usize) {
    let Sealed { ask, ticket, .. } = &*SEALED;
    for (name, good) in [("ask", ask), ("t", ticket)] {
        let at = at % good.len();
        let mut other = good.clone().into_bytes();
        other[at] = byte;
        query(&format!("{name}={}", String::from_utf8_lossy(&other)));
        query(&format!("{name}={}", good.get(..at).unwrap()));
    }
}
