//! What is kept of a request: its line in the access log. In it stands neither
//! who the visitor is, nor what acts in their name.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wxgate::simulator::Simulator;

use crate::app::App;
use crate::client::{Browser, WECHAT, send};
use crate::issued::{Issued, tunnel};
use crate::process::{Process, free_address};
use crate::world::{Extra, OPENID, files, gateway_toml, install_crypto, simulator};

/// A gateway in a process of its own, whose lines can be read.
struct Logged {
    gateway: SocketAddr,
    process: Process,
    files: tempfile::TempDir,
    app: App,
    simulator: Simulator,
}

impl Logged {
    async fn start(server: &str, tables: &str) -> Self {
        install_crypto();
        let gateway = free_address();
        let app = App::start().await;
        let simulator = simulator(gateway).await;
        let files = files();
        let extra = Extra {
            server,
            session: "keys = [{ file = \"key\" }]",
            tables,
            ..Extra::default()
        };
        let text = gateway_toml(gateway, app.addr, &simulator, &extra);
        let process = Self::run(files.path(), &text);
        Self {
            gateway,
            process,
            files,
            app,
            simulator,
        }
    }

    fn run(dir: &Path, text: &str) -> Process {
        let config = dir.join("gateway.toml");
        std::fs::write(&config, text).unwrap();
        Process::gateway(&config)
    }

    /// The line of the request to `path` that took `way`, when it is there.
    async fn line(&self, path: &str, way: &str) -> Value {
        let began = Instant::now();
        loop {
            let written = self.process.written();
            let mut lines = written
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found = lines.rfind(|line| line["path"] == path && line["way"] == way);
            if let Some(line) = found {
                return line;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{written}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_says_what_a_request_was_and_not_who_it_was() {
    let mut world = Logged::start("", "[log]\nformat = \"json\"\n").await;
    let (gateway, host) = (world.gateway, "127.0.0.1");
    let mut browser = Browser::new(WECHAT);
    browser.visit(gateway, "/goods/x?code=HIDDEN").await;
    let answer = browser.open(gateway, "/welcome").await;
    assert_eq!(answer.status, 200);
    send(
        gateway,
        format!("POST /pay/notify HTTP/1.1\r\nHost: {gateway}\r\nContent-Length: 0\r\n\r\n"),
    )
    .await;
    send(gateway, "GET /none HTTP/1.0\r\nHost: elsewhere\r\n\r\n").await;

    let login = world.line("/goods/x", "login").await;
    assert_eq!(login["route"], format!("{host}/"));
    assert_eq!(
        (&login["account"], &login["status"]),
        (&json!("shop"), &json!(302))
    );
    assert!(
        login.get("visitor").is_none() && login.get("upstream_ms").is_none(),
        "{login}"
    );
    let callback = world.line("/.wxgate/callback", "callback").await;
    assert_eq!(
        (&callback["reason"], &callback["account"]),
        (&json!("logged_in"), &json!("shop"))
    );
    assert!(callback["wechat_ms"].is_u64(), "{callback}");
    let first = world.line("/welcome", "vouched").await;
    assert_eq!(first["route"], format!("{host}/welcome"));
    assert_eq!((&first["http"], first.get("tls")), (&json!("1.1"), None));
    assert_eq!(first["bytes"], json!(answer.body.len()));
    assert!(
        first["upstream_ms"].as_u64() <= first["ms"].as_u64(),
        "{first}"
    );
    assert!(first["upstream_ms"].is_u64() && first.get("trace_id").is_none());
    let name = first["visitor"].as_str().unwrap().to_owned();
    assert!(
        name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{name}"
    );
    let public = world.line("/pay/notify", "public").await;
    assert!(
        public.get("visitor").is_none() && public.get("account").is_none(),
        "{public}"
    );
    let nowhere = world.line("/none", "refused").await;
    assert!(nowhere.get("route").is_none(), "{nowhere}");
    assert_eq!(nowhere["http"], "1.0");
    world.process.kill();
    let written = world.process.written();
    assert!(
        !written.contains(OPENID) && !written.contains("HIDDEN"),
        "{written}"
    );

    // Another process with the same key knows the visitor by the same name; one with
    // another key by another; and one that is told not to knows none.
    let text = std::fs::read_to_string(world.files.path().join("gateway.toml")).unwrap();
    let key = world.files.path().join("key");
    let other = wxgate::signing::generate_key().unwrap();
    let old = std::fs::read_to_string(&key).unwrap();
    std::fs::write(world.files.path().join("other"), other.expose()).unwrap();
    let rotated = text.replace(
        "keys = [{ file = \"key\" }]",
        "keys = [{ file = \"other\" }, { file = \"key\" }]",
    );
    let silent = text.replace("format = \"json\"", "format = \"json\"\nvisitor = false");
    for (text, expected) in [
        (&text, Some(true)),
        (&rotated, Some(false)),
        (&silent, None),
    ] {
        world.process = Logged::run(world.files.path(), text);
        assert_eq!(browser.clone().open(gateway, "/welcome").await.status, 200);
        let line = world.line("/welcome", "vouched").await;
        let same = line.get("visitor").map(|visitor| *visitor == *name);
        assert_eq!(same, expected, "{line}");
        world.process.kill();
    }
    assert_eq!(old, std::fs::read_to_string(&key).unwrap());
    assert!(!world.app.seen().is_empty());
    world.simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_ends_here_is_told() {
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let issued = Issued::for_hosts(&["127.0.0.1"]);
    issued.write(files.path(), "own");
    let extra = Extra {
        tables: "[log]\nformat = \"json\"\n",
        ..Extra::default()
    };
    let tls = free_address();
    let text = gateway_toml(gateway, app.addr, &simulator, &extra);
    let table = format!(
        "[server.tls]\nlisten = [\"{tls}\"]\ncertificates = [{{ hosts = [\"127.0.0.1\"], cert = \"own.pem\", key = \"own.key\" }}]\n\n[session]"
    );
    let process = Logged::run(files.path(), &text.replacen("[session]", &table, 1));
    let way_in = tunnel(tls, "http/1.1").await;
    let request = format!("GET /pay/notify HTTP/1.1\r\nHost: {tls}\r\nConnection: close\r\n\r\n");
    assert_eq!(send(way_in, request).await.status, 200);
    let line = process.wait_for("\"path\":\"/pay/notify\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["tls"], &line["http"]),
        (&json!("1.3"), &json!("1.1")),
        "{line}"
    );
}
