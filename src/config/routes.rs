//! A route's table becomes a route: its account exists, and what is said of it
//! fits together. A route of several accounts has at most one for each kind of
//! browser.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;
use toml::Spanned;

use super::mistakes::Declared;
use super::names::AccountNames;
use super::pay::plan_pay_account;
use super::resolve::Accounts as Known;
use super::upstream::plan_upstream;
use super::{Mistakes, RouteTable};
use crate::cookies::CookieSettings;
use crate::limits::BodySize;
use crate::route::{
    AccountName, Accounts, Auth, HostPattern, Identity, LoginAccount, OutsideWeChat, Route,
    SessionCookie, Snapshot, Twins,
};
use crate::wechat::{Browser, Scope};

/// What all routes are judged by.
pub(super) struct Around<'a> {
    pub(super) known: &'a Known,
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
    let accounts = match &table.account {
        Some(names) => accounts(names, known, declared, mistakes)?,
        None if table.auth != Auth::None => {
            mistakes.at(&place, "this route has no account to log visitors in with; expected account = \"NAME\" of a table [accounts.NAME], or auth = \"none\"");
            return None;
        }
        None => Accounts::default(),
    };
    let pay_account = plan_pay_account(&table, &accounts, known, declared, mistakes).ok()?;
    judge_kinds(&table, &accounts, mistakes)?;
    judge_official(&table, &accounts, mistakes)?;
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
    let mut by_way = accounts
        .all()
        .iter()
        .filter(|account| account.via().is_some());
    if !by_way.all(|account| judge_via(&table, account, mistakes)) {
        return None;
    }
    for account in accounts.all().iter().chain(&pay_account) {
        remarks.extend(shared_jar(table.host.get_ref(), account));
    }
    if !judge_unsent(&table, mistakes) {
        return None;
    }
    let host = table.host.into_inner();
    let asks = table.auth != Auth::None;
    let all = accounts.all().iter().chain(&pay_account);
    for account in all.filter(|_| asks) {
        // Another gateway has a list of hosts.
        if let HostPattern::Below(domain) = &host
            && account.via().is_none()
            && !returns_to(&host, account, cookies)
        {
            let callback = account.wechat.callback_origin().host();
            remarks.push(format!(
                "visitors of \"{host}\" log in by way of {callback}: whoever can run any host below {domain}, here or elsewhere, can be given \
                 a visitor's session; list the hosts one by one, or be sure of all of them"
            ));
        }
    }
    let upstream = plan_upstream(&table.upstream, base, remarks, mistakes)?;
    Some(Route {
        number: 0,
        host,
        path: table.path,
        upstream,
        auth: table.auth,
        accounts,
        pay_account,
        scope: table.scope,
        identity: table.identity.map(Spanned::into_inner).unwrap_or_default(),
        outside_wechat: table
            .outside_wechat
            .map(Spanned::into_inner)
            .unwrap_or_default(),
        session_cookie: table.session_cookie,
        snapshot: table.snapshot.map(Spanned::into_inner).unwrap_or_default(),
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
fn judge_via(table: &RouteTable, account: &LoginAccount, mistakes: &mut Mistakes) -> bool {
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
    good
}

/// What is said of a route at the very host by way of which visitors of `account`,
/// who log in or pay with it, come.
fn shared_jar(host: &HostPattern, account: &LoginAccount) -> Option<String> {
    account.via()?;
    let name = account.name.as_str();
    match host {
        HostPattern::Exact(host) if host == account.wechat.callback_origin().host() => {
            Some(format!(
                "\"{host}\" is the host of accounts.{name}.via too: browsers keep one set of cookies for all ports of a host, and each of the two \
             gateways would overwrite the other's; use another name for this one, such as localhost, or set session.cookie_name"
            ))
        }
        HostPattern::Exact(_) | HostPattern::Below(_) => None,
    }
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

/// The accounts of `names`; `None` with a mistake, which is told.
fn accounts(
    names: &Spanned<AccountNames>,
    known: &Known,
    declared: &Declared,
    mistakes: &mut Mistakes,
) -> Option<Accounts> {
    let mut found = Vec::new();
    for name in names.get_ref().all() {
        match known.get(name) {
            Some(account) => found.push(Arc::clone(account)),
            None => unknown_account(name, names.span(), declared, mistakes),
        }
    }
    if found.len() < names.get_ref().all().len() {
        return None;
    }
    match Accounts::new(found) {
        Ok(accounts) => Some(accounts),
        Err(Twins { first, second }) => {
            let message = format!(
                "found \"{}\" and \"{}\", which are both of kind \"{}\": no browser could choose between them; expected at most one of each kind",
                first.name.as_str(),
                second.name.as_str(),
                first.wechat.kind().name()
            );
            mistakes.at(&names.span(), message);
            None
        }
    }
}

/// Whether what is asked of visitors can be had with every kind of account that
/// the route has.
fn judge_kinds(table: &RouteTable, accounts: &Accounts, mistakes: &mut Mistakes) -> Option<()> {
    let corp = accounts.of(Browser::WeCom);
    let official = accounts.of(Browser::WeChat);
    if let Some(identity) = &table.identity
        && *identity.get_ref() == Identity::UnionId
    {
        let mistake = match (corp, official) {
            _ if table.auth == Auth::None => Some(
                "auth = \"none\", where no visitor is known; expected auth = \"required\" or \"optional\", or no identity".to_owned(),
            ),
            (Some(corp), _) => Some(format!(
                "the account \"{}\" of kind \"wecom\", whose members have no unionid; expected identity = \"openid\", or a route of its own for WeCom",
                corp.name.as_str()
            )),
            (None, Some(_)) if table.scope == Scope::Base => Some(
                "scope = \"snsapi_base\", with which WeChat gives no unionid; expected scope = \"snsapi_userinfo\", or identity = \"openid\"".to_owned(),
            ),
            _ => None,
        };
        if let Some(mistake) = mistake {
            mistakes.at(
                &identity.span(),
                format!("found \"unionid\" beside {mistake}"),
            );
            return None;
        }
    }
    let Some(corp) = corp else {
        return Some(());
    };
    let access = table.access_token.as_ref().filter(|on| *on.get_ref());
    let tokens = [
        table.profile_ttl.as_ref().map(Spanned::span),
        table.verify_every.as_ref().map(Spanned::span),
        access.map(Spanned::span),
    ];
    let name = corp.name.as_str();
    if let Some(place) = tokens.into_iter().flatten().next() {
        mistakes.at(
            &place,
            format!("found beside the account \"{name}\" of kind \"wecom\", whose visitors have no tokens; expected none of profile_ttl, verify_every and access_token, or a route of its own for WeCom"),
        );
        return None;
    }
    if let Some(names) = &table.account
        && table.scope == Scope::Userinfo
        && accounts.all().len() == 1
    {
        mistakes.at(
            &names.span(),
            format!("found \"{name}\" of kind \"wecom\" alone beside scope = \"snsapi_userinfo\": its visitors have no profile; expected no scope"),
        );
        return None;
    }
    Some(())
}

/// Whether the route has an official account, where it says something that is about
/// its visitors alone: it would be ignored.
fn judge_official(table: &RouteTable, accounts: &Accounts, mistakes: &mut Mistakes) -> Option<()> {
    if accounts.of(Browser::WeChat).is_some() {
        return Some(());
    }
    let redirect = table
        .outside_wechat
        .as_ref()
        // The second login is one with an official account.
        .filter(|on| *on.get_ref() == OutsideWeChat::Redirect && table.pay_account.is_none());
    if let Some(on) = redirect {
        mistakes.at(&on.span(), "found \"redirect\" on a route without an official account, to which alone any browser can be sent; expected one in account, or no outside_wechat");
        return None;
    }
    let read_only = table.snapshot.as_ref();
    if let Some(on) = read_only.filter(|on| *on.get_ref() == Snapshot::ReadOnly) {
        mistakes.at(&on.span(), "found \"read_only\" on a route without an official account, whose visitors alone see snapshot pages; expected one in account, or no snapshot");
        return None;
    }
    Some(())
}

/// What is said of `below`, for which who may pass at `above` is not enough.
pub(super) fn lies_below(above: &Route, below: &Route) -> String {
    let host = &below.host;
    let (upper, path) = (above.path.as_str(), below.path.as_str());
    if above.auth == Auth::Required || above.auth == below.auth {
        let settings: Vec<&str> = above.asks_less_in(below).collect();
        let settings = settings.join(", ");
        return format!(
            "{host}{path} lies below {host}{upper}, whose login differs in {settings}: an app that reads another spelling of a path as {path} \
             meets visitors there who logged in for {upper} alone, with less or as somebody else; make the two alike in {settings}, or be \
             sure that the app knows one spelling alone"
        );
    }
    format!(
        "{host}{path} asks for a login and lies below {host}{upper}, which is more open: an app that reads another spelling of a \
         path as {path} lets everybody in; lock {upper} and open what is to be open"
    )
}

pub(super) fn unknown_account(
    name: &AccountName,
    place: std::ops::Range<usize>,
    declared: &Declared,
    mistakes: &mut Mistakes,
) {
    let found = name.as_str();
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
        &place,
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
