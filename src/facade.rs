//! WeChat's face for apps that do OAuth themselves. On a host of its own they find
//! what they know from WeChat; their appids and secrets are virtual, and several
//! apps can share a real account.
//!
//! ```text
//! browser  /connect/oauth2/authorize      a session here, or the usual login; 302 to the app with a code
//! app      /sns/oauth2/access_token       the code, once: tokens
//!          /sns/oauth2/refresh_token      another access token
//!          /sns/userinfo, /sns/auth       what the session knows; whether it goes on
//! ```
//!
//! Holds always: a code goes to an origin that the operator listed for the app, and
//! nowhere else; it is exchanged once, by that app, with its secret, within five
//! minutes, on however many machines; a token is good for its app and visitor alone,
//! never longer than the session that it was given for, and dead at once when that is
//! ended, or when somebody shows its code again; WeChat's own tokens and the real
//! secret are not known here. Where it is not certain that a code was not used before,
//! nothing is given. Time is an argument.
//!
//! Source: WeChat's page "网页授权".

mod answer;
mod link;
mod parameters;
mod records;
mod token;

use std::fmt;
use std::sync::Arc;

use http::Method;
use pingora_limits::rate::Rate;

pub use self::answer::{Refusal, checked, profile, tokens};
pub use self::link::{AuthorizeLink, Fault, RedirectUri, Wrong};
pub use self::parameters::{Parameters, Unclear};
pub use self::records::{Given, Records};
use crate::limits::Logins;
use crate::origin::{Host, PublicOrigin};
use crate::route::{AccountName, LoginAccount};
use crate::secret::Secret;
use crate::wechat::AppId;

/// Where browsers come with a link.
pub const AUTHORIZE_PATH: &str = "/connect/oauth2/authorize";
/// The least length of an app's secret, in bytes.
pub const MIN_SECRET: usize = 16;
/// In four rows of so many counters is counted how many were given: two megabytes, in
/// which two visitors are taken for one only where tens of thousands come each second.
const SLOTS: usize = 32_768;
/// How many codes one visitor may be given for one app in [`Logins::WINDOW`]: more
/// are the loop of an app that does not keep its own login.
const MOST_CODES: isize = 60;

/// An app that does OAuth itself.
#[derive(Debug)]
pub struct App {
    /// Its name in the file, and in the log.
    pub name: AccountName,
    /// Its virtual appid.
    pub app_id: AppId,
    /// Its virtual secret.
    pub secret: Secret,
    /// Where codes may go.
    pub origins: Vec<PublicOrigin>,
    /// Whose visitors: the real account.
    pub account: Arc<LoginAccount>,
}

impl App {
    /// The address that its visitors are led to whose login cannot go on.
    pub fn home(&self) -> String {
        let first = self.origins.first();
        first.map_or_else(|| "/".to_owned(), |origin| format!("{}/", origin.as_str()))
    }
}

/// All of them, and the host where they are answered.
pub struct Facade {
    /// The host.
    pub host: Host,
    /// The apps, in the order of the file.
    pub apps: Vec<Arc<App>>,
    given: Rate,
}

impl fmt::Debug for Facade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Facade({}, {} apps)", self.host, self.apps.len())
    }
}

impl Facade {
    /// Answers `apps` at `host`.
    pub fn new(host: Host, apps: Vec<Arc<App>>) -> Self {
        Self {
            host,
            apps,
            given: Rate::new_with_estimator_config(Logins::WINDOW, 4, SLOTS),
        }
    }

    /// The app with this appid.
    pub fn app(&self, app_id: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| app.app_id.as_str() == app_id)
    }

    /// The address that a visitor is led to of whom nothing is known.
    pub fn home(&self) -> String {
        let first = self.apps.first();
        first.map_or_else(|| "/".to_owned(), |app| app.home())
    }

    /// The accounts that are logged in with, each once.
    pub fn accounts(&self) -> Vec<Arc<LoginAccount>> {
        let mut accounts: Vec<Arc<LoginAccount>> = Vec::new();
        for app in &self.apps {
            if !accounts.iter().any(|known| known.name == app.account.name) {
                accounts.push(Arc::clone(&app.account));
            }
        }
        accounts
    }

    /// Counts a code for `app` and the visitor whose number is `visitor`, in whatever
    /// session. Says whether it may be given.
    pub fn count_code(&self, app: &App, visitor: u64) -> bool {
        self.given.observe(&(app.app_id.as_str(), visitor), 1) <= MOST_CODES
    }
}

/// What is asked at the facade's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A browser wants a code for an app.
    Authorize,
    /// An app's server wants something.
    Api(Api),
    /// Nothing is there.
    Nothing,
}

/// What an app's server asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// A code for tokens.
    Exchange,
    /// A refresh token for another access token.
    Refresh,
    /// The profile.
    UserInfo,
    /// Whether an access token is good.
    Check,
}

impl Call {
    /// The call at `path`.
    pub fn at(path: &str) -> Self {
        match path {
            AUTHORIZE_PATH => Self::Authorize,
            "/sns/oauth2/access_token" => Self::Api(Api::Exchange),
            "/sns/oauth2/refresh_token" => Self::Api(Api::Refresh),
            "/sns/userinfo" => Self::Api(Api::UserInfo),
            "/sns/auth" => Self::Api(Api::Check),
            _ => Self::Nothing,
        }
    }

    /// The methods it takes, for `Allow`; `None` where nothing is, whatever the method.
    pub fn allow(self) -> Option<&'static str> {
        match self {
            Self::Authorize => Some("GET"),
            Self::Api(_) => Some("GET, POST"),
            Self::Nothing => None,
        }
    }

    /// Whether it takes `method`.
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Authorize => *method == Method::GET,
            Self::Api(_) => matches!(*method, Method::GET | Method::POST),
            Self::Nothing => true,
        }
    }
}
