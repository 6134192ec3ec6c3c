//! `wxgate`: arguments → configuration → server; exit codes.
//!
//! Exit codes: 0 for success, 1 when something could not be started, 2 for a
//! command line that is not understood, 78 (`EX_CONFIG` of sysexits.h) for a
//! mistake in `gateway.toml`.

#[path = "main/explain.rs"]
mod explain;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use wxgate::admin::{self, Order, Sent};
use wxgate::config::{LogTable, Plan};
use wxgate::handover::Inherited;
use wxgate::identity::assertion;
use wxgate::process::State;
use wxgate::reload::Watched;
use wxgate::revocation::Revocations;
use wxgate::route::Auth;
use wxgate::server::Running;
use wxgate::simulator::{Settings, SimAccount, Simulator};
use wxgate::store::{Place, Store};
use wxgate::{demo, doctor, logging, process, server, signing};

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
    Ready(Ready),
    /// Print a new session key, for session.keys.
    Keygen(Keygen),
    /// End visitors' sessions before their time, on every machine that shares the store.
    Sessions(SessionsArguments),
    /// Run the WeChat simulator alone, to develop WeChat pages without WeChat.
    Simulate(Simulate),
    /// Run the simulator, a small shop and the gateway together, and print the address to open.
    Demo(DemoArguments),
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", default_value = "gateway.toml")]
    config: PathBuf,
}

#[derive(Args)]
struct Ready {
    #[command(flatten)]
    file: ConfigFile,
    /// Do not ask for the store: sessions go on while it is down.
    #[arg(long, value_name = "WHAT", value_parser = ["store"])]
    except: Option<String>,
}

#[derive(Args)]
struct Keygen {
    /// Print a key for assertion.keys instead: base64 of a P-256 private key.
    #[arg(long)]
    assertion: bool,
}

#[derive(Args)]
struct SessionsArguments {
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Subcommand)]
enum SessionsCommand {
    /// End one session, one visitor's sessions, or all.
    Revoke(Revoke),
}

#[derive(Args)]
struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    whose: Whose,
    /// With --openid: only with this account of gateway.toml; with all of them without it.
    #[arg(long, value_name = "NAME", requires = "openid")]
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

#[derive(Args)]
struct Simulate {
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
}

#[derive(Args)]
struct DemoArguments {
    /// Where to listen; without it 127.0.0.1:8080, or a free port if that is taken.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    // Before there are threads; see `Inherited::take`.
    let inherited = Inherited::take();
    let arguments = Arguments::parse();
    // The one crypto provider of this process. It fails only where there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.command {
        Command::Run(file) => run(&file, inherited),
        Command::Check(file) => check(&file),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Doctor(file) => examine(&file),
        Command::Ready(question) => ready(&question),
        Command::Keygen(kind) => keygen(&kind),
        Command::Sessions(sessions) => match sessions.command {
            SessionsCommand::Revoke(revoke) => end_sessions(&revoke),
        },
        Command::Simulate(simulate) => simulate_wechat(simulate),
        Command::Demo(demo) => run_demo(&demo),
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

fn run(file: &ConfigFile, inherited: Inherited) -> ExitCode {
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
                    Upgraded::No => {}
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
    /// None did.
    No,
    /// A stop came first.
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
            return Upgraded::No;
        }
    };
    tracing::info!("upgrading: {} is started and takes over", program.display());
    let stopped = async { while !matches!(signals.next().await, Asked::Stop) {} };
    tokio::select! {
        taken = running.hand_over(program, std::env::args_os().skip(1)) => match taken {
            Ok(next) => {
                tracing::info!("process {next} serves: requests on their way here may finish");
                Upgraded::To(next)
            }
            Err(error) => {
                tracing::error!("the next process did not take over, and this one goes on: {error}");
                Upgraded::No
            }
        },
        () = stopped => Upgraded::Stop,
    }
}

/// What a signal asks for.
enum Asked {
    /// SIGTERM, SIGINT: to end, and let requests finish.
    Stop,
    /// SIGHUP: to read gateway.toml again.
    Reload,
    /// SIGUSR2: to have the program that lies there now take over.
    Upgrade,
}

/// The signals that are listened to. They are taken before anything is said to
/// be ready, so that a stop that follows at once is an orderly one.
struct Signals {
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
    async fn next(&mut self) -> Asked {
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
    async fn until_stopped(&mut self) {
        while !matches!(self.next().await, Asked::Stop) {
            tracing::warn!("SIGHUP and SIGUSR2 do nothing here");
        }
    }
}

fn check(file: &ConfigFile) -> ExitCode {
    let plan = match load(file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    say(&understood(file, &plan));
    ExitCode::SUCCESS
}

fn understood(file: &ConfigFile, plan: &Plan) -> String {
    let mut text = format!("{}: no mistakes\n", file.config.display());
    for address in plan
        .server
        .listen
        .get_ref()
        .iter()
        .map(|address| address.get())
    {
        text.push_str(&format!(
            "listen   {address}, seen by visitors as {}\n",
            plan.server.public_scheme.as_str()
        ));
    }
    text.push_str(&secured(plan));
    match plan.server.admin_listen.map(|address| address.get()) {
        Some(address) => text.push_str(&format!(
            "admin    {address}: /status, /metrics, /healthz, /readyz\n"
        )),
        None => text.push_str(
            "admin    none: no health, no metrics, no status page; server.admin_listen has them served\n",
        ),
    }
    match (&plan.keys, plan.state_dir()) {
        (Some(keys), _) => text.push_str(&format!(
            "sessions {} key(s) of session.keys; the first signs\n",
            keys.count()
        )),
        (None, dir) => text.push_str(&format!(
            "sessions a key kept in {}, made at the first start\n",
            dir.map(|dir| dir.display().to_string()).unwrap_or_default()
        )),
    }
    text.push_str(&proofs(plan));
    text.push_str(&store(plan));
    for planned in &plan.accounts {
        let account = &planned.account;
        let origin = account.wechat.callback_origin();
        let port = origin
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        text.push_str(&format!(
            "account  {}: {}, callback {}{}; 网页授权域名 in WeChat's console: {}{port}{}\n",
            account.name.as_str(),
            account.wechat.app_id().as_str(),
            origin.as_str(),
            wxgate::login::CALLBACK_PATH,
            origin.host(),
            if planned.sandbox { " (sandbox)" } else { "" },
        ));
    }
    for (at, route) in plan.listed.iter().enumerate() {
        let auth = match (route.auth, &route.account) {
            (Auth::Required, Some(account)) => format!(
                "login with {} ({})",
                account.name.as_str(),
                route.scope.as_str()
            ),
            (Auth::Optional, Some(account)) => format!(
                "login with {} ({}) welcome",
                account.name.as_str(),
                route.scope.as_str()
            ),
            _ => "open to everybody".to_owned(),
        };
        text.push_str(&format!(
            "route {at}  {}{} → {}: {auth}{}\n",
            route.host,
            route.path.as_str(),
            route.upstream,
            if route.assertion { ", with proof" } else { "" }
        ));
        if let Some(how) = route.upstream.described() {
            text.push_str(&format!("         {how}\n"));
        }
    }
    for warning in plan.warnings() {
        text.push_str(&format!("warning  {warning}\n"));
    }
    text
}

/// Where TLS is spoken, and with which certificates.
fn secured(plan: &Plan) -> String {
    let Some(tls) = &plan.tls else {
        return String::new();
    };
    let (oldest, mut text) = (tls.min_version.as_str(), String::new());
    for address in &tls.listen {
        text.push_str(&format!(
            "tls      {address}, TLS {oldest} and later, HTTP/2 and HTTP/1.1\n"
        ));
    }
    for line in tls.certificates.lines() {
        text.push_str(&format!("cert     {line}\n"));
    }
    if let Some(hsts) = tls.hsts {
        let value = hsts.header();
        text.push_str(&format!(
            "hsts     {}\n",
            value.to_str().unwrap_or_default()
        ));
    }
    if tls.redirect_http {
        text.push_str("http     pages asked for by plain http are sent to https\n");
    }
    text
}

/// Where tokens and ended sessions are kept.
fn store(plan: &Plan) -> String {
    let place = match &plan.store.place {
        Place::Memory => format!(
            "memory; which sessions were ended is kept in {}",
            plan.state_dir().unwrap_or_default().display()
        ),
        Place::File(path) => path.display().to_string(),
        Place::Redis(_) => format!("a Redis, names begin with {{{}}}", plan.store.prefix),
    };
    format!("store    {place}\n")
}

/// Who signs what apps are told of visitors, if any app is.
fn proofs(plan: &Plan) -> String {
    match (&plan.assertions, plan.state_dir()) {
        _ if !plan.asserts() => String::new(),
        (Some(keys), _) => format!(
            "proofs   {} key(s) of assertion.keys; the first signs\n",
            keys.count()
        ),
        (None, dir) => format!(
            "proofs   a key kept in {}, made at the first start\n",
            dir.unwrap_or_default().display()
        ),
    }
}

fn keygen(kind: &Keygen) -> ExitCode {
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

fn examine(file: &ConfigFile) -> ExitCode {
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

/// For those who look whether the gateway serves and have no client of HTTP, as in
/// a container that holds nothing else.
fn ready(question: &Ready) -> ExitCode {
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

/// Ends sessions: by the gateway that runs here, or, where none does, in the
/// store that those who run share.
fn end_sessions(revoke: &Revoke) -> ExitCode {
    let mut plan = match load(&revoke.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    logging::start(plan.log);
    let order = Order {
        session: revoke.whose.session.clone(),
        openid: revoke.whose.openid.clone(),
        account: revoke.account.clone(),
        everyone: revoke.whose.all_before.is_some(),
        before: match revoke.whose.all_before {
            Some(Moment::At(seconds)) => Some(seconds),
            Some(Moment::Now) | None => None,
        },
    };
    let accounts: Vec<_> = (plan.accounts.iter())
        .map(|planned| Arc::clone(&planned.account))
        .collect();
    let ended = Arc::new(Revocations::default());
    // Mistakes are told before anybody is asked.
    if let Err(message) = order.revocations(&accounts, &ended, admin::now()) {
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
        let state_dir = plan.state_dir();
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
    })
}

/// Runs `service` until it ends, with the signals it waits for.
fn serve(runtime: &Runtime, service: impl AsyncFnOnce(&mut Signals) -> ExitCode) -> ExitCode {
    runtime.block_on(async {
        match Signals::take() {
            Ok(mut signals) => service(&mut signals).await,
            Err(error) => fail(error),
        }
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

fn simulate_wechat(arguments: Simulate) -> ExitCode {
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
    let welcome = format!(
        "app_id   {}\ncallback {}\n",
        account.app_id,
        account.callback_hosts.join(", ")
    );
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    serve(&runtime, async |signals| {
        let started = match TcpListener::bind(arguments.listen).await {
            Ok(listener) => Simulator::start(listener, Settings::new(vec![account])).await,
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

fn run_demo(arguments: &DemoArguments) -> ExitCode {
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
