//! `[facade]` becomes apps that do OAuth themselves: their accounts exist, and no two
//! of them could be taken for one another, nor for a real account.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::Mistakes;
use super::accounts::PlannedAccount;
use super::mistakes::Declared;
use super::routes::unknown_account;
use crate::facade::{App, Facade, MIN_SECRET};
use crate::origin::{Host, PublicOrigin, PublicScheme};
use crate::route::{AccountName, HostPattern};
use crate::secret::{Secret, SecretSource};
use crate::wechat::{AppId, Kind};

/// `[facade]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FacadeTable {
    host: Spanned<FacadeHostName>,
    #[serde(default)]
    apps: Vec<AppTable>,
}

/// One of `[[facade.apps]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppTable {
    name: Spanned<AccountName>,
    account: Spanned<AccountName>,
    app_id: Spanned<AppId>,
    app_secret: Spanned<SecretSource>,
    callback_origins: Spanned<Vec<PublicOrigin>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct FacadeHostName(Host);

impl TryFrom<String> for FacadeHostName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        Host::new(&found).map(Self).ok_or_else(|| {
            format!("found \"{found}\"; expected one host, such as \"wx.example.com\", without scheme, port and \"*\"")
        })
    }
}

/// What the apps are judged by.
pub(super) struct Around<'a> {
    pub(super) accounts: &'a [PlannedAccount],
    pub(super) declared: &'a Declared,
    pub(super) scheme: PublicScheme,
    /// Where relative paths begin.
    pub(super) base: &'a Path,
}

/// The facade of `table`. What is only to be looked at goes to `remarks`.
pub(super) fn plan_facade<'r>(
    table: FacadeTable,
    around: &Around<'_>,
    routed: impl Iterator<Item = &'r HostPattern>,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<Facade> {
    let place = table.host.span();
    if mistakes.has_gaps(&place) {
        return None;
    }
    let host = table.host.into_inner().0;
    if routed
        .into_iter()
        .any(|of| *of == HostPattern::Exact(host.clone()))
    {
        mistakes.at(&place, format!("found \"{host}\", which is a route's host too; expected a host of its own, for every path there is the facade's"));
    }
    if table.apps.is_empty() {
        mistakes.at(&place, "stands without an app; expected at least one [[facade.apps]] with name, account, app_id, app_secret and callback_origins");
    }
    let mut apps: Vec<Arc<App>> = Vec::new();
    for table in table.apps {
        if let Some(app) = plan_app(table, &host, &apps, around, remarks, mistakes) {
            apps.push(Arc::new(app));
        }
    }
    Some(Facade::new(host, apps))
}

fn plan_app(
    table: AppTable,
    host: &Host,
    others: &[Arc<App>],
    around: &Around<'_>,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<App> {
    if mistakes.has_gaps(&table.name.span()) {
        return None;
    }
    let name = table.name.get_ref().as_str().to_owned();
    if others
        .iter()
        .any(|other| other.name == *table.name.get_ref())
    {
        mistakes.at(&table.name.span(), format!("found \"{name}\" again; expected a name of its own for each app, by which the log tells them apart"));
    }
    judge_app_id(&table.app_id, others, around, mistakes);
    judge_origins(
        &table.callback_origins,
        host,
        &name,
        around.scheme,
        remarks,
        mistakes,
    );
    let secret = table.app_secret.get_ref().read(around.base);
    let secret = secret.map_err(|error| mistakes.at(&table.app_secret.span(), error.to_string()));
    if let Ok(secret) = &secret {
        judge_secret(secret, &table.app_secret, others, around, mistakes);
    }
    let account = around
        .accounts
        .iter()
        .find(|planned| planned.account.name == *table.account.get_ref());
    let Some(account) = account else {
        let name = &table.account;
        unknown_account(name.get_ref(), name.span(), around.declared, mistakes);
        return None;
    };
    // An app's link is an official account's.
    let kind = account.account.wechat.kind();
    if kind != Kind::Official {
        mistakes.at(
            &table.account.span(),
            format!(
                "found \"{}\", which has kind = \"{}\", while such apps speak to official accounts; expected an account with kind = \"official\"",
                table.account.get_ref().as_str(),
                kind.name()
            ),
        );
        return None;
    }
    Some(App {
        name: table.name.into_inner(),
        app_id: table.app_id.into_inner(),
        secret: secret.ok()?,
        origins: table.callback_origins.into_inner(),
        account: Arc::clone(&account.account),
    })
}

fn judge_app_id(
    app_id: &Spanned<AppId>,
    others: &[Arc<App>],
    around: &Around<'_>,
    mistakes: &mut Mistakes,
) {
    let found = app_id.get_ref();
    let real = (around.accounts.iter()).any(|planned| planned.account.wechat.app_id() == found);
    let found = found.as_str();
    if real {
        mistakes.at(&app_id.span(), format!("found \"{found}\", which is a real account's; expected one that you make up, such as \"wxlegacy00000001\": whoever gets hold of it then knows nothing of the account"));
    }
    if others.iter().any(|other| other.app_id.as_str() == found) {
        mistakes.at(&app_id.span(), format!("found \"{found}\" again; expected one of its own for each app, for an app is known by it"));
    }
}

fn judge_secret(
    secret: &Secret,
    source: &Spanned<SecretSource>,
    others: &[Arc<App>],
    around: &Around<'_>,
    mistakes: &mut Mistakes,
) {
    let place = source.span();
    if secret.length() < MIN_SECRET {
        mistakes.at(&place, format!("holds {} characters; expected at least {MIN_SECRET}, drawn at random: `openssl rand -hex 16` prints some", secret.length()));
    }
    if !secret.is_unreserved() {
        mistakes.at(&place, "holds a character that is no letter, digit, \"-\", \".\", \"_\" or \"~\"; expected none: SDKs put the secret into an address as it is");
    }
    if others.iter().any(|other| other.secret.same(secret)) {
        mistakes.at(&place, "holds another app's secret; expected one of its own for each app, or one could exchange the other's codes");
    }
    if (around.accounts.iter()).any(|planned| planned.account.wechat.has_secret(secret)) {
        mistakes.at(&place, "holds a real account's AppSecret; expected one that you make up: the real one is for WeChat alone");
    }
}

fn judge_origins(
    origins: &Spanned<Vec<PublicOrigin>>,
    host: &Host,
    name: &str,
    scheme: PublicScheme,
    remarks: &mut Vec<String>,
    mistakes: &mut Mistakes,
) {
    let place = origins.span();
    let listed = origins.get_ref();
    if listed.is_empty() {
        mistakes.at(&place, "is empty; expected at least one origin, such as [\"https://legacy.example.com\"]: codes go nowhere else");
    }
    if listed.iter().any(|origin| origin.host() == host) {
        mistakes.at(&place, format!("found the facade's own host, {host}, where no app is; expected the origins of the app"));
    }
    let plain = |origin: &&PublicOrigin| origin.scheme() == PublicScheme::Http;
    if scheme == PublicScheme::Https
        && let Some(origin) = listed.iter().find(plain)
    {
        remarks.push(format!(
            "facade.apps {name} has the callback origin {}: whoever is on the way there can read codes; they are worth nothing without the \
             app's secret, and the app's own cookies can be read as well",
            origin.as_str()
        ));
    }
}
