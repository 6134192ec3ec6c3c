//! An account's quota at WeChat: once it is used up, nobody is sent there for
//! nothing.
//!
//! Holds always: accounts that share an appid, as apps of one corp do, share no
//! circuit; only what begins or ends a login asks here, so that whoever has a
//! session notices nothing; a circuit is shut for a time that is known, and then a
//! login now and then is let through to see; one that succeeds opens it.
//!
//! Source: WeChat's page "全局返回码", 45009 and 45011.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::route::LoginAccount;
use crate::session::Millis;
use crate::wechat;
use crate::wechat::account::AppId;

/// How long after a minute's quota was used up.
const MINUTE: Millis = 60_000;
/// How long after a day's: operators can clear it, and it ends at midnight.
const DAY: Millis = 600_000;
/// How often a login is let through afterwards, until one succeeds.
const TRY: Millis = 30_000;

/// All accounts' circuits.
#[derive(Debug, Default)]
pub struct Circuits {
    shut: Mutex<HashMap<Key, Quota>>,
}

/// Whose quota: two apps of one corp have one CorpID.
type Key = (AppId, wechat::Kind);

fn key(account: &LoginAccount) -> Key {
    (account.wechat.app_id().clone(), account.wechat.kind())
}

#[derive(Clone, Copy, Debug)]
struct Quota {
    /// Nobody is let through before.
    until: Millis,
    /// The next who begins is let through then.
    next: Millis,
}

/// The circuit is shut, for as long as this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// In seconds, for `Retry-After`.
    pub seconds: u64,
}

/// Which quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A minute's.
    Minute,
    /// A day's.
    Day,
}

fn left(until: Millis, now: Millis) -> Shut {
    Shut {
        seconds: until.saturating_sub(now).div_ceil(1000).max(1),
    }
}

impl Circuits {
    /// A login is to begin with `account` at `now`.
    ///
    /// # Errors
    /// When it would end at a quota.
    pub fn start(&self, account: &LoginAccount, now: Millis) -> Result<(), Shut> {
        let mut shut = self.shut.lock();
        let Some(quota) = shut.get_mut(&key(account)) else {
            return Ok(());
        };
        let open = quota.until.max(quota.next);
        if now < open {
            return Err(left(open, now));
        }
        quota.next = now + TRY;
        Ok(())
    }

    /// A code is to be exchanged with `account` at `now`.
    ///
    /// # Errors
    /// When that would end at a quota; the code is not spent.
    pub fn exchange(&self, account: &LoginAccount, now: Millis) -> Result<(), Shut> {
        match self.shut.lock().get(&key(account)) {
            Some(quota) if now < quota.until => Err(left(quota.until, now)),
            _ => Ok(()),
        }
    }

    /// WeChat said that the quota is used up: how long nobody is sent there.
    pub fn used_up(&self, account: &LoginAccount, kind: Kind, now: Millis) -> Shut {
        let until = now
            + match kind {
                Kind::Minute => MINUTE,
                Kind::Day => DAY,
            };
        let quota = Quota { until, next: until };
        self.shut.lock().insert(key(account), quota);
        left(until, now)
    }

    /// A code was exchanged.
    pub fn worked(&self, account: &LoginAccount) {
        self.shut.lock().remove(&key(account));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::account;

    #[test]
    fn a_quota_shuts_for_a_while_and_one_looks_whether_it_is_over() {
        let (all, shop) = (Circuits::default(), account("wxaaaaaaaaaaaaaaaa"));
        let seconds = |result: Result<(), Shut>| result.unwrap_err().seconds;
        assert!(all.start(&shop, 1_000).is_ok() && all.exchange(&shop, 1_000).is_ok());
        assert_eq!(all.used_up(&shop, Kind::Day, 1_000).seconds, 600);
        assert_eq!(seconds(all.start(&shop, 1_001)), 600);
        assert_eq!(seconds(all.exchange(&shop, 600_999)), 1);
        // One begins, the next has to wait; whoever comes back is let through.
        assert!(all.start(&shop, 601_000).is_ok());
        assert_eq!(seconds(all.start(&shop, 601_000)), 30);
        assert!(all.exchange(&shop, 601_000).is_ok());
        assert!(all.start(&shop, 631_000).is_ok());
        assert_eq!(all.used_up(&shop, Kind::Minute, 640_000).seconds, 60);
        assert!(all.start(&shop, 699_999).is_err());
        all.worked(&shop);
        assert!(all.start(&shop, 640_001).is_ok() && all.start(&shop, 640_001).is_ok());
    }
    #[test]
    fn apps_of_one_corp_have_quotas_of_their_own() {
        use crate::session::tests::account_of;
        use crate::wechat::{AgentId, Kind as AccountKind};
        let app = |number: &str| {
            let kind = AccountKind::WeCom(AgentId::parse(number).unwrap());
            account_of("wwaaaaaaaaaaaaaaaa", kind)
        };
        let (all, one, other) = (Circuits::default(), app("1000002"), app("1000003"));
        all.used_up(&one, Kind::Day, 1_000);
        assert!(all.start(&one, 1_001).is_err() && all.exchange(&one, 1_001).is_err());
        assert!(all.start(&other, 1_001).is_ok() && all.exchange(&other, 1_001).is_ok());
        // A login with one says nothing of the other.
        all.worked(&other);
        assert!(all.start(&one, 1_002).is_err());
    }
}
