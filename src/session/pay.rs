//! Who a visitor is with another account than their session's: the one under
//! which their app orders with WeChat Pay.
//!
//! Holds always: it lets nobody in. It is signed for a purpose of its own, has a
//! cookie of its own, and counts beside the one session that it was made for,
//! whose id it carries, at that session's host and with its own account alone: so
//! that one visitor's never stands beside another's session, and both end
//! together. It has no limits of its own: what the session's allow, it lasts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CLOCK_LEEWAY, NoSession, Now, SMALL_TOKEN, Session, Sessions};
use crate::cookies::{self, Found, MaxAge};
use crate::origin::Host;
use crate::revocation::{Person, SessionId, Subject};
use crate::route::LoginAccount;
use crate::signing::{self, Purpose};
use crate::wechat::OpenId;

/// Who pays, beside a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Payer {
    /// That of the session.
    beside: SessionId,
    place: String,
    app_id: String,
    openid: OpenId,
    opened: Now,
    /// The session's end that no renewal moves.
    until: Now,
}

/// The same in the cookie.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    beside: SessionId,
    place: &'a str,
    app_id: &'a str,
    openid: &'a str,
    opened: u64,
    until: u64,
}

/// Who pays, as a request tells.
#[derive(Debug)]
pub struct Paying {
    /// Who.
    pub payer: Payer,
    /// Whether its cookie is to be written anew.
    pub renew: bool,
}

impl Payer {
    /// The visitor of `own`, whom WeChat vouched for with the account under which
    /// they pay, beside the session `main` of the same browser; `None` for a corp's
    /// member, who has no openid.
    pub fn beside(main: &Session, own: &Session) -> Option<Self> {
        Some(Self {
            beside: main.id,
            place: main.place.clone(),
            app_id: own.app_id.clone(),
            openid: own.openid()?.clone(),
            opened: own.opened,
            until: main.until,
        })
    }

    /// Who they are.
    pub fn openid(&self) -> &OpenId {
        &self.openid
    }

    /// With which account.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }
}

impl fmt::Debug for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payer(opened {})", self.opened)
    }
}

impl Sessions {
    /// Who the visitor of `main`, a session that holds at `host`, is with
    /// `account`, as the request tells.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn read_payer<'h>(
        &self,
        cookie_lines: impl Iterator<Item = &'h [u8]>,
        host: &Host,
        account: &LoginAccount,
        main: &Session,
        now: Now,
    ) -> Result<Paying, NoSession> {
        let token = match cookies::find(cookie_lines, &account.pay_cookie) {
            Found::Absent => return Err(NoSession::Absent),
            Found::Repeated => return Err(NoSession::Repeated),
            Found::Once(token) if token.len() > SMALL_TOKEN => return Err(NoSession::Forged),
            Found::Once(token) => token,
        };
        let mut room = [0; SMALL_TOKEN];
        let opened = self.keys.open(Purpose::Pay, token, &mut room);
        let opened = opened.ok_or(NoSession::Forged)?;
        let wire: Wire<'_> = signing::whole(opened.payload).ok_or(NoSession::Forged)?;
        if wire.place != self.place(host)
            || wire.app_id != account.wechat.app_id().as_str()
            || wire.beside != main.id
        {
            return Err(NoSession::Elsewhere);
        }
        if wire.opened > now.saturating_add(CLOCK_LEEWAY) {
            return Err(NoSession::Future);
        }
        if now >= wire.until {
            return Err(NoSession::Expired);
        }
        // An operator may have named them as this account does.
        let subject = Subject {
            id: &wire.beside,
            app_id: wire.app_id,
            person: Person::OpenId(wire.openid),
            opened: wire.opened,
        };
        if self.ended.has_ended(&subject) {
            return Err(NoSession::Ended);
        }
        let openid = OpenId::try_from(wire.openid.to_owned()).map_err(|_| NoSession::Forged)?;
        Ok(Paying {
            renew: opened.by_older_key,
            payer: Payer {
                beside: wire.beside,
                place: wire.place.to_owned(),
                app_id: wire.app_id.to_owned(),
                openid,
                opened: wire.opened,
                until: wire.until,
            },
        })
    }

    /// `Set-Cookie` for `payer`: it stays in the browser for as long as the session
    /// can last.
    pub fn write_payer(&self, payer: &Payer, account: &LoginAccount, now: Now) -> String {
        let wire = Wire {
            beside: payer.beside,
            place: &payer.place,
            app_id: &payer.app_id,
            openid: payer.openid.as_str(),
            opened: payer.opened,
            until: payer.until,
        };
        let payload = postcard::to_stdvec(&wire).unwrap_or_default();
        let token = self.keys.seal(Purpose::Pay, &payload);
        let left = MaxAge::Seconds(payer.until.saturating_sub(now));
        self.cookies
            .write(&payer.place, &account.pay_cookie, &token, "/", left)
    }

    /// `Set-Cookie` that takes it out of the browser at `host`.
    pub fn forget_payer(&self, host: &Host, account: &LoginAccount) -> String {
        let place = self.place(host);
        self.cookies
            .write(place, &account.pay_cookie, "", "/", MaxAge::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, session, sessions};
    use super::*;

    const HOST: &str = "shop.example.com";
    const PAY: &str = "wxbbbbbbbbbbbbbbbb";

    fn own() -> Session {
        Session {
            id: [9; 16],
            app_id: PAY.to_owned(),
            visitor: crate::wechat::Visitor::OpenId("oPayer".to_owned().try_into().unwrap()),
            ..session(HOST, 1000)
        }
    }

    /// The cookie's line beside `main`.
    fn written(all: &Sessions, main: &Session) -> String {
        let payer = Payer::beside(main, &own()).unwrap();
        let cookie = all.write_payer(&payer, &account(PAY), 1000);
        assert!(cookie.contains("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600"));
        cookie.split(';').next().unwrap().to_owned()
    }

    fn read(
        all: &Sessions,
        line: &str,
        (host, app_id): (&str, &str),
        main: &Session,
        now: Now,
    ) -> Result<Paying, NoSession> {
        let host = Host::new(host).unwrap();
        let lines = std::iter::once(line.as_bytes());
        all.read_payer(lines, &host, &account(app_id), main, now)
    }

    #[test]
    fn a_payer_counts_beside_their_own_session_alone() {
        let all = sessions(None);
        let main = session(HOST, 1000);
        let line = written(&all, &main);
        let found = read(&all, &line, (HOST, PAY), &main, 1000).unwrap();
        assert_eq!(found.payer.openid().as_str(), "oPayer");
        assert_eq!((found.payer.app_id(), found.renew), (PAY, false));
        let why = |all: &Sessions, line: &str, place, main: &Session, now| {
            read(all, line, place, main, now).unwrap_err()
        };
        let anew = Session {
            id: [8; 16],
            ..main.clone()
        };
        let elsewhere = NoSession::Elsewhere;
        assert_eq!(why(&all, &line, (HOST, PAY), &anew, 1000), elsewhere);
        let other = ("other.example.com", PAY);
        assert_eq!(why(&all, &line, other, &main, 1000), elsewhere);
        let other = (HOST, "wxcccccccccccccccc");
        assert_eq!(why(&all, &line, other, &main, 1000), elsewhere);
        let twice = format!("{line}; {line}");
        let (here, all_times) = ((HOST, PAY), &main);
        assert_eq!(
            why(&all, &twice, here, all_times, 1000),
            NoSession::Repeated
        );
        assert_eq!(why(&all, "a=b", here, all_times, 1000), NoSession::Absent);
        assert_eq!(why(&all, &line, here, all_times, 939), NoSession::Future);
        assert!(read(&all, &line, here, all_times, 4599).is_ok());
        assert_eq!(why(&all, &line, here, all_times, 4600), NoSession::Expired);
        let others = sessions(None);
        assert_eq!(
            why(&others, &line, here, all_times, 1000),
            NoSession::Forged
        );
        let long = format!("__Host-wxgate-pay-shop={}", "A".repeat(2000));
        assert_eq!(why(&all, &long, here, all_times, 1000), NoSession::Forged);
    }

    #[test]
    fn a_payer_is_no_session_and_a_session_no_payer() {
        let all = sessions(None);
        let (main, account) = (session(HOST, 1000), account(PAY));
        let (_, token) = written(&all, &main)
            .split_once('=')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let host = Host::new(HOST).unwrap();
        for name in [&account.session_cookie, &account.snapshot_cookie] {
            let line = format!("{name}={token}");
            let lines = || std::iter::once(line.as_bytes());
            assert!(all.read(lines(), &host, &account, 1000).is_err());
            assert!(all.read_snapshot(lines(), &host, &account, 1000).is_err());
        }
        let session = all.write(&own(), &account, 1000);
        let session = session.split(';').next().unwrap();
        let (_, token) = session.split_once('=').unwrap();
        let line = format!("{}={token}", account.pay_cookie);
        let found = read(&all, &line, (HOST, PAY), &own(), 1000);
        assert_eq!(found.unwrap_err(), NoSession::Forged);
        // Not even where one says what the other would.
        let wire = Wire {
            beside: main.id,
            place: HOST,
            app_id: PAY,
            openid: "oPayer",
            opened: 1000,
            until: 4600,
        };
        let payer = postcard::to_stdvec(&wire).unwrap();
        let session = postcard::to_stdvec(&super::super::Wire::from(&own())).unwrap();
        let sealed = |purpose, payload: &[u8]| all.keys().seal(purpose, payload);
        for (purpose, good) in [
            (Purpose::Pay, true),
            (Purpose::Session, false),
            (Purpose::Snapshot, false),
            (Purpose::Login, false),
        ] {
            let line = format!("{}={}", account.pay_cookie, sealed(purpose, &payer));
            let found = read(&all, &line, (HOST, PAY), &main, 1000);
            assert_eq!(found.is_ok(), good, "{purpose:?}");
        }
        for (purpose, good) in [(Purpose::Session, true), (Purpose::Pay, false)] {
            let line = format!("{}={}", account.session_cookie, sealed(purpose, &session));
            let lines = std::iter::once(line.as_bytes());
            let found = all.read(lines, &host, &account, 1000);
            assert_eq!(found.is_ok(), good, "{purpose:?}");
        }
    }

    #[test]
    fn whoever_ends_either_of_both_ends_what_is_told_of_who_pays() {
        for by_id in [true, false] {
            let all = sessions(None);
            let main = session(HOST, 1000);
            let line = written(&all, &main);
            assert!(read(&all, &line, (HOST, PAY), &main, 1000).is_ok());
            let ended = match by_id {
                true => main.revocation(),
                false => crate::revocation::Revocation::of_visitor(PAY, "oPayer", 1000),
            };
            all.ended.apply(&ended);
            let why = read(&all, &line, (HOST, PAY), &main, 1000).unwrap_err();
            assert_eq!(why, NoSession::Ended, "{by_id}");
        }
    }
}
