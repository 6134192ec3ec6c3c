//! The app behind a route: the peers it is spread over, which of them a request
//! goes to, what is done when one fails, and what it is told about the visitor's
//! connection.
//!
//! Holds always: what may have reached an app is never sent again unless it is
//! safe to repeat; what nobody took a connection for is sent to the next peer. A
//! peer that failed is left alone for a while, but somebody is always tried,
//! unless the checks say that everybody is out. The choice takes no lock.

mod address;
mod balance;
mod failure;
mod forwarded;
mod health;
mod peer;
mod peers;
mod resolver;
mod secured;
mod settings;
mod state;
mod table;
mod tries;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora::Error;
use pingora::upstreams::peer::HttpPeer;

pub use self::address::Address;
use self::balance::{Balancer, MAX_PEERS, Set, first, only};
pub use self::failure::{Failure, why};
use self::failure::{failure, nothing_came};
pub(crate) use self::forwarded::folded_says_where_from;
pub use self::forwarded::{Client, TrustedProxies, says_https, says_where_from, write_forwarded};
pub use self::peer::Peer;
pub use self::peers::{PeerSeen, Peers, UpstreamSeen};
pub use self::resolver::Resolver;
pub use self::secured::{CertificateName, Tls};
pub use self::settings::{
    AppHost, Balance, CheckPath, CheckStatus, Ejection, Health, Timeouts, Wait, Weight,
};
use self::state::{Tally, moment};
pub use self::table::{PeerTable, Table, TlsTable};
pub use self::tries::Tries;

/// The app behind a route. A clone is the same app.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Spread>);

/// Peers, and how requests are spread over them.
#[derive(Debug)]
struct Spread {
    name: String,
    peers: Vec<Peer>,
    weights: Vec<Weight>,
    balance: Balance,
    balancer: Balancer,
    ejection: Ejection,
    health: Option<Health>,
    reuse: bool,
    tally: OnceLock<Arc<Tally>>,
}

/// Why there is nobody to send a request to.
#[derive(Debug)]
pub enum NoPeer {
    /// The checks say that every peer is out; the next are due within the given
    /// time.
    Out(Duration),
    /// No peer's name has an address.
    Nameless(Arc<std::io::Error>),
}

impl Upstream {
    /// The app that `table` describes, with what its files of TLS hold.
    ///
    /// # Errors
    /// The number of the peer that cannot be connected to, and why.
    pub fn new(
        table: &Table,
        server_name: Option<&CertificateName>,
        tls: Option<&Tls>,
    ) -> Result<Self, (usize, String)> {
        let mut peers = Vec::with_capacity(table.peers.len());
        for (at, given) in table.peers.iter().enumerate() {
            if at == MAX_PEERS {
                return Err((
                    at,
                    format!("is one too many; expected at most {MAX_PEERS} peers"),
                ));
            }
            let address = given.get_ref().url.clone();
            let peer = Peer::new(address, server_name.cloned(), tls, &table.timeouts);
            let peer = peer.map_err(|why| (at, why))?;
            if peers.iter().any(|known: &Peer| known.name() == peer.name()) {
                let why = format!(
                    "found {} twice; expected each once, with a weight where it is to get more",
                    peer.name()
                );
                return Err((at, why));
            }
            peers.push(peer);
        }
        let weights: Vec<Weight> = table
            .peers
            .iter()
            .map(|peer| peer.get_ref().weight)
            .collect();
        let named = peers.iter().map(|peer| peer.name().to_owned());
        let names: Vec<_> = named
            .zip(weights.iter().map(|weight| weight.get()))
            .collect();
        let name: Vec<&str> = peers.iter().map(Peer::name).collect();
        let name = match table.is_none {
            true => table::NONE.to_owned(),
            false => name.join(","),
        };
        Ok(Self(Arc::new(Spread {
            name,
            balancer: Balancer::new(table.balance, &names),
            peers,
            weights,
            balance: table.balance,
            ejection: *table.ejection.get_ref(),
            health: table.health.as_ref().map(|health| health.get_ref().clone()),
            reuse: table.reuse,
            tally: OnceLock::new(),
        })))
    }

    /// Whether nothing is ever sent to it: the gateway is only asked about its
    /// requests, by a proxy that sends them there.
    pub fn is_none(&self) -> bool {
        self.0.peers.is_empty()
    }

    /// What operators call it: its peers' names, with commas between.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its peers, in the order of the file.
    pub fn peers(&self) -> &[Peer] {
        &self.0.peers
    }

    /// How requests are spread over several peers and looked after, for a list.
    pub fn described(&self) -> Option<String> {
        let health = self.health().map(|health| match &health.path {
            Some(path) => format!(
                "asked for {} every {}",
                path.as_str(),
                humantime::format_duration(health.interval.get())
            ),
            None => format!(
                "connected to every {}",
                humantime::format_duration(health.interval.get())
            ),
        });
        let balance = (self.peers().len() > 1).then(|| self.0.balance.as_str().to_owned());
        let parts: Vec<String> = balance.into_iter().chain(health).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Whether a request to it says that its connection is not used again.
    pub fn closes(&self) -> bool {
        !self.0.reuse
    }

    fn health(&self) -> Option<&Health> {
        self.0.health.as_ref()
    }

    fn tally(&self) -> &Arc<Tally> {
        self.0.tally.get_or_init(Arc::default)
    }

    fn count_with(&self, tally: &Arc<Tally>) {
        // Whoever has been sent requests already has its own.
        let _ = self.0.tally.set(Arc::clone(tally));
    }

    /// The peer of `tries`' current try, for a log.
    pub fn tried(&self, tries: &Tries) -> Option<&str> {
        let peer = self.0.peers.get(tries.at?)?;
        Some(peer.name())
    }

    /// Those that may be sent something: not tried yet, and not out.
    fn left(&self, tries: &Tries) -> Set {
        let peers = self.0.peers.iter().enumerate();
        let out = peers.filter(|(_, peer)| peer.is_out());
        let out = out.fold(0, |set, (at, _)| set | only(at));
        first(self.0.peers.len()) & !out & !tries.tried
    }

    /// Chooses a peer for the next try.
    fn choose(&self, affinity: impl FnOnce() -> u64, tries: &Tries) -> Option<usize> {
        let peers = &self.0.peers;
        let left = self.left(tries);
        if left.count_ones() <= 1 {
            let at = usize::try_from(left.trailing_zeros()).unwrap_or(MAX_PEERS);
            return (at < peers.len()).then_some(at);
        }
        let rest = |at: usize| peers.get(at).map_or(0, |peer| peer.state().rests_until());
        let mut resting = 0;
        // The clock is asked where somebody rests alone.
        let mut now = None;
        for at in 0..peers.len() {
            let until = rest(at);
            if until > 0 && until > *now.get_or_insert_with(moment) {
                resting |= only(at);
            }
        }
        let busy = |at: usize| {
            peers
                .get(at)
                .map_or(0, |peer| peer.state().busy.load(Relaxed))
        };
        match left & !resting {
            // All of them rest: the one whose rest ends first.
            0 => (0..peers.len())
                .filter(|at| left & only(*at) != 0)
                .min_by_key(|at| rest(*at)),
            offered => self.0.balancer.choose(offered, affinity, busy),
        }
    }

    /// The connection for the next try of a request. `affinity` is what all
    /// requests of one visitor have in common, see [`Upstream::affinity`].
    ///
    /// # Errors
    /// When there is nobody to be tried.
    pub async fn next(
        &self,
        resolver: &Resolver,
        affinity: impl Fn() -> u64,
        tries: &mut Tries,
    ) -> Result<HttpPeer, NoPeer> {
        let mut nameless = None;
        loop {
            if !tries.same_again() {
                let Some(at) = self.choose(&affinity, tries) else {
                    return Err(self.nobody(nameless));
                };
                tries.begin(at);
            }
            let Some(peer) = tries.at.and_then(|at| self.0.peers.get(at)) else {
                return Err(self.nobody(nameless));
            };
            match peer.connection(resolver, tries.address).await {
                Ok((mut connection, more)) => {
                    tries.more_addresses = more;
                    if self.0.balance == Balance::LeastConnections {
                        tries.occupy(peer.state());
                    }
                    if self.closes() || tries.alone {
                        stand_alone(&mut connection);
                    }
                    return Ok(connection);
                }
                Err(error) => {
                    tries.give_up();
                    self.rest(peer);
                    nameless = Some(error);
                }
            }
        }
    }

    /// There is nobody to be asked; `nameless` is why a name has no address.
    fn nobody(&self, nameless: Option<Arc<std::io::Error>>) -> NoPeer {
        self.tally().note(Failure::NoPeer);
        let due = self.health().map(|health| health.interval.get());
        nameless.map_or(NoPeer::Out(due.unwrap_or_default()), NoPeer::Nameless)
    }

    /// No connection was made: nothing was sent. Says whether another try is worth
    /// it.
    pub fn not_connected(&self, tries: &mut Tries, error: &Error) -> bool {
        self.tally().note(failure(error));
        if tries.more_addresses {
            tries.next_address();
            return self.retries();
        }
        let peer = tries.at.and_then(|at| self.0.peers.get(at));
        if let Some(peer) = peer {
            self.rest(peer);
        }
        tries.give_up();
        self.left(tries) != 0 && self.retries()
    }

    /// A connection failed on which the request was sent, at least in part. Says
    /// whether it is sent again: `may_repeat` tells that the request is safe to
    /// repeat, `reused` that the connection had served before, which an app may
    /// close at any time.
    pub fn broke_off(
        &self,
        tries: &mut Tries,
        error: &Error,
        reused: bool,
        may_repeat: bool,
    ) -> bool {
        self.tally().note(failure(error));
        if reused && may_repeat && !tries.alone && !tries.answered && nothing_came(error) {
            tries.once_more();
            return self.retries();
        }
        if let Some(peer) = tries.at.and_then(|at| self.0.peers.get(at)) {
            self.rest(peer);
        }
        false
    }

    /// The app began to answer with `status`.
    pub fn answered(&self, tries: &mut Tries, status: http::StatusCode) {
        tries.answered = true;
        let Some(peer) = tries.at.and_then(|at| self.0.peers.get(at)) else {
            return;
        };
        match status.as_u16() {
            // Not the app's own word, but that of whoever stands before it.
            502..=504 => self.rest(peer),
            100 | 102..=199 => {}
            _ => peer.state().succeeded(),
        }
    }

    fn retries(&self) -> bool {
        self.tally().retries.fetch_add(1, Relaxed);
        true
    }

    fn rest(&self, peer: &Peer) {
        if let Some(rest) = peer.state().failed(&self.0.ejection, moment())
            && self.0.peers.len() > 1
        {
            let rest = humantime::format_duration(rest);
            tracing::warn!(peer = peer.name(), %rest, "the app's peer fails and is given a rest");
        }
    }

    /// What stands for a visitor whose requests go to one peer: of a session its
    /// id, else the address.
    pub fn affinity(session: Option<&[u8; 16]>, client: std::net::IpAddr) -> u64 {
        balance::affinity(match (session, client) {
            (Some(id), _) => u128::from_be_bytes(*id),
            (None, std::net::IpAddr::V4(address)) => address.to_bits().into(),
            (None, std::net::IpAddr::V6(address)) => address.to_bits(),
        })
    }
}

/// Has a connection be made that nobody had before and nobody has after.
fn stand_alone(connection: &mut HttpPeer) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    connection.group_key = secured::ALONE | COUNT.fetch_add(1, Relaxed);
    connection.options.idle_timeout = Some(Duration::ZERO);
}

impl TryFrom<String> for Upstream {
    type Error = String;

    /// An app of one peer, with the defaults of everything else.
    fn try_from(found: String) -> Result<Self, String> {
        let peer = PeerTable::from(Address::try_from(found)?);
        let table = Table::from(vec![toml::Spanned::new(0..0, peer)]);
        Self::new(&table, None, None).map_err(|(_, why)| why)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str(self.name());
        }
        for (at, (peer, weight)) in self.0.peers.iter().zip(&self.0.weights).enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(peer.name())?;
            if weight.get() > 1 {
                write!(f, " (weight {})", weight.get())?;
            }
        }
        Ok(())
    }
}
