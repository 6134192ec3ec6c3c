//! Secrets and tokens appear nowhere: not in an answer, not in a log line at
//! any level, not in an error.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wxgate::simulator::{Api, Mood};

use crate::app::App;
use crate::client::{Browser, Traveller, WECHAT, WECOM, send, split};
use crate::process::{Process, free_address};
use crate::world::{Extra, OPENID, SECRET, files, gateway_toml, install_crypto, simulator};

/// A corp's member.
const MEMBER: &str = "Li.Ming@corp.example";

/// Stands between gateway and WeChat and notes what WeChat answers: the tokens
/// are to be known before they can be looked for.
async fn relay(to: SocketAddr) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let shared = heard.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let heard = shared.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                    let _ = to_server.shutdown().await;
                });
                let mut bytes = vec![0; 16 * 1024];
                while let Ok(count) = from_server.read(&mut bytes).await {
                    if count == 0 || to_client.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                    heard
                        .lock()
                        .unwrap()
                        .push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            });
        }
    });
    (address, heard)
}

fn tokens(heard: &str) -> Vec<String> {
    ["\"access_token\":\"", "\"refresh_token\":\""]
        .iter()
        .flat_map(|name| heard.split(name).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// The code in a callback's address.
fn code(url: &str) -> Option<String> {
    let rest = url.split("code=").nth(1)?;
    Some(rest.split('&').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_said_at_any_level() {
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let (relayed, heard) = relay(simulator.addr()).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let extra = Extra {
        api: Some(format!("http://{relayed}")),
        session: "keys = [{ file = \"key\" }]",
        route: "verify_every = \"1s\"",
        tables: &"[[routes]]\nhost = \"a.test\"\nupstream = \"http://{app}\"\naccount = \"shop\"\n\
                 [[routes]]\nhost = \"127.0.0.1\"\npath = \"/corp\"\nupstream = \"http://{app}\"\naccount = \"corp\"\n\
                 [accounts.corp]\nkind = \"wecom\"\napp_id = \"ww5150a7c0ffee0004\"\nagent_id = \"1000002\"\n\
                 app_secret = { file = \"app_secret\" }\ncallback_origin = \"http://{gateway}\"\nsandbox = true\n\
                 open_base_url = \"{wechat}\"\napi_base_url = \"http://{relayed}\"\n\
                 [store]\nkind = { file = \"store.redb\" }\n[log]\nlevel = \"trace\"\n"
            .replace("{relayed}", &relayed.to_string()),
        ..Extra::default()
    };
    std::fs::write(&config, gateway_toml(gateway, app.addr, &simulator, &extra)).unwrap();
    let mut process = Process::gateway(&config);

    let mut answers = String::new();
    let mut codes = Vec::new();
    let moods = [
        Mood::Normal,
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 40125,
        },
        Mood::Errcode {
            api: Api::Exchange,
            errcode: 40029,
        },
        Mood::Errcode {
            api: Api::Userinfo,
            errcode: 40001,
        },
        Mood::CutOff,
        Mood::ResetBeforeAnswer,
        Mood::Html,
        Mood::TruncatedJson,
        Mood::HugeBody,
        Mood::BadOpenId,
    ];
    for mood in moods {
        simulator.set_mood(mood);
        for scope in ["/x", "/member"] {
            let mut browser = Browser::new(WECHAT);
            let mut answer = browser.open(gateway, scope).await;
            for _ in 0..10 {
                let Some(to) = answer.value("location").map(str::to_owned) else {
                    break;
                };
                let to = match to.split_once("/connect/oauth2/authorize?") {
                    Some((base, query)) if to.contains("snsapi_userinfo") => {
                        format!(
                            "{base}/simulator/choose/authorize/{OPENID}?{}",
                            query.split('#').next().unwrap()
                        )
                    }
                    _ => to,
                };
                codes.extend(code(&to));
                answer = browser.open_url(&to).await;
                if split(&to).0 == gateway {
                    answers.push_str(&answer.everything());
                }
            }
        }
    }
    // A corp's member, whose corp's token is heard by the relay too.
    assert!(simulator.employ(OPENID, MEMBER));
    for mood in [
        Mood::Errcode {
            api: Api::CorpToken,
            errcode: 60020,
        },
        Mood::Normal,
        Mood::Errcode {
            api: Api::CorpUser,
            errcode: 42001,
        },
        Mood::TruncatedJson,
        Mood::BadOpenId,
    ] {
        simulator.set_mood(mood);
        let mut browser = Browser::new(WECOM);
        let (answer, trail) = browser.visit(gateway, "/corp").await;
        codes.extend(trail.iter().filter_map(|url| code(url)));
        answers.push_str(&answer.everything());
    }
    assert!(simulator.calls().gettoken.ok() > 0);
    // By way of another host: what crosses is as good as a session, for a moment.
    simulator.set_mood(Mood::Normal);
    let mut traveller = Traveller::new(gateway);
    let (_, trail) = traveller.visit("http://a.test/x").await;
    let crossed: Vec<String> = trail
        .iter()
        .filter_map(|url| url.split_once("?t=").or(url.split_once("?ask=")))
        .map(|(_, value)| value.to_owned())
        .collect();
    assert_eq!(crossed.len(), 2, "{trail:#?}");
    // Tokens that are kept are asked with, renewed, and refused.
    for (api, errcode) in [
        (Api::Check, 42001),
        (Api::Refresh, 40125),
        (Api::Refresh, 42002),
    ] {
        let asked = || {
            let calls = simulator.calls();
            calls.check.total + calls.refresh.total
        };
        simulator.set_mood(Mood::Normal);
        let mut browser = Browser::new(WECHAT);
        browser.visit(gateway, "/x").await;
        simulator.advance_clock(Duration::from_secs(3 * 3600));
        simulator.set_mood_for(api, Mood::Errcode { api, errcode });
        let (before, began) = (asked(), Instant::now());
        while asked() < before + 2 {
            answers.push_str(&browser.open(gateway, "/x").await.everything());
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{api:?} was not asked"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let calls = simulator.calls();
    assert!(
        calls.refresh.total > 1 && calls.check.total > 1,
        "{calls:?}"
    );
    // Requests that the engine itself refuses, and talks about.
    let stray = "CODEthatNOBODYmaySEE0123456789";
    codes.push(stray.to_owned());
    for bytes in [
        format!(
            "GET /.wxgate/callback?code={stray}&state=x HTTP/1.1\r\nHost: {gateway}\r\nBad Header: {stray}\r\n\r\n"
        ),
        format!(
            "GET /.wxgate/callback?code={stray}&state=x HTTP/1.1\r\nHost: {gateway}\r\nBad\r\n\r\n"
        ),
        format!("GET /.wxgate/callback?code={stray} HTTP/9.9\r\nHost: {gateway}\r\n\r\n"),
        format!(
            "POST /pay/notify?code={stray} HTTP/1.1\r\nHost: {gateway}\r\nTransfer-Encoding: chunked\r\n\r\nzz{stray}\r\n"
        ),
        format!("GET /.wxgate/callback?code={stray} HTTP/1.1\r\n\r\n"),
        format!(
            "GET /.wxgate/login?to=/x%3Fcode={stray} HTTP/1.1\r\nHost: {gateway}\r\nUser-Agent: x\r\n\r\n"
        ),
    ] {
        let answer = send(gateway, bytes).await;
        if !answer.text().contains("<svg") {
            answers.push_str(&answer.everything());
        }
    }
    process.kill();

    let mut secrets = codes;
    secrets.push(SECRET.to_owned());
    secrets.push(std::fs::read_to_string(files.path().join("key")).unwrap());
    let tokens = tokens(&heard.lock().unwrap());
    assert!(tokens.len() >= 4, "the relay heard tokens");
    assert!(secrets.len() >= 10, "codes were seen");
    secrets.extend(tokens);
    let log = process.written();
    let store = std::fs::read(files.path().join("store.redb")).unwrap();
    let store = String::from_utf8_lossy(&store).into_owned();
    assert!(store.len() > 1_000, "there is a store");
    assert!(
        log.contains("a visitor logged in") && log.contains("40125"),
        "{log}"
    );
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} stands in the log");
        assert!(!answers.contains(&secret), "{secret} stands in an answer");
        assert!(!store.contains(&secret), "{secret} stands in the store");
    }
    for value in crossed {
        assert!(!log.contains(&value), "{value} stands in the log");
    }
    assert!(log.contains("ticket_taken"), "{log}");
    assert!(!log.contains(OPENID), "an openid stands in the log");
    assert!(!log.contains(MEMBER), "a userid stands in the log");
    assert!(log.contains("60020"), "{log}");
}
