//! Judges a row: by its answer, by what the app saw of it, and by whether a
//! good visitor is still served.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::row::{Attack, GONE, Need, Row, Step, bytes};
use crate::app::Seen;
use crate::client::{Answer, Browser, Wire};
use crate::h2::{self, Outcome};
use crate::issued::{Issued, tunnel};
use crate::world::{Extra, OPENID, World};

/// How long an answer may take, and the end of a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What rows are filled in with.
struct Given {
    words: Vec<(&'static str, String)>,
    /// Where redirects may lead: this host and WeChat.
    places: [String; 2],
}

impl Given {
    async fn of(world: &World, visitor: &Browser) -> Self {
        let host = world.gateway.to_string();
        let value = visitor.cookie("wxgate_shop").unwrap().value.clone();
        let (comer, callback) = world.until_callback("/").await;
        let (_, query) = callback.split_once('?').unwrap();
        let part = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name));
            found.unwrap().to_owned()
        };
        let login = comer.cookies("/.wxgate/callback");
        let cookie = comer.cookie("wxgate-login-").unwrap();
        // Standard base64 has other characters than ours; some value has one.
        let standard = match value.contains(['-', '_']) {
            true => value.replace('-', "+").replace('_', "/"),
            false => format!("{value}+"),
        };
        let head = "Host: {host}\r\nCookie: {session}\r\nAccept: application/json\r\n";
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: {host}\r\nX-WeChat-OpenId: spoofed\r\n\r\n";
        Self {
            places: [
                format!("http://{host}/"),
                format!("{}/", world.simulator.base_url()),
            ],
            words: vec![
                ("{head}", head.to_owned()),
                ("{smuggled}", smuggled.to_owned()),
                ("{login}", login),
                ("{login-name}", cookie.name.clone()),
                ("{login-value}", cookie.value.clone()),
                ("{code}", part("code=")),
                ("{state}", part("state=")),
                ("{session}", "wxgate_shop={value}".to_owned()),
                ("{shorter}", value[..value.len() - 1].to_owned()),
                ("{upper}", value.to_ascii_uppercase()),
                ("{standard}", standard),
                ("{value}", value),
                ("{port}", world.gateway.port().to_string()),
                ("{host}", host),
            ],
        }
    }

    fn fill(&self, text: &str) -> String {
        let fill = |text: String, (word, value): &(&str, String)| text.replace(word, value);
        self.words.iter().fold(text.to_owned(), fill)
    }
}

/// A world, a visitor who is logged in to it, and what its rows are filled with.
pub struct Stage {
    world: World,
    visitor: Browser,
    given: Given,
    /// Where HTTP/2 is spoken, and by which scheme apps know it.
    second: (SocketAddr, &'static str),
    _certificate: TempDir,
}

impl Stage {
    /// HTTP/2 is spoken over TLS with `tls`, and else without.
    pub async fn new(tls: bool) -> Self {
        let certificate = tempfile::tempdir().unwrap();
        Issued::for_hosts(&["127.0.0.1"]).write(certificate.path(), "here");
        let dir = certificate.path().display();
        let both = format!(
            "h2c = true\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\n\
             certificates = [{{ hosts = [\"127.0.0.1\"], cert = \"{dir}/here.pem\", key = \"{dir}/here.key\" }}]"
        );
        let world = World::with(Extra {
            server: &both,
            tables: LIMITED,
            ..Extra::default()
        })
        .await;
        let visitor = world.visitor().await;
        let given = Given::of(&world, &visitor).await;
        let second = match tls {
            true => (tunnel(world.tls.unwrap(), "h2").await, "https"),
            false => (world.gateway, "http"),
        };
        Self {
            world,
            visitor,
            given,
            second,
            _certificate: certificate,
        }
    }
}

/// A route that lists its methods.
const LIMITED: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/limited"
upstream = "http://{app}"
account = "shop"
methods = ["GET", "POST"]
"#;

/// What there is to complain about in a row.
pub async fn judge(stage: &mut Stage, row: &Row) -> Vec<String> {
    let Stage {
        world,
        visitor,
        given,
        second,
        ..
    } = stage;
    let before = (world.app.seen().len(), world.exchanges());
    let mut found = match &row.attack {
        Attack::H1(text) => {
            let text = given.fill(text);
            over_h1(world, row, &text, given).await
        }
        Attack::H2(steps) => over_h2(second.0, row, steps, given).await,
    };
    let scheme = match &row.attack {
        Attack::H1(_) => "http",
        Attack::H2(_) => second.1,
    };
    if *row.app.end() > *row.app.start() {
        // What was cut off reaches the app in its own time, or not at all.
        for _ in 0..10 {
            if world.app.seen().len() - before.0 >= *row.app.end() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let good = visitor.open(world.gateway, "/still-well").await;
    if good.status != 200 {
        found.push(format!("a good visitor gets {good:?}"));
    }
    let mut seen = world.app.seen().split_off(before.0);
    seen.retain(|seen| !seen.line().starts_with("GET /still-well "));
    if !row.app.contains(&seen.len()) {
        found.push(format!("the app saw {} requests", seen.len()));
    }
    for request in &seen {
        let wrong = wrong_with(request, row, given, scheme);
        if !wrong.is_empty() || seen.len() > *row.app.end() {
            found.extend(wrong);
            found.push(format!("the app saw {:?}", request.text()));
        }
    }
    if world.exchanges() - before.1 > row.exchanges {
        found.push("WeChat was asked for it".to_owned());
    }
    found
}

async fn over_h1(world: &World, row: &Row, text: &str, given: &Given) -> Vec<String> {
    let mut wire = Wire::to(world.gateway).await;
    wire.send(bytes(text)).await;
    if row.unfinished {
        wire.finish().await;
    }
    let head = text.starts_with("HEAD ");
    let answer = loop {
        match timeout(PATIENCE, wire.answer(head)).await {
            Ok(interim) if (100..200).contains(&interim.status) && interim.status != 101 => {}
            Ok(answer) => break answer,
            Err(_) => return vec!["no answer comes".to_owned()],
        }
    };
    let mut found = Vec::new();
    if !row.statuses.contains(&answer.status) {
        found.push(format!("answered {}", answer.status));
    }
    if row.closes && !answer.closed && found.is_empty() {
        match timeout(PATIENCE, wire.is_closed()).await {
            Ok(true) => {}
            Ok(false) => found.push("more is answered behind it".to_owned()),
            Err(_) => found.push("the connection stays open".to_owned()),
        }
    }
    found.extend(said_too_much(&answer, given));
    let all = answer.everything();
    let unsaid = row.unsaid.iter().filter(|text| all.contains(**text));
    found.extend(unsaid.map(|text| format!("the answer says {text:?}: {all}")));
    found
}

/// What no answer may say.
fn said_too_much(answer: &Answer, given: &Given) -> Option<String> {
    let local = |to: &str| to.starts_with('/') && !to.starts_with("//") && !to.contains('\\');
    let away = |to: &&str| !local(to) && !given.places.iter().any(|place| to.starts_with(place));
    if let Some(to) = answer.values("location").into_iter().find(away) {
        return Some(format!("it leads to {to}"));
    }
    let session = |line: &&str| {
        line.starts_with("wxgate_shop=") && !line.contains("Max-Age=0") && answer.status != 101
    };
    if answer.values("set-cookie").iter().any(session) {
        return Some("somebody is logged in by it".to_owned());
    }
    let text = answer.everything().to_ascii_lowercase();
    (text.contains("<script") || text.contains("spoofed")).then(|| format!("it says {text}"))
}

async fn over_h2(addr: SocketAddr, row: &Row, steps: &[Step], given: &Given) -> Vec<String> {
    let mut awaited = 1;
    let mut connection = match steps {
        [Step::Mute, ..] => h2::Connection::mute(addr).await,
        _ => h2::Connection::to(addr).await,
    };
    for step in steps {
        match step {
            Step::Fields(flags, stream, fields) => {
                let fill = |text: &String| bytes(&given.fill(text));
                let fields: Vec<_> = fields.iter().map(|(n, v)| (fill(n), fill(v))).collect();
                let payload = h2::block(&fields);
                connection
                    .send(&h2::frame(h2::HEADERS, *flags, *stream, &payload))
                    .await;
            }
            Step::Bytes(frames) => connection.send(frames).await,
            Step::Await(stream) => awaited = *stream,
            Step::Mute => {}
        }
    }
    if row.unfinished {
        connection.finish().await;
    }
    let outcome = connection.outcome(awaited).await;
    let status = match &outcome {
        Outcome::Answer(status, _) => *status,
        Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed => GONE,
        Outcome::Silent => return vec!["no answer comes".to_owned()],
    };
    if row.statuses.contains(&status) {
        return Vec::new();
    }
    vec![format!("it ends with {outcome:?}")]
}

/// What no app may see, and what this row's must.
fn wrong_with(request: &Seen, row: &Row, given: &Given, scheme: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, why: String| {
        if !holds {
            wrong.push(why);
        }
    };
    let text = request.text();
    let line = request.line();
    let whole = text.to_ascii_lowercase() + &String::from_utf8_lossy(&request.body);
    for word in ["spoofed", "smuggled", "wxgate-login-", "wxgate-pending"] {
        demand(!whole.contains(word), format!("{word} reached the app"));
    }
    let parts: Vec<&str> = line.split(' ').collect();
    let target = parts.get(1).copied().unwrap_or_default();
    let plain = parts.len() == 3 && parts[2] == "HTTP/1.1" && target.starts_with('/');
    demand(plain && !target.contains('#'), "an odd line".to_owned());
    let lone = text.replace("\r\n", "");
    let odd = |c: char| c.is_ascii_control() && c != '\t';
    demand(!lone.contains(odd), "control characters".to_owned());
    let who = request.values("x-wechat-openid");
    let right = match who.as_slice() {
        [] => target.starts_with("/pay/notify") || target.starts_with("/welcome"),
        [one] => one == OPENID && !target.starts_with("/pay/notify"),
        _ => false,
    };
    demand(right, format!("the app takes it to be from {who:?}"));
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", scheme),
    ] {
        let values = request.values(name);
        demand(values == [value], format!("{name}: {values:?}"));
    }
    let count = |name: &str| request.values(name).len();
    demand(count("host") == 1, "not one Host".to_owned());
    demand(count("x-request-id") == 1, "not one id".to_owned());
    demand(count("cookie") <= 1, "several Cookie lines".to_owned());
    let framing = count("content-length") + count("transfer-encoding");
    demand(framing <= 1, "framed twice".to_owned());
    for name in [
        "te",
        "trailer",
        "keep-alive",
        "proxy-connection",
        "http2-settings",
    ] {
        demand(count(name) == 0, format!("{name} reached the app"));
    }
    for need in &row.needs {
        let holds = match need {
            Need::Has(name, value) => request.values(name) == [given.fill(value)],
            Need::Lacks(name) => count(name) == 0,
            Need::Line(line) => request.line() == *line,
            Need::Body(body) => request.body == body.as_bytes(),
        };
        demand(holds, format!("not so: {need:?}"));
    }
    wrong
}
