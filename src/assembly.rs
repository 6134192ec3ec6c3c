//! From a plan to a gateway, and what outlives the plan.
//!
//! Holds always: what is remembered of visitors, codes and quotas is the same
//! before and after a new plan; what of a plan cannot be had changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use thiserror::Error;
use tokio::runtime::Handle;

use crate::callback::{self, Callbacks};
use crate::config::{Plan, TlsPlan};
use crate::connection::Manners;
use crate::gateway::{Gateway, Https};
use crate::limits::{Connections, Logins, Table};
use crate::metrics::Metrics;
use crate::revocation::Revocations;
use crate::route::Route;
use crate::session::Sessions;
use crate::store::{OpenError, Store};
use crate::telemetry::{self, Telemetry};
use crate::tls::{Hsts, Spoken};
use crate::tokens::Keeper;
use crate::upstream::Peers;
use crate::wechat::Api;
use crate::wechat::api::{Bounds, reason};

/// What of a plan cannot be had.
#[derive(Debug, Error)]
pub enum AssemblyError {
    /// No key to sign with.
    #[error("{0}")]
    Key(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// No keys for the tickets of TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// No client for WeChat's api.
    #[error(
        "the client for WeChat's api cannot be made ({0}); are the system's certificates (ca-certificates) installed?"
    )]
    Api(String),
    /// No client for the collector of spans.
    #[error(
        "the client for telemetry.otlp_endpoint cannot be made ({0}); are the system's certificates (ca-certificates) installed?"
    )]
    Telemetry(String),
}

/// What outlives a plan. A clone shares it.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// Tokens, and what has ended.
    pub store: Arc<Store>,
    /// What has ended.
    pub ended: Arc<Revocations>,
    /// The connections that are open.
    pub connections: Arc<Connections>,
    /// Requests on their way.
    pub in_flight: Arc<AtomicUsize>,
    /// The apps' peers, and what is known of them.
    pub peers: Arc<Peers>,
    /// Where keys are kept that the file does not give.
    state_dir: Option<PathBuf>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    memory: callback::Memory,
}

impl Lasting {
    /// Opens the store of `plan`, in which the rest begins.
    ///
    /// # Errors
    /// When the store can never be used.
    pub async fn open(plan: &Plan) -> Result<Self, AssemblyError> {
        let ended = Arc::new(Revocations::default());
        let settings = plan.store.clone();
        let store = Store::open(settings, plan.state_dir(), Arc::clone(&ended)).await?;
        let peers = Peers::new(Handle::current());
        Ok(Self::begin(plan, store, ended, peers))
    }

    /// What is as good for whoever serves nobody: nothing is opened, nothing kept, no
    /// app is asked how it is, and nothing is known to have ended.
    pub fn scratch(plan: &Plan) -> Self {
        let ended = Arc::new(Revocations::default());
        let store = Store::scratch(Arc::clone(&ended));
        Self::begin(plan, store, ended, Peers::unasked(Handle::current()))
    }

    fn begin(plan: &Plan, store: Arc<Store>, ended: Arc<Revocations>, peers: Peers) -> Self {
        let metrics = Metrics::new();
        Self {
            memory: callback::Memory::new(Arc::clone(&metrics)),
            metrics,
            store,
            ended,
            connections: Arc::new(Connections::new(&plan.limits)),
            in_flight: Arc::default(),
            peers: Arc::new(peers),
            state_dir: plan.state_dir(),
        }
    }
}

/// What a plan became.
#[derive(Debug)]
pub struct Assembled {
    /// What serves requests.
    pub gateway: Gateway,
    /// How connections are received.
    pub manners: Manners,
    /// How TLS is spoken, where it is.
    pub spoken: Option<Spoken>,
    /// How much is allowed.
    pub limits: Table,
}

/// The gateway of `plan`, with what is `lasting`, and what goes on of the one
/// `before`.
///
/// # Errors
/// See [`AssemblyError`].
pub fn assemble(
    mut plan: Plan,
    lasting: &Lasting,
    before: Option<&Gateway>,
) -> Result<Assembled, AssemblyError> {
    // Another directory waits for a restart, and its keys with it: what has ended is
    // noted in this one, and their sessions would begin anew in that one.
    if let Some(dir) = &lasting.state_dir {
        plan.server.state_dir = Some(dir.clone());
    }
    let keys = plan.take_keys().map_err(AssemblyError::Key)?;
    let assertions = plan.take_assertions().map_err(AssemblyError::Key)?;
    let api = api(&plan.limits, lasting, before)?;
    let telemetry = telemetry(plan.telemetry, before)?;
    let spoken = |tls: &TlsPlan| {
        let certificates = Arc::clone(&tls.certificates);
        Spoken::new(certificates, tls.min_version).map_err(AssemblyError::Tls)
    };
    let spoken = plan.tls.as_ref().map(spoken).transpose()?;
    let sessions = Arc::new(Sessions::new(
        keys,
        plan.cookies,
        Arc::clone(&lasting.ended),
        plan.idle_timeout,
        plan.max_lifetime,
    ));
    let routes = Arc::new(plan.routes);
    let logins = match before.filter(|before| before.logins.are_of(&plan.limits)) {
        // Whoever has used up a minute's logins has them used up still.
        Some(before) => Arc::clone(&before.logins),
        None => Arc::new(Logins::new(&plan.limits)),
    };
    let store = Arc::clone(&lasting.store);
    let keeper = match before {
        Some(before) => before.keeper.with(api.clone(), Arc::clone(&sessions)),
        None => Keeper::new(api.clone(), Arc::clone(&store), Arc::clone(&sessions)),
    };
    // From here on nothing can fail.
    let listed = plan.listed.iter();
    let upstreams = listed.map(|route| &route.upstream);
    lasting
        .peers
        .adopt(upstreams.filter(|upstream| !upstream.is_none()));
    let named = |route: &Arc<Route>| (route.label(), route.upstream.name().to_owned());
    let counters = lasting.metrics.routes(plan.listed.iter().map(named));
    lasting
        .metrics
        .know_accounts(plan.accounts.iter().map(|planned| {
            let account = &planned.account;
            let wechat = &account.wechat;
            (
                account.name.as_str(),
                wechat.app_id().as_str(),
                wechat.kind(),
            )
        }));
    let trusted_proxies = Arc::new(plan.server.trusted_proxies);
    let accounts = plan.accounts.into_iter().map(|planned| planned.account);
    let underscores = plan.server.underscore_headers.iter();
    Ok(Assembled {
        manners: Manners {
            trusted_proxies: Arc::clone(&trusted_proxies),
            header_timeout: plan.limits.header_timeout.get(),
            drain_timeout: plan.server.drain_timeout.get(),
        },
        gateway: Gateway {
            callbacks: Arc::new(Callbacks::new(
                api,
                Arc::clone(&sessions),
                keeper.clone(),
                Arc::clone(&store),
                Arc::clone(&routes),
                Arc::clone(&logins),
                lasting.memory.clone(),
            )),
            store,
            keeper,
            logins,
            routes,
            sessions,
            accounts: accounts.collect(),
            facade: plan.facade.map(Arc::new),
            assertions: assertions.map(Arc::new),
            resolver: lasting.peers.resolver(),
            scheme: plan.server.public_scheme,
            https: Https {
                hsts: (plan.tls.as_ref()).and_then(|tls| tls.hsts.map(Hsts::header)),
                redirect: plan.tls.as_ref().is_some_and(|tls| tls.redirect_http),
            },
            allowed_underscores: Arc::new(underscores.map(|name| name.0.clone()).collect()),
            trusted_proxies,
            telemetry,
            names_visitors: plan.log.visitor.0,
            metrics: Arc::clone(&lasting.metrics),
            counters,
            in_flight: Arc::clone(&lasting.in_flight),
        },
        spoken,
        limits: plan.limits,
    })
}

/// The way to WeChat, and its open connections, where its limits are the same.
fn api(limits: &Table, lasting: &Lasting, before: Option<&Gateway>) -> Result<Api, AssemblyError> {
    let bounds = Bounds {
        connect: limits.wechat_connect_timeout.get(),
        total: limits.wechat_timeout.get(),
        calls: limits.wechat_calls,
    };
    match before.map(|before| before.callbacks.api()) {
        Some(api) if api.bounds() == bounds => Ok(api.clone()),
        _ => Api::new(bounds)
            .map(|api| api.observed_by(lasting.metrics.observer()))
            .map_err(|error| AssemblyError::Api(reason(&error))),
    }
}

/// Traces, and the spans that wait for their collector, where nothing of it is
/// another.
fn telemetry(
    table: telemetry::Table,
    before: Option<&Gateway>,
) -> Result<Option<Arc<Telemetry>>, AssemblyError> {
    match before.and_then(|before| before.telemetry.as_ref()) {
        Some(telemetry) if *telemetry.table() == table => Ok(Some(Arc::clone(telemetry))),
        _ => Telemetry::start(table)
            .map(|telemetry| telemetry.map(Arc::new))
            .map_err(|error| AssemblyError::Telemetry(reason(&error))),
    }
}
