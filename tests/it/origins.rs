//! The callback origins of several accounts: what browsers see of one host is one
//! scheme and one port.

use wxgate::config::Plan;

use crate::world::files;

const SHOP: &str = "https://login.example.com";
const CORP: &str = "https://login.example.com:8443";

/// A route of the shop's, and an account of a corp's at the same host, whose callback
/// may have a port, with `more` behind.
fn plan(corp: &str, more: &str) -> Result<Plan, String> {
    let files = files();
    std::fs::write(files.path().join("virtual"), "0123456789abcdef0123").unwrap();
    let key = wxgate::signing::generate_key().unwrap();
    std::fs::write(files.path().join("client_key"), key.expose()).unwrap();
    let account = |name: &str, id: &str, origin: &str| {
        format!(
            "[accounts.{name}]\napp_id = \"{id}\"\napp_secret = {{ file = \"app_secret\" }}\ncallback_origin = \"{origin}\"\n"
        )
    };
    let text = [
        "[server]\nstate_dir = \"state\"\n",
        &account("shop", "wx1234567890abcdef", SHOP),
        &account("corp", "ww1234567890abcdef", corp),
        "kind = \"wecom\"\nagent_id = \"1000002\"\n",
        "[[routes]]\nhost = \"x.example.com\"\nupstream = \"http://127.0.0.1:1\"\naccount = \"shop\"\n",
        more,
    ]
    .concat();
    let path = files.path().join("gateway.toml");
    Plan::parse(&path, &text).map_err(|mistakes| mistakes.to_string())
}

fn route(keys: &str) -> String {
    format!("[[routes]]\nhost = \"y.example.com\"\nupstream = \"http://127.0.0.1:1\"\n{keys}\n")
}

/// Another 公众号, in a sandbox, where a callback may have a port.
fn club(more: &str) -> String {
    format!(
        "[accounts.club]\napp_id = \"wx2234567890abcdef\"\napp_secret = {{ file = \"app_secret\" }}\ncallback_origin = \"{CORP}\"\n\
         sandbox = true\n{more}\n"
    )
}

#[test]
fn two_accounts_in_use_see_one_host_as_one_origin() {
    let clients = "[[accounts.club.clients]]\nname = \"dev\"\norigins = [\"http://localhost:1\"]\nkey = { file = \"client_key\" }\n";
    let facade = "[facade]\nhost = \"wx.example.com\"\n[[facade.apps]]\nname = \"old\"\naccount = \"club\"\napp_id = \"wxlegacy00000001\"\n\
                  app_secret = { file = \"virtual\" }\ncallback_origins = [\"https://old.example.com\"]\n";
    let pays = route("account = \"shop\"\npay_account = \"club\"");
    // As a route's account, or one of its list; as who pays; with clients; of an app.
    for (more, first) in [
        (route("account = \"corp\""), "corp"),
        (route("account = [\"shop\", \"corp\"]"), "corp"),
        (pays + &club(""), "club"),
        (club(clients), "club"),
        (club(facade), "club"),
    ] {
        let told = plan(CORP, &more).map(drop).unwrap_err();
        assert!(told.contains("accounts.shop.callback_origin: "), "{told}");
        for part in [
            SHOP,
            CORP,
            "one host, of which browsers see one scheme and one port",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let names = format!("while accounts.{first}.callback_origin is ");
        assert!(told.contains(&names), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    // One that nothing uses is in nobody's way, nor is one at the same origin.
    assert!(plan(CORP, "").is_ok());
    assert!(plan(CORP, &club("")).is_ok());
    assert!(plan(SHOP, &route("account = \"corp\"")).is_ok());
    let apart = plan(
        "https://corp.example.com:8443",
        &route("account = \"corp\""),
    );
    assert!(apart.is_ok(), "{:?}", apart.map(drop));
}
