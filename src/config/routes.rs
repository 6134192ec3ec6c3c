//! A route's table becomes a route: its account exists, and what is said of it
//! fits together.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use toml::Spanned;

use super::mistakes::Declared;
use super::pay::plan_pay_account;
use super::resolve::Accounts;
use super::upstream::plan_upstream;
use super::{Mistakes, RouteTable};
use crate::cookies::CookieSettings;
use crate::limits::BodySize;
use crate::route::{AccountName, Auth, HostPattern, LoginAccount, Route, SessionCookie};
use crate::wechat::Scope;

/// What all routes are judged by.
pub(super) struct Around<'a> {
    pub(super) known: &'a Accounts,
    pub(super) declared: &'a Declared,
    pub(super) cookies: &'a CookieSettings,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
}

/// The route of `table`. What is only to be looked at goes to `remarks`.
pub(super) fn plan_route(
    table: RouteTable,
    around: &Around<'_>,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<Route> {
    let Around {
        known,
        declared,
        cookies,
        base,
    } = *around;
    let place = table.host.span();
    if mistakes.has_gaps(&place) {
        return None;
    }
    let account = match &table.account {
        Some(name) => match known.get(name.get_ref()) {
            Some(account) => Some(Arc::clone(account)),
            None => {
                unknown_account(name, declared, mistakes);
                return None;
            }
        },
        None if table.auth != Auth::None => {
            mistakes.at(&place, "this route has no account to log visitors in with; expected account = \"NAME\" of a table [accounts.NAME], or auth = \"none\"");
            return None;
        }
        None => None,
    };
    let pay_account = plan_pay_account(&table, account.as_ref(), known, declared, mistakes).ok()?;
    let assertion = table.assertion.as_ref().is_some_and(|on| *on.get_ref());
    if let Some(on) = table
        .assertion
        .as_ref()
        .filter(|_| assertion && table.auth == Auth::None)
    {
        mistakes.at(&on.span(), "found true beside auth = \"none\", where no visitor is known and nothing could be signed; expected auth = \"required\" or \"optional\", or no assertion");
        return None;
    }
    if let Some(ttl) = table
        .profile_ttl
        .as_ref()
        .filter(|_| table.scope == Scope::Base)
    {
        mistakes.at(&ttl.span(), "found beside scope = \"snsapi_base\", with which WeChat tells no profile; expected scope = \"snsapi_userinfo\", or no profile_ttl");
        return None;
    }
    let on = |setting: &Option<Spanned<bool>>| setting.as_ref().is_some_and(|on| *on.get_ref());
    let consent = table.consent_page.as_ref().filter(|on| *on.get_ref());
    if let Some(consent) = consent.filter(|_| table.scope == Scope::Base) {
        mistakes.at(&consent.span(), "found true beside scope = \"snsapi_base\", which WeChat grants without asking; expected scope = \"snsapi_userinfo\", or no consent_page");
        return None;
    }
    let tokens = [
        table.profile_ttl.as_ref().map(Spanned::span),
        table.verify_every.as_ref().map(Spanned::span),
        table
            .access_token
            .as_ref()
            .filter(|on| *on.get_ref())
            .map(Spanned::span),
    ];
    if let Some(place) = tokens.into_iter().flatten().next()
        && table.auth == Auth::None
    {
        mistakes.at(&place, "found beside auth = \"none\", where no visitor is known; expected auth = \"required\" or \"optional\", or none of profile_ttl, verify_every and access_token");
        return None;
    }
    if let Some(account) = account.as_ref().filter(|account| account.via().is_some())
        && !judge_via(&table, account, remarks, mistakes)
    {
        return None;
    }
    if !judge_unsent(&table, mistakes) {
        return None;
    }
    let host = table.host.into_inner();
    for account in account.iter().chain(&pay_account) {
        let HostPattern::Below(domain) = &host else {
            continue;
        };
        // Another gateway has a list of hosts.
        let listed = account.via().is_some();
        if table.auth == Auth::None || listed || returns_to(&host, account, cookies) {
            continue;
        }
        let callback = account.wechat.callback_origin().host();
        remarks.push(format!(
            "visitors of \"{host}\" log in by way of {callback}: whoever can run any host below {domain}, here or elsewhere, can be given \
             a visitor's session; list the hosts one by one, or be sure of all of them"
        ));
    }
    let upstream = plan_upstream(&table.upstream, base, remarks, mistakes)?;
    Some(Route {
        number: 0,
        host,
        path: table.path,
        upstream,
        auth: table.auth,
        account,
        pay_account,
        scope: table.scope,
        outside_wechat: table.outside_wechat,
        session_cookie: table.session_cookie,
        snapshot: table.snapshot,
        consent_page: on(&table.consent_page),
        keep_fragment: table.keep_fragment,
        profile_ttl: table.profile_ttl.map(Spanned::into_inner),
        verify_every: table.verify_every.map(Spanned::into_inner),
        access_token: on(&table.access_token),
        methods: table.methods.into_iter().map(|method| method.0).collect(),
        max_body: table.max_body,
        headers: table
            .headers
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::try_from(name.0).ok()?, value.0)))
            .collect(),
        upstream_host: table.upstream_host.map(|host| host.value().clone()),
        assertion,
    })
}

/// Whether a route whose visitors log in by way of another gateway needs nothing
/// that stays there.
fn judge_via(
    table: &RouteTable,
    account: &LoginAccount,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> bool {
    let name = account.name.as_str();
    let access_token = table.access_token.as_ref().filter(|on| *on.get_ref());
    let tokens = [
        ("profile_ttl", table.profile_ttl.as_ref().map(Spanned::span)),
        (
            "verify_every",
            table.verify_every.as_ref().map(Spanned::span),
        ),
        ("access_token", access_token.map(Spanned::span)),
    ];
    let mut good = true;
    for (key, place) in tokens {
        if let Some(place) = place {
            good = false;
            mistakes.at(&place, format!("found with the account \"{name}\", whose visitors log in by way of another gateway, where their tokens stay; expected no {key}, or the route there"));
        }
    }
    let via = account.wechat.callback_origin();
    if let HostPattern::Exact(host) = table.host.get_ref()
        && host == via.host()
    {
        remarks.push(format!(
            "\"{host}\" is the host of accounts.{name}.via too: browsers keep one set of cookies for all ports of a host, and each of the two \
             gateways would overwrite the other's; use another name for this one, such as localhost, or set session.cookie_name"
        ));
    }
    good
}

/// Whether a route whose requests the gateway does not send itself asks for nothing
/// that is done while sending: it would be ignored.
fn judge_unsent(table: &RouteTable, mistakes: &mut Mistakes) -> bool {
    if !table.upstream.get_ref().is_none {
        return true;
    }
    let access_token = table.access_token.as_ref().is_some_and(|on| *on.get_ref());
    let ignored = [
        (
            "session_cookie = \"strip\"",
            table.session_cookie == SessionCookie::Strip,
        ),
        ("headers", !table.headers.is_empty()),
        ("upstream_host", table.upstream_host.is_some()),
        ("max_body", table.max_body != BodySize::default()),
        ("access_token", access_token),
    ];
    for (setting, _) in ignored.iter().filter(|(_, is_set)| *is_set) {
        mistakes.at(
            &table.upstream.span(),
            format!("found \"none\" beside {setting}, which the gateway can only do to requests that it sends to the app itself; expected the app's address, or no {setting}"),
        );
    }
    ignored.iter().all(|(_, is_set)| !is_set)
}

pub(super) fn unknown_account(
    name: &Spanned<AccountName>,
    declared: &Declared,
    mistakes: &mut Mistakes,
) {
    let found = name.get_ref().as_str();
    if declared.contains(found) {
        // Its own table was found wanting, and that was told.
        return;
    }
    let mut names: Vec<&str> = declared.iter().map(String::as_str).collect();
    names.sort_unstable();
    let known = if names.is_empty() {
        "there is no [accounts.…] table yet".to_owned()
    } else {
        format!("expected one of: {}", names.join(", "))
    };
    mistakes.at(
        &name.span(),
        format!("found \"{found}\", which is no account; {known}"),
    );
}

/// Whether a login that begins at any host of `pattern` comes back to where that
/// host's cookies are sent. Otherwise it takes the way by the callback's host.
pub(super) fn returns_to(
    pattern: &HostPattern,
    account: &LoginAccount,
    cookies: &CookieSettings,
) -> bool {
    let callback = account.wechat.callback_origin().host();
    if account.via().is_some() {
        return false;
    }
    match pattern {
        HostPattern::Exact(host) => cookies.shared_by(host, callback),
        // Of many hosts at most one is the callback's, where they share no domain.
        HostPattern::Below(domain) => {
            let shared = |shared| domain.is_within(shared) && callback.is_within(shared);
            cookies.domain().is_some_and(shared)
        }
    }
}
