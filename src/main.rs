//! `wxgate`: arguments → command → exit code, and what commands share.
//!
//! Exit codes: 0 for success, 1 when something could not be started, 2 for a
//! command line that is not understood, 78 (`EX_CONFIG` of sysexits.h) for a
//! mistake in `gateway.toml`.

#[path = "main/check.rs"]
mod check;
#[path = "main/demo.rs"]
mod demo;
#[path = "main/doctor.rs"]
mod doctor;
#[path = "main/explain.rs"]
mod explain;
#[path = "main/keygen.rs"]
mod keygen;
#[path = "main/ready.rs"]
mod ready;
#[path = "main/run.rs"]
mod run;
#[path = "main/sessions.rs"]
mod sessions;
#[path = "main/signals.rs"]
mod signals;
#[path = "main/simulate.rs"]
mod simulate;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;
use wxgate::config::Plan;
use wxgate::handover::Inherited;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EX_CONFIG: u8 = 78;

/// Puts WeChat login in front of web apps that cannot be changed.
#[derive(Parser)]
#[command(name = "wxgate", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    Run(ConfigFile),
    /// Read gateway.toml, say what was understood, and do nothing else. Exits with 78 if there is a mistake.
    Check(ConfigFile),
    /// Tell what becomes of one request, and why: which route, which decision, what the browser gets, what the app receives.
    Explain(explain::Explain),
    /// Look at accounts, hosts, apps and this machine, and tell what visitors would meet. Exits with 1 if it is something bad.
    Doctor(ConfigFile),
    /// Ask the gateway that runs with this gateway.toml whether traffic may come. Exits with 1 if not.
    Ready(ready::Ready),
    /// Print a new session key, for session.keys.
    Keygen(keygen::Keygen),
    /// End visitors' sessions before their time, on every machine that shares the store.
    Sessions(sessions::Sessions),
    /// Run the WeChat simulator alone, to develop WeChat pages without WeChat.
    Simulate(simulate::Simulate),
    /// Run the simulator, a small shop and the gateway together, and print the address to open.
    Demo(demo::Demo),
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", default_value = "gateway.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    // Before there are threads; see `Inherited::take`.
    let inherited = Inherited::take();
    let arguments = Arguments::parse();
    // The one crypto provider of this process. It fails only where there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.command {
        Command::Run(file) => run::run(&file, inherited),
        Command::Check(file) => check::run(&file),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Doctor(file) => doctor::run(&file),
        Command::Ready(question) => ready::run(&question),
        Command::Keygen(kind) => keygen::run(&kind),
        Command::Sessions(sessions) => sessions::run(&sessions),
        Command::Simulate(simulate) => simulate::run(simulate),
        Command::Demo(demo) => demo::run(&demo),
    }
}

fn fail(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("wxgate: {message}");
    ExitCode::FAILURE
}

/// To standard output. A reader that has left is no mistake.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn load(file: &ConfigFile) -> Result<Plan, ExitCode> {
    Plan::load(&file.config).map_err(|mistakes| {
        eprint!("{mistakes}");
        ExitCode::from(EX_CONFIG)
    })
}

/// The runtime of all but the gateway's own threads: signals, admin paths,
/// simulator, shop.
fn runtime() -> Result<Runtime, ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(fail)
}
