//! What is kept of a request: its line in the access log, its place in a trace, its
//! spans. In none of it stands who the visitor is, or what acts in their name.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wxgate::simulator::Simulator;

use crate::app::App;
use crate::client::{Browser, WECHAT, send};
use crate::issued::{Issued, tunnel};
use crate::process::{Process, free_address};
use crate::world::{Extra, OPENID, SECRET, World, files, gateway_toml, install_crypto, simulator};

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

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
    let proxy = "trusted_proxies = [\"127.0.0.1\"]";
    let mut world = Logged::start(proxy, "[log]\nformat = \"json\"\n").await;
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

    // A proxy's question about a request, and the request: what becomes of it is the same.
    let json = "Accept: application/json\r\n";
    for asked in [
        format!(
            "GET /.wxgate/auth HTTP/1.1\r\nHost: {gateway}\r\nX-Original-URI: /asked\r\nX-Original-Method: GET\r\n{json}\r\n"
        ),
        format!("GET /not-asked HTTP/1.1\r\nHost: {gateway}\r\n{json}\r\n"),
    ] {
        assert_eq!(send(gateway, asked).await.status, 401);
    }
    let question = world.line("/asked", "refused").await;
    let request = world.line("/not-asked", "refused").await;
    assert_eq!(question["reason"], request["reason"]);
    assert_eq!(
        (question.get("question"), request.get("question")),
        (Some(&json!(true)), None)
    );

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
async fn a_line_tells_the_tls_and_the_trace() {
    install_crypto();
    let table = "[telemetry]\ntraceparent = true\nsample = 0.0\n[log]\nformat = \"json\"\n";
    let world = Logged::start("trusted_proxies = [\"127.0.0.1\"]", table).await;
    let gateway = world.gateway;
    let request =
        format!("GET /pay/notify HTTP/1.1\r\nHost: {gateway}\r\ntraceparent: {GIVEN}\r\n\r\n");
    send(gateway, request).await;
    let line = world.line("/pay/notify", "public").await;
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    send(
        gateway,
        format!("GET /x HTTP/1.1\r\nHost: {gateway}\r\n\r\n"),
    )
    .await;
    let own = world.line("/x", "refused").await;
    assert_eq!(own["trace_id"].as_str().unwrap().len(), 32, "{own}");
}

/// The trace headers that the app got for a request with `headers`.
async fn traced(world: &World, headers: &str) -> (Vec<String>, Vec<String>) {
    let gateway = world.gateway;
    let request = format!("GET /pay/notify HTTP/1.1\r\nHost: {gateway}\r\n{headers}\r\n");
    assert_eq!(send(gateway, request).await.status, 200);
    let seen = world.app.last();
    (seen.values("traceparent"), seen.values("tracestate"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_believed_from_trusted_proxies_alone() {
    let on = "[telemetry]\ntraceparent = true\nsample = 1.0\n";
    let trusting = Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        tables: on,
        ..Extra::default()
    };
    let (strangers, proxied) = (World::with_tables(on).await, World::with(trusting).await);
    let id = |parents: &[String]| {
        assert_eq!(parents.len(), 1, "{parents:?}");
        let parts: Vec<String> = parents[0].split('-').map(str::to_owned).collect();
        assert!(
            parts.len() == 4 && parts[0] == "00" && parts[3] == "01",
            "{parents:?}"
        );
        (parts[1].clone(), parts[2].clone())
    };
    let given = format!("traceparent: {GIVEN}\r\ntracestate: a=1\r\ntracestate: b=2\r\n");
    let (parent, state) = traced(&proxied, &given).await;
    assert_eq!(id(&parent).0, "0af7651916cd43dd8448eb211c80319c");
    assert_ne!(
        id(&parent).1,
        "b7ad6b7169203331",
        "the gateway's span is the app's parent"
    );
    assert_eq!(state, ["a=1", "b=2"]);
    // A stranger's word, and what is no word at all, begin anew.
    for (world, headers) in [
        (&strangers, given.as_str()),
        (&strangers, ""),
        (&proxied, "tracestate: a=1\r\n"),
        (
            &proxied,
            "traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\ntracestate: a=1\r\n",
        ),
        (
            &proxied,
            "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\ntracestate: a=1\r\n",
        ),
        (&proxied, &format!("{given}traceparent: {GIVEN}\r\n")),
        (&proxied, "traceparent: x\r\n"),
    ] {
        let (parent, state) = traced(world, headers).await;
        let (first, _) = id(&parent);
        assert_ne!(first, "0af7651916cd43dd8448eb211c80319c", "{headers}");
        assert!(state.is_empty(), "{headers}: {state:?}");
        let (second, _) = id(&traced(world, headers).await.0);
        assert_ne!(first, second, "two requests, two traces");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_traces_the_apps_own_headers_pass_as_they_came() {
    let world = World::new().await;
    let given = "traceparent: the app's own\r\ntracestate: x\r\n";
    let (parent, state) = traced(&world, given).await;
    assert_eq!(
        (parent, state),
        (vec!["the app's own".to_owned()], vec!["x".to_owned()])
    );
    let (parent, state) = traced(&world, "").await;
    assert!(parent.is_empty() && state.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plan_begins_traces_and_ends_them() {
    let world = World::new().await;
    assert!(traced(&world, "").await.0.is_empty());
    let told = world.reload(|text| format!("{text}\n[telemetry]\ntraceparent = true\n"));
    assert!(
        told.wait_for_restart.is_empty() && told.mistake.is_none(),
        "{told:?}"
    );
    assert_eq!(traced(&world, "traceparent: x\r\n").await.0.len(), 1);
    let told = world.reload(|text| text.replace("traceparent = true", "traceparent = false"));
    assert!(told.mistake.is_none(), "{told:?}");
    assert_eq!(traced(&world, "traceparent: x\r\n").await.0, ["x"]);
}

type Heard = Arc<Mutex<Vec<Value>>>;

/// A collector: it takes OTLP in JSON, and keeps it.
async fn collector() -> (SocketAddr, Heard) {
    async fn take(
        State(heard): State<Heard>,
        headers: HeaderMap,
        Json(body): Json<Value>,
    ) -> Json<Value> {
        assert_eq!(headers["content-type"], "application/json");
        heard.lock().unwrap().push(body);
        Json(json!({}))
    }
    let heard = Heard::default();
    let router = Router::new()
        .route("/v1/traces", post(take))
        .with_state(heard.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, heard)
}

fn spans(heard: &Heard) -> Vec<Value> {
    let heard = heard.lock().unwrap();
    let scopes = heard
        .iter()
        .map(|body| &body["resourceSpans"][0]["scopeSpans"][0]["spans"]);
    scopes
        .flat_map(|spans| spans.as_array().unwrap().clone())
        .collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let all = span["attributes"].as_array().unwrap();
    let value = &all.iter().find(|attribute| attribute["key"] == key)?["value"];
    value["stringValue"]
        .as_str()
        .or_else(|| value["intValue"].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_a_collector_with_their_parents_and_without_secrets() {
    let (address, heard) = collector().await;
    let tables = format!(
        "[telemetry]\notlp_endpoint = \"http://{address}\"\nsample = 1.0\nservice_name = \"gate\"\n"
    );
    let world = World::with(Extra {
        server: "trusted_proxies = [\"127.0.0.1\"]",
        route: "verify_every = \"1s\"",
        tables: &tables,
        ..Extra::default()
    })
    .await;
    let mut browser = Browser::new(WECHAT);
    let (answer, trail) = browser.visit(world.gateway, "/x?secret=HIDDEN").await;
    assert_eq!(answer.status, 200);
    let headers = [("traceparent", GIVEN)];
    browser
        .ask("GET", world.gateway, "/welcome/list?HIDDEN", &headers, b"")
        .await;
    let parent = world.app.last().value("traceparent").unwrap();
    let off = GIVEN.replace("-01", "-00").replace("0af7", "1af7");
    browser
        .ask(
            "GET",
            world.gateway,
            "/welcome",
            &[("traceparent", &off)],
            b"",
        )
        .await;
    let answer = send(
        world.gateway,
        format!("BREW /%3Cx HTTP/1.1\r\nHost: {}\r\n\r\n", world.gateway),
    )
    .await;
    assert_eq!(answer.status, 401);
    // A stop sends the last of them out.
    world.stop().await;

    let all = spans(&heard);
    let resource = heard.lock().unwrap()[0]["resourceSpans"][0]["resource"].clone();
    assert_eq!(attribute(&resource, "service.name"), Some("gate"));
    let of = |path: &str, decision: &str| {
        let found = all.iter().find(|span| {
            attribute(span, "url.path") == Some(path)
                && attribute(span, "wxgate.decision") == Some(decision)
        });
        found.unwrap_or_else(|| panic!("{path} {decision}: {all:#?}"))
    };
    let children = |span: &Value| {
        let of_it = all
            .iter()
            .filter(|child| child["parentSpanId"] == span["spanId"]);
        of_it
            .inspect(|child| assert_eq!(child["traceId"], span["traceId"]))
            .collect::<Vec<_>>()
    };
    let list = of("/welcome/list", "vouched");
    assert_eq!(list["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(list["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(
        (&list["kind"], &list["name"]),
        (&json!(2), &json!("GET /welcome"))
    );
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/welcome"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("wxgate.route", "127.0.0.1/welcome"),
        ("wxgate.account", "shop"),
        ("wxgate.reason", "session"),
    ] {
        assert_eq!(attribute(list, key), Some(value), "{list}");
    }
    let to_app = children(list);
    assert_eq!(to_app.len(), 1, "{to_app:#?}");
    assert_eq!(to_app[0]["kind"], 3);
    let expected = format!(
        "00-0af7651916cd43dd8448eb211c80319c-{}-01",
        to_app[0]["spanId"].as_str().unwrap()
    );
    assert_eq!(
        parent, expected,
        "the app's parent is the span of its request"
    );
    let nanos = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos(list, "startTimeUnixNano") <= nanos(to_app[0], "startTimeUnixNano"));
    assert!(nanos(to_app[0], "startTimeUnixNano") <= nanos(to_app[0], "endTimeUnixNano"));
    // The login, whose callback asked WeChat.
    let callback = of("/.wxgate/callback", "callback");
    let calls = children(callback);
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!(
        attribute(calls[0], "wxgate.wechat.call"),
        Some("access_token")
    );
    assert!(children(of("/x", "login")).is_empty());
    // A made-up method is none of the names, and what was not sampled is not there.
    assert_eq!(
        attribute(of("/%3Cx", "refused"), "http.request.method"),
        Some("_OTHER")
    );
    assert!(
        !all.iter()
            .any(|span| span["traceId"].as_str().unwrap().starts_with("1af7"))
    );
    let text = format!("{:?}", heard.lock().unwrap());
    let code = trail
        .iter()
        .find_map(|url| url.split("code=").nth(1))
        .unwrap();
    let code = code.split('&').next().unwrap();
    for secret in [OPENID, SECRET, "HIDDEN", code, "code=", "BREW"] {
        assert!(!text.contains(secret), "{secret} stands in a span");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_or_is_gone_keeps_nobody_waiting() {
    // One takes connections and says nothing; nobody listens at the other.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [hanging.local_addr().unwrap(), free_address()];
    for address in addresses {
        let tables = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\nsample = 1.0\n");
        let world = World::with_tables(&tables).await;
        let mut browser = world.visitor().await;
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(browser.open(world.gateway, "/x").await.status, 200);
        }
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
        let began = Instant::now();
        world.stop().await;
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
    }
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
