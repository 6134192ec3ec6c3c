//! What the operating system is asked for on behalf of the whole process.
//!
//! Holds always: what cannot be had is told and is no reason not to start.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

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
/// usual default is 1024. Says how many connections are too many for that, if
/// `connections` are: each may need a second one to an app.
pub fn open_files_for(connections: usize) -> Option<FewFiles> {
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
    let needed = (connections as u64)
        .saturating_mul(2)
        .saturating_add(OTHER_FILES);
    let allowed = limit.current.unwrap_or(u64::MAX);
    (allowed < needed).then_some(FewFiles { allowed, needed })
}

/// Fewer files may be opened than the limits in `gateway.toml` need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewFiles {
    /// How many may be opened.
    pub allowed: u64,
    /// How many there may have to be.
    pub needed: u64,
}
