//! An explanation as text and as JSON.
//!
//! Holds always: both say the same; of our own cookies and proofs the name alone
//! is told; a visitor's openid, unionid, nickname and picture are cut short unless
//! they were asked for; of the visitor's own headers the names alone.

use std::fmt::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::words::sentence;
use super::{Colliding, Explanation, Reading};
use crate::access_log::Name;
use crate::gateway::Fate;
use crate::identity;
use crate::reply::Reply;
use crate::revocation::show_id;
use crate::route::{Auth, LoginAccount, Route};
use crate::session::{Examined, ExaminedPayer, NoSession, Now, Told};
use crate::signing::Look;
use crate::signon::{Named, SIGN_ON_PATH};
use crate::wechat::Visitor;

pub(super) fn json(all: &Explanation) -> Value {
    let explained = &all.explained;
    let (mut answer, mut app) = (Value::Null, Value::Null);
    match &explained.fate {
        Fate::Reply(reply) => answer = answered(reply),
        Fate::Exchange => answer = json!({"exchanges_code": true}),
        Fate::Forward {
            headers,
            asks_wechat,
        } => {
            let headers = headers.iter().map(
                |(name, value)| json!({"name": name.as_str(), "value": all.value(name, value)}),
            );
            app = json!({"headers": headers.collect::<Vec<_>>(), "asks_wechat_first": asks_wechat});
        }
    }
    let sessions = explained.sessions.iter();
    json!({
        "method": all.question.method.as_str(),
        "url": all.question.address.to_string(),
        "host": explained.host.as_ref().map(|host| host.as_str()),
        "path": explained.path,
        "route": explained.route.as_ref().map(|route| routed(route, all.index)),
        "way": explained.way,
        "reason": explained.reason,
        "why": all.why(),
        "collisions": all.collisions.as_ref().map(colliding),
        "answer": answer,
        "app": app,
        "sessions": sessions.map(|(account, found)| all.examined(account, found)).collect::<Vec<_>>(),
        "payers": explained.payers.iter().map(|(account, found)| all.payer(account, found)).collect::<Vec<_>>(),
        "notes": all.notes,
    })
}

fn routed(route: &Route, index: Option<usize>) -> Value {
    let accounts = route.accounts.all().iter();
    let names: Vec<&str> = accounts.map(|account| account.name.as_str()).collect();
    json!({
        "index": index,
        "host": route.host.to_string(),
        "path": route.path.as_str(),
        "upstream": route.upstream.to_string(),
        "auth": match route.auth {
            Auth::Required => "required",
            Auth::Optional => "optional",
            Auth::None => "none",
        },
        "account": match names.as_slice() {
            [] => Value::Null,
            [only] => json!(only),
            several => json!(several),
        },
        "pay_account": route.pay_account.as_ref().map(|account| account.name.as_str()),
        "scope": (!names.is_empty()).then(|| route.scope.as_str()),
    })
}

fn colliding(found: &Colliding) -> Value {
    match found {
        Colliding::Countless => json!([]),
        Colliding::Readings(all) => {
            let readings = all.iter().map(|Reading { path, route }| {
                let route = route.as_ref();
                json!({"reading": path, "route": route.map(|(index, route)| routed(route, Some(*index)))})
            });
            readings.collect()
        }
    }
}

fn answered(reply: &Reply) -> Value {
    let to = reply.header(&header::LOCATION);
    let client = to.and_then(client_of);
    let cookies = reply.values(&header::SET_COOKIE);
    let names = cookies.filter_map(|cookie| cookie.split('=').next());
    json!({
        "status": reply.status().as_u16(),
        "to": to.map(|to| to.split('?').next().unwrap_or_default()),
        "wechat": to.and_then(hop),
        "client": client,
        "page": reply.tells().map(|trouble| trouble.reason()),
        "title": reply.tells().map(|trouble| trouble.title()),
        "type": reply.header(&header::CONTENT_TYPE),
        "allow": reply.header(&header::ALLOW),
        "retry_after": reply.header(&header::RETRY_AFTER),
        "cookies": names.collect::<Vec<_>>(),
    })
}

/// What a visitor's hop to WeChat says, but for its state.
fn hop(location: &str) -> Option<Value> {
    let (address, query) = location.split_once('?')?;
    let is_wechats = ["/connect/oauth2/authorize", "/connect/qrconnect"]
        .iter()
        .any(|page| address.ends_with(page));
    if !is_wechats {
        return None;
    }
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned())
    };
    Some(
        json!({"appid": value("appid"), "redirect_uri": value("redirect_uri"), "scope": value("scope")}),
    )
}

/// As which client a visitor is sent to another gateway, if one is.
fn client_of(location: &str) -> Option<String> {
    let (address, query) = location.split_once('?')?;
    match Named::in_query(query) {
        Named::Client(name) if address.ends_with(SIGN_ON_PATH) => Some(name.as_str().to_owned()),
        _ => None,
    }
}

/// A moment as people and programs read it.
fn moment(at: Now) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(at));
    at.map_or_else(String::new, |at| {
        humantime::format_rfc3339_seconds(at).to_string()
    })
}

/// A name that tells two apart and gives neither away.
fn masked(text: &str) -> String {
    let count = text.chars().count();
    // Of a short one nothing is left that could be shown.
    let start: String = text.chars().take((count / 4).min(4)).collect();
    format!("{start}… ({count} characters)")
}

impl Explanation {
    fn why(&self) -> String {
        let explained = &self.explained;
        let told = match &explained.fate {
            Fate::Reply(reply) => reply.tells().map(|trouble| trouble.title()),
            Fate::Exchange | Fate::Forward { .. } => None,
        };
        let sentence = sentence(explained.way, explained.reason).or(told);
        sentence.unwrap_or(explained.reason).to_owned()
    }

    fn who(&self, text: &str) -> String {
        match self.question.show_openid {
            true => text.to_owned(),
            false => masked(text),
        }
    }

    /// What is told of a header that the app receives; `None` for the visitor's
    /// own.
    fn value(&self, name: &HeaderName, value: &HeaderValue) -> Option<String> {
        let text = value.to_str().unwrap_or_default();
        let asked = self.question.headers.iter();
        let same = asked
            .clone()
            .any(|(given, was)| given == name && was == value);
        Some(match name.as_str() {
            "x-wechat-assertion" => "(a signed proof)".to_owned(),
            "x-request-id" | "traceparent" => "(a new one)".to_owned(),
            "x-wechat-appid" | "x-wechat-scope" | "x-wechat-snapshot" | "x-wechat-pay-appid" => {
                text.to_owned()
            }
            _ if *name == header::COOKIE || *name == header::HOST => return None,
            name if identity::is_identity(name) => self.who(text),
            _ if same => return None,
            _ => text.to_owned(),
        })
    }

    fn examined(&self, account: &LoginAccount, found: &Examined) -> Value {
        let mut value = json!({
            "account": account.name.as_str(),
            "cookie": found.cookie,
            "snapshot": found.snapshot,
            "counts": found.verdict.is_ok(),
            "reason": found.verdict.as_ref().err().map(|why| why.reason()),
            "why": self.verdict(found),
        });
        if let (Value::Object(fields), Some(told)) = (&mut value, &found.told) {
            let session = &told.session;
            let said = json!({
                "id": show_id(session.id()),
                "openid": session.openid().map(|id| self.who(id.as_str())),
                "userid": session.visitor().userid().map(|id| self.who(id.as_str())),
                "visitor": Name(told.visitor).to_string(),
                "appid": session.app_id(),
                "holds_for": told.place,
                "scope": session.scope_name(),
                "tokens_kept": session.has().tokens,
                "opened": moment(session.opened()),
                "seen": moment(told.seen),
                "idle_end": moment(told.idle_end),
                "end": moment(told.end),
                "older_key": told.by_older_key,
            });
            if let Value::Object(said) = said {
                fields.extend(said);
            }
        }
        value
    }

    fn payer(&self, account: &LoginAccount, found: &ExaminedPayer) -> Value {
        let payer = found.verdict.as_ref().ok();
        json!({
            "account": account.name.as_str(),
            "cookie": found.cookie,
            "counts": payer.is_some(),
            "reason": found.verdict.as_ref().err().map(|why| why.reason()),
            "why": pays(found),
            "openid": payer.map(|payer| self.who(payer.openid().as_str())),
            "appid": payer.map(|payer| payer.app_id()),
        })
    }

    /// Whether a session counts, and why.
    fn verdict(&self, found: &Examined) -> String {
        let why = match &found.verdict {
            Ok(carried) if carried.renew => {
                return "counts, and its cookie is renewed with the answer".to_owned();
            }
            Ok(_) => return "counts; its cookie is not renewed yet".to_owned(),
            Err(why) => *why,
        };
        match (why, &found.told, found.look) {
            (NoSession::Forged, _, Some(Look::NoToken)) => {
                "refused: it has not the form of a session of this version".to_owned()
            }
            (NoSession::Forged, _, Some(Look::UnknownKey)) => {
                "refused: it is signed by a key that is not in session.keys".to_owned()
            }
            (NoSession::Forged, _, _) => {
                "refused: it was changed on its way, or is no session's cookie".to_owned()
            }
            (NoSession::Expired, Some(told), _) => expired(told, self.explained.now),
            (NoSession::Elsewhere, Some(told), _) => format!(
                "refused: it holds for {} with the appid {}",
                told.place,
                told.session.app_id()
            ),
            (NoSession::Future, Some(told), _) => format!(
                "refused: it was opened at {}, which is in the future",
                moment(told.session.opened())
            ),
            (why, _, _) => format!(
                "refused: {}",
                sentence("refused", why.reason()).unwrap_or(why.reason())
            ),
        }
    }
}

/// Whether what a cookie tells of who pays counts, and why.
fn pays(found: &ExaminedPayer) -> &'static str {
    match &found.verdict {
        Ok(_) => "counts, beside the session",
        Err(NoSession::Absent) => "refused: there is no session that counts, beside which it might",
        Err(NoSession::Repeated) => "refused: the cookie stands twice",
        Err(NoSession::Forged) => {
            "refused: it was changed on its way, is signed by a key that is not in session.keys, or is another cookie's value"
        }
        Err(NoSession::Elsewhere) => {
            "refused: it was made for another host, another appid, or beside another session"
        }
        Err(NoSession::Expired) => "refused: the session it was made beside is over",
        Err(NoSession::Future) => "refused: it was made in the future: a clock is wrong",
        Err(NoSession::Outsider) => "refused: it is of somebody who is not of the corp",
        Err(NoSession::Ended | NoSession::Unknown) => "refused: it was ended before its time",
    }
}

fn expired(told: &Told, now: Now) -> String {
    let (since, which) = match told.end <= told.idle_end {
        true => (told.end, "its longest life was over"),
        false => (told.idle_end, "the visitor stayed away too long"),
    };
    let ago = humantime::format_duration(Duration::from_secs(now.saturating_sub(since)));
    format!("refused: it ended at {}, {ago} ago: {which}", moment(since))
}

pub(super) fn text(all: &Explanation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let explained = &all.explained;
    writeln!(
        f,
        "request   {} {}",
        all.question.method, all.question.address
    )?;
    match (&explained.route, all.index) {
        (Some(route), index) => writeln!(f, "route     {}", line(route, index))?,
        (None, _) => writeln!(f, "route     none")?,
    }
    writeln!(
        f,
        "decision  {} ({}): {}",
        explained.way,
        explained.reason,
        all.why()
    )?;
    match &all.collisions {
        Some(Colliding::Countless) => {
            writeln!(
                f,
                "reading   more than can be looked through, or one that only a disk knows"
            )?;
        }
        Some(Colliding::Readings(readings)) => {
            for Reading { path, route } in readings {
                let reaches = match route {
                    Some((index, route)) => line(route, Some(*index)),
                    None => "no route".to_owned(),
                };
                writeln!(f, "reading   {}: {reaches}", path.escape_debug())?;
            }
        }
        None => {}
    }
    match &explained.fate {
        Fate::Reply(reply) => replied(reply, f)?,
        Fate::Exchange => writeln!(
            f,
            "answer    after WeChat's: a session and 302 to where the visitor wanted to go, or a page"
        )?,
        Fate::Forward {
            headers,
            asks_wechat,
        } => {
            if *asks_wechat {
                writeln!(
                    f,
                    "wechat    may be asked first, for the route needs the visitor's tokens; not asked here"
                )?;
            }
            writeln!(
                f,
                "app       receives these headers; a value is shown where the gateway wrote it"
            )?;
            for (name, value) in headers {
                let mut shown = name.to_string();
                if let Some(value) = all.value(name, value) {
                    let _ = write!(shown, ": {value}");
                }
                writeln!(f, "          {shown}")?;
            }
        }
    }
    for (account, found) in &explained.sessions {
        let kind = if found.snapshot {
            ", of a snapshot page"
        } else {
            ""
        };
        writeln!(
            f,
            "session   {} with {}{kind}: {}",
            found.cookie,
            account.name.as_str(),
            all.verdict(found)
        )?;
        if let Some(told) = &found.told {
            said(all, told, f)?;
        }
    }
    for (account, found) in &explained.payers {
        let who = found
            .verdict
            .as_ref()
            .ok()
            .map_or_else(String::new, |payer| {
                let openid = all.who(payer.openid().as_str());
                format!("; openid {openid}, appid {}", payer.app_id())
            });
        writeln!(
            f,
            "payer     {} with {}: {}{who}",
            found.cookie,
            account.name.as_str(),
            pays(found)
        )?;
    }
    for note in &all.notes {
        writeln!(f, "note      {note}")?;
    }
    Ok(())
}

fn line(route: &Route, index: Option<usize>) -> String {
    let index = index.map_or_else(String::new, |index| format!("{index} "));
    let pays = match &route.pay_account {
        Some(pays) => format!(", paying with {}", pays.name.as_str()),
        None => String::new(),
    };
    format!(
        "{index}{route} → {}: {}{pays}",
        route.upstream,
        route.admits()
    )
}

fn replied(reply: &Reply, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "answer    {}", reply.status())?;
    if let Some(trouble) = reply.tells() {
        let kind = match reply.header(&header::CONTENT_TYPE) {
            Some(kind) if kind.starts_with("text/html") => "page",
            _ => "JSON",
        };
        write!(f, ", the {kind} {} ({})", trouble.reason(), trouble.title())?;
    } else if let Some(kind) = reply.header(&header::CONTENT_TYPE) {
        write!(f, ", {kind}")?;
    }
    if let Some(to) = reply.header(&header::LOCATION) {
        write!(f, ", to {}", to.split('?').next().unwrap_or_default())?;
    }
    writeln!(f)?;
    if let Some(hop) = reply.header(&header::LOCATION).and_then(hop) {
        for name in ["appid", "redirect_uri", "scope"] {
            let value = hop.get(name).and_then(Value::as_str).unwrap_or_default();
            writeln!(f, "          {name} = {value}")?;
        }
    }
    if let Some(client) = reply.header(&header::LOCATION).and_then(client_of) {
        writeln!(f, "          client = {client}")?;
    }
    if let Some(allow) = reply.header(&header::ALLOW) {
        writeln!(f, "          Allow: {allow}")?;
    }
    for cookie in reply.values(&header::SET_COOKIE) {
        let name = cookie.split('=').next().unwrap_or_default();
        let what = if cookie.contains("Max-Age=0") {
            "deletes"
        } else {
            "sets"
        };
        writeln!(f, "          {what} the cookie {name}")?;
    }
    Ok(())
}

fn said(all: &Explanation, told: &Told, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let session = &told.session;
    writeln!(
        f,
        "          id {}, {}, in the log {}, appid {}",
        show_id(session.id()),
        match session.visitor() {
            Visitor::OpenId(id) => format!("openid {}", all.who(id.as_str())),
            Visitor::Member(id) => format!("userid {}", all.who(id.as_str())),
        },
        Name(told.visitor),
        session.app_id()
    )?;
    writeln!(
        f,
        "          holds for {}, scope {}{}",
        told.place,
        session.scope_name(),
        if session.has().tokens {
            ", tokens kept"
        } else {
            ""
        }
    )?;
    writeln!(
        f,
        "          opened {}, seen {}",
        moment(session.opened()),
        moment(told.seen)
    )?;
    writeln!(
        f,
        "          ends {} if the visitor stays away, {} in any case",
        moment(told.idle_end.min(told.end)),
        moment(told.end)
    )?;
    if told.by_older_key {
        writeln!(f, "          signed by an older key of session.keys")?;
    }
    Ok(())
}
