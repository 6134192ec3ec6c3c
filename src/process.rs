//! What the operating system is asked for on behalf of the whole process.
//!
//! Holds always: what cannot be had is told and is no reason not to start.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use sd_notify::{NotifyState, notify};

/// What the supervisor (systemd) is told of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Ready,
    /// It reads its configuration anew, and will be ready again.
    Reloading,
    /// The process with this number has taken its place.
    Followed(u32),
    /// It ends.
    Stopping,
}

/// Tells the supervisor, if there is one that wants to know (sd_notify(3)).
pub fn tell_supervisor(state: State) {
    let told = match state {
        State::Ready => notify(&[NotifyState::Ready]),
        State::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| notify(&[NotifyState::Reloading, now]))
        }
        State::Followed(next) => notify(&[NotifyState::MainPid(next), NotifyState::Ready]),
        State::Stopping => notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::warn!("the supervisor could not be told that this process is {state:?}: {error}");
    }
}

/// Files that are open besides connections: logs, listeners, libraries.
const OTHER_FILES: u64 = 64;

/// Sees that the memory of this process, where keys and secrets are, is written
/// to no core dump and read by no other process of the same user.
///
/// # Errors
/// When the system refuses.
pub fn keep_memory_private() -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // A core dump that is piped to a program knows no size limit.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Lets this process open as many files as the system allows it, where the
/// usual default is 1024. Says how many connections that is enough for, where it
/// is not for `wanted`: each may need a second file towards an app. A process
/// without files takes no connection at all, not even of a visitor it knows.
pub fn open_files_for(wanted: NonZeroUsize) -> Option<FewFiles> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let most = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if setrlimit(Resource::Nofile, most).is_ok() {
            limit = most;
        }
    }
    few(limit.current.unwrap_or(u64::MAX), wanted)
}

fn few(files: u64, wanted: NonZeroUsize) -> Option<FewFiles> {
    let enough_for = files.saturating_sub(OTHER_FILES) / 2;
    let connections = usize::try_from(enough_for).unwrap_or(usize::MAX);
    (connections < wanted.get()).then_some(FewFiles {
        files,
        connections: NonZeroUsize::new(connections).unwrap_or(NonZeroUsize::MIN),
    })
}

/// Fewer files may be opened than `limits.connections` needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewFiles {
    /// How many may be opened.
    pub files: u64,
    /// How many connections they are enough for.
    pub connections: NonZeroUsize,
}

/// What the process uses, and may use; `None` for what the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// How long processors have worked for it.
    pub cpu: Option<Duration>,
    /// Its memory that is in use, in bytes.
    pub resident: Option<u64>,
    /// Its addresses that are in use, in bytes.
    pub virtual_memory: Option<u64>,
    /// Its open files.
    pub open_files: Option<u64>,
    /// How many it may open.
    pub max_files: Option<u64>,
    /// When it began.
    pub started: Option<SystemTime>,
}

/// What this process uses now.
pub fn usage() -> Usage {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    let mut pages = statm.split(' ').map(|field| field.parse::<u64>().ok());
    let mut bytes = || Some(pages.next()??.saturating_mul(page));
    let (virtual_memory, resident) = (bytes(), bytes());
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let files = std::fs::read_dir("/proc/self/fd").ok();
    Usage {
        cpu: Duration::try_from(used).ok(),
        resident,
        virtual_memory,
        // The one through which they are counted is none of ours.
        open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
        max_files: getrlimit(Resource::Nofile).current,
        started: started(),
    }
}

/// When this process began: in ticks since the machine did (proc(5)).
fn started() -> Option<SystemTime> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, which may hold anything, ends with the last bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    let machine = std::fs::read_to_string("/proc/stat").ok()?;
    let booted = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let per_second = rustix::param::clock_ticks_per_second();
    let millis = ticks.saturating_mul(1000).checked_div(per_second)?;
    let booted = Duration::from_secs(booted.parse().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(booted + Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_uses_is_told() {
        let usage = usage();
        assert!(usage.resident.unwrap() > 1 << 20 && usage.virtual_memory >= usage.resident);
        assert!(usage.cpu.is_some() && usage.open_files.unwrap() >= 3);
        assert!(usage.max_files >= usage.open_files);
        let age = usage.started.unwrap().elapsed().unwrap();
        assert!(age < Duration::from_secs(86_400), "{age:?}");
    }

    #[test]
    fn files_are_enough_for_half_as_many_connections() {
        let connections = |files, wanted| {
            let few = few(files, NonZeroUsize::new(wanted).unwrap());
            few.map(|few| few.connections.get())
        };
        assert_eq!(connections(40_064, 20_000), None);
        assert_eq!(connections(40_063, 20_000), Some(19_999));
        assert_eq!(connections(1024, 20_000), Some(480));
        assert_eq!(connections(0, 20_000), Some(1));
        assert_eq!(connections(u64::MAX, usize::MAX / 4), None);
    }
}
