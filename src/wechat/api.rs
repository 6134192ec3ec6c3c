//! WeChat's api, server to server: exchange, refresh, profile, check; and what
//! stands for an exchange at WeCom.
//!
//! Holds always: answers are read up to 64 KiB, within one time limit, and as
//! bytes whatever their content type says; the only field that must be there is
//! the openid; a call is sent to the second host only when nothing was sent to
//! the first, for a code that may have been seen is spent. No error and no log
//! line holds a URL, for the secret stands in it.
//!
//! Source: WeChat's page "网页授权", steps 2 to 5; WeCom's pages "获取access_token" and
//! "获取访问用户身份".

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use percent_encoding::utf8_percent_encode;
use reqwest::Response;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::account::{Account, AppId, BaseUrl};
use super::authorize::{COMPONENT, Scope};
use super::callback::Code;
use super::calls;
use super::corp::CorpToken;
use super::errcode::{Errcode, Meaning, Side};
use super::kind::Kind;
use super::openid::{OpenId, UnionId, UserId, Visitor};
use super::tokens::Tokens;
use crate::secret::Secret;

const MAX_ANSWER: usize = 64 * 1024;
/// More than WeChat's answers have.
const TYPICAL_ANSWER: usize = 4 * 1024;
/// How many connections to WeChat are kept for the next call. After it was slow
/// there can be thousands, each with a file and some 30 KB.
const IDLE_CONNECTIONS: usize = 64;
/// How long an access token is good where WeChat does not say, in seconds.
const TOKEN_LIFE: u64 = 7200;

/// The client that all calls go through.
#[derive(Clone, Debug)]
pub struct Api {
    /// Through the system's outgoing proxy, if it has one.
    outside: reqwest::Client,
    /// To a simulator on plain http: never through a proxy, which would see
    /// the secret, or would not find the address.
    plain: reqwest::Client,
    turns: Arc<Semaphore>,
    bounds: Bounds,
    observer: Option<Observer>,
}

/// Which call of WeChat's api.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A code for a grant.
    AccessToken,
    /// A token anew.
    RefreshToken,
    /// A profile.
    Userinfo,
    /// Whether a token still holds.
    Auth,
    /// A corp's token, at WeCom.
    CorpToken,
    /// A code for who a corp's visitor is.
    CorpUser,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AccessToken,
        Self::RefreshToken,
        Self::Userinfo,
        Self::Auth,
        Self::CorpToken,
        Self::CorpUser,
    ];

    /// Whose numbers its errors are.
    pub fn side(self) -> Side {
        match self {
            Self::AccessToken | Self::RefreshToken | Self::Userinfo | Self::Auth => Side::WeChat,
            Self::CorpToken | Self::CorpUser => Side::WeCom,
        }
    }

    /// As WeChat's paths call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::Userinfo => "userinfo",
            Self::Auth => "auth",
            Self::CorpToken => "gettoken",
            Self::CorpUser => "getuserinfo",
        }
    }
}

/// What an observer is told of a call: nothing of the visitor it was about.
#[derive(Debug)]
pub struct Called<'a> {
    /// Whose call.
    pub app_id: &'a AppId,
    /// And of what kind that account is.
    pub kind: Kind,
    /// Which.
    pub call: Call,
    /// How long it took, the wait for its turn aside; `None` if its turn never
    /// came.
    pub took: Option<Duration>,
    /// Why it gave nothing, if so.
    pub error: Option<&'a ApiError>,
}

/// Is told of each call when it has ended.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Called<'_>) + Send + Sync>);

impl Observer {
    /// Tells `told`, which must not block.
    pub fn new(told: impl Fn(&Called<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// What came of asking about a code that is nobody's.
#[derive(Debug)]
pub struct Probe {
    /// WeChat's no, which tells what it thinks of the account, or why there is none;
    /// WeCom, which is asked for no more than a token, says yes.
    pub answer: Result<(), ApiError>,
    /// What time WeChat's host says it is.
    pub date: Option<SystemTime>,
    /// How long it took.
    pub took: Duration,
}

/// A code that no exchange has given out.
const NOBODYS_CODE: &str = "wxgate-doctor-nobodys-code";

/// How long calls may take, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// To connect, TLS included.
    pub connect: Duration,
    /// In all, and as long again until its turn comes. WeChat was seen to take up
    /// to 20 seconds.
    pub total: Duration,
    /// Calls at one time. Each holds a connection and some 40 KB; what waits for
    /// its turn holds little.
    pub calls: NonZeroUsize,
}

/// What WeChat gave for a code: proof of who the visitor is.
pub struct Grant {
    visitor: Visitor,
    unionid: Option<UnionId>,
    scope: Option<Scope>,
    snapshot: bool,
    tokens: Option<Tokens>,
}

/// A visitor's profile. Every field is what the visitor chose to show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The nickname, free of control characters and cut to 64 characters.
    pub nickname: Option<String>,
    /// The picture's address, `http` or `https`.
    pub avatar: Option<String>,
    /// The id across accounts.
    pub unionid: Option<UnionId>,
}

/// Why a call gave nothing.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// Nothing was sent: the code is as good as before.
    #[error("WeChat's api cannot be reached: {0}")]
    NotSent(String),
    /// Sent, but no whole answer came: whether the code is spent is unknown.
    #[error("WeChat's api gave no answer: {0}")]
    NoAnswer(String),
    /// The same, for the time was over.
    #[error("WeChat's api gave no answer in time: {0}")]
    Late(String),
    /// An answer that is not WeChat's: HTML, half a JSON, no openid.
    #[error("WeChat's api gave an answer that cannot be used: {0}")]
    Garbled(&'static str),
    /// WeChat says no.
    #[error("WeChat answered errcode {} ({}), rid {}: {message}", .code.code, .code.advice(), .code.rid.as_deref().unwrap_or("none"))]
    Errcode {
        /// The number and the call's id.
        code: Errcode,
        /// WeChat's words, without anything secret.
        message: String,
    },
}

/// The secret of `account`: where another gateway holds it, WeChat is asked nothing,
/// not what needs none either.
fn secret_of(account: &Account) -> Result<&Secret, ApiError> {
    let elsewhere = || ApiError::NotSent("another gateway holds the account's secret".to_owned());
    account.app_secret.as_ref().ok_or_else(elsewhere)
}

impl Grant {
    /// Private: only [`Api::exchange`] has such an answer from WeChat.
    fn of(mut answer: Map<String, Value>) -> Result<Self, ApiError> {
        let tokens = take_tokens(&mut answer);
        Ok(Self {
            visitor: Visitor::OpenId(openid_of(&answer)?),
            unionid: unionid_of(&answer),
            scope: scope_of(&answer),
            snapshot: flag(&answer, "is_snapshotuser"),
            tokens,
        })
    }

    /// Private: only [`Api::exchange`] has such an answer from WeCom.
    fn of_corp(answer: &Map<String, Value>) -> Result<Self, ApiError> {
        let either = |one, other| text(answer, one).or_else(|| text(answer, other));
        let visitor = match (either("userid", "UserId"), either("openid", "OpenId")) {
            (Some(userid), None) => {
                let userid = UserId::try_from(userid.to_owned());
                Visitor::Member(userid.map_err(|_| {
                    ApiError::Garbled("a userid with characters that no userid has")
                })?)
            }
            (None, Some(openid)) => {
                let openid = OpenId::try_from(openid.to_owned());
                Visitor::OpenId(openid.map_err(|_| {
                    ApiError::Garbled("an openid with characters that no openid has")
                })?)
            }
            (None, None) => return Err(ApiError::Garbled("neither a userid nor an openid")),
            (Some(_), Some(_)) => return Err(ApiError::Garbled("both a userid and an openid")),
        };
        Ok(Self {
            visitor,
            unionid: None,
            scope: None,
            snapshot: false,
            tokens: None,
        })
    }

    /// Who the visitor is.
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// The id across accounts, if WeChat gave one.
    pub fn unionid(&self) -> Option<&UnionId> {
        self.unionid.as_ref()
    }

    /// What the visitor granted, if WeChat said so.
    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// A snapshot page's virtual visitor, who is nobody.
    pub fn is_snapshot(&self) -> bool {
        self.snapshot
    }

    /// What acts in the visitor's name.
    ///
    /// # Errors
    /// When WeChat gave none.
    pub fn tokens(&self) -> Result<&Tokens, ApiError> {
        self.tokens
            .as_ref()
            .ok_or(ApiError::Garbled("no access_token came with the openid"))
    }
}

impl Profile {
    fn of(answer: &Map<String, Value>, openid: &OpenId) -> Result<Self, ApiError> {
        if openid_of(answer)? != *openid {
            return Err(ApiError::Garbled("a profile of another openid"));
        }
        Ok(Self {
            nickname: text(answer, "nickname")
                .map(shown_text)
                .filter(|name| !name.is_empty()),
            avatar: text(answer, "headimgurl").and_then(picture),
            unionid: unionid_of(answer),
        })
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?}, snapshot: {})", self.scope, self.snapshot)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(…)")
    }
}

impl Api {
    /// A client within `bounds`. rustls' crypto provider must be installed.
    ///
    /// # Errors
    /// When the system's certificates cannot be loaded.
    pub fn new(bounds: Bounds) -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(bounds.connect)
                .timeout(bounds.total)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("wxgate/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            outside: builder().https_only(true).build()?,
            plain: builder().no_proxy().build()?,
            turns: Arc::new(Semaphore::new(
                bounds.calls.get().min(Semaphore::MAX_PERMITS),
            )),
            bounds,
            observer: None,
        })
    }

    /// The same, whose calls `observer` is told of.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Within what bounds.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Exchanges a code for a grant. The code is spent afterwards, unless the
    /// error is [`ApiError::NotSent`].
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn exchange(&self, account: &Account, code: &Code) -> Result<Grant, ApiError> {
        if let Kind::WeCom(_) = account.kind {
            return self.corp_exchange(account, code).await;
        }
        let secret = secret_of(account)?.expose();
        let query = Secret::new(format!(
            "/sns/oauth2/access_token?appid={}&secret={}&code={}&grant_type=authorization_code",
            account.app_id.as_str(),
            utf8_percent_encode(secret, COMPONENT),
            utf8_percent_encode(code.expose(), COMPONENT),
        ));
        let hidden = [secret, code.expose()];
        self.call(account, Call::AccessToken, &query, &hidden, Grant::of)
            .await
    }

    /// The same at WeCom, where the corp's own token stands for the secret. A dead
    /// one spends no code: it is asked for anew, once.
    async fn corp_exchange(&self, account: &Account, code: &Code) -> Result<Grant, ApiError> {
        let corp = &account.corp;
        let (turn, token) = corp.token(|| self.corp_token(account)).await?;
        let dead = match self.corp_user(account, &token, code).await {
            Err(ApiError::Errcode { code, .. }) if code.meaning() == Meaning::TokenDead => turn,
            done => return done,
        };
        corp.over(dead).await;
        let (_, token) = corp.token(|| self.corp_token(account)).await?;
        self.corp_user(account, &token, code).await
    }

    /// A corp's token.
    async fn corp_token(&self, account: &Account) -> Result<CorpToken, ApiError> {
        let secret = secret_of(account)?.expose();
        let query = corp_token_query(account, secret);
        let read = |mut answer| {
            let token = take_secret(&mut answer, "access_token");
            let token = token.ok_or(ApiError::Garbled("no access_token"))?;
            Ok(CorpToken::new(token, expires_in(&answer)))
        };
        self.call(account, Call::CorpToken, &query, &[secret], read)
            .await
    }

    /// Who a corp's visitor is.
    async fn corp_user(
        &self,
        account: &Account,
        token: &CorpToken,
        code: &Code,
    ) -> Result<Grant, ApiError> {
        let query = Secret::new(format!(
            "/cgi-bin/auth/getuserinfo?access_token={}&code={}",
            utf8_percent_encode(token.access.expose(), COMPONENT),
            utf8_percent_encode(code.expose(), COMPONENT),
        ));
        let hidden = [token.access.expose(), code.expose()];
        let read = |answer| Grant::of_corp(&answer);
        self.call(account, Call::CorpUser, &query, &hidden, read)
            .await
    }

    /// Renews the access token of `openid` with what `refresh` says.
    ///
    /// # Errors
    /// See [`ApiError`]; an answer about another visitor is none.
    pub async fn refresh(
        &self,
        account: &Account,
        refresh: &Secret,
        openid: &OpenId,
    ) -> Result<Tokens, ApiError> {
        let token = refresh.expose();
        let query = Secret::new(format!(
            "/sns/oauth2/refresh_token?appid={}&grant_type=refresh_token&refresh_token={}",
            account.app_id.as_str(),
            utf8_percent_encode(token, COMPONENT),
        ));
        let read = |mut answer| {
            let tokens = take_tokens(&mut answer);
            if openid_of(&answer)? != *openid {
                return Err(ApiError::Garbled("tokens of another openid"));
            }
            let mut tokens = tokens.ok_or(ApiError::Garbled("no access_token"))?;
            tokens.refresh = tokens.refresh.or_else(|| Some(refresh.clone()));
            Ok(tokens)
        };
        self.call(account, Call::RefreshToken, &query, &[token], read)
            .await
    }

    /// Fetches the profile of `openid`, who granted `snsapi_userinfo`.
    ///
    /// # Errors
    /// See [`ApiError`]; an answer about another visitor is none.
    pub async fn profile(
        &self,
        account: &Account,
        access: &Secret,
        openid: &OpenId,
    ) -> Result<Profile, ApiError> {
        let token = access.expose();
        let query = Secret::new(format!(
            "/sns/userinfo?access_token={}&openid={}&lang={}",
            utf8_percent_encode(token, COMPONENT),
            openid.as_str(),
            account.lang.as_str(),
        ));
        let read = |answer| Profile::of(&answer, openid);
        self.call(account, Call::Userinfo, &query, &[token], read)
            .await
    }

    /// Asks whether the token, and with it the visitor's consent, still holds.
    ///
    /// # Errors
    /// See [`ApiError`]; nothing but WeChat's own "ok" is a yes.
    pub async fn check(
        &self,
        account: &Account,
        access: &Secret,
        openid: &OpenId,
    ) -> Result<(), ApiError> {
        let token = access.expose();
        let query = Secret::new(format!(
            "/sns/auth?access_token={}&openid={}",
            utf8_percent_encode(token, COMPONENT),
            openid.as_str(),
        ));
        let read = |answer: Map<String, Value>| match answer.get("errcode").map(number) {
            Some(Some(0)) => Ok(()),
            _ => Err(ApiError::Garbled("neither yes nor no")),
        };
        self.call(account, Call::Auth, &query, &[token], read).await
    }

    /// Asks one host about a code that is nobody's: the answer tells whether it
    /// knows the account and takes its secret. It can give no grant. WeCom is asked
    /// for a token, which is dropped.
    pub async fn probe(&self, account: &Account, base: &BaseUrl) -> Probe {
        let secret = match secret_of(account) {
            Ok(secret) => secret.expose(),
            Err(answer) => {
                return Probe {
                    answer: Err(answer),
                    date: None,
                    took: Duration::ZERO,
                };
            }
        };
        let query = match account.kind {
            Kind::WeCom(_) => corp_token_query(account, secret),
            Kind::Official | Kind::Website => Secret::new(format!(
                "/sns/oauth2/access_token?appid={}&secret={}&code={NOBODYS_CODE}&grant_type=authorization_code",
                account.app_id.as_str(),
                utf8_percent_encode(secret, COMPONENT),
            )),
        };
        let url = Secret::new(format!("{}{}", base.as_str(), query.expose()));
        let began = Instant::now();
        let mut date = None;
        let asked = async {
            let response = self.get(base, &url).await?;
            let told = response.headers().get(reqwest::header::DATE);
            let told = told.and_then(|told| httpdate::parse_http_date(told.to_str().ok()?).ok());
            date = told;
            let body = read(response).await?;
            let mut answer = understand(side(account), body, &[secret])?;
            // Taken out, to be wiped.
            Ok(take_secret(&mut answer, "access_token").is_some())
        };
        let answer = match (asked.await, account.kind) {
            (Err(error), _) => Err(error),
            (Ok(true), Kind::WeCom(_)) => Ok(()),
            (Ok(false), Kind::WeCom(_)) => Err(ApiError::Garbled("no access_token")),
            (Ok(_), Kind::Official | Kind::Website) => {
                Err(ApiError::Garbled("a yes to a code that is nobody's"))
            }
        };
        Probe {
            answer,
            date,
            took: began.elapsed(),
        }
    }

    /// Asks, and has `read` make something of the answer.
    async fn call<T>(
        &self,
        account: &Account,
        call: Call,
        query: &Secret,
        hidden: &[&str],
        read: impl FnOnce(Map<String, Value>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        secret_of(account)?;
        let turn = tokio::time::timeout(self.bounds.total, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let error = ApiError::NotSent(
                "limits.wechat_calls wait for WeChat, and none ended in time".to_owned(),
            );
            self.tell(account, call, None, Some(&error));
            return Err(error);
        };
        let began = Instant::now();
        // In a box that is made when the turn has come: who waits holds no room for it.
        let answer = Box::pin(self.call_hosts(account, query, hidden)).await;
        calls::note(call.as_str(), began, &answer);
        let took = began.elapsed();
        let result = answer.and_then(read);
        self.tell(account, call, Some(took), result.as_ref().err());
        result
    }

    fn tell(
        &self,
        account: &Account,
        call: Call,
        took: Option<Duration>,
        error: Option<&ApiError>,
    ) {
        if let Some(Observer(told)) = &self.observer {
            told(&Called {
                app_id: &account.app_id,
                kind: account.kind,
                call,
                took,
                error,
            });
        }
    }

    /// One host after the other, as long as nothing was sent.
    async fn call_hosts(
        &self,
        account: &Account,
        query: &Secret,
        hidden: &[&str],
    ) -> Result<Map<String, Value>, ApiError> {
        let mut nothing_sent = ApiError::NotSent("no host is configured".to_owned());
        for base in &account.api_bases {
            match self.call_host(side(account), base, query, hidden).await {
                Err(error @ ApiError::NotSent(_)) => nothing_sent = error,
                done => return done,
            }
        }
        Err(nothing_sent)
    }

    async fn call_host(
        &self,
        side: Side,
        base: &BaseUrl,
        query: &Secret,
        hidden: &[&str],
    ) -> Result<Map<String, Value>, ApiError> {
        let url = Secret::new(format!("{}{}", base.as_str(), query.expose()));
        let response = self.get(base, &url).await?;
        understand(side, read(response).await?, hidden)
    }

    async fn get(&self, base: &BaseUrl, url: &Secret) -> Result<Response, ApiError> {
        let client = match base.is_https() {
            true => &self.outside,
            false => &self.plain,
        };
        client.get(url.expose()).send().await.map_err(transport)
    }
}

/// Whose numbers an account's errors are.
fn side(account: &Account) -> Side {
    match account.kind {
        Kind::Official | Kind::Website => Side::WeChat,
        Kind::WeCom(_) => Side::WeCom,
    }
}

/// What WeCom is asked for a corp's token with.
fn corp_token_query(account: &Account, secret: &str) -> Secret {
    Secret::new(format!(
        "/cgi-bin/gettoken?corpid={}&corpsecret={}",
        account.app_id.as_str(),
        utf8_percent_encode(secret, COMPONENT),
    ))
}

/// An answer's bytes. Tokens stand in them: they are wiped when dropped, and have
/// room enough not to be moved.
async fn read(mut response: Response) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut body = Zeroizing::new(Vec::with_capacity(TYPICAL_ANSWER));
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(ApiError::Garbled("more than 64 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn transport(error: reqwest::Error) -> ApiError {
    let (not_sent, late) = (error.is_connect(), error.is_timeout());
    let reason = reason(&error.without_url());
    match (not_sent, late) {
        (true, _) => ApiError::NotSent(reason),
        (false, true) => ApiError::Late(reason),
        (false, false) => ApiError::NoAnswer(reason),
    }
}

/// An error with its causes. The client's errors can hold a URL: take it out
/// first.
pub fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What [`Api::exchange`] would say of `answer`'s bytes, `hidden` having been
/// sent. The grant itself is given to nobody who did not ask WeChat.
///
/// # Errors
/// See [`ApiError`].
pub fn try_grant(answer: Vec<u8>, hidden: &[&str]) -> Result<(), ApiError> {
    Grant::of(understand(Side::WeChat, answer.into(), hidden)?).map(drop)
}

/// The same of WeCom's answer.
///
/// # Errors
/// See [`ApiError`].
pub fn try_corp_grant(answer: Vec<u8>, hidden: &[&str]) -> Result<(), ApiError> {
    Grant::of_corp(&understand(Side::WeCom, answer.into(), hidden)?).map(drop)
}

/// What [`Api::profile`] makes of `answer`'s bytes, `openid` having been asked
/// for and `hidden` sent. A profile is a description and lets nobody in.
///
/// # Errors
/// See [`ApiError`].
pub fn read_profile(
    answer: Vec<u8>,
    hidden: &[&str],
    openid: &OpenId,
) -> Result<Profile, ApiError> {
    Profile::of(&understand(Side::WeChat, answer.into(), hidden)?, openid)
}

/// Reads an answer's bytes. Raw control characters, which occur in nicknames
/// and which no JSON parser takes, become spaces first.
fn understand(
    side: Side,
    mut body: Zeroizing<Vec<u8>>,
    hidden: &[&str],
) -> Result<Map<String, Value>, ApiError> {
    if std::str::from_utf8(&body).is_err() {
        return Err(ApiError::Garbled("not UTF-8"));
    }
    body.iter_mut()
        .filter(|byte| byte.is_ascii_control())
        .for_each(|byte| *byte = b' ');
    let Ok(Value::Object(answer)) = serde_json::from_slice(&body) else {
        return Err(ApiError::Garbled("not a JSON object"));
    };
    match answer.get("errcode").map(number) {
        None | Some(Some(0)) => Ok(answer),
        Some(None) => Err(ApiError::Garbled("an errcode that is no number")),
        Some(Some(code)) => {
            let message = without(text(&answer, "errmsg").unwrap_or_default(), hidden);
            Err(ApiError::Errcode {
                code: Errcode {
                    side,
                    code,
                    rid: rid(&message),
                },
                message: message.chars().take(200).collect(),
            })
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn text<'a>(answer: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    answer.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// The text at `key`, taken out of `answer` without leaving a copy behind.
fn take_secret(answer: &mut Map<String, Value>, key: &str) -> Option<Secret> {
    match answer.remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(Secret::new(text)),
        _ => None,
    }
}

/// The tokens of `answer`, taken out of it.
fn take_tokens(answer: &mut Map<String, Value>) -> Option<Tokens> {
    let access = take_secret(answer, "access_token");
    // Taken even where it is of no use, to be wiped.
    let refresh = take_secret(answer, "refresh_token");
    Some(Tokens {
        access: access?,
        refresh,
        expires_in: expires_in(answer),
    })
}

/// For how long a token of `answer` is good, in seconds.
fn expires_in(answer: &Map<String, Value>) -> u64 {
    let told = answer.get("expires_in").and_then(number);
    let seconds = told.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.unwrap_or(TOKEN_LIFE).min(TOKEN_LIFE)
}

fn flag(answer: &Map<String, Value>, key: &str) -> bool {
    match answer.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        // In doubt the visitor is a snapshot's, and is refused.
        Some(value) => number(value) != Some(0),
    }
}

fn openid_of(answer: &Map<String, Value>) -> Result<OpenId, ApiError> {
    let found = text(answer, "openid").ok_or(ApiError::Garbled("no openid"))?;
    OpenId::try_from(found.to_owned())
        .map_err(|_| ApiError::Garbled("an openid with characters that no openid has"))
}

fn unionid_of(answer: &Map<String, Value>) -> Option<UnionId> {
    UnionId::try_from(text(answer, "unionid")?.to_owned()).ok()
}

fn scope_of(answer: &Map<String, Value>) -> Option<Scope> {
    let granted = text(answer, "scope")?;
    let profile = granted
        .split(',')
        .any(|scope| matches!(scope.trim(), "snsapi_userinfo" | "snsapi_login"));
    Some(if profile {
        Scope::Userinfo
    } else {
        Scope::Base
    })
}

/// A nickname without what could reorder or break the text around it.
fn shown_text(nickname: &str) -> String {
    let hidden = |c: &char| {
        c.is_control()
            || matches!(*c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    let shown: String = nickname.chars().filter(|c| !hidden(c)).take(64).collect();
    shown.trim().to_owned()
}

fn picture(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let text = url.as_str();
    (matches!(url.scheme(), "http" | "https") && text.len() <= 256).then(|| text.to_owned())
}

fn rid(message: &str) -> Option<String> {
    let (_, rest) = message.rsplit_once("rid:")?;
    let rid: String = rest
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(64)
        .collect();
    (!rid.is_empty()).then_some(rid)
}

/// WeChat's words, fit for a log: should the far end repeat what it was sent,
/// it stops here. Control characters go first, or they would hide a secret that
/// they stand in.
fn without(message: &str, hidden: &[&str]) -> String {
    let plain: String = message.chars().filter(|c| !c.is_control()).collect();
    hidden
        .iter()
        .fold(plain, |text, secret| text.replace(secret, "…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<Map<String, Value>, ApiError> {
        understand(Side::WeChat, body.as_bytes().to_vec().into(), &["hunter2"])
    }

    #[test]
    fn an_error_keeps_number_and_rid_and_loses_secrets() {
        let error =
            answer(r#"{"errcode":40125,"errmsg":"invalid appsecret hunter2, rid: 6543-ab-0"}"#)
                .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("40125") && text.contains("6543-ab-0") && text.contains("app_secret"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        for hiding in [r"rid: hunter2", r"hun\u0001ter2"] {
            let error = answer(&format!(r#"{{"errcode":1,"errmsg":"{hiding}"}}"#)).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[tokio::test]
    async fn nothing_is_asked_of_wechat_where_another_gateway_holds_the_secret() {
        use crate::origin::PublicOrigin;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let origin = PublicOrigin::try_from("https://www.example.com".to_owned()).unwrap();
        let app_id = AppId::try_from("wx1234567890abcdef".to_owned()).unwrap();
        let mut account = Account::held_elsewhere(Kind::Official, app_id, origin);
        // Wherever calls would go.
        account.api_bases = vec![BaseUrl::try_from(base).unwrap()];
        let bounds = Bounds {
            connect: Duration::from_secs(1),
            total: Duration::from_secs(1),
            calls: NonZeroUsize::MIN,
        };
        let api = Api::new(bounds).unwrap();
        let (token, openid) = (Secret::new("t".to_owned()), "o1".to_owned());
        let openid = OpenId::try_from(openid).unwrap();
        let answers = [
            api.refresh(&account, &token, &openid).await.map(drop),
            api.profile(&account, &token, &openid).await.map(drop),
            api.check(&account, &token, &openid).await,
            api.probe(&account, &account.api_bases[0]).await.answer,
        ];
        for answer in answers {
            assert!(
                matches!(answer, Err(ApiError::NotSent(why)) if why.contains("another gateway"))
            );
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody connected");
    }

    #[test]
    fn what_is_not_wechats_is_garbled() {
        for body in [
            "",
            "<html></html>",
            "[]",
            "{\"openid\":",
            "{\"errcode\":\"x\"}",
            "null",
        ] {
            assert!(matches!(answer(body), Err(ApiError::Garbled(_))), "{body}");
        }
        assert!(matches!(
            understand(Side::WeChat, vec![b'{', 0xff, b'}'].into(), &[]),
            Err(ApiError::Garbled(_))
        ));
        assert!(openid_of(&answer(r#"{"openid":"a\nb"}"#).unwrap()).is_err());
        assert!(openid_of(&answer("{}").unwrap()).is_err());
    }

    #[test]
    fn raw_control_characters_do_not_break_an_answer() {
        let answer = answer("{\"openid\":\"o1\",\"nickname\":\"a\u{1}b\"}").unwrap();
        assert_eq!(shown_text(text(&answer, "nickname").unwrap()), "a b");
    }

    #[test]
    fn a_corps_visitor_is_a_member_or_has_an_openid_and_never_both() {
        let of = |body: &str| Grant::of_corp(&answer(body).unwrap());
        for body in [
            r#"{"userid":"li.ming@x"}"#,
            r#"{"UserId":"li.ming@x","OpenId":""}"#,
        ] {
            let grant = of(body).unwrap();
            assert_eq!(grant.visitor().userid().unwrap().as_str(), "li.ming@x");
            assert!(grant.visitor().openid().is_none());
        }
        for body in [
            r#"{"openid":"oOut"}"#,
            r#"{"OpenId":"oOut","DeviceId":"d"}"#,
        ] {
            let grant = of(body).unwrap();
            assert_eq!(grant.visitor().openid().unwrap().as_str(), "oOut");
            assert!(grant.visitor().userid().is_none());
        }
        for body in [
            "{}",
            r#"{"userid":"","openid":""}"#,
            r#"{"userid":"a","openid":"o"}"#,
            r#"{"userid":"a","OpenId":"o"}"#,
            r#"{"userid":"a b"}"#,
            r#"{"openid":"li.ming@x"}"#,
            r#"{"userid":7}"#,
        ] {
            assert!(matches!(of(body), Err(ApiError::Garbled(_))), "{body}");
        }
    }

    #[test]
    fn a_snapshot_is_seen_in_any_spelling() {
        for (body, expected) in [
            ("{}", false),
            (r#"{"is_snapshotuser":0}"#, false),
            (r#"{"is_snapshotuser":1}"#, true),
            (r#"{"is_snapshotuser":"1"}"#, true),
            (r#"{"is_snapshotuser":true}"#, true),
        ] {
            assert_eq!(
                flag(&answer(body).unwrap(), "is_snapshotuser"),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn a_nickname_cannot_turn_the_text_around_it() {
        assert_eq!(shown_text("a\u{61c}b\u{200f}c"), "abc");
        assert_eq!(shown_text(" \u{202e}小明\u{7}🐼 "), "小明🐼");
        assert_eq!(shown_text(&"长".repeat(100)).chars().count(), 64);
        assert_eq!(picture("javascript:alert(1)"), None);
        assert_eq!(
            scope_of(&answer(r#"{"scope":"snsapi_base,snsapi_userinfo"}"#).unwrap()),
            Some(Scope::Userinfo)
        );
        // A website's one scope includes the profile.
        let login = answer(r#"{"scope":"snsapi_login"}"#).unwrap();
        assert_eq!(scope_of(&login), Some(Scope::Userinfo));
    }
}
