//! Counters and histograms in atomics.
//!
//! Holds always: to count takes no lock and no memory; what is read while others
//! count may lack the last of it, and never goes back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// The upper bounds of a histogram's buckets, in microseconds; one more bucket
/// takes the rest. From what an app on the same machine takes to what WeChat was
/// seen to take.
const BOUNDS: [u64; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
/// How many buckets that makes.
const BUCKETS: usize = BOUNDS.len() + 1;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts something that took so long.
    pub fn observe(&self, took: Duration) {
        let micros = took.as_secs() * 1_000_000 + u64::from(took.subsec_micros());
        let at = BOUNDS.iter().position(|bound| micros <= *bound);
        if let Some(bucket) = self.buckets.get(at.unwrap_or(BOUNDS.len())) {
            bucket.add_one();
            self.micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// What was counted.
    pub fn read(&self) -> Spread {
        Spread {
            buckets: std::array::from_fn(|at| self.buckets.get(at).map_or(0, Counter::get)),
            micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

/// What a histogram has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    buckets: [u64; BUCKETS],
    micros: u64,
}

impl Spread {
    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (own, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *own += theirs;
        }
        self.micros += other.micros;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long they took together, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros).as_secs_f64()
    }

    /// Each bucket's upper bound in seconds, with how many it holds.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.map(|bound| Duration::from_micros(bound).as_secs_f64());
        let bounds = bounds.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.buckets).collect()
    }

    /// How long, in seconds, `part` of them took at most, as Prometheus'
    /// `histogram_quantile` reckons: evenly spread within a bucket. `None` where
    /// there were none.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a quantile is no exact number, and nobody counts to 2^53"
        )]
        let float = |count: u64| count as f64;
        let wanted = part * float(all);
        let (mut before, mut lower) = (0, 0.0);
        for (upper, count) in self.buckets() {
            if float(before + count) >= wanted && count > 0 {
                if upper.is_infinite() {
                    return Some(lower);
                }
                let within = (wanted - float(before)) / float(count);
                return Some(lower + (upper - lower) * within);
            }
            (before, lower) = (before + count, upper.min(60.0));
        }
        Some(lower)
    }
}

/// Counts by a few words that the program knows. Behind a lock: not for what
/// every visitor's request does.
#[derive(Debug)]
pub struct Tally<K>(Mutex<BTreeMap<K, Tallied>>);

/// How often something happened, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: SystemTime,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Clone> Tally<K> {
    /// Counts one.
    pub fn add_one(&self, word: K) {
        note(&mut self.0.lock(), word);
    }

    /// Counts one under `word`, or under `rest` where `most` words are known and
    /// it is none of them.
    pub fn add_one_of(&self, most: usize, word: K, rest: K) {
        let mut counted = self.0.lock();
        let word = match counted.len() < most || counted.contains_key(&word) {
            true => word,
            false => rest,
        };
        note(&mut counted, word);
    }

    /// What was counted.
    pub fn read(&self) -> Vec<(K, u64)> {
        let all = self.read_times().into_iter();
        all.map(|(word, tallied)| (word, tallied.count)).collect()
    }

    /// The same, with when each was last counted.
    pub fn read_times(&self) -> Vec<(K, Tallied)> {
        let counted = self.0.lock();
        let pairs = counted.iter();
        pairs
            .map(|(word, tallied)| (word.clone(), *tallied))
            .collect()
    }
}

fn note<K: Ord>(counted: &mut BTreeMap<K, Tallied>, word: K) {
    let last = SystemTime::now();
    let tallied = counted.entry(word).or_insert(Tallied { count: 0, last });
    *tallied = Tallied {
        count: tallied.count + 1,
        last,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_tells_about_how_long_things_took() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().quantile(0.5), None);
        for micros in [1_000, 1_001, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let spread = histogram.read();
        let held: Vec<u64> = spread.buckets().iter().map(|(_, count)| *count).collect();
        assert_eq!(held, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(spread.count(), 4);
        assert!((spread.seconds() - 120.002_002).abs() < 1e-9);
        assert_eq!(spread.quantile(0.25), Some(0.001));
        assert_eq!(spread.quantile(1.0), Some(60.0));
        let mut both = spread.clone();
        both.add(&spread);
        assert_eq!(both.count(), 8);
        assert_eq!(both.quantile(0.5), Some(0.0025));
        let even = Histogram::default();
        for _ in 0..100 {
            even.observe(Duration::from_millis(7));
        }
        let median = even.read().quantile(0.5).unwrap();
        assert!((median - 0.0075).abs() < 1e-9, "{median}");
    }

    #[test]
    fn a_tally_has_a_largest_number_of_words() {
        let tally = Tally::default();
        for word in ["a", "b", "c", "a", "d"] {
            tally.add_one_of(2, word, "other");
        }
        assert_eq!(tally.read(), [("a", 2), ("b", 1), ("other", 2)]);
    }
}
