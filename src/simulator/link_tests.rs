//! Links that WeChat takes and links that it does not, by table.

use super::*;

const CALLBACK: &str = "https%3A%2F%2Fshop.example.com%2F.wxgate%2Fcallback";

fn accounts() -> Vec<SimAccount> {
    let real = SimAccount {
        app_id: "wx5150a7c0ffee0001".to_owned(),
        callback_hosts: vec![
            "shop.example.com".to_owned(),
            // Configured by mistake: never valid in a real account.
            "shop.example.com:8443".to_owned(),
            "192.0.2.1".to_owned(),
        ],
        sandbox: false,
        ..SimAccount::default()
    };
    let sandbox = SimAccount {
        app_id: "wx5150a7c0ffee0002".to_owned(),
        callback_hosts: vec![
            "127.0.0.1:8080".to_owned(),
            "[::1]:8080".to_owned(),
            "[::1]".to_owned(),
            "dev.example.com".to_owned(),
        ],
        userinfo_granted: false,
        ..SimAccount::default()
    };
    let website = SimAccount {
        kind: SimKind::Website,
        app_id: "wx5150a7c0ffee0003".to_owned(),
        ..real.clone()
    };
    let app = |agent: &str| SimAccount {
        kind: SimKind::WeCom {
            agent_id: agent.to_owned(),
        },
        app_id: "wx5150a7c0ffee0004".to_owned(),
        ..real.clone()
    };
    let apps = [app("1000002"), app("1000003")];
    vec![real, sandbox, website]
        .into_iter()
        .chain(apps)
        .collect()
}

fn read(query: &str) -> Result<AuthorizeLink, Complaint> {
    AuthorizeLink::read(Door::Oauth2, query, &accounts())
}

fn outcome(query: &str) -> String {
    match read(query) {
        Ok(_) => "ok".to_owned(),
        Err(complaint) => complaint.outcome(),
    }
}

fn with_redirect(app: &str, redirect_uri: &str) -> String {
    format!(
        "appid=wx5150a7c0ffee000{app}&redirect_uri={redirect_uri}&response_type=code&scope=snsapi_base&state=s1"
    )
}

#[test]
fn order_names_and_values_are_exact() {
    let uri = CALLBACK;
    let good = format!(
        "appid=wx5150a7c0ffee0001&redirect_uri={uri}&response_type=code&scope=snsapi_base&state=Ab1"
    );
    let long = "a".repeat(128);
    let cases = [
        (good.clone(), "ok"),
        (good.replace("snsapi_base", "snsapi_userinfo"), "ok"),
        (good.replace("Ab1", &long), "ok"),
        (format!("{good}&forcePopup=true"), "ok"),
        (format!("{good}&forceSnapShot=false"), "ok"),
        (format!("{good}&connect_redirect=1"), "ok"),
        (
            format!("{good}&forcePopup=true&forceSnapShot=true&connect_redirect=1"),
            "ok",
        ),
        (
            format!("{good}&connect_redirect=1&forcePopup=true"),
            "malformed",
        ),
        (format!("{good}&forcePopup=1"), "malformed"),
        (format!("{good}&connect_redirect=2"), "malformed"),
        (format!("{good}&lang=en"), "malformed"),
        (format!("{good}&"), "malformed"),
        (format!("&{good}"), "malformed"),
        (format!("{good}&state=Ab1"), "malformed"),
        (good.replace("appid", "appId"), "malformed"),
        (good.replace("appid", "%61ppid"), "malformed"),
        (good.replace("=code&", "=token&"), "malformed"),
        (good.replace("snsapi_base", "snsapi_login"), "malformed"),
        (
            good.replace("snsapi_base", "snsapi_base,snsapi_userinfo"),
            "malformed",
        ),
        (good.replace("Ab1", "a_b"), "malformed"),
        (good.replace("Ab1", "a%41"), "malformed"),
        (good.replace("Ab1", &format!("{long}a")), "malformed"),
        (good.replace("snsapi_base", ""), "10010"),
        (good.replace(uri, ""), "10011"),
        (good.replace("wx5150a7c0ffee0001", ""), "10012"),
        (good.replace("Ab1", ""), "10013"),
        (good.replace("&state=Ab1", ""), "10013"),
        (good.replace("&scope=snsapi_base", ""), "10010"),
        (String::new(), "10012"),
        (good.replace("ffee0001", "ffee0009"), "unknown appid"),
        (
            format!(
                "redirect_uri={uri}&appid=wx5150a7c0ffee0001&response_type=code&scope=snsapi_base&state=Ab1"
            ),
            "malformed",
        ),
        (
            format!(
                "appid=wx5150a7c0ffee0001&redirect_uri={uri}&response_type=code&state=Ab1&scope=snsapi_userinfo"
            ),
            "malformed",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(outcome(&query), expected, "{query}");
    }
}

#[test]
fn the_callback_is_encoded_once_and_its_host_configured() {
    let cases = [
        ("1", CALLBACK, "ok"),
        ("1", "https%3a%2f%2fshop.example.com", "ok"),
        ("1", "https%3A%2F%2Fshop.example.com%2Fa%3Fb%3D%2520", "ok"),
        ("1", "https://shop.example.com/", "malformed"),
        ("1", "https%3A%2F%2Fshop.example.com%2Fa+b", "malformed"),
        ("1", "https%3A%2F%2Fshop.example.com%2F%2", "malformed"),
        ("1", "https%3A%2F%2Fshop.example.com%2F%zz", "malformed"),
        ("1", "https%3A%2F%2Fshop.example.com%2F%0D%0Ax", "malformed"),
        ("1", "https%3A%2F%2Fshop.example.com%2F%FF", "malformed"),
        (
            "1",
            "https%3A%2F%2Fshop.example.com%2F%E4%B8%AD",
            "malformed",
        ),
        ("1", "https%253A%252F%252Fshop.example.com", "malformed"),
        ("1", "%2Fcallback", "malformed"),
        ("1", "javascript%3A%2F%2Fshop.example.com", "malformed"),
        ("1", "http%3A%2F%2Fshop.example.com", "10003"),
        ("1", "https%3A%2F%2Fexample.com", "10003"),
        ("1", "https%3A%2F%2Fpay.shop.example.com", "10003"),
        ("1", "https%3A%2F%2FSHOP.example.com", "10003"),
        ("1", "https%3A%2F%2Fshop.example.com.", "10003"),
        ("1", "https%3A%2F%2Fshop.example.com%3A443", "10003"),
        ("1", "https%3A%2F%2Fshop.example.com%3A8443", "10003"),
        ("1", "https%3A%2F%2F192.0.2.1", "10003"),
        (
            "1",
            "https%3A%2F%2Fshop.example.com%40evil.example",
            "10003",
        ),
        (
            "1",
            "https%3A%2F%2Fevil.example%5C%40shop.example.com",
            "10003",
        ),
        (
            "1",
            "https%3A%2F%2Fevil.example%23shop.example.com",
            "10003",
        ),
        (
            "1",
            "https%3A%2F%2Fshop.example.com%5C.evil.example",
            "10003",
        ),
        ("2", "http%3A%2F%2F127.0.0.1%3A8080%2Fcb", "ok"),
        ("2", "http%3A%2F%2F%5B%3A%3A1%5D%3A8080%2Fcb", "ok"),
        ("2", "http%3A%2F%2F%5B%3A%3A1%5D%2Fcb", "ok"),
        ("2", "https%3A%2F%2Fdev.example.com", "ok"),
        ("2", "http%3A%2F%2F127.0.0.1%3A8081%2Fcb", "10003"),
        ("2", "http%3A%2F%2F127.0.0.1%2Fcb", "10003"),
        ("2", "http%3A%2F%2Fdev.example.com%3A80", "10003"),
    ];
    for (app, redirect_uri, expected) in cases {
        let query = with_redirect(app, redirect_uri);
        assert_eq!(outcome(&query), expected, "{redirect_uri}");
    }
}

#[test]
fn an_account_needs_the_right_to_ask() {
    let query = with_redirect("2", "http%3A%2F%2F127.0.0.1%3A8080")
        .replace("snsapi_base", "snsapi_userinfo");
    assert_eq!(outcome(&query), "10005");
}

#[test]
fn code_and_state_join_the_callbacks_own_query() {
    let cases = [
        ("", "https://shop.example.com?code=C&state=s1"),
        ("%2Fcb", "https://shop.example.com/cb?code=C&state=s1"),
        (
            "%2Fcb%3Fa%3Db",
            "https://shop.example.com/cb?a=b&code=C&state=s1",
        ),
        (
            "%2Fcb%23%2Froute",
            "https://shop.example.com/cb?code=C&state=s1#/route",
        ),
        (
            "%2Fcb%3Fa%3Db%23r%3Fq",
            "https://shop.example.com/cb?a=b&code=C&state=s1#r?q",
        ),
        (
            "%2Fcb%23r%3Fq",
            "https://shop.example.com/cb?code=C&state=s1#r?q",
        ),
    ];
    for (path, expected) in cases {
        let query = with_redirect("1", &format!("https%3A%2F%2Fshop.example.com{path}"));
        let link = read(&query).unwrap();
        assert_eq!(link.allowed("C"), expected);
        assert_eq!(link.refused(), expected.replace("code=C&", ""));
    }
}

#[test]
fn desktop_login_has_its_own_scope() {
    let query = with_redirect("3", CALLBACK);
    let login = query.replace("snsapi_base", "snsapi_login");
    let read = |query: &str| AuthorizeLink::read(Door::Qrconnect, query, &accounts());
    assert!(read(&login).is_ok());
    assert!(read(&query).is_err());
}

#[test]
fn each_kind_of_account_has_its_own_page() {
    let of = |door, app: &str, scope: &str, more: &str| {
        let query = with_redirect(app, CALLBACK).replace("snsapi_base", scope);
        AuthorizeLink::read(door, &format!("{query}{more}"), &accounts())
            .map_or_else(Complaint::outcome, |_| "ok".to_owned())
    };
    let (base, login) = ("snsapi_base", "snsapi_login");
    let agent = "&agentid=1000002";
    for (door, app, scope, more, expected) in [
        (Door::Oauth2, "1", base, "", "ok"),
        (Door::Qrconnect, "1", login, "", "unknown appid"),
        (Door::Qrconnect, "3", login, "", "ok"),
        (Door::Oauth2, "3", base, "", "10016"),
        (Door::Oauth2, "4", base, agent, "ok"),
        (Door::Oauth2, "4", base, "&agentid=1000003", "ok"),
        (Door::Oauth2, "4", base, "&agentid=1000004", "malformed"),
        (Door::Oauth2, "4", base, "", "malformed"),
        (Door::Oauth2, "4", "snsapi_userinfo", agent, "malformed"),
        (Door::Qrconnect, "4", login, agent, "unknown appid"),
        (Door::Oauth2, "1", base, agent, "malformed"),
        (Door::Qrconnect, "3", login, agent, "malformed"),
    ] {
        assert_eq!(of(door, app, scope, more), expected, "{app} {scope} {more}");
    }
    // To WeCom a port is a part of the domain; before the state there is no agent.
    let port = CALLBACK.replace(".com", ".com%3A8443");
    let query = format!("{}{agent}", with_redirect("4", &port));
    assert_eq!(outcome(&query), "ok");
    let other = format!(
        "{}{agent}",
        with_redirect("4", &port.replace("8443", "8444"))
    );
    assert_eq!(outcome(&other), "10003");
    let early = with_redirect("4", CALLBACK).replace("&state=", "&agentid=1000002&state=");
    assert_eq!(outcome(&early), "malformed");
}
