//! An account's public face: what WeChat's browser meets at the callback's host and
//! at the hosts of its routes, through whatever stands in front.
//!
//! Seen from this machine, which may reach more than a visitor does, or less.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use percent_encoding::utf8_percent_encode;
use reqwest::{Client, Response};

use super::{PATIENCE, Report, client};
use crate::config::{Plan, PlannedAccount};
use crate::login::CALLBACK_PATH;
use crate::origin::{Host, PublicOrigin, PublicScheme};
use crate::route::{Auth, HostPattern, LoginAccount};
use crate::signon::SIGN_ON_PATH;
use crate::wechat::Kind;
use crate::wechat::account::VerifyFile;
use crate::wechat::api::reason;
use crate::wechat::authorize::COMPONENT;

/// How the browser of a kind of account calls itself.
fn agent(kind: Kind) -> &'static str {
    match kind {
        Kind::Official => {
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) MicroMessenger/8.0.60 wxgate-doctor"
        }
        Kind::Website => "Mozilla/5.0 (X11; Linux x86_64) wxgate-doctor",
        Kind::WeCom(_) => {
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) wxwork/4.1.36 MicroMessenger/7.0.1 wxgate-doctor"
        }
    }
}

/// The page of WeChat's that a login goes to.
fn page(kind: Kind) -> &'static str {
    match kind {
        Kind::Official | Kind::WeCom(_) => "/connect/oauth2/authorize?",
        Kind::Website => "/connect/qrconnect?",
    }
}

/// One host, and what is expected there.
pub(super) struct Look {
    place: String,
    origin: PublicOrigin,
    account: Arc<LoginAccount>,
    verify_files: Vec<VerifyFile>,
    sandbox: bool,
    /// Where a login can begin here.
    login: Option<String>,
    cookie: String,
    same_site_none: bool,
    is_callback: bool,
    /// Whether a login that begins here goes straight to WeChat.
    is_direct: bool,
}

/// The hosts of an account: that of its callback, and those of its routes.
pub(super) fn looks(planned: &PlannedAccount, plan: &Plan) -> Vec<Look> {
    let account = &planned.account;
    let callback = account.wechat.callback_origin();
    let mut origins = vec![callback.clone()];
    for route in &plan.listed {
        if let HostPattern::Exact(host) = &route.host
            && route.auth != Auth::None
            && route.accounts.has(account)
        {
            let origin = plan.routes.origin(host);
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
    }
    let look = |origin| Look::at(origin, planned, plan);
    origins.into_iter().map(look).collect()
}

/// An error without the address that was asked for.
pub(super) fn why(error: reqwest::Error) -> String {
    reason(&error.without_url())
}

/// Where `host` leads, or why it leads nowhere.
pub(super) async fn addresses(host: &Host) -> Result<Vec<IpAddr>, String> {
    let look = tokio::net::lookup_host((host.as_str(), 443));
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(format!(
            "{host} has no address ({error}); see its DNS record"
        )),
        Err(_) => Err(format!(
            "{host} is not found in time; see the machine's DNS"
        )),
    }
}

impl Look {
    /// What of an account is met at `origin`.
    pub(super) fn at(origin: PublicOrigin, planned: &PlannedAccount, plan: &Plan) -> Self {
        let account = &planned.account;
        let callback = account.wechat.callback_origin();
        let here = account.via().is_none();
        let mut begins = plan.listed.iter().filter(|route| {
            route.auth != Auth::None
                && route.accounts.has(account)
                && match &route.host {
                    HostPattern::Exact(host) => host == origin.host(),
                    HostPattern::Below(domain) => origin.host().is_within(domain.as_str()),
                }
        });
        Self {
            place: format!("accounts.{} at {}", account.name.as_str(), origin.as_str()),
            login: begins.next().map(|route| route.path.as_str().to_owned()),
            is_callback: here && origin == *callback,
            is_direct: here && plan.cookies.shared_by(origin.host(), callback.host()),
            account: Arc::clone(account),
            verify_files: planned.verify_files.clone(),
            sandbox: planned.sandbox,
            cookie: plan.cookies.pending_name().to_owned(),
            same_site_none: plan.cookies.is_cross_site(),
            origin,
        }
    }

    /// The same as browsers see it, at another port.
    pub(super) fn seen_as(self, origin: PublicOrigin) -> Self {
        Self {
            place: format!(
                "accounts.{} at {}",
                self.account.name.as_str(),
                origin.as_str()
            ),
            origin,
            ..self
        }
    }

    pub(super) async fn examine(self) -> Report {
        let mut report = Report::default();
        if self.is_callback {
            self.shape(&mut report);
        }
        self.names(&mut report).await;
        let agent = agent(self.account.wechat.kind());
        let client = match client().user_agent(agent).build() {
            Ok(client) => client,
            Err(error) => {
                report.bad(
                    &self.place,
                    format!("no client can be made ({})", why(error)),
                );
                return report;
            }
        };
        if self.is_a_wxgate(&client, &mut report).await {
            self.begins_a_login(&client, &mut report).await;
        }
        for file in &self.verify_files {
            self.serves(&client, file, &mut report).await;
        }
        if self.origin.scheme() == PublicScheme::Https {
            self.plain(&client, &mut report).await;
        }
        report
    }

    fn shape(&self, report: &mut Report) {
        let kind = self.account.wechat.kind();
        match crate::wechat::account::acceptable_origin(&self.origin, kind, false) {
            Ok(()) => report.good(
                &self.place,
                match kind {
                    Kind::Official | Kind::Website => {
                        "https, no port, no IP address: WeChat takes it"
                    }
                    Kind::WeCom(_) => "https, no IP address: WeCom takes it",
                },
            ),
            // Without a sandbox the file was refused already.
            Err(error) => report.doubt(
                &self.place,
                format!("taken from a test account alone: {error}"),
            ),
        }
    }

    async fn names(&self, report: &mut Report) {
        let host = self.origin.host();
        let addresses = match addresses(host).await {
            Ok(addresses) => addresses,
            Err(why) => return report.bad(&self.place, why),
        };
        match addresses.iter().find(|address| is_private(address)) {
            Some(address) => report.doubt(
                &self.place,
                format!(
                    "{host} leads to {address}, which nobody outside can reach: no visitor's phone, and not WeChat, which fetches MP_verify \
                     files; expected a public address in DNS"
                ),
            ),
            None => report.good(&self.place, format!("{host} has a public address")),
        }
    }

    async fn get(&self, client: &Client, target: &str) -> Result<Response, String> {
        let url = format!("{}{target}", self.origin.as_str());
        let request = client.get(url).header(header::ACCEPT, "text/html");
        request.send().await.map_err(why)
    }

    /// Whether the host is answered by a wxgate that knows it.
    async fn is_a_wxgate(&self, client: &Client, report: &mut Report) -> bool {
        let url = format!("{}/.wxgate/me", self.origin.as_str());
        let request = client.get(url).header(header::ACCEPT, "application/json");
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                report.bad(
                    &self.place,
                    format!(
                        "does not answer from here ({}); visitors come back to {CALLBACK_PATH} there: start wxgate and what stands in \
                         front, and see the certificate",
                        why(error)
                    ),
                );
                return false;
            }
        };
        let status = response.status();
        if status.is_redirection() {
            report.bad(
                &self.place,
                format!(
                    "redirects to {}; the callback's code would be lost on the way: expected no redirect below /.wxgate/, and callback_origin \
                     to be where visitors end",
                    place_of(&response)
                ),
            );
            return false;
        }
        let body = response.text().await.unwrap_or_default();
        let told: Option<serde_json::Value> = serde_json::from_str(&body).ok();
        let login = told
            .as_ref()
            .and_then(|told| told.get("login_url")?.as_str());
        match login {
            Some(login) if login.starts_with(&format!("{}/.wxgate/", self.origin.as_str())) => {
                report.good(&self.place, "answered by a wxgate that calls itself so");
                true
            }
            Some(login) => {
                let itself = login.split("/.wxgate/").next().unwrap_or_default();
                report.bad(
                    &self.place,
                    format!(
                        "the gateway there calls itself {itself}; cookies and redirects are wrong then: expected server.public_scheme to be what \
                         visitors see, and the proxy in front to keep Host"
                    ),
                );
                false
            }
            None => {
                report.bad(
                    &self.place,
                    format!(
                        "answers {status}, not as a wxgate that serves this host: expected the proxy in front to send all of it here, below \
                         /.wxgate/ too, with the visitor's Host"
                    ),
                );
                false
            }
        }
    }

    /// Whether a login that begins here comes back, and its cookies with it.
    async fn begins_a_login(&self, client: &Client, report: &mut Report) {
        let Some(path) = &self.login else {
            return;
        };
        let path = utf8_percent_encode(path, COMPONENT);
        let response = match self.get(client, &format!("/.wxgate/login?to={path}")).await {
            Ok(response) => response,
            Err(why) => {
                report.bad(&self.place, format!("a login does not begin ({why})"));
                return;
            }
        };
        let status = response.status();
        let location = place_of(&response);
        let back = self.account.wechat.callback_origin().as_str();
        if !self.is_direct {
            let client = self.account.via().map(|via| via.client.as_str());
            let client = client.map_or(String::new(), |name| format!("client={name}&"));
            let asks = location.starts_with(&format!("{back}{SIGN_ON_PATH}?{client}ask="));
            match status == StatusCode::FOUND && asks {
                true => report.good(&self.place, format!("a login begins, by way of {back}")),
                false => report.bad(
                    &self.place,
                    format!("a login does not begin: {status} instead of a redirect to {back}{SIGN_ON_PATH}; is another gateway, or an older file, in use there?"),
                ),
            }
            return self.cookies(response.headers(), report);
        }
        let callback = format!("{back}{CALLBACK_PATH}");
        let wanted = format!(
            "&redirect_uri={}&",
            utf8_percent_encode(&callback, COMPONENT)
        );
        if status != StatusCode::FOUND || !location.contains(page(self.account.wechat.kind())) {
            report.bad(
                &self.place,
                format!("a login does not begin: {status} instead of a redirect to WeChat; what does the gateway's log say?"),
            );
        } else if !location.contains(&wanted) {
            report.bad(
                &self.place,
                format!(
                    "a login would come back elsewhere than to {callback}: is another gateway, or an older file, in use there?"
                ),
            );
        } else {
            report.good(
                &self.place,
                format!("a login begins, and comes back to {callback}"),
            );
        }
        self.cookies(response.headers(), report);
    }

    /// Whether the cookies arrive as they were set.
    fn cookies(&self, headers: &HeaderMap, report: &mut Report) {
        let place = format!("cookies of {}", self.place);
        let cookies: Vec<String> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        let found = cookies
            .iter()
            .find(|cookie| cookie.starts_with(&format!("{}=", self.cookie)));
        let Some(found) = found else {
            report.bad(
                place,
                format!(
                    "{} does not arrive: no login can end; what stands in front takes Set-Cookie away or renames it, or public_scheme is another there",
                    self.cookie
                ),
            );
            return;
        };
        let has = |attribute: &str| {
            let mut parts = found.split(';').map(str::trim);
            parts.any(|part| part.eq_ignore_ascii_case(attribute))
        };
        let https = self.origin.scheme() == PublicScheme::Https;
        let same_site = if self.same_site_none {
            "SameSite=None"
        } else {
            "SameSite=Lax"
        };
        let mut wanted = vec!["HttpOnly", "Path=/", same_site];
        if https {
            wanted.push("Secure");
        }
        let missing: Vec<&str> = wanted.into_iter().filter(|wanted| !has(wanted)).collect();
        match missing.is_empty() {
            true => report.good(place, "arrive as they were set"),
            false => report.bad(
                place,
                format!(
                    "{} arrives without {}: what stands in front changes it (in nginx proxy_cookie_flags, proxy_cookie_path); expected it untouched",
                    self.cookie,
                    missing.join(", ")
                ),
            ),
        }
    }

    async fn serves(&self, client: &Client, file: &VerifyFile, report: &mut Report) {
        let place = format!("verify_files of {}", self.place);
        let name = file.name();
        match self.get(client, &format!("/{name}")).await {
            Ok(response) if response.status().is_redirection() => report.bad(
                place,
                format!(
                    "{name} is redirected to {}; WeChat follows none",
                    place_of(&response)
                ),
            ),
            Ok(response) => {
                let status = response.status();
                let body = response.text().await.unwrap_or_default();
                match (status, body == file.content()) {
                    (StatusCode::OK, true) => report.good(place, format!("{name} is served")),
                    _ => report.bad(
                        place,
                        format!("{name} is answered with {status} and another text; expected its 16 characters from the gateway: what else serves the root?"),
                    ),
                }
            }
            Err(why) => report.bad(place, format!("{name} cannot be fetched ({why})")),
        }
    }

    /// Whether somebody who comes over plain http is sent on: their cookies would
    /// not come back, round and round.
    async fn plain(&self, client: &Client, report: &mut Report) {
        let place = format!("http of {}", self.place);
        let url = format!("http://{}/.wxgate/login", self.origin.host());
        match client.get(url).header(header::ACCEPT, "text/html").send().await {
            Ok(response) if place_of(&response).starts_with("https://") && !place_of(&response).contains("/connect/oauth2/") => {
                report.good(place, "sent on to https");
            }
            Ok(response) if place_of(&response).contains("/connect/oauth2/") => report.bad(
                place,
                "logins begin over plain http, where cookies with Secure do not come back: expected what stands in front to send visitors on \
                 to https",
            ),
            Ok(response) => report.doubt(
                place,
                format!("answered with {}; expected a redirect to https", response.status()),
            ),
            Err(_) => report.good(place, "not answered"),
        }
        if self.sandbox {
            report.doubt(
                format!("{}.sandbox", self.place),
                "true for an account at https: right for a test account (测试号) alone",
            );
        }
    }
}

fn place_of(response: &Response) -> String {
    let found = response.headers().get(header::LOCATION);
    let place = found.and_then(|value| value.to_str().ok());
    place.unwrap_or_default().to_owned()
}

/// Whether nobody outside can reach it (RFC 1918, 3927, 4193, 6598).
pub(super) fn is_private(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => {
            let [first, ..] = address.segments();
            address.is_loopback()
                || address.is_unspecified()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_nobody_outside_reaches_are_known() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(&address.parse().unwrap()), "{address}");
        }
        for address in ["203.0.113.7", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_private(&address.parse().unwrap()), "{address}");
        }
    }
}
