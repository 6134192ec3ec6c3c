//! `wxgate doctor`: what visitors would meet.
//!
//! Holds always: it exits with 0 only if nothing bad was found.

use std::process::ExitCode;

use wxgate::doctor;

use super::{ConfigFile, load, runtime, say};

pub(super) fn run(file: &ConfigFile) -> ExitCode {
    let plan = match load(file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let report = runtime.block_on(doctor::examine(plan));
    say(&report.to_string());
    match report.is_bad() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
