//! The store in a file, which one process gives up before the next opens it.
//!
//! Holds always: what was accepted is on the disk before the file is given up;
//! what comes afterwards is told that it is not kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::file::FileStore;
use super::{OpenError, Unavailable};
use crate::revocation::Revocations;

/// How long what is on its way to the file may take when it is given up.
const LAST: Duration = Duration::from_secs(5);

/// A file's store, unless it was given up.
#[derive(Debug)]
pub(super) struct Exclusive {
    path: PathBuf,
    store: ArcSwapOption<FileStore>,
}

impl Exclusive {
    pub(super) fn open(path: PathBuf, revocations: Arc<Revocations>) -> Result<Self, OpenError> {
        let store = FileStore::open(&path, revocations)?;
        Ok(Self {
            path,
            store: ArcSwapOption::from_pointee(store),
        })
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
        // The next process waits too, and says so if it cannot open the file.
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
