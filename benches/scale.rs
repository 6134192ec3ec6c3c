//! How the gateway grows: `cargo bench --bench scale [-- PART…]`.
//!
//! A PART is `routes`, `sessions`, `logins`, `connections`, `instances` or
//! `revocations`; without one all are measured, which takes some ten minutes.
//! `instances` and `revocations` need a Redis server, which `tests/run` installs.
//!
//! What is measured is the program that is shipped, in a process of its own, on
//! one thread. The app, WeChat and the visitors are this program and copies of
//! it, all on loopback. Every answer is read and has to be the right one. What
//! counts is CPU time and memory, by `/proc`: times suffer from whatever else
//! keeps the machine busy.
//!
//! Holds always: everything is bounded in number and time, and what was started
//! ends with its handle, whether the end is a success, a failure or a signal.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "a benchmark fails by panicking, and shares the tests' processes, of which it needs a part"
)]

#[path = "scale/connections.rs"]
mod connections;
#[path = "scale/crowd.rs"]
mod crowd;
#[path = "scale/gateway.rs"]
mod gateway;
#[path = "scale/helper.rs"]
mod helper;
#[path = "scale/instances.rs"]
mod instances;
#[path = "scale/logins.rs"]
mod logins;
#[path = "scale/measure.rs"]
mod measure;
#[path = "scale/origin.rs"]
mod origin;
#[path = "../tests/it/process.rs"]
mod process;
#[path = "scale/revocations.rs"]
mod revocations;
#[path = "scale/routes.rs"]
mod routes;
#[path = "../tests/redis/servers.rs"]
mod servers;
#[path = "scale/sessions.rs"]
mod sessions;
#[path = "scale/visitors.rs"]
mod visitors;
#[path = "scale/wechat.rs"]
mod wechat;

use std::process::Command;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use crate::measure::Verdict;

const PARTS: [&str; 6] = [
    "routes",
    "sessions",
    "logins",
    "connections",
    "instances",
    "revocations",
];
/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(240);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = (arguments.iter().map(String::as_str))
        .filter(|argument| *argument != "--bench")
        .collect();
    // `cargo test --benches` and others ask for a list of tests: there is none.
    if arguments.contains(&"--list") {
        return;
    }
    // As many as the system allows; the parts ask how many those are.
    let _ = wxgate::process::open_files_for(std::num::NonZeroUsize::MAX);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match arguments.as_slice() {
            [helper::PART, "wechat"] => wechat::play().await,
            [helper::PART, "crowd", kind, address, first, count, request] => {
                crowd::play(kind, address, first, count, request).await;
            }
            [] => all(&PARTS).await,
            parts => all(parts).await,
        }
    });
}

async fn all(parts: &[&str]) {
    for part in parts {
        assert!(PARTS.contains(part), "{part}: expected {PARTS:?}");
    }
    // Handles are dropped then, and with them ends what they stand for.
    let [mut terminate, mut interrupt] =
        [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).unwrap());
    tokio::select! {
        () = measure_all(parts) => {}
        _ = terminate.recv() => panic!("ended by SIGTERM"),
        _ = interrupt.recv() => panic!("ended by SIGINT"),
    }
}

async fn measure_all(parts: &[&str]) {
    println!("{}", machine(parts));
    let mut verdicts = Vec::new();
    for part in parts {
        let began = tokio::time::Instant::now();
        let measured = async {
            match *part {
                "routes" => routes::measure().await,
                "sessions" => sessions::measure().await,
                "logins" => logins::measure().await,
                "connections" => connections::measure().await,
                "instances" => instances::measure().await,
                _ => revocations::measure().await,
            }
        };
        let found = tokio::time::timeout(PATIENCE, measured).await;
        verdicts.extend(found.unwrap_or_else(|_| panic!("{part} takes too long")));
        eprintln!("{part} took {:.0} s", began.elapsed().as_secs_f64());
    }
    measure::head("Budgets", &["what", "budget", "found", "holds"]);
    for Verdict {
        what,
        budget,
        found,
        holds,
    } in verdicts
    {
        let holds = if holds { "yes" } else { "**no**" };
        measure::row(&[what.to_owned(), budget, found, holds.to_owned()]);
    }
}

/// Where it is measured, with what, and when.
fn machine(parts: &[&str]) -> String {
    let told = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let cores = std::thread::available_parallelism().unwrap();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let files = files.map_or("any number of".to_owned(), |files| files.to_string());
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let redis = match parts.contains(&"instances") || parts.contains(&"revocations") {
        true => format!(", {}", instances::redis_version()),
        false => String::new(),
    };
    format!(
        "{}, {cores} cores, {files} files a process, {}{redis}, {}",
        told("uname", &["-srm"]),
        told(env!("CARGO_BIN_EXE_wxgate"), &["--version"]),
        date.split('T').next().unwrap_or_default()
    )
}
