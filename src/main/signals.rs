//! The signals that a command waits for.
//!
//! Holds always: they are taken before anything is said to be ready, so that a
//! stop that follows at once is an orderly one.

use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::fail;

/// What a signal asks for.
pub(super) enum Asked {
    /// SIGTERM, SIGINT: to end, and let requests finish.
    Stop,
    /// SIGHUP: to read gateway.toml again.
    Reload,
    /// SIGUSR2: to have the program that lies there now take over.
    Upgrade,
}

/// The signals that are listened to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Asked {
        let asked = tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Upgrade,
        };
        if matches!(asked, Asked::Stop) {
            tracing::info!("stopping: requests on their way may finish");
        }
        asked
    }

    /// Waits for SIGTERM or SIGINT, where there is no file to read again and
    /// nothing to hand over.
    pub(super) async fn until_stopped(&mut self) {
        while !matches!(self.next().await, Asked::Stop) {
            tracing::warn!("SIGHUP and SIGUSR2 do nothing here");
        }
    }
}

/// Runs `service` until it ends, with the signals it waits for.
pub(super) fn serve(
    runtime: &Runtime,
    service: impl AsyncFnOnce(&mut Signals) -> ExitCode,
) -> ExitCode {
    runtime.block_on(async {
        match Signals::take() {
            Ok(mut signals) => service(&mut signals).await,
            Err(error) => fail(error),
        }
    })
}
