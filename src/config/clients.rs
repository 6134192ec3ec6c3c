//! Several gateways on one account: on the one that holds the secret its clients,
//! on a client the gateway by way of which its visitors log in.
//!
//! Holds always: an account by way of another gateway has nothing of WeChat's here;
//! a name, an origin and a key belong to one client; no key of a client is one that
//! signs sessions.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::accounts::which;
use super::{AccountTable, Mistakes, Plan};
use crate::origin::{Host, PublicOrigin};
use crate::route::{AccountName, Client, Holder, LoginAccount, Via};
use crate::secret::SecretSource;
use crate::signing::Keyring;
use crate::wechat::Account;
use crate::wechat::account::acceptable_origin;

/// One of `[[accounts.NAME.clients]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientTable {
    name: Spanned<AccountName>,
    origins: Spanned<Vec<Spanned<ClientOrigin>>>,
    key: Spanned<SecretSource>,
}

/// An origin as it stands in a client's list.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct ClientOrigin(PublicOrigin);

impl TryFrom<String> for ClientOrigin {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let expected = |reason: &str| {
            format!(
                "found \"{found}\"; expected a scheme, a host and, if it is not the scheme's own, a port, as the visitor's browser shows \
                 them, such as \"http://localhost:3000\" or \"https://dev.example.com\", one by one and without a path: {reason}"
            )
        };
        PublicOrigin::try_from(found.clone())
            .map(Self)
            .map_err(|error| {
                expected(match error.reason() {
                    reason if reason.starts_with("the scheme") => {
                        "the scheme must be http or https"
                    }
                    reason => reason,
                })
            })
    }
}

/// A key of a client, and where it stands.
pub(super) struct ClientKey {
    place: Range<usize>,
    key: String,
    ring: Keyring,
}

/// Reads the key at `source`, which is one such as sessions have.
fn read_key(
    source: &Spanned<SecretSource>,
    base: &Path,
    mistakes: &mut Mistakes,
) -> Option<Keyring> {
    let place = source.span();
    let secret = (source.get_ref().read(base))
        .map_err(|error| mistakes.at(&place, error.to_string()))
        .ok()?;
    Keyring::new(&[secret])
        .map_err(|(_, error)| mistakes.at(&place, error.to_string()))
        .ok()
}

/// The account of a table that says `via`, which stands at `via`.
pub(super) fn plan_via(
    name: &AccountName,
    table: &AccountTable,
    via: &Spanned<PublicOrigin>,
    base: &Path,
    keys: &mut Vec<ClientKey>,
    mistakes: &mut Mistakes,
) -> Option<(Account, Holder)> {
    let mut good = nothing_of_wechats(table, mistakes);
    let kind = which(table, &via.span(), mistakes)?;
    if let Err(error) = acceptable_origin(via.get_ref(), kind, table.sandbox) {
        let text = error.to_string();
        mistakes.at(
            &via.span(),
            format!(
                "is the account's callback_origin at the gateway that holds its secret: {text}"
            ),
        );
        good = false;
    }
    for (key, is_set) in [
        ("client", table.client.is_some()),
        ("client_key", table.client_key.is_some()),
    ] {
        if !is_set {
            mistakes.at(&via.span(), format!("found without `{key}`; expected a line `{key} = …` in this table, as [[accounts.NAME.clients]] has it at that gateway"));
            good = false;
        }
    }
    let (client, source) = (table.client.as_ref()?, table.client_key.as_ref()?);
    let ring = read_key(source, base, mistakes)?;
    keys.push(ClientKey {
        place: source.span(),
        key: format!("accounts.{}.client_key", name.as_str()),
        ring: ring.clone(),
    });
    let holder = Holder::Elsewhere(Box::new(Via {
        client: client.get_ref().clone(),
        key: ring,
    }));
    let app_id = table.app_id.get_ref().clone();
    let account = Account::held_elsewhere(kind, app_id, via.get_ref().clone());
    good.then_some((account, holder))
}

/// Whether a table with `via` says nothing that is the other gateway's to say.
fn nothing_of_wechats(table: &AccountTable, mistakes: &mut Mistakes) -> bool {
    fn place<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
        value.as_ref().map(Spanned::span)
    }
    let found = [
        ("app_secret", place(&table.app_secret)),
        ("outsiders", place(&table.outsiders)),
        ("callback_origin", place(&table.callback_origin)),
        ("open_base_url", place(&table.open_base_url)),
        ("api_base_url", place(&table.api_base_url)),
        ("api_fallback_url", place(&table.api_fallback_url)),
        ("verify_files", place(&table.verify_files)),
        ("lang", place(&table.lang)),
        ("force_popup", place(&table.force_popup)),
        ("force_snapshot", place(&table.force_snapshot)),
        ("connect_redirect", place(&table.connect_redirect)),
        ("clients", place(&table.clients)),
    ];
    let mut good = true;
    for (key, place) in found {
        if let Some(place) = place {
            good = false;
            mistakes.at(&place, format!("found beside via, where the account's visitors log in by way of another gateway, which has its own {key}; expected no {key} here, or no via"));
        }
    }
    good
}

/// The clients of the account called `name`.
pub(super) fn plan_clients(
    name: &AccountName,
    table: &AccountTable,
    base: &Path,
    keys: &mut Vec<ClientKey>,
    mistakes: &mut Mistakes,
) -> Vec<Client> {
    for (key, place) in [
        ("client", table.client.as_ref().map(Spanned::span)),
        ("client_key", table.client_key.as_ref().map(Spanned::span)),
    ] {
        if let Some(place) = place {
            mistakes.at(&place, format!("found without via; expected via = \"https://…\", the account's callback_origin at the gateway that holds its secret, or no {key}"));
        }
    }
    let mut clients: Vec<Client> = Vec::new();
    let tables = table.clients.iter().flat_map(|tables| tables.get_ref());
    for (at, table) in tables.enumerate() {
        let place = format!("accounts.{}.clients[{at}]", name.as_str());
        if let Some(client) = plan_client(table, &place, &clients, base, keys, mistakes) {
            clients.push(client);
        }
    }
    clients
}

fn plan_client(
    table: &ClientTable,
    place: &str,
    others: &[Client],
    base: &Path,
    keys: &mut Vec<ClientKey>,
    mistakes: &mut Mistakes,
) -> Option<Client> {
    let name = table.name.get_ref();
    if others.iter().any(|other| other.name == *name) {
        let message = format!(
            "found \"{}\", which another client of this account is called; expected a name of its own",
            name.as_str()
        );
        mistakes.at(&table.name.span(), message);
    }
    if table.origins.get_ref().is_empty() {
        mistakes.at(
            &table.origins.span(),
            "is empty; expected at least one origin, such as \"http://localhost:3000\"",
        );
    }
    let mut origins: Vec<PublicOrigin> = Vec::new();
    for listed in table.origins.get_ref() {
        let ClientOrigin(origin) = listed.get_ref();
        let elsewhere = others.iter().find(|other| other.origin(origin).is_some());
        let whose = match elsewhere {
            Some(other) => Some(format!("the client \"{}\" has", other.name.as_str())),
            None => origins
                .contains(origin)
                .then(|| "stands here twice".to_owned()),
        };
        if let Some(whose) = whose {
            let message = format!(
                "found \"{}\", which {whose}; expected each origin once, in one client",
                origin.as_str()
            );
            mistakes.at(&listed.span(), message);
        }
        origins.push(origin.clone());
    }
    let key = read_key(&table.key, base, mistakes)?;
    keys.push(ClientKey {
        place: table.key.span(),
        key: format!("{place}.key"),
        ring: key.clone(),
    });
    Some(Client {
        name: name.clone(),
        origins,
        key,
    })
}

/// Notes each key that stands twice, or is one of `session`.
pub(super) fn judge_keys(keys: &[ClientKey], session: Option<&Keyring>, mistakes: &mut Mistakes) {
    const CURE: &str =
        "expected a key that is used for nothing else: make one with `wxgate keygen`";
    for (at, key) in keys.iter().enumerate() {
        let mut before = keys.iter().take(at);
        if let Some(twin) = before.find(|other| other.ring.shares_a_key_with(&key.ring)) {
            let message = format!("is the same key as {}; {CURE}", twin.key);
            mistakes.at(&key.place, message);
        } else if session.is_some_and(|session| session.shares_a_key_with(&key.ring)) {
            mistakes.at(&key.place, format!("is a key of session.keys; {CURE}"));
        }
    }
}

impl Plan {
    /// Clients' origins to which browsers send the sessions of this gateway too: cookies
    /// know no port, and a shared domain's go to every host of it.
    pub(super) fn clients_near_home(&self) -> Vec<String> {
        let mut all = Vec::new();
        let domain = self.cookies.domain();
        let accounts = self.accounts.iter().map(|planned| &planned.account);
        let clients = accounts.flat_map(|account| {
            let clients = account.clients().iter();
            clients.map(move |client| (account, client))
        });
        for (account, client) in clients {
            for origin in &client.origins {
                let host = origin.host();
                let why = match domain {
                    Some(domain) if host.is_within(domain) => {
                        format!("lies within session.cookie_domain, {domain}")
                    }
                    _ if self.answers_at(host) => "is on a host of this gateway".to_owned(),
                    _ => continue,
                };
                all.push(format!(
                    "accounts.{}.clients ({}): {} {why}, so that browsers send this gateway's sessions there, and whoever runs that \
                     client can read them; expected a host that shares no cookie with this gateway",
                    account.name.as_str(),
                    client.name.as_str(),
                    origin.as_str()
                ));
            }
        }
        all
    }

    fn answers_at(&self, host: &Host) -> bool {
        let routes = &self.routes;
        routes.serves(host) || routes.is_callback(host) || routes.facade_at(host).is_some()
    }

    /// Whether no client's key is one of `keys`, which sign sessions. Those of the
    /// file were judged with it.
    ///
    /// # Errors
    /// Which client's is, in words for the operator.
    pub(super) fn keeps_apart(&self, keys: &Keyring) -> Result<(), String> {
        let accounts = self.accounts.iter().map(|planned| &*planned.account);
        for account in accounts {
            if let Some(place) = shared(account, keys) {
                return Err(format!(
                    "accounts.{}.{place} is the session key that is kept in the state directory; expected a key that is used for nothing \
                     else: make one with `wxgate keygen`",
                    account.name.as_str()
                ));
            }
        }
        Ok(())
    }
}

fn shared(account: &LoginAccount, keys: &Keyring) -> Option<String> {
    if let Some(via) = account.via() {
        return keys
            .shares_a_key_with(&via.key)
            .then(|| "client_key".to_owned());
    }
    let mut clients = account.clients().iter();
    let client = clients.find(|client| keys.shares_a_key_with(&client.key))?;
    Some(format!("clients ({}).key", client.name.as_str()))
}
