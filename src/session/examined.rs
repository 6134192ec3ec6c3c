//! What a session cookie says and why it counts or does not, for operators.
//!
//! Holds always: nothing here lets anybody in: the verdict is that of
//! [`Sessions::read`] itself, and what an unverified cookie says is not told.

use super::{Carried, NoSession, Now, Payer, Session, Sessions, Wire};
use crate::cookies::{self, Found};
use crate::origin::Host;
use crate::route::LoginAccount;
use crate::signing::{Look, MAX_TOKEN, Purpose};

/// A session cookie that a request carries, looked at.
#[derive(Debug)]
pub struct Examined {
    /// The cookie's name.
    pub cookie: String,
    /// Whether it is that of a snapshot page's visitor.
    pub snapshot: bool,
    /// Whether it counts.
    pub verdict: Result<Carried, NoSession>,
    /// What it looks like, where it does not verify.
    pub look: Option<Look>,
    /// What it says, where it verifies.
    pub told: Option<Told>,
}

/// What a cookie of ours says.
#[derive(Debug)]
pub struct Told {
    /// The session. That it stands here does not mean that it counts.
    pub session: Session,
    /// The host or domain it holds for.
    pub place: String,
    /// When the visitor was last here, as far as the cookie knows.
    pub seen: Now,
    /// When it ends, or ended, if the visitor stays away.
    pub idle_end: Now,
    /// When it ends, or ended, in any case.
    pub end: Now,
    /// The visitor's name in the log.
    pub visitor: u64,
    /// Whether an older key signed it.
    pub by_older_key: bool,
}

/// A cookie that tells who pays, looked at.
#[derive(Debug)]
pub struct ExaminedPayer {
    /// The cookie's name.
    pub cookie: String,
    /// Whether it counts beside the session that the request carries; nothing does
    /// without one.
    pub verdict: Result<Payer, NoSession>,
}

impl Sessions {
    /// The cookie of a request to `host` that would tell who pays with `account`,
    /// beside the session `main`.
    pub fn examine_payer<'h, L: Iterator<Item = &'h [u8]>>(
        &self,
        cookie_lines: impl Fn() -> L,
        host: &Host,
        account: &LoginAccount,
        main: Option<&Session>,
        now: Now,
    ) -> Option<ExaminedPayer> {
        if cookies::find(cookie_lines(), &account.pay_cookie) == Found::Absent {
            return None;
        }
        let verdict = match main {
            Some(main) => self.read_payer(cookie_lines(), host, account, main, now),
            None => Err(NoSession::Absent),
        };
        Some(ExaminedPayer {
            cookie: account.pay_cookie.clone(),
            verdict: verdict.map(|paying| paying.payer),
        })
    }

    /// The cookies of a request to `host` that would be sessions with `account`.
    pub fn examine<'h, L: Iterator<Item = &'h [u8]>>(
        &self,
        cookie_lines: impl Fn() -> L,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Vec<Examined> {
        let kinds = [
            (Purpose::Session, &account.session_cookie),
            (Purpose::Snapshot, &account.snapshot_cookie),
        ];
        let examined = kinds.into_iter().filter_map(|(purpose, name)| {
            let token = match cookies::find(cookie_lines(), name) {
                Found::Absent => return None,
                Found::Repeated => None,
                Found::Once(token) => Some(token),
            };
            let snapshot = purpose == Purpose::Snapshot;
            let told = token.and_then(|token| self.told(purpose, token));
            let unread = token.filter(|_| told.is_none());
            Some(Examined {
                cookie: name.clone(),
                snapshot,
                verdict: match snapshot {
                    false => self.read(cookie_lines(), host, account, now),
                    true => self.read_snapshot(cookie_lines(), host, account, now),
                },
                look: unread.map(|token| self.keys.look_at(token)),
                told,
            })
        });
        examined.collect()
    }

    fn told(&self, purpose: Purpose, token: &[u8]) -> Option<Told> {
        let mut room = vec![0; MAX_TOKEN];
        let opened = self.keys.open(purpose, token, &mut room)?;
        let (wire, _) = postcard::take_from_bytes::<Wire<'_>>(opened.payload).ok()?;
        let (place, seen) = (wire.place.to_owned(), wire.seen);
        let session = Session::try_from(wire).ok()?;
        Some(Told {
            place,
            seen,
            idle_end: seen.saturating_add(self.idle),
            end: (session.opened.saturating_add(self.max)).min(session.until),
            visitor: self.visitor(&session),
            by_older_key: opened.by_older_key,
            session,
        })
    }
}
