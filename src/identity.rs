//! Who the app is told the visitor is: `X-WeChat-*`.
//!
//! Holds always: what a client sent under such a name is gone, however it is
//! spelled, before anything is written; and only a [`Session`] is written.
//! Names are compared as CGI, WSGI and PHP apps see them.

pub mod assertion;

use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderName, HeaderValue};
use percent_encoding::utf8_percent_encode;
use pingora::http::RequestHeader;

use crate::request::{Names, folded, take_away};
use crate::secret::Secret;
use crate::session::{Payer, Session};
use crate::upstream::folded_says_where_from;
use crate::wechat::Visitor;
use crate::wechat::authorize::COMPONENT;

const FAMILY: &str = "x-wechat-";

/// Header names with `_` that are forwarded all the same. To many apps `_` and
/// `-` are one, so that such a name can stand for another; by default they go.
pub type AllowedUnderscores = HashSet<HeaderName>;

/// A name that CGI turns into `HTTP_PROXY`, which many HTTP clients take for the
/// proxy of their own calls (CVE-2016-5385 and kin). No standard header has it.
const HTTPOXY: &str = "proxy";

/// Names that another gateway or server in front would write, folded and in
/// order: who its visitor is, which certificate it saw, how files are to be
/// sent. Nobody but it may, and it is not there; apps that were behind it once
/// believe them still. The first two are WebSphere's `$WSRA` and `$WSRU`, and
/// those with `x-wx-` WeChat's own, of its cloud hosting.
const OTHERS: &[&str] = &[
    "-wsra",
    "-wsru",
    "ms-aspnetcore-clientcert",
    "remote-user",
    "wl-proxy-client-cert",
    "x-accel-mapping",
    "x-arr-clientcert",
    "x-auth-request-user",
    "x-authenticated-user",
    "x-ms-client-principal",
    "x-remote-user",
    "x-sendfile-type",
    "x-ssl-client-cert",
    "x-webauth-user",
    "x-wx-appid",
    "x-wx-openid",
    "x-wx-unionid",
];

static NAMES: Names = Names::new(OTHERS);

/// Whether `name` is another gateway's to write.
pub fn is_anothers(name: &str) -> bool {
    NAMES.has(&folded(name))
}

/// Names that let a request stand for one with another method.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Whether some app could take `name` for another request method than the one
/// that the route was asked with.
pub fn overrides_method(name: &str) -> bool {
    OVERRIDES.contains(&&*folded(name))
}

/// Every name that is written here for one visitor or another.
pub const WRITTEN: [&str; 12] = [
    "x-wechat-openid",
    "x-wechat-userid",
    "x-wechat-appid",
    "x-wechat-scope",
    "x-wechat-unionid",
    "x-wechat-nickname",
    "x-wechat-avatar",
    "x-wechat-snapshot",
    "x-wechat-assertion",
    "x-wechat-access-token",
    "x-wechat-pay-openid",
    "x-wechat-pay-appid",
];

/// Whether an app could take `name` for one of the identity headers.
pub fn is_identity(name: &str) -> bool {
    folded(name).starts_with(FAMILY)
}

/// Removes every header that an app could take for an identity or for the word
/// of a proxy, every name with `_` that is not in `allowed`, and `Proxy`; on a
/// route that takes some methods alone (`one_method`) also what would turn one
/// into another. What a trusted proxy says was read before
/// ([`crate::upstream::TrustedProxies::client`]); the rest is the client's own
/// even then, for proxies pass on what they do not know.
pub fn strip(request: &mut RequestHeader, allowed: &AllowedUnderscores, one_method: bool) {
    take_away(request, |name| {
        let plain = folded(name.as_str());
        // What is folded already has no `_`.
        let odd = matches!(plain, Cow::Owned(_)) && name.as_str().contains('_');
        plain.starts_with(FAMILY)
            || folded_says_where_from(&plain)
            || NAMES.has(&plain)
            || (odd && !allowed.contains(name))
            || name == HTTPOXY
            || (one_method && overrides_method(&plain))
    });
}

/// Writes the visitor of `session`, by one id of one kind, and that they are nobody where they are on
/// a snapshot page: call after [`strip`], on the request that
/// goes to the app and no earlier, for a client can name headers that Pingora
/// then takes out of its own request.
///
/// # Errors
/// When a value cannot stand in a header, which none of a session's does.
pub fn vouch(request: &mut RequestHeader, session: &Session) -> pingora::Result<()> {
    match session.visitor() {
        Visitor::OpenId(openid) => request.insert_header("X-WeChat-OpenId", openid.as_str())?,
        Visitor::Member(userid) => request.insert_header("X-WeChat-UserId", userid.as_str())?,
    }
    request.insert_header("X-WeChat-AppId", session.app_id())?;
    let scope = HeaderValue::from_static(session.scope_name());
    request.insert_header("X-WeChat-Scope", scope)?;
    if let Some(unionid) = session.unionid() {
        request.insert_header("X-WeChat-UnionId", unionid.as_str())?;
    }
    if let Some(nickname) = session.nickname() {
        request.insert_header(
            "X-WeChat-Nickname",
            utf8_percent_encode(nickname, COMPONENT).to_string(),
        )?;
    }
    if let Some(avatar) = session.avatar() {
        request.insert_header("X-WeChat-Avatar", avatar)?;
    }
    if session.is_snapshot() {
        request.insert_header("X-WeChat-Snapshot", "1")?;
    }
    Ok(())
}

/// Writes who pays, beside the session that [`vouch`] wrote.
///
/// # Errors
/// When a value cannot stand in a header, which none of a payer's does.
pub fn vouch_payer(request: &mut RequestHeader, payer: &Payer) -> pingora::Result<()> {
    request.insert_header("X-WeChat-Pay-OpenId", payer.openid().as_str())?;
    request.insert_header("X-WeChat-Pay-AppId", payer.app_id())
}

/// Writes the visitor's access token, for a route that asks for it: call after
/// [`vouch`].
///
/// # Errors
/// When it cannot stand in a header: the request must not go without.
pub fn lend(request: &mut RequestHeader, access: &Secret) -> pingora::Result<()> {
    let mut value = HeaderValue::from_str(access.expose())
        .map_err(|_| pingora::Error::new(pingora::ErrorType::InternalError))?;
    value.set_sensitive(true);
    request.insert_header("X-WeChat-Access-Token", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_an_app_may_fold_is_known() {
        for name in [
            "x-wechat-openid",
            "X-WeChat-OpenId",
            "x_wechat_openid",
            "X-WECHAT_OPENID",
            "x.wechat.openid",
            "x!wechat~openid",
            "X-WeChat-",
        ] {
            assert!(is_identity(name), "{name}");
        }
        for name in [
            "x-wechat",
            "xwechat-openid",
            "x-wechatopenid",
            "wechat-openid",
            "x-wx-openid",
            "",
        ] {
            assert!(!is_identity(name), "{name}");
        }
    }

    #[test]
    fn what_another_gateway_would_say_is_known() {
        assert!(OTHERS.is_sorted());
        for name in OTHERS {
            assert!(is_anothers(name) && is_anothers(&name.to_uppercase().replace('-', "_")));
        }
        for name in ["X-Remote-Users", "Remote", "x-wx-source", "Authorization"] {
            assert!(!is_anothers(name), "{name}");
        }
    }

    #[test]
    fn stripping_leaves_the_apps_own_headers() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for name in [
            "X-WeChat-OpenId",
            "x_wechat_unionid",
            "X-Legacy_Thing",
            "X_Kept",
            "X-Other",
            "Proxy",
            "Remote-User",
            "X-WX-OpenId",
            "$WSRU",
            "X-HTTP-Method-Override",
            "x.http.method",
        ] {
            request.append_header(name, "v").unwrap();
        }
        strip(
            &mut request,
            &HashSet::from([HeaderName::from_static("x_kept")]),
            true,
        );
        let left: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
        assert!(
            left.len() == 2 && left.contains(&"x_kept") && left.contains(&"x-other"),
            "{left:?}"
        );
    }
}
