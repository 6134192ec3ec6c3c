//! `wxgate demo`: simulator, shop and gateway together.
//!
//! Holds always: without `--listen` nobody but this machine reaches it.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use wxgate::config::LogTable;
use wxgate::{demo, logging};

use super::signals::serve;
use super::{fail, runtime, say};

#[derive(Args)]
pub(super) struct Demo {
    /// Where to listen; without it 127.0.0.1:8080, or a free port if that is taken.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub(super) fn run(arguments: &Demo) -> ExitCode {
    logging::start(LogTable::default());
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    serve(&runtime, async |signals| {
        match demo::start(
            arguments.listen.unwrap_or(demo::LISTEN),
            arguments.listen.is_none(),
        )
        .await
        {
            Ok(demo) => {
                say(&demo.welcome());
                signals.until_stopped().await;
                demo.stop().await;
                ExitCode::SUCCESS
            }
            Err(error) => fail(error),
        }
    })
}
