//! Revocations in a file that is only ever added to.
//!
//! Holds always: a revocation is on the disk before it is accepted; a line that a
//! sudden end cut off was never accepted, and is no line; where a line in the
//! middle cannot be read, everyone who came before is refused, for it may have
//! ended any of them. Several processes may write at once, as at an upgrade, and
//! each learns what the others wrote: a write is one call, which begins with a line
//! break, so that it stands alone whatever was cut off before it; and the file is
//! rewritten by a process that is the only one, and by no other.
//!
//! A line is `BEFORE UNTIL NAME SUM`, where the sum is the beginning of a SHA-256
//! of the rest: against accidents, for whoever can write here is the gateway.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::Unavailable;
use super::thread::Worker;
use crate::revocation::{Revocation, Revocations, Target};

const NAME: &str = "revocations";
/// How often other processes' lines are looked for.
const LOOK: Duration = Duration::from_millis(300);
/// How many lines are written with one call.
const BATCH: usize = 1_000;
/// How often what has become pointless is forgotten.
const FORGET: Duration = Duration::from_secs(600);

type Answer = oneshot::Sender<Result<(), Unavailable>>;

/// The journal. Its thread ends when it is dropped.
#[derive(Debug)]
pub(super) struct Journal {
    worker: Worker<(String, Answer)>,
    trouble: Arc<Mutex<Option<String>>>,
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn sum(text: &str) -> String {
    let [a, b, c, d, e, f, ..] = <[u8; 32]>::from(Sha256::digest(text.as_bytes()));
    // As one number: a start may sum a million lines.
    format!("{:012x}", u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

fn line_of(revocation: &Revocation) -> String {
    let text = format!(
        "{} {} {}",
        revocation.before,
        revocation.until,
        revocation.name()
    );
    let sum = sum(&text);
    format!("{text} {sum}")
}

fn revocation_of(line: &str) -> Option<Revocation> {
    let (text, found) = line.rsplit_once(' ')?;
    if sum(text) != found {
        return None;
    }
    let mut parts = text.splitn(3, ' ');
    let before = parts.next()?.parse().ok()?;
    let until = parts.next()?.parse().ok()?;
    Revocation::named(parts.next()?, before, until)
}

/// What a piece of the journal says.
#[derive(Default)]
struct Said {
    revocations: Vec<Revocation>,
    /// Whether a line that was finished cannot be read.
    broken: bool,
    /// How many bytes were understood: an unfinished line is read again later.
    read: usize,
}

fn understand(bytes: &[u8]) -> Said {
    let mut said = Said::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            break;
        };
        said.read += line.len() + 1;
        if line.is_empty() {
            continue;
        }
        match std::str::from_utf8(line).ok().and_then(revocation_of) {
            Some(revocation) => said.revocations.push(revocation),
            None => said.broken = true,
        }
    }
    said
}

fn open_in(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.join(name))
}

impl Journal {
    /// Opens the journal in `dir`, reads it into `revocations`, and goes on doing
    /// so.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub(super) fn open(dir: &Path, revocations: Arc<Revocations>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = open_in(dir, "revocations.lock")?;
        // Whoever is alone may rewrite it; all others wait until that is done.
        if lock.try_lock().is_ok() {
            let tidied = tidy(dir);
            lock.unlock()?;
            tidied?;
        }
        lock.lock_shared()?;
        let mut writer = Writer {
            dir: dir.to_owned(),
            _lock: lock,
            file: open_in(dir, NAME)?,
            read: 0,
            unsaved: Vec::new(),
            revocations,
            trouble: Arc::default(),
        };
        writer.read_news()?;
        let trouble = Arc::clone(&writer.trouble);
        let worker = Worker::start("wxgate-journal", |receiver| writer.run(receiver))?;
        Ok(Self { worker, trouble })
    }

    pub(super) fn ready(&self) -> Result<(), Unavailable> {
        match &*self.trouble.lock() {
            None => Ok(()),
            Some(trouble) => Err(Unavailable(trouble.clone())),
        }
    }

    pub(super) async fn write(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        let (answer, answered) = oneshot::channel();
        let ended = || Unavailable("the journal's thread has ended".to_owned());
        if !self.worker.give((line_of(revocation), answer)) {
            return Err(ended());
        }
        answered.await.map_err(|_| ended())?
    }
}

/// Rewrites the journal without what has become pointless. A line that cannot be
/// read becomes the end of everyone who came before.
fn tidy(dir: &Path) -> io::Result<()> {
    let path = dir.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let said = understand(&bytes);
    let now = now();
    let mut kept: HashMap<Target, (u64, u64)> = HashMap::new();
    let all = said.revocations.len();
    let broken = said.broken.then(|| {
        error!(
            "{} holds a line that cannot be read: everyone whose session was opened before now is put out, for it may have ended any",
            path.display()
        );
        Revocation::of_everyone(now)
    });
    for revocation in said.revocations.into_iter().chain(broken) {
        if revocation.until <= now {
            continue;
        }
        let Revocation {
            target,
            before,
            until,
        } = revocation;
        let known = kept.entry(target).or_insert((before, until));
        *known = (known.0.max(before), known.1.max(until));
    }
    if kept.len() == all && !said.broken && said.read == bytes.len() {
        return Ok(());
    }
    let draft = dir.join(format!("{NAME}.draft"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    let lines: String = kept
        .into_iter()
        .map(|(target, (before, until))| Revocation {
            target,
            before,
            until,
        })
        .map(|one| line_of(&one) + "\n")
        .collect();
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(dir)?.sync_all()
}

/// The one thread that writes.
struct Writer {
    dir: PathBuf,
    /// Shared: as long as it is held, nobody rewrites the file.
    _lock: File,
    file: File,
    /// How much of the file is known.
    read: u64,
    /// What could not be written yet.
    unsaved: Vec<String>,
    revocations: Arc<Revocations>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<(String, Answer)>) {
        let mut forgot = std::time::Instant::now();
        loop {
            let mut answers = Vec::new();
            match receiver.recv_timeout(LOOK) {
                Ok((line, answer)) => {
                    self.unsaved.push(line);
                    answers.push(answer);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for (line, answer) in receiver.try_iter().take(BATCH) {
                self.unsaved.push(line);
                answers.push(answer);
            }
            let written = self.write();
            for answer in answers {
                // Whoever asked may be gone.
                let _ = answer.send(written.clone());
            }
            let result = match written {
                Ok(()) => self.read_news().map_err(|error| error.to_string()),
                Err(Unavailable(why)) => Err(why),
            };
            let mut trouble = self.trouble.lock();
            if let Err(why) = &result
                && trouble.is_none()
            {
                error!(
                    "revocations cannot be kept in {}: {why}",
                    self.dir.display()
                );
            }
            *trouble = result.err();
            drop(trouble);
            if forgot.elapsed() > FORGET {
                self.revocations.forget_old(now());
                forgot = std::time::Instant::now();
            }
        }
    }

    fn write(&mut self) -> Result<(), Unavailable> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for line in &self.unsaved {
            text.push('\n');
            text.push_str(line);
        }
        text.push('\n');
        let written = (self.file.write_all(text.as_bytes())).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.unsaved.clear();
                Ok(())
            }
            Err(error) => Err(Unavailable(format!(
                "{}/{NAME} cannot be written: {error}",
                self.dir.display()
            ))),
        }
    }

    /// Reads what was added since, by whomever.
    fn read_news(&mut self) -> io::Result<()> {
        let there = self.file.metadata()?;
        if there.len() == self.read {
            return self.stay_with_the_file(there.ino());
        }
        if there.len() < self.read {
            // Somebody who knows no locks has cut it.
            warn!("{}/{NAME} is shorter than it was", self.dir.display());
            self.read = 0;
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_to_end(&mut bytes)?;
        let said = understand(&bytes);
        self.read += said.read as u64;
        self.revocations.apply_all(said.revocations.iter());
        if said.broken {
            error!(
                "{}/{NAME} holds a line that cannot be read: everyone whose session was opened before now is put out",
                self.dir.display()
            );
            self.revocations.apply(&Revocation::of_everyone(now()));
        }
        Ok(())
    }

    /// Opens the file anew where another has taken its place, or it was deleted.
    fn stay_with_the_file(&mut self, inode: u64) -> io::Result<()> {
        match fs::metadata(self.dir.join(NAME)) {
            Ok(found) if found.ino() == inode => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warn!(
                    "{}/{NAME} was deleted: what was ended before is known until this process ends",
                    self.dir.display()
                );
            }
            Err(error) => return Err(error),
        }
        self.file = open_in(&self.dir, NAME)?;
        self.read = 0;
        self.read_news()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Subject;

    const UNTIL: u64 = 99_999_999_999;

    fn one(number: u8) -> Revocation {
        Revocation::of_session([number; 16], UNTIL)
    }

    fn has(all: &Revocations, number: u8, opened: u64) -> bool {
        all.has_ended(&Subject {
            id: &[number; 16],
            app_id: "wx1",
            person: crate::revocation::Person::OpenId("o"),
            opened,
        })
    }

    fn opened(dir: &Path) -> (Journal, Arc<Revocations>) {
        let all = Arc::new(Revocations::default());
        let journal = Journal::open(dir, Arc::clone(&all)).unwrap();
        (journal, all)
    }

    fn later() -> u64 {
        now() + 1_000
    }

    #[tokio::test]
    async fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("state");
        let (journal, _) = opened(&below);
        for number in 0..20 {
            journal.write(&one(number)).await.unwrap();
        }
        journal
            .write(&Revocation::of_visitor("wx1", "oX", now()))
            .await
            .unwrap();
        journal.ready().unwrap();
        drop(journal);
        let (_journal, all) = opened(&below);
        assert!((0..20).all(|number| has(&all, number, later())));
        assert!(!has(&all, 20, later()));
        assert_eq!(all.len(), (20, 1));
    }

    #[expect(clippy::string_slice, reason = "a line is ASCII")]
    #[test]
    fn a_line_that_was_cut_off_anywhere_was_never_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let whole = format!("\n{}\n", line_of(&one(1)));
        let last = format!("\n{}\n", line_of(&one(2)));
        for end in 0..last.len() {
            let path = dir.path().join(NAME);
            fs::write(&path, format!("{whole}{}", &last[..end])).unwrap();
            // Somebody holds the lock, so that nothing is rewritten.
            let other = open_in(dir.path(), "revocations.lock").unwrap();
            other.lock_shared().unwrap();
            let (_journal, all) = opened(dir.path());
            assert!(has(&all, 1, later()), "{end}");
            assert!(!has(&all, 2, later()), "{end}");
            assert!(!has(&all, 3, later()), "{end}");
            drop(other);
        }
    }

    #[expect(clippy::string_slice, reason = "a line is ASCII")]
    #[tokio::test]
    async fn what_follows_a_line_that_was_cut_off_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        let last = line_of(&one(2));
        fs::write(dir.path().join(NAME), &last[..20]).unwrap();
        let other = open_in(dir.path(), "revocations.lock").unwrap();
        other.lock_shared().unwrap();
        let (journal, all) = opened(dir.path());
        journal.write(&one(3)).await.unwrap();
        drop(journal);
        let (_journal, again) = opened(dir.path());
        assert!(has(&again, 3, later()));
        // The half line is finished now, and cannot be read: nobody is let in
        // whom it may have put out.
        assert!(has(&again, 9, now()) && !has(&again, 9, later()));
        drop(all);
    }

    #[test]
    fn a_broken_line_in_the_middle_puts_out_everyone_who_came_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let broken = line_of(&one(1)).replacen('0', "1", 1);
        fs::write(&path, format!("{broken}\n{}\n", line_of(&one(2)))).unwrap();
        let (journal, all) = opened(dir.path());
        assert!(has(&all, 2, later()));
        assert!(has(&all, 9, now()) && !has(&all, 9, later()));
        drop(journal);
        // It was told once, and is a revocation now.
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains(&broken) && text.lines().count() == 2,
            "{text}"
        );
    }

    #[test]
    fn what_is_pointless_goes_at_a_start_and_only_when_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let old = Revocation::of_session([1; 16], 1);
        let text = [&old, &one(2), &one(2)]
            .map(|one| line_of(one) + "\n")
            .concat();
        fs::write(&path, &text).unwrap();
        let other = open_in(dir.path(), "revocations.lock").unwrap();
        other.lock_shared().unwrap();
        drop(opened(dir.path()));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        drop(other);
        let (journal, all) = opened(dir.path());
        assert_eq!(fs::read_to_string(&path).unwrap(), line_of(&one(2)) + "\n");
        assert_eq!(all.len(), (1, 0));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        drop(journal);
    }

    #[tokio::test]
    async fn two_processes_learn_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let (one_journal, first) = opened(dir.path());
        let (other_journal, second) = opened(dir.path());
        one_journal.write(&one(1)).await.unwrap();
        other_journal.write(&one(2)).await.unwrap();
        let began = std::time::Instant::now();
        while !(has(&first, 2, later()) && has(&second, 1, later())) {
            assert!(began.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
