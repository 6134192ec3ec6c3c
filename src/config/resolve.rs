//! From tables to a plan: names become the things they name, sources become
//! secrets.
//!
//! Holds always: whatever needs two places of the file to be judged is judged
//! here, and once.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::accounts::{PlannedAccount, plan_accounts};
use super::clients::judge_keys;
use super::facade::{self, plan_facade};
use super::keys::state_dir;
use super::mistakes::Declared;
use super::origins::judge_origins;
use super::routes::{Around, plan_route};
use super::tls::{TlsPlan, plan_tls};
use super::{File, LogTable, Mistakes, RouteTable, ServerTable};
use crate::cookies::{CookieSettings, SameSiteSetting};
use crate::facade::Facade;
use crate::identity::assertion::Assertions;
use crate::limits;
use crate::origin::PublicScheme;
use crate::route::{AccountName, FacadeHost, HostPattern, LoginAccount, Route, Routes};
use crate::secret::{Secret, SecretSource};
use crate::session::{self, CookieDomain, Lifetime};
use crate::signing::Keyring;
use crate::store;
use crate::telemetry;

/// What a file asks for, resolved.
#[derive(Debug)]
pub struct Plan {
    /// `[server]`.
    pub server: ServerTable,
    /// `[server.tls]`, resolved.
    pub tls: Option<TlsPlan>,
    /// `[limits]`.
    pub limits: limits::Table,
    /// `[store]`, resolved.
    pub store: store::Settings,
    /// `[log]`.
    pub log: LogTable,
    /// `[telemetry]`.
    pub telemetry: telemetry::Table,
    /// The accounts, for whoever wants to list them.
    pub accounts: Vec<PlannedAccount>,
    /// The routes.
    pub routes: Routes,
    /// The routes in the order of the file, for whoever wants to list them.
    pub listed: Vec<Arc<Route>>,
    /// `[facade]`, resolved.
    pub facade: Option<Facade>,
    /// The keys of `session.keys`; `None` when one is to be made and kept.
    pub keys: Option<Keyring>,
    /// The keys of `assertion.keys`; `None` when there are none, and one is to
    /// be made and kept if a route needs it.
    pub assertions: Option<Assertions>,
    /// Names and attributes of the cookies.
    pub cookies: CookieSettings,
    /// How long a visitor may be away.
    pub idle_timeout: Lifetime,
    /// How long a session lasts at most.
    pub max_lifetime: Lifetime,
    /// What was seen on the way and should be looked at.
    pub(super) remarks: Vec<String>,
}

pub(super) type Accounts = HashMap<AccountName, Arc<LoginAccount>>;

pub(super) fn resolve(
    file: File,
    declared: &Declared,
    base: &Path,
    mistakes: &mut Mistakes,
) -> Option<Plan> {
    let File {
        mut server,
        session,
        assertion,
        limits,
        store,
        log,
        telemetry,
        accounts,
        routes,
        facade,
    } = file;
    server.state_dir = server.state_dir.map(|dir| base.join(dir));
    let store = store.resolve(base, &mut |span, message| mistakes.at(span, message));
    let cookies = cookie_settings(&session, server.public_scheme, mistakes);
    let keys = read_keys(&session.keys, Keyring::new, base, mistakes);
    let assertions = read_keys(&assertion.keys, Assertions::new, base, mistakes);
    let (scheme, tls) = (server.public_scheme, server.tls.take());
    let tls = tls.map(|table| plan_tls(table, scheme, base, mistakes));
    if server.listen.get_ref().is_empty() && tls.is_none() && !mistakes.has_lost("server.tls") {
        mistakes.at(
            &server.listen.span(),
            "is empty; expected at least one address, such as \"0.0.0.0:8080\", or a table [server.tls]",
        );
    }
    let (idle, max) = (
        session.idle_timeout.get_ref(),
        session.max_lifetime.get_ref(),
    );
    if idle > max {
        let set = |span: std::ops::Range<usize>| (!span.is_empty()).then_some(span);
        let place = set(session.max_lifetime.span()).or(set(session.idle_timeout.span()));
        let message = "idle_timeout is longer than max_lifetime (7d by default); expected the shorter of the two";
        mistakes.at(&place.unwrap_or(0..0), message);
    }
    if session.keys.is_empty() && state_dir(&server).is_none() {
        mistakes.whole(
            "there is no place to keep a session key; expected session.keys, or server.state_dir",
        );
    }
    let asserts = |route: &RouteTable| route.assertion.as_ref().is_some_and(|on| *on.get_ref());
    if assertion.keys.is_empty() && routes.iter().any(asserts) && state_dir(&server).is_none() {
        mistakes.whole(
            "there is no place to keep an assertion key; expected assertion.keys, or server.state_dir",
        );
    }
    if mistakes.has_lost("server.public_scheme") || mistakes.has_lost("session.cookie_domain") {
        // Every account and route is judged by these two.
        return None;
    }
    let mut client_keys = Vec::new();
    let planned = plan_accounts(accounts, scheme, &cookies, base, &mut client_keys, mistakes);
    judge_keys(&client_keys, keys.as_ref(), mistakes);
    let known: Accounts = planned
        .iter()
        .map(|planned| (planned.account.name.clone(), Arc::clone(&planned.account)))
        .collect();
    if routes.is_empty() && facade.is_none() && mistakes.is_empty() {
        mistakes.whole("no route: expected at least one [[routes]] with host and upstream");
    }
    let places: Vec<_> = routes.iter().map(|route| route.host.span()).collect();
    let around = Around {
        known: &known,
        declared,
        cookies: &cookies,
        base,
    };
    if let Some(domain) = &session.cookie_domain
        && !routes.is_empty()
        && !routes
            .iter()
            .any(|route| reaches(route.host.get_ref(), domain.get_ref()))
    {
        let message = "no route's host is this domain or lies below it; expected a domain that hosts of routes share, or none: \
                       a host outside keeps its sessions to itself";
        mistakes.at(&domain.span(), message);
    }
    let mut remarks = Vec::new();
    let facade = facade.and_then(|table| {
        let around = facade::Around {
            accounts: &planned,
            declared,
            scheme: server.public_scheme,
            base,
        };
        let routed = routes.iter().map(|route| route.host.get_ref());
        plan_facade(table, &around, routed, &mut remarks, mistakes)
    });
    let routes: Vec<Route> = routes
        .into_iter()
        .filter_map(|table| plan_route(table, &around, &mut remarks, mistakes))
        .collect();
    judge_origins(&planned, &routes, facade.as_ref(), mistakes);
    if !mistakes.is_empty() {
        return None;
    }
    let listed: Vec<Arc<Route>> = (0..)
        .zip(routes)
        .map(|(number, route)| Arc::new(Route { number, ..route }))
        .collect();
    let files = planned
        .iter()
        .flat_map(|planned| planned.verify_files.clone())
        .collect();
    let routes = match Routes::new(&listed, files, server.public_scheme) {
        Ok(routes) => routes,
        Err(twins) => {
            for (first, second) in twins {
                let (Some(route), Some(place)) = (listed.get(second), places.get(second)) else {
                    continue;
                };
                let message = format!(
                    "host \"{}\" with path \"{}\" is route {} already (routes are counted from 0); expected each pair once",
                    route.host,
                    route.path.as_str(),
                    first
                );
                mistakes.at(place, message);
            }
            return None;
        }
    };
    // A callback's host leads to the facade; to itself, where clients alone come to it.
    let routes = match &facade {
        Some(facade) => routes.with_facade(FacadeHost {
            host: facade.host.clone(),
            accounts: facade.accounts(),
            home: facade.home(),
        }),
        None => routes,
    };
    let routes = routes.with_clients(planned.iter().map(|planned| &planned.account));
    if server.trusted_proxies.is_empty() && listed.iter().any(|route| route.upstream.is_none()) {
        remarks.push(
            "a route has upstream = \"none\" and server.trusted_proxies is empty: no proxy may ask about its requests, and nobody \
             gets to the app"
                .to_owned(),
        );
    }
    remarks.dedup();
    Some(Plan {
        remarks,
        server,
        tls,
        limits,
        store: store?,
        log,
        telemetry,
        accounts: planned,
        routes,
        listed,
        facade,
        keys,
        assertions,
        cookies,
        idle_timeout: *session.idle_timeout.get_ref(),
        max_lifetime: *session.max_lifetime.get_ref(),
    })
}

/// Whether a host of `pattern` is `domain` or lies below it.
fn reaches(pattern: &HostPattern, domain: &CookieDomain) -> bool {
    match pattern {
        HostPattern::Exact(host) => host.is_within(domain.as_str()),
        HostPattern::Below(above) => {
            above.is_within(domain.as_str()) || domain.host().is_within(above.as_str())
        }
    }
}

fn cookie_settings(
    table: &session::Table,
    scheme: PublicScheme,
    mistakes: &mut Mistakes,
) -> CookieSettings {
    let secure = scheme == PublicScheme::Https;
    if *table.same_site.get_ref() == SameSiteSetting::None && !secure {
        mistakes.at(&table.same_site.span(), "found \"none\", which browsers take with https alone; expected \"lax\", or public_scheme = \"https\"");
    }
    let domain = table
        .cookie_domain
        .as_ref()
        .map(|domain| domain.get_ref().as_str().to_owned());
    CookieSettings::new(
        table.cookie_name.as_str(),
        domain,
        *table.same_site.get_ref(),
        secure,
    )
}

/// What `ring` makes of the keys in `sources`; `None` without any, and with one
/// that cannot be used.
fn read_keys<R, E: Display>(
    sources: &[Spanned<SecretSource>],
    ring: impl FnOnce(&[Secret]) -> Result<R, (usize, E)>,
    base: &Path,
    mistakes: &mut Mistakes,
) -> Option<R> {
    if sources.is_empty() {
        return None;
    }
    let mut secrets: Vec<Secret> = Vec::with_capacity(sources.len());
    for source in sources {
        match source.get_ref().read(base) {
            Ok(secret) => secrets.push(secret),
            Err(error) => mistakes.at(&source.span(), error.to_string()),
        }
    }
    if secrets.len() < sources.len() {
        return None;
    }
    match ring(&secrets) {
        Ok(keys) => Some(keys),
        Err((at, error)) => {
            let span = sources.get(at).map_or(0..0, Spanned::span);
            mistakes.at(&span, error.to_string());
            None
        }
    }
}
