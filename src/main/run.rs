//! `wxgate run`: the gateway, until it is told to stop or another process takes
//! over.
//!
//! Holds always: whoever supervises the process learns of each change of its
//! state; an upgrade that fails leaves this process serving.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;

use wxgate::handover::{Inherited, NotTaken};
use wxgate::process::{self, State};
use wxgate::reload::Watched;
use wxgate::server::Running;
use wxgate::{logging, server};

use super::signals::{Asked, Signals, serve};
use super::{ConfigFile, fail, load, runtime};

pub(super) fn run(file: &ConfigFile, inherited: Inherited) -> ExitCode {
    // As it is named now: a new one may stand there when it is asked for.
    let program = std::env::current_exe();
    // Before it is read, so that no change is missed.
    let mut watched = Watched::new(file.config.clone());
    let mut plan = match load(file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    logging::start(plan.log);
    if let Err(error) = process::keep_memory_private() {
        tracing::warn!("the system does not keep this process's memory out of core dumps: {error}");
    }
    server::fit(&mut plan);
    for warning in plan.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    serve(&runtime, async |signals| {
        let running = match server::start_on(plan, inherited).await {
            Ok(running) => running,
            Err(error) => return fail(error),
        };
        process::tell_supervisor(State::Ready);
        loop {
            let asked = tokio::select! {
                signal = signals.next() => signal,
                () = watched.changed() => Asked::Reload,
            };
            match asked {
                Asked::Stop => {
                    process::tell_supervisor(State::Stopping);
                    break;
                }
                Asked::Reload => {
                    process::tell_supervisor(State::Reloading);
                    watched.is_read();
                    running.reload(watched.path());
                    process::tell_supervisor(State::Ready);
                }
                Asked::Upgrade => match upgrade(&running, &program, signals).await {
                    Upgraded::To(next) => {
                        process::tell_supervisor(State::Followed(next));
                        break;
                    }
                    Upgraded::No { reload } => {
                        if reload {
                            watched.is_read();
                            running.reload(watched.path());
                        }
                    }
                    Upgraded::Stop => {
                        process::tell_supervisor(State::Stopping);
                        break;
                    }
                },
            }
        }
        running.stop().await;
        ExitCode::SUCCESS
    })
}

/// What became of an upgrade.
enum Upgraded {
    /// This process took over.
    To(u32),
    /// None did. Whether the file is to be read, as a signal asked meanwhile.
    No { reload: bool },
    /// A stop came first, or nobody can serve here any more.
    Stop,
}

/// Has the program at the place of this one's take over, with the same arguments.
async fn upgrade(
    running: &Running,
    program: &std::io::Result<PathBuf>,
    signals: &mut Signals,
) -> Upgraded {
    let program = match program {
        Ok(program) => program,
        Err(error) => {
            tracing::error!("no upgrade: it is not known where this program lies ({error})");
            return Upgraded::No { reload: false };
        }
    };
    tracing::info!("upgrading: {} is started and takes over", program.display());
    let reload = Cell::new(false);
    let stopped = async {
        loop {
            match signals.next().await {
                Asked::Stop => break,
                Asked::Reload => reload.set(true),
                // One is enough.
                Asked::Upgrade => {}
            }
        }
    };
    tokio::select! {
        taken = running.hand_over(program, std::env::args_os().skip(1)) => match taken {
            Ok(next) => {
                tracing::info!("process {next} serves: requests on their way here may finish");
                Upgraded::To(next)
            }
            Err(error @ NotTaken::Stranded(_)) => {
                tracing::error!("the next process did not take over, and this one ends: {error}");
                Upgraded::Stop
            }
            Err(error) => {
                tracing::error!("the next process did not take over, and this one goes on: {error}");
                let reload = reload.get();
                Upgraded::No { reload }
            }
        },
        () = stopped => Upgraded::Stop,
    }
}
