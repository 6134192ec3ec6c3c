//! What no cookie may hold: sealed records that expire by themselves, and what
//! has been ended.
//!
//! Holds always: a revocation that was accepted outlives the process, however
//! it ends, and reaches every instance that shares the store; an answer that
//! the store did not give is [`Unavailable`], and never a guess; nothing here
//! knows what a record means, and what is kept is sealed before it comes here.
//!
//! Three kinds: `memory` for one machine that has nothing to lose but tokens,
//! `file` for one that does, `redis` for several.

mod exclusive;
mod file;
mod journal;
mod marks;
mod memory;
mod redis;
mod settings;
mod thread;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

use self::exclusive::Exclusive;
use self::memory::MemoryStore;
use self::redis::RedisStore;
pub use self::redis::Url as RedisUrl;
pub use self::settings::{Place, Settings, Table};
use crate::revocation::{Revocation, Revocations};

/// A record's name: a digest, which tells nothing of what it is about.
pub type Key = [u8; 32];

/// The store did not answer: whether it did what was asked is unknown.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the store does not answer: {0}")]
pub struct Unavailable(pub String);

/// Why a store cannot be used at all, in words for the operator.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct OpenError(String);

/// The store.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    revocations: Arc<Revocations>,
    errors: [AtomicU64; Operation::WORDS.len()],
}

/// What a store is asked to do.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Revoke,
    Put,
    PutNew,
    Get,
    Replace,
    Remove,
}

impl Operation {
    const WORDS: [&str; 6] = ["revoke", "put", "put_new", "get", "replace", "remove"];
}

#[derive(Debug)]
enum Kind {
    Memory(MemoryStore),
    File(Exclusive),
    Redis(RedisStore),
}

impl Store {
    /// Opens the store of `settings`, reads all that was ended into
    /// `revocations`, and keeps them equal from then on. `state_dir` is where
    /// the memory store keeps revocations.
    ///
    /// A Redis that does not answer is waited for, for two seconds here and then
    /// in the background; until it has, `revocations` are not complete.
    ///
    /// # Errors
    /// When the settings or the file can never work.
    pub async fn open(
        settings: Settings,
        state_dir: Option<PathBuf>,
        revocations: Arc<Revocations>,
    ) -> Result<Arc<Self>, OpenError> {
        let shared = Arc::clone(&revocations);
        let kind = match settings.place {
            Place::Memory => Kind::Memory(MemoryStore::open(state_dir, shared)),
            Place::File(path) => Kind::File(Exclusive::open(path, shared)?),
            Place::Redis(url) => {
                Kind::Redis(RedisStore::open(&url, settings.prefix, shared).await?)
            }
        };
        let errors = Default::default();
        Ok(Arc::new(Self {
            kind,
            revocations,
            errors,
        }))
    }

    /// A store that keeps nothing and knows of nothing that was ended, for
    /// whoever looks at what a gateway would do and serves nobody.
    pub fn scratch(revocations: Arc<Revocations>) -> Arc<Self> {
        revocations.complete();
        let kind = Kind::Memory(MemoryStore::scratch());
        Arc::new(Self {
            kind,
            revocations,
            errors: Default::default(),
        })
    }

    /// Whether the store answers, and all that was ended is known; if not, why,
    /// for the operator.
    ///
    /// # Errors
    /// When it does not.
    pub fn ready(&self) -> Result<(), Unavailable> {
        match &self.kind {
            Kind::Memory(store) => store.ready(),
            Kind::File(store) => store.get()?.ready(),
            Kind::Redis(store) => store.ready(),
        }
    }

    /// Whether it belongs to one process alone, so that the next one cannot open
    /// it before this one gives it up.
    pub fn is_exclusive(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    /// Gives it up for the next process, where it is exclusive: what is asked of it
    /// from now on is [`Unavailable`].
    pub async fn give_up(&self) {
        if let Kind::File(store) = &self.kind {
            store.give_up().await;
        }
    }

    /// Opens it again, after the next process did not take it.
    ///
    /// # Errors
    /// When it cannot be used any more.
    pub fn take_back(&self) -> Result<(), OpenError> {
        match &self.kind {
            Kind::File(store) => store.take_back(Arc::clone(&self.revocations)),
            Kind::Memory(_) | Kind::Redis(_) => Ok(()),
        }
    }

    /// How often it did not answer, by operation.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .errors
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Operation::WORDS.into_iter().zip(counts)
    }

    /// The same; an error is counted.
    fn noted<T>(
        &self,
        operation: Operation,
        result: Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        if let (Err(_), Some(count)) = (&result, self.errors.get(operation as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Whether other instances may share it.
    pub fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Redis(_))
    }

    /// Whether a revocation outlives this process: not so with a memory store
    /// that has no place for them.
    pub fn keeps_revocations(&self) -> bool {
        match &self.kind {
            Kind::Memory(store) => store.keeps_revocations(),
            Kind::File(_) | Kind::Redis(_) => true,
        }
    }

    /// Ends the sessions of `revocation`: here at once, and when this returns,
    /// for good and everywhere.
    ///
    /// # Errors
    /// When that is not certain. It holds here all the same, and is tried again
    /// until it is.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        self.revocations.apply(revocation);
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => store.revoke(revocation).await,
                Kind::File(store) => store.revoke(revocation).await,
                Kind::Redis(store) => store.revoke(revocation).await,
            }
        };
        self.noted(Operation::Revoke, asked.await)
    }

    /// Keeps `value` for `lifetime`, in place of what stood there.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn put(
        &self,
        key: &Key,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<(), Unavailable> {
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => {
                    store.put(key, value, lifetime);
                    Ok(())
                }
                Kind::File(store) => store.get()?.put(key, value, lifetime).await,
                Kind::Redis(store) => store.put(key, value, lifetime).await,
            }
        };
        self.noted(Operation::Put, asked.await)
    }

    /// Keeps `value` for `lifetime` if nothing stands there. Says whether it did.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn put_new(
        &self,
        key: &Key,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, Unavailable> {
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => Ok(store.put_new(key, value, lifetime)),
                Kind::File(store) => store.get()?.put_new(key, value, lifetime).await,
                Kind::Redis(store) => store.put_new(key, value, lifetime).await,
            }
        };
        self.noted(Operation::PutNew, asked.await)
    }

    /// Marks `key` as used up for `lifetime`. Says whether nobody had. A mark is no
    /// record: it may not be there for [`Store::get`], and is never taken back.
    ///
    /// # Errors
    /// See [`Unavailable`]; also when there is no room, where others would take away a
    /// mark before its time.
    pub async fn mark(&self, key: &Key, lifetime: Duration) -> Result<bool, Unavailable> {
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => store.mark(key, lifetime),
                Kind::File(store) => store.get()?.put_new(key, b"", lifetime).await,
                Kind::Redis(store) => store.put_new(key, b"", lifetime).await,
            }
        };
        self.noted(Operation::PutNew, asked.await)
    }

    /// What stands there.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Unavailable> {
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => Ok(store.get(key)),
                Kind::File(store) => store.get()?.get(key).await,
                Kind::Redis(store) => store.get(key).await,
            }
        };
        self.noted(Operation::Get, asked.await)
    }

    /// Keeps `value` for `lifetime` if `old` stands there. Says whether it did.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn replace(
        &self,
        key: &Key,
        old: &[u8],
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, Unavailable> {
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => Ok(store.replace(key, old, value, lifetime)),
                Kind::File(store) => store.get()?.replace(key, old, value, lifetime).await,
                Kind::Redis(store) => store.replace(key, old, value, lifetime).await,
            }
        };
        self.noted(Operation::Replace, asked.await)
    }

    /// Removes what stands there.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn remove(&self, key: &Key) -> Result<(), Unavailable> {
        let asked = async {
            match &self.kind {
                Kind::Memory(store) => {
                    store.remove(key);
                    Ok(())
                }
                Kind::File(store) => store.get()?.remove(key).await,
                Kind::Redis(store) => store.remove(key).await,
            }
        };
        self.noted(Operation::Remove, asked.await)
    }
}
