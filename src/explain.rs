//! `wxgate explain`: what becomes of one request, and why.
//!
//! Holds always: the answer is that of the code which serves visitors, with the
//! routes and keys of `gateway.toml`; nothing is changed, no key is made, and
//! nobody is asked: no app, no WeChat, no store. What was not looked at is told.
//! Neither a cookie nor a code, a token or a signed proof is repeated; who the
//! visitor is, only on request.

mod shown;
mod words;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use pingora::http::RequestHeader;
use serde_json::Value;
use thiserror::Error;

use crate::assembly::{Lasting, assemble};
use crate::config::Plan;
use crate::gateway::{Explained, Gateway};
use crate::identity::assertion::{self, Assertions};
use crate::origin::Host;
use crate::request;
use crate::route::{Collisions, LoginAccount, Route};
use crate::signing::{Keyring, generate_key};
use crate::store::Place;

/// What a URL of the command line says, not a letter of it tidied away.
#[derive(Clone, Debug)]
pub struct Address {
    https: bool,
    authority: String,
    target: String,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a URL with its host, such as https://shop.example.com/cart";
        let (scheme, rest) = text.split_once("://").ok_or(expected)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(expected.to_owned()),
        };
        // What follows "#" stays in the browser.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(expected.to_owned());
        }
        if rest.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("a URL holds no spaces or control characters: write %20".to_owned());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            https,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        // Without the query, where codes stand.
        let (path, query) = match self.target.split_once('?') {
            Some((path, _)) => (path, "?…"),
            None => (self.target.as_str(), ""),
        };
        write!(f, "{scheme}://{}{path}{query}", self.authority)
    }
}

/// Why nothing can be explained, in words for the operator.
#[derive(Debug, Error)]
pub enum Failure {
    /// What was asked about is no request.
    #[error("no request can be made of that: {0}")]
    Request(String),
    /// There is no gateway of that plan.
    #[error("{0}")]
    Gateway(String),
}

/// The request that is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// What it is for.
    pub address: Address,
    /// Its headers but for `Host`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Where the connection comes from.
    pub from: IpAddr,
    /// Whether to say who the visitor is.
    pub show_openid: bool,
}

impl Question {
    /// The request's header, and its bytes as they would come.
    fn header(&self) -> Result<(RequestHeader, Vec<u8>), Failure> {
        let target = self.address.target.as_bytes();
        let unfit = |error: Box<pingora::Error>| Failure::Request(error.to_string());
        let mut header = RequestHeader::build(self.method.as_str(), target, None).map_err(unfit)?;
        let mut raw = format!("{} ", self.method).into_bytes();
        raw.extend_from_slice(target);
        raw.extend_from_slice(b" HTTP/1.1\r\n");
        let host = HeaderValue::from_str(&self.address.authority)
            .map_err(|_| Failure::Request("its host cannot stand in a header".to_owned()))?;
        let own = self
            .headers
            .iter()
            .any(|(name, _)| *name == http::header::HOST);
        let host = (!own).then_some((http::header::HOST, host));
        for (name, value) in host.iter().chain(&self.headers) {
            header
                .append_header(name.clone(), value.clone())
                .map_err(unfit)?;
            raw.extend_from_slice(name.as_str().as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(value.as_bytes());
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(b"\r\n");
        Ok((header, raw))
    }
}

/// What becomes of a request: as text by its `Display`, or as JSON.
#[derive(Debug)]
pub struct Explanation {
    question: Question,
    explained: Explained,
    /// The place in the file of the route that decides.
    index: Option<usize>,
    collisions: Option<Colliding>,
    /// What was not looked at, and what else should be known.
    notes: Vec<String>,
}

/// Why a path is not decided.
#[derive(Debug)]
enum Colliding {
    Readings(Vec<Reading>),
    Countless,
}

/// A way to read a path.
#[derive(Debug)]
struct Reading {
    path: String,
    /// The route it reaches, with its place in the file.
    route: Option<(usize, Arc<Route>)>,
}

/// Explains the request of `question` as a gateway of `plan` would decide it.
///
/// # Errors
/// See [`Failure`].
pub async fn explain(plan: Plan, question: Question) -> Result<Explanation, Failure> {
    let (header, raw) = question.header()?;
    let mut notes = Vec::new();
    // Where TLS ends here, the scheme tells whether it does.
    let secured = question.address.https && plan.tls.is_some();
    let (listed, looked) = (plan.listed.clone(), store_note(&plan));
    let (gateway, keyless) = gateway(plan).map_err(Failure::Gateway)?;
    if header.headers.contains_key(http::header::COOKIE) {
        notes.extend(keyless);
    }
    let explained = gateway
        .explain(&header, &raw, question.from, secured)
        .await
        .map_err(|error| Failure::Gateway(format!("the request cannot be prepared: {error}")))?;
    let place = |route: &Arc<Route>| listed.iter().position(|other| Arc::ptr_eq(other, route));
    let index = explained.route.as_ref().and_then(place);
    let collisions = (explained.reason == "ambiguous_path").then(|| {
        let host = explained.host.as_ref()?;
        Some(match gateway.routes.collisions(host, &explained.path) {
            Collisions::Countless => Colliding::Countless,
            Collisions::Readings(all) => {
                let placed = |route: &Arc<Route>| Some((place(route)?, Arc::clone(route)));
                let readings = all.into_iter().map(|(path, route)| {
                    let route = route.and_then(placed);
                    Reading { path, route }
                });
                Colliding::Readings(readings.collect())
            }
        })
    });
    if explained
        .sessions
        .iter()
        .any(|(_, found)| found.verdict.is_ok())
    {
        notes.push(looked);
    }
    notes.extend(by_way_of(&explained, &gateway, &header));
    Ok(Explanation {
        index,
        collisions: collisions.flatten(),
        question,
        explained,
        notes,
    })
}

/// By way of which other gateways the route's visitors log in, if by any.
fn by_way_of(explained: &Explained, gateway: &Gateway, header: &RequestHeader) -> Vec<String> {
    let authority = request::authority(header).and_then(Host::and_port);
    let (Some(route), Some((host, port))) = (&explained.route, authority) else {
        return Vec::new();
    };
    let origin = gateway.routes.origin_at(&host, port);
    let told = |account: &Arc<LoginAccount>| {
        account.via().map(|via| {
            format!(
                "visitors of accounts.{} log in by way of {}, which must list {} in origins of its client {}",
                account.name.as_str(),
                account.wechat.callback_origin().as_str(),
                origin.as_str(),
                via.client.as_str()
            )
        })
    };
    route.accounts.all().iter().filter_map(told).collect()
}

fn store_note(plan: &Plan) -> String {
    let place = match &plan.store.place {
        Place::Memory => "the journal of the state directory",
        Place::File(_) => "the file of store.kind",
        Place::Redis(_) => "the Redis of store.kind",
    };
    format!(
        "whether the session was ended before its time was not looked at: {place} tells the gateway that runs"
    )
}

/// A gateway of `plan` that serves nobody: what it keeps is gone with it. Says too
/// why no cookie verifies with it, if none does.
fn gateway(mut plan: Plan) -> Result<(Gateway, Option<String>), String> {
    let mut keyless = None;
    let keys = match plan.known_keys() {
        Ok(keys) => keys,
        Err(why) => {
            keyless = Some(format!(
                "no cookie verifies here, for there is no key: {why}"
            ));
            let key = generate_key().map_err(|error| error.to_string())?;
            Keyring::new(&[key]).map_err(|(_, error)| error.to_string())?
        }
    };
    let assertions = match plan.assertions.take() {
        Some(assertions) => Some(assertions),
        None if !plan.asserts() => None,
        None => {
            let key = assertion::generate_key().map_err(|error| error.to_string())?;
            Some(Assertions::new(&[key]).map_err(|(_, error)| error.to_string())?)
        }
    };
    plan.keys = Some(keys);
    plan.assertions = assertions;
    let lasting = Lasting::scratch(&plan);
    let assembled = assemble(plan, &lasting, None).map_err(|error| error.to_string())?;
    Ok((assembled.gateway, keyless))
}

impl Explanation {
    /// The same for programs.
    pub fn json(&self) -> Value {
        shown::json(self)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown::text(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_it_stands() {
        let read = |text: &str| text.parse::<Address>();
        let odd = read("HTTPS://Shop.example.com:8443/a/../b;x//%2e?q=1#part").unwrap();
        assert_eq!(odd.authority, "Shop.example.com:8443");
        assert_eq!(odd.target, "/a/../b;x//%2e?q=1");
        assert!(odd.https);
        assert_eq!(
            odd.to_string(),
            "https://Shop.example.com:8443/a/../b;x//%2e?…"
        );
        assert_eq!(read("http://a.example").unwrap().target, "/");
        assert_eq!(read("http://a.example?q").unwrap().target, "/?q");
        for wrong in [
            "",
            "/cart",
            "shop.example.com/cart",
            "ftp://a/",
            "https:///x",
            "https://a/b c",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
