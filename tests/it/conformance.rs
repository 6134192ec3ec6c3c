//! What every store does, of whatever kind: one suite for all.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wxgate::revocation::{Revocation, Revocations, Subject};
use wxgate::store::{Key, Place, Settings, Store};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(300);

/// A store that is open, and what it has told.
pub struct Opened {
    pub store: Arc<Store>,
    pub ended: Arc<Revocations>,
}

pub async fn open(place: Place, state_dir: &std::path::Path) -> Opened {
    let ended = Arc::new(Revocations::default());
    let settings = Settings {
        place,
        prefix: "test".to_owned(),
    };
    let store = Store::open(settings, Some(state_dir.to_owned()), Arc::clone(&ended))
        .await
        .unwrap();
    Opened { store, ended }
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Whether a session of number `id` that a visitor opened then has ended.
pub fn has_ended(all: &Revocations, id: u8, openid: &str, opened: u64) -> bool {
    all.has_ended(&Subject {
        id: &[id; 16],
        app_id: "wx1",
        person: wxgate::revocation::Person::OpenId(openid),
        opened,
    })
}

/// Waits until `done`, within [`PATIENCE`]; how long that took.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

/// A key that no other test has.
pub fn key() -> Key {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    key
}

/// All of it. `again` opens the store anew after it was dropped; `keeps` tells
/// whether records outlive that.
pub async fn conforms(again: impl AsyncFn() -> Opened, keeps: bool) {
    let opened = again().await;
    records(&opened.store).await;
    marks(&opened.store).await;
    expiry(&opened.store).await;
    races(&opened.store).await;
    let record = key();
    opened.store.put(&record, b"kept", LONG).await.unwrap();
    revocations(&opened).await;
    drop(opened);
    let opened = again().await;
    until("all is known", async || opened.ended.is_complete()).await;
    let there = opened.store.get(&record).await.unwrap();
    assert_eq!(there.as_deref(), keeps.then_some(b"kept".as_slice()));
    still_ended(&opened.ended);
    opened.store.ready().unwrap();
}

async fn records(store: &Store) {
    let (one, other) = (key(), key());
    assert_eq!(store.get(&one).await.unwrap(), None);
    assert!(!store.replace(&one, b"", b"x", LONG).await.unwrap());
    store.remove(&one).await.unwrap();

    let bytes: Vec<u8> = (0..=255).collect();
    store.put(&one, &bytes, LONG).await.unwrap();
    assert_eq!(store.get(&one).await.unwrap(), Some(bytes.clone()));
    assert_eq!(store.get(&other).await.unwrap(), None);
    assert!(!store.put_new(&one, b"x", LONG).await.unwrap());
    assert!(!store.replace(&one, b"x", b"y", LONG).await.unwrap());
    assert_eq!(store.get(&one).await.unwrap(), Some(bytes.clone()));
    assert!(store.replace(&one, &bytes, b"", LONG).await.unwrap());
    assert_eq!(store.get(&one).await.unwrap(), Some(Vec::new()));
    assert!(store.replace(&one, b"", b"y", LONG).await.unwrap());
    store.put(&one, b"z", LONG).await.unwrap();
    assert_eq!(store.get(&one).await.unwrap(), Some(b"z".to_vec()));
    store.remove(&one).await.unwrap();
    assert_eq!(store.get(&one).await.unwrap(), None);
    assert!(store.put_new(&one, b"", LONG).await.unwrap());
    assert!(!store.put_new(&one, b"", LONG).await.unwrap());
    assert_eq!(store.get(&one).await.unwrap(), Some(Vec::new()));
}

async fn marks(store: &Arc<Store>) {
    let (one, short) = (key(), key());
    let claims: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.mark(&one, LONG).await })
        })
        .collect();
    let mut first = 0;
    for claim in claims {
        first += u32::from(claim.await.unwrap().unwrap());
    }
    assert_eq!(first, 1);
    assert!(store.mark(&short, SHORT).await.unwrap());
    until("a mark ends", async || {
        store.mark(&short, SHORT).await.unwrap()
    })
    .await;
}

async fn expiry(store: &Store) {
    let (put, new, replaced, long) = (key(), key(), key(), key());
    store.put(&put, b"x", SHORT).await.unwrap();
    store.put_new(&new, b"x", SHORT).await.unwrap();
    store.put(&replaced, b"x", LONG).await.unwrap();
    assert!(store.replace(&replaced, b"x", b"y", SHORT).await.unwrap());
    store.put(&long, b"x", SHORT).await.unwrap();
    store.put(&long, b"x", LONG).await.unwrap();
    for key in [put, new, replaced] {
        until("a record ends", async || {
            store.get(&key).await.unwrap().is_none()
        })
        .await;
        // What has ended is nothing.
        assert!(!store.replace(&key, b"x", b"y", LONG).await.unwrap());
        assert!(store.put_new(&key, b"again", LONG).await.unwrap());
    }
    assert_eq!(store.get(&long).await.unwrap(), Some(b"x".to_vec()));
}

async fn races(store: &Arc<Store>) {
    let (new, count) = (key(), key());
    let claims: Vec<_> = (0..100_u32)
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.put_new(&new, &number.to_be_bytes(), LONG).await })
        })
        .collect();
    let mut won = 0;
    for claim in claims {
        won += u32::from(claim.await.unwrap().unwrap());
    }
    assert_eq!(won, 1);
    // Twenty count to fifty together, and none is lost.
    store.put(&count, b"0", LONG).await.unwrap();
    let counting: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut added = 0_u32;
                loop {
                    let old = store.get(&count).await.unwrap().unwrap();
                    let number: u32 = String::from_utf8(old.clone()).unwrap().parse().unwrap();
                    if number == 50 {
                        return added;
                    }
                    let next = (number + 1).to_string();
                    let replaced = store.replace(&count, &old, next.as_bytes(), LONG).await;
                    added += u32::from(replaced.unwrap());
                }
            })
        })
        .collect();
    let mut added = 0;
    for task in counting {
        added += task.await.unwrap();
    }
    assert_eq!(added, 50);
}

async fn revocations(opened: &Opened) {
    let (store, ended) = (&opened.store, &opened.ended);
    until("all is known", async || ended.is_complete()).await;
    let revocations = [
        Revocation::of_session([1; 16], now() + 600),
        Revocation::of_visitor("wx1", "oOne", now() - 100),
        Revocation::of_visitor("wx1", "oOne", now() - 200),
        Revocation::of_member("wx1", "Li.Ming@corp", now() - 100),
        Revocation::of_everyone(now() - 1_000),
        Revocation::of_everyone(now() - 2_000),
    ];
    for revocation in &revocations {
        store.revoke(revocation).await.unwrap();
    }
    // A thousand more at once.
    let tasks: Vec<_> = (0..1_000_u32)
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let openid = format!("oMany{number}");
                let revocation = Revocation::of_visitor("wx1", &openid, now());
                store.revoke(&revocation).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    still_ended(ended);
}

fn still_ended(all: &Revocations) {
    assert!(has_ended(all, 1, "oOther", now() + 10));
    assert!(!has_ended(all, 2, "oOther", now()));
    assert!(has_ended(all, 2, "oOne", now() - 150));
    assert!(!has_ended(all, 2, "oOne", now() - 50));
    let member = |opened| {
        all.has_ended(&Subject {
            id: &[2; 16],
            app_id: "wx1",
            person: wxgate::revocation::Person::Member("li.ming@Corp"),
            opened,
        })
    };
    assert!(member(now() - 150) && !member(now() - 50));
    assert!(has_ended(all, 2, "oOther", now() - 1_100));
    assert!(!has_ended(all, 2, "oOther", now() - 900));
    for number in 0..1_000 {
        assert!(
            has_ended(all, 2, &format!("oMany{number}"), now() - 60),
            "{number}"
        );
    }
}
