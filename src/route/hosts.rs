//! What there is for each host: routes, certificates.
//!
//! Holds always: what is for exactly this host comes before what is for all hosts
//! below a domain, and of these the nearest, by whole labels.

use super::{HostPattern, Table};
use crate::origin::Host;

/// Things by the hosts they are for.
#[derive(Debug)]
pub struct ByHost<T> {
    exact: Table<Host, T>,
    below: Table<Host, T>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self {
            exact: Table::default(),
            below: Table::default(),
        }
    }
}

impl<T> ByHost<T> {
    /// Puts `thing` there for `pattern`, in place of what was.
    pub fn insert(&mut self, pattern: &HostPattern, thing: T) {
        match pattern {
            HostPattern::Exact(host) => self.exact.insert(host.clone(), thing),
            HostPattern::Below(domain) => self.below.insert(domain.clone(), thing),
        };
    }

    /// What is there for exactly `pattern`, made if nothing was.
    pub fn entry(&mut self, pattern: &HostPattern) -> &mut T
    where
        T: Default,
    {
        let entry = match pattern {
            HostPattern::Exact(host) => self.exact.entry(host.clone()),
            HostPattern::Below(domain) => self.below.entry(domain.clone()),
        };
        entry.or_default()
    }

    /// What there is for `host`.
    pub fn get(&self, host: &Host) -> Option<&T> {
        if let Some(thing) = self.exact.get(host) {
            return Some(thing);
        }
        if self.below.is_empty() {
            return None;
        }
        let mut rest = host.as_str();
        while let Some((_, domain)) = rest.split_once('.') {
            if let Some(thing) = Host::new(domain).and_then(|domain| self.below.get(&domain)) {
                return Some(thing);
            }
            rest = domain;
        }
        None
    }

    /// Whether something is there for all hosts below `domain`.
    pub fn has_below(&self, domain: &Host) -> bool {
        self.below.contains_key(domain)
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.below.values())
    }
}
