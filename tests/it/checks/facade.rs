//! An app's link to the facade: whatever it says, a code goes to a listed origin, and
//! what stands twice is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use url::Url;
use wxgate::facade::{App, AuthorizeLink, Facade, Parameters};
use wxgate::origin::{Host, PublicOrigin};
use wxgate::secret::Secret;

use super::account;

const APP: &str = "wxlegacy00000001";
const ORIGINS: [&str; 2] = ["https://legacy.example.com", "http://localhost:3000"];
const NAMES: [&str; 11] = [
    "appid",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "secret",
    "code",
    "grant_type",
    "refresh_token",
    "access_token",
    "openid",
];

static FACADE: LazyLock<Facade> = LazyLock::new(|| {
    let app = App {
        name: "legacy".to_owned().try_into().unwrap(),
        app_id: APP.to_owned().try_into().unwrap(),
        secret: Secret::new("0123456789abcdef".to_owned()),
        origins: ORIGINS
            .map(|origin| PublicOrigin::try_from(origin.to_owned()).unwrap())
            .to_vec(),
        account: Arc::new(account("shop")),
    };
    Facade::new(Host::new("wx.example.com").unwrap(), vec![Arc::new(app)])
});

/// The bytes that a text stands for, in which `%` and two digits are one.
fn decoded(text: &str) -> Vec<u8> {
    let (bytes, mut all, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let digits = digits.filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.map(|two| std::str::from_utf8(two).unwrap());
        let byte = byte.map(|two| u8::from_str_radix(two, 16).unwrap());
        all.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    all
}

/// What a query says of the names that mean something, as text or as none.
fn told(query: &str) -> BTreeMap<&'static str, Vec<Option<String>>> {
    let mut all: BTreeMap<&'static str, Vec<Option<String>>> = BTreeMap::new();
    for pair in query.split('&') {
        let mut halves = pair.splitn(2, '=');
        let name = decoded(halves.next().unwrap());
        let value = decoded(halves.next().unwrap_or_default());
        if let Some(name) = NAMES.into_iter().find(|known| known.as_bytes() == name) {
            let value = String::from_utf8(value).ok();
            all.entry(name).or_default().push(value);
        }
    }
    all
}

/// `data`: the query of an address, in which `@` stands for a good link's; and a
/// redirect_uri.
pub fn facade(data: &[u8]) {
    let text = String::from_utf8_lossy(data.get(..4096).unwrap_or(data));
    let good = format!(
        "appid={APP}&redirect_uri=https%3A%2F%2Flegacy.example.com%2Fcb&response_type=code&scope=snsapi_base&state=S1"
    );
    query(&text.replace('@', &good));
    facade_link(data);
}

fn query(query: &str) {
    let told = told(query);
    let clear = told
        .values()
        .all(|values| matches!(values.as_slice(), [Some(_)]));
    let read = Parameters::read(query);
    assert_eq!(read.is_ok(), clear, "{query}");
    if let Ok(read) = read {
        for name in NAMES {
            let value = told.get(name).and_then(|values| values[0].as_deref());
            assert_eq!(read.get(name), value.unwrap_or_default(), "{query}");
        }
    }
    if let Ok(link) = AuthorizeLink::read(&FACADE, query) {
        let one = |name: &str| told[name][0].clone().unwrap();
        assert!(clear && one("appid") == APP && one("response_type") == "code");
        stays(&link, &one("redirect_uri"), &one("state"));
    }
}

/// The same for `data` as the redirect_uri of a link that is good otherwise.
pub fn facade_link(data: &[u8]) {
    let encoded: String = data.iter().map(|byte| format!("%{byte:02X}")).collect();
    query(&format!(
        "appid={APP}&redirect_uri={encoded}&response_type=code&scope=snsapi_userinfo&state=S1"
    ));
}

/// Where a code would go is at a listed origin, for the parser of browsers and for who
/// only looks at the letters, and ends as it must.
fn stays(link: &AuthorizeLink, redirect: &str, state: &str) {
    assert!((1..=128).contains(&state.len()) && state.bytes().all(|b| b.is_ascii_alphanumeric()));
    let answer = link.answer("CODE");
    assert!(
        answer
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    );
    let url = Url::parse(&answer).unwrap();
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{answer}"
    );
    let origin = url.origin().ascii_serialization();
    assert!(ORIGINS.contains(&origin.as_str()), "{answer}");
    let rest = answer.strip_prefix(&origin).unwrap();
    assert!(rest.starts_with(['/', '?']), "{answer}");
    let (before, fragment) = match redirect.split_once('#') {
        Some((before, fragment)) => (before, format!("#{fragment}")),
        None => (redirect, String::new()),
    };
    let middle = answer.strip_prefix(before).unwrap();
    let middle = middle.strip_suffix(&fragment).unwrap();
    assert_eq!(middle.get(1..).unwrap(), format!("code=CODE&state={state}"));
}
