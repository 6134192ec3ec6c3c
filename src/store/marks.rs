//! What is used up, in memory.
//!
//! Holds always: a mark stays for its time, whatever else is kept and however much;
//! how many there are is bounded, and where there is no room for one nobody is told
//! that they were the first.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Key, Unavailable};

/// The most marks: some thirty megabytes. They live for minutes, and an address brings
/// limits.logins_per_minute in one.
const MOST: usize = 200_000;

/// The marks. Behind a lock, for whoever logs in; nobody who is logged in comes here.
#[derive(Debug)]
pub(super) struct Marks {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    until: HashMap<Key, Instant>,
    /// The same, the next that ends first.
    order: BTreeSet<(Instant, Key)>,
}

impl Default for Marks {
    fn default() -> Self {
        Self::with_room(MOST)
    }
}

impl Marks {
    fn with_room(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
        }
    }

    /// Marks `key` for `lifetime` from `now`. Says whether nobody had.
    ///
    /// # Errors
    /// When there is no room.
    pub(super) fn mark(
        &self,
        key: &Key,
        lifetime: Duration,
        now: Instant,
    ) -> Result<bool, Unavailable> {
        let mut held = self.held.lock();
        held.drop_ended(now);
        if held.until.contains_key(key) {
            return Ok(false);
        }
        let full = || {
            Unavailable("it has no room for what is used up: store.kind is memory, which a file or a Redis would not fill".to_owned())
        };
        let until = now.checked_add(lifetime).ok_or_else(full)?;
        if held.until.len() >= self.most {
            return Err(full());
        }
        held.until.insert(*key, until);
        held.order.insert((until, *key));
        Ok(true)
    }
}

impl Held {
    fn drop_ended(&mut self, now: Instant) {
        while let Some((until, key)) = self.order.first().copied()
            && until <= now
        {
            self.order.pop_first();
            self.until.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_for_its_time_and_what_has_no_room_is_not_taken() {
        let (marks, now) = (Marks::with_room(2), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let mark = |key: u8, life, at| marks.mark(&[key; 32], Duration::from_secs(life), at);
        assert_eq!(mark(1, 60, now), Ok(true));
        assert_eq!(mark(2, 10, now), Ok(true));
        // Full: the marks are known still, and nothing falls out for a newcomer.
        for _ in 0..3 {
            assert!(mark(3, 60, after(9)).is_err());
            assert_eq!(mark(1, 60, after(9)), Ok(false));
            assert_eq!(mark(2, 60, after(9)), Ok(false));
        }
        assert_eq!(mark(3, 60, after(10)), Ok(true));
        assert_eq!(mark(1, 60, after(59)), Ok(false));
        assert_eq!(mark(1, 60, after(60)), Ok(true));
        assert!(mark(2, 60, after(60)).is_err());
        // What has ended takes no memory.
        assert_eq!(mark(2, 60, after(500)), Ok(true));
        let held = marks.held.lock();
        assert_eq!((held.until.len(), held.order.len()), (1, 1));
    }
}
