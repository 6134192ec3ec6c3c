//! A link of an app's to `/connect/oauth2/authorize`: what it asks for, and where
//! its code may go.
//!
//! Holds always: a [`RedirectUri`] lies at an origin that the operator listed for the
//! app, to whoever reads it: it begins with that origin, letter for letter, has no byte
//! that browsers and servers read in two ways, and goes on with a path, a query, a
//! fragment, or not at all; the code stands behind its own query and before its
//! fragment.

use std::sync::Arc;

use percent_encoding::utf8_percent_encode;

use super::parameters::{Parameters, Unclear};
use super::{AUTHORIZE_PATH, App, Facade};
use crate::origin::{PublicOrigin, ReturnTo};
use crate::wechat::Scope;
use crate::wechat::authorize::COMPONENT;

/// The longest `state` that WeChat takes.
const MAX_STATE: usize = 128;

/// An address of an app's where a code may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// `text`, if it lies at one of `origins`.
    pub fn read(text: &str, origins: &[PublicOrigin]) -> Option<Self> {
        // What browsers tidy away, or read in another way than servers.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !text.bytes().all(plain) {
            return None;
        }
        // Behind the origin's own letters nothing can move it any more: no user's name,
        // no port, no further label.
        let listed = origins.iter().any(|origin| {
            let rest = text.strip_prefix(origin.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        });
        listed.then(|| Self(text.to_owned()))
    }

    /// The address with a code and a state, joined as WeChat does.
    pub fn with(&self, code: &str, state: &str) -> String {
        let (before, fragment) = match self.0.split_once('#') {
            Some((before, fragment)) => (before, Some(fragment)),
            None => (self.0.as_str(), None),
        };
        let joint = if before.contains('?') { '&' } else { '?' };
        let fragment = fragment.map_or_else(String::new, |fragment| format!("#{fragment}"));
        format!("{before}{joint}code={code}&state={state}{fragment}")
    }
}

/// Why a link is not taken.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// What is wrong.
    pub fault: Fault,
    /// The app, where it is known.
    pub app: Option<Arc<App>>,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A parameter stands twice, or is not UTF-8.
    Unclear,
    /// No appid.
    NoAppId,
    /// An appid that no app has.
    AppId,
    /// No redirect_uri.
    NoRedirectUri,
    /// A redirect_uri that is not the app's.
    RedirectUri,
    /// A response_type other than `code`.
    ResponseType,
    /// No scope.
    NoScope,
    /// A scope that there is not.
    Scope,
    /// No state, or one that WeChat would not bring back as it is.
    State,
    /// A link that no login can remember.
    Long,
}

impl Fault {
    /// WeChat's number for it, where it has one.
    pub fn errcode(self) -> Option<i64> {
        match self {
            Self::RedirectUri => Some(10003),
            Self::Scope => Some(10005),
            Self::NoScope => Some(10010),
            Self::NoRedirectUri => Some(10011),
            Self::NoAppId => Some(10012),
            Self::State => Some(10013),
            Self::AppId => Some(40013),
            Self::Unclear | Self::ResponseType | Self::Long => None,
        }
    }

    /// One word for the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::RedirectUri => "errcode_10003",
            Self::Scope => "errcode_10005",
            Self::NoScope => "errcode_10010",
            Self::NoRedirectUri => "errcode_10011",
            Self::NoAppId => "errcode_10012",
            Self::State => "errcode_10013",
            Self::AppId => "errcode_40013",
            Self::Unclear => "link_unclear",
            Self::ResponseType => "link_without_response_type",
            Self::Long => "link_too_long",
        }
    }
}

/// A link that is taken.
#[derive(Clone, Debug)]
pub struct AuthorizeLink {
    /// Whose it is.
    pub app: Arc<App>,
    /// What it asks for.
    pub scope: Scope,
    /// Where the code goes.
    pub redirect: RedirectUri,
    state: String,
}

impl AuthorizeLink {
    /// Reads the raw query of a link.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(facade: &Facade, query: &str) -> Result<Self, Wrong> {
        let nobodys = |fault| Wrong { fault, app: None };
        let parameters = Parameters::read(query).map_err(|Unclear| nobodys(Fault::Unclear))?;
        let app_id = parameters.required("appid", nobodys(Fault::NoAppId))?;
        let app = facade.app(app_id).ok_or(nobodys(Fault::AppId))?;
        Self::of(app, &parameters).map_err(|fault| Wrong {
            fault,
            app: Some(Arc::clone(app)),
        })
    }

    fn of(app: &Arc<App>, parameters: &Parameters<'_>) -> Result<Self, Fault> {
        let redirect = parameters.required("redirect_uri", Fault::NoRedirectUri)?;
        let redirect = RedirectUri::read(redirect, &app.origins).ok_or(Fault::RedirectUri)?;
        if parameters.get("response_type") != "code" {
            return Err(Fault::ResponseType);
        }
        let scope = parameters.required("scope", Fault::NoScope)?;
        let scope = [Scope::Base, Scope::Userinfo]
            .into_iter()
            .find(|known| known.as_str() == scope)
            .ok_or(Fault::Scope)?;
        let state = parameters.required("state", Fault::State)?;
        let alphabet = state.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if state.len() > MAX_STATE || !alphabet {
            return Err(Fault::State);
        }
        Ok(Self {
            app: Arc::clone(app),
            scope,
            redirect,
            state: state.to_owned(),
        })
    }

    /// Where the visitor goes with `code`.
    pub fn answer(&self, code: &str) -> String {
        self.redirect.with(code, &self.state)
    }

    /// The way back to this link at `origin`: as it came, or, where that is longer
    /// than a login remembers, without what means nothing.
    ///
    /// # Errors
    /// When even that is too long.
    pub fn way_back(&self, origin: &PublicOrigin, target: &str) -> Result<ReturnTo, Fault> {
        let short = || {
            let link = format!(
                "{AUTHORIZE_PATH}?appid={}&redirect_uri={}&response_type=code&scope={}&state={}",
                self.app.app_id.as_str(),
                utf8_percent_encode(&self.redirect.0, COMPONENT),
                self.scope.as_str(),
                self.state,
            );
            ReturnTo::of_request(origin, &link)
        };
        ReturnTo::of_request(origin, target)
            .or_else(short)
            .ok_or(Fault::Long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Vec<PublicOrigin> {
        ["https://legacy.example.com", "http://localhost:3000"]
            .map(|text| PublicOrigin::try_from(text.to_owned()).unwrap())
            .to_vec()
    }

    #[test]
    fn a_code_goes_to_a_listed_origin_alone() {
        let read = |text: &str| RedirectUri::read(text, &origins());
        for good in [
            "https://legacy.example.com",
            "https://legacy.example.com/",
            "https://legacy.example.com?x=1",
            "https://legacy.example.com#/route",
            "https://legacy.example.com/a//b/../c?u=https://evil.example",
            "https://legacy.example.com/@evil.example",
            "http://localhost:3000/cb",
        ] {
            assert!(read(good).is_some(), "{good}");
        }
        for wrong in [
            "",
            "/cb",
            "//legacy.example.com/",
            "legacy.example.com/",
            "http://legacy.example.com/",
            "https://legacy.example.com:443/",
            "https://legacy.example.com:8443/",
            "https://legacy.example.com.evil.example/",
            "https://legacy.example.com@evil.example/",
            "https://legacy.example.com:x@evil.example/",
            "https://u:p@legacy.example.com/",
            "https://evil.example/https://legacy.example.com/",
            "https://sub.legacy.example.com/",
            "https://example.com/",
            "https:/legacy.example.com/",
            "https:legacy.example.com/",
            "https:\\\\legacy.example.com\\",
            "https://legacy.example.com\\@evil.example/",
            "https://legacy.example.com\t/",
            " https://legacy.example.com/",
            "https://legacy.example.com/\r\nSet-Cookie: x",
            "https://legacy.example.com/路",
            "https://legacy.example.com%2f@evil.example/",
            "https%3A%2F%2Flegacy.example.com/",
            "https://legacy.example.com./",
            "HTTPS://legacy.example.com/",
            "https://LEGACY.example.com/",
            "http://localhost/",
            "http://localhost:30000/",
            "javascript:alert(1)//https://legacy.example.com/",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_code_is_joined_as_wechat_does() {
        let joined = |text: &str| RedirectUri::read(text, &origins()).unwrap().with("C", "S");
        let origin = "https://legacy.example.com";
        for (text, expected) in [
            ("", "?code=C&state=S"),
            ("/cb", "/cb?code=C&state=S"),
            ("/cb?", "/cb?&code=C&state=S"),
            ("/cb?a=1", "/cb?a=1&code=C&state=S"),
            ("/cb#/x?y", "/cb?code=C&state=S#/x?y"),
            ("/cb?a=1#", "/cb?a=1&code=C&state=S#"),
            (
                "/cb?code=old&state=old",
                "/cb?code=old&state=old&code=C&state=S",
            ),
        ] {
            assert_eq!(
                joined(&format!("{origin}{text}")),
                format!("{origin}{expected}")
            );
        }
    }
}
