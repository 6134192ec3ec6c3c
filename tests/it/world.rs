//! A world of its own for each test: simulator, app, gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Once;

use wxgate::config::Plan;
use wxgate::reload::Reloads;
use wxgate::secret::Secret;
use wxgate::server::{self, Running};
use wxgate::signing::{Keyring, generate_key};
use wxgate::simulator::{Settings, SimAccount, SimKind, Simulator};
use wxgate::upstream::UpstreamSeen;

use crate::app::App;
use crate::client::{Answer, Browser, WECHAT};

/// The simulator's secret: nothing of the gateway's may ever show it.
pub const SECRET: &str = "5ec2e7000000000000000000deadbeef";
/// Where visitors come back to who sign on by way of another host.
pub const CALLBACK: &str = "login.test";
/// Likewise with the second account.
pub const CLUB_CALLBACK: &str = "door.test";
/// The second account's appid.
pub const CLUB: &str = "wx5150a7c0ffee0002";
/// The secrets of apps that do OAuth themselves, by their files.
pub const APP_SECRETS: [(&str, &str); 3] = [
    ("legacy_secret", "legacy0123456789legacy0123456789"),
    ("forum_secret", "forum0123456789forum0123456789fo"),
    ("games_secret", "games0123456789games0123456789ga"),
];
/// A website's appid.
pub const SITE: &str = "wx5150a7c0ffee0003";
/// A corp's id, and the number of its app.
pub const CORP: &str = "ww5150a7c0ffee0004";
pub const AGENT: &str = "1000002";
/// A website that is bound to no open platform account.
pub const UNBOUND: &str = "wx5150a7c0ffee0005";
/// The default visitor.
pub const OPENID: &str = "oTestVisitor0000000000000001";

pub struct World {
    pub gateway: SocketAddr,
    /// Where plain http is spoken: at `gateway`, unless that speaks TLS.
    pub plain: SocketAddr,
    /// Where TLS is spoken, if it is.
    pub tls: Option<SocketAddr>,
    pub admin: SocketAddr,
    pub app: App,
    pub simulator: Simulator,
    pub app_id: String,
    running: Option<Running>,
    _files: tempfile::TempDir,
}

/// What a world's `gateway.toml` may have besides the usual.
#[derive(Default)]
pub struct Extra<'a> {
    pub server: &'a str,
    pub session: &'a str,
    /// Keys of `[limits]`.
    pub limits: &'a str,
    pub account: &'a str,
    /// The callback's host, if it is not the gateway's address.
    pub callback: Option<&'a str>,
    /// Keys of the route at `/`.
    pub route: &'a str,
    /// More tables.
    pub tables: &'a str,
    /// Where calls to WeChat's api go, if not to the simulator.
    pub api: Option<String>,
}

/// rustls wants its provider before the first client is built.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A simulator that takes visitors back to `gateway`.
pub async fn simulator(gateway: SocketAddr) -> Simulator {
    let hosts = [&gateway.to_string(), CALLBACK, CLUB_CALLBACK];
    let account = SimAccount {
        app_secret: SECRET.to_owned(),
        callback_hosts: hosts.map(str::to_owned).to_vec(),
        ..SimAccount::default()
    };
    let club = SimAccount {
        app_id: CLUB.to_owned(),
        ..account.clone()
    };
    let site = SimAccount {
        kind: SimKind::Website,
        app_id: SITE.to_owned(),
        ..account.clone()
    };
    let unbound = SimAccount {
        app_id: UNBOUND.to_owned(),
        bound: false,
        ..site.clone()
    };
    let corp = SimAccount {
        kind: SimKind::WeCom {
            agent_id: AGENT.to_owned(),
        },
        app_id: CORP.to_owned(),
        ..account.clone()
    };
    let accounts = vec![account, club, site, corp, unbound];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start(listener, Settings::new(accounts))
        .await
        .unwrap();
    assert!(simulator.set_default_visitor(OPENID));
    simulator
}

/// The usual `gateway.toml`, with `extra`. Secrets are files beside it.
pub fn gateway_toml(
    gateway: SocketAddr,
    app: SocketAddr,
    simulator: &Simulator,
    extra: &Extra<'_>,
) -> String {
    let wechat = simulator.base_url();
    let api = extra.api.clone().unwrap_or_else(|| wechat.clone());
    let app_id = SimAccount::default().app_id;
    let callback = extra.callback.map_or(gateway.to_string(), str::to_owned);
    format!(
        r#"
[server]
listen = ["{gateway}"]
admin_listen = "127.0.0.1:0"
public_scheme = "http"
state_dir = "state"
{}

[session]
{}

[limits]
{}

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://{callback}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{api}"
verify_files = ["MP_verify_AbCdEfGhIjKlMnOp.txt"]
{}

[[routes]]
host = "127.0.0.1"
path = "/"
upstream = "http://{app}"
account = "shop"
{}

[[routes]]
host = "127.0.0.1"
path = "/pay/notify"
upstream = "http://{app}"
auth = "none"

[[routes]]
host = "127.0.0.1"
path = "/welcome"
upstream = "http://{app}"
account = "shop"
auth = "optional"

[[routes]]
host = "127.0.0.1"
path = "/member"
upstream = "http://{app}"
account = "shop"
scope = "snsapi_userinfo"

[[routes]]
host = "127.0.0.1"
path = "/events"
upstream = "http://{app}"
account = "shop"
methods = ["GET", "POST"]
headers = {{ "X-From" = "gateway" }}
session_cookie = "strip"
{}
"#,
        extra.server,
        extra.session,
        extra.limits,
        extra.account.replace("{wechat}", &wechat),
        extra.route,
        // Tables that need them name the gateway and WeChat so.
        extra
            .tables
            .replace("{gateway}", &gateway.to_string())
            .replace("{app}", &app.to_string())
            .replace("{wechat}", &wechat)
    )
}

/// A directory with the files that `gateway_toml` names.
pub fn files() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("app_secret"), SECRET).unwrap();
    for (name, secret) in APP_SECRETS {
        std::fs::write(files.path().join(name), secret).unwrap();
    }
    std::fs::write(files.path().join("key"), generate_key().unwrap().expose()).unwrap();
    files
}

impl World {
    pub async fn new() -> Self {
        Self::with(Extra::default()).await
    }

    pub async fn with(extra: Extra<'_>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = listener.local_addr().unwrap();
        Self::start(gateway, gateway, vec![listener], extra, files(), |text| {
            text
        })
        .await
    }

    /// A world whose gateway speaks TLS at `gateway`, with certificates for
    /// `hosts`, each in PEM with its key, and `keys` in the table `[server.tls]`.
    /// Beside it plain http is spoken at `plain`.
    pub async fn over_tls(extra: Extra<'_>, hosts: &[(&str, [&str; 2])], keys: &str) -> Self {
        let [plain, tls] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let gateway = tls.local_addr().unwrap();
        let files = files();
        let entries = hosts.iter().zip(0..).map(|((hosts, [cert, key]), at)| {
            let write = |ending, text| {
                let name = format!("cert-{at}.{ending}");
                std::fs::write(files.path().join(name), text).unwrap();
            };
            write("pem", cert);
            write("key", key);
            format!("{{ hosts = {hosts}, cert = \"cert-{at}.pem\", key = \"cert-{at}.key\" }}")
        });
        let entries: Vec<String> = entries.collect();
        let table = format!(
            "[server.tls]\nlisten = [\"{gateway}\"]\ncertificates = [{}]\n{keys}\n\n[session]",
            entries.join(", ")
        );
        let address = plain.local_addr().unwrap();
        let https = |text: String| {
            text.replacen(&format!("[\"{gateway}\"]"), &format!("[\"{address}\"]"), 1)
                .replacen("[session]", &table, 1)
                .replace("public_scheme = \"http\"", "public_scheme = \"https\"")
                .replace("callback_origin = \"http:", "callback_origin = \"https:")
        };
        Self::start(gateway, address, vec![plain, tls], extra, files, https).await
    }

    async fn start(
        gateway: SocketAddr,
        plain: SocketAddr,
        sockets: Vec<TcpListener>,
        extra: Extra<'_>,
        files: tempfile::TempDir,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        install_crypto();
        let app = App::start().await;
        let simulator = simulator(gateway).await;
        let text = change(gateway_toml(gateway, app.addr, &simulator, &extra));
        let path = files.path().join("gateway.toml");
        std::fs::write(&path, &text).unwrap();
        let plan = Plan::parse(&path, &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let running = server::start_on(plan, sockets).await.unwrap();
        Self {
            gateway,
            plain,
            tls: running.listen_tls.first().copied(),
            admin: running.admin.unwrap(),
            app,
            simulator,
            app_id: SimAccount::default().app_id,
            running: Some(running),
            _files: files,
        }
    }

    /// A world with more routes.
    pub async fn with_tables(tables: &str) -> Self {
        Self::with(Extra {
            tables,
            ..Extra::default()
        })
        .await
    }

    /// A visitor inside WeChat who has just logged in at `/`.
    pub async fn visitor(&self) -> Browser {
        let mut browser = Browser::new(WECHAT);
        let (answer, _) = browser.visit(self.gateway, "/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        browser
    }

    /// The first request of a login for `target`: the answer that sends the
    /// visitor to WeChat, and the browser that got it.
    pub async fn begin(&self, target: &str) -> (Browser, Answer) {
        let mut browser = Browser::new(WECHAT);
        let answer = browser.open(self.gateway, target).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        (browser, answer)
    }

    /// Begins a login for `target` and goes to WeChat: the callback's target,
    /// not yet opened, and the browser that may open it.
    pub async fn until_callback(&self, target: &str) -> (Browser, String) {
        let (mut browser, answer) = self.begin(target).await;
        let answer = browser.open_url(answer.location()).await;
        assert_eq!(answer.status, 302, "{answer:?}");
        let (addr, callback) = crate::client::split(answer.location());
        assert_eq!(addr, self.gateway);
        (browser, callback)
    }

    /// The directory of this world's files, where a second gateway finds the
    /// same keys.
    pub fn dir(&self) -> &Path {
        self._files.path()
    }

    /// Opens `target` as somebody who grants the profile wherever WeChat asks;
    /// the addresses on the way come along.
    pub async fn visit(&self, browser: &mut Browser, target: &str) -> (Answer, Vec<String>) {
        let (answer, mut trail) = browser.visit(self.gateway, target).await;
        let asked = trail
            .last()
            .filter(|url| url.contains("/connect/oauth2/authorize?"));
        let Some((_, query)) = asked.and_then(|url| url.split_once('?')) else {
            return (answer, trail);
        };
        let query = query.split('#').next().unwrap();
        let yes = format!("/simulator/choose/authorize/{OPENID}?{query}");
        let (answer, rest) = browser.visit(self.simulator.addr(), &yes).await;
        trail.extend(rest);
        (answer, trail)
    }

    /// Changes `gateway.toml` and has the gateway read it; what came of that.
    pub fn reload(&self, change: impl FnOnce(String) -> String) -> Reloads {
        let path = self.dir().join("gateway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(text)).unwrap();
        let running = self.running.as_ref().unwrap();
        running.reload(&path);
        running.record.get()
    }

    /// The word by which this gateway's operators are known.
    pub fn admin_word(&self) -> String {
        self.keys().admin_word().expose().to_owned()
    }

    /// The keys that it signs with.
    pub fn keys(&self) -> Keyring {
        let key = std::fs::read_to_string(self.dir().join("state/session.key")).unwrap();
        Keyring::new(&[Secret::new(key)]).unwrap()
    }

    /// Sends an operator's order to end sessions.
    pub async fn order(&self, word: &str, order: &str) -> Answer {
        let request = format!(
            "POST /sessions/revoke HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {word}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
            order.len()
        );
        crate::client::send(self.admin, request).await
    }

    /// How the apps are, as operators see them.
    pub fn upstreams(&self) -> Vec<UpstreamSeen> {
        self.running.as_ref().unwrap().peers().snapshot()
    }

    /// How many calls the exchange api got.
    pub fn exchanges(&self) -> u64 {
        self.simulator.calls().exchange.total
    }

    /// Stops the gateway as SIGTERM does.
    pub async fn stop(mut self) {
        self.running.take().unwrap().stop().await;
    }
}
