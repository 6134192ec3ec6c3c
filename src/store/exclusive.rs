//! The store in a file, which one process gives up before the next opens it.
//!
//! Holds always: what was accepted is on the disk before the file is given up;
//! what comes afterwards is told that it is not kept, but for what is ended: that
//! goes into a journal beside the file, which both processes read, for as long as
//! one may follow the other. So a logout is never lost between two, and each knows
//! of the other's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tracing::warn;

use super::file::FileStore;
use super::journal::Journal;
use super::{OpenError, Unavailable};
use crate::revocation::{Revocation, Revocations};

/// How long what is on its way to the file may take when it is given up.
const LAST: Duration = Duration::from_secs(5);
/// How long the process before this one may still serve: the longest drain_timeout.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// A file's store, unless it was given up.
#[derive(Debug)]
pub(super) struct Exclusive {
    path: PathBuf,
    store: ArcSwapOption<FileStore>,
    journal: Option<Journal>,
    began: Instant,
}

impl Exclusive {
    pub(super) fn open(path: PathBuf, revocations: Arc<Revocations>) -> Result<Self, OpenError> {
        let store = FileStore::open(&path, Arc::clone(&revocations))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let journal = Journal::open(dir, revocations).map_err(|error| {
            warn!(
                "no journal can be kept in {} ({error}): what is ended while another process takes over is lost",
                dir.display()
            );
        });
        Ok(Self {
            path,
            store: ArcSwapOption::from_pointee(store),
            journal: journal.ok(),
            began: Instant::now(),
        })
    }

    pub(super) async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        let store = self.get();
        let near = self.began.elapsed() < LONGEST_DRAIN || store.is_err();
        let noted = match &self.journal {
            Some(journal) if near => Some(journal.write(revocation).await),
            _ => None,
        };
        match (store, noted) {
            (Ok(store), None | Some(Ok(()))) => store.revoke(revocation).await,
            (Ok(store), Some(Err(error))) => {
                warn!("a process before this one may not learn of what was ended: {error}");
                store.revoke(revocation).await
            }
            (Err(_), Some(noted)) => noted,
            (Err(error), None) => Err(error),
        }
    }

    pub(super) fn get(&self) -> Result<Arc<FileStore>, Unavailable> {
        let given_up = || Unavailable("the next process has it".to_owned());
        self.store.load_full().ok_or_else(given_up)
    }

    pub(super) async fn give_up(&self) {
        let Some(mut store) = self.store.swap(None) else {
            return;
        };
        let closed = async {
            loop {
                match Arc::try_unwrap(store) {
                    // Its thread is waited for, which an async task must not do.
                    Ok(store) => break tokio::task::spawn_blocking(move || drop(store)).await,
                    Err(shared) => store = shared,
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // The next process tries for a while.
        let _ = tokio::time::timeout(LAST, closed).await;
    }

    pub(super) fn take_back(&self, revocations: Arc<Revocations>) -> Result<(), OpenError> {
        if self.store.load().is_none() {
            let store = FileStore::open(&self.path, revocations)?;
            self.store.store(Some(Arc::new(store)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Subject;

    const FAR: u64 = u64::MAX / 2;
    const FIRST: [u8; 16] = [1; 16];
    const SECOND: [u8; 16] = [2; 16];

    fn subject(id: &[u8; 16]) -> Subject<'_> {
        Subject {
            id,
            app_id: "wx1",
            person: crate::revocation::Person::OpenId("o1"),
            opened: FAR,
        }
    }

    #[tokio::test]
    async fn what_is_ended_between_two_processes_is_ended_for_both() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.redb");
        let (before, after) = (Arc::<Revocations>::default(), Arc::<Revocations>::default());
        let old = Exclusive::open(path.clone(), Arc::clone(&before)).unwrap();
        old.give_up().await;
        let between = Revocation::of_session(FIRST, FAR);
        old.revoke(&between).await.unwrap();
        let new = Exclusive::open(path.clone(), Arc::clone(&after)).unwrap();
        assert!(after.has_ended(&subject(&FIRST)));
        // And what the new one ends, the old one learns while it is still there.
        let later = Revocation::of_session(SECOND, FAR);
        new.revoke(&later).await.unwrap();
        let learnt = async {
            while !before.has_ended(&subject(&SECOND)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let learnt = tokio::time::timeout(Duration::from_secs(10), learnt).await;
        learnt.expect("the old process learns of it");
        drop((old, new));
        let again = Arc::<Revocations>::default();
        Exclusive::open(path, Arc::clone(&again)).unwrap();
        assert!(again.has_ended(&subject(&FIRST)) && again.has_ended(&subject(&SECOND)));
    }
}
