//! One of the places where an app listens.
//!
//! Holds always: whatever speaks TLS is given a name to check the certificate by.

use std::sync::{Arc, OnceLock};

use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::upstreams::peer::HttpPeer;

use super::address::Place;
use super::health::Check;
use super::secured::{CertificateName, Tls};
use super::settings::Timeouts;
use super::state::State;
use super::{Address, Resolver};

/// What makes two peers the same, in whichever route they stand: address and TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    address: Address,
    server_name: Option<CertificateName>,
    group: u64,
}

/// One of the places where an app listens.
#[derive(Debug)]
pub struct Peer {
    address: Address,
    name: String,
    identity: Identity,
    /// The connection that is made; of a name, without its address.
    template: HttpPeer,
    timeouts: Timeouts,
    /// Shared by all that name the same peer, before and after a change of the
    /// file; its own until it is adopted.
    pub(super) state: OnceLock<Arc<State>>,
    /// What the checks say, where there are any.
    pub(super) check: OnceLock<Arc<Check>>,
}

impl Peer {
    /// The peer at `address`, whose certificate must hold for `server_name`, if it
    /// speaks TLS.
    ///
    /// # Errors
    /// When its certificate could not be checked by that name, or its path is none.
    pub(super) fn new(
        address: Address,
        server_name: Option<CertificateName>,
        tls: Option<&Tls>,
        timeouts: &Timeouts,
    ) -> Result<Self, String> {
        let server_name = match (address.certificate_name(), server_name) {
            (None, _) => None,
            (Some(_), Some(given)) => Some(given),
            (Some(own), None) => Some(CertificateName::try_from(own)?),
        };
        let sni = server_name.as_ref().map_or("", CertificateName::as_str);
        let mut template = match &address.place {
            Place::At(at) => HttpPeer::new(*at, address.tls, sni.to_owned()),
            // Its address is written where it is known.
            Place::Named(_, port) => HttpPeer::new(
                std::net::SocketAddr::from(([0, 0, 0, 0], *port)),
                address.tls,
                sni.to_owned(),
            ),
            Place::Socket(path) => HttpPeer::new_uds(path, false, String::new())
                .map_err(|_| format!("found \"unix:{path}\", which is no path of a socket"))?,
        };
        bound(&mut template, timeouts);
        let tls = tls.filter(|_| address.tls);
        if let Some(tls) = tls {
            tls.apply(&mut template);
        }
        Ok(Self {
            name: address.to_string(),
            identity: Identity {
                address: address.clone(),
                server_name,
                group: tls.map_or(0, Tls::group),
            },
            address,
            template,
            timeouts: *timeouts,
            state: OnceLock::new(),
            check: OnceLock::new(),
        })
    }

    /// What operators call it: `127.0.0.1:3000`, `unix:/run/app.sock`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn state(&self) -> &Arc<State> {
        self.state.get_or_init(Arc::default)
    }

    /// Whether checks say that it is out.
    pub(super) fn is_out(&self) -> bool {
        self.check.get().is_some_and(|check| !check.is_good())
    }

    /// The connection for the try numbered `attempt`, from 0: to one of its
    /// addresses after the other. Says too whether another is left.
    ///
    /// # Errors
    /// When its name has no address.
    pub async fn connection(
        &self,
        resolver: &Resolver,
        attempt: usize,
    ) -> Result<(HttpPeer, bool), Arc<std::io::Error>> {
        match &self.address.place {
            // Made anew, which is cheaper than a copy of what has no parts.
            Place::At(address) if !self.address.tls => {
                let mut peer = HttpPeer::new(*address, false, String::new());
                bound(&mut peer, &self.timeouts);
                Ok((peer, false))
            }
            Place::At(_) | Place::Socket(_) => Ok((self.template.clone(), false)),
            // In a box, or every request would have the room that a look-up takes.
            Place::Named(name, port) => {
                let (address, more) = Box::pin(resolver.find(name, *port, attempt)).await?;
                let mut peer = self.template.clone();
                peer._address = PeerAddress::Inet(address);
                Ok((peer, more))
            }
        }
    }
}

fn bound(peer: &mut HttpPeer, timeouts: &Timeouts) {
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect * 2);
    peer.options.read_timeout = Some(timeouts.read);
    peer.options.write_timeout = Some(timeouts.write);
    peer.options.idle_timeout = Some(timeouts.idle);
}
