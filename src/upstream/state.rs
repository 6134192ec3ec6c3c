//! What is known of a peer: whether it failed lately, and how busy it is.
//!
//! Holds always: nothing here takes a lock; a rest has an end, however often a
//! peer failed, and one good answer ends it and forgets what was before. Time is
//! an argument.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Failure;
use super::settings::Ejection;

/// A moment in milliseconds since the process began; never 0.
pub(super) type Moment = u64;

/// Now, by a clock that nobody sets.
pub(super) fn moment() -> Moment {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_millis())
        .unwrap_or(u64::MAX - 1)
        .saturating_add(1)
}

/// What is known of a peer.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Failures since the last good answer.
    failures: AtomicU32,
    /// Rests since the last good answer.
    rests: AtomicU32,
    /// When its rest ends or ended; 0 without one.
    rests_until: AtomicU64,
    /// Requests on their way to it, where that is counted.
    pub(super) busy: AtomicUsize,
    /// Rests in all.
    pub(super) ejections: AtomicU64,
}

impl State {
    /// It gave an answer of its own.
    pub(super) fn succeeded(&self) {
        // Written where something is to be changed alone: every request comes here.
        if self.failures.load(Relaxed) > 0 {
            self.failures.store(0, Relaxed);
            self.rests.store(0, Relaxed);
            self.rests_until.store(0, Relaxed);
        }
    }

    /// It failed at `now`. Tells how long it rests, if that is from now on.
    pub(super) fn failed(&self, ejection: &Ejection, now: Moment) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let until = self.rests_until.load(Relaxed);
        if ejection.failures == 0 || failures < ejection.failures || until > now {
            return None;
        }
        let rests = self.rests.load(Relaxed);
        let longest = ejection.longest.get();
        let rest = ejection
            .rest
            .get()
            .saturating_mul(1_u32.checked_shl(rests).unwrap_or(u32::MAX))
            .min(longest);
        let end = now.saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
        // Of those that fail together one begins the rest.
        self.rests_until
            .compare_exchange(until, end, Relaxed, Relaxed)
            .ok()?;
        self.rests.store(rests.saturating_add(1), Relaxed);
        self.ejections.fetch_add(1, Relaxed);
        Some(rest)
    }

    /// When its rest ends or ended; 0 without one.
    pub(super) fn rests_until(&self) -> Moment {
        self.rests_until.load(Relaxed)
    }
}

/// How often an app failed, for operators. Counts never go back.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) retries: AtomicU64,
    pub(super) errors: [AtomicU64; Failure::ALL.len()],
}

impl Tally {
    pub(super) fn note(&self, failure: Failure) {
        if let Some(count) = self.errors.get(failure as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ejection(failures: u32) -> Ejection {
        let wait = |text: &str| text.to_owned().try_into().unwrap();
        Ejection {
            failures,
            rest: wait("1s"),
            longest: wait("5s"),
        }
    }

    #[test]
    fn rests_grow_to_a_bound_and_a_good_answer_ends_them() {
        let (state, three) = (State::default(), ejection(3));
        let seconds = Duration::from_secs;
        assert_eq!(state.failed(&three, 1), None);
        state.succeeded();
        assert_eq!(state.failed(&three, 2), None);
        assert_eq!(state.failed(&three, 3), None);
        assert_eq!(state.failed(&three, 10), Some(seconds(1)));
        assert_eq!(state.rests_until(), 1_010);
        // What fails meanwhile makes it no longer.
        assert_eq!(state.failed(&three, 500), None);
        let mut now = 1_010;
        for rest in [2, 4, 5, 5] {
            assert_eq!(state.failed(&three, now), Some(seconds(rest)));
            now = state.rests_until();
        }
        assert_eq!(state.ejections.load(Relaxed), 5);
        state.succeeded();
        assert_eq!(state.rests_until(), 0);
        for _ in 0..2 {
            assert_eq!(state.failed(&three, now), None);
        }
        assert_eq!(state.failed(&three, now), Some(seconds(1)));
    }

    #[test]
    fn nobody_rests_where_that_is_off() {
        let (state, never) = (State::default(), ejection(0));
        assert!((1..100).all(|now| state.failed(&never, now).is_none()));
    }

    #[test]
    fn a_rest_ends_however_often_a_peer_failed() {
        let (state, first) = (State::default(), ejection(1));
        let mut now = 1;
        for _ in 0..200 {
            assert!(state.failed(&first, now).unwrap() <= Duration::from_secs(5));
            now = state.rests_until();
        }
    }

    #[test]
    fn failures_are_counted_by_their_kind() {
        let tally = Tally::default();
        for (at, failure) in Failure::ALL.into_iter().enumerate() {
            tally.note(failure);
            assert_eq!(tally.errors[at].load(Relaxed), 1, "{failure:?}");
        }
    }
}
