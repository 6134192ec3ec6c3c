//! One exchange for each code on all machines that share a store.
//!
//! Holds always: a code is exchanged by the instance that claimed it, and by no
//! other; the others learn what came of it from a sealed record that lives for a
//! minute, which is longer than any exchange may take; where nothing comes, for the
//! one that claimed it died, the code counts as spent. While the store is down each instance exchanges for itself, and
//! WeChat, which takes a code once, keeps the second from passing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::exchange::Failure;
use super::{Flight, REPLAY};
use crate::route::LoginAccount;
use crate::session::{Session, Sessions};
use crate::signing::{Keyring, Purpose};
use crate::store::{Key, Store, Unavailable};
use crate::wechat::errcode::Side;
use crate::wechat::{ApiError, Errcode};

/// What stands in the place of an answer that is not there yet.
const CLAIMED: &[u8] = b"";
/// How often the others look.
const LOOK: Duration = Duration::from_millis(50);
/// How long an exchange may take with all its calls: two of WeChat's, of WeCom's up
/// to four, each after a wait for its turn. `limits` bound each of them and not the
/// sum.
const WHOLE: Duration = Duration::from_secs(50);
/// How long the others look: an exchange that takes longer has been given up.
const PATIENCE: Duration = Duration::from_secs(55);
// What was claimed is claimed, and what came of it is told, for as long as anybody looks.
const _: () =
    assert!(WHOLE.as_secs() < PATIENCE.as_secs() && PATIENCE.as_secs() < REPLAY.as_secs());

/// What `exchange` leads to, if that is in time.
pub(super) async fn in_time(
    account: &LoginAccount,
    exchange: impl Future<Output = Result<Session, Failure>>,
) -> Result<Session, Failure> {
    let done = tokio::time::timeout(WHOLE, exchange).await;
    done.unwrap_or_else(|_| {
        let seconds = WHOLE.as_secs();
        warn!(
            account = account.name.as_str(),
            seconds, "an exchange was given up, for its calls took too long together"
        );
        let late = "its calls took too long together".to_owned();
        Err(Failure::Api(ApiError::Late(late)))
    })
}

/// What came of an exchange, for another instance.
#[derive(Serialize, Deserialize)]
enum Told {
    Session(Vec<u8>),
    Snapshot,
    GrantedLess,
    NoUnionId,
    TooManyCodes,
    Store,
    Internal,
    NotSent,
    NoAnswer,
    Errcode(i64, Option<String>),
    CorpErrcode(i64, Option<String>),
    Outsider,
}

impl Told {
    fn of(result: &Result<Session, Failure>) -> Self {
        match result {
            Ok(session) => Self::Session(Sessions::pack(session)),
            Err(Failure::Snapshot) => Self::Snapshot,
            Err(Failure::Outsider) => Self::Outsider,
            Err(Failure::GrantedLess) => Self::GrantedLess,
            Err(Failure::NoUnionId) => Self::NoUnionId,
            Err(Failure::TooManyCodes) => Self::TooManyCodes,
            Err(Failure::Store) => Self::Store,
            Err(Failure::Internal) => Self::Internal,
            Err(Failure::Api(ApiError::NotSent(_))) => Self::NotSent,
            Err(Failure::Api(ApiError::NoAnswer(_) | ApiError::Late(_) | ApiError::Garbled(_))) => {
                Self::NoAnswer
            }
            Err(Failure::Api(ApiError::Errcode { code, .. })) => match code.side {
                Side::WeChat => Self::Errcode(code.code, code.rid.clone()),
                Side::WeCom => Self::CorpErrcode(code.code, code.rid.clone()),
            },
        }
    }

    fn result(self) -> Result<Session, Failure> {
        let elsewhere = || "another instance asked".to_owned();
        let errcode = |side, code, rid| {
            Failure::Api(ApiError::Errcode {
                code: Errcode { side, code, rid },
                message: elsewhere(),
            })
        };
        Err(match self {
            Self::Session(packed) => return Sessions::unpack(&packed).ok_or(Failure::Internal),
            Self::Snapshot => Failure::Snapshot,
            Self::Outsider => Failure::Outsider,
            Self::GrantedLess => Failure::GrantedLess,
            Self::NoUnionId => Failure::NoUnionId,
            Self::TooManyCodes => Failure::TooManyCodes,
            Self::Store => Failure::Store,
            Self::Internal => Failure::Internal,
            Self::NotSent => Failure::Api(ApiError::NotSent(elsewhere())),
            Self::NoAnswer => Failure::Api(ApiError::NoAnswer(elsewhere())),
            Self::Errcode(code, rid) => errcode(Side::WeChat, code, rid),
            Self::CorpErrcode(code, rid) => errcode(Side::WeCom, code, rid),
        })
    }
}

/// What `exchange` leads to, wherever it is made.
pub(super) async fn once(
    store: &Store,
    keys: &Keyring,
    flight: &Flight,
    exchange: impl Future<Output = Result<Session, Failure>>,
) -> Result<Session, Failure> {
    if !store.is_shared() {
        return exchange.await;
    }
    let (name, key) = (flight.name(), flight.key());
    match store.put_new(&key, CLAIMED, REPLAY).await {
        Ok(true) => {
            let result = exchange.await;
            if let Err(error) = tell(store, keys, &name, &key, &result).await {
                warn!("other instances do not learn of an exchange: {error}");
            }
            result
        }
        Ok(false) => match told(store, keys, &name, &key).await {
            Some(told) => told.result(),
            None => Err(Failure::Api(ApiError::NoAnswer(
                "another instance asked and said nothing".to_owned(),
            ))),
        },
        Err(error) => {
            warn!("a code is exchanged without asking the other instances: {error}");
            exchange.await
        }
    }
}

async fn tell(
    store: &Store,
    keys: &Keyring,
    name: &[u8],
    key: &Key,
    result: &Result<Session, Failure>,
) -> Result<(), Unavailable> {
    let told = postcard::to_stdvec(&Told::of(result)).unwrap_or_default();
    let record = keys
        .conceal(Purpose::Flight, name, b"", &told)
        .map_err(|error| Unavailable(error.to_string()))?;
    store.put(key, &record, REPLAY).await
}

/// What the instance that claimed the code tells; `None` if it never does.
async fn told(store: &Store, keys: &Keyring, name: &[u8], key: &Key) -> Option<Told> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        let record = store.get(key).await.ok()??;
        if record != CLAIMED {
            let payload = keys.reveal(Purpose::Flight, name, b"", &record)?;
            return postcard::from_bytes(&payload).ok();
        }
        tokio::time::sleep(LOOK).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_ends_while_the_others_still_look() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let account = crate::session::tests::account("wxaaaaaaaaaaaaaaaa");
            let began = tokio::time::Instant::now();
            let never = in_time(&account, std::future::pending()).await;
            assert!(matches!(never, Err(Failure::Api(ApiError::Late(_)))));
            assert_eq!(began.elapsed().as_secs(), WHOLE.as_secs());
            let done = in_time(&account, async { Err(Failure::Store) }).await;
            assert!(matches!(done, Err(Failure::Store)));
        });
    }
}
