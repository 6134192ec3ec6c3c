//! `wxgate sessions`: ends sessions before their time.
//!
//! Holds always: it says that they are ended only when that is kept where every
//! gateway of the store learns of it; a mistake in the order is told before
//! anybody is asked.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use wxgate::admin::{self, Order, Sent};
use wxgate::config::Plan;
use wxgate::logging;
use wxgate::revocation::Revocations;
use wxgate::route::LoginAccount;
use wxgate::store::Store;

use super::{ConfigFile, fail, load, runtime, say};

#[derive(Args)]
pub(super) struct Sessions {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// End one session, one visitor's sessions, or all.
    Revoke(Revoke),
}

#[derive(Args)]
struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    whose: Whose,
    /// With --openid or --userid: only with this account of gateway.toml; with all of them without it.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["session", "all_before"])]
    account: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// The session with this id, as /.wxgate/me shows it to its visitor.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// All sessions of the visitor with this openid.
    #[arg(long, value_name = "OPENID")]
    openid: Option<String>,
    /// All sessions of the corp's member (企业微信) with this userid.
    #[arg(long, value_name = "USERID")]
    userid: Option<String>,
    /// Everyone's sessions that were opened until then: "now", seconds since 1970, or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    all_before: Option<Moment>,
}

/// A moment of the past.
#[derive(Clone, Copy)]
enum Moment {
    /// When the order is carried out.
    Now,
    /// In seconds since 1970.
    At(u64),
}

fn moment(text: &str) -> Result<Moment, String> {
    if text == "now" {
        return Ok(Moment::Now);
    }
    let seconds = text.parse().ok();
    let date = || {
        let date = humantime::parse_rfc3339_weak(text).ok()?;
        Some(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
    };
    seconds
        .or_else(date)
        .map(Moment::At)
        .ok_or_else(|| "expected \"now\", seconds since 1970, or 2026-01-31T12:00:00Z".to_owned())
}

pub(super) fn run(sessions: &Sessions) -> ExitCode {
    match &sessions.command {
        What::Revoke(revoke) => end(revoke),
    }
}

/// Ends sessions: by the gateway that runs here, or, where none does, in the
/// store that those who run share.
fn end(revoke: &Revoke) -> ExitCode {
    let mut plan = match load(&revoke.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    logging::start(plan.log);
    let order = Order {
        session: revoke.whose.session.clone(),
        openid: revoke.whose.openid.clone(),
        userid: revoke.whose.userid.clone(),
        account: revoke.account.clone(),
        everyone: revoke.whose.all_before.is_some(),
        before: match revoke.whose.all_before {
            Some(Moment::At(seconds)) => Some(seconds),
            Some(Moment::Now) | None => None,
        },
    };
    // Mistakes are told before anybody is asked.
    let none = Revocations::default();
    if let Err(message) = order.revocations(&accounts(&plan), &none, admin::now()) {
        return fail(message);
    }
    let keys = match plan.known_keys() {
        Ok(keys) => keys,
        Err(message) => return fail(message),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    runtime.block_on(async {
        if let Some(address) = plan.server.admin_listen {
            match admin::send(address.get(), &keys.admin_word(), &order).await {
                Sent::Done => {
                    say("ended, and known to every instance that shares the store\n");
                    return ExitCode::SUCCESS;
                }
                Sent::Refused(why) => return fail(why),
                Sent::Nobody => {}
            }
        }
        in_store(plan, &order).await
    })
}

/// Ends sessions in the store of `plan`, where no gateway listens.
async fn in_store(plan: Plan, order: &Order) -> ExitCode {
    let (accounts, state_dir) = (accounts(&plan), plan.state_dir());
    let ended = Arc::new(Revocations::default());
    let store = match Store::open(plan.store, state_dir, Arc::clone(&ended)).await {
        Ok(store) => store,
        Err(error) => {
            return fail(format_args!(
                "{error}; if a gateway runs here, set server.admin_listen, by which it can be told"
            ));
        }
    };
    if !store.keeps_revocations() {
        return fail(
            "no gateway listens at server.admin_listen, and nothing is kept where one could find it: set server.admin_listen or \
                 server.state_dir",
        );
    }
    let revocations = match order.revocations(&accounts, &ended, admin::now()) {
        Ok(revocations) => revocations,
        Err(message) => return fail(message),
    };
    for revocation in &revocations {
        if let Err(error) = store.revoke(revocation).await {
            return fail(format_args!("{error}: nothing is certain, try again"));
        }
    }
    say("ended in the store; gateways that run learn of it within a second\n");
    ExitCode::SUCCESS
}

fn accounts(plan: &Plan) -> Vec<Arc<LoginAccount>> {
    let planned = plan.accounts.iter();
    planned
        .map(|planned| Arc::clone(&planned.account))
        .collect()
}
