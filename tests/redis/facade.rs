//! The facade of gateways that share a Redis: a code is good once for all of them,
//! and nothing is given while it cannot be known whether it was.

use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{Traveller, send};
use crate::conformance::until;
use crate::gateways::Pair;
use crate::servers::Server;
use crate::world::{APP_SECRETS, OPENID};

const LINK: &str = "http://wx.test/connect/oauth2/authorize?appid=wxlegacy00000001\
    &redirect_uri=http%3A%2F%2Flegacy.test%2F&response_type=code&scope=snsapi_base&state=S1";

async fn api(gateway: SocketAddr, target: &str) -> Value {
    let request = format!("GET {target} HTTP/1.1\r\nHost: wx.test\r\nAccept: */*\r\n\r\n");
    let answer = send(gateway, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn exchange(code: &str) -> String {
    let secret = APP_SECRETS[0].1;
    format!(
        "/sns/oauth2/access_token?appid=wxlegacy00000001&secret={secret}&code={code}&grant_type=authorization_code"
    )
}

fn check(token: &Value) -> String {
    let token = token.as_str().unwrap();
    format!("/sns/auth?access_token={token}&openid={OPENID}")
}

/// A visitor at `gateway`, and a code for them.
async fn code(traveller: &mut Traveller) -> String {
    let back = |url: &str| url.starts_with("http://legacy.test/");
    let (answer, trail) = traveller.until(LINK, back).await;
    let last = trail.last().unwrap_or_else(|| panic!("{answer:?}"));
    let (_, rest) = last
        .split_once("?code=")
        .unwrap_or_else(|| panic!("{trail:#?}"));
    rest.split('&').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_once_for_all_that_share_a_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    let mut traveller = Traveller::new(pair.one);
    // Given here, exchanged there, good at both.
    let given = api(pair.other, &exchange(&code(&mut traveller).await)).await;
    for gateway in [pair.one, pair.other] {
        let told = api(gateway, &check(&given["access_token"])).await;
        assert_eq!(told["errcode"], 0, "{told}");
    }
    // Eight at once, at both.
    for _ in 0..10 {
        let target = exchange(&code(&mut traveller).await);
        let calls: Vec<_> = (0..8)
            .map(|at| {
                let (gateway, target) = ([pair.one, pair.other][at % 2], target.clone());
                tokio::spawn(async move { api(gateway, &target).await })
            })
            .collect();
        let mut tokens = Vec::new();
        for call in calls {
            let answer = call.await.unwrap();
            match answer.get("access_token") {
                Some(token) => tokens.push(token.clone()),
                None => assert_eq!(answer["errcode"], 40163, "{answer}"),
            }
        }
        assert!(tokens.len() <= 1, "{tokens:?}");
        for token in tokens {
            // The others showed its code again.
            assert_eq!(api(pair.other, &check(&token)).await["errcode"], 40001);
        }
    }
    // A logout at one is an end at both.
    let same = [
        ("Origin", "http://wx.test"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let answer = traveller
        .ask("POST", "http://wx.test/.wxgate/logout", &same, b"")
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for gateway in [pair.one, pair.other] {
        until("the tokens have ended", async || {
            api(gateway, &check(&given["access_token"])).await["errcode"] == 40001
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_while_redis_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::plain(dir.path());
    let pair = Pair::on(&redis).await;
    let mut traveller = Traveller::new(pair.one);
    let given = api(pair.one, &exchange(&code(&mut traveller).await)).await;
    let waiting = code(&mut traveller).await;
    redis.stop();
    for target in [exchange(&waiting), check(&given["access_token"])] {
        let told = api(pair.other, &target).await;
        assert_eq!(told["errcode"], -1, "{target}: {told}");
    }
    let answer = traveller.open(LINK).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.value("location"), None);
    redis.go_on();
    pair.until_ready().await;
    assert_eq!(
        api(pair.one, &check(&given["access_token"])).await["errcode"],
        0
    );
    // Whether the code was used meanwhile is not known; twice it is not.
    let mut tokens = 0;
    for gateway in [pair.one, pair.other, pair.one] {
        let told = api(gateway, &exchange(&waiting)).await;
        tokens += usize::from(told.get("access_token").is_some());
    }
    assert!(tokens <= 1, "{tokens}");
    // New ones are given again.
    let fresh = exchange(&code(&mut traveller).await);
    assert_eq!(api(pair.other, &fresh).await["openid"], OPENID);
}
