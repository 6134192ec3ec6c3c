//! What holds for every cookie, header and path of a kind, tried on some that
//! are made up anew in each run.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wxgate::cookies::ForApp;
use wxgate::identity;
use wxgate::origin::{Host, PublicOrigin, ReturnTo};
use wxgate::wechat::State;

use crate::checks;

/// Nothing is written into the tree: what broke a property is printed, and
/// belongs into the corpus.
fn settings() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        cases: 512,
        ..ProptestConfig::default()
    }
}

/// The marks that a header's name may have (RFC 9110, section 5.6.2).
const MARKS: &[u8] = b"!#$%&'*+-.^_`|~";

/// A cookie of an app's: no name of it begins as ours do.
fn foreign_cookie() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("ends or breaks a cookie", |byte| {
        !matches!(byte, b';' | b' ' | 0x7f | 0..0x20)
    });
    (vec(byte.clone(), 0..8), vec(byte, 0..20)).prop_map(|(name, value)| {
        let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'=').collect();
        [&name, b"=".as_slice(), &value].concat()
    })
}

/// A cookie of the gateway's.
fn own_cookie() -> impl Strategy<Value = Vec<u8>> {
    let name = select(vec![
        "__Host-wxgate_shop",
        "__Host-wxgate_",
        "__Host-wxgate-pending",
        "__Secure-wxgate-login-00112233",
    ]);
    (name, "[A-Za-z0-9_-]{0,20}").prop_map(|(name, value)| format!("{name}={value}").into_bytes())
}

/// Whatever could be taken for a way back, with what parsers differ about.
fn target() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "/",
        "//",
        "\\",
        "..",
        "%2f",
        "%5c",
        "%09",
        "@",
        ":",
        "?",
        "#",
        "\t",
        "\n",
        " ",
        "evil.example",
        "https:",
        "shop.example.com",
        "a",
        "\u{ff0f}",
        "\u{3002}",
        "\u{ad}",
        "[::1]",
        ";",
        "%",
    ]);
    let pieces = vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![
        pieces.clone(),
        pieces.prop_map(|rest| format!("/{rest}")),
        any::<String>()
    ]
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn a_session_cookie_with_any_byte_changed_is_refused(byte: u8, shift: u8) {
        let sessions = checks::sessions();
        let (host, account) = (Host::new(checks::HOST).unwrap(), checks::account("shop"));
        let cookie = format!("{}={}", account.session_cookie, checks::session_token(&sessions));
        let read = |line: &[u8]| sessions.read(std::iter::once(line), &host, &account, checks::NOW);
        prop_assert!(read(cookie.as_bytes()).is_ok());
        let value = account.session_cookie.len() + 1;
        for at in 0..cookie.len() {
            let mut other = cookie.clone().into_bytes();
            // Another byte at each place, so that all are met at all places.
            other[at] = byte.wrapping_add(shift.wrapping_mul(at.to_le_bytes()[0]));
            if other[at] == cookie.as_bytes()[at] {
                continue;
            }
            prop_assert!(read(&other).is_err(), "{:?} at {}", other[at], at);
            other.truncate(at);
            prop_assert!(read(&other).is_err(), "cut at {}", at);
            if at >= value {
                let mut longer = cookie.clone().into_bytes();
                longer.insert(at, byte);
                let blank = byte.is_ascii_whitespace() && at == value;
                prop_assert!(blank || read(&longer).is_err(), "{} put in at {}", byte, at);
            }
        }
    }

    #[test]
    fn an_ask_or_ticket_with_any_byte_changed_is_none(byte: u8, at: u16) {
        checks::crossing_with(byte, usize::from(at));
    }

    #[test]
    fn what_crosses_between_gateways_with_any_byte_changed_is_nothing(byte: u8, at: u16) {
        checks::client_with(byte, usize::from(at));
    }

    #[test]
    fn what_is_not_ours_in_a_cookie_header_survives_byte_for_byte(
        cookies in vec((foreign_cookie(), proptest::option::of(own_cookie())), 0..8),
        lines in 1..3_usize,
    ) {
        let mut headers = HeaderMap::new();
        let pairs: Vec<&Vec<u8>> = cookies
            .iter()
            .flat_map(|(foreign, own)| own.iter().chain(std::iter::once(foreign)))
            .collect();
        let each = pairs.len().div_ceil(lines).max(1);
        for line in pairs.chunks(each) {
            let line: Vec<&[u8]> = line.iter().map(|pair| pair.as_slice()).collect();
            headers.append(header::COOKIE, HeaderValue::from_bytes(&line.join(&b"; "[..])).unwrap());
        }
        let foreign: Vec<&[u8]> = cookies.iter().map(|(foreign, _)| foreign.as_slice()).collect();
        let expected = foreign.join(&b"; "[..]);
        let got = match checks::cookie_settings().for_app(&headers, None) {
            ForApp::Unchanged => headers.get(header::COOKIE).map_or(Vec::new(), |line| line.as_bytes().to_vec()),
            ForApp::Replaced(line) => line,
            ForApp::Removed => Vec::new(),
        };
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn a_way_back_that_is_accepted_stays_on_its_origin(target in target()) {
        let home = PublicOrigin::try_from(format!("https://{}", checks::HOST)).unwrap();
        let accepted = [ReturnTo::of_request(&home, &target), ReturnTo::of_parameter(&home, &target)];
        for to in accepted.into_iter().flatten() {
            prop_assert_eq!(to.as_str(), &target);
            checks::stays_at(&home, &to);
        }
        checks::return_to(target.as_bytes());
    }

    #[test]
    fn a_code_goes_to_no_address_that_is_not_listed(
        start in select(vec!["https://legacy.example.com", "http://localhost:3000", ""]),
        rest in target(),
        query in any::<String>(),
    ) {
        checks::facade_link(format!("{start}{rest}").as_bytes());
        checks::facade(query.as_bytes());
    }

    #[test]
    fn a_name_that_folds_to_the_identity_family_is_stripped(
        marks in vec(select(MARKS), 2),
        capitals in vec(any::<bool>(), 7),
        rest in "[A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}",
    ) {
        let letters = "xwechat".chars().zip(capitals);
        let mut name: String = letters
            .map(|(letter, capital)| if capital { letter.to_ascii_uppercase() } else { letter })
            .collect();
        name.insert(1, char::from(marks[0]));
        name.push(char::from(marks[1]));
        name.push_str(&rest);
        prop_assert!(checks::as_cgi_sees_it(&name).starts_with("x-wechat-"));
        prop_assert!(identity::is_identity(&name));
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.append_header(name.clone(), "o").unwrap();
        request.append_header("X-Other", "kept").unwrap();
        // Not even by whoever allows the name.
        let allowed = HashSet::from([HeaderName::try_from(&name).unwrap()]);
        identity::strip(&mut request, &allowed, false);
        prop_assert_eq!(request.headers.len(), 1);
    }

    #[test]
    fn a_state_is_the_same_as_itself_alone(
        text in "[0-9a-f]{32}[0-9]",
        other in "[0-9a-f]{32}[0-9]",
        at in 0..33_usize,
        letter in any::<char>(),
    ) {
        let state = State::parse(&text).unwrap();
        prop_assert!(state.same(&text));
        prop_assert_eq!(state.same(&other), text == other);
        let mut changed: Vec<char> = text.chars().collect();
        changed[at] = letter;
        let changed: String = changed.into_iter().collect();
        prop_assert_eq!(state.same(&changed), text == changed);
        prop_assert!(!state.same(&text[..at]));
        prop_assert!(!state.same(&[&text, letter.to_string().as_str()].concat()));
    }
}
