//! Which of an app's peers a request goes to.
//!
//! Holds always: a choice takes no lock and keeps to the peers that are offered;
//! a session's peer follows from the session and the peers' addresses alone, so
//! that every gateway chooses the same, after a restart too.
//!
//! Own code, for pingora-load-balancing knows neither names nor sockets in the
//! file system where it hashes, and keeps its peers' state by itself. Sessions are
//! spread by rendezvous hashing and not by a ring: with as few peers as an app has
//! it needs no table, spreads evenly, and a peer that comes or goes moves its own
//! share and no other.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use sha2::{Digest as _, Sha256};

use super::settings::Balance;

/// More peers than one app has; each has a bit.
pub(super) const MAX_PEERS: usize = 64;

/// Peers by their numbers, a bit each.
pub(super) type Set = u64;

/// The set of one.
pub(super) fn only(at: usize) -> Set {
    1_u64
        .checked_shl(u32::try_from(at).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

/// The set of the first `count`.
pub(super) fn first(count: usize) -> Set {
    match count {
        0 => 0,
        count => u64::MAX >> MAX_PEERS.saturating_sub(count),
    }
}

/// The numbers in a set.
fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..MAX_PEERS).filter(move |at| set & only(*at) != 0)
}

/// How one app's requests are spread.
#[derive(Debug)]
pub(super) struct Balancer {
    policy: Balance,
    everyone: Set,
    /// The turns of a round, peers with more weight among them more often.
    turns: Box<[u8]>,
    turn: AtomicUsize,
    weights: Box<[u8]>,
    /// What stands for each peer where sessions are spread.
    seeds: Box<[u64]>,
}

impl Balancer {
    /// For peers with these names and weights.
    pub(super) fn new(policy: Balance, peers: &[(String, u8)]) -> Self {
        let weights: Box<[u8]> = peers.iter().map(|(_, weight)| *weight).collect();
        Self {
            policy,
            everyone: first(peers.len()),
            turns: turns(&weights),
            turn: AtomicUsize::new(0),
            weights,
            seeds: peers.iter().map(|(name, _)| seed(name)).collect(),
        }
    }

    /// One of `offered`; `None` where that is nobody. `affinity` is what all
    /// requests of one session have in common, `busy` how many requests are on
    /// their way to a peer.
    pub(super) fn choose(
        &self,
        offered: Set,
        affinity: impl FnOnce() -> u64,
        busy: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        match self.policy {
            Balance::RoundRobin => self.next(offered),
            Balance::LeastConnections => {
                // Of those with as little to do, the one whose turn it is.
                let begin = self.next(offered)?;
                let after = members(offered).filter(|at| *at >= begin);
                let before = members(offered).filter(|at| *at < begin);
                after.chain(before).min_by(|one, other| {
                    let load = |at: usize, by: usize| {
                        (busy(at).saturating_add(1)).saturating_mul(self.weight(by))
                    };
                    load(*one, *other).cmp(&load(*other, *one))
                })
            }
            Balance::Session => {
                let key = affinity();
                let by_rank = |at: &usize| self.rank(key, *at);
                members(offered)
                    .map(|at| (at, by_rank(&at)))
                    .min_by(|(_, one), (_, other)| one.total_cmp(other))
                    .map(|(at, _)| at)
            }
        }
    }

    fn weight(&self, at: usize) -> usize {
        self.weights
            .get(at)
            .map_or(1, |weight| usize::from(*weight))
    }

    /// The next turn among those of `offered`: counted among theirs alone, or
    /// whoever comes after an absent one would have its turns too.
    fn next(&self, offered: Set) -> Option<usize> {
        if offered == self.everyone {
            let turn = self.turn.fetch_add(1, Relaxed);
            let at = self.turns.get(turn.checked_rem(self.turns.len())?);
            return at.map(|at| usize::from(*at));
        }
        let theirs = || {
            let turns = self.turns.iter().map(|at| usize::from(*at));
            turns.filter(|at| offered & only(*at) != 0)
        };
        let count = theirs().count();
        let turn = self.turn.fetch_add(1, Relaxed);
        theirs().nth(turn.checked_rem(count)?)
    }

    /// How far a peer is from `key`: the smallest is its own. Exponentially
    /// distributed, so that a peer with twice the weight is the nearest twice as
    /// often.
    fn rank(&self, key: u64, at: usize) -> f64 {
        let seed = self.seeds.get(at).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "53 bits, which a double holds")]
        let part = ((mixed(key ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        #[expect(clippy::cast_precision_loss, reason = "a weight is at most 100")]
        let weight = self.weight(at) as f64;
        -part.ln() / weight
    }
}

/// A round in which each peer has as many turns as its weight says, as far apart
/// as they can be: in each step everybody gains their weight, and who has most
/// pays a round for the turn (nginx's smooth weighted round robin).
fn turns(weights: &[u8]) -> Box<[u8]> {
    let divisor = weights.iter().copied().fold(0, common_divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|w| i64::from(w / divisor)).collect();
    let round: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    let turn = |_| {
        for (credit, weight) in credit.iter_mut().zip(&weights) {
            *credit += weight;
        }
        // The first of those with most.
        let (at, most) = credit
            .iter_mut()
            .enumerate()
            .rev()
            .max_by_key(|(_, credit)| **credit)?;
        *most -= round;
        u8::try_from(at).ok()
    };
    (0..round).filter_map(turn).collect()
}

fn common_divisor(one: u8, other: u8) -> u8 {
    match other {
        0 => one,
        other => common_divisor(other, one % other),
    }
}

/// What stands for a peer of this name: the same on every machine.
fn seed(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(name).into();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The bits of `value`, each dependent on all (the last step of SplitMix64).
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What stands for 16 bytes that differ between sessions.
pub(super) fn affinity(bytes: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes.to_be_bytes();
    mixed(u64::from_be_bytes([a, b, c, d, e, f, g, h])).wrapping_add(u64::from_be_bytes(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(policy: Balance, weights: &[u8]) -> Balancer {
        let peers: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(at, weight)| (format!("10.0.0.{at}:3000"), *weight))
            .collect();
        Balancer::new(policy, &peers)
    }

    fn idle(_: usize) -> usize {
        0
    }

    fn spread(balancer: &Balancer, offered: Set, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; balancer.weights.len()];
        for key in 0..requests {
            let key = affinity(key as u128);
            counts[balancer.choose(offered, || key, idle).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn sets_have_a_bit_for_each() {
        assert_eq!((first(0), first(1), first(3)), (0, 1, 7));
        assert_eq!(first(64), u64::MAX);
        assert_eq!((only(0), only(63), only(64)), (1, 1 << 63, 0));
    }

    #[test]
    fn peers_take_turns_as_their_weights_say() {
        let round = |weights: &[u8]| turns(weights).into_vec();
        assert_eq!(round(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(round(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(round(&[100, 50]), [0, 1, 0]);
        let balancer = balancer(Balance::RoundRobin, &[3, 2, 1]);
        assert_eq!(spread(&balancer, 0b111, 600), [300, 200, 100]);
    }

    #[test]
    fn the_turns_of_an_absent_peer_are_everybodys() {
        let even = balancer(Balance::RoundRobin, &[1, 1, 1]);
        assert_eq!(spread(&even, 0b101, 100), [50, 0, 50]);
        let weighted = balancer(Balance::RoundRobin, &[3, 2, 1]);
        assert_eq!(spread(&weighted, 0b011, 500), [300, 200, 0]);
        assert_eq!(even.choose(0, || 0, idle), None);
    }

    #[test]
    fn the_least_busy_is_chosen_for_its_weight() {
        let even = balancer(Balance::LeastConnections, &[1, 1, 1]);
        let busy = [2, 0, 1];
        assert_eq!(even.choose(0b111, || 0, |at| busy[at]), Some(1));
        assert_eq!(even.choose(0b101, || 0, |at| busy[at]), Some(2));
        // With nothing to do, they take turns.
        assert_eq!(spread(&even, 0b111, 300), [100, 100, 100]);
        let weighted = balancer(Balance::LeastConnections, &[4, 1]);
        let mut busy = [0, 0];
        for _ in 0..500 {
            busy[weighted.choose(0b11, || 0, |at| busy[at]).unwrap()] += 1;
        }
        assert_eq!(busy, [400, 100]);
    }

    #[test]
    fn sessions_are_spread_evenly_and_as_weights_say() {
        let even = spread(&balancer(Balance::Session, &[1, 1, 1, 1]), 0b1111, 40_000);
        assert!(
            even.iter().all(|count| (9_500..10_500).contains(count)),
            "{even:?}"
        );
        let weighted = spread(&balancer(Balance::Session, &[3, 1]), 0b11, 40_000);
        assert!((29_000..31_000).contains(&weighted[0]), "{weighted:?}");
    }

    #[test]
    fn a_peer_that_comes_or_goes_moves_its_own_share_and_no_other() {
        let (four, five) = (
            balancer(Balance::Session, &[1; 4]),
            balancer(Balance::Session, &[1; 5]),
        );
        let (mut taken, mut orphans) = (0, [0; 4]);
        for key in 0..10_000_u128 {
            let key = affinity(key);
            let before = four.choose(first(4), || key, idle).unwrap();
            let after = five.choose(first(5), || key, idle).unwrap();
            assert!(after == before || after == 4);
            taken += usize::from(after == 4);
            // Without the peer numbered 0 its own are spread over the others.
            let without = four.choose(0b1110, || key, idle).unwrap();
            match before {
                0 => orphans[without] += 1,
                before => assert_eq!(without, before),
            }
        }
        assert!((1_800..2_200).contains(&taken), "{taken}");
        assert!(
            orphans[1..]
                .iter()
                .all(|count| (650..1_050).contains(count)),
            "{orphans:?}"
        );
    }

    #[test]
    fn every_gateway_chooses_the_same() {
        // Known values: another release must not move everybody.
        let balancer = balancer(Balance::Session, &[1, 1, 1]);
        let chosen: Vec<_> = (0..12)
            .map(|key| balancer.choose(0b111, || affinity(key), idle).unwrap())
            .collect();
        assert_eq!(chosen, [1, 1, 1, 1, 1, 0, 0, 1, 2, 2, 1, 0]);
    }
}
