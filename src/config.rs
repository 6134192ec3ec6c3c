//! `gateway.toml` as values that cannot be wrong.
//!
//! Holds always: a [`Plan`] names accounts that exist, routes that differ and
//! secrets that were read; every mistake in the file is found in one go, where
//! that is possible, with its place, what was found and what would be right. No
//! message repeats a line of the file, for it might hold a secret.

mod accounts;
mod clients;
mod facade;
mod keys;
mod mistakes;
mod names;
mod origins;
mod pay;
mod resolve;
mod routes;
mod tls;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use toml::Spanned;

pub use accounts::PlannedAccount;
pub use mistakes::{Mistake, Mistakes};
pub use resolve::Plan;
pub use tls::TlsPlan;

use crate::identity::assertion;
use crate::limits::{self, BodySize, Seconds};
use crate::origin::{Host, PublicOrigin, PublicScheme};
use crate::route::{
    AccountName, Auth, HostPattern, Identity, LoginAccount, OutsideWeChat, Period, Route,
    RoutePath, SessionCookie, Snapshot,
};
use crate::secret::SecretSource;
use crate::session;
use crate::store;
use crate::telemetry;
use crate::upstream::{AppHost, TrustedProxies};
use crate::wechat::account::{AppId, BaseUrl, Lang, VerifyFile};
use crate::wechat::{AgentId, Scope};
use names::AccountNames;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    server: ServerTable,
    session: session::Table,
    assertion: assertion::Table,
    limits: limits::Table,
    store: store::Table,
    log: LogTable,
    telemetry: telemetry::Table,
    accounts: BTreeMap<Spanned<AccountName>, AccountTable>,
    routes: Vec<RouteTable>,
    facade: Option<facade::FacadeTable>,
}

/// `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTable {
    /// Where visitors are served.
    pub listen: Spanned<Vec<ListenAddress>>,
    /// Where operators are served; nowhere by default.
    pub admin_listen: Option<ListenAddress>,
    /// What visitors' browsers see.
    pub public_scheme: PublicScheme,
    /// Whether HTTP/2 without TLS is understood beside HTTP/1.1.
    pub h2c: bool,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted_proxies: TrustedProxies,
    /// Header names with `_` that are forwarded all the same.
    pub underscore_headers: Vec<UnderscoreHeader>,
    /// Worker threads; as many as the machine has cores by default.
    pub threads: Option<std::num::NonZeroUsize>,
    /// How long requests may finish after SIGTERM.
    pub drain_timeout: Seconds,
    /// Where keys are kept that the file does not give.
    pub state_dir: Option<PathBuf>,
    /// `[server.tls]`, until it is resolved.
    tls: Option<tls::TlsTable>,
}

impl Default for ServerTable {
    fn default() -> Self {
        Self {
            listen: Spanned::new(
                0..0,
                vec![ListenAddress(SocketAddr::from(([0, 0, 0, 0], 8080)))],
            ),
            admin_listen: None,
            public_scheme: PublicScheme::Https,
            h2c: false,
            trusted_proxies: TrustedProxies::default(),
            underscore_headers: Vec::new(),
            threads: None,
            drain_timeout: Seconds::new(10),
            state_dir: None,
            tls: None,
        }
    }
}

/// An address and port to listen on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// The address.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        found.parse().map(Self).map_err(|_| {
            format!("found \"{found}\"; expected an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"")
        })
    }
}

/// A header name with `_`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct UnderscoreHeader(pub(crate) HeaderName);

impl TryFrom<String> for UnderscoreHeader {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        HeaderName::try_from(&found)
            .ok()
            .filter(|name| {
                let name = name.as_str();
                name.contains('_') && !crate::identity::is_identity(name) && !crate::upstream::says_where_from(name)
            })
            .map(Self)
            .ok_or_else(|| format!("found \"{found}\"; expected the name of a header of your app's with \"_\" in it, such as \"x_legacy\""))
    }
}

/// `[log]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogTable {
    /// The least important lines that are written.
    pub level: LogLevel,
    /// How lines are written.
    pub format: LogFormat,
    /// Whether a request's line names its visitor.
    pub visitor: Visitors,
}

/// Whether a request's line names its visitor.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Visitors(pub bool);

impl Default for Visitors {
    fn default() -> Self {
        Self(true)
    }
}

/// The least important lines that are written.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs an operator.
    Error,
    /// What may need one.
    Warn,
    /// One line a request besides.
    #[default]
    Info,
    /// For looking into a trouble.
    Debug,
    /// Everything.
    Trace,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// `[accounts.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountTable {
    #[serde(default)]
    kind: KindName,
    app_id: Spanned<AppId>,
    app_secret: Option<Spanned<SecretSource>>,
    agent_id: Option<Spanned<AgentNumber>>,
    outsiders: Option<Spanned<bool>>,
    callback_origin: Option<Spanned<PublicOrigin>>,
    via: Option<Spanned<PublicOrigin>>,
    client: Option<Spanned<AccountName>>,
    client_key: Option<Spanned<SecretSource>>,
    clients: Option<Spanned<Vec<clients::ClientTable>>>,
    #[serde(default)]
    sandbox: bool,
    open_base_url: Option<Spanned<BaseUrl>>,
    api_base_url: Option<Spanned<BaseUrl>>,
    api_fallback_url: Option<Spanned<BaseUrl>>,
    verify_files: Option<Spanned<Vec<VerifyFile>>>,
    lang: Option<Spanned<Lang>>,
    force_popup: Option<Spanned<bool>>,
    force_snapshot: Option<Spanned<bool>>,
    connect_redirect: Option<Spanned<bool>>,
}

/// `kind` of an account.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum KindName {
    /// 公众号.
    #[default]
    Official,
    /// 网站应用.
    Website,
    /// 企业微信.
    WeCom,
}

impl KindName {
    /// As `gateway.toml` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::Website => "website",
            Self::WeCom => "wecom",
        }
    }
}

/// `agent_id` of an account.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct AgentNumber(AgentId);

impl TryFrom<String> for AgentNumber {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        AgentId::parse(&found).map(Self).ok_or_else(|| {
            format!(
                "found \"{found}\"; expected the app's AgentId as WeCom's console shows it, such as \"1000002\""
            )
        })
    }
}

/// One of `[[routes]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteTable {
    host: Spanned<HostPattern>,
    #[serde(default)]
    path: RoutePath,
    upstream: Spanned<crate::upstream::Table>,
    account: Option<Spanned<AccountNames>>,
    pay_account: Option<Spanned<AccountName>>,
    identity: Option<Spanned<Identity>>,
    #[serde(default)]
    auth: Auth,
    #[serde(default)]
    scope: Scope,
    outside_wechat: Option<Spanned<OutsideWeChat>>,
    #[serde(default)]
    session_cookie: SessionCookie,
    snapshot: Option<Spanned<Snapshot>>,
    consent_page: Option<Spanned<bool>>,
    #[serde(default)]
    keep_fragment: bool,
    profile_ttl: Option<Spanned<Period>>,
    verify_every: Option<Spanned<Period>>,
    access_token: Option<Spanned<bool>>,
    #[serde(default)]
    methods: Vec<MethodName>,
    #[serde(default)]
    max_body: BodySize,
    #[serde(default)]
    headers: BTreeMap<AppHeaderName, AppHeaderValue>,
    upstream_host: Option<AppHost>,
    assertion: Option<Spanned<bool>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct MethodName(Method);

impl TryFrom<String> for MethodName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let upper = !found.is_empty()
            && found
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        Method::from_bytes(found.as_bytes())
            .ok()
            .filter(|method| {
                upper && !matches!(*method, Method::TRACE | Method::CONNECT) && *method != "TRACK"
            })
            .map(Self)
            .ok_or_else(|| format!("found \"{found}\"; expected a method in capitals, such as \"GET\" (TRACE, TRACK and CONNECT are never forwarded)"))
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
struct AppHeaderName(String);

impl TryFrom<String> for AppHeaderName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        const OURS: &[&str] = &[
            "host",
            "cookie",
            "connection",
            "content-length",
            "transfer-encoding",
            "upgrade",
            "te",
            "trailer",
            "keep-alive",
            "proxy-connection",
        ];
        let name = HeaderName::try_from(&found)
            .map_err(|_| format!("found \"{found}\", which is no header name"))?;
        let lower = name.as_str();
        if OURS.contains(&lower)
            || crate::upstream::says_where_from(lower)
            || crate::identity::is_identity(lower)
        {
            return Err(format!(
                "found \"{found}\", which the gateway writes itself; expected another header of the app's"
            ));
        }
        Ok(Self(lower.to_owned()))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct AppHeaderValue(HeaderValue);

impl TryFrom<String> for AppHeaderValue {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        HeaderValue::from_str(&found)
            .map(Self)
            .map_err(|_| "found a text that cannot stand in a header; expected visible ASCII characters and spaces".to_owned())
    }
}

impl Plan {
    /// The host by way of which visitors of `route` log in, where they do not come
    /// back from WeChat to a host whose cookies are theirs.
    pub fn by_way_of<'r>(&self, route: &'r Route) -> Vec<&'r str> {
        let asks = route.auth != Auth::None;
        let accounts = route.accounts.all().iter().filter(|_| asks);
        let hosts = accounts.filter_map(|account| self.way_with(account, route));
        let mut hosts: Vec<&str> = hosts.map(Host::as_str).collect();
        hosts.dedup();
        hosts
    }

    /// The same for their second login, with the account under which they pay.
    pub fn paying_by_way_of<'r>(&self, route: &'r Route) -> Option<&'r Host> {
        self.way_with(route.pay_account.as_ref()?, route)
    }

    fn way_with<'r>(&self, account: &'r LoginAccount, route: &Route) -> Option<&'r Host> {
        let straight = routes::returns_to(&route.host, account, &self.cookies);
        (!straight).then(|| account.wechat.callback_origin().host())
    }

    /// What is allowed and should be looked at all the same.
    pub fn warnings(&self) -> Vec<String> {
        let scheme = self.server.public_scheme;
        let here = |planned: &&PlannedAccount| planned.account.via().is_none();
        let origins = self.accounts.iter().filter(here).filter_map(|planned| {
            let origin = planned.account.wechat.callback_origin();
            (origin.scheme() != scheme).then(|| {
                format!(
                    "accounts.{}.callback_origin begins with {}:// while server.public_scheme is \"{}\": browsers will not send \
                     the cookies back, and no login will last",
                    planned.account.name.as_str(),
                    origin.scheme().as_str(),
                    scheme.as_str()
                )
            })
        });
        let locks = self.routes.locked_below_open();
        let locks = locks
            .iter()
            .map(|(above, below)| routes::lies_below(above, below));
        let paid = self.routes.paid_below_unpaid();
        let paid = paid
            .iter()
            .map(|(above, below)| pay::lies_below(above, below));
        let tls = self.tls.iter().flat_map(|tls| self.warnings_of(tls));
        let remarks = self.remarks.iter().cloned();
        let clients = self.clients_near_home();
        (origins.chain(locks).chain(paid).chain(tls))
            .chain(clients)
            .chain(remarks)
            .collect()
    }

    fn warnings_of(&self, tls: &TlsPlan) -> Vec<String> {
        let mut all = tls.certificates.warnings(SystemTime::now());
        if self.server.public_scheme == PublicScheme::Http {
            all.push(
                "server.tls listens while server.public_scheme is \"http\": visitors who come by https are sent to http, and cookies \
                 can be read on the way"
                    .to_owned(),
            );
        }
        let mut told: Vec<&HostPattern> = Vec::new();
        for host in self.listed.iter().map(|route| &route.host) {
            if !tls.certificates.serve(host) && !told.contains(&host) {
                told.push(host);
                all.push(format!(
                    "{host} has routes and no certificate in server.tls.certificates: who comes to it over TLS is turned away"
                ));
            }
        }
        if let Some(facade) = &self.facade
            && !tls
                .certificates
                .serve(&HostPattern::Exact(facade.host.clone()))
        {
            all.push(format!(
                "{} is the facade's host and has no certificate in server.tls.certificates: who comes to it over TLS is turned away",
                facade.host
            ));
        }
        for planned in &self.accounts {
            let host = planned.account.wechat.callback_origin().host();
            let pattern = HostPattern::Exact(host.clone());
            let told = told.contains(&&pattern);
            if self.routes.is_callback(host) && !told && !tls.certificates.serve(&pattern) {
                all.push(format!(
                    "{host} is a callback and has no certificate in server.tls.certificates: who comes back from WeChat over TLS is turned away"
                ));
            }
        }
        all
    }

    /// Reads and resolves the file at `path`.
    ///
    /// # Errors
    /// Every mistake that could be found.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let bytes = std::fs::read(path).map_err(|error| Mistakes::unreadable(path, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| Mistakes::not_utf8(path, &error))?;
        Self::parse(path, &text)
    }

    /// Resolves `text`, which was read from `path`.
    ///
    /// # Errors
    /// Every mistake that could be found.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::in_file(path, text);
        let read = mistakes::read(text, &mut mistakes);
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let plan = read
            .and_then(|(file, declared)| resolve::resolve(file, &declared, base, &mut mistakes));
        mistakes.none_or(plan)
    }
}
