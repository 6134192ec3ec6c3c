//! The store of one machine in one file: a redb database, crash-safe by itself.
//!
//! Holds always: whatever was accepted is on the disk; the file belongs to one
//! process; one that cannot be read is never made anew by itself, for it may hold
//! revocations.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};
use tokio::sync::oneshot;
use tracing::error;

use super::thread::Worker;
use super::{Key, OpenError, Unavailable};
use crate::revocation::{Revocation, Revocations};

/// Key → when it ends, in milliseconds since 1970, and the value.
const RECORDS: TableDefinition<'_, &[u8; 32], (u64, &[u8])> = TableDefinition::new("records");
/// Name → before, until.
const REVOCATIONS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("revocations");
/// How many changes become one transaction.
const BATCH: usize = 1_000;
/// How often what has ended is removed, and what was not saved is tried again.
const TIDY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);

/// A change, and who waits for it. Says whether it was made.
enum Change {
    Put(Key, Vec<u8>, Duration),
    PutNew(Key, Vec<u8>, Duration),
    Replace(Key, Vec<u8>, Vec<u8>, Duration),
    Remove(Key),
    Revoke(Revocation),
}

type Answer = oneshot::Sender<Result<bool, Unavailable>>;

/// A database and the one thread that writes to it, which ends when this is
/// dropped.
#[derive(Debug)]
pub(super) struct FileStore {
    database: Arc<Database>,
    worker: Worker<(Change, Answer)>,
    trouble: Arc<Mutex<Option<String>>>,
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn millis(moment: Duration) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}

fn broken(path: &Path, why: impl std::fmt::Display) -> OpenError {
    OpenError(format!(
        "the store {} cannot be used ({why}); store.kind names it: expected a file that this user can write in a directory that \
         exists. It holds which sessions were ended: put it aside only together with a new session key",
        path.display()
    ))
}

impl FileStore {
    pub(super) fn open(path: &Path, revocations: Arc<Revocations>) -> Result<Self, OpenError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| broken(path, error))?;
        let database = FileBackend::new(file)
            .and_then(|backend| redb::Builder::new().create_with_backend(backend))
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => OpenError(format!(
                    "the store {} is open in another wxgate: stop that one first, or let several share a Redis (store.kind)",
                    path.display()
                )),
                error => broken(path, error),
            })?;
        let prepared = prepare(&database, &revocations);
        prepared.map_err(|error| broken(path, error))?;
        revocations.complete();
        let database = Arc::new(database);
        let trouble = Arc::default();
        let writer = Writer {
            path: path.to_owned(),
            database: Arc::clone(&database),
            revocations,
            unsaved: Vec::new(),
            trouble: Arc::clone(&trouble),
        };
        let worker = Worker::start("wxgate-store", |receiver| writer.run(receiver))
            .map_err(|error| broken(path, error))?;
        Ok(Self {
            database,
            worker,
            trouble,
        })
    }

    pub(super) fn ready(&self) -> Result<(), Unavailable> {
        match &*self.trouble.lock() {
            None => Ok(()),
            Some(trouble) => Err(Unavailable(trouble.clone())),
        }
    }

    async fn change(&self, change: Change) -> Result<bool, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let ended = || Unavailable("the store's thread has ended".to_owned());
        if !self.worker.give((change, answer)) {
            return Err(ended());
        }
        answered.await.map_err(|_| ended())?
    }

    pub(super) async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        let change = Change::Revoke(revocation.clone());
        self.change(change).await.map(drop)
    }

    pub(super) async fn put(
        &self,
        key: &Key,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<(), Unavailable> {
        let change = Change::Put(*key, value.to_vec(), lifetime);
        self.change(change).await.map(drop)
    }

    pub(super) async fn put_new(
        &self,
        key: &Key,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, Unavailable> {
        self.change(Change::PutNew(*key, value.to_vec(), lifetime))
            .await
    }

    pub(super) async fn replace(
        &self,
        key: &Key,
        old: &[u8],
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, Unavailable> {
        let change = Change::Replace(*key, old.to_vec(), value.to_vec(), lifetime);
        self.change(change).await
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<(), Unavailable> {
        self.change(Change::Remove(*key)).await.map(drop)
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Unavailable> {
        let (database, key) = (Arc::clone(&self.database), *key);
        let reading = tokio::task::spawn_blocking(move || {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let found = table.get(&key)?;
            Ok::<_, redb::Error>(found.and_then(|found| alive(found.value())))
        });
        match reading.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Unavailable(error.to_string())),
            Err(error) => Err(Unavailable(error.to_string())),
        }
    }
}

/// The value of a record, if its time is not over.
fn alive((until, value): (u64, &[u8])) -> Option<Vec<u8>> {
    (until > millis(now())).then(|| value.to_vec())
}

/// Makes the tables and reads what was ended.
fn prepare(database: &Database, revocations: &Revocations) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    {
        let table = transaction.open_table(REVOCATIONS)?;
        for row in table.iter()? {
            let (name, times) = row?;
            let (before, until) = times.value();
            let found = Revocation::named(name.value(), before, until);
            let Some(revocation) = found else {
                let why = format!("a revocation that cannot be read: {:?}", name.value());
                return Err(redb::Error::Corrupted(why));
            };
            revocations.apply(&revocation);
        }
    }
    transaction.commit()?;
    Ok(())
}

struct Writer {
    path: PathBuf,
    database: Arc<Database>,
    revocations: Arc<Revocations>,
    /// Revocations that could not be written yet.
    unsaved: Vec<Revocation>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<(Change, Answer)>) {
        let mut tidied = Instant::now();
        loop {
            let patience = if self.unsaved.is_empty() { TIDY } else { AGAIN };
            let mut batch = Vec::new();
            match receiver.recv_timeout(patience) {
                Ok(entry) => batch.push(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            batch.extend(receiver.try_iter().take(BATCH));
            let tidies = tidied.elapsed() >= TIDY;
            if tidies {
                tidied = Instant::now();
                self.revocations.forget_old(now().as_secs());
            }
            self.write(batch, tidies);
        }
    }

    /// All of it in one transaction, or nothing.
    fn write(&mut self, batch: Vec<(Change, Answer)>, tidies: bool) {
        let written = self.transact(&batch, tidies);
        let mut trouble = self.trouble.lock();
        match written {
            Ok(made) => {
                self.unsaved.clear();
                *trouble = None;
                for ((_, answer), made) in batch.into_iter().zip(made) {
                    // Whoever asked may be gone.
                    let _ = answer.send(Ok(made));
                }
            }
            Err(error) => {
                let why = format!("{} cannot be written: {error}", self.path.display());
                if trouble.is_none() {
                    error!("{why}");
                }
                for (change, answer) in batch {
                    if let Change::Revoke(revocation) = change {
                        self.unsaved.push(revocation);
                    }
                    let _ = answer.send(Err(Unavailable(why.clone())));
                }
                *trouble = Some(why);
            }
        }
    }

    fn transact(&self, batch: &[(Change, Answer)], tidies: bool) -> Result<Vec<bool>, redb::Error> {
        let transaction = self.database.begin_write()?;
        for revocation in &self.unsaved {
            revoke(&transaction, revocation)?;
        }
        let mut made = Vec::with_capacity(batch.len());
        for (change, _) in batch {
            made.push(apply(&transaction, change)?);
        }
        if tidies {
            let moment = now();
            let (seconds, millis) = (moment.as_secs(), millis(moment));
            transaction
                .open_table(RECORDS)?
                .retain(|_, (until, _)| until > millis)?;
            transaction
                .open_table(REVOCATIONS)?
                .retain(|_, (_, until)| until > seconds)?;
        }
        transaction.commit()?;
        Ok(made)
    }
}

fn revoke(transaction: &WriteTransaction, revocation: &Revocation) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(REVOCATIONS)?;
    let name = revocation.name();
    let known = table.get(name.as_str())?.map(|known| known.value());
    let (before, until) = known.unwrap_or_default();
    let times = (before.max(revocation.before), until.max(revocation.until));
    table.insert(name.as_str(), times)?;
    Ok(())
}

fn apply(transaction: &WriteTransaction, change: &Change) -> Result<bool, redb::Error> {
    if let Change::Revoke(revocation) = change {
        revoke(transaction, revocation)?;
        return Ok(true);
    }
    let mut table = transaction.open_table(RECORDS)?;
    let ends = |lifetime: &Duration| millis(now() + *lifetime);
    let (key, value, lifetime) = match change {
        Change::Put(key, value, lifetime) => (key, value, lifetime),
        Change::PutNew(key, value, lifetime) => {
            let found = table.get(key)?.and_then(|found| alive(found.value()));
            if found.is_some() {
                return Ok(false);
            }
            (key, value, lifetime)
        }
        Change::Replace(key, old, value, lifetime) => {
            let found = table.get(key)?.and_then(|found| alive(found.value()));
            if found.as_ref() != Some(old) {
                return Ok(false);
            }
            (key, value, lifetime)
        }
        Change::Remove(key) => {
            table.remove(key)?;
            return Ok(true);
        }
        Change::Revoke(_) => return Ok(true),
    };
    table.insert(key, (ends(lifetime), value.as_slice()))?;
    Ok(true)
}
