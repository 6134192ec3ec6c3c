//! A route's `pay_account`: another 公众号 than the one that logs its visitors in.
//!
//! Holds always: it tells something that `account` does not tell already, of
//! visitors who are known.

use std::sync::Arc;

use super::mistakes::Declared;
use super::resolve::Accounts;
use super::routes::unknown_account;
use super::{Mistakes, RouteTable};
use crate::route::{Auth, LoginAccount};

/// The account under which visitors of the route in `table` pay, whose account is
/// `account`; `Err` after a mistake.
pub(super) fn plan_pay_account(
    table: &RouteTable,
    account: Option<&Arc<LoginAccount>>,
    known: &Accounts,
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
    let Some(account) = account.filter(|_| table.auth != Auth::None) else {
        return wrong(format!(
            "found \"{found}\" on a route that knows no visitor; expected account = \"NAME\" beside it and auth = \"required\" or \"optional\", or no pay_account"
        ));
    };
    if account.name == *name.get_ref() {
        return wrong(format!(
            "found \"{found}\", which is the route's account already: X-WeChat-OpenId tells that openid; expected another account, or no pay_account"
        ));
    }
    let Some(pays) = known.get(name.get_ref()) else {
        unknown_account(name, declared, mistakes);
        return Err(());
    };
    if pays.wechat.app_id() == account.wechat.app_id() {
        return wrong(format!(
            "found \"{found}\", whose app_id is that of \"{}\", the route's account: X-WeChat-OpenId tells that openid already; expected an account with another app_id, or no pay_account",
            account.name.as_str()
        ));
    }
    Ok(Some(Arc::clone(pays)))
}
