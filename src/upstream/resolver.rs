//! The addresses behind names.
//!
//! Holds always: a name that has addresses is looked up at most once in half a
//! minute; one that has none is looked up again by the next request, and by one at a
//! time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

const LIFETIME: Duration = Duration::from_secs(30);

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
                .time_to_live(LIFETIME)
                .build(),
        }
    }
}

impl Resolver {
    /// The address for the try numbered `attempt`, from 0: one of the name's after
    /// the other. Says too whether another is left.
    ///
    /// # Errors
    /// When the name has no address.
    pub(super) async fn find(
        &self,
        name: &str,
        port: u16,
        attempt: usize,
    ) -> Result<(SocketAddr, bool), Arc<std::io::Error>> {
        let look_up = look_up(name.to_owned(), port);
        let key = (name.to_owned(), port);
        let addresses = self.found.try_get_with(key, look_up).await?;
        let address = addresses
            .get(attempt.min(addresses.len().saturating_sub(1)))
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))?;
        Ok((*address, attempt + 1 < addresses.len()))
    }
}

async fn look_up(name: String, port: u16) -> std::io::Result<Arc<[SocketAddr]>> {
    let addresses: Arc<[SocketAddr]> = tokio::net::lookup_host((name, port)).await?.collect();
    if addresses.is_empty() {
        return Err(std::io::ErrorKind::AddrNotAvailable.into());
    }
    Ok(addresses)
}
