//! Looking after peers: is it there, and does it answer?
//!
//! Holds always: a peer is looked at by one task, however many routes lead to it,
//! and never by a request; until enough checks in a row say that it is out, it is
//! in; a check speaks TLS exactly as requests do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::header::{CONNECTION, HOST, USER_AGENT};
use pingora::connectors::TransportConnector;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use tracing::{info, warn};

use super::peer::Peer;
use super::settings::{CheckPath, Health};
use super::state::State;
use super::{Resolver, Upstream, why};

/// What the checks of a peer say.
#[derive(Debug)]
pub(super) struct Check {
    good: AtomicBool,
}

impl Check {
    pub(super) fn new() -> Self {
        let good = AtomicBool::new(true);
        Self { good }
    }

    pub(super) fn is_good(&self) -> bool {
        self.good.load(Relaxed)
    }
}

/// Who looks after one peer.
pub(super) struct Watch {
    pub(super) upstream: Upstream,
    /// Which of its peers.
    pub(super) at: usize,
    pub(super) health: Health,
    pub(super) check: Arc<Check>,
    pub(super) state: Arc<State>,
    pub(super) resolver: Resolver,
    pub(super) connector: Arc<TransportConnector>,
}

impl Watch {
    /// Looks again and again.
    pub(super) async fn run(self) {
        let Some(peer) = self.upstream.peers().get(self.at) else {
            return;
        };
        let (mut good, mut bad) = (0_u32, 0_u32);
        loop {
            let patience = self.health.timeout.get();
            let looked = tokio::time::timeout(patience, self.look(peer)).await;
            let seen = looked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            match seen {
                Ok(()) => {
                    (good, bad) = (good.saturating_add(1), 0);
                    if !self.check.is_good() && good >= self.health.healthy.get() {
                        // What requests met before is over.
                        self.state.succeeded();
                        self.check.good.store(true, Relaxed);
                        info!(peer = peer.name(), "the app's peer is back");
                    }
                }
                Err(why) => {
                    (good, bad) = (0, bad.saturating_add(1));
                    if self.check.is_good() && bad >= self.health.unhealthy.get() {
                        self.check.good.store(false, Relaxed);
                        warn!(peer = peer.name(), why, "the app's peer is out");
                    }
                }
            }
            tokio::time::sleep(self.health.interval.get()).await;
        }
    }

    /// One look: at one address after the other, until one is good.
    async fn look(&self, peer: &Peer) -> Result<(), String> {
        let mut attempt = 0;
        loop {
            let found = peer.connection(&self.resolver, attempt);
            let (to, more) = found
                .await
                .map_err(|error| format!("its name has no address ({error})"))?;
            match self.ask(peer, &to).await {
                Err(_) if more => attempt += 1,
                seen => return seen,
            }
        }
    }

    async fn ask(&self, peer: &Peer, to: &HttpPeer) -> Result<(), String> {
        let stream = self.connector.new_stream(to).await;
        let stream = stream.map_err(|error| why(&error))?;
        let Some(path) = &self.health.path else {
            return Ok(());
        };
        let mut http = HttpSession::new_with_options(stream, to);
        let request = self.request(peer, path).map_err(|error| why(&error))?;
        let answered = async {
            http.write_request_header(Box::new(request)).await?;
            http.read_response().await
        };
        answered.await.map_err(|error| why(&error))?;
        let status = http.get_status();
        let expected = status.is_some_and(|status| match self.health.status {
            Some(expected) => status == expected.get(),
            None => status.is_success() || status.is_redirection(),
        });
        match (expected, status) {
            (true, _) => Ok(()),
            (false, Some(status)) => Err(format!("answered {}", status.as_u16())),
            (false, None) => Err("no answer".to_owned()),
        }
    }

    fn request(&self, peer: &Peer, path: &CheckPath) -> pingora::Result<RequestHeader> {
        let mut request = RequestHeader::build("GET", path.as_str().as_bytes(), None)?;
        match &self.health.host {
            Some(host) => request.insert_header(HOST, host.value().clone())?,
            None => request.insert_header(HOST, peer.address().authority())?,
        }
        request.insert_header(USER_AGENT, "wxgate-health")?;
        request.insert_header(CONNECTION, "close")?;
        Ok(request)
    }
}
