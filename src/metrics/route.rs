//! What is counted of a route and of its app.
//!
//! Holds always: what a request adds to is reached through its route's number.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::counts::{Counter, Histogram, Spread};
use crate::access_log::Way;

/// Ways, and one more for a request that ended before its was decided.
pub(super) const DECISIONS: usize = Way::ALL.len() + 1;
/// 1xx to 5xx, and no answer, which comes first.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What ways are called, and the lack of one.
pub(super) fn ways() -> impl Iterator<Item = &'static str> {
    Way::ALL.into_iter().map(Way::as_str).chain(["none"])
}

/// One route's requests, by its label.
#[derive(Debug)]
pub struct RouteCounts {
    /// Its host and path, as they stand in the file.
    pub label: String,
    pub(super) requests: [Counter; DECISIONS],
    pub(super) responses: [Counter; CLASSES.len()],
}

impl RouteCounts {
    pub(super) fn new(label: String) -> Self {
        Self {
            label,
            requests: Default::default(),
            responses: Default::default(),
        }
    }

    /// Its requests by the way they took.
    pub fn ways(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ways().zip(self.requests.iter().map(Counter::get))
    }

    /// All of its requests.
    pub fn all(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }

    /// Its answers by class.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES
            .into_iter()
            .zip(self.responses.iter().map(Counter::get))
    }

    /// Its answers of 5xx.
    pub fn errors(&self) -> u64 {
        self.responses.last().map_or(0, Counter::get)
    }
}

/// One app, by its label.
#[derive(Debug)]
pub struct AppCounts {
    /// Its address, as it stands in the file.
    pub label: String,
    /// How long it took to the header of its answer, by the route's label.
    pub(super) answers: RwLock<BTreeMap<String, Arc<Histogram>>>,
}

impl AppCounts {
    pub(super) fn new(label: String) -> Self {
        Self {
            label,
            answers: RwLock::default(),
        }
    }

    /// How long it took, whatever the route.
    pub fn spread(&self) -> Spread {
        let mut all = Spread::default();
        for answers in self.answers.read().values() {
            all.add(&answers.read());
        }
        all
    }
}

/// The counters of the routes of one reading of `gateway.toml`, by the routes'
/// numbers.
#[derive(Debug)]
pub struct RouteCounters {
    pub(super) seats: Vec<Seat>,
    pub(super) nowhere: Arc<RouteCounts>,
}

/// What one route counts into.
#[derive(Debug)]
pub struct Seat {
    /// Its requests.
    pub route: Arc<RouteCounts>,
    /// Its app.
    pub app: Arc<AppCounts>,
    /// How long the app took for it.
    pub answers: Arc<Histogram>,
}

impl RouteCounters {
    /// What the route numbered so counts into.
    pub fn seat(&self, route: usize) -> Option<&Seat> {
        self.seats.get(route)
    }

    /// All of them, in the order of the file.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// What a request without a route counts into.
    pub fn nowhere(&self) -> &RouteCounts {
        &self.nowhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_counts_where_its_word_stands() {
        for (at, way) in Way::ALL.into_iter().enumerate() {
            assert_eq!((way as usize, ways().nth(at)), (at, Some(way.as_str())));
        }
        assert_eq!(ways().count(), DECISIONS);
    }
}
