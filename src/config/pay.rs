//! A route's `pay_account`: another 公众号 than the one that logs its visitors in.
//!
//! Holds always: it tells something that `account` does not tell already, of
//! visitors who are known and can be asked.

use std::sync::Arc;

use super::mistakes::Declared;
use super::resolve::Accounts as Known;
use super::routes::unknown_account;
use super::{Mistakes, RouteTable};
use crate::route::{Accounts, Auth, LoginAccount, OutsideWeChat, Route};
use crate::wechat::{Browser, Kind};

/// The account under which visitors of the route in `table` pay, whose accounts are
/// `accounts`; `Err` after a mistake.
pub(super) fn plan_pay_account(
    table: &RouteTable,
    accounts: &Accounts,
    known: &Known,
    declared: &Declared,
    mistakes: &mut Mistakes,
) -> Result<Option<Arc<LoginAccount>>, ()> {
    let Some(name) = &table.pay_account else {
        return Ok(None);
    };
    let mut wrong = |message: String| {
        mistakes.at(&name.span(), message);
        Err(())
    };
    let found = name.get_ref().as_str();
    if accounts.is_empty() || table.auth == Auth::None {
        return wrong(format!(
            "found \"{found}\" on a route that knows no visitor; expected account = \"NAME\" beside it and auth = \"required\" or \"optional\", or no pay_account"
        ));
    }
    let same = |account: &&Arc<LoginAccount>| account.name == *name.get_ref();
    if accounts.all().iter().any(|account| same(&account)) {
        return wrong(format!(
            "found \"{found}\", which is the route's account already: X-WeChat-OpenId tells that openid; expected another account, or no pay_account"
        ));
    }
    let Some(pays) = known.get(name.get_ref()) else {
        unknown_account(name.get_ref(), name.span(), declared, mistakes);
        return Err(());
    };
    if pays.wechat.kind() != Kind::Official {
        return wrong(format!(
            "found \"{found}\" of kind \"{}\", with which nobody can be asked in silence; expected an official account, or no pay_account",
            pays.wechat.kind().name()
        ));
    }
    // With "redirect" any browser makes the second login, whoever made the first.
    let redirects =
        (table.outside_wechat.as_ref()).is_some_and(|on| *on.get_ref() == OutsideWeChat::Redirect);
    if accounts.of(Browser::WeChat).is_none() && !redirects {
        return wrong(format!(
            "found \"{found}\" on a route without an official account: its visitors come in other browsers than WeChat's, where nobody can be asked in silence; expected an official account in account, or no pay_account"
        ));
    }
    let alike = |own: &&Arc<LoginAccount>| own.wechat.app_id() == pays.wechat.app_id();
    if let Some(account) = accounts.all().iter().find(alike) {
        return wrong(format!(
            "found \"{found}\", whose app_id is that of \"{}\", the route's account: X-WeChat-OpenId tells that openid already; expected an account with another app_id, or no pay_account",
            account.name.as_str()
        ));
    }
    Ok(Some(Arc::clone(pays)))
}

/// What is said where the pages above a route with a `pay_account` make no second login,
/// or another.
pub(super) fn lies_below(above: &Route, below: &Route) -> String {
    let pays = (below.pay_account.as_ref()).map_or("", |account| account.name.as_str());
    let (upper, path) = (above.path.as_str(), below.path.as_str());
    format!(
        "{host}{path} has pay_account = \"{pays}\" and lies below {host}{upper}, which has not: a form or script of a page there that orders at \
         {path} is refused once, until its visitor has made the second login; let the page that orders lie on a route with \
         pay_account = \"{pays}\" too",
        host = below.host
    )
}
