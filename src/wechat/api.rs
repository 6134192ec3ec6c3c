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

mod answer;

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

pub use self::answer::{Grant, Profile, read_profile, try_corp_grant, try_grant};
use self::answer::{expires_in, number, openid_of, take_secret, take_tokens, understand};
use super::account::{Account, AppId, BaseUrl};
use super::authorize::COMPONENT;
use super::callback::Code;
use super::calls;
use super::corp::CorpToken;
use super::errcode::{Errcode, Meaning, Side};
use super::kind::Kind;
use super::openid::OpenId;
use super::tokens::Tokens;
use crate::secret::Secret;

const MAX_ANSWER: usize = 64 * 1024;
/// More than WeChat's answers have.
const TYPICAL_ANSWER: usize = 4 * 1024;
/// How many connections to WeChat are kept for the next call. After it was slow
/// there can be thousands, each with a file and some 30 KB.
const IDLE_CONNECTIONS: usize = 64;
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
        corp.over(&dead);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
