//! Where session keys come from when `session.keys` names none.

use std::path::PathBuf;

use super::{Plan, ServerTable};
use crate::signing::{KeyError, Keyring};

impl Plan {
    /// The keys: those of the file, or one that is made once and kept in the
    /// state directory with mode 0600.
    ///
    /// # Errors
    /// When it can be neither read nor made, in words for the operator.
    pub fn take_keys(&mut self) -> Result<Keyring, String> {
        if let Some(keys) = self.keys.take() {
            return Ok(keys);
        }
        let dir = self
            .state_dir()
            .ok_or("there is no place to keep a session key")?;
        let secret = crate::signing::kept_key(&dir).map_err(|error| {
            format!(
                "no session key can be kept in {} ({error}); make one with `wxgate keygen` and set session.keys, or set server.state_dir to a directory this user can write",
                dir.display()
            )
        })?;
        Keyring::new(&[secret]).map_err(|(_, error): (usize, KeyError)| {
            format!("{}/session.key {error}", dir.display())
        })
    }

    /// Where a key is kept that `session.keys` does not give.
    pub fn state_dir(&self) -> Option<PathBuf> {
        state_dir(&self.server)
    }
}

/// `server.state_dir`, systemd's state directory, or the user's.
pub(super) fn state_dir(server: &ServerTable) -> Option<PathBuf> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    server
        .state_dir
        .clone()
        .or_else(|| from("STATE_DIRECTORY"))
        .or_else(|| from("XDG_STATE_HOME").map(|dir| dir.join("wxgate")))
        .or_else(|| from("HOME").map(|dir| dir.join(".local/state/wxgate")))
}
