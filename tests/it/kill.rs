//! A gateway that is killed at any moment: what it said it had ended stays ended.
//!
//! Holds always: what is demanded is what was answered in full before the end. A
//! login or a logout whose answer did not come may have happened or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use wxgate::secret::Secret;
use wxgate::signing::Keyring;

use crate::app::App;
use crate::client::{Answer, Browser, WECHAT, Wire, split};
use crate::process::{Process, free_address};
use crate::world::{Extra, files, gateway_toml, install_crypto, simulator};

/// How many visitors come and go between two ends.
const VISITORS: usize = 6;

const ROUTES: &str = r#"
[[routes]]
host = "127.0.0.1"
path = "/checked"
upstream = "http://{app}"
account = "shop"
verify_every = "1s"
"#;

/// What is known of one session.
#[derive(Clone)]
struct Known {
    browser: Browser,
    /// Whether an end of it was answered in full.
    ended: bool,
    /// Whether an end of it was asked for.
    asked_to_end: bool,
}

/// A gateway on `store`, killed `times` times while visitors log in, have their
/// tokens renewed, log out and are put out.
pub async fn kills(store: &str, times: usize) {
    install_crypto();
    let (gateway, admin) = (free_address(), free_address());
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let tables = format!("{ROUTES}\n[store]\n{store}\n[log]\nlevel = \"warn\"\n");
    let extra = Extra {
        session: "keys = [{ file = \"key\" }]",
        limits: "logins_per_minute = 1000000",
        tables: &tables,
        ..Extra::default()
    };
    let text = gateway_toml(gateway, app.addr, &simulator, &extra);
    let admin_line = format!("admin_listen = \"{admin}\"");
    std::fs::write(
        &config,
        text.replace("admin_listen = \"127.0.0.1:0\"", &admin_line),
    )
    .unwrap();
    let key = std::fs::read_to_string(files.path().join("key")).unwrap();
    let word = Keyring::new(&[Secret::new(key)]).unwrap().admin_word();
    let order = Order {
        admin,
        word: word.expose().to_owned(),
    };

    let mut all: Vec<Known> = Vec::new();
    let (mut ended, mut kept) = (0, 0);
    for round in 0..times {
        let mut process = Process::start(&["run", "--config", config.to_str().unwrap()]);
        until_ready(admin).await;
        // Those of the last round in full, and some of all that came before.
        let fresh = all.len().saturating_sub(2 * VISITORS);
        for (at, known) in all.iter().enumerate() {
            if at < fresh && !(at + round).is_multiple_of(times / 4 + 1) {
                continue;
            }
            let let_in = is_let_in(&known.browser, gateway).await;
            if known.ended {
                assert!(!let_in, "round {round}: a session that was ended is let in");
                ended += 1;
            } else if !known.asked_to_end {
                assert!(let_in, "round {round}: a session is gone");
                kept += 1;
            }
        }
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut visitors = JoinSet::new();
        for number in 0..VISITORS {
            let old = all
                .iter()
                .rev()
                .filter(|known| !known.asked_to_end)
                .nth(number);
            let (old, heard, order) = (old.cloned(), Arc::clone(&heard), order.clone());
            visitors.spawn(async move {
                come_and_go(gateway, &order, number, old, &heard).await;
            });
        }
        // Every second round the tokens die, so that they are renewed.
        if round % 2 == 0 {
            simulator.advance_clock(Duration::from_secs(3 * 3600));
        }
        let moment = getrandom::u64().unwrap() % 250;
        sleep(Duration::from_millis(moment)).await;
        process.kill();
        while visitors.join_next().await.is_some() {}
        drop(process);
        let heard = Arc::into_inner(heard).unwrap().into_inner().unwrap();
        for news in heard {
            // The newest word about a session counts.
            let cookie = |known: &Known| known.browser.cookie("wxgate_shop").cloned();
            match all.iter_mut().find(|known| cookie(known) == cookie(&news)) {
                Some(known) => {
                    known.ended |= news.ended;
                    known.asked_to_end |= news.asked_to_end;
                }
                None => all.push(news),
            }
        }
    }
    assert!(
        ended > times && kept > times,
        "{ended} ended and {kept} kept sessions were looked at"
    );
}

#[derive(Clone)]
struct Order {
    admin: SocketAddr,
    word: String,
}

/// One visitor's round: an old session is used and perhaps ended, a new one is
/// opened and perhaps ended.
async fn come_and_go(
    gateway: SocketAddr,
    order: &Order,
    number: usize,
    old: Option<Known>,
    heard: &Mutex<Vec<Known>>,
) {
    if let Some(old) = old {
        let mut browser = old.browser.clone();
        // Tokens are renewed on the way; whatever comes is an answer.
        let _ = ask(&mut browser, gateway, "GET", "/checked").await;
        if number.is_multiple_of(2) {
            end(gateway, order, number, old, heard).await;
        }
    }
    let mut browser = Browser::new(WECHAT);
    let target = if number.is_multiple_of(2) {
        "/checked"
    } else {
        "/"
    };
    let mut answer = ask(&mut browser, gateway, "GET", target).await;
    while let Some(redirect) = answer.as_ref().filter(|answer| answer.status == 302) {
        let (to, path) = split(redirect.location());
        answer = ask(&mut browser, to, "GET", &path).await;
    }
    // The cookie came in full with the callback's answer, whatever became of
    // the page behind it.
    if browser.cookie("wxgate_shop").is_none() {
        return;
    }
    let known = Known {
        browser,
        ended: false,
        asked_to_end: false,
    };
    heard.lock().unwrap().push(known.clone());
    if number.is_multiple_of(3) {
        end(gateway, order, number, known, heard).await;
    }
}

/// Ends a session: by its logout, or by an operator's word.
async fn end(
    gateway: SocketAddr,
    order: &Order,
    number: usize,
    known: Known,
    heard: &Mutex<Vec<Known>>,
) {
    let told = match number % 4 {
        0 => None,
        _ => ask(&mut known.browser.clone(), gateway, "GET", "/.wxgate/me").await,
    };
    heard.lock().unwrap().push(Known {
        asked_to_end: true,
        ..known.clone()
    });
    let id = told
        .filter(|told| told.status == 200)
        .and_then(|told| Some(told.json()["data"]["session"].as_str()?.to_owned()));
    let answer = match id {
        Some(id) => {
            let body = format!("{{\"session\":\"{id}\"}}");
            let request = format!(
                "POST /sessions/revoke HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
                order.word,
                body.len()
            );
            try_send(order.admin, request.as_bytes()).await
        }
        None => {
            let mut browser = known.browser.clone();
            ask(&mut browser, gateway, "POST", "/.wxgate/logout").await
        }
    };
    let certain = answer.is_some_and(|answer| {
        answer.status == 200 && serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok()
    });
    if certain {
        heard.lock().unwrap().push(Known {
            ended: true,
            asked_to_end: true,
            ..known
        });
    }
}

/// One request, whose answer may never come.
async fn ask(
    browser: &mut Browser,
    addr: SocketAddr,
    method: &str,
    target: &str,
) -> Option<Answer> {
    let own = [("Sec-Fetch-Site", "same-origin")];
    let headers: &[_] = if method == "POST" { &own } else { &[] };
    let answer = try_send(addr, &browser.request(method, addr, target, headers, b"")).await?;
    browser.keep(&answer);
    Some(answer)
}

async fn try_send(addr: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut wire = Wire::try_to(addr).await?;
    wire.send(bytes).await;
    let answer = wire.answer(false).await;
    (answer.status != 0).then_some(answer)
}

async fn until_ready(admin: SocketAddr) {
    let began = std::time::Instant::now();
    let request = b"GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n";
    while try_send(admin, request)
        .await
        .is_none_or(|answer| answer.status != 200)
    {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the gateway does not start"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

async fn is_let_in(browser: &Browser, gateway: SocketAddr) -> bool {
    let programs = [("Accept", "application/json")];
    let bytes = browser.request("GET", gateway, "/", &programs, b"");
    match try_send(gateway, &bytes).await.map(|answer| answer.status) {
        Some(200) => true,
        Some(401) => false,
        other => panic!("{other:?}"),
    }
}
