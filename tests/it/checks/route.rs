//! A path that is public to the gateway is public to the app, however it is
//! read there.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use url::Url;
use wxgate::limits::BodySize;
use wxgate::origin::{Host, PublicScheme};
use wxgate::route::{
    Accounts, Auth, Decided, HostPattern, Identity, OutsideWeChat, Route, RoutePath, Routes,
    SessionCookie, Snapshot,
};
use wxgate::upstream::Upstream;
use wxgate::wechat::Scope;

use super::HOST;

/// Open below locked, locked below open, and both once more.
const TABLE: [(&str, Auth); 6] = [
    ("/", Auth::Required),
    ("/pay", Auth::Optional),
    ("/pay/notify", Auth::None),
    ("/pay/notify/admin", Auth::Required),
    ("/static", Auth::None),
    ("/static/me", Auth::Optional),
];

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let routes: Vec<Arc<Route>> = TABLE
        .iter()
        .map(|(path, auth)| Arc::new(served(path, *auth)))
        .collect();
    Routes::new(&routes, Vec::new(), PublicScheme::Https).unwrap()
});

fn served(path: &str, auth: Auth) -> Route {
    Route {
        number: 0,
        host: HostPattern::try_from(HOST.to_owned()).unwrap(),
        path: RoutePath::try_from(path.to_owned()).unwrap(),
        upstream: Upstream::try_from("http://127.0.0.1:1".to_owned()).unwrap(),
        auth,
        accounts: match auth {
            Auth::None => Accounts::default(),
            Auth::Optional | Auth::Required => Accounts::one(Arc::new(super::account("shop"))),
        },
        pay_account: None,
        scope: Scope::Base,
        identity: Identity::OpenId,
        outside_wechat: OutsideWeChat::Page,
        session_cookie: SessionCookie::Forward,
        snapshot: Snapshot::Page,
        consent_page: false,
        keep_fragment: false,
        profile_ttl: None,
        verify_every: None,
        access_token: false,
        methods: Vec::new(),
        max_body: BodySize::default(),
        headers: Vec::new(),
        upstream_host: None,
        assertion: false,
    }
}

/// How much a route asks for.
fn strictness(auth: Auth) -> u8 {
    match auth {
        Auth::None => 0,
        Auth::Optional => 1,
        Auth::Required => 2,
    }
}

/// `data`: a path.
pub fn route(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let path = format!("/{}", text.strip_prefix('/').unwrap_or(&text));
    let sent = |c: char| !c.is_control() && !matches!(c, ' ' | '?' | '#');
    if path.len() > 2000 || !path.chars().all(sent) {
        return;
    }
    let given = match ROUTES.decide(&Host::new(HOST).unwrap(), &path) {
        Decided::Route(route) => strictness(route.auth),
        Decided::Ambiguous => return,
        Decided::None => panic!("the root is served, and {path:?} has no route"),
    };
    for reading in readings(&path) {
        let (place, needed) = reached(&reading);
        assert!(
            needed <= given,
            "{path:?} is let through at {given}, and could be read as {reading:?} of {place}"
        );
    }
}

/// The longest place of [`TABLE`] that `path` is at or below.
fn reached(path: &str) -> (&'static str, u8) {
    let covers = |place: &str| {
        place == "/"
            || path
                .strip_prefix(place)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let places = TABLE.iter().filter(|(place, _)| covers(place));
    let (place, auth) = places.max_by_key(|(place, _)| place.len()).unwrap();
    (place, strictness(*auth))
}

/// What an app may take `path` for: what servers are known to do to a path, in
/// any order, up to a number that keeps the fuzzer fast.
fn readings(path: &str) -> Vec<String> {
    const STEPS: [fn(&str) -> String; 8] = [
        decoded,
        |path| path.replace('\\', "/"),
        without_parameters,
        |path| path.split('\0').next().unwrap().to_owned(),
        collapsed,
        str::to_lowercase,
        resolved,
        as_a_browser_does,
    ];
    let mut known = HashSet::from([path.to_owned()]);
    let mut all = vec![(path.to_owned(), 0)];
    let mut next = 0;
    while let Some((reading, decodings)) = all.get(next).cloned() {
        next += 1;
        for (at, step) in STEPS.iter().enumerate() {
            let decodings = decodings + usize::from(at == 0);
            let other = step(&reading);
            if decodings <= 3 && all.len() < 200 && known.insert(other.clone()) {
                all.push((other, decodings));
            }
        }
    }
    all.into_iter().map(|(reading, _)| reading).collect()
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..])
                if let (Some(high), Some(low)) = (digit(*high), digit(*low)) =>
            {
                bytes.push(u8::try_from(high * 16 + low).unwrap());
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn without_parameters(path: &str) -> String {
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap())
        .collect();
    segments.join("/")
}

fn collapsed(path: &str) -> String {
    let mut one = String::new();
    for c in path.chars() {
        if c != '/' || !one.ends_with('/') {
            one.push(c);
        }
    }
    one
}

/// RFC 3986, section 5.2.4, where an empty segment is a segment.
fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

fn as_a_browser_does(path: &str) -> String {
    match Url::parse(&format!("https://{HOST}{path}")) {
        Ok(url) if url.host_str() == Some(HOST) => url.path().to_owned(),
        _ => path.to_owned(),
    }
}
