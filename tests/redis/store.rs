//! Each form of a Redis, as every store must be; and what becomes of its store
//! when it is stopped, killed, emptied.

use std::path::Path;
use std::time::{Duration, Instant};

use wxgate::revocation::Revocation;
use wxgate::secret::Secret;
use wxgate::store::{Place, RedisUrl};

use crate::conformance::{Opened, conforms, has_ended, key, now, open, until};
use crate::servers::{PASSWORD, Server, Watched, behind_tls, cluster};

const LONG: Duration = Duration::from_secs(600);

fn place(url: &str) -> Place {
    Place::Redis(RedisUrl::parse(&Secret::new(url.to_owned())).unwrap())
}

async fn opened(url: &str) -> Opened {
    open(place(url), Path::new("/nowhere")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain(dir.path());
    conforms(async || opened(&server.url()).await, true).await;
    // Nothing stands there for ever, but for the set and the stream.
    for name in server
        .cli(&["KEYS", "*"])
        .lines()
        .filter(|name| name.contains(":r:"))
    {
        assert!(name.starts_with("{test}:r:"), "{name}");
        let left: i64 = server.cli(&["PTTL", name]).trim().parse().unwrap();
        assert!(left > 0 || left == -2, "{name}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_behind_sentinels_conforms_and_may_be_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::start(dir.path());
    let url = watched.url();
    conforms(async || opened(&url).await, true).await;
    let one = opened(&url).await;
    let record = key();
    one.store.put(&record, b"x", LONG).await.unwrap();
    one.store
        .revoke(&Revocation::of_session([9; 16], now() + 600))
        .await
        .unwrap();
    let follows = || watched.servers[1].cli(&["WAIT", "0", "0"]);
    follows();
    watched.servers[0].kill();
    until("it is down", async || one.store.ready().is_err()).await;
    let began = Instant::now();
    while one.store.get(&record).await != Ok(Some(b"x".to_vec())) {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "no other took its place"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    one.store.ready().unwrap();
    let other = opened(&url).await;
    assert!(has_ended(&other.ended, 9, "o", now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let (_servers, url) = cluster(dir.path());
    conforms(async || opened(&url).await, true).await;
}

/// The authority's file is given by the environment, which is the whole
/// process's: in a process of its own.
#[test]
fn a_redis_behind_tls_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let (server, authority) = behind_tls(dir.path());
    let run = |authority: &Path| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tls_in_a_process_of_its_own",
                "--ignored",
                "--nocapture",
            ])
            .env("SSL_CERT_FILE", authority)
            .env(
                "WXGATE_TEST_REDIS",
                format!("rediss://localhost:{}", server.port),
            )
            .output()
            .unwrap()
    };
    let output = run(&authority);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    // One that nobody vouches for is none.
    let output = run(Path::new("/etc/ssl/certs/ca-certificates.crt"));
    assert!(!output.status.success());
}

#[ignore = "run by the test above, with the environment it needs"]
#[tokio::test(flavor = "multi_thread")]
async fn tls_in_a_process_of_its_own() {
    crate::world::install_crypto();
    let url = std::env::var("WXGATE_TEST_REDIS").unwrap();
    conforms(async || opened(&url).await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_know_of_each_other_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain(dir.path());
    let (one, other) = (opened(&server.url()).await, opened(&server.url()).await);
    for number in 0..10 {
        let openid = format!("oOne{number}");
        let moment = now();
        one.store
            .revoke(&Revocation::of_visitor("wx1", &openid, moment))
            .await
            .unwrap();
        let took = until("it is known", async || {
            has_ended(&other.ended, 1, &openid, moment)
        })
        .await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_learnt_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::plain(dir.path());
    let one = opened(&server.url()).await;
    server.restart();
    server.until_it_answers();
    // Another instance, which was here before this one is back, or after.
    let other = opened(&server.url()).await;
    other
        .store
        .revoke(&Revocation::of_session([3; 16], now() + 600))
        .await
        .unwrap();
    until("it is known", async || has_ended(&one.ended, 3, "o", now())).await;
    // As if a day had passed: the stream does not reach back.
    server.stop();
    until("it is down", async || one.store.ready().is_err()).await;
    server.go_on();
    server.cli(&["DEL", "{test}:news"]);
    server.cli(&[
        "ZADD",
        "{test}:revoked",
        &(now() + 600).to_string(),
        &format!("v:wx1:oMissed {}", now()),
    ]);
    until("it is known", async || {
        has_ended(&one.ended, 1, "oMissed", now() - 60)
    })
    .await;
    until("it is up", async || one.store.ready().is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_silent_holds_nobody_up_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain(dir.path());
    let one = opened(&server.url()).await;
    let record = key();
    one.store.put(&record, b"x", LONG).await.unwrap();
    server.stop();
    let began = Instant::now();
    assert!(one.store.get(&record).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(2));
    until("it is known to be down", async || {
        one.store.ready().is_err()
    })
    .await;
    let began = Instant::now();
    for _ in 0..100 {
        let error = one.store.put(&record, b"y", LONG).await.unwrap_err();
        assert!(!error.to_string().contains(PASSWORD));
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "a store that is down holds up"
    );
    // What is ended meanwhile is ended here, and told when it can be.
    let revocation = Revocation::of_session([4; 16], now() + 600);
    assert!(one.store.revoke(&revocation).await.is_err());
    assert!(has_ended(&one.ended, 4, "o", now()));
    server.go_on();
    until("it is up", async || one.store.ready().is_ok()).await;
    assert!(one.store.get(&record).await.unwrap().is_some());
    let other = opened(&server.url()).await;
    assert!(has_ended(&other.ended, 4, "o", now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_redis_has_lost_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::plain(dir.path());
    let one = opened(&server.url()).await;
    for number in 0..2_500_u32 {
        let openid = format!("oLost{number}");
        one.store
            .revoke(&Revocation::of_visitor("wx1", &openid, now()))
            .await
            .unwrap();
    }
    server.restart_empty();
    until("it is up", async || one.store.ready().is_ok()).await;
    let other = opened(&server.url()).await;
    let all =
        (0..2_500).all(|number| has_ended(&other.ended, 1, &format!("oLost{number}"), now() - 60));
    assert!(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn until_it_has_answered_once_it_is_not_known_who_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain(dir.path());
    opened(&server.url())
        .await
        .store
        .revoke(&Revocation::of_session([5; 16], now() + 600))
        .await
        .unwrap();
    server.stop();
    let began = Instant::now();
    let one = opened(&server.url()).await;
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(!one.ended.is_complete() && one.store.ready().is_err());
    server.go_on();
    until("all is known", async || one.ended.is_complete()).await;
    assert!(has_ended(&one.ended, 5, "o", now()));
    one.store.ready().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::plain(dir.path());
    let url = format!("redis://:not-{PASSWORD}@127.0.0.1:{}", server.port);
    let one = opened(&url).await;
    let error = one.store.ready().unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    let shown = format!("{:?} {:?}", one.store, place(&url));
    assert!(!shown.contains("hunter2"), "{shown}");
}
