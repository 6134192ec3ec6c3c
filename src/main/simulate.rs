//! `wxgate simulate`: the WeChat simulator alone.
//!
//! Holds always: it listens on this machine alone unless it is told otherwise,
//! and needs no account of WeChat's.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use tokio::net::TcpListener;
use wxgate::config::LogTable;
use wxgate::logging;
use wxgate::simulator::{Settings, SimAccount, SimKind, Simulator};

use super::signals::serve;
use super::{fail, runtime, say};

#[derive(Args)]
pub(super) struct Simulate {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9911")]
    listen: SocketAddr,
    /// The account's AppID.
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// The account's AppSecret, made up: the simulator needs no real one.
    #[arg(long, value_name = "SECRET")]
    app_secret: Option<String>,
    /// A host (with its port, if it has one) that visitors may be sent back to; may be given several times.
    #[arg(long, value_name = "HOST", default_values = ["127.0.0.1:8080", "localhost:8080"])]
    callback_host: Vec<String>,
    /// A website (网站应用) with this AppID too, for desktop browsers; its secret and callbacks are the account's.
    #[arg(long, value_name = "ID")]
    website: Option<String>,
    /// An app of a corp (企业微信) with this CorpID too, for WeCom's browser; likewise.
    #[arg(long, value_name = "CORPID")]
    wecom: Option<String>,
    /// The AgentId of the corp's app.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1000002",
        requires = "wecom"
    )]
    agent_id: String,
}

pub(super) fn run(arguments: Simulate) -> ExitCode {
    logging::start(LogTable::default());
    let account = SimAccount {
        callback_hosts: arguments.callback_host,
        ..SimAccount::default()
    };
    let account = SimAccount {
        app_id: arguments.app_id.unwrap_or(account.app_id),
        app_secret: arguments.app_secret.unwrap_or(account.app_secret),
        ..account
    };
    let mut welcome = format!(
        "app_id   {}\ncallback {}\n",
        account.app_id,
        account.callback_hosts.join(", ")
    );
    let mut accounts = vec![account.clone()];
    if let Some(app_id) = arguments.website {
        welcome.push_str(&format!("website  {app_id}\n"));
        accounts.push(SimAccount {
            kind: SimKind::Website,
            app_id,
            ..account.clone()
        });
    }
    if let Some(app_id) = arguments.wecom {
        let agent_id = arguments.agent_id;
        welcome.push_str(&format!("wecom    {app_id}, agent_id {agent_id}\n"));
        accounts.push(SimAccount {
            kind: SimKind::WeCom { agent_id },
            app_id,
            ..account
        });
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    serve(&runtime, async |signals| {
        let started = match TcpListener::bind(arguments.listen).await {
            Ok(listener) => Simulator::start(listener, Settings::new(accounts)).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(simulator) => {
                let url = simulator.base_url();
                say(&format!(
                    "open_base_url and api_base_url: {url}\n{welcome}what it does: {url}/simulator/\n"
                ));
                signals.until_stopped().await;
                simulator.stop().await;
                ExitCode::SUCCESS
            }
            Err(error) => fail(format_args!(
                "cannot listen on {} ({error}); choose another with --listen",
                arguments.listen
            )),
        }
    })
}
