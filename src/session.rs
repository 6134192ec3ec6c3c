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
pub(crate) mod tests {
    use super::*;
    use crate::cookies::SameSiteSetting;
    use crate::signing::{Look, generate_key};

    const HOST: &str = "shop.example.com";

    pub(crate) fn account(app_id: &str) -> LoginAccount {
        account_of(app_id, Kind::Official)
    }

    pub(crate) fn account_of(app_id: &str, kind: Kind) -> LoginAccount {
        use crate::origin::PublicOrigin;
        use crate::secret::Secret;
        use crate::wechat::account::{API_BASE_URL, BaseUrl, OPEN_BASE_URL, Parts};
        let parts = Parts {
            kind,
            app_id: app_id.to_owned().try_into().unwrap(),
            app_secret: Secret::new("s".to_owned()),
            callback_origin: PublicOrigin::try_from(format!("https://{HOST}")).unwrap(),
            open_base: BaseUrl::wechat(OPEN_BASE_URL),
            api_base: BaseUrl::wechat(API_BASE_URL),
            api_fallback: None,
            lang: Default::default(),
            hop: Default::default(),
        };
        LoginAccount {
            name: "shop".to_owned().try_into().unwrap(),
            wechat: crate::wechat::Account::new(parts),
            holder: Default::default(),
            session_cookie: "__Host-wxgate_shop".to_owned(),
            snapshot_cookie: "__Host-wxgate-snapshot-shop".to_owned(),
            pay_cookie: "__Host-wxgate-pay-shop".to_owned(),
        }
    }

    pub(crate) fn sessions(domain: Option<&str>) -> Sessions {
        let keys = Keyring::new(&[generate_key().unwrap()]).unwrap();
        let cookies = CookieSettings::new(
            "wxgate",
            domain.map(str::to_owned),
            SameSiteSetting::Lax,
            true,
        );
        Sessions::new(
            keys,
            cookies,
            known(),
            Lifetime::try_from("10m".to_owned()).unwrap(),
            Lifetime::try_from("1h".to_owned()).unwrap(),
        )
    }

    /// Nothing was ended, and that is known.
    pub(crate) fn known() -> Arc<Revocations> {
        let all = Revocations::default();
        all.complete();
        Arc::new(all)
    }

    pub(crate) fn session(place: &str, now: Now) -> Session {
        Session {
            id: [7; 16],
            place: place.to_owned(),
            app_id: "wxaaaaaaaaaaaaaaaa".to_owned(),
            kind: Kind::Official,
            visitor: Visitor::OpenId("oVisitor".to_owned().try_into().unwrap()),
            unionid: None,
            nickname: Some("小明".to_owned()),
            avatar: None,
            scope: Scope::Userinfo,
            opened: now,
            seen: now,
            until: now + 3600,
            profile_at: now,
            verified_at: now,
            tokens: false,
            snapshot: false,
        }
    }

    fn line(set_cookie: &str) -> Vec<u8> {
        set_cookie.split(';').next().unwrap().as_bytes().to_vec()
    }

    fn read(
        sessions: &Sessions,
        line: &[u8],
        host: &str,
        app_id: &str,
        now: Now,
    ) -> Result<Carried, NoSession> {
        sessions.read(
            std::iter::once(line),
            &Host::new(host).unwrap(),
            &account(app_id),
            now,
        )
    }

    #[test]
    fn an_examined_cookie_tells_what_it_says_and_why_it_does_not_count() {
        let (all, account) = (sessions(None), account("wxaaaaaaaaaaaaaaaa"));
        let written = all.write(&session(HOST, 1_000), &account, 1_300);
        let line = written.split(';').next().unwrap().to_owned();
        let look = |ring: &Sessions, line: &str, host: &str, now| {
            let lines = || std::iter::once(line.as_bytes());
            let mut found = ring.examine(lines, &Host::new(host).unwrap(), &account, now);
            assert_eq!(found.len(), 1);
            found.remove(0)
        };
        let good = look(&all, &line, HOST, 1_400);
        let told = good.told.unwrap();
        assert!(good.verdict.is_ok_and(|carried| !carried.renew));
        assert_eq!((told.seen, told.idle_end, told.end), (1_300, 1_900, 4_600));
        assert_eq!((told.place.as_str(), good.look), (HOST, None));
        let late = look(&all, &line, HOST, 1_900);
        assert_eq!(late.verdict.unwrap_err(), NoSession::Expired);
        assert_eq!(late.told.unwrap().idle_end, 1_900);
        let moved = look(&all, &line, "other.example.com", 1_400);
        assert_eq!(moved.verdict.unwrap_err(), NoSession::Elsewhere);
        assert_eq!(moved.told.unwrap().place, HOST);
        // What does not verify is not told.
        let (start, end) = line.split_at(line.len() - 20);
        let other = if end.starts_with('A') { "B" } else { "A" };
        let changed = format!("{start}{other}{}", end.split_at(1).1);
        for (ring, line, expected) in [
            (&sessions(None), line.clone(), Look::UnknownKey),
            (&all, changed, Look::KnownKey),
            (&all, "__Host-wxgate_shop=AAAA".to_owned(), Look::NoToken),
        ] {
            let other = look(ring, &line, HOST, 1_400);
            assert_eq!(other.verdict.unwrap_err(), NoSession::Forged);
            assert!(other.told.is_none());
            assert_eq!(other.look, Some(expected), "{line}");
        }
        let twice = look(&all, &format!("{line}; {line}"), HOST, 1_400);
        assert_eq!(twice.verdict.unwrap_err(), NoSession::Repeated);
    }

    #[test]
    fn a_session_holds_at_its_host_and_account_alone() {
        let all = sessions(None);
        let made = session(HOST, 1000);
        let cookie = line(&all.write(&made, &account("wxaaaaaaaaaaaaaaaa"), 1000));
        let carried = read(&all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap();
        assert!(carried.session == made && !carried.renew);
        assert_eq!(
            read(
                &all,
                &cookie,
                "other.example.com",
                "wxaaaaaaaaaaaaaaaa",
                1000
            )
            .unwrap_err(),
            NoSession::Elsewhere
        );
        assert_eq!(
            read(&all, &cookie, HOST, "wxbbbbbbbbbbbbbbbb", 1000).unwrap_err(),
            NoSession::Elsewhere
        );
        assert_eq!(
            read(&sessions(None), &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
            NoSession::Forged
        );
        let twice = [cookie.clone(), b"; ".to_vec(), cookie].concat();
        assert_eq!(
            read(&all, &twice, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
            NoSession::Repeated
        );
        assert_eq!(
            read(&all, b"a=b", HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
            NoSession::Absent
        );
    }

    #[test]
    fn a_session_of_one_kind_or_agent_is_none_of_another_with_the_same_id() {
        let all = sessions(None);
        let agent = |number| Kind::WeCom(crate::wechat::AgentId::parse(number).unwrap());
        let kinds = [
            Kind::Official,
            Kind::Website,
            agent("1000002"),
            agent("1000003"),
        ];
        for of in kinds {
            let made = Session {
                kind: of,
                ..session(HOST, 1000)
            };
            for at in kinds {
                let account = account_of("wxaaaaaaaaaaaaaaaa", at);
                let cookie = line(&all.write(&made, &account, 1000));
                let host = Host::new(HOST).unwrap();
                let lines = || std::iter::once(cookie.as_slice());
                let read = all.read(lines(), &host, &account, 1000);
                let taken = all.take_over(made.clone(), &host, &account, 1000);
                assert_eq!(read.is_ok(), of == at, "{of:?} {at:?}");
                assert_eq!(taken.is_ok(), of == at, "{of:?} {at:?}");
            }
        }
    }

    #[test]
    fn a_session_in_the_place_of_another_has_its_id_and_its_end() {
        let more = Session {
            id: [9; 16],
            scope: Scope::Userinfo,
            until: 9_000,
            ..session(HOST, 2000)
        };
        let before = Session {
            until: 5_000,
            ..session(HOST, 1000)
        };
        let made = more.clone().in_place_of(&before);
        assert_eq!((made.id, made.until), (before.id, 5_000));
        assert_eq!((made.opened, made.scope), (2000, Scope::Userinfo));
        // It lives no longer than it would by itself, either.
        let long = Session {
            until: 99_000,
            ..before.clone()
        };
        assert_eq!(more.clone().in_place_of(&long).until, 9_000);
        let mut others = [(); 4].map(|()| before.clone());
        others[0].visitor = Visitor::OpenId("oOther".to_owned().try_into().unwrap());
        others[1].app_id = "wxbbbbbbbbbbbbbbbb".to_owned();
        others[2].kind = Kind::Website;
        others[3].snapshot = true;
        for other in others {
            assert!(more.clone().in_place_of(&other) == more);
        }
    }

    #[test]
    fn a_member_is_nobody_with_such_an_openid() {
        let all = sessions(None);
        let of = |visitor| Session {
            visitor,
            ..session(HOST, 1000)
        };
        let openid = of(Visitor::OpenId("zhangsan".to_owned().try_into().unwrap()));
        let member = of(Visitor::Member("zhangsan".to_owned().try_into().unwrap()));
        assert!(all.visitor(&openid) != all.visitor(&member));
        assert!(member.openid().is_none() && openid.visitor().userid().is_none());
        let account = account("wxaaaaaaaaaaaaaaaa");
        let cookie = line(&all.write(&member, &account, 1000));
        let carried = read(&all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap();
        assert!(carried.session == member && carried.session != openid);
        let ended = crate::revocation::Revocation::of_visitor;
        all.ended
            .apply(&ended("wxaaaaaaaaaaaaaaaa", "zhangsan", 2000));
        assert!(all.not_ended(&member).is_ok() && all.not_ended(&openid).is_err());
    }

    #[test]
    fn idle_and_absolute_limits_end_it_and_half_the_idle_time_renews_it() {
        let all = sessions(None);
        let account = account("wxaaaaaaaaaaaaaaaa");
        let made = session(HOST, 1000);
        let at = |cookie: &[u8], now| read(&all, cookie, HOST, "wxaaaaaaaaaaaaaaaa", now);
        let first = line(&all.write(&made, &account, 1000));
        assert!(!at(&first, 1300).unwrap().renew);
        assert!(at(&first, 1301).unwrap().renew);
        assert!(at(&first, 1599).is_ok());
        assert_eq!(at(&first, 1600).unwrap_err(), NoSession::Expired);
        let later = line(&all.write(&made, &account, 4500));
        assert!(at(&later, 4599).is_ok());
        assert_eq!(at(&later, 4600).unwrap_err(), NoSession::Expired);
        assert!(all.write(&made, &account, 4500).contains("Max-Age=100"));
        assert_eq!(at(&first, 900).unwrap_err(), NoSession::Future);
        assert!(at(&first, 950).is_ok());
    }

    #[test]
    fn nobody_is_let_in_before_it_is_known_who_was_put_out() {
        let mut all = sessions(None);
        let account = account("wxaaaaaaaaaaaaaaaa");
        let cookie = line(&all.write(&session(HOST, 1000), &account, 1000));
        let at = |all: &Sessions| read(all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000);
        assert!(at(&all).is_ok());
        all.ended = Arc::default();
        assert_eq!(at(&all).unwrap_err(), NoSession::Unknown);
        all.ended.complete();
        assert!(at(&all).is_ok());
        all.ended.apply(&session(HOST, 1000).revocation());
        assert_eq!(at(&all).unwrap_err(), NoSession::Ended);
    }

    #[test]
    fn no_renewal_moves_a_session_beyond_its_end() {
        let all = sessions(None);
        let account = account("wxaaaaaaaaaaaaaaaa");
        let made = Session {
            until: 1100,
            ..session(HOST, 1000)
        };
        assert_eq!(all.ends(&made), 1100);
        let cookie = line(&all.write(&made, &account, 1050));
        let at = |now| read(&all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", now);
        assert!(at(1099).is_ok());
        assert_eq!(at(1100).unwrap_err(), NoSession::Expired);
        assert!(all.write(&made, &account, 1050).contains("Max-Age=50"));
    }

    #[tokio::test]
    async fn waiting_for_the_end_ends() {
        let all = sessions(None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let soon = Session {
            until: now.as_secs() + 1,
            ..session(HOST, now.as_secs())
        };
        let patience = Duration::from_secs(10);
        tokio::time::timeout(patience, all.until_ended(soon))
            .await
            .expect("an end by itself");
        let later = session(HOST, now.as_secs());
        let revocation = later.revocation();
        let waiting = all.until_ended(later);
        let revoking = async { all.ended.apply(&revocation) };
        let both = async { tokio::join!(waiting, revoking) };
        tokio::time::timeout(patience, both).await.expect("an end");
    }

    #[test]
    fn a_domain_shares_its_sessions_among_its_hosts() {
        let all = sessions(Some("example.com"));
        let made = session("example.com", 1000);
        let cookie = all.write(&made, &account("wxaaaaaaaaaaaaaaaa"), 1000);
        assert!(cookie.contains("Domain=example.com"));
        assert!(
            read(
                &all,
                &line(&cookie),
                "a.example.com",
                "wxaaaaaaaaaaaaaaaa",
                1000
            )
            .is_ok()
        );
        assert!(
            read(
                &all,
                &line(&cookie),
                "evilexample.com",
                "wxaaaaaaaaaaaaaaaa",
                1000
            )
            .is_err()
        );
    }

    #[test]
    fn a_login_is_no_session() {
        let all = sessions(None);
        let payload = postcard::to_stdvec(&Wire::from(&session(HOST, 1000))).unwrap();
        let login = format!(
            "__Host-wxgate_shop={}",
            all.keys().seal(Purpose::Login, &payload)
        );
        assert_eq!(
            read(&all, login.as_bytes(), HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
            NoSession::Forged
        );
    }
}
