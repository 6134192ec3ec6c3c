//! All peers of all routes, for as long as the process lives.
//!
//! Holds always: what is known of a peer outlives every reading of
//! `gateway.toml` that names it, and ends with the first that does not; what was
//! counted of an app stays, whatever is named; a check runs as long as a route
//! asks for it, and one alone for each peer.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pingora::connectors::TransportConnector;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::health::{Check, Watch};
use super::peer::Identity;
use super::settings::Health;
use super::state::{Moment, State, Tally, moment};
use super::{Failure, Peer, Resolver, Upstream};

/// All peers of all routes.
pub struct Peers {
    /// Where checks run.
    runtime: Handle,
    /// Whether any do.
    checks: bool,
    resolver: Resolver,
    /// What checks connect with: made for the first, for it reads the system's
    /// certificates.
    connector: OnceLock<Arc<TransportConnector>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    states: HashMap<Identity, Arc<State>>,
    checks: HashMap<(Identity, Health), Running>,
    /// Of every app that there ever was, by its name: counts never go back.
    tallies: BTreeMap<String, Arc<Tally>>,
    /// Of the newest file, each once, in its order.
    upstreams: Vec<Upstream>,
    /// Where they stand there.
    places: HashMap<String, usize>,
}

/// A check, which ends when this is dropped.
struct Running {
    check: Arc<Check>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// An app as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSeen {
    /// Its peers' names, with commas between.
    pub upstream: String,
    /// Tries after the first.
    pub retries: u64,
    /// Failed tries, by their kind.
    pub errors: Vec<(Failure, u64)>,
    /// Its peers, in the order of the file; none once the file names it no more.
    pub peers: Vec<PeerSeen>,
}

/// A peer as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSeen {
    /// Its name.
    pub peer: String,
    /// Whether requests are sent there: neither out nor at rest.
    pub up: bool,
    /// What the checks say, where there are any.
    pub checked: Option<bool>,
    /// How often it was given a rest.
    pub ejections: u64,
    /// Requests on their way to it; counted with `least_connections` alone.
    pub busy: usize,
}

impl Peers {
    /// Nobody yet. Checks will run on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            checks: true,
            resolver: Resolver::default(),
            connector: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    /// Nobody yet, and nobody will be asked how they are.
    pub fn unasked(runtime: Handle) -> Self {
        Self {
            checks: false,
            ..Self::new(runtime)
        }
    }

    /// What finds the addresses of names, for requests too.
    pub fn resolver(&self) -> Resolver {
        self.resolver.clone()
    }

    /// Takes over the apps of a newly read file, before any request is sent there:
    /// peers that are known keep what is known of them, checks that are new begin,
    /// and of whatever the file names no more nothing is left but its counts.
    pub fn adopt<'a>(&self, upstreams: impl IntoIterator<Item = &'a Upstream>) {
        let mut known = self.known.lock();
        let mut next = Known {
            tallies: std::mem::take(&mut known.tallies),
            ..Known::default()
        };
        for upstream in upstreams {
            self.take_over(upstream, &mut known, &mut next);
        }
        // What is left of the old ends here.
        *known = next;
    }

    fn take_over(&self, upstream: &Upstream, known: &mut Known, next: &mut Known) {
        let name = upstream.name().to_owned();
        upstream.count_with(next.tallies.entry(name).or_default());
        for (at, peer) in upstream.peers().iter().enumerate() {
            let identity = peer.identity();
            let state = next.states.entry(identity.clone()).or_insert_with(|| {
                let old = known.states.get(identity);
                old.map_or_else(|| Arc::clone(peer.state()), Arc::clone)
            });
            // Whoever has been sent requests already has its own.
            let _ = peer.state.set(Arc::clone(state));
            let Some(health) = upstream.health().filter(|_| self.checks) else {
                continue;
            };
            let key = (identity.clone(), health.clone());
            let running = match next
                .checks
                .remove(&key)
                .or_else(|| known.checks.remove(&key))
            {
                Some(running) => running,
                None => self.begin(upstream, at, health, state),
            };
            let _ = peer.check.set(Arc::clone(&running.check));
            next.checks.insert(key, running);
        }
        let name = upstream.name().to_owned();
        let place = *next.places.entry(name).or_insert(next.upstreams.len());
        match next.upstreams.get_mut(place) {
            // The one that knows more.
            Some(seen) if seen.health().is_none() => *seen = upstream.clone(),
            Some(_) => {}
            None => next.upstreams.push(upstream.clone()),
        }
    }

    fn begin(
        &self,
        upstream: &Upstream,
        at: usize,
        health: &Health,
        state: &Arc<State>,
    ) -> Running {
        let connector = self
            .connector
            .get_or_init(|| Arc::new(TransportConnector::new(None)));
        let check = Arc::new(Check::new());
        let watch = Watch {
            upstream: upstream.clone(),
            at,
            health: health.clone(),
            check: Arc::clone(&check),
            state: Arc::clone(state),
            resolver: self.resolver.clone(),
            connector: Arc::clone(connector),
        };
        let task = self.runtime.spawn(watch.run()).abort_handle();
        Running { check, task }
    }

    /// Ends all checks. What they said last stays.
    pub fn stop(&self) {
        self.known.lock().checks.clear();
    }

    /// How the apps are, for operators: those of the file, in its order, then those
    /// that it names no more.
    pub fn snapshot(&self) -> Vec<UpstreamSeen> {
        let now = moment();
        let known = self.known.lock();
        let of_the_file = known.upstreams.iter().map(|upstream| {
            let peers = upstream.peers().iter().map(|peer| peer.seen(now));
            upstream.tally().seen(upstream.name(), peers.collect())
        });
        let gone = known.tallies.iter();
        let gone = gone.filter(|(name, _)| !known.places.contains_key(*name));
        let gone = gone.map(|(name, tally)| tally.seen(name, Vec::new()));
        of_the_file.chain(gone).collect()
    }
}

impl Peer {
    fn seen(&self, now: Moment) -> PeerSeen {
        let state = self.state();
        let checked = self.check.get().map(|check| check.is_good());
        PeerSeen {
            peer: self.name().to_owned(),
            up: checked.unwrap_or(true) && state.rests_until() <= now,
            checked,
            ejections: state.ejections.load(Relaxed),
            busy: state.busy.load(Relaxed),
        }
    }
}

impl Tally {
    fn seen(&self, upstream: &str, peers: Vec<PeerSeen>) -> UpstreamSeen {
        let errors = Failure::ALL.into_iter().zip(&self.errors);
        UpstreamSeen {
            upstream: upstream.to_owned(),
            retries: self.retries.load(Relaxed),
            errors: errors
                .map(|(failure, count)| (failure, count.load(Relaxed)))
                .collect(),
            peers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Address, Health, PeerTable, Table};

    fn upstream(urls: &[&str], health: Option<Health>) -> Upstream {
        let peers = urls.iter().map(|url| {
            let address = Address::try_from((*url).to_owned()).unwrap();
            toml::Spanned::new(0..0, PeerTable::from(address))
        });
        let mut table = Table::from(peers.collect::<Vec<_>>());
        table.health = health.map(|health| toml::Spanned::new(0..0, health));
        Upstream::new(&table, None, None).unwrap()
    }

    const ONE: &str = "http://127.0.0.1:1";
    const TWO: &str = "http://127.0.0.1:2";

    fn tasks(peers: &Peers) -> Vec<tokio::task::Id> {
        let known = peers.known.lock();
        let ids = known.checks.values().map(|running| running.task.id());
        let mut ids: Vec<_> = ids.collect();
        ids.sort_by_key(ToString::to_string);
        ids
    }

    fn state(upstream: &Upstream, at: usize) -> &Arc<State> {
        upstream.peers()[at].state()
    }

    #[tokio::test]
    async fn what_is_known_of_a_peer_outlives_the_file() {
        let peers = Peers::new(Handle::current());
        let (first, other) = (upstream(&[ONE], None), upstream(&[ONE], None));
        peers.adopt([&first, &other]);
        assert!(Arc::ptr_eq(state(&first, 0), state(&other, 0)));
        assert!(Arc::ptr_eq(first.tally(), other.tally()));
        state(&first, 0).busy.store(7, Relaxed);
        first.tally().retries.store(3, Relaxed);
        // Another file: the peer moves in the list, and goes on.
        let (second, same) = (upstream(&[TWO, ONE], None), upstream(&[ONE], None));
        peers.adopt([&second, &same]);
        assert!(Arc::ptr_eq(state(&second, 1), state(&first, 0)));
        let seen = peers.snapshot();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].upstream, "127.0.0.1:2,127.0.0.1:1");
        assert_eq!((seen[0].retries, seen[1].retries), (0, 3));
        assert_eq!(seen[0].peers[1].busy, 7);
        // Whoever is named no more is forgotten.
        peers.adopt([&upstream(&[TWO], None)]);
        let third = upstream(&[ONE], None);
        peers.adopt([&third]);
        assert_eq!(state(&third, 0).busy.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn what_was_counted_of_an_app_stays() {
        let peers = Peers::new(Handle::current());
        let first = upstream(&[ONE], None);
        peers.adopt([&first]);
        first.tally().retries.store(3, Relaxed);
        peers.adopt([&upstream(&[TWO], None)]);
        // A request may be under way there yet.
        first.tally().note(Failure::Closed);
        let seen = peers.snapshot();
        assert_eq!((seen.len(), seen[1].upstream.as_str()), (2, "127.0.0.1:1"));
        assert_eq!((seen[1].retries, seen[1].peers.len()), (3, 0));
        assert!(seen[1].errors.contains(&(Failure::Closed, 1)));
        let again = upstream(&[ONE], None);
        peers.adopt([&again]);
        assert!(Arc::ptr_eq(again.tally(), first.tally()));
        assert_eq!(peers.snapshot()[0].retries, 3);
    }

    #[tokio::test]
    async fn a_check_runs_once_for_each_peer_and_as_long_as_it_is_asked_for() {
        let peers = Peers::new(Handle::current());
        let health = || Some(Health::default());
        let (first, other) = (upstream(&[ONE], health()), upstream(&[TWO, ONE], health()));
        peers.adopt([&first, &other, &upstream(&[ONE], None)]);
        let begun = tasks(&peers);
        assert_eq!(begun.len(), 2);
        peers.adopt([&upstream(&[ONE, TWO], health())]);
        assert_eq!(tasks(&peers), begun, "they go on");
        peers.adopt([&upstream(&[ONE, TWO], None)]);
        assert_eq!(tasks(&peers), []);
        peers.adopt([&first]);
        peers.stop();
        assert_eq!(tasks(&peers), []);
    }
}
