//! Where a key comes from that `gateway.toml` does not give: it is made once and
//! kept in the state directory.
//!
//! Holds always: a key that is kept is read again at the next start and never
//! replaced.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use super::{Plan, ServerTable};
use crate::identity::assertion::{self, Assertions};
use crate::secret::Secret;
use crate::signing::{Keyring, generate_key, kept_key};

/// A key that may be kept.
struct Kept {
    what: &'static str,
    file: &'static str,
    /// The command that prints one, and the setting that takes it.
    keygen: &'static str,
    setting: &'static str,
    make: fn() -> io::Result<Secret>,
}

const SESSION: Kept = Kept {
    what: "session key",
    file: "session.key",
    keygen: "wxgate keygen",
    setting: "session.keys",
    make: || generate_key().map_err(io::Error::other),
};

const ASSERTION: Kept = Kept {
    what: "assertion key",
    file: "assertion.key",
    keygen: "wxgate keygen --assertion",
    setting: "assertion.keys",
    make: assertion::generate_key,
};

impl Kept {
    /// What `ring` makes of the key alone that is kept in `dir`.
    fn ring<R, E: Display>(
        &self,
        dir: Option<PathBuf>,
        ring: impl FnOnce(&[Secret]) -> Result<R, (usize, E)>,
    ) -> Result<R, String> {
        let Self {
            what,
            file,
            keygen,
            setting,
            make,
        } = self;
        let dir = dir.ok_or_else(|| format!("there is no place to keep the {what}"))?;
        let place = dir.display();
        let secret = kept_key(&dir, file, make).map_err(|error| {
            format!(
                "no {what} can be kept in {place} ({error}); make one with `{keygen}` and set {setting}, \
                 or set server.state_dir to a directory this user can write"
            )
        })?;
        ring(&[secret]).map_err(|(_, error)| format!("{place}/{file} {error}"))
    }
}

impl Plan {
    /// The keys: those of the file, or one that is made once and kept in the
    /// state directory with mode 0600.
    ///
    /// # Errors
    /// When it can be neither read nor made, in words for the operator.
    pub fn take_keys(&mut self) -> Result<Keyring, String> {
        match self.keys.take() {
            Some(keys) => Ok(keys),
            None => {
                let keys = SESSION.ring(self.state_dir(), Keyring::new)?;
                self.keeps_apart(&keys).map(|()| keys)
            }
        }
    }

    /// The keys, as [`Self::take_keys`] gives them, but for one that was never
    /// made: whoever is not the gateway makes none.
    ///
    /// # Errors
    /// When there is none, or it cannot be read, in words for the operator.
    pub fn known_keys(&mut self) -> Result<Keyring, String> {
        if self.keys.is_none() {
            let file = self.state_dir().map(|dir| dir.join(SESSION.file));
            if let Some(file) = file.filter(|file| !file.exists()) {
                return Err(format!(
                    "{} does not exist: no gateway has run with this gateway.toml as this user; run this as the gateway's user, \
                     with its environment",
                    file.display()
                ));
            }
        }
        self.take_keys()
    }

    /// Whether a route's app gets a proof of who the visitor is.
    pub fn asserts(&self) -> bool {
        self.listed.iter().any(|route| route.assertion)
    }

    /// The keys of that proof, likewise; `None` when no route asks for it, and
    /// none is made then.
    ///
    /// # Errors
    /// When it can be neither read nor made, in words for the operator.
    pub fn take_assertions(&mut self) -> Result<Option<Assertions>, String> {
        if !self.asserts() {
            return Ok(None);
        }
        match self.assertions.take() {
            Some(assertions) => Ok(Some(assertions)),
            None => ASSERTION.ring(self.state_dir(), Assertions::new).map(Some),
        }
    }

    /// Where a key is kept that the file does not give.
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
