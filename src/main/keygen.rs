//! `wxgate keygen`: a new key, on standard output.
//!
//! Holds always: the key is written there and nowhere else.

use std::process::ExitCode;

use clap::Args;
use wxgate::identity::assertion;
use wxgate::signing;

use super::{fail, say};

#[derive(Args)]
pub(super) struct Keygen {
    /// Print a key for assertion.keys instead: base64 of a P-256 private key.
    #[arg(long)]
    assertion: bool,
}

pub(super) fn run(kind: &Keygen) -> ExitCode {
    let key = match kind.assertion {
        true => assertion::generate_key(),
        false => signing::generate_key().map_err(std::io::Error::other),
    };
    match key {
        Ok(key) => {
            say(&format!("{}\n", key.expose()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}
