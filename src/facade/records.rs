//! What codes and tokens stand for, sealed in the store, so that any instance which
//! shares it can answer.
//!
//! Holds always: a code is known to its browser and its app alone, and its record is
//! sealed under it; the first who shows it uses it up, before anything is given; whoever
//! shows it again ends what was given for it, and should they come first of two that
//! come at once, nothing is given at all. A session's end is asked for each time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::token::{ACCESS_LIFE, Kind, REFRESH_LIFE, Token};
use super::{App, Facade, Refusal};
use crate::session::{Millis, NoSession, Now, Session, Sessions};
use crate::signing::{self, Purpose};
use crate::store::{Key, Store, Unavailable};
use crate::wechat::{OpenId, Scope};

/// How long a code is good, in milliseconds.
const CODE_LIFE: Millis = 300_000;
/// How long it is remembered, so that it can be told why it is not.
const CODE_MEMORY: Duration = Duration::from_secs(900);
/// How many characters a code has: as many as WeChat's.
const CODE_LEN: usize = 32;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What was given for one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantId(pub(super) [u8; 16]);

impl GrantId {
    fn key(&self) -> Key {
        named(b"grant\0", &self.0)
    }
}

/// What a code or a token stands for.
pub struct Given {
    /// Whose it is.
    pub app: Arc<App>,
    /// What the app was given.
    pub scope: Scope,
    /// The visitor.
    pub session: Session,
    grant: GrantId,
}

impl Given {
    /// Until when a token of `kind` is good that is made at `now`: as long as WeChat's
    /// at most, and no longer than the session.
    fn until(&self, life: u64, now: Now) -> Now {
        self.session.until().min(now + life)
    }

    /// An access token, and for how many seconds it is good.
    pub fn access(&self, sessions: &Sessions, now: Now) -> (String, u64) {
        let until = self.until(ACCESS_LIFE, now);
        let token = Token {
            kind: Kind::Access,
            grant: self.grant,
            until,
        };
        (token.seal(sessions.keys()), until.saturating_sub(now))
    }

    /// A refresh token.
    pub fn refresh(&self, sessions: &Sessions, now: Now) -> String {
        let token = Token {
            kind: Kind::Refresh,
            grant: self.grant,
            until: self.until(REFRESH_LIFE, now),
        };
        token.seal(sessions.keys())
    }
}

/// The same in the store, for a code as for its tokens.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    app_id: &'a str,
    scope: Scope,
    made: Millis,
    grant: [u8; 16],
    session: &'a [u8],
}

/// What stands in a grant's place once it has ended.
const ENDED: &[u8] = b"";

/// Where it is all kept.
#[derive(Clone, Copy, Debug)]
pub struct Records<'g> {
    /// The store.
    pub store: &'g Store,
    /// The sessions, and the keys that they are signed with.
    pub sessions: &'g Sessions,
}

fn named(kind: &[u8], name: &[u8]) -> Key {
    let mut hash = Sha256::new();
    hash.update(b"wxgate\0facade\0");
    hash.update(kind);
    hash.update(name);
    hash.finalize().into()
}

fn busy(error: Unavailable) -> Refusal {
    warn!("an app that does OAuth itself is told that WeChat is busy: {error}");
    Refusal::Busy
}

/// A new code.
fn code() -> Result<String, getrandom::Error> {
    let mut code = String::with_capacity(CODE_LEN);
    while code.len() < CODE_LEN {
        let mut bytes = [0_u8; CODE_LEN];
        getrandom::fill(&mut bytes)?;
        // The rest would make some letters likelier than others.
        let even = bytes.into_iter().filter(|byte| *byte < 248);
        let letters = even.filter_map(|byte| ALPHABET.get(usize::from(byte) % ALPHABET.len()));
        let missing = CODE_LEN - code.len();
        code.extend(letters.take(missing).map(|letter| char::from(*letter)));
    }
    Ok(code)
}

impl Records<'_> {
    /// A code for `app` and the visitor of `session`.
    ///
    /// # Errors
    /// When it could not be kept.
    pub async fn give(
        self,
        app: &App,
        scope: Scope,
        session: &Session,
        now: Millis,
    ) -> Result<String, Unavailable> {
        let random = |error: getrandom::Error| Unavailable(error.to_string());
        let mut grant = [0; 16];
        getrandom::fill(&mut grant).map_err(random)?;
        let code = code().map_err(random)?;
        let wire = Wire {
            app_id: app.app_id.as_str(),
            scope,
            made: now,
            grant,
            session: &Sessions::pack(session),
        };
        let record = self.sealed(Purpose::FacadeCode, code.as_bytes(), &wire)?;
        let key = named(b"code\0", code.as_bytes());
        self.store.put(&key, &record, CODE_MEMORY).await?;
        Ok(code)
    }

    /// What `code` stands for, to `app`, once. Where the store does not answer behind
    /// the mark, the app is told -1 and the code is used up all the same: a second try
    /// gets 40163, and the visitor needs a new code. Taking the mark back instead could
    /// give tokens to two.
    ///
    /// # Errors
    /// Why it is none.
    pub async fn exchange(
        self,
        facade: &Facade,
        app: &App,
        code: &str,
        now: Millis,
    ) -> Result<Given, Refusal> {
        let name = code.as_bytes();
        let kept = self
            .store
            .get(&named(b"code\0", name))
            .await
            .map_err(busy)?;
        let (given, made) = kept
            .and_then(|record| self.opened(facade, Purpose::FacadeCode, name, &record))
            .filter(|(given, _)| given.app.app_id == app.app_id)
            .ok_or(Refusal::Code)?;
        let used = named(b"used\0", name);
        let first = self.store.mark(&used, CODE_MEMORY);
        if !first.await.map_err(busy)? {
            self.end(&given, now / 1000).await;
            return Err(Refusal::CodeUsed);
        }
        if now.saturating_sub(made) >= CODE_LIFE {
            return Err(Refusal::CodeExpired);
        }
        self.goes_on(&given, Refusal::Code, now / 1000)?;
        let wire = Wire {
            app_id: app.app_id.as_str(),
            scope: given.scope,
            made,
            grant: given.grant.0,
            session: &Sessions::pack(&given.session),
        };
        let record = self
            .sealed(Purpose::FacadeGrant, &given.grant.0, &wire)
            .map_err(busy)?;
        let life = self.life(&given, now / 1000);
        let key = given.grant.key();
        let kept = self.store.put_new(&key, &record, life);
        match kept.await.map_err(busy)? {
            true => Ok(given),
            // Somebody showed the code meanwhile.
            false => Err(Refusal::CodeUsed),
        }
    }

    /// What the refresh token `text` stands for, to `app`.
    ///
    /// # Errors
    /// Why it is none.
    pub async fn refreshed(
        self,
        facade: &Facade,
        app: &App,
        text: &str,
        now: Now,
    ) -> Result<Given, Refusal> {
        let token = Token::open(self.sessions.keys(), Kind::Refresh, text);
        let token = token.ok_or(Refusal::RefreshToken)?;
        if now >= token.until {
            return Err(Refusal::RefreshExpired);
        }
        let given = self
            .given(facade, &token, Refusal::RefreshToken, now)
            .await?;
        match given.app.app_id == app.app_id {
            true => Ok(given),
            false => Err(Refusal::RefreshToken),
        }
    }

    /// What the access token `text` stands for, of the visitor called `openid`.
    ///
    /// # Errors
    /// Why it is none.
    pub async fn holder(
        self,
        facade: &Facade,
        text: &str,
        openid: &str,
        now: Now,
    ) -> Result<Given, Refusal> {
        let token = Token::open(self.sessions.keys(), Kind::Access, text);
        let token = token.ok_or(match Token::is_long(text) {
            true => Refusal::Token,
            false => Refusal::TokenMalformed,
        })?;
        if now >= token.until {
            return Err(Refusal::TokenExpired);
        }
        let given = self.given(facade, &token, Refusal::Token, now).await?;
        match given.session.openid().map(OpenId::as_str) == Some(openid) {
            true => Ok(given),
            false => Err(Refusal::OpenId),
        }
    }

    /// What a token's grant is, if it goes on; `dead` if not.
    async fn given(
        &self,
        facade: &Facade,
        token: &Token,
        dead: Refusal,
        now: Now,
    ) -> Result<Given, Refusal> {
        let kept = self.store.get(&token.grant.key()).await.map_err(busy)?;
        let name = &token.grant.0;
        let (given, _) = kept
            .and_then(|record| self.opened(facade, Purpose::FacadeGrant, name, &record))
            .ok_or(dead)?;
        self.goes_on(&given, dead, now)?;
        Ok(given)
    }

    /// Whether the session that something was given for goes on; `dead` if not.
    fn goes_on(&self, given: &Given, dead: Refusal, now: Now) -> Result<(), Refusal> {
        let (session, account) = (&given.session, &given.app.account);
        self.sessions
            .still_holds(session, account, now)
            .map_err(|why| match why {
                NoSession::Unknown => Refusal::Busy,
                _ => dead,
            })
    }

    /// Ends what was given for a code that was shown again. Should the store not
    /// answer, that is tried at the next showing.
    async fn end(&self, given: &Given, now: Now) {
        let life = self.life(given, now);
        if let Err(error) = self.store.put(&given.grant.key(), ENDED, life).await {
            warn!("a code was shown twice, and its tokens go on: {error}");
        }
    }

    /// How long a grant can be of use.
    fn life(&self, given: &Given, now: Now) -> Duration {
        let until = given.until(REFRESH_LIFE, now);
        Duration::from_secs(until.saturating_sub(now).max(CODE_MEMORY.as_secs()))
    }

    fn sealed(
        &self,
        purpose: Purpose,
        name: &[u8],
        wire: &Wire<'_>,
    ) -> Result<Vec<u8>, Unavailable> {
        let payload = postcard::to_stdvec(wire).unwrap_or_default();
        let record = self.sessions.keys().conceal(purpose, name, b"", &payload);
        record.map_err(|error| Unavailable(error.to_string()))
    }

    /// What `record` says, if its app is there still, and when its code was made.
    fn opened(
        &self,
        facade: &Facade,
        purpose: Purpose,
        name: &[u8],
        record: &[u8],
    ) -> Option<(Given, Millis)> {
        let payload = self.sessions.keys().reveal(purpose, name, b"", record)?;
        let wire: Wire<'_> = signing::whole(&payload)?;
        let given = Given {
            app: Arc::clone(facade.app(wire.app_id)?),
            scope: wire.scope,
            session: Sessions::unpack(wire.session)?,
            grant: GrantId(wire.grant),
        };
        Some((given, wire.made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Host;
    use crate::secret::Secret;
    use crate::session::tests::{account, session, sessions};

    #[tokio::test]
    async fn who_shows_a_code_between_its_mark_and_its_grant_leaves_nothing() {
        let (sessions, now) = (sessions(None), 1_000_000);
        let app = Arc::new(App {
            name: "legacy".to_owned().try_into().unwrap(),
            app_id: "wxlegacy".to_owned().try_into().unwrap(),
            secret: Secret::new("0123456789abcdef".to_owned()),
            origins: Vec::new(),
            account: Arc::new(account("wxaaaaaaaaaaaaaaaa")),
        });
        let host = Host::new("wx.example.com").unwrap();
        let facade = Facade::new(host, vec![Arc::clone(&app)]);
        let store = Store::scratch(Arc::clone(sessions.ended()));
        let records = Records {
            store: &store,
            sessions: &sessions,
        };
        let session = session("shop.example.com", now);
        let code = records.give(&app, Scope::Base, &session, now * 1000);
        let code = code.await.unwrap();
        let key = named(b"code\0", code.as_bytes());
        let record = store.get(&key).await.unwrap().unwrap();
        let opened = records.opened(&facade, Purpose::FacadeCode, code.as_bytes(), &record);
        // The second found the mark, and ends what the first has not given yet.
        records.end(&opened.unwrap().0, now).await;
        let first = records.exchange(&facade, &app, &code, now * 1000).await;
        assert_eq!(first.err(), Some(Refusal::CodeUsed));
    }

    #[test]
    fn a_code_is_random_and_in_wechats_alphabet() {
        let mut seen = std::collections::HashSet::new();
        let mut letters = std::collections::HashSet::new();
        for _ in 0..200 {
            let code = code().unwrap();
            assert_eq!(code.len(), CODE_LEN);
            assert!(
                code.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{code}"
            );
            letters.extend(code.bytes());
            assert!(seen.insert(code));
        }
        assert_eq!(letters.len(), ALPHABET.len());
    }
}
