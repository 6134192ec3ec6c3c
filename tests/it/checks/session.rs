//! Signed cookies: nothing verifies but what was sealed, to the byte.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header};
use wxgate::login::{self, Login};
use wxgate::origin::Host;
use wxgate::route::LoginAccount;
use wxgate::session::Sessions;
use wxgate::signing::{MAX_TOKEN, Purpose};
use wxgate::wechat::{Kind, Scope, State};

use super::{APP_ID, HOST, account, sessions};

/// When all of it happens, in seconds since 1970.
pub const NOW: u64 = 1_000_000;
/// The state of the login that [`login_token`] is of.
pub const STATE: &str = "00112233445566778899aabbccddeeff0";
const OPENID: &str = "oVisitor";

/// An account, and another one with the same appid. Made once, for the fuzzer
/// is to spend its time elsewhere.
static ACCOUNTS: LazyLock<[LoginAccount; 2]> = LazyLock::new(|| [account("shop"), account("club")]);
static SESSIONS: LazyLock<Sessions> = LazyLock::new(sessions);

/// The value of a session cookie that holds at [`HOST`] and [`NOW`].
///
/// The payload is spelled out, for a session is made of a grant, and a grant of
/// WeChat's answer.
pub fn session_token(sessions: &Sessions) -> String {
    let nobody: Option<&str> = None;
    let wire = (
        ([7_u8; 16], HOST, APP_ID),
        // An openid is the first of the two kinds of id.
        (Kind::Official, 0_u8, OPENID),
        (nobody, Some("小明"), nobody, Scope::Userinfo),
        (NOW, NOW, NOW + 3600),
        (NOW, NOW, false),
    );
    let payload = postcard::to_stdvec(&wire).unwrap();
    sessions.keys().seal(Purpose::Session, &payload)
}

/// The value of the cookie of a login that began at [`HOST`] and [`NOW`].
pub fn login_token(sessions: &Sessions) -> String {
    let unfinished: Option<u64> = None;
    let nobody: Option<[u8; 16]> = None;
    let wire = (
        (STATE, HOST, "shop", APP_ID),
        (Scope::Base, "/orders?page=2", NOW * 1000, unfinished),
        (false, false, nobody, login::Opens::Session),
    );
    let payload = postcard::to_stdvec(&wire).unwrap();
    sessions.keys().seal(Purpose::Login, &payload)
}

/// Changes `token` as `data` says: its first byte the kind of change, the next
/// two the place, the rest what is put there.
pub(super) fn changed(token: &str, data: &[u8]) -> Vec<u8> {
    let mut token = token.as_bytes().to_vec();
    let [kind, high, low, what @ ..] = data else {
        return token;
    };
    let at = usize::from(u16::from_be_bytes([*high, *low])) % (token.len() + 1);
    let end = match kind % 4 {
        0 => at,
        1 => (at + what.len()).min(token.len()),
        2 => (at + 1).min(token.len()),
        _ => token.len(),
    };
    token.splice(at..end, what.iter().copied());
    token
}

/// `data`: a `Cookie` line; a token; and a change to one that is good.
pub fn session(data: &[u8]) {
    let sessions = &*SESSIONS;
    let (good, other) = (session_token(sessions), login_token(sessions));
    only_what_was_sealed(sessions, data, &good, &other);
    only_what_was_sealed(sessions, &changed(&good, data), &good, &other);
    only_what_was_sealed(sessions, &changed(&other, data), &good, &other);

    let name = &ACCOUNTS[0].session_cookie;
    let cookie = |token: &[u8]| [name.as_bytes(), b"=", token].concat();
    read(sessions, data, name, &good);
    read(sessions, &cookie(data), name, &good);
    read(sessions, &cookie(&changed(&good, data)), name, &good);
    read(sessions, &cookie(&changed(&other, data)), name, &good);
    let twice = [cookie(good.as_bytes()), b";".to_vec(), data.to_vec()].concat();
    read(sessions, &twice, name, &good);
}

fn only_what_was_sealed(sessions: &Sessions, token: &[u8], session: &str, login: &str) {
    for (purpose, sealed) in [(Purpose::Session, session), (Purpose::Login, login)] {
        let mut room = [0; MAX_TOKEN];
        let opened = sessions.keys().open(purpose, token, &mut room);
        assert_eq!(
            opened.is_some(),
            token == sealed.as_bytes(),
            "{purpose:?} {token:?}"
        );
        if let Some(opened) = opened {
            // One value has one spelling.
            let again = sessions.keys().seal(purpose, opened.payload);
            assert_eq!(again.as_bytes(), token);
        }
    }
}

/// A session is read where the cookie stands once and is the very token, and
/// nowhere else.
fn read(sessions: &Sessions, line: &[u8], name: &str, good: &str) {
    let is_good = |name: &str| {
        let values: Vec<&[u8]> = line
            .split(|byte| *byte == b';')
            .map(|piece| super::split_at_byte(piece, b'='))
            .filter(|(other, _)| other.trim_ascii() == name.as_bytes())
            .map(|(_, value)| value.trim_ascii())
            .collect();
        matches!(values.as_slice(), [one] if *one == good.as_bytes())
    };
    let [shop, club] = &*ACCOUNTS;
    let host = Host::new(HOST).unwrap();
    let lines = || std::iter::once(line);
    let result = sessions.read(lines(), &host, shop, NOW);
    assert_eq!(result.is_ok(), is_good(name), "{line:?}");
    if let Ok(carried) = result {
        assert_eq!(carried.session.openid().unwrap().as_str(), OPENID);
        assert_eq!(carried.session.nickname(), Some("小明"));
        // Nor does it tell who pays, under whatever name.
        let (_, value) = super::split_at_byte(line, b'=');
        let moved = [shop.pay_cookie.as_bytes(), b"=", value].concat();
        let pays = std::iter::once(moved.as_slice());
        let found = sessions.read_payer(pays, &host, shop, &carried.session, NOW);
        assert!(found.is_err(), "{line:?}");
    }
    // Not elsewhere, not too late.
    let elsewhere = Host::new("other.example.com").unwrap();
    assert!(sessions.read(lines(), &elsewhere, shop, NOW).is_err());
    // With one appid two tables are one account, each with a cookie of its own.
    let under_another_name = sessions.read(lines(), &host, club, NOW);
    assert_eq!(under_another_name.is_ok(), is_good(&club.session_cookie));
    assert!(sessions.read(lines(), &host, shop, NOW + 600).is_err());
    // A session is no snapshot page's visitor.
    assert!(sessions.read_snapshot(lines(), &host, shop, NOW).is_err());
}

/// `data`: the `Cookie` lines of a callback, in which `@` stands for the value
/// of a login that is good; and a change to that value.
pub fn login(data: &[u8]) {
    let sessions = &*SESSIONS;
    let good = login_token(sessions);
    let name = sessions
        .cookies()
        .login_name(State::parse(STATE).unwrap().piece());
    let mut whole = HeaderMap::new();
    let cookie = HeaderValue::try_from(format!("{name}={good}")).unwrap();
    whole.insert(header::COOKIE, cookie);
    let found = login::carried(sessions, &whole, &Host::new(HOST).unwrap(), NOW * 1000);
    assert_eq!(found.len(), 1, "the login itself is good");
    let mut text: Vec<u8> = Vec::new();
    for byte in data.iter().take(64 * 1024) {
        match byte {
            b'@' if text.len() < 64 * 1024 => text.extend_from_slice(good.as_bytes()),
            byte => text.push(*byte),
        }
    }
    carried(sessions, &text, &name, &good);
    let token = changed(&good, data);
    carried(
        sessions,
        &[name.as_bytes(), b"=", &token].concat(),
        &name,
        &good,
    );
}

fn carried(sessions: &Sessions, text: &[u8], name: &str, good: &str) {
    let mut headers = HeaderMap::new();
    let mut there = 0;
    for line in text.split(|byte| *byte == b'\n').take(100) {
        let Ok(value) = HeaderValue::from_bytes(line) else {
            continue;
        };
        headers.append(header::COOKIE, value);
        there += line
            .split(|byte| *byte == b';')
            .map(|piece| super::split_at_byte(piece, b'='))
            .filter(|(other, value)| {
                other.trim_ascii() == name.as_bytes() && value.trim_ascii() == good.as_bytes()
            })
            .count();
    }
    let at =
        |host: &str, millis| login::carried(sessions, &headers, &Host::new(host).unwrap(), millis);
    let found = at(HOST, NOW * 1000);
    assert!(found.len() <= there.min(4), "a login that nobody sealed");
    for login in &found {
        let Login { state, to, .. } = login;
        assert!(state.same(STATE) && to.as_str() == "/orders?page=2");
    }
    assert!(at("other.example.com", NOW * 1000).is_empty());
    assert!(at(HOST, NOW * 1000 + 600_000).is_empty());
    // What it makes of the list of pieces is written back, and read again.
    let lines = wxgate::cookies::lines(&headers);
    for line in login::forget_all(sessions, &Host::new(HOST).unwrap(), lines) {
        assert!(HeaderValue::try_from(&line).is_ok(), "{line}");
        assert!(sessions.cookies().sets_ours(line.as_bytes()));
    }
}
