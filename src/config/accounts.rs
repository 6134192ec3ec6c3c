//! An account's table becomes an account: its origin is one that WeChat would
//! take, and its secret was read, or is another gateway's (see `clients`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::clients::{ClientKey, plan_clients, plan_via};
use super::{AccountTable, Mistakes};
use crate::cookies::CookieSettings;
use crate::origin::PublicScheme;
use crate::route::{AccountName, Holder, LoginAccount};
use crate::wechat::Account;
use crate::wechat::account::{
    self, API_BASE_URL, API_FALLBACK_URL, BaseUrl, HopOptions, OPEN_BASE_URL, Parts, VerifyFile,
};

/// An account, as a list shows it.
#[derive(Debug)]
pub struct PlannedAccount {
    /// The account.
    pub account: Arc<LoginAccount>,
    /// Its files for WeChat.
    pub verify_files: Vec<VerifyFile>,
    /// Whether it may break WeChat's rules for callbacks.
    pub sandbox: bool,
}

/// The accounts of `tables`, but for those with mistakes.
pub(super) fn plan_accounts(
    tables: BTreeMap<Spanned<AccountName>, AccountTable>,
    scheme: PublicScheme,
    cookies: &CookieSettings,
    base: &Path,
    keys: &mut Vec<ClientKey>,
    mistakes: &mut Mistakes,
) -> Vec<PlannedAccount> {
    let mut accounts = Vec::new();
    for (name, mut table) in tables {
        if mistakes.has_gaps_in(&format!("accounts.{}", name.get_ref().as_str())) {
            continue;
        }
        let planned = match table.via.take() {
            Some(via) => plan_via(name.get_ref(), &table, &via, base, keys, mistakes),
            None => plan_here(&name, &table, scheme, base, keys, mistakes),
        };
        let Some((wechat, holder)) = planned else {
            continue;
        };
        let name = name.into_inner();
        accounts.push(PlannedAccount {
            account: Arc::new(LoginAccount {
                session_cookie: cookies.session_name(name.as_str()),
                snapshot_cookie: cookies.snapshot_name(name.as_str()),
                pay_cookie: cookies.pay_name(name.as_str()),
                name,
                wechat,
                holder,
            }),
            verify_files: table
                .verify_files
                .map(Spanned::into_inner)
                .unwrap_or_default(),
            sandbox: table.sandbox,
        });
    }
    accounts
}

/// The account of a table whose secret is here.
fn plan_here(
    name: &Spanned<AccountName>,
    table: &AccountTable,
    scheme: PublicScheme,
    base: &Path,
    keys: &mut Vec<ClientKey>,
    mistakes: &mut Mistakes,
) -> Option<(Account, Holder)> {
    let clients = plan_clients(name.get_ref(), table, base, keys, mistakes);
    for (key, is_set) in [
        ("app_secret", table.app_secret.is_some()),
        ("callback_origin", table.callback_origin.is_some()),
    ] {
        if !is_set {
            mistakes.at(&name.span(), format!("`{key}` is missing; expected a line `{key} = …` in this table, or via where another gateway holds the secret"));
        }
    }
    let (app_secret, callback_origin) =
        (table.app_secret.as_ref()?, table.callback_origin.as_ref()?);
    let origin_place = callback_origin.span();
    // With a test account it is a warning: see `Plan::warnings`.
    if !table.sandbox && callback_origin.get_ref().scheme() != scheme {
        let message = format!(
            "begins with {}://, while server.public_scheme is \"{}\"; expected both alike, for cookies set on one would be missing on the other",
            callback_origin.get_ref().scheme().as_str(),
            scheme.as_str()
        );
        mistakes.at(&origin_place, message);
    }
    for base_url in [
        &table.open_base_url,
        &table.api_base_url,
        &table.api_fallback_url,
    ]
    .into_iter()
    .flatten()
    {
        if !table.sandbox && !base_url.get_ref().is_https() {
            mistakes.at(&base_url.span(), "is http, over which anybody on the way reads the app secret; expected https, or sandbox = true for a simulator");
        }
    }
    let origin = account::acceptable_origin(callback_origin.get_ref(), table.sandbox)
        .map_err(|error| mistakes.at(&origin_place, error.to_string()));
    let secret = (app_secret.get_ref().read(base))
        .map_err(|error| mistakes.at(&app_secret.span(), error.to_string()));
    let given = |url: &Option<Spanned<BaseUrl>>| url.as_ref().map(|url| url.get_ref().clone());
    let on = |option: &Option<Spanned<bool>>| option.as_ref().is_some_and(|on| *on.get_ref());
    // WeChat's second host is for WeChat's first alone.
    let own_fallback = table
        .api_base_url
        .is_none()
        .then(|| BaseUrl::wechat(API_FALLBACK_URL));
    let (Ok(()), Ok(app_secret)) = (origin, secret) else {
        return None;
    };
    let wechat = Account::new(Parts {
        app_id: table.app_id.clone(),
        app_secret,
        callback_origin: callback_origin.get_ref().clone(),
        open_base: given(&table.open_base_url).unwrap_or_else(|| BaseUrl::wechat(OPEN_BASE_URL)),
        api_base: given(&table.api_base_url).unwrap_or_else(|| BaseUrl::wechat(API_BASE_URL)),
        api_fallback: given(&table.api_fallback_url).or(own_fallback),
        lang: table
            .lang
            .as_ref()
            .map(|lang| *lang.get_ref())
            .unwrap_or_default(),
        hop: HopOptions {
            force_popup: on(&table.force_popup),
            force_snapshot: on(&table.force_snapshot),
            connect_redirect: on(&table.connect_redirect),
        },
    });
    Some((wechat, Holder::Here(clients)))
}
