//! The table of hostile requests: a row says what is sent, what may come back,
//! and what the app may see of it. One runner for all rows.
//!
//! Whatever a row says besides, the app sees at most one request of it, with
//! none of the words in [`FORBIDDEN`], with the visitor's own openid exactly
//! where a session lets them in and none elsewhere; and behind each row a good
//! request on a new connection is answered.

use std::time::Duration;

use crate::app::Seen;
use crate::client::{Browser, WECHAT, Wire};
use crate::h2;
use crate::world::{Extra, OPENID, World};

/// Words that hostile requests carry in what must not reach the app.
const FORBIDDEN: &[&str] = &["spoofed", "smuggled"];

/// A route that takes some methods alone.
const STRICT: &str = "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/strict\"\nupstream = \"http://{app}\"\naccount = \"shop\"\nmethods = [\"GET\", \"POST\"]\n";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is sent, on which stream the answer is looked for.
pub enum Sent {
    H1(Vec<u8>),
    /// The same, and then nothing more: the request has no end.
    Half(Vec<u8>),
    H2(Vec<u8>),
}

/// What the app sees.
pub enum Sees {
    /// Nothing at all.
    Nothing,
    /// One request or none: what it must not see is said for all.
    Any,
    /// None, or one that does not come to its end.
    Broken,
    /// Any number of requests, for the row sends many.
    Flood,
    /// One request, for which this holds.
    One(Box<dyn Fn(&Seen) -> bool + Send + Sync>),
}

/// One hostile request.
pub struct Row {
    pub name: String,
    pub sent: Sent,
    /// What may come back; 0 stands for nothing, or a stream or connection that
    /// ends.
    pub answers: Vec<u16>,
    pub sees: Sees,
    /// Whether the connection ends behind a refusal: what follows on it cannot
    /// be told from the request's own body.
    pub closes: bool,
}

/// What rows are made of.
pub struct Parts {
    /// The gateway's authority.
    pub host: String,
    /// `name=value` of a session.
    pub session: String,
    /// `name=value` of a login in flight.
    pub login: String,
}

pub fn row(name: impl Into<String>, sent: Sent, answers: &[u16], sees: Sees) -> Row {
    Row {
        name: name.into(),
        sent,
        answers: answers.to_vec(),
        sees,
        closes: false,
    }
}

/// `rows`, of which those that are refused end their connections.
pub fn closing(mut rows: Vec<Row>) -> Vec<Row> {
    for row in &mut rows {
        row.closes = row.answers.iter().all(|status| matches!(status, 400 | 501));
    }
    rows
}

/// A row over HTTP/1.1 of which the app sees nothing.
pub fn h1(name: impl Into<String>, text: impl AsRef<[u8]>, answers: &[u16]) -> Row {
    row(
        name,
        Sent::H1(text.as_ref().to_vec()),
        answers,
        Sees::Nothing,
    )
}

/// A row over HTTP/2 of which the app sees nothing.
pub fn h2(name: impl Into<String>, frames: Vec<u8>, answers: &[u16]) -> Row {
    row(name, Sent::H2(frames), answers, Sees::Nothing)
}

impl Row {
    /// The app sees one request, for which `holds` is true.
    pub fn seen(mut self, holds: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Self {
        self.sees = Sees::One(Box::new(holds));
        self
    }

    /// How little is known of what the app sees.
    fn looseness(&self) -> u8 {
        match self.sees {
            Sees::Nothing | Sees::One(_) => 0,
            Sees::Broken => 1,
            Sees::Any | Sees::Flood => 2,
        }
    }

    /// The app may see it.
    pub fn perhaps_seen(mut self) -> Self {
        self.sees = Sees::Any;
        self
    }
}

/// Runs the rows that `make` makes, in a world of their own; says what went
/// wrong with each.
pub async fn run(make: impl Fn(&Parts) -> Vec<Row>) {
    let world = World::with(Extra {
        server: "h2c = true",
        limits: "logins_per_minute = 100000",
        tables: STRICT,
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    let mut rows = make(&parts(&world, &visitor).await);
    // An app may be heard late of a request that was broken off: such rows come
    // last, where a request too many is not taken for another row's.
    rows.sort_by_key(Row::looseness);
    let mut wrong = Vec::new();
    let loose = rows.iter().filter(|row| row.looseness() > 0).count();
    let flood = rows.iter().any(|row| matches!(row.sees, Sees::Flood));
    let mut all_before = None;
    for row in rows {
        let before = world.app.seen().len();
        if row.looseness() > 0 {
            all_before.get_or_insert(before);
        }
        if let Err(why) = attack(&world, &row, before).await {
            wrong.push(format!("{}: {why}", row.name));
        }
        let answer = visitor.open(world.gateway, "/still-well").await;
        assert_eq!(answer.status, 200, "after {}: {answer:?}", row.name);
    }
    let seen = world.app.seen().split_off(all_before.unwrap_or_default());
    let good = seen
        .iter()
        .filter(|seen| seen.line().contains("/still-well"));
    let seen = seen.len() - good.count();
    if all_before.is_some() && !flood && seen > loose {
        wrong.push(format!("{seen} requests of {loose} rows"));
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

async fn parts(world: &World, visitor: &Browser) -> Parts {
    let pair = |browser: &Browser, name: &str| {
        let cookie = browser.cookie(name).unwrap();
        format!("{}={}", cookie.name, cookie.value)
    };
    let (login, _) = world.begin("/").await;
    Parts {
        host: world.gateway.to_string(),
        session: pair(visitor, "wxgate_shop"),
        login: pair(&login, "wxgate-login-"),
    }
}

/// Parts that stand for none, to count rows with.
pub fn no_parts() -> Parts {
    Parts {
        host: "h".to_owned(),
        session: "s=1".to_owned(),
        login: "l=1".to_owned(),
    }
}

async fn attack(world: &World, row: &Row, before: usize) -> Result<(), String> {
    let sent = tokio::time::timeout(PATIENCE, send(world, row)).await;
    let status = sent.map_err(|_| "neither an answer nor an end".to_owned())??;
    if !row.answers.contains(&status) {
        return Err(format!("answered {status}, expected {:?}", row.answers));
    }
    let seen: Vec<Seen> = world.app.seen().split_off(before);
    judge(row, &seen)
}

/// Sends a row; says what came back.
async fn send(world: &World, row: &Row) -> Result<u16, String> {
    Ok(match &row.sent {
        Sent::H1(bytes) => {
            let mut wire = Wire::to(world.gateway).await;
            wire.send(bytes).await;
            let answer = wire.answer(bytes.starts_with(b"HEAD ")).await;
            if row.closes && !wire.is_closed().await {
                return Err("the connection stays open".to_owned());
            }
            answer.status
        }
        Sent::Half(bytes) => {
            let mut wire = Wire::to(world.gateway).await;
            wire.send(bytes).await;
            wire.finish().await;
            wire.answer(false).await.status
        }
        Sent::H2(frames) => h2::ask(world.gateway, frames, 1).await.status,
    })
}

fn judge(row: &Row, seen: &[Seen]) -> Result<(), String> {
    let all = || seen.iter().map(Seen::text).collect::<Vec<_>>().join("\n");
    if seen.len() > 1 && row.looseness() == 0 {
        return Err(format!("the app saw {} requests: {}", seen.len(), all()));
    }
    for request in seen {
        let body = String::from_utf8_lossy(&request.body);
        let text = format!("{}{body}", request.text());
        if FORBIDDEN.iter().any(|word| text.contains(word)) {
            return Err(format!("the app saw {text}"));
        }
        let locked =
            !request.line().contains("/pay/notify") && !request.line().contains("/welcome");
        let openids = request.values("x-wechat-openid");
        let right = match locked {
            true => openids == [OPENID],
            false => openids.is_empty() || openids == [OPENID],
        };
        if !right {
            return Err(format!("the app was told {openids:?}: {text}"));
        }
    }
    match (&row.sees, seen) {
        (Sees::Nothing, [request, ..]) => Err(format!("the app saw {}", request.text())),
        (Sees::Broken, [request, ..]) if request.whole => {
            Err(format!("the app saw it whole: {}", request.text()))
        }
        (Sees::One(_), []) => Err("the app saw nothing".to_owned()),
        (Sees::One(holds), [request, ..]) if !holds(request) => {
            Err(format!("not as it should be: {}", request.text()))
        }
        _ => Ok(()),
    }
}

/// A request of a program without a session.
pub fn get(host: &str, target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {WECHAT}\r\nAccept: application/json\r\n{lines}\r\n"
    )
}
