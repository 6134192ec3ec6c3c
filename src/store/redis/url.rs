//! Where a Redis is, in its several forms, as one URL.
//!
//! Holds always: no part of a URL is repeated in a message or shown, for it may
//! hold a password; a URL that is taken names hosts, and what is to be done with
//! them.

use std::fmt;

use ::redis::cluster::ClusterClient;
use ::redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use ::redis::{Client, ConnectionAddr, IntoConnectionInfo as _, TlsMode};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use super::{CONNECT, RESPONSE};

use crate::secret::Secret;

const FORMS: &str = "expected redis://[user:password@]host[:6379][/db], redis+sentinel://[user:password@]host:26379,host:26379/master[/db] or \
                     redis+cluster://[user:password@]host:6379,host:6379, each with rediss instead of redis for TLS";

/// A Redis, several behind Sentinels, or a cluster.
#[derive(Clone)]
pub struct Url(pub(super) Form, Digest);

/// Of the text: whether two are the same is asked without keeping a password.
type Digest = [u8; 32];

impl PartialEq for Url {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

#[derive(Clone)]
pub(super) enum Form {
    One(Box<Client>),
    Sentinel(Box<Sentinels>),
    Cluster(Box<ClusterClient>),
}

/// What is known of a Redis that Sentinels tell the place of.
#[derive(Clone)]
pub(super) struct Sentinels {
    nodes: Vec<(String, u16)>,
    master: String,
    db: i64,
    user: Option<String>,
    password: Option<Secret>,
    sentinel_password: Option<Secret>,
    tls: bool,
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Form::One(_) => "Url(one Redis)",
            Form::Sentinel(_) => "Url(Sentinels)",
            Form::Cluster(_) => "Url(a cluster)",
        })
    }
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong, without a word of it, in words for the operator.
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        let (scheme, rest) = secret
            .expose()
            .split_once("://")
            .ok_or_else(|| format!("the URL of the Redis has no scheme; {FORMS}"))?;
        let form = match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" => one(secret)?,
            "redis+sentinel" | "rediss+sentinel" => Form::Sentinel(Box::new(Sentinels::parse(
                rest,
                scheme.starts_with("rediss"),
            )?)),
            "redis+cluster" | "rediss+cluster" => cluster(rest, scheme.starts_with("rediss"))?,
            _ => {
                return Err(format!(
                    "the URL of the Redis has a scheme that is not known; {FORMS}"
                ));
            }
        };
        let digest = Sha256::digest(secret.expose().as_bytes()).into();
        Ok(Self(form, digest))
    }
}

fn wrong(what: &str) -> String {
    format!("the URL of the Redis {what}; {FORMS}")
}

fn one(secret: &Secret) -> Result<Form, String> {
    // What stands behind it would turn the check of certificates off.
    if secret.expose().contains('#') {
        return Err(wrong("has a fragment"));
    }
    let client = Client::open(secret.expose()).map_err(|_| wrong("cannot be read"))?;
    Ok(Form::One(Box::new(client)))
}

/// Credentials, nodes, and what stands behind the first slash.
struct Parts<'a> {
    user: Option<String>,
    password: Option<Secret>,
    nodes: Vec<(String, u16)>,
    path: &'a str,
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(String::from)
        .map_err(|_| wrong("holds an encoding that is not UTF-8"))
}

fn parts(rest: &str, port: u16) -> Result<Parts<'_>, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    let (user, password) = match credentials {
        None => (None, None),
        Some(credentials) => {
            let (user, password) = credentials.split_once(':').unwrap_or(("", credentials));
            let user = decoded(user)?;
            (
                Some(user).filter(|user| !user.is_empty()),
                Some(Secret::new(decoded(password)?)),
            )
        }
    };
    let node = |text: &str| {
        let (host, given) = match text.rsplit_once(':') {
            Some((host, given)) => (host, given.parse().ok()?),
            None => (text, port),
        };
        (!host.is_empty()).then(|| (host.to_owned(), given))
    };
    let nodes = hosts.split(',').map(node).collect::<Option<Vec<_>>>();
    Ok(Parts {
        user,
        password,
        nodes: nodes.ok_or_else(|| wrong("names a host that cannot be read"))?,
        path,
    })
}

fn cluster(rest: &str, tls: bool) -> Result<Form, String> {
    let parts = parts(rest, 6379)?;
    if !parts.path.is_empty() {
        return Err(wrong("has a path, where a cluster has one database"));
    }
    let nodes = parts
        .nodes
        .into_iter()
        .map(|(host, port)| address(host, port, tls));
    let nodes = nodes
        .map(|node| node.into_connection_info())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong("cannot be read"))?;
    let mut builder = ClusterClient::builder(nodes)
        .connection_timeout(CONNECT)
        .response_timeout(RESPONSE)
        .retries(2);
    if tls {
        builder = builder.tls(TlsMode::Secure);
    }
    if let Some(user) = parts.user {
        builder = builder.username(user);
    }
    if let Some(password) = parts.password {
        builder = builder.password(password.expose());
    }
    let client = builder.build().map_err(|_| wrong("cannot be read"))?;
    Ok(Form::Cluster(Box::new(client)))
}

fn address(host: String, port: u16, tls: bool) -> ConnectionAddr {
    match tls {
        false => ConnectionAddr::Tcp(host, port),
        true => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    }
}

impl Sentinels {
    fn parse(rest: &str, tls: bool) -> Result<Self, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let sentinel_password = match query.split_once('=') {
            None if query.is_empty() => None,
            Some(("sentinel_password", password)) => Some(Secret::new(decoded(password)?)),
            _ => {
                return Err(wrong(
                    "has a query other than ?sentinel_password=, which is the Sentinels' own",
                ));
            }
        };
        let parts = parts(rest, 26379)?;
        let (master, db) = parts.path.split_once('/').unwrap_or((parts.path, "0"));
        if master.is_empty() {
            return Err(wrong("names no master"));
        }
        Ok(Self {
            nodes: parts.nodes,
            master: decoded(master)?,
            db: db
                .parse()
                .map_err(|_| wrong("has a database that is no number"))?,
            user: parts.user,
            password: parts.password,
            sentinel_password,
            tls,
        })
    }

    /// A builder of clients, made anew for each connection: it asks the Sentinels
    /// who the master is.
    pub(super) fn builder(&self) -> ::redis::RedisResult<SentinelClientBuilder> {
        let nodes = self.nodes.iter().cloned();
        let nodes = nodes.map(|(host, port)| address(host, port, self.tls));
        let mut builder =
            SentinelClientBuilder::new(nodes, &self.master, SentinelServerType::Master)?
                .set_client_to_redis_db(self.db);
        if self.tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(user) = &self.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password.expose());
        }
        if let Some(password) = &self.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password.expose());
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Url, String> {
        Url::parse(&Secret::new(url.to_owned()))
    }

    #[test]
    fn each_form_is_taken() {
        for (url, form) in [
            ("redis://127.0.0.1", "Url(one Redis)"),
            (
                "redis://user:hunter2@redis.internal:6380/3",
                "Url(one Redis)",
            ),
            ("rediss://:hunter2@redis.internal", "Url(one Redis)"),
            ("valkey://:hunter2@valkey.internal", "Url(one Redis)"),
            (
                "redis+sentinel://:hunter2@a:26379,b/shop/1",
                "Url(Sentinels)",
            ),
            (
                "rediss+sentinel://a/shop?sentinel_password=hunter2",
                "Url(Sentinels)",
            ),
            (
                "redis+cluster://user:hunter2@a:7000,b:7001",
                "Url(a cluster)",
            ),
        ] {
            assert_eq!(format!("{:?}", parsed(url).unwrap()), form, "{url}");
        }
    }

    #[test]
    fn a_wrong_url_is_told_without_being_repeated() {
        for url in [
            "hunter2",
            "http://hunter2",
            "redis://u:hunter2@host:port",
            "rediss://u:hunter2@host#insecure",
            "redis+sentinel://u:hunter2@a:26379",
            "redis+sentinel://u:hunter2@a:26379/shop/x",
            "redis+sentinel://u:hunter2@a:26379/shop?x=y",
            "redis+cluster://u:hunter2@/",
            "redis+cluster://u:hunter2@a:1,,b",
            "redis+cluster://u:hunter2@a:1/0",
        ] {
            let told = parsed(url).unwrap_err();
            assert!(told.contains("expected redis://"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
