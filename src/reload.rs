//! `gateway.toml`, read anew while the gateway runs: when, and what came of it.
//!
//! Holds always: a file that is being written is not read before it stands
//! still; what came of the last reading is known until the next.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Waits for changes of a file.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    read: Look,
}

/// Which file stands at a path, how long it is and when it was written; `None`
/// without one.
type Look = Option<(u64, u64, i64, i64)>;

fn look(path: &Path) -> Look {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

impl Watched {
    /// The file at `path`, as it is now.
    pub fn new(path: PathBuf) -> Self {
        let read = look(&path);
        Self { path, read }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until it is another, and has been the same for two looks. A file that
    /// is gone is none: whoever replaces it may take it away first.
    pub async fn changed(&mut self) {
        let mut before = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = look(&self.path);
            if now.is_some() && now != self.read && now == before {
                self.read = now;
                return;
            }
            before = now;
        }
    }

    /// Takes it for read as it is now.
    pub fn is_read(&mut self) {
        self.read = look(&self.path);
    }
}

/// What came of reading the file anew. A clone shares it.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Reloads>>);

/// All readings so far, the start not among them.
#[derive(Clone, Debug, Default)]
pub struct Reloads {
    /// How many were applied.
    pub applied: u64,
    /// How many changed nothing, for there was a mistake.
    pub refused: u64,
    /// When one was last applied: the start, if none was.
    pub applied_at: Option<SystemTime>,
    /// The last one, if it was refused: when, and the message for the operator.
    pub mistake: Option<(SystemTime, String)>,
    /// Settings that differ from those the process started with, and will hold
    /// after a restart.
    pub wait_for_restart: Vec<&'static str>,
}

impl Record {
    /// The gateway has started.
    pub fn started(&self) {
        self.0.lock().applied_at = Some(SystemTime::now());
    }

    /// The file was read and holds, but for `wait_for_restart`.
    pub fn applied(&self, wait_for_restart: &[&'static str]) {
        let mut all = self.0.lock();
        all.applied += 1;
        all.applied_at = Some(SystemTime::now());
        all.mistake = None;
        all.wait_for_restart = wait_for_restart.to_vec();
    }

    /// The file was read and holds not, for `message`.
    pub fn refused(&self, message: &str) {
        let mut all = self.0.lock();
        all.refused += 1;
        all.mistake = Some((SystemTime::now(), message.to_owned()));
    }

    /// All that is known.
    pub fn get(&self) -> Reloads {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_once_it_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(path.clone());
        let short = LOOK * 4;
        let changed = tokio::time::timeout(short, watched.changed()).await;
        assert!(changed.is_err(), "nothing has changed");
        std::fs::remove_file(&path).unwrap();
        let changed = tokio::time::timeout(short, watched.changed()).await;
        assert!(changed.is_err(), "a file that is gone is none");
        std::fs::write(&path, "two").unwrap();
        watched.changed().await;
        // Written as often as it is looked at, it does not stand still.
        let writes = async {
            for turn in 0.. {
                std::fs::write(&path, "three".repeat(1 + turn % 7)).unwrap();
                tokio::time::sleep(LOOK / 3).await;
            }
        };
        tokio::select! {
            () = writes => unreachable!(),
            () = watched.changed() => panic!("read while it was written"),
            () = tokio::time::sleep(LOOK * 10) => {}
        }
        watched.changed().await;
        std::fs::write(&path, "four").unwrap();
        watched.is_read();
        let changed = tokio::time::timeout(short, watched.changed()).await;
        assert!(changed.is_err(), "it was read at somebody's word");
    }
}
