//! The callback origins of the accounts that are in use: what browsers see of a host
//! is one thing.
//!
//! Holds always: no two of them have one host and another scheme or port, so that
//! every redirect to that host leads to the one origin that it has.

use std::sync::Arc;

use super::Mistakes;
use super::accounts::PlannedAccount;
use crate::facade::Facade;
use crate::origin::PublicOrigin;
use crate::route::{Auth, LoginAccount, Route};

/// Notes each account in use whose callback_origin differs from an earlier one's in
/// scheme or port alone.
pub(super) fn judge_origins(
    planned: &[PlannedAccount],
    routes: &[Route],
    facade: Option<&Facade>,
    mistakes: &mut Mistakes,
) {
    let used = used_by(routes, facade);
    let mut known: Vec<(&LoginAccount, &PublicOrigin)> = Vec::new();
    for PlannedAccount {
        account,
        origin_place,
        ..
    } in planned
    {
        let in_use = used.contains(&account.name.as_str()) || !account.clients().is_empty();
        // By way of another gateway nobody comes back here: its place is none.
        let Some(place) = origin_place.as_ref().filter(|_| in_use) else {
            continue;
        };
        let origin = account.wechat.callback_origin();
        let alike = |(_, known): &&(&LoginAccount, &PublicOrigin)| known.host() == origin.host();
        match known.iter().find(alike) {
            None => known.push((account, origin)),
            Some((_, first)) if *first == origin => {}
            Some((first, other)) => mistakes.at(
                place,
                format!(
                    "found \"{}\", while accounts.{}.callback_origin is \"{}\": one host, of which browsers see one scheme and one port; expected both \
                     alike, or a host of its own for one of them",
                    origin.as_str(),
                    first.name.as_str(),
                    other.as_str()
                ),
            ),
        }
    }
}

/// The names of the accounts that routes and the facade log visitors in with.
fn used_by<'a>(routes: &'a [Route], facade: Option<&'a Facade>) -> Vec<&'a str> {
    let asking = routes.iter().filter(|route| route.auth != Auth::None);
    let of_routes = asking.flat_map(|route| route.accounts.all().iter().chain(&route.pay_account));
    let of_apps = facade.into_iter().flat_map(|facade| &facade.apps);
    let of_apps = of_apps.map(|app| &app.account);
    let name = |account: &'a Arc<LoginAccount>| account.name.as_str();
    of_routes.chain(of_apps).map(name).collect()
}
