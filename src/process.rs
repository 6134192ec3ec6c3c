//! What the operating system is asked for on behalf of the whole process.
//!
//! Holds always: what cannot be had is told and is no reason not to start.

use std::num::NonZeroUsize;

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

#[cfg(test)]
mod tests {
    use super::*;

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
