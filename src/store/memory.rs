//! The store of one machine that loses tokens with its process, and no
//! revocation.
//!
//! Holds always: what is kept is bounded in size; a record that falls out of it, the
//! one that nobody used for longest, costs its visitor a login, or an app its token; a
//! mark stays for its time, and none is made where there is no room; revocations are in the journal of the state directory
//! before they are accepted. Without a place for that, sessions that are older
//! than the process are refused, for some of them may have been ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tracing::warn;

use super::journal::Journal;
use super::marks::Marks;
use super::{Key, Unavailable};
use crate::revocation::{Revocation, Revocations};

/// The most bytes that records may take.
const ROOM: u64 = 64 << 20;
/// What a record takes besides its value.
const OVERHEAD: usize = 128;

/// A record and how long it lives from when it was put.
#[derive(Clone, Debug)]
struct Held {
    value: Arc<[u8]>,
    lifetime: Duration,
}

struct OwnLifetime;

impl Expiry<Key, Held> for OwnLifetime {
    fn expire_after_create(&self, _key: &Key, held: &Held, _at: Instant) -> Option<Duration> {
        Some(held.lifetime)
    }

    fn expire_after_update(
        &self,
        _key: &Key,
        held: &Held,
        _at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.lifetime)
    }
}

/// Records and marks in memory, revocations in a journal.
#[derive(Debug)]
pub(super) struct MemoryStore {
    records: Cache<Key, Held>,
    marks: Marks,
    journal: Option<Journal>,
}

impl MemoryStore {
    pub(super) fn open(state_dir: Option<PathBuf>, revocations: Arc<Revocations>) -> Self {
        let place = state_dir.as_ref().map_or_else(
            || "server.state_dir".to_owned(),
            |dir| dir.display().to_string(),
        );
        let journal = state_dir
            .ok_or_else(|| "it is not set".to_owned())
            .and_then(|dir| {
                Journal::open(&dir, Arc::clone(&revocations)).map_err(|error| error.to_string())
            });
        let journal = journal.map_err(|error| {
            warn!(
                "revocations cannot be kept in {place} ({error}): sessions from before this start are refused, for some may have \
                 been ended; set server.state_dir to a directory this user can write, or store.kind to a file or a Redis"
            );
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let before = now.map_or(0, |now| now.as_secs()).saturating_sub(1);
            revocations.apply(&Revocation::of_everyone(before));
        });
        revocations.complete();
        Self::with(journal.ok())
    }

    /// One that keeps nothing: for whoever serves nobody.
    pub(super) fn scratch() -> Self {
        Self::with(None)
    }

    fn with(journal: Option<Journal>) -> Self {
        Self {
            records: Cache::builder()
                .max_capacity(ROOM)
                // Else whoever comes to a full store is turned away.
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|_, held: &Held| {
                    u32::try_from(held.value.len() + OVERHEAD).unwrap_or(u32::MAX)
                })
                .expire_after(OwnLifetime)
                .build(),
            marks: Marks::default(),
            journal,
        }
    }

    pub(super) fn ready(&self) -> Result<(), Unavailable> {
        self.journal.as_ref().map_or(Ok(()), Journal::ready)
    }

    pub(super) fn keeps_revocations(&self) -> bool {
        self.journal.is_some()
    }

    pub(super) async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        match &self.journal {
            Some(journal) => journal.write(revocation).await,
            None => Ok(()),
        }
    }

    pub(super) fn put(&self, key: &Key, value: &[u8], lifetime: Duration) {
        self.records.insert(*key, held(value, lifetime));
    }

    pub(super) fn put_new(&self, key: &Key, value: &[u8], lifetime: Duration) -> bool {
        // Not `or_insert`, which looks first and puts then.
        let result = (self.records.entry(*key)).and_compute_with(|found| match found {
            Some(_) => Op::Nop,
            None => Op::Put(held(value, lifetime)),
        });
        matches!(result, CompResult::Inserted(_))
    }

    pub(super) fn mark(&self, key: &Key, lifetime: Duration) -> Result<bool, Unavailable> {
        self.marks.mark(key, lifetime, Instant::now())
    }

    pub(super) fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.records.get(key).map(|held| held.value.to_vec())
    }

    pub(super) fn replace(&self, key: &Key, old: &[u8], value: &[u8], lifetime: Duration) -> bool {
        let result = self.records.entry(*key).and_compute_with(|found| {
            match found.is_some_and(|found| *found.value().value == *old) {
                true => Op::Put(held(value, lifetime)),
                false => Op::Nop,
            }
        });
        matches!(result, CompResult::ReplacedWith(_))
    }

    pub(super) fn remove(&self, key: &Key) {
        self.records.invalidate(key);
    }
}

fn held(value: &[u8], lifetime: Duration) -> Held {
    Held {
        value: value.into(),
        lifetime,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_full_store_takes_newcomers_and_forgets_no_mark() {
        let store = MemoryStore::scratch();
        let key = |number: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            key
        };
        assert_eq!(store.mark(&key(0), LONG), Ok(true));
        let large = vec![0; 1 << 20];
        for number in 0..80 {
            store.put(&key(number), &large, LONG);
            // What is asked for often is worth no more than what is new.
            for _ in 0..20 {
                store.get(&key(number));
            }
        }
        store.records.run_pending_tasks();
        assert!(store.records.weighted_size() <= ROOM);
        for number in 100..110 {
            store.put(&key(number), &large, LONG);
            store.records.run_pending_tasks();
            assert!(store.get(&key(number)).is_some(), "{number}");
        }
        assert_eq!(store.mark(&key(0), LONG), Ok(false));
    }
}
