//! What is told of several gateways on one account: by logs, which say what is to be
//! done and nothing secret, by the doctor and by `wxgate explain`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use wxgate::route::Via;
use wxgate::signing::generate_key;
use wxgate::simulator::Simulator;

use super::{client, development, name, query, refuses};
use crate::app::App;
use crate::client::{Traveller, parts};
use crate::process::{Process, free_address, wxgate};
use crate::world::{CLUB, Extra, OPENID, SECRET, files, gateway_toml, install_crypto, simulator};

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both gateways as processes of their own, which come back from WeChat to
/// production's address.
struct Site {
    production: SocketAddr,
    dev: SocketAddr,
    logs: [Process; 2],
    app: App,
    simulator: Simulator,
    files: [tempfile::TempDir; 2],
}

impl Site {
    async fn new() -> Self {
        install_crypto();
        let [production, dev] = [(); 2].map(|()| free_address());
        let app = App::start().await;
        let simulator = simulator(production).await;
        let files = [files(), files()];
        for (dir, key) in [(0, "client_key"), (0, "other_key"), (1, "stray_key")] {
            let key_of = generate_key().unwrap();
            std::fs::write(files[dir].path().join(key), key_of.expose()).unwrap();
        }
        let key = files[0].path().join("client_key");
        std::fs::copy(&key, files[1].path().join("client_key")).unwrap();
        let clients = [
            client(
                "dev",
                &[
                    &format!("http://localhost:{}", dev.port()),
                    "http://203.0.113.7:3000",
                    "http://10.0.0.7:3000",
                ],
                "client_key",
            ),
            client("other", &["https://other.example.com"], "other_key"),
        ];
        let log = "[log]\nlevel = \"trace\"\n";
        let text = gateway_toml(
            production,
            app.addr,
            &simulator,
            &Extra {
                session: "keys = [{ file = \"key\" }]",
                account: &clients.concat(),
                tables: log,
                ..Extra::default()
            },
        );
        let via = format!("http://{production}");
        let texts = [text, format!("{}{log}", development(dev, &via, app.addr))];
        let logs = [0, 1].map(|at| {
            let path = files[at].path().join("gateway.toml");
            std::fs::write(&path, &texts[at]).unwrap();
            Process::gateway(&path)
        });
        Self {
            production,
            dev,
            logs,
            app,
            simulator,
            files,
        }
    }

    fn traveller(&self) -> Traveller {
        let mut traveller = Traveller::new(self.production);
        for host in ["localhost", "unlisted.test"] {
            let authority = format!("{host}:{}", self.dev.port());
            traveller.elsewhere.insert(authority, self.dev);
        }
        traveller
    }

    fn url(&self, target: &str) -> String {
        format!("http://localhost:{}{target}", self.dev.port())
    }

    /// What `wxgate` says with `arguments` of gateway `at`'s file with `from`
    /// replaced by `to`.
    async fn says(&self, at: usize, arguments: &[&str], from: &str, to: &str) -> (i32, String) {
        let dir = self.files[at].path();
        let text = std::fs::read_to_string(dir.join("gateway.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(dir.join("looked_at.toml"), text.replace(from, to)).unwrap();
        run(dir, arguments).await
    }
}

async fn run(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = wxgate(arguments, dir);
    command.args(["--config", "looked_at.toml"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(told).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_say_what_is_to_be_done_and_nothing_secret() {
    let mut site = Site::new().await;
    let mut secrets = vec![SECRET.to_owned(), OPENID.to_owned()];
    for (dir, key) in [
        (0, "client_key"),
        (0, "other_key"),
        (0, "key"),
        (1, "stray_key"),
    ] {
        secrets.push(std::fs::read_to_string(site.files[dir].path().join(key)).unwrap());
    }
    let (answer, trail) = site.traveller().visit(&site.url("/x")).await;
    assert_eq!(answer.status, 200, "{trail:#?}");
    for url in &trail {
        let of = |name: &str| {
            Some(
                url.split_once(name)?
                    .1
                    .split('&')
                    .next()
                    .unwrap()
                    .to_owned(),
            )
        };
        secrets.extend(["ask=", "?t=", "code="].iter().filter_map(|name| of(name)));
    }
    assert!(
        secrets.len() >= 9,
        "an ask, a ticket and a code crossed: {trail:#?}"
    );
    // One that is not listed, twice; a client that nobody knows, whatever it is
    // called; a key that is another.
    for _ in 0..2 {
        let unlisted = format!("http://unlisted.test:{}/x", site.dev.port());
        assert!(refuses(&site.traveller().visit(&unlisted).await.0));
    }
    let (_, trail) = site.traveller().until(&site.url("/y"), |_| true).await;
    let ask = trail[0].clone();
    for changed in [
        "client=nobody",
        "client=somebody",
        "client=other",
        "client=%0a%1b[31m",
    ] {
        let url = ask.replacen("client=dev", changed, 1);
        assert!(refuses(&site.traveller().open(&url).await), "{changed}");
    }
    // A line of the access log comes behind its answer.
    let began = Instant::now();
    let mut told = site.logs[0].written();
    while told.matches("reason=\"client_").count() < 6 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        told = site.logs[0].written();
    }
    let lines = |reason: &str| {
        let lines = told
            .lines()
            .filter(|line| line.contains("another gateway sent a visitor here"));
        let lines: Vec<&str> = lines.filter(|line| line.contains(reason)).collect();
        lines
    };
    let unlisted = lines("add it to origins of this client");
    assert_eq!(unlisted.len(), 1, "once a minute:\n{told}");
    for part in [
        format!("origin=\"http://unlisted.test:{}\"", site.dev.port()),
        "client_name=\"dev\"".to_owned(),
        "account=\"shop\"".to_owned(),
        "WARN".to_owned(),
    ] {
        assert!(unlisted[0].contains(&part), "{part}: {}", unlisted[0]);
    }
    let unknown = lines("expected [[accounts.NAME.clients]] with this name here");
    assert_eq!(unknown.len(), 1, "whatever it is called: {unknown:?}");
    assert!(unknown[0].contains("client_name=\"nobody\""), "{unknown:?}");
    let key = lines("expected the same key in key of this client");
    assert!(
        key.len() == 1 && key[0].contains("client_name=\"other\""),
        "{key:?}"
    );
    // The access log has each of them.
    for (reason, count) in [
        ("client_origin_not_listed", 2),
        ("client_unknown", 3),
        ("client_key_wrong", 1),
    ] {
        let with = told.lines().filter(|line| line.contains(reason)).count();
        assert_eq!(with, count, "{reason}:\n{told}");
    }
    for process in &mut site.logs {
        process.kill();
        let log = process.written();
        assert!(log.len() > 1_000, "{log}");
        for secret in &secrets {
            assert!(!log.contains(secret.as_str()), "{secret} stands in:\n{log}");
        }
    }
    assert!(site.logs[1].written().contains("ticket_taken"));
    assert!(site.app.last().value("x-wechat-openid").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_what_a_visitor_would_meet() {
    let site = Site::new().await;
    let calls = site.simulator.calls().authorize.total;
    let listens = format!("listen = [\"{}\"]", site.dev);
    // The usual file has hosts that no client lists.
    let (code, told) = site.says(1, &["doctor"], "[server]", "[server]").await;
    assert_eq!(code, 1, "{told}");
    let via = format!("http://{}", site.production);
    let localhost = site.url("");
    for line in [
        format!(
            "ok    accounts.shop.via: {via} logs visitors of {localhost} in, for its client \"dev\""
        ),
        format!("ok    accounts.shop at {localhost}: a login begins, by way of {via}"),
        format!(
            "FAIL  accounts.shop.via: {via} lists none of http://unlisted.test:{0}, http://unlisted.test for its client \"dev\"",
            site.dev.port()
        ),
    ] {
        assert!(told.contains(&line), "{line} in:\n{told}");
    }
    assert!(
        !told.contains("app_secret") && !told.contains("网页授权域名"),
        "{told}"
    );
    for (from, to, word) in [
        (
            "client = \"dev\"",
            "client = \"nobody\"",
            "does not know the client \"nobody\", or has another key for it",
        ),
        (
            "\"client_key\"",
            "\"stray_key\"",
            "does not know the client \"dev\", or has another key for it",
        ),
        (
            "app_id = \"wx",
            "app_id = \"wxx",
            "has another appid for the account of its client \"dev\"",
        ),
        (
            &listens,
            "listen = [\"127.0.0.1:1\"]",
            "lists none of http://localhost:1, http://localhost for its client",
        ),
        (
            "via = \"http://127.0.0.1",
            "via = \"http://127.0.0.2",
            "does not answer from here",
        ),
    ] {
        let (code, told) = site.says(1, &["doctor"], from, to).await;
        let bad = told
            .lines()
            .filter(|line| line.starts_with("FAIL  accounts.shop.via: "));
        assert!(
            code == 1 && bad.clone().any(|line| line.contains(word)),
            "{word} in:\n{told}"
        );
    }
    // Hosts that have the account for who pays, or for the facade, log in so too.
    let more = format!(
        "[accounts.club]\napp_id = \"{CLUB}\"\nvia = \"{via}\"\nsandbox = true\nclient = \"dev\"\n\
         client_key = {{ file = \"stray_key\" }}\n\
         [[routes]]\nhost = \"pays.test\"\nupstream = \"http://127.0.0.1:9\"\naccount = \"shop\"\npay_account = \"club\"\n\
         [facade]\nhost = \"wx.dev.test\"\n[[facade.apps]]\nname = \"legacy\"\naccount = \"shop\"\n\
         app_id = \"wxlegacy00000001\"\napp_secret = {{ file = \"legacy_secret\" }}\n\
         callback_origins = [\"http://legacy.test\"]\n[accounts.shop]"
    );
    let (_, told) = site.says(1, &["doctor"], "[accounts.shop]", &more).await;
    for line in [
        format!("FAIL  accounts.club.via: {via} does not know the client"),
        format!(
            "FAIL  accounts.shop.via: {via} lists none of http://wx.dev.test:{0}, http://wx.dev.test for",
            site.dev.port()
        ),
    ] {
        assert!(told.contains(&line), "{line} in:\n{told}");
    }
    // An account of another kind, with routes that such a one can have.
    let file = site.files[1].path().join("gateway.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let other = ["outside_wechat = \"redirect\"", "snapshot = \"read_only\""];
    let other = other.iter().fold(text.clone(), |text, line| {
        assert!(text.contains(line), "{line}");
        text.replace(line, "")
    });
    let other = other.replacen("client =", "kind = \"website\"\nclient =", 1);
    std::fs::write(site.files[1].path().join("looked_at.toml"), other).unwrap();
    let (code, told) = run(site.files[1].path(), &["doctor"]).await;
    assert!(
        code == 1 && told.contains("as one of another kind than \"website\""),
        "{told}"
    );
    // Something else that answers there.
    let app = format!("via = \"http://{}\"", site.app.addr);
    let (_, told) = site
        .says(1, &["doctor"], &format!("via = \"{via}\""), &app)
        .await;
    assert!(
        told.contains("answers 200 OK, not as a gateway that this one is a client of"),
        "{told}"
    );
    // The tries are answered for whoever has the key, and for nobody else: without it
    // they tell nothing of what there is.
    let (_, told) = site.says(0, &["doctor"], "[server]", "[server]").await;
    for line in [
        "warn  accounts.shop.clients (dev): http://203.0.113.7:3000 is http and neither this machine nor a private network",
        "ok    accounts.shop.clients (other): 1 origin(s), none of them http over the internet",
    ] {
        assert!(told.contains(line), "{line} in:\n{told}");
    }
    assert!(
        !told.contains("10.0.0.7") && !told.contains("localhost:"),
        "{told}"
    );
    let calls = site.simulator.calls().authorize.total - calls;
    assert_eq!(calls, 0, "nobody was sent to WeChat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_is_answered_for_whoever_has_the_key() {
    use wxgate::signon::{ClientAsk, Verdict};
    let site = Site::new().await;
    let ring = |at: usize, file: &str| {
        let key = std::fs::read_to_string(site.files[at].path().join(file)).unwrap();
        wxgate::signing::Keyring::new(&[wxgate::secret::Secret::new(key)]).unwrap()
    };
    let via = |client: &str, key| Via {
        client: name(client),
        key,
    };
    let dev = via("dev", ring(0, "client_key"));
    let mut known = site.traveller();
    known.visit(&format!("http://{}/", site.production)).await;
    let (_, trail) = site.traveller().until(&site.url("/y"), |_| true).await;
    let asked = || {
        let mut asked = ClientAsk::of_query(&dev.key, &dev.client, query(&trail[0])).unwrap();
        asked.probe = true;
        asked
    };
    let good_time = asked();
    let told = |text: &str, asked: &ClientAsk| {
        let (verdict, now) = Verdict::read(&dev, &asked.ask.binding, text)?;
        let off = good_time.ask.made.abs_diff(now);
        assert!(off < 60_000, "{off}");
        Some(verdict)
    };
    let start = trail[0].split_once('?').unwrap().0;
    let url = |via: &Via, asked: &ClientAsk| {
        let (client, ask) = (via.client.as_str(), asked.seal(via).unwrap());
        format!("{start}?client={client}&ask={ask}")
    };
    // Nobody is logged in by one, nor sent on.
    let good = asked();
    let answer = known.open(&url(&dev, &good)).await;
    assert!(answer.status == 200 && answer.values("set-cookie").is_empty());
    assert!(answer.value("location").is_none());
    let text = answer.text();
    assert_eq!(told(&text, &good), Some(Verdict::Good));
    // Not for another client, key or try, and not with anything changed.
    let other = via("other", ring(0, "client_key"));
    assert_eq!(Verdict::read(&other, &good.ask.binding, &text), None);
    let stray = via("dev", ring(1, "stray_key"));
    assert_eq!(Verdict::read(&stray, &good.ask.binding, &text), None);
    let (_, trail) = site.traveller().until(&site.url("/y"), |_| true).await;
    let another = ClientAsk::of_query(&dev.key, &dev.client, query(&trail[0])).unwrap();
    assert_eq!(Verdict::read(&dev, &another.ask.binding, &text), None);
    let cut = text.get(1..).unwrap();
    assert_eq!(Verdict::read(&dev, &good.ask.binding, cut), None);
    let mut late = asked();
    late.ask.made -= 700_000;
    let mut elsewhere = asked();
    elsewhere.origin =
        wxgate::origin::PublicOrigin::try_from("http://evil.test".to_owned()).unwrap();
    elsewhere.ask.host = elsewhere.origin.host().clone();
    let mut account = asked();
    account.ask.app_id = "wxother".to_owned();
    let mut kind = asked();
    kind.kind = "wecom";
    for (asked, verdict) in [
        (kind, Verdict::OtherKind),
        (late, Verdict::Late),
        (elsewhere, Verdict::OriginNotListed),
        (account, Verdict::OtherAccount),
    ] {
        let text = known.open(&url(&dev, &asked)).await.text();
        assert_eq!(told(&text, &asked), Some(verdict));
    }
    // Whoever has no key of the client's cannot tell whether there is one.
    let pages = [
        via("dev", ring(1, "stray_key")),
        via("nobody", ring(1, "stray_key")),
    ]
    .map(|via| url(&via, &asked()));
    let mut shown = Vec::new();
    for url in pages {
        let page = known.open(&url).await;
        assert!(refuses(&page), "{page:?}");
        let names: Vec<String> = page.headers.iter().map(|(name, _)| name.clone()).collect();
        let text = page.text();
        let (text, _) = text.split_once("<small>").unwrap();
        shown.push((page.status, names, text.to_owned()));
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!(parts(start).0, site.production.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_by_way_of_whom_and_what_must_be_listed_there() {
    let site = Site::new().await;
    let url = site.url("/x");
    let arguments = ["explain", "GET", &url, "--inside-wechat"];
    let (code, told) = site.says(1, &arguments, "[server]", "[server]").await;
    assert_eq!(code, 0, "{told}");
    for line in [
        format!(
            "answer    302 Found, to http://{}/.wxgate/sign-on\n",
            site.production
        ),
        "          client = dev\n".to_owned(),
        format!(
            "note      visitors of accounts.shop log in by way of http://{}, which must list {} in origins of its client dev\n",
            site.production,
            site.url("")
        ),
    ] {
        assert!(told.contains(&line), "{line} in:\n{told}");
    }
    let arguments = [&arguments[..], &["--json"]].concat();
    let (_, told) = site.says(1, &arguments, "[server]", "[server]").await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["answer"]["client"], "dev");
    // On the other side: what becomes of such an ask.
    let (_, trail) = site.traveller().until(&site.url("/y"), |_| true).await;
    let listed = format!("\"http://localhost:{}\", ", site.dev.port());
    for (url, from, to, word) in [
        (trail[0].clone(), "[server]", "[server]", "login (sign_on)"),
        (
            trail[0].clone(),
            listed.as_str(),
            "",
            "client_origin_not_listed): the client asks for an origin that does not stand in its origins",
        ),
        (
            trail[0].replacen("client=dev", "client=other", 1),
            "[server]",
            "[server]",
            "client_key_wrong): the ask does not open under that client's key",
        ),
        (
            trail[0].replacen("client=dev", "client=x", 1),
            "[server]",
            "[server]",
            "client_unknown): the address names a client that no account",
        ),
    ] {
        let arguments = ["explain", "GET", &url, "--inside-wechat"];
        let (_, told) = site.says(0, &arguments, from, to).await;
        assert!(told.contains(word), "{word} in:\n{told}");
    }
}
