//! A visitor WeChat vouched for: opened, read, renewed, ended.
//!
//! Holds always: a [`Session`] is made from a [`Grant`] or from a cookie that
//! verified and that nobody has ended, or is one of these, handed over sealed to
//! another instance or host, or the visitor of one, told sealed to another gateway,
//! never otherwise. That of a snapshot page's
//! visitor has a cookie of its own, is told apart by its signature, and is read
//! by [`Sessions::read_snapshot`] alone. Where it holds (host or cookie domain), for
//! which appid and of what kind of account stands inside the signature; a session of one host or account is
//! none with another. A cookie that stands twice is no session. Time is an
//! argument, in seconds since 1970.

mod examined;
mod passed;
mod pay;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use self::examined::{Examined, ExaminedPayer, Told};
pub use self::passed::Passed;
pub use self::pay::{Payer, Paying};
pub use self::settings::{CookieDomain, CookieName, Lifetime, Table};
use crate::cookies::{self, CookieSettings, Found, MaxAge};
use crate::origin::Host;
use crate::revocation::{Person, Revocation, Revocations, SessionId, Subject};
use crate::route::{LoginAccount, Need};
use crate::signing::{self, Keyring, MAX_TOKEN, Purpose};
use crate::wechat::openid::NotAnId;
use crate::wechat::{Grant, Kind, OpenId, Profile, Scope, UnionId, UserId, Visitor};

/// Seconds since 1970: what sessions count in.
pub type Now = u64;
/// Milliseconds since 1970: what logins count in, whose rounds can be short.
pub type Millis = u64;

/// By how much another machine's clock may be ahead of ours.
const CLOCK_LEEWAY: u64 = 60;
/// The length of most sessions' tokens.
const SMALL_TOKEN: usize = 1024;
/// How long a snapshot page's visitor may look around, in seconds.
const SNAPSHOT_LIFE: u64 = 600;

/// A visitor, as WeChat vouched for them.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    id: [u8; 16],
    place: String,
    app_id: String,
    kind: Kind,
    visitor: Visitor,
    unionid: Option<UnionId>,
    nickname: Option<String>,
    avatar: Option<String>,
    scope: Scope,
    opened: Now,
    seen: Now,
    until: Now,
    profile_at: Now,
    verified_at: Now,
    tokens: bool,
    snapshot: bool,
}

/// The same in the cookie. Fields are only ever added together with a new
/// version in `signing`.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    id: [u8; 16],
    place: &'a str,
    app_id: &'a str,
    kind: Kind,
    visitor: VisitorWire<'a>,
    unionid: Option<&'a str>,
    nickname: Option<&'a str>,
    avatar: Option<&'a str>,
    scope: Scope,
    opened: u64,
    seen: u64,
    /// The end that no renewal moves, so that a revocation can be forgotten.
    until: u64,
    /// When nickname and avatar were told; 0 for never.
    profile_at: u64,
    /// When WeChat last said that the visitor's consent holds.
    verified_at: u64,
    /// Whether the store has tokens.
    tokens: bool,
}

/// Who the visitor is: of which space an id is, is signed with it.
#[derive(Serialize, Deserialize)]
enum VisitorWire<'a> {
    OpenId(&'a str),
    Member(&'a str),
}

/// What a session is opened with, besides the grant.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What was asked of the visitor: WeChat may tell of an older, wider grant,
    /// whose profile nobody fetched.
    pub scope: Scope,
    /// Whether the visitor's tokens are kept.
    pub tokens: bool,
}

/// Why a request has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// No cookie.
    Absent,
    /// The cookie stands twice.
    Repeated,
    /// Not signed by us, or not as a session.
    Forged,
    /// Of another host or account.
    Elsewhere,
    /// The visitor was away for too long, or the session is too old.
    Expired,
    /// From the future: a clock is wrong.
    Future,
    /// Of somebody who is not of the corp, which lets in its members alone.
    Outsider,
    /// Ended before its time: a logout, or an operator's word.
    Ended,
    /// It is not known yet which sessions have ended.
    Unknown,
}

impl NoSession {
    /// One word for the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Absent => "no_session",
            Self::Repeated => "session_cookie_repeated",
            Self::Forged => "session_forged",
            Self::Elsewhere => "session_of_another_place",
            Self::Expired => "session_expired",
            Self::Future => "session_from_the_future",
            Self::Outsider => "session_of_an_outsider",
            Self::Ended => "session_ended",
            Self::Unknown => "revocations_unknown",
        }
    }

    /// What to count it as; nothing where no session was shown.
    pub fn event(self) -> Option<&'static str> {
        Some(match self {
            Self::Absent => return None,
            Self::Repeated => "refused_repeated",
            Self::Forged => "refused_forged",
            Self::Elsewhere => "refused_elsewhere",
            Self::Expired => "refused_expired",
            Self::Future => "refused_future",
            Self::Outsider => "refused_outsider",
            Self::Ended => "refused_ended",
            Self::Unknown => "refused_unknown",
        })
    }
}

/// A session that a request carries.
#[derive(Debug)]
pub struct Carried {
    /// The session.
    pub session: Session,
    /// Whether its cookie is to be written anew.
    pub renew: bool,
    /// Who the visitor is with the account under which they pay, where the route
    /// asks for that and it is known.
    pub paying: Option<Box<Paying>>,
}

/// Opens, reads and writes sessions.
#[derive(Debug)]
pub struct Sessions {
    keys: Keyring,
    cookies: CookieSettings,
    ended: Arc<Revocations>,
    idle: u64,
    max: u64,
}

impl Sessions {
    /// Sessions signed with `keys`, ending after `idle` without a visit, after
    /// `max` in any case, and before that where `ended` says so.
    pub fn new(
        keys: Keyring,
        cookies: CookieSettings,
        ended: Arc<Revocations>,
        idle: Lifetime,
        max: Lifetime,
    ) -> Self {
        Self {
            keys,
            cookies,
            ended,
            idle: idle.seconds(),
            max: max.seconds(),
        }
    }

    /// The cookies' settings.
    pub fn cookies(&self) -> &CookieSettings {
        &self.cookies
    }

    /// The keys, which sign logins too.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The name of a session's visitor in the log: see [`Keyring::name_of`]. No
    /// openid is spelled as a member is here.
    pub fn visitor(&self, session: &Session) -> u64 {
        match &session.visitor {
            Visitor::OpenId(openid) => self.keys.name_of(openid.as_str()),
            Visitor::Member(userid) => {
                let userid = userid.as_str().to_ascii_lowercase();
                self.keys.name_of(&format!("member:{userid}"))
            }
        }
    }

    /// What has been ended before its time.
    pub fn ended(&self) -> &Arc<Revocations> {
        &self.ended
    }

    /// Where a session opened at `host` holds.
    pub fn place<'a>(&'a self, host: &'a Host) -> &'a str {
        self.cookies.place(host)
    }

    /// Opens a session for whom WeChat's `grant` names: a short one, of its own
    /// kind, if it is a snapshot page's visitor.
    ///
    /// # Errors
    /// When the system gives no random bytes for its id.
    pub fn open(
        &self,
        host: &Host,
        account: &LoginAccount,
        grant: &Grant,
        terms: Terms,
        profile: Option<Profile>,
        now: Now,
    ) -> Result<Session, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let app_id = account.wechat.app_id().as_str();
        let visitor = grant.visitor();
        let opened = self.ended.earliest(app_id, person(visitor), now);
        let snapshot = grant.is_snapshot();
        let life = if snapshot { SNAPSHOT_LIFE } else { self.max };
        let profile_at = if profile.is_some() { opened } else { 0 };
        let profile = profile.unwrap_or_default();
        Ok(Session {
            id,
            place: self.place(host).to_owned(),
            app_id: app_id.to_owned(),
            kind: account.wechat.kind(),
            visitor: visitor.clone(),
            unionid: profile.unionid.or_else(|| grant.unionid().cloned()),
            nickname: profile.nickname,
            avatar: profile.avatar,
            scope: terms.scope,
            opened,
            seen: opened,
            until: opened + life,
            profile_at,
            verified_at: opened,
            tokens: terms.tokens && !snapshot,
            snapshot,
        })
    }

    /// The session that a request to `host` carries for `account`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read<'h>(
        &self,
        cookie_lines: impl Iterator<Item = &'h [u8]>,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Result<Carried, NoSession> {
        self.read_as(Purpose::Session, cookie_lines, host, account, now)
    }

    /// The same of a snapshot page's visitor, who is nobody. It is never
    /// renewed.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read_snapshot<'h>(
        &self,
        cookie_lines: impl Iterator<Item = &'h [u8]>,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Result<Carried, NoSession> {
        let carried = self.read_as(Purpose::Snapshot, cookie_lines, host, account, now)?;
        Ok(Carried {
            renew: false,
            ..carried
        })
    }

    /// Both of them, if their time is not over, for whoever wants to end them: it
    /// does not matter whether they have been ended.
    pub fn read_to_end<'h, L: Iterator<Item = &'h [u8]>>(
        &self,
        cookie_lines: impl Fn() -> L,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> impl Iterator<Item = Session> {
        [Purpose::Session, Purpose::Snapshot]
            .map(|purpose| self.signed(purpose, cookie_lines(), host, account, now))
            .into_iter()
            .flatten()
            .map(|carried| carried.session)
    }

    fn read_as<'h>(
        &self,
        purpose: Purpose,
        cookie_lines: impl Iterator<Item = &'h [u8]>,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Result<Carried, NoSession> {
        let carried = self.signed(purpose, cookie_lines, host, account, now)?;
        self.not_ended(&carried.session)?;
        Ok(carried)
    }

    fn not_ended(&self, session: &Session) -> Result<(), NoSession> {
        if !self.ended.is_complete() {
            return Err(NoSession::Unknown);
        }
        if self.ended.has_ended(&session.subject()) {
            return Err(NoSession::Ended);
        }
        Ok(())
    }

    /// What a cookie of ours says, whose time is not over.
    fn signed<'h>(
        &self,
        purpose: Purpose,
        cookie_lines: impl Iterator<Item = &'h [u8]>,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Result<Carried, NoSession> {
        let snapshot = purpose == Purpose::Snapshot;
        let name = match snapshot {
            true => &account.snapshot_cookie,
            false => &account.session_cookie,
        };
        let token = match cookies::find(cookie_lines, name) {
            Found::Absent => return Err(NoSession::Absent),
            Found::Repeated => return Err(NoSession::Repeated),
            Found::Once(token) => token,
        };
        // Room for most is quickly made; for the longest there is more.
        let (mut small, mut large);
        let room: &mut [u8] = if token.len() <= SMALL_TOKEN {
            small = [0; SMALL_TOKEN];
            &mut small
        } else {
            large = vec![0; MAX_TOKEN];
            &mut large
        };
        let opened = self
            .keys
            .open(purpose, token, room)
            .ok_or(NoSession::Forged)?;
        let wire: Wire<'_> = signing::whole(opened.payload).ok_or(NoSession::Forged)?;
        let wechat = &account.wechat;
        let ours = wire.app_id == wechat.app_id().as_str() && wire.kind == wechat.kind();
        if wire.place != self.place(host) || !ours {
            return Err(NoSession::Elsewhere);
        }
        self.in_time(&wire, now)?;
        let away = now.saturating_sub(wire.seen);
        let renew = opened.by_older_key || away > self.idle / 2;
        let mut session = Session::try_from(wire)?;
        // `outsiders` may have been taken back since.
        if !account.admits(&session.visitor) {
            return Err(NoSession::Outsider);
        }
        session.seen = now.max(session.seen);
        session.snapshot = snapshot;
        Ok(Carried {
            session,
            renew,
            paying: None,
        })
    }

    fn in_time(&self, wire: &Wire<'_>, now: Now) -> Result<(), NoSession> {
        let latest = now.saturating_add(CLOCK_LEEWAY);
        if wire.opened > latest || wire.seen > latest || wire.seen < wire.opened {
            return Err(NoSession::Future);
        }
        let away = now.saturating_sub(wire.seen);
        let age = now.saturating_sub(wire.opened);
        if away >= self.idle || age >= self.max || now >= wire.until {
            return Err(NoSession::Expired);
        }
        Ok(())
    }

    /// `Set-Cookie` for `session`, as seen at `now`.
    pub fn write(&self, session: &Session, account: &LoginAccount, now: Now) -> String {
        let wire = Wire {
            seen: now.max(session.opened),
            ..session.into()
        };
        let payload = postcard::to_stdvec(&wire).unwrap_or_default();
        let (purpose, name) = match session.snapshot {
            true => (Purpose::Snapshot, &account.snapshot_cookie),
            false => (Purpose::Session, &account.session_cookie),
        };
        let token = self.keys.seal(purpose, &payload);
        let end = session.until.min(session.opened + self.max);
        let left = self.idle.min(end.saturating_sub(now));
        self.cookies
            .write(&session.place, name, &token, "/", MaxAge::Seconds(left))
    }

    /// `Set-Cookie`s that end the session in the browser at `host`, and that of a
    /// snapshot page's visitor.
    pub fn forget(&self, host: &Host, account: &LoginAccount) -> [String; 2] {
        let place = self.place(host);
        [&account.session_cookie, &account.snapshot_cookie]
            .map(|name| self.cookies.write(place, name, "", "/", MaxAge::Delete))
    }

    /// Whether who logs in at `host` with `account` comes back to where the cookies
    /// of `host` are sent. Otherwise the way leads through the callback's host, which
    /// is another gateway's where that holds the secret.
    pub fn is_direct(&self, host: &Host, account: &LoginAccount) -> bool {
        let callback = account.wechat.callback_origin().host();
        account.via().is_none() && self.cookies.shared_by(host, callback)
    }

    /// The same session for another host: `session` was vouched for by the
    /// callback's host, and is held against everything a cookie's would be.
    ///
    /// # Errors
    /// Why it is none there.
    pub fn take_over(
        &self,
        session: Session,
        host: &Host,
        account: &LoginAccount,
        now: Now,
    ) -> Result<Session, NoSession> {
        if !session.is_of(account) {
            return Err(NoSession::Elsewhere);
        }
        if !account.admits(&session.visitor) {
            return Err(NoSession::Outsider);
        }
        self.in_time(&Wire::from(&session), now)?;
        self.not_ended(&session)?;
        Ok(Session {
            place: self.place(host).to_owned(),
            seen: now.max(session.seen),
            ..session
        })
    }

    /// Whether what was given on the strength of `session` still counts: `account` is
    /// its own, its time is not over, and nobody has ended it. How long its visitor
    /// was away does not matter.
    ///
    /// # Errors
    /// Why it does not.
    pub fn still_holds(
        &self,
        session: &Session,
        account: &LoginAccount,
        now: Now,
    ) -> Result<(), NoSession> {
        if !session.is_of(account) {
            return Err(NoSession::Elsewhere);
        }
        let age = now.saturating_sub(session.opened);
        if age >= self.max || now >= session.until {
            return Err(NoSession::Expired);
        }
        self.not_ended(session)
    }

    /// A session as another instance can read it.
    pub fn pack(session: &Session) -> Vec<u8> {
        postcard::to_stdvec(&(session.snapshot, Wire::from(session))).unwrap_or_default()
    }

    /// What [`Self::pack`] made: for what was kept sealed, and nothing else.
    pub fn unpack(bytes: &[u8]) -> Option<Session> {
        let (snapshot, wire): (bool, Wire<'_>) = signing::whole(bytes)?;
        let session = Session::try_from(wire).ok()?;
        Some(Session {
            snapshot,
            ..session
        })
    }

    /// For how many seconds `session` goes on, as far as is known; 0 when it has
    /// ended.
    pub fn left(&self, session: &Session) -> u64 {
        if self.ended.has_ended(&session.subject()) {
            return 0;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |now| now.as_secs());
        self.ends(session).saturating_sub(now)
    }

    /// Waits until `session` has ended, by itself or before its time.
    pub async fn until_ended(&self, session: Session) {
        let mut changes = self.ended.changes();
        loop {
            let left = self.left(&session);
            if left == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(left)) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// When `session` ends if the visitor does not come again.
    pub fn ends(&self, session: &Session) -> Now {
        (session.seen + self.idle)
            .min(session.opened + self.max)
            .min(session.until)
    }
}

impl<'a> From<&'a Session> for Wire<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            id: session.id,
            place: &session.place,
            app_id: &session.app_id,
            kind: session.kind,
            visitor: (&session.visitor).into(),
            unionid: session.unionid.as_ref().map(UnionId::as_str),
            nickname: session.nickname.as_deref(),
            avatar: session.avatar.as_deref(),
            scope: session.scope,
            opened: session.opened,
            seen: session.seen,
            until: session.until,
            profile_at: session.profile_at,
            verified_at: session.verified_at,
            tokens: session.tokens,
        }
    }
}

impl TryFrom<Wire<'_>> for Session {
    type Error = NoSession;

    fn try_from(wire: Wire<'_>) -> Result<Self, NoSession> {
        let unionid = wire
            .unionid
            .map(|id| UnionId::try_from(id.to_owned()))
            .transpose();
        Ok(Self {
            id: wire.id,
            place: wire.place.to_owned(),
            app_id: wire.app_id.to_owned(),
            kind: wire.kind,
            visitor: Visitor::try_from(wire.visitor).map_err(|_| NoSession::Forged)?,
            unionid: unionid.map_err(|_| NoSession::Forged)?,
            nickname: wire.nickname.map(str::to_owned),
            avatar: wire.avatar.map(str::to_owned),
            scope: wire.scope,
            opened: wire.opened,
            seen: wire.seen,
            until: wire.until,
            profile_at: wire.profile_at,
            verified_at: wire.verified_at,
            tokens: wire.tokens,
            snapshot: false,
        })
    }
}

impl Session {
    /// Who the visitor is.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// The visitor's openid, unless they are a corp's member.
    pub fn openid(&self) -> Option<&OpenId> {
        self.visitor.openid()
    }

    /// With what kind of account.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// With which account.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// The id across accounts, if WeChat gave one.
    pub fn unionid(&self) -> Option<&UnionId> {
        self.unionid.as_ref()
    }

    /// The nickname, with scope `snsapi_userinfo`.
    pub fn nickname(&self) -> Option<&str> {
        self.nickname.as_deref()
    }

    /// The picture's address, with scope `snsapi_userinfo`.
    pub fn avatar(&self) -> Option<&str> {
        self.avatar.as_deref()
    }

    /// What the visitor granted, as WeChat calls it.
    pub fn scope_name(&self) -> &'static str {
        self.kind.scope_name(self.scope)
    }

    /// When WeChat vouched.
    pub fn opened(&self) -> Now {
        self.opened
    }

    /// Its id, which names it and lets nobody in.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whether it is a snapshot page's visitor, who is nobody.
    pub fn is_snapshot(&self) -> bool {
        self.snapshot
    }

    /// The moment that no renewal moves it beyond.
    pub fn until(&self) -> Now {
        self.until
    }

    /// What it has of what routes may need.
    pub fn has(&self) -> Need {
        Need {
            scope: self.scope,
            tokens: self.tokens,
            unionid: self.unionid.is_some(),
        }
    }

    /// Whether it was opened with `account`.
    pub fn is_of(&self, account: &LoginAccount) -> bool {
        let wechat = &account.wechat;
        self.app_id == wechat.app_id().as_str() && self.kind == wechat.kind()
    }

    /// When nickname and avatar were told; 0 for never.
    pub fn profile_at(&self) -> Now {
        self.profile_at
    }

    /// When WeChat last said that the visitor's consent holds.
    pub fn verified_at(&self) -> Now {
        self.verified_at
    }

    /// The same session in the place of `before`, which had too little, if it is the
    /// same visitor's: with its id, so that a logout at a host that knows the one ends
    /// the other too, and no longer than it could last, for so long a logout is
    /// remembered. Another visitor's has an id of its own.
    #[must_use]
    pub fn in_place_of(self, before: &Self) -> Self {
        let theirs = |one: &Self| (one.kind, one.app_id.clone(), one.visitor.clone());
        let another = theirs(&self) != theirs(before);
        if another || self.snapshot || before.snapshot {
            return self;
        }
        Self {
            id: before.id,
            until: self.until.min(before.until),
            ..self
        }
    }

    /// The same session with what WeChat told of the visitor at `at`.
    #[must_use]
    pub fn with_profile(self, profile: Profile, at: Now) -> Self {
        Self {
            unionid: profile.unionid.or(self.unionid),
            nickname: profile.nickname,
            avatar: profile.avatar,
            profile_at: at,
            ..self
        }
    }

    /// The same session, whose visitor's consent held at `at`.
    #[must_use]
    pub fn with_consent(self, at: Now) -> Self {
        Self {
            verified_at: at,
            ..self
        }
    }

    /// What ends it.
    pub fn revocation(&self) -> Revocation {
        Revocation::of_session(self.id, self.until)
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            id: &self.id,
            app_id: &self.app_id,
            person: person(&self.visitor),
            opened: self.opened,
        }
    }
}

impl<'a> From<&'a Visitor> for VisitorWire<'a> {
    fn from(visitor: &'a Visitor) -> Self {
        match visitor {
            Visitor::OpenId(openid) => Self::OpenId(openid.as_str()),
            Visitor::Member(userid) => Self::Member(userid.as_str()),
        }
    }
}

impl TryFrom<VisitorWire<'_>> for Visitor {
    type Error = NotAnId;

    fn try_from(wire: VisitorWire<'_>) -> Result<Self, NotAnId> {
        Ok(match wire {
            VisitorWire::OpenId(openid) => Self::OpenId(OpenId::try_from(openid.to_owned())?),
            VisitorWire::Member(userid) => Self::Member(UserId::try_from(userid.to_owned())?),
        })
    }
}

fn person(visitor: &Visitor) -> Person<'_> {
    match visitor {
        Visitor::OpenId(openid) => Person::OpenId(openid.as_str()),
        Visitor::Member(userid) => Person::Member(userid.as_str()),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, opened {})", self.scope, self.opened)
    }
}

#[cfg(test)]
pub(crate) mod tests;
