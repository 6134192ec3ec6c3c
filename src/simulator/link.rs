//! An authorize link, read as strictly as WeChat reads it.
//!
//! WeChat matches the raw link with a regular expression, so nothing here
//! decodes, sorts or tidies before it compares. Two deviations, both on the
//! strict side, so that what passes here passes there:
//! - a wrong order is refused with `snsapi_base` too, where WeChat lets some
//!   of them pass;
//! - `state` outside `[A-Za-z0-9]` is refused, where WeChat mangles it.
//!
//! `forcePopup` is read and changes nothing, for `snsapi_userinfo` always asks
//! here. `#wechat_redirect` cannot be checked: a fragment never reaches a server.
//!
//! What always holds: an [`AuthorizeLink`] names an account of ours, and its
//! callback is on a host that this account has configured.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::complaint::Complaint;
use super::{SimAccount, SimKind};

const REQUIRED: [&str; 5] = ["appid", "redirect_uri", "response_type", "scope", "state"];
const OPTIONAL: [&str; 4] = ["agentid", "forcePopup", "forceSnapShot", "connect_redirect"];

/// The two pages on which a login begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `/connect/oauth2/authorize`, inside WeChat.
    Oauth2,
    /// `/connect/qrconnect`, in desktop browsers.
    Qrconnect,
}

impl Door {
    /// The name used in events and in the simulator's own links.
    pub(super) fn name(self) -> &'static str {
        match self {
            Door::Oauth2 => "authorize",
            Door::Qrconnect => "qrconnect",
        }
    }
}

/// What is asked of the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Base,
    Userinfo,
    Login,
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Scope::Base => "snsapi_base",
            Scope::Userinfo => "snsapi_userinfo",
            Scope::Login => "snsapi_login",
        }
    }

    /// Whether the visitor is asked, and profile and unionid are given.
    pub(super) fn has_profile(self) -> bool {
        self != Scope::Base
    }

    fn read(door: Door, text: &str) -> Result<Scope, Complaint> {
        match (door, text) {
            (Door::Oauth2, "snsapi_base") => Ok(Scope::Base),
            (Door::Oauth2, "snsapi_userinfo") => Ok(Scope::Userinfo),
            (Door::Qrconnect, "snsapi_login") => Ok(Scope::Login),
            (_, "") => Err(Complaint::EmptyScope),
            (Door::Oauth2, _) => Err(Complaint::Shape(
                "scope: snsapi_base or snsapi_userinfo, and only one of them",
            )),
            (Door::Qrconnect, _) => Err(Complaint::Shape("scope: snsapi_login")),
        }
    }
}

/// A link that WeChat would accept.
#[derive(Clone, Debug)]
pub(super) struct AuthorizeLink {
    /// Which of the accounts, by its place among them.
    pub(super) account: usize,
    /// Whether that is a corp's.
    pub(super) is_corps: bool,
    pub(super) app_id: String,
    pub(super) scope: Scope,
    /// `forceSnapShot=true`.
    pub(super) snapshot: bool,
    callback: String,
    state: String,
}

impl AuthorizeLink {
    /// Reads the raw query of a link to `door`.
    pub(super) fn read(
        door: Door,
        raw: &str,
        accounts: &[SimAccount],
    ) -> Result<AuthorizeLink, Complaint> {
        let pairs: Vec<(&str, &str)> = raw
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        check_order(&pairs)?;
        let value = |name| {
            let found = pairs.iter().find(|(its, _)| *its == name);
            found.map_or("", |(_, value)| *value)
        };
        let (app_id, state) = (value("appid"), value("state"));
        let (account, its) = accounts
            .iter()
            .enumerate()
            .filter(|(_, account)| account.app_id == app_id)
            // Several apps of a corp have one appid.
            .max_by_key(|(_, account)| is_agent(&account.kind, value("agentid")))
            .ok_or(Complaint::UnknownAppid)?;
        if value("response_type") != "code" {
            return Err(Complaint::Shape("response_type: code"));
        }
        let scope = Scope::read(door, value("scope"))?;
        check_kind(door, scope, value("agentid"), &its.kind)?;
        if state.len() > 128 || !state.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Complaint::Shape("state: 1 to 128 of A-Z a-z 0-9"));
        }
        check_options(&pairs)?;
        let callback = callback(value("redirect_uri"), its)?;
        if scope == Scope::Userinfo && !its.userinfo_granted {
            return Err(Complaint::ScopeNotGranted);
        }
        Ok(AuthorizeLink {
            account,
            is_corps: matches!(its.kind, SimKind::WeCom { .. }),
            app_id: app_id.to_owned(),
            scope,
            snapshot: value("forceSnapShot") == "true",
            callback,
            state: state.to_owned(),
        })
    }

    /// Where the visitor goes who let us in.
    pub(super) fn allowed(&self, code: &str) -> String {
        self.joined(&format!("code={code}&state={}", self.state))
    }

    /// Where the visitor goes who refused.
    pub(super) fn refused(&self) -> String {
        self.joined(&format!("state={}", self.state))
    }

    /// WeChat adds its parameters behind the callback's own query and before
    /// its fragment.
    fn joined(&self, query: &str) -> String {
        let (before, fragment) = match self.callback.split_once('#') {
            Some((before, fragment)) => (before, format!("#{fragment}")),
            None => (self.callback.as_str(), String::new()),
        };
        let joint = if before.contains('?') { '&' } else { '?' };
        format!("{before}{joint}{query}{fragment}")
    }
}

fn is_agent(kind: &SimKind, agent: &str) -> bool {
    matches!(kind, SimKind::WeCom { agent_id } if agent_id == agent)
}

/// Whether this is the page for such an account, and the app is the corp's.
fn check_kind(door: Door, scope: Scope, agent: &str, kind: &SimKind) -> Result<(), Complaint> {
    match (door, kind) {
        (Door::Qrconnect, SimKind::Official | SimKind::WeCom { .. }) => {
            Err(Complaint::UnknownAppid)
        }
        (Door::Oauth2, SimKind::Website) => Err(Complaint::OfWebsite),
        (Door::Oauth2, SimKind::WeCom { agent_id }) if agent != agent_id => Err(Complaint::Shape(
            "agentid: the app's own, behind state, is needed with a corp's appid",
        )),
        (Door::Oauth2, SimKind::WeCom { .. }) if scope != Scope::Base => {
            Err(Complaint::Shape("scope: snsapi_base with a corp here"))
        }
        (_, SimKind::Official | SimKind::Website) if !agent.is_empty() => {
            Err(Complaint::Shape("agentid is for corps' apps"))
        }
        _ => Ok(()),
    }
}

/// Exactly the required parameters in their order, then any of the optional
/// ones in theirs, nothing twice and nothing else.
fn check_order(pairs: &[(&str, &str)]) -> Result<(), Complaint> {
    let known = |name: &str| REQUIRED.contains(&name) || OPTIONAL.contains(&name);
    if pairs
        .iter()
        .any(|(name, _)| !name.is_empty() && !known(name))
    {
        return Err(Complaint::Shape(
            "an unknown parameter; names are compared with their case, and no others are allowed",
        ));
    }
    for name in REQUIRED {
        if !pairs
            .iter()
            .any(|(its, value)| *its == name && !value.is_empty())
        {
            return Err(match name {
                "appid" => Complaint::EmptyAppid,
                "redirect_uri" => Complaint::EmptyRedirectUri,
                "scope" => Complaint::EmptyScope,
                "state" => Complaint::EmptyState,
                _ => Complaint::Shape("response_type is empty or missing"),
            });
        }
    }
    let mut expected = REQUIRED.into_iter().chain(OPTIONAL);
    let in_order = pairs
        .iter()
        .all(|(name, _)| expected.any(|next| next == *name));
    if in_order {
        Ok(())
    } else {
        Err(Complaint::Shape(
            "the parameters must be, once each and in this order: \
             appid, redirect_uri, response_type, scope, state, \
             then agentid with a corp, and if wanted forcePopup, forceSnapShot, connect_redirect",
        ))
    }
}

fn check_options(pairs: &[(&str, &str)]) -> Result<(), Complaint> {
    for (name, value) in pairs {
        let good = match *name {
            "forcePopup" | "forceSnapShot" => matches!(*value, "true" | "false"),
            "connect_redirect" => *value == "1",
            _ => true,
        };
        if !good {
            return Err(Complaint::Shape(
                "forcePopup and forceSnapShot: true or false; connect_redirect: 1",
            ));
        }
    }
    Ok(())
}

/// The callback's address, if WeChat would send anyone there.
fn callback(encoded: &str, account: &SimAccount) -> Result<String, Complaint> {
    let decoded = decoded_once(encoded)?;
    let not_a_url = Complaint::Shape("redirect_uri: an absolute http or https address");
    let url = Url::parse(&decoded).map_err(|_| not_a_url)?;
    let (scheme, rest) = decoded.split_once("://").ok_or(not_a_url)?;
    // Of the text itself, as WeChat does; the parser's opinion comes second.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match scheme {
        "https" => {}
        "http" if account.sandbox => {}
        "http" => {
            return Err(Complaint::Host(
                "redirect_uri must be https, but for a sandbox account",
            ));
        }
        _ => return Err(not_a_url),
    }
    if !account.sandbox {
        // To WeCom a port is a part of the domain.
        if authority.contains(':') && !matches!(account.kind, SimKind::WeCom { .. }) {
            return Err(Complaint::Host(
                "redirect_uri has a port, which only a sandbox account may have",
            ));
        }
        if authority.parse::<IpAddr>().is_ok() {
            return Err(Complaint::Host(
                "redirect_uri has an IP address, which only a sandbox account may have",
            ));
        }
    }
    let configured = account.callback_hosts.iter().any(|host| host == authority);
    // Should the parser see another host than the text shows, a browser would
    // go there and not to the configured one.
    let host = match authority.rsplit_once(':') {
        // An IPv6 address has colons of its own, inside its brackets.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let same = url.host_str() == Some(host) && url.username().is_empty();
    if configured && same {
        Ok(decoded)
    } else {
        Err(Complaint::Host(
            "redirect_uri's host is not a configured 网页授权域名; \
             it must be equal, parent and sibling domains do not count",
        ))
    }
}

/// Decodes a value that was percent-encoded exactly once, whose unreserved
/// characters alone stand for themselves.
fn decoded_once(encoded: &str) -> Result<String, Complaint> {
    let unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        let good = match byte {
            b'%' => hex(bytes.next()) && hex(bytes.next()),
            other => unreserved(other),
        };
        if !good {
            return Err(Complaint::Shape(
                "redirect_uri must be percent-encoded, all but A-Z a-z 0-9 - . _ ~",
            ));
        }
    }
    let decoded = percent_decode_str(encoded)
        .decode_utf8()
        .map_err(|_| Complaint::Shape("redirect_uri is not UTF-8"))?;
    if ["http%3A", "https%3A", "http%3a", "https%3a"]
        .iter()
        .any(|twice| decoded.starts_with(twice))
    {
        return Err(Complaint::Shape(
            "redirect_uri is percent-encoded more than once",
        ));
    }
    if !decoded.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Complaint::Shape(
            "redirect_uri, decoded, must be visible ASCII",
        ));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
