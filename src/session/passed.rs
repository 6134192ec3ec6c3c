//! A visitor on the way to another gateway: who they are, and nothing of the
//! session that tells.
//!
//! Holds always: what is passed names no session, holds no token and opens none
//! here; whoever receives it opens a session of their own, with an id, a place and
//! limits of their own; a visitor is received for an account of the kind that told
//! of them, and for no other: a member's userid is no openid. What is received was sealed by the gateway that holds the
//! account's secret: see `signon`.

use serde::{Deserialize, Serialize};

use super::{Now, SNAPSHOT_LIFE, Session, Sessions, VisitorWire, person};
use crate::origin::Host;
use crate::route::LoginAccount;
use crate::signing;
use crate::wechat::{Kind, Scope, UnionId, Visitor};

#[derive(Serialize, Deserialize)]
struct PassedWire<'a> {
    app_id: &'a str,
    /// The name of the account's kind.
    kind: &'a str,
    visitor: VisitorWire<'a>,
    unionid: Option<&'a str>,
    nickname: Option<&'a str>,
    avatar: Option<&'a str>,
    scope: Scope,
    snapshot: bool,
    /// When WeChat vouched.
    vouched: u64,
    /// When nickname and avatar were told; 0 for never.
    profile_at: u64,
}

/// A visitor whom another gateway vouches for.
pub struct Passed {
    app_id: String,
    kind: &'static str,
    visitor: Visitor,
    unionid: Option<UnionId>,
    nickname: Option<String>,
    avatar: Option<String>,
    scope: Scope,
    snapshot: bool,
    vouched: Now,
    profile_at: Now,
}

impl Passed {
    /// The visitor of `session`, for another gateway.
    pub(crate) fn pack(session: &Session) -> Vec<u8> {
        let wire = PassedWire {
            app_id: &session.app_id,
            kind: session.kind.name(),
            visitor: (&session.visitor).into(),
            unionid: session.unionid.as_ref().map(UnionId::as_str),
            nickname: session.nickname.as_deref(),
            avatar: session.avatar.as_deref(),
            scope: session.scope,
            snapshot: session.snapshot,
            vouched: session.opened,
            profile_at: session.profile_at,
        };
        postcard::to_stdvec(&wire).unwrap_or_default()
    }

    /// What [`Self::pack`] made: for what came sealed, and nothing else.
    pub(crate) fn unpack(bytes: &[u8]) -> Option<Self> {
        let wire: PassedWire<'_> = signing::whole(bytes)?;
        let unionid = wire.unionid.map(|id| UnionId::try_from(id.to_owned()));
        Some(Self {
            app_id: wire.app_id.to_owned(),
            kind: Kind::known_name(wire.kind)?,
            visitor: Visitor::try_from(wire.visitor).ok()?,
            unionid: unionid.transpose().ok()?,
            nickname: wire.nickname.map(str::to_owned),
            avatar: wire.avatar.map(str::to_owned),
            scope: wire.scope,
            snapshot: wire.snapshot,
            vouched: wire.vouched,
            profile_at: wire.profile_at,
        })
    }
}

impl Sessions {
    /// Opens a session at `host` for whom another gateway vouches, if that is a
    /// visitor of `account`.
    ///
    /// # Errors
    /// When the system gives no random bytes for its id.
    pub fn receive(
        &self,
        passed: Passed,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Result<Option<Session>, getrandom::Error> {
        let kind = account.wechat.kind();
        if account.wechat.app_id().as_str() != passed.app_id || kind.name() != passed.kind {
            return Ok(None);
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let opened = (self.ended).earliest(&passed.app_id, person(&passed.visitor), now);
        let life = if passed.snapshot {
            SNAPSHOT_LIFE
        } else {
            self.max
        };
        Ok(Some(Session {
            id,
            place: self.place(host).to_owned(),
            app_id: passed.app_id,
            kind,
            visitor: passed.visitor,
            unionid: passed.unionid,
            nickname: passed.nickname,
            avatar: passed.avatar,
            scope: passed.scope,
            opened,
            seen: opened,
            until: opened + life,
            profile_at: passed.profile_at.min(now),
            verified_at: passed.vouched.min(now),
            tokens: false,
            snapshot: passed.snapshot,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, session, sessions};
    use super::*;
    use crate::wechat::{AgentId, UserId};

    #[test]
    fn what_is_passed_is_who_the_visitor_is_and_opens_another_session() {
        let (here, there) = (sessions(None), sessions(None));
        let account = account("wxaaaaaaaaaaaaaaaa");
        let made = Session {
            tokens: true,
            ..session("shop.example.com", 1_000)
        };
        let bytes = Passed::pack(&made);
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
        assert!(!holds(&made.id) && !holds(b"shop.example.com"));
        // As a session it says nothing.
        assert!(Sessions::unpack(&bytes).is_none());
        assert!(Passed::unpack(&Sessions::pack(&made)).is_none());
        let host = Host::new("dev.example.com").unwrap();
        // Long after the other's end: limits are those of whoever receives.
        let now = 900_000;
        let receive = |account: &LoginAccount| {
            let passed = Passed::unpack(&bytes).unwrap();
            there.receive(passed, &host, account, now).unwrap()
        };
        let received = receive(&account).unwrap();
        assert!(received.visitor == made.visitor && received.nickname == made.nickname);
        assert!(received.id != made.id && !received.tokens);
        assert_eq!((received.opened, received.until), (now, now + 3600));
        assert_eq!(
            (received.place.as_str(), received.verified_at),
            ("dev.example.com", 1_000)
        );
        let line = there.write(&received, &account, now);
        let line = line.split(';').next().unwrap().as_bytes().to_vec();
        let lines = || std::iter::once(line.as_slice());
        assert!(there.read(lines(), &host, &account, now).is_ok());
        assert!(here.read(lines(), &host, &account, now).is_err());
        let other = super::super::tests::account("wxbbbbbbbbbbbbbbbb");
        assert!(receive(&other).is_none());
        // Nor is it of an account of another kind, whatever its appid.
        let app = AgentId::parse("1000002").unwrap();
        for kind in [Kind::Website, Kind::WeCom(app)] {
            let other = super::super::tests::account_of("wxaaaaaaaaaaaaaaaa", kind);
            assert!(receive(&other).is_none());
        }
    }

    #[test]
    fn a_corps_member_is_received_as_one_alone() {
        use super::super::tests::account_of;
        let there = sessions(None);
        let userid = UserId::try_from("Li.Ming".to_owned()).unwrap();
        let made = Session {
            kind: Kind::WeCom(AgentId::parse("1000002").unwrap()),
            visitor: Visitor::Member(userid),
            ..session("shop.example.com", 1_000)
        };
        let bytes = Passed::pack(&made);
        let host = Host::new("dev.example.com").unwrap();
        let received = |kind| {
            let passed = Passed::unpack(&bytes).unwrap();
            let account = account_of("wxaaaaaaaaaaaaaaaa", kind);
            there.receive(passed, &host, &account, 2_000).unwrap()
        };
        let member = received(made.kind).unwrap();
        assert!(member.visitor == made.visitor);
        assert!(received(Kind::Official).is_none() && received(Kind::Website).is_none());
    }
}
