//! The app behind a route: its address, its limits, and what it is told about
//! the visitor's connection.
//!
//! Holds always: an address with a name is looked up at most once in half a
//! minute, never for each request.

mod forwarded;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use pingora::upstreams::peer::HttpPeer;
use serde::Deserialize;
use url::{Host as UrlHost, Url};

pub(crate) use self::forwarded::folded_says_where_from;
pub use self::forwarded::{Client, TrustedProxies, says_https, says_where_from, write_forwarded};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two reads: bounds idle event streams and WebSockets too, so it is
/// longer than the half minute that such protocols leave between pings.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the minute after which many apps close a connection: a request must
/// not meet a closing one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
const LOOKUP_LIFETIME: Duration = Duration::from_secs(30);

/// The app's base URL: `http://127.0.0.1:3000`. Path and query are the
/// visitor's own and not changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Upstream {
    name: String,
    address: Option<IpAddr>,
    port: u16,
    tls: bool,
}

impl TryFrom<String> for Upstream {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let refuse = |why: &str| {
            format!(
                "found \"{found}\"; expected an http or https URL such as \"http://127.0.0.1:3000\": {why}"
            )
        };
        if found.contains('@') {
            // What stands before it is a password, and is not repeated.
            return Err(
                "found a user name or password; expected an http or https URL without them"
                    .to_owned(),
            );
        }
        let url = Url::parse(&found).map_err(|_| refuse("this is no URL"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(refuse("the scheme must be http or https")),
        };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse(
                "it must hold no path or query, for the visitor's own is forwarded",
            ));
        }
        let (name, address) = match url.host() {
            Some(UrlHost::Domain(name)) => (name.to_owned(), None),
            Some(UrlHost::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(UrlHost::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
            None => return Err(refuse("the host is missing")),
        };
        let port = url
            .port_or_known_default()
            .ok_or_else(|| refuse("the port is missing"))?;
        Ok(Self {
            name,
            address,
            port,
            tls,
        })
    }
}

impl Upstream {
    fn peer(&self, address: SocketAddr) -> HttpPeer {
        // An empty server name turns certificate checks off, so that it is
        // given wherever there is TLS.
        let sni = if self.tls {
            self.name.clone()
        } else {
            String::new()
        };
        let mut peer = HttpPeer::new(address, self.tls, sni);
        peer.options.connection_timeout = Some(CONNECT_TIMEOUT);
        peer.options.total_connection_timeout = Some(CONNECT_TIMEOUT * 2);
        peer.options.read_timeout = Some(READ_TIMEOUT);
        peer.options.write_timeout = Some(WRITE_TIMEOUT);
        peer.options.idle_timeout = Some(IDLE_TIMEOUT);
        peer
    }
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// Finds the addresses of apps that are given by name.
#[derive(Clone, Debug)]
pub struct Resolver {
    found: Cache<(String, u16), Arc<[SocketAddr]>>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            found: Cache::builder()
                .max_capacity(10_000)
                .time_to_live(LOOKUP_LIFETIME)
                .build(),
        }
    }
}

impl Resolver {
    /// The peer for the try numbered `attempt`, from 0: one of the app's
    /// addresses after the other. Says too whether another is left.
    ///
    /// # Errors
    /// When the name has no address.
    pub async fn peer(
        &self,
        upstream: &Upstream,
        attempt: usize,
    ) -> Result<(HttpPeer, bool), Arc<std::io::Error>> {
        if let Some(address) = upstream.address {
            return Ok((
                upstream.peer(SocketAddr::new(address, upstream.port)),
                false,
            ));
        }
        // In a box, or every request would have the room that a look-up takes.
        Box::pin(self.named(upstream, attempt)).await
    }

    async fn named(
        &self,
        upstream: &Upstream,
        attempt: usize,
    ) -> Result<(HttpPeer, bool), Arc<std::io::Error>> {
        let key = (upstream.name.clone(), upstream.port);
        let look_up = look_up(upstream.name.clone(), upstream.port);
        let addresses = self.found.try_get_with(key, look_up).await?;
        let address = addresses
            .get(attempt.min(addresses.len().saturating_sub(1)))
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))?;
        Ok((upstream.peer(*address), attempt + 1 < addresses.len()))
    }
}

async fn look_up(name: String, port: u16) -> std::io::Result<Arc<[SocketAddr]>> {
    let addresses: Arc<[SocketAddr]> = tokio::net::lookup_host((name, port)).await?.collect();
    if addresses.is_empty() {
        return Err(std::io::ErrorKind::AddrNotAvailable.into());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_bare_http_url() {
        let upstream = |text: &str| Upstream::try_from(text.to_owned());
        assert_eq!(
            upstream("http://127.0.0.1:3000").unwrap().to_string(),
            "127.0.0.1:3000"
        );
        assert_eq!(upstream("https://app.example.com").unwrap().port, 443);
        for wrong in [
            "127.0.0.1:3000",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "unix:/x",
        ] {
            assert!(upstream(wrong).is_err(), "{wrong}");
        }
    }
}
