//! Routes, decided.

use super::*;

fn route(host: &str, path: &str, auth: Auth) -> Route {
    Route {
        number: 0,
        host: HostPattern::try_from(host.to_owned()).unwrap(),
        path: RoutePath::try_from(path.to_owned()).unwrap(),
        upstream: Upstream::try_from("http://127.0.0.1:1".to_owned()).unwrap(),
        auth,
        accounts: Accounts::default(),
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

pub(super) fn account() -> LoginAccount {
    use crate::wechat::account::{API_BASE_URL, BaseUrl, OPEN_BASE_URL, Parts};
    LoginAccount {
        name: "shop".to_owned().try_into().unwrap(),
        wechat: Account::new(Parts {
            kind: crate::wechat::Kind::Official,
            app_id: "wxaaaaaaaaaaaaaaaa".to_owned().try_into().unwrap(),
            app_secret: crate::secret::Secret::new("s".to_owned()),
            callback_origin: PublicOrigin::try_from("https://c.test".to_owned()).unwrap(),
            open_base: BaseUrl::wechat(OPEN_BASE_URL),
            api_base: BaseUrl::wechat(API_BASE_URL),
            api_fallback: None,
            lang: Default::default(),
            hop: Default::default(),
        }),
        holder: Holder::default(),
        outsiders: false,
        session_cookie: String::new(),
        snapshot_cookie: String::new(),
        pay_cookie: String::new(),
    }
}

#[test]
fn a_callback_without_routes_leads_to_a_host_that_can_be_named() {
    let account = Arc::new(account());
    let callback = account.wechat.callback_origin().host().clone();
    let with = |host: &str| {
        let mut route = route(host, "/", Auth::Required);
        route.accounts = Accounts::one(Arc::clone(&account));
        Arc::new(route)
    };
    let listed = ["*.example.org", "other.test", "third.test"].map(with);
    let table = Routes::new(&listed, Vec::new(), PublicScheme::Https).unwrap();
    let there = table.sends_back_to(&callback).map(Host::as_str);
    assert_eq!(there, Some("other.test"));
}

#[test]
fn a_port_is_the_requests_own_only_where_another_gateway_holds_it_against_its_list() {
    use crate::signing::{Keyring, generate_key};
    let shop = |holder| {
        Accounts::one(Arc::new(LoginAccount {
            holder,
            ..account()
        }))
    };
    let via = Via {
        client: "dev".to_owned().try_into().unwrap(),
        key: Keyring::new(&[generate_key().unwrap()]).unwrap(),
    };
    let mut there = route("dev.test", "/", Auth::Required);
    there.accounts = shop(Holder::Elsewhere(Box::new(via)));
    let mut here = route("here.test", "/", Auth::Required);
    here.accounts = shop(Holder::default());
    let listed = [there, here, route("open.test", "/", Auth::None)].map(Arc::new);
    let table = Routes::new(&listed, Vec::new(), PublicScheme::Http).unwrap();
    for (host, expected) in [
        ("dev.test", "http://dev.test:3000"),
        ("here.test", "http://here.test"),
        ("open.test", "http://open.test"),
        ("none.test", "http://none.test"),
    ] {
        let host = Host::new(host).unwrap();
        assert_eq!(table.origin_at(&host, Some(3000)).as_str(), expected);
        assert!(table.origin_at(&host, None).port().is_none());
    }
    // Nobody comes back from WeChat by way of another gateway.
    let callback = Host::new("c.test").unwrap();
    let back = table.accounts_at(&callback);
    assert!(back.len() == 1 && back.iter().all(|account| account.via().is_none()));
}

fn table() -> Routes {
    let routes = vec![
        route("shop.example.com", "/", Auth::Required),
        route("shop.example.com", "/pay/notify", Auth::None),
        route("shop.example.com", "/pay", Auth::Optional),
        route("*.example.com", "/", Auth::Required),
        route("one.example.com", "/", Auth::None),
        route("path.example.com", "/app", Auth::None),
        route("open.example.com", "/", Auth::None),
        route("open.example.com", "/secret", Auth::Required),
        route("open.example.com", "/Admin", Auth::Required),
    ];
    let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
    Routes::new(&routes, Vec::new(), PublicScheme::Https).unwrap()
}

fn decide(host: &str, path: &str) -> String {
    match table().decide(&Host::new(host).unwrap(), path) {
        Decided::Route(route) => format!("{}{}", route.host, route.path.as_str()),
        Decided::Ambiguous => "ambiguous".to_owned(),
        Decided::None => "none".to_owned(),
    }
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    for (path, expected) in [
        ("/", "shop.example.com/"),
        ("/payment", "shop.example.com/"),
        ("/pay", "shop.example.com/pay"),
        ("/pay/", "shop.example.com/pay"),
        ("/pay/x", "shop.example.com/pay"),
        ("/pay/notify", "shop.example.com/pay/notify"),
        ("/pay/notify/", "shop.example.com/pay/notify"),
        ("/pay/notify/a/b", "shop.example.com/pay/notify"),
        ("/pay/notifyx", "shop.example.com/pay"),
        ("/x/pay/notify", "shop.example.com/"),
    ] {
        assert_eq!(decide("shop.example.com", path), expected, "{path}");
    }
}

#[test]
fn hosts_are_whole() {
    assert_eq!(decide("other.example.com", "/"), "*.example.com/");
    assert_eq!(decide("a.b.example.com", "/"), "*.example.com/");
    assert_eq!(decide("one.example.com", "/"), "one.example.com/");
    assert_eq!(decide("example.com", "/"), "none");
    assert_eq!(decide("evilexample.com", "/"), "none");
    assert_eq!(decide("path.example.com", "/"), "none");
    assert_eq!(decide("path.example.com", "/apple"), "none");
}

#[test]
fn a_host_without_a_root_has_a_home_all_the_same() {
    let home = |host: &str| table().home(&Host::new(host).unwrap()).to_owned();
    assert_eq!(home("shop.example.com"), "/");
    assert_eq!(home("nobody.example.org"), "/");
}

#[test]
fn a_path_that_could_be_a_stricter_routes_is_not_decided() {
    for path in [
        "/pay/notify/../../admin",
        "/pay/notify/%2e%2e/admin",
        "/pay/notify%2f..%2f..%2fadmin",
        "/pay/notify/..%2f..%2fadmin",
        "/pay/notify/..%5c..%5cadmin",
        "/pay/notify\\..\\..\\admin",
        "/pay/notify/..;/..;/admin",
        "/pay/notify/%252e%252e/x",
        "/pay/notify/%25252e%25252e/x",
        "/pay/notify/%2525252525252e%2525252525252e/x",
        "/pay/notify/%u002e%u002e/x",
        "/pay/notify/..%20/x",
        "/pay/notify/%2e%2e%20/x",
        "/pay/notify/%ef%bc%8e%ef%bc%8e/x",
        "/pay/notify/%f0%80%80%ae%f0%80%80%ae/x",
        "/pay/notify/%c0%ae%c0%ae/x",
        "/pay/notify/%e0%80%ae%e0%80%ae/x",
        "/pay/notify/..%c0%afx",
        "/pay/notify/..%ef%bc%8fx",
        "/pay/notify/%2e%2e%3fx",
        // The steps of a server in another order than ours.
        "/pay/notify/%2e%2e;%2fnotify%2f/x",
        "/pay/notify/%2e%2e/notify%2fb/../x",
        // A line break that is taken out of a decoded path.
        "/pay/notify/%0d../x",
        "/pay/notify/.%09./x",
        // An encoded slash that stays in its segment.
        "/pay/notify/%2e%2e/notify%2fx",
    ] {
        assert_eq!(decide("shop.example.com", path), "ambiguous", "{path}");
    }
    for path in [
        "//h/secret/x",
        "/\\h/secret/x",
        "/%2fh/secret",
        "/SECRET/x",
        "/%73ecret/x",
        "/%u0073ecret/x",
        "/%ef%bd%93ecret/x",
        "/secret./x",
        "/secret%20/x",
        "/secret.json",
        "/secret.v1.json/x",
        "/(S(x))/secret",
        "/(S(x))secret",
        "/sec(A(x)F(y))ret/x",
        "/SECRET~1/x",
        "/x/../sec~1",
        "/secret%1c/x",
        "/secret%1c\\.",
        "/secret%3fx",
        "/secret%23x",
        "/secret%00x",
        "/x%3f/../secret%00/../../x",
        "/x//../../secret",
        "/secret::$DATA",
        "/secret;x",
        "/x/../secret",
        "//secret",
        "/./secret",
        "/secret%2fx",
        "/secret%5cx",
        "/admin/x",
        "/ADMIN",
    ] {
        assert_eq!(decide("open.example.com", path), "ambiguous", "{path}");
    }
}

#[test]
fn a_path_that_could_only_be_a_laxer_routes_is_the_stricter_ones() {
    for path in [
        "/x/../pay/notify",
        "//pay/notify",
        "/PAY/notify",
        "/pay;x/notify",
        "/pay%2Fnotify",
    ] {
        assert_eq!(
            decide("shop.example.com", path),
            "shop.example.com/",
            "{path}"
        );
    }
    for path in [
        "/pay//notify",
        "/pay/./notify",
        "/pay/%6eotify",
        "/pay/notify%00",
        "/pay/notify;/x",
    ] {
        assert_eq!(
            decide("shop.example.com", path),
            "shop.example.com/pay",
            "{path}"
        );
    }
}

#[test]
fn a_long_path_is_decided_at_once() {
    let long = "/a/..".repeat(20_000);
    assert_eq!(decide("shop.example.com", &long), "shop.example.com/");
    assert_eq!(
        decide("path.example.com", &format!("/app{long}/..")),
        "ambiguous"
    );
}

#[test]
fn odd_paths_that_lead_to_one_route_however_read_pass() {
    for path in [
        "/a%2Fb",
        "/%E4%BD%A0%E5%A5%BD",
        "/A/b;c=d",
        "/a//b",
        "/a/../b",
        "/你好",
        "/x%00y",
    ] {
        assert_eq!(
            decide("shop.example.com", path),
            "shop.example.com/",
            "{path}"
        );
    }
    assert_eq!(
        decide("shop.example.com", "/pay/notify/Wx%20Pay"),
        "shop.example.com/pay/notify"
    );
    assert_eq!(
        decide("one.example.com", "/a/..%2f..%2fb"),
        "one.example.com/"
    );
    assert_eq!(decide("path.example.com", "/app/%2e%2e/admin"), "ambiguous");
}

#[test]
fn a_route_path_is_plain() {
    let path = |text: &str| RoutePath::try_from(text.to_owned());
    assert_eq!(path("/").unwrap().as_str(), "/");
    assert_eq!(path("/shop/").unwrap(), path("/shop").unwrap());
    for wrong in [
        "",
        "shop",
        "/a//b",
        "/a/../b",
        "/%61",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a*",
        "/.wxgate",
        "/.wxgate/x",
        "//",
        "/./",
    ] {
        assert!(path(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_lock_below_an_open_route_is_told() {
    let routes = table();
    let found: Vec<String> = routes
        .locked_below_open()
        .iter()
        .map(|(above, below)| format!("{} {}", above.path.as_str(), below.path.as_str()))
        .collect();
    assert_eq!(found, ["/ /Admin", "/ /secret"]);
}

#[test]
fn two_routes_alike_are_a_mistake() {
    let twins = [
        route("a.example.com", "/x", Auth::None),
        route("A.example.com.", "/X/", Auth::Required),
    ]
    .map(Arc::new);
    assert_eq!(
        Routes::new(&twins, Vec::new(), PublicScheme::Https).unwrap_err(),
        [(0, 1)]
    );
}
