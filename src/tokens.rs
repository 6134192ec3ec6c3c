//! A visitor's tokens: kept sealed, renewed, used in the visitor's name.
//!
//! Holds always: they are kept for a session that a route needs them for, under
//! a key that is made of the session keys and the session's id, and no longer
//! than the session can live; a token is renewed by one at a time, on however
//! many machines; what WeChat says of a visitor is asked once, however many
//! requests wait for it; an answer that did not come is never taken for a yes.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tracing::warn;

use crate::revocation::SessionId;
use crate::route::LoginAccount;
use crate::session::{Now, Session, Sessions};
use crate::signing::Purpose;
use crate::store::{Key, Store, Unavailable};
use crate::wechat::calls;
use crate::wechat::{Api, ApiError, Errcode, Meaning, Profile, Tokens, Visitor};

/// How long before its end an access token is renewed, in seconds.
const EARLY: u64 = 120;
/// How long a refresh token is good (WeChat's page 网页授权), in seconds.
const REFRESH_LIFE: u64 = 30 * 24 * 3600;
/// How long whoever renews a token may take before another tries. Longer than
/// a call of WeChat's usually takes.
const LOCK: Duration = Duration::from_secs(15);
/// How often the others look whether it is renewed.
const LOOK: Duration = Duration::from_millis(100);
/// How soon WeChat is asked again that did not answer, in seconds.
const PAUSE: u64 = 30;
/// How long a request waits for what WeChat says of its visitor.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long answers are remembered; how long they count is the caller's to say.
const MEMORY: Duration = Duration::from_secs(3600);
/// How long an opened record is kept, so that not every request asks the store.
const OPENED: Duration = Duration::from_secs(30);
/// WeChat: invalid openid. The token is not this visitor's any more.
const NOT_THEIRS: i64 = 40003;
/// WeChat: the credential is invalid or not the latest. No secret is sent with
/// a token, so that here it is never the account's.
const NOT_LATEST: i64 = 40001;

/// Why a visitor's tokens are of no use.
#[derive(Clone, Debug, Error)]
pub enum Useless {
    /// There are none any more, as when a memory store's process ended: the
    /// visitor can log in again.
    #[error("the visitor's tokens are gone")]
    Gone,
    /// WeChat takes them for dead: the visitor's consent does not hold.
    #[error("WeChat takes the visitor's tokens for dead")]
    Dead,
    /// The store does not answer.
    #[error("{0}")]
    Store(String),
    /// WeChat does not answer, or not to the question.
    #[error("{0}")]
    WeChat(ApiError),
    /// WeChat takes longer than a request waits.
    #[error("WeChat's api takes its time")]
    Late,
}

impl From<Unavailable> for Useless {
    fn from(error: Unavailable) -> Self {
        Self::Store(error.to_string())
    }
}

/// Tokens as they are kept: until when the access token is good comes first.
#[derive(Clone)]
struct Kept {
    until: Now,
    tokens: Tokens,
    /// The record as it stands in the store, to replace it and no other.
    record: Arc<[u8]>,
}

/// What WeChat is asked of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    Consent,
    Profile,
}

/// WeChat's answer, and when it came.
#[derive(Clone)]
struct Said {
    at: Now,
    answer: Result<Profile, Useless>,
}

/// All visitors' tokens. A clone shares them.
#[derive(Clone)]
pub struct Keeper {
    api: Api,
    store: Arc<Store>,
    sessions: Arc<Sessions>,
    said: Cache<(SessionId, Question), Said>,
    /// What WeChat takes its time with: who has waited once does not wait again.
    late: Cache<(SessionId, Question), ()>,
    opened: Cache<SessionId, Kept>,
    renewals: Cache<SessionId, Result<Kept, Useless>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper(…)")
    }
}

fn cache<K, V>(lifetime: Duration) -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(100_000)
        .time_to_live(lifetime)
        .build()
}

/// The name of a session's record of `kind`.
fn key(kind: &[u8], session: &Session) -> Key {
    let mut hash = Sha256::new();
    hash.update(b"wxgate\0");
    hash.update(kind);
    hash.update(session.id());
    hash.finalize().into()
}

/// Nobody's tokens are kept who has no openid.
const NO_OPENID: ApiError = ApiError::Garbled("tokens of a visitor without an openid");

/// What a record is sealed for. A member's has a name that no openid has, and is
/// never made: WeCom gives no tokens.
fn context(session: &Session) -> Vec<u8> {
    let (space, id) = match session.visitor() {
        Visitor::OpenId(openid) => ("", openid.as_str()),
        Visitor::Member(userid) => ("member:", userid.as_str()),
    };
    [session.app_id(), "\0", space, id].concat().into_bytes()
}

/// Whether WeChat says that the tokens are dead, or not this visitor's.
fn is_end(code: &Errcode) -> bool {
    let dead = matches!(
        code.meaning(),
        Meaning::RefreshDead
            | Meaning::TokenDead
            | Meaning::CodeSpent
            | Meaning::NotGranted
            | Meaning::Refused
            | Meaning::Barred
    );
    dead || matches!(code.code, NOT_THEIRS | NOT_LATEST)
}

/// Whether WeChat says that the access token is of no use, while what renews it
/// may be.
fn is_token_dead(error: &ApiError) -> bool {
    matches!(error, ApiError::Errcode { code, .. }
        if code.meaning() == Meaning::TokenDead || code.code == NOT_LATEST)
}

impl Keeper {
    /// Keeps tokens in `store`, sealed with the keys of `sessions`.
    pub fn new(api: Api, store: Arc<Store>, sessions: Arc<Sessions>) -> Self {
        Self {
            api,
            store,
            sessions,
            said: cache(MEMORY),
            late: cache(Duration::from_secs(PAUSE)),
            opened: cache(OPENED),
            renewals: cache(Duration::from_secs(1)),
        }
    }

    /// The same with another way to WeChat and other keys, and all that is
    /// remembered.
    #[must_use]
    pub fn with(&self, api: Api, sessions: Arc<Sessions>) -> Self {
        Self {
            api,
            sessions,
            ..self.clone()
        }
    }

    /// Keeps the tokens of a session that is being opened at `now`.
    ///
    /// # Errors
    /// When they are not kept.
    pub async fn keep(&self, session: &Session, tokens: &Tokens, now: Now) -> Result<(), Useless> {
        let kept = self.sealed(session, tokens.clone(), now)?;
        let lifetime = self.lifetime(session, now);
        self.store
            .put(&key(b"tokens\0", session), &kept.record, lifetime)
            .await?;
        // A session that asked for more has the id of the one before.
        self.opened.invalidate(session.id()).await;
        Ok(())
    }

    /// Forgets the tokens of a session that was ended. Should the store not
    /// answer, they go when the session would have ended.
    pub async fn forget(&self, session: &Session) {
        self.opened.invalidate(session.id()).await;
        if session.has().tokens
            && let Err(error) = self.store.remove(&key(b"tokens\0", session)).await
        {
            warn!("a session's tokens stay until they expire: {error}");
        }
    }

    /// Whether there are tokens of `session`, as far as is known: a store that
    /// does not answer may have them.
    pub async fn has(&self, session: &Session) -> bool {
        !matches!(self.load(session).await, Err(Useless::Gone))
    }

    /// An access token that is good for a while.
    ///
    /// # Errors
    /// See [`Useless`].
    pub async fn access(
        &self,
        account: &Arc<LoginAccount>,
        session: &Session,
        now: Now,
    ) -> Result<Tokens, Useless> {
        let kept = self.open(session).await?;
        if kept.until > now + EARLY {
            return Ok(kept.tokens);
        }
        Ok(self.renewed(account, session, kept, now).await?.tokens)
    }

    /// Whether the visitor's consent still holds, as WeChat said at most `every`
    /// seconds ago: when it said so.
    ///
    /// # Errors
    /// [`Useless::Dead`] when it does not hold.
    pub async fn consent(
        &self,
        account: &Arc<LoginAccount>,
        session: &Session,
        every: u64,
        now: Now,
    ) -> Result<Now, Useless> {
        let said = self.ask(Question::Consent, account, session, every, now);
        said.await.map(|(at, _)| at)
    }

    /// The visitor's profile, as WeChat told it at most `ttl` seconds ago, and
    /// when it did.
    ///
    /// # Errors
    /// See [`Useless`].
    pub async fn profile(
        &self,
        account: &Arc<LoginAccount>,
        session: &Session,
        ttl: u64,
        now: Now,
    ) -> Result<(Now, Profile), Useless> {
        self.ask(Question::Profile, account, session, ttl, now)
            .await
    }

    /// One question at a time for each session, whoever waits for the answer.
    /// It is asked to its end even if nobody waits any more.
    async fn ask(
        &self,
        question: Question,
        account: &Arc<LoginAccount>,
        session: &Session,
        good_for: u64,
        now: Now,
    ) -> Result<(Now, Profile), Useless> {
        let is_old = move |said: &Said| {
            let good_for = match said.answer {
                Err(Useless::WeChat(_) | Useless::Store(_) | Useless::Late) => good_for.min(PAUSE),
                Ok(_) | Err(Useless::Gone | Useless::Dead) => good_for,
            };
            said.at + good_for <= now
        };
        let key = (*session.id(), question);
        let said = self.said.get(&key).await;
        if let Some(said) = said.filter(|said| !is_old(said)) {
            return said.answer.map(|profile| (said.at, profile));
        }
        if self.late.contains_key(&key) {
            return Err(Useless::Late);
        }
        let (this, account, session) = (self.clone(), Arc::clone(account), session.clone());
        let asked = tokio::spawn(calls::carried(async move {
            let entry = this.said.entry((*session.id(), question));
            let answer = async {
                let answer = this.put(question, &account, &session, now).await;
                if matches!(answer, Err(Useless::Dead)) {
                    this.forget(&session).await;
                }
                if let Err(error) = &answer {
                    warn!(
                        account = account.name.as_str(),
                        ?question,
                        "a question about a visitor was not answered with yes: {error}"
                    );
                }
                Said { at: now, answer }
            };
            let said = entry.or_insert_with_if(answer, is_old).await.into_value();
            this.late.invalidate(&key).await;
            said
        }));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(said)) => said.answer.map(|profile| (said.at, profile)),
            Ok(Err(_)) | Err(_) => {
                self.late.insert(key, ()).await;
                Err(Useless::Late)
            }
        }
    }

    /// Asks WeChat; once more with a renewed token where it says that the token
    /// is dead.
    async fn put(
        &self,
        question: Question,
        account: &Arc<LoginAccount>,
        session: &Session,
        now: Now,
    ) -> Result<Profile, Useless> {
        let mut kept = self.open(session).await?;
        if kept.until <= now + EARLY {
            kept = self.renewed(account, session, kept, now).await?;
        }
        match self.call(question, account, session, &kept.tokens).await {
            Err(error) if is_token_dead(&error) => {
                kept = self.renewed(account, session, kept, now).await?;
                let answer = self.call(question, account, session, &kept.tokens).await;
                answer.map_err(useless)
            }
            answer => answer.map_err(useless),
        }
    }

    async fn call(
        &self,
        question: Question,
        account: &LoginAccount,
        session: &Session,
        tokens: &Tokens,
    ) -> Result<Profile, ApiError> {
        let account = &account.wechat;
        let openid = session.openid().ok_or(NO_OPENID)?;
        match question {
            Question::Profile => self.api.profile(account, tokens.access(), openid).await,
            Question::Consent => {
                let held = self.api.check(account, tokens.access(), openid).await;
                held.map(|()| Profile::default())
            }
        }
    }

    /// Renews what `stale` holds: one at a time, here and on every machine, and
    /// to the end even if nobody waits any more.
    async fn renewed(
        &self,
        account: &Arc<LoginAccount>,
        session: &Session,
        stale: Kept,
        now: Now,
    ) -> Result<Kept, Useless> {
        let (this, account, session) = (self.clone(), Arc::clone(account), session.clone());
        let renewal = tokio::spawn(calls::carried(async move {
            let renewal = this.renew(&account, &session, &stale, now);
            let renewed = this.renewals.get_with(*session.id(), renewal).await;
            match &renewed {
                Ok(kept) => this.opened.insert(*session.id(), kept.clone()).await,
                Err(Useless::Dead) => this.forget(&session).await,
                Err(_) => this.opened.invalidate(session.id()).await,
            }
            renewed
        }));
        match renewal.await {
            Ok(renewed) => renewed,
            Err(_) => Err(Useless::Late),
        }
    }

    async fn renew(
        &self,
        account: &LoginAccount,
        session: &Session,
        stale: &Kept,
        now: Now,
    ) -> Result<Kept, Useless> {
        let lock = key(b"renewal\0", session);
        let deadline = tokio::time::Instant::now() + LOCK;
        while !self.store.put_new(&lock, b"", LOCK).await? {
            tokio::time::sleep(LOOK).await;
            let current = self.load(session).await?;
            if current.record != stale.record {
                return Ok(current);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Useless::Late);
            }
        }
        let renewed = self.renew_alone(account, session, stale, now).await;
        // Should it fail, the lock goes by itself.
        let _ = self.store.remove(&lock).await;
        renewed
    }

    async fn renew_alone(
        &self,
        account: &LoginAccount,
        session: &Session,
        stale: &Kept,
        now: Now,
    ) -> Result<Kept, Useless> {
        let current = self.load(session).await?;
        if current.record != stale.record {
            return Ok(current);
        }
        let refresh = stale.tokens.refresh().ok_or(Useless::Dead)?;
        let openid = session.openid().ok_or(Useless::Dead)?;
        let renewed = self
            .api
            .refresh(&account.wechat, refresh, openid)
            .await
            .map_err(useless)?;
        let kept = self.sealed(session, renewed, now)?;
        let name = key(b"tokens\0", session);
        let lifetime = self.lifetime(session, now);
        // A session that was ended meanwhile has no tokens any more.
        let replaced = self
            .store
            .replace(&name, &stale.record, &kept.record, lifetime)
            .await?;
        match replaced {
            true => Ok(kept),
            false => self.load(session).await,
        }
    }

    async fn open(&self, session: &Session) -> Result<Kept, Useless> {
        let opened = self
            .opened
            .try_get_with(*session.id(), self.load(session))
            .await;
        opened.map_err(|useless| (*useless).clone())
    }

    async fn load(&self, session: &Session) -> Result<Kept, Useless> {
        if !session.has().tokens {
            return Err(Useless::Gone);
        }
        let record = self.store.get(&key(b"tokens\0", session)).await?;
        let record: Arc<[u8]> = record.ok_or(Useless::Gone)?.into();
        let payload = self
            .sessions
            .keys()
            .reveal(Purpose::Tokens, session.id(), &context(session), &record)
            .ok_or(Useless::Gone)?;
        let (until, tokens) = payload.split_first_chunk().ok_or(Useless::Gone)?;
        Ok(Kept {
            until: Now::from_be_bytes(*until),
            tokens: Tokens::unpack(tokens).ok_or(Useless::Gone)?,
            record,
        })
    }

    fn sealed(&self, session: &Session, tokens: Tokens, now: Now) -> Result<Kept, Useless> {
        let until = now + tokens.expires_in();
        let packed = tokens.pack();
        let mut payload = zeroize::Zeroizing::new(Vec::with_capacity(8 + packed.len()));
        payload.extend_from_slice(&until.to_be_bytes());
        payload.extend_from_slice(&packed);
        let record = self
            .sessions
            .keys()
            .conceal(Purpose::Tokens, session.id(), &context(session), &payload)
            .map_err(|error| Useless::Store(error.to_string()))?;
        Ok(Kept {
            until,
            tokens,
            record: record.into(),
        })
    }

    /// As long as the session can live, and as WeChat renews them.
    fn lifetime(&self, session: &Session, now: Now) -> Duration {
        let left = session.until().saturating_sub(now).clamp(1, REFRESH_LIFE);
        Duration::from_secs(left)
    }
}

fn useless(error: ApiError) -> Useless {
    match error {
        ApiError::Errcode { ref code, .. } if is_end(code) => Useless::Dead,
        error => Useless::WeChat(error),
    }
}
