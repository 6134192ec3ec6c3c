//! A day, minute by minute, in fixed memory.
//!
//! Holds always: what is kept are totals, so that a minute in which nobody looked
//! is not lost but told with the next.

use std::collections::VecDeque;

/// How many minutes are kept: a day.
pub const MINUTES: u64 = 24 * 60;

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Those that were answered with 5xx, by the app or for it.
    pub errors: u64,
    /// Logins that began.
    pub started: u64,
    /// Logins that opened a session.
    pub ok: u64,
    /// Logins that ended otherwise.
    pub failed: u64,
}

impl Totals {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            errors: self.errors.saturating_sub(before.errors),
            started: self.started.saturating_sub(before.started),
            ok: self.ok.saturating_sub(before.ok),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

/// The totals at the end of each minute of the last day.
#[derive(Debug, Default)]
pub struct History {
    ends: VecDeque<(u64, Totals)>,
    /// What had come before the first of them.
    before: Totals,
}

impl History {
    /// Notes what the totals are in `minute`, counted since 1970. A clock that was
    /// set back changes the last minute.
    pub fn note(&mut self, minute: u64, totals: Totals) {
        match self.ends.back_mut() {
            Some((last, end)) if *last >= minute => *end = totals,
            _ => self.ends.push_back((minute, totals)),
        }
        while let Some((first, end)) = self.ends.front().copied() {
            if first + MINUTES > minute {
                break;
            }
            self.before = end;
            self.ends.pop_front();
        }
    }

    /// What came in each of the last `count` stretches of `minutes`, of which the
    /// last ends with `minute`.
    pub fn stretches(&self, minute: u64, minutes: u64, count: u64) -> Vec<Totals> {
        let mut ends = self.ends.iter().copied().peekable();
        let mut at = self.before;
        let mut until = |last: u64| {
            while let Some((_, end)) = ends.next_if(|(minute, _)| *minute <= last) {
                at = end;
            }
            at
        };
        let start = (minute + 1).saturating_sub(minutes * count);
        let mut before = until(start.saturating_sub(1));
        (1..=count)
            .map(|stretch| {
                let end = until((start + minutes * stretch).saturating_sub(1));
                end.since(std::mem::replace(&mut before, end))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64) -> Totals {
        Totals {
            requests,
            ..Totals::default()
        }
    }

    fn requests(history: &History, minute: u64, minutes: u64, count: u64) -> Vec<u64> {
        let stretches = history.stretches(minute, minutes, count);
        stretches.iter().map(|totals| totals.requests).collect()
    }

    #[test]
    fn each_minute_has_what_came_in_it() {
        let mut history = History::default();
        for (minute, all) in [(100, 3), (100, 5), (101, 5), (104, 9)] {
            history.note(minute, totals(all));
        }
        assert_eq!(requests(&history, 104, 1, 6), [0, 5, 0, 0, 0, 4]);
        assert_eq!(requests(&history, 104, 5, 2), [0, 9]);
        assert_eq!(requests(&history, 106, 1, 2), [0, 0]);
        // A clock that was set back.
        history.note(90, totals(12));
        assert_eq!(requests(&history, 104, 1, 2), [0, 7]);
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let mut history = History::default();
        for minute in 0..5000 {
            history.note(minute, totals(10 * (minute + 1)));
        }
        assert_eq!(history.ends.len(), 1440);
        let day = requests(&history, 4999, 10, 144);
        assert_eq!(day.len(), 144);
        assert!(day.iter().all(|each| *each == 100), "{day:?}");
    }
}
