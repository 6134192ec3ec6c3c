//! The accounts of a route: the visitor's browser chooses among them.
//!
//! Holds always: at most one is for each kind of browser, so that there is never a
//! doubt which; their order is that of the file.

use std::sync::Arc;

use super::LoginAccount;
use crate::wechat::Browser;

/// The accounts of a route; a route without login has none.
#[derive(Clone, Debug, Default)]
pub struct Accounts(Vec<Arc<LoginAccount>>);

/// Two accounts of one kind, among which no browser could choose.
#[derive(Debug)]
pub struct Twins {
    /// The one that stands first.
    pub first: Arc<LoginAccount>,
    /// The other.
    pub second: Arc<LoginAccount>,
}

impl Accounts {
    /// Those of `list`.
    ///
    /// # Errors
    /// When two of them are for one kind of browser.
    pub fn new(list: Vec<Arc<LoginAccount>>) -> Result<Self, Twins> {
        let mut known: Vec<Arc<LoginAccount>> = Vec::with_capacity(list.len());
        for second in list {
            let browser = second.wechat.kind().browser();
            let alike = |first: &&Arc<LoginAccount>| first.wechat.kind().browser() == browser;
            if let Some(first) = known.iter().find(alike).cloned() {
                return Err(Twins { first, second });
            }
            known.push(second);
        }
        Ok(Self(known))
    }

    /// That one.
    pub fn one(account: Arc<LoginAccount>) -> Self {
        Self(vec![account])
    }

    /// All of them, in the order of the file.
    pub fn all(&self) -> &[Arc<LoginAccount>] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that `browser` can use.
    pub fn of(&self, browser: Browser) -> Option<&Arc<LoginAccount>> {
        let mut all = self.0.iter();
        all.find(|account| account.wechat.kind().browser() == browser)
    }

    /// Whether it is one of them, by its name.
    pub fn has(&self, account: &LoginAccount) -> bool {
        self.0.iter().any(|own| own.name == account.name)
    }

    /// Whether they are the same, in the same order: then a request that shows
    /// several sessions is the same visitor's at both.
    pub fn are(&self, others: &Self) -> bool {
        let (own, theirs) = (self.0.iter(), others.0.iter());
        own.map(|one| &one.name).eq(theirs.map(|one| &one.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::account;

    #[test]
    fn accounts_are_the_same_with_the_same_names_in_the_same_order() {
        let named = |name: &&str| {
            Arc::new(LoginAccount {
                name: (*name).to_owned().try_into().unwrap(),
                ..account()
            })
        };
        let all = |names: &[&str]| Accounts(names.iter().map(named).collect());
        let two = all(&["shop", "desk"]);
        assert!(two.are(&all(&["shop", "desk"])) && all(&[]).are(&all(&[])));
        for others in [
            &["desk", "shop"][..],
            &["shop"],
            &["shop", "desk", "corp"],
            &[],
        ] {
            assert!(
                !two.are(&all(others)) && !all(others).are(&two),
                "{others:?}"
            );
        }
    }
}
