//! An account's table becomes an account: its origin is one that WeChat would
//! take, and its secret was read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::{AccountTable, Mistakes};
use crate::cookies::CookieSettings;
use crate::origin::PublicScheme;
use crate::route::{AccountName, LoginAccount};
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
    mistakes: &mut Mistakes,
) -> Vec<PlannedAccount> {
    tables
        .into_iter()
        .filter_map(|(name, table)| {
            plan_account(name.into_inner(), table, scheme, cookies, base, mistakes)
        })
        .collect()
}

fn plan_account(
    name: AccountName,
    table: AccountTable,
    scheme: PublicScheme,
    cookies: &CookieSettings,
    base: &Path,
    mistakes: &mut Mistakes,
) -> Option<PlannedAccount> {
    let origin_place = table.callback_origin.span();
    if mistakes.has_gaps(&origin_place) {
        return None;
    }
    // With a test account it is a warning: see `Plan::warnings`.
    if !table.sandbox && table.callback_origin.get_ref().scheme() != scheme {
        let message = format!(
            "begins with {}://, while server.public_scheme is \"{}\"; expected both alike, for cookies set on one would be missing on the other",
            table.callback_origin.get_ref().scheme().as_str(),
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
    let origin = account::acceptable_origin(table.callback_origin.get_ref(), table.sandbox)
        .map_err(|error| mistakes.at(&origin_place, error.to_string()));
    let secret = (table.app_secret.get_ref().read(base))
        .map_err(|error| mistakes.at(&table.app_secret.span(), error.to_string()));
    let given = |url: Option<Spanned<BaseUrl>>| url.map(Spanned::into_inner);
    // WeChat's second host is for WeChat's first alone.
    let own_fallback = table
        .api_base_url
        .is_none()
        .then(|| BaseUrl::wechat(API_FALLBACK_URL));
    let (Ok(()), Ok(app_secret)) = (origin, secret) else {
        return None;
    };
    let wechat = Account::new(Parts {
        app_id: table.app_id,
        app_secret,
        callback_origin: table.callback_origin.into_inner(),
        open_base: given(table.open_base_url).unwrap_or_else(|| BaseUrl::wechat(OPEN_BASE_URL)),
        api_base: given(table.api_base_url).unwrap_or_else(|| BaseUrl::wechat(API_BASE_URL)),
        api_fallback: given(table.api_fallback_url).or(own_fallback),
        lang: table.lang,
        hop: HopOptions {
            force_popup: table.force_popup,
            force_snapshot: table.force_snapshot,
            connect_redirect: table.connect_redirect,
        },
    });
    Some(PlannedAccount {
        account: Arc::new(LoginAccount {
            session_cookie: cookies.session_name(name.as_str()),
            snapshot_cookie: cookies.snapshot_name(name.as_str()),
            pay_cookie: cookies.pay_name(name.as_str()),
            name,
            wechat,
        }),
        verify_files: table.verify_files,
        sandbox: table.sandbox,
    })
}
