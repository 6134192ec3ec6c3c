//! An account's table becomes an account: its origin is one that WeChat would
//! take, and its secret was read, or is another gateway's (see `clients`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::clients::{ClientKey, plan_clients, plan_via};
use super::{AccountTable, KindName, Mistakes};
use crate::cookies::CookieSettings;
use crate::origin::PublicScheme;
use crate::route::{AccountName, Holder, LoginAccount};
use crate::wechat::account::{
    self, API_BASE_URL, API_FALLBACK_URL, BaseUrl, CORP_API_BASE_URL, HopOptions, OPEN_BASE_URL,
    Parts, VerifyFile,
};
use crate::wechat::{Account, Kind};

/// An account, as a list shows it.
#[derive(Debug)]
pub struct PlannedAccount {
    /// The account.
    pub account: Arc<LoginAccount>,
    /// Its files for WeChat.
    pub verify_files: Vec<VerifyFile>,
    /// Whether it may break WeChat's rules for callbacks.
    pub sandbox: bool,
    /// Where its callback_origin stands in the file, if it has one.
    pub(super) origin_place: Option<Range<usize>>,
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
    judge_app_ids(&tables, mistakes);
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
        // By way of another gateway, that one decides.
        let outsiders = match &holder {
            Holder::Here(_) => table.outsiders.is_some_and(Spanned::into_inner),
            Holder::Elsewhere(_) => true,
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
                outsiders,
            }),
            verify_files: table
                .verify_files
                .map(Spanned::into_inner)
                .unwrap_or_default(),
            sandbox: table.sandbox,
            origin_place: table.callback_origin.as_ref().map(Spanned::span),
        });
    }
    accounts
}

/// An AppID is one account's, which is of one kind: with two kinds one of them is a
/// mistake that WeChat alone would tell, to visitors.
fn judge_app_ids(tables: &BTreeMap<Spanned<AccountName>, AccountTable>, mistakes: &mut Mistakes) {
    let mut known: Vec<_> = tables.iter().collect();
    known.sort_by_key(|(_, table)| table.app_id.span().start);
    for (at, (_, table)) in known.iter().enumerate() {
        let found = table.app_id.get_ref();
        let other = known
            .iter()
            .take(at)
            .find(|(_, other)| other.app_id.get_ref() == found && other.kind != table.kind);
        let Some((name, other)) = other else { continue };
        mistakes.at(
            &table.app_id.span(),
            format!(
                "found \"{}\" with kind = \"{}\", which is accounts.{}.app_id too, with kind = \"{}\"; expected the AppID of this account, or one kind at both",
                found.as_str(),
                table.kind.name(),
                name.get_ref().as_str(),
                other.kind.name()
            ),
        );
    }
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
    let kind = kind(table, &origin_place, mistakes);
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
    // Without its number a corp's app is judged as what it is all the same.
    let judged = kind.unwrap_or(match table.kind {
        KindName::Official => Kind::Official,
        KindName::Website | KindName::WeCom => Kind::Website,
    });
    let origin = callback_origin.get_ref();
    let origin = account::acceptable_origin(origin, judged, table.sandbox)
        .map_err(|error| mistakes.at(&origin_place, error.to_string()));
    let secret = (app_secret.get_ref().read(base))
        .map_err(|error| mistakes.at(&app_secret.span(), error.to_string()));
    let given = |url: &Option<Spanned<BaseUrl>>| url.as_ref().map(|url| url.get_ref().clone());
    // WeChat's second host is for WeChat's first alone.
    let own_fallback = table
        .api_base_url
        .is_none()
        .then(|| BaseUrl::wechat(API_FALLBACK_URL))
        .filter(|_| table.kind != KindName::WeCom);
    let api_base = match table.kind {
        KindName::Official | KindName::Website => API_BASE_URL,
        KindName::WeCom => CORP_API_BASE_URL,
    };
    let (Ok(()), Ok(app_secret), Some(kind)) = (origin, secret, kind) else {
        return None;
    };
    let on = |setting: &Option<Spanned<bool>>| setting.as_ref().is_some_and(|on| *on.get_ref());
    let wechat = Account::new(Parts {
        kind,
        app_id: table.app_id.get_ref().clone(),
        app_secret,
        callback_origin: callback_origin.get_ref().clone(),
        open_base: given(&table.open_base_url).unwrap_or_else(|| BaseUrl::wechat(OPEN_BASE_URL)),
        api_base: given(&table.api_base_url).unwrap_or_else(|| BaseUrl::wechat(api_base)),
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

/// What kind of account it is; `None` with a setting that is missing or means
/// nothing there.
fn kind(table: &AccountTable, origin: &Range<usize>, mistakes: &mut Mistakes) -> Option<Kind> {
    let place = |setting: &Option<Spanned<bool>>| setting.as_ref().map(Spanned::span);
    let hops = [
        ("force_popup", place(&table.force_popup)),
        ("force_snapshot", place(&table.force_snapshot)),
        ("connect_redirect", place(&table.connect_redirect)),
    ];
    let fallback = table.api_fallback_url.as_ref().map(Spanned::span);
    let of_corp = [
        ("lang", table.lang.as_ref().map(Spanned::span)),
        ("api_fallback_url", fallback),
    ];
    let found = table.kind.name();
    let ignored: Vec<_> = match table.kind {
        KindName::Official => Vec::new(),
        KindName::Website => hops.to_vec(),
        KindName::WeCom => hops.into_iter().chain(of_corp).collect(),
    };
    let mut fits = true;
    for (setting, place) in ignored {
        let Some(place) = place else { continue };
        fits = false;
        let why = match setting {
            "lang" => "a corp's visitors have no profile here",
            "api_fallback_url" => "WeCom has one host for calls",
            _ => "only an official account's link has it",
        };
        mistakes.at(
            &place,
            format!("{setting} stands beside kind = \"{found}\", and {why}; expected no {setting}"),
        );
    }
    if let Some(outsiders) = &table.outsiders
        && table.kind != KindName::WeCom
    {
        fits = false;
        mistakes.at(
            &outsiders.span(),
            format!("outsiders stands beside kind = \"{found}\", which has no members whom others could be told from; expected no outsiders, or kind = \"wecom\""),
        );
    }
    let kind = which(table, origin, mistakes)?;
    fits.then_some(kind)
}

/// What kind of account it is, with the number of a corp's app. Apps of one corp share
/// an appid: without the number one's session would be every other's.
pub(super) fn which(
    table: &AccountTable,
    place: &Range<usize>,
    mistakes: &mut Mistakes,
) -> Option<Kind> {
    match (table.kind, table.agent_id.as_ref()) {
        (KindName::WeCom, Some(agent)) => Some(Kind::WeCom(agent.get_ref().0)),
        (KindName::WeCom, None) => {
            mistakes.at(
                place,
                "this account has kind = \"wecom\" and no agent_id; expected agent_id = \"1000002\", the app's AgentId as WeCom's console shows it",
            );
            None
        }
        (KindName::Official | KindName::Website, Some(agent)) => {
            mistakes.at(
                &agent.span(),
                "agent_id stands beside a kind which has no such number; expected no agent_id, or kind = \"wecom\"",
            );
            None
        }
        (KindName::Official, None) => Some(Kind::Official),
        (KindName::Website, None) => Some(Kind::Website),
    }
}
