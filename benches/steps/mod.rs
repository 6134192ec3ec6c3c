//! The steps of a request's way, each on typical bytes: what `hot` times and
//! `guard` counts.
//!
//! A step can be repeated as often as one likes and does the same each time.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use pingora::http::RequestHeader;
use wxgate::access_log::Way;
use wxgate::cookies::{self, ForApp};
use wxgate::identity::{self, AllowedUnderscores};
use wxgate::limits::BodySize;
use wxgate::login::{self, Start};
use wxgate::metrics::{Ended, Metrics, RouteCounters};
use wxgate::origin::{Host, PublicOrigin, PublicScheme, ReturnTo};
use wxgate::request::Asked;
use wxgate::route::{
    Accounts, Auth, Decided, HostPattern, Identity, LoginAccount, OutsideWeChat, Route, RoutePath,
    Routes, SessionCookie, Snapshot,
};
use wxgate::session::{Session, Sessions};
use wxgate::upstream::{Address, Balance, PeerTable, Resolver, Table, Tries, Upstream};
use wxgate::wechat::callback::Verdict;
use wxgate::wechat::{Answer, Scope, State, api};

use crate::checks::session::{STATE, login_token};
use crate::checks::{HOST, NOW, account, session_token, sessions};

/// How many routes a large table has.
pub const ROUTES: [usize; 3] = [10, 1_000, 10_000];

/// What WeChat answers for a code.
const GRANT: &[u8] = br#"{"access_token":"95_1234567890abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ","expires_in":7200,"refresh_token":"95_zyxwvutsrqponmlkjihgfedcba0987654321ZYXWVUTSRQPONMLKJIHGFEDCBA","openid":"oVisitor0000000000000000001","scope":"snsapi_base"}"#;

/// One step.
pub type Step = fn(&mut World);

/// All that the steps need.
pub struct World {
    sessions: Sessions,
    account: Arc<LoginAccount>,
    host: Host,
    request: RequestHeader,
    /// The same, on its way to the app.
    forwarded: RequestHeader,
    raw: Vec<u8>,
    cookie: Vec<u8>,
    /// What comes back from WeChat with the browser: query and cookies.
    query: String,
    back: HeaderMap,
    session: Session,
    allowed: AllowedUnderscores,
    tables: Vec<(Routes, Host)>,
    resolver: Resolver,
    /// An app of one peer, and one of eight that each have their sessions.
    apps: [Upstream; 2],
    /// What is counted, for as many routes as the largest table has.
    counted: (Arc<Metrics>, Arc<RouteCounters>),
    began: Instant,
}

/// What WeChat's browser sends, twenty fields in all.
fn fields(cookie: &str) -> Vec<(&'static str, String)> {
    let plain = [
        ("Host", HOST),
        ("Connection", "keep-alive"),
        (
            "User-Agent",
            "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/130.0.0.0 Mobile Safari/537.36 MMWEBID/1234 MicroMessenger/8.0.60.2860 Language/zh_CN",
        ),
        (
            "Accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        ),
        ("Accept-Encoding", "gzip, deflate, br"),
        ("Accept-Language", "zh-CN,zh;q=0.9,en;q=0.8"),
        ("Cache-Control", "max-age=0"),
        ("Referer", "https://shop.example.com/goods/41"),
        ("Sec-Ch-Ua", "\"Android WebView\";v=\"130\""),
        ("Sec-Ch-Ua-Mobile", "?1"),
        ("Sec-Ch-Ua-Platform", "\"Android\""),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-User", "?1"),
        ("Upgrade-Insecure-Requests", "1"),
        ("X-Requested-With", "com.tencent.mm"),
        ("If-None-Match", "\"5f2b1c-1a2b\""),
        ("Dnt", "1"),
    ];
    let mut fields: Vec<_> = plain.map(|(name, value)| (name, value.to_owned())).into();
    fields.push(("Cookie", cookie.to_owned()));
    fields
}

fn route(host: &str, path: String, account: &Arc<LoginAccount>) -> Arc<Route> {
    Arc::new(Route {
        number: 0,
        host: HostPattern::try_from(host.to_owned()).unwrap(),
        path: RoutePath::try_from(path).unwrap(),
        upstream: Upstream::try_from("http://127.0.0.1:1".to_owned()).unwrap(),
        auth: Auth::Required,
        accounts: Accounts::one(Arc::clone(account)),
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
    })
}

/// A table of `count` routes, ten to a host, and the host that is asked for.
fn table(count: usize, account: &Arc<LoginAccount>) -> (Routes, Host) {
    let routes: Vec<_> = (0..count)
        .map(|number| {
            let host = format!("shop{}.example.com", number / 10);
            let path = match number % 10 {
                0 => "/".to_owned(),
                part => format!("/part{part}/of/it"),
            };
            route(&host, path, account)
        })
        .collect();
    let asked = format!("shop{}.example.com", count / 20);
    let routes = Routes::new(&routes, Vec::new(), PublicScheme::Https).unwrap();
    (routes, Host::new(&asked).unwrap())
}

/// An app of so many peers.
fn app(peers: usize) -> Upstream {
    let peers = (1..=peers).map(|port| {
        let address = Address::try_from(format!("http://127.0.0.1:{port}")).unwrap();
        toml::Spanned::new(0..0, PeerTable::from(address))
    });
    let mut table = Table::from(peers.collect::<Vec<_>>());
    table.balance = Balance::Session;
    Upstream::new(&table, None, None).unwrap()
}

impl World {
    pub fn new() -> Self {
        let sessions = sessions();
        let account = Arc::new(account("shop"));
        let cookie = format!(
            "JSESSIONID=8A1B2C3D4E5F60718293A4B5C6D7E8F9; _ga=GA1.2.1234567890.1700000000; {}={}; lang=zh_CN",
            account.session_cookie,
            session_token(&sessions)
        );
        let fields = fields(&cookie);
        assert_eq!(fields.len(), 20);
        let mut request = RequestHeader::build("GET", b"/goods/42?from=list", None).unwrap();
        let mut raw = b"GET /goods/42?from=list HTTP/1.1\r\n".to_vec();
        for (name, value) in &fields {
            request.append_header(*name, value.as_str()).unwrap();
            raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        raw.extend_from_slice(b"\r\n");
        let host = Host::new(HOST).unwrap();
        let lines = std::iter::once(cookie.as_bytes());
        let session = sessions.read(lines, &host, &account, NOW).unwrap().session;
        let tables = ROUTES.map(|count| table(count, &account)).into();
        let login = sessions
            .cookies()
            .login_name(State::parse(STATE).unwrap().piece());
        let login = format!("{cookie}; {login}={}", login_token(&sessions));
        let metrics = Metrics::new();
        let named = |number| {
            (
                format!("{HOST}/{number}"),
                format!("127.0.0.1:{}", number % 7),
            )
        };
        let counters = metrics.routes((0..10_000).map(named));
        let back = HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(login).unwrap())]);
        Self {
            sessions,
            account,
            host,
            forwarded: request.clone(),
            allowed: AllowedUnderscores::default(),
            request,
            raw,
            cookie: cookie.into_bytes(),
            query: format!("code=001abcDEF0123456789abcdefGHIJKLM&state={STATE}"),
            back,
            session,
            tables,
            resolver: Resolver::default(),
            apps: [app(1), app(8)],
            counted: (metrics, counters),
            began: Instant::now(),
        }
    }

    /// From the bytes of a cookie to a visitor.
    pub fn session(&self) {
        let lines = std::iter::once(black_box(self.cookie.as_slice()));
        let carried = self.sessions.read(lines, &self.host, &self.account, NOW);
        black_box(carried.unwrap());
    }

    /// What the visitor is called in the log.
    pub fn name(&self) {
        black_box(self.sessions.visitor(black_box(&self.session)));
    }

    /// From a request to what is asked for: one host, one target.
    pub fn asked(&self) {
        let asked = Asked::read(black_box(&self.request), black_box(&self.raw));
        black_box(asked.unwrap().kind());
    }

    /// What the client must not say is taken away, where it says nothing of it.
    pub fn strip(&mut self) {
        identity::strip(black_box(&mut self.request), &self.allowed, false);
    }

    /// The visitor is written, in place of the one who was written before.
    pub fn vouch(&mut self) {
        identity::vouch(black_box(&mut self.forwarded), &self.session).unwrap();
    }

    /// What of the cookies the app receives.
    pub fn cookies(&self) {
        let kept = Some(self.account.session_cookie.as_str());
        let settings = self.sessions.cookies();
        let left = settings.for_app(black_box(&self.request.headers), kept);
        assert!(matches!(black_box(left), ForApp::Unchanged));
    }

    /// The same where the session is taken out.
    pub fn strip_cookies(&self) {
        let settings = self.sessions.cookies();
        let left = settings.for_app(black_box(&self.request.headers), None);
        assert!(matches!(black_box(left), ForApp::Replaced(_)));
    }

    /// Which route, in the table numbered `at` of [`ROUTES`].
    pub fn route(&self, at: usize) {
        let (routes, host) = &self.tables[at];
        let decided = routes.decide(black_box(host), black_box("/part7/of/it/42"));
        assert!(matches!(black_box(decided), Decided::Route(_)));
    }

    /// What is counted of a request with a session, in the largest of [`ROUTES`],
    /// with the looks at the clock that this takes.
    pub fn count(&self) {
        let (metrics, counters) = &self.counted;
        let seat = counters.seat(black_box(4217)).unwrap();
        seat.answers.observe(black_box(Instant::now()).elapsed());
        let ended = Ended {
            route: black_box(Some(4217)),
            way: Some(Way::Vouched),
            reason: "session",
            status: 200,
            took: Some(self.began.elapsed()),
        };
        metrics.ended(counters, ended);
    }

    /// No session: to WeChat.
    pub fn login(&self) {
        let start = Start {
            host: &self.host,
            origin: PublicOrigin::of(PublicScheme::Https, &self.host),
            account: &self.account,
            need: wxgate::route::Need {
                scope: Scope::Base,
                tokens: false,
                unionid: false,
            },
            instead_of: None,
            opens: login::Opens::Session,
            to: ReturnTo::root(),
            attempt: 0,
            route: None,
        };
        let lines = cookies::lines(&self.request.headers);
        let reply = login::start(&self.sessions, lines, start, NOW * 1000);
        black_box(reply.unwrap());
    }

    /// Back from WeChat, which answers at once: the login is found, its state
    /// compared, WeChat's answer read, a session signed.
    pub fn callback(&self) {
        let answer = Answer::parse(black_box(&self.query)).unwrap();
        let logins = login::carried(&self.sessions, &self.back, &self.host, NOW * 1000);
        let agreed = logins
            .iter()
            .find_map(|login| answer.for_login(&login.state));
        let Some(Verdict::Agreed(code)) = agreed else {
            panic!("no login for the state");
        };
        black_box(code.digest());
        api::try_grant(black_box(GRANT).to_vec(), &[]).unwrap();
        black_box(self.sessions.write(&self.session, &self.account, NOW));
    }

    /// Where the request goes in the app numbered `at`, and what its answer tells.
    pub fn peer(&self, at: usize) {
        let app = black_box(&self.apps[at]);
        let mut tries = Tries::default();
        let client = std::net::IpAddr::from([203, 0, 113, 7]);
        let affinity = || Upstream::affinity(Some(self.session.id()), client);
        {
            let next = pin!(app.next(&self.resolver, affinity, &mut tries));
            let Poll::Ready(peer) = next.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("an address needs no look-up");
            };
            black_box(Box::new(peer.unwrap()));
        }
        app.answered(&mut tries, http::StatusCode::OK);
    }

    /// Every step, by its name.
    pub fn steps() -> Vec<(&'static str, Step)> {
        vec![
            ("session check", |world| world.session()),
            ("visitor named", |world| world.name()),
            ("request read", |world| world.asked()),
            ("identity stripped", |world| world.strip()),
            ("identity written", |world| world.vouch()),
            ("cookies as they came", |world| world.cookies()),
            ("cookies without the session", |world| world.strip_cookies()),
            ("route of 10", |world| world.route(0)),
            ("route of 1,000", |world| world.route(1)),
            ("route of 10,000", |world| world.route(2)),
            ("peer of one", |world| world.peer(0)),
            ("peer of eight", |world| world.peer(1)),
            ("request counted", |world| world.count()),
            ("login begun", |world| world.login()),
            ("callback", |world| world.callback()),
        ]
    }
}
