//! `wxgate ready`: whether traffic may come to the gateway that runs here.
//!
//! Holds always: it exits with 0 only if that gateway said so.

use std::process::ExitCode;

use clap::Args;
use wxgate::admin;

use super::{ConfigFile, fail, load, runtime, say};

#[derive(Args)]
pub(super) struct Ready {
    #[command(flatten)]
    file: ConfigFile,
    /// Do not ask for the store: sessions go on while it is down.
    #[arg(long, value_name = "WHAT", value_parser = ["store"])]
    except: Option<String>,
}

/// For those who look whether the gateway serves and have no client of HTTP, as in
/// a container that holds nothing else.
pub(super) fn run(question: &Ready) -> ExitCode {
    let plan = match load(&question.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let Some(address) = plan.server.admin_listen else {
        return fail("server.admin_listen is not set; without it nobody can be asked");
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    match runtime.block_on(admin::ask_ready(address.get(), question.except.as_deref())) {
        Ok((true, told)) => {
            say(&told);
            ExitCode::SUCCESS
        }
        Ok((false, told)) => fail(told.trim_end()),
        Err(message) => fail(message),
    }
}
