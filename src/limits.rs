//! How much one address, and all together, may ask of the gateway.
//!
//! Holds always: a limit refuses and never lets in; what is counted is the
//! visitor's address as far as trusted proxies tell it, an IPv6 network of 64
//! bits counting as one address, for a household has one; a visitor with a
//! session is counted as a connection and nowhere else; the memory that
//! counting takes is bounded, whoever comes.
//!
//! Rates are counted by sketches of fixed size, which may take two addresses
//! for one: once in thousands of millions at the sizes used here, and more often
//! where so many addresses come in a minute that their logins together are some
//! thousand times what one may start.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pingora_limits::rate::Rate;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// `[limits]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Connections that may be open at one time.
    pub connections: NonZeroUsize,
    /// Connections that one address may have open.
    pub connections_per_address: NonZeroUsize,
    /// How long a request's header may take from its first byte to its last.
    pub header_timeout: Seconds,
    /// Logins that one address may start in a minute, and callbacks it may bring.
    pub logins_per_minute: NonZeroU32,
    /// Logins that may wait for WeChat at one time.
    pub logins_in_flight: NonZeroUsize,
    /// How long a connection to WeChat's api may take to be made.
    pub wechat_connect_timeout: Seconds,
    /// How long a call of WeChat's api may take in all.
    pub wechat_timeout: Seconds,
    /// Calls of WeChat's api at one time; the rest wait their turn.
    pub wechat_calls: NonZeroUsize,
}

const fn size(value: usize) -> NonZeroUsize {
    match NonZeroUsize::new(value) {
        Some(value) => value,
        None => NonZeroUsize::MIN,
    }
}

const fn count(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

impl Default for Table {
    fn default() -> Self {
        Self {
            connections: size(20_000),
            connections_per_address: size(1_000),
            header_timeout: Seconds(Duration::from_secs(15)),
            logins_per_minute: count(600),
            logins_in_flight: size(10_000),
            wechat_connect_timeout: Seconds(Duration::from_secs(3)),
            wechat_timeout: Seconds(Duration::from_secs(10)),
            wechat_calls: size(500),
        }
    }
}

/// A duration from a second to an hour, written `"30s"`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Seconds(Duration);

impl Seconds {
    /// So many seconds.
    pub const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
        humantime::parse_duration(&found)
            .ok()
            .filter(|duration| allowed.contains(duration))
            .map(Self)
            .ok_or_else(|| format!("found \"{found}\"; expected a duration from a second to an hour, such as \"30s\""))
    }
}

/// The size of a body, written `"10MiB"`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct BodySize(u64);

impl BodySize {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for BodySize {
    /// A gibibyte: no form or film of a shop's is larger, and an endless body is.
    fn default() -> Self {
        Self(1 << 30)
    }
}

impl TryFrom<String> for BodySize {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        found
            .parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| {
                format!(
                    "found \"{found}\"; expected a size, such as \"10MiB\", \"500KiB\" or \"2GiB\""
                )
            })
    }
}

/// What counts as one address: an IPv4 address, or the network that an IPv6
/// provider gives to one household (RFC 6177).
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The connections that are open, and how many may be.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
    per_address: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    refused: [AtomicU64; 2],
}

/// A connection's place among those that are open; left when dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    counted: Option<IpAddr>,
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// As many are open as may be.
    Full,
    /// As many of this address are.
    FullForAddress,
}

impl Connections {
    /// As many as `table` allows.
    pub fn new(table: &Table) -> Self {
        let all = Self {
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            per_address: AtomicUsize::new(0),
            by_address: Mutex::default(),
            refused: Default::default(),
        };
        all.allow(table);
        all
    }

    /// As many as `table` allows from now on; those that are open stay.
    pub fn allow(&self, table: &Table) {
        self.most.store(table.connections.get(), Ordering::Relaxed);
        let per_address = table.connections_per_address.get();
        self.per_address.store(per_address, Ordering::Relaxed);
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many had no place, by why.
    pub fn refused(&self, why: NoPlace) -> u64 {
        let count = self.refused.get(why as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn refuse(&self, why: NoPlace) -> NoPlace {
        if let Some(count) = self.refused.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        why
    }

    /// A place for a connection from `address`; one without an address, or from
    /// a trusted proxy, who brings many visitors, is counted among all alone.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, NoPlace> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(self.refuse(NoPlace::Full));
        }
        // Counted among all from here on; dropped, it is left again.
        let mut place = Place {
            connections: Arc::clone(self),
            counted: None,
        };
        if let Some(address) = address.map(household) {
            let mut by_address = self.by_address.lock();
            let open = by_address.entry(address).or_insert(0);
            if *open >= self.per_address.load(Ordering::Relaxed) {
                drop(by_address);
                return Err(self.refuse(NoPlace::FullForAddress));
            }
            *open += 1;
            place.counted = Some(address);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(counted) = self.counted else {
            return;
        };
        let mut by_address = self.connections.by_address.lock();
        if let Some(open) = by_address.get_mut(&counted) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&counted);
            }
        }
    }
}

/// Logins: how often one address may start or end one, and how many may wait
/// for WeChat at one time.
pub struct Logins {
    starts: Rate,
    callbacks: Rate,
    codes: Rate,
    guesses: Rate,
    allowed: (NonZeroU32, NonZeroUsize),
    per_minute: isize,
    in_flight: Arc<Semaphore>,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logins({} a minute)", self.per_minute)
    }
}

/// What is counted in [`Logins::WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A visitor is sent to WeChat.
    Start,
    /// A visitor comes back.
    Callback,
    /// A visitor is sent to an app with a code of the facade's. Beside the login that
    /// it comes of, so that whoever can log in gets one too.
    Code,
}

/// One address has asked too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften {
    /// Whether this is the first time in this window: worth a line in the log,
    /// where the rest is not.
    pub first: bool,
}

impl Logins {
    /// In which time a rate is counted.
    pub const WINDOW: Duration = Duration::from_secs(60);
    /// Four rows of so many counters each: two thirds of a megabyte a sketch.
    const SLOTS: usize = 8192;

    /// As many as `table` allows.
    pub fn new(table: &Table) -> Self {
        let rate = || Rate::new_with_estimator_config(Self::WINDOW, 4, Self::SLOTS);
        let most = table.logins_in_flight.get().min(Semaphore::MAX_PERMITS);
        Self {
            starts: rate(),
            callbacks: rate(),
            codes: rate(),
            guesses: rate(),
            allowed: (table.logins_per_minute, table.logins_in_flight),
            per_minute: isize::try_from(table.logins_per_minute.get()).unwrap_or(isize::MAX),
            in_flight: Arc::new(Semaphore::new(most)),
        }
    }

    /// Whether `table` allows as many.
    pub fn are_of(&self, table: &Table) -> bool {
        self.allowed == (table.logins_per_minute, table.logins_in_flight)
    }

    /// Counts a step of `address`.
    ///
    /// # Errors
    /// When it has taken as many as it may.
    pub fn count(&self, step: Step, address: IpAddr) -> Result<(), TooOften> {
        let taken = self.rate(step).observe(&household(address), 1);
        if taken > self.per_minute {
            return Err(TooOften {
                first: taken == self.per_minute + 1,
            });
        }
        Ok(())
    }

    /// Counts a wrong secret that `address` shows the facade for `app`. Says whether
    /// none is compared from now on.
    pub fn count_guess(&self, app: &str, address: IpAddr) -> bool {
        self.guesses.observe(&(app, household(address)), 1) >= self.per_minute
    }

    /// Whether `address` has shown as many wrong secrets of `app` as it may.
    pub fn has_guessed_enough(&self, app: &str, address: IpAddr) -> bool {
        self.guesses.observe(&(app, household(address)), 0) >= self.per_minute
    }

    fn rate(&self, step: Step) -> &Rate {
        match step {
            Step::Start => &self.starts,
            Step::Callback => &self.callbacks,
            Step::Code => &self.codes,
        }
    }

    /// A place among the logins that wait for WeChat; `None` when there is none.
    pub fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.in_flight).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_household_is_one_address() {
        assert_eq!(household(address("192.0.2.7")), address("192.0.2.7"));
        assert_eq!(household(address("::ffff:192.0.2.7")), address("192.0.2.7"));
        assert_eq!(
            household(address("2001:db8:1:2:3:4:5:6")),
            household(address("2001:db8:1:2::9"))
        );
        assert_ne!(
            household(address("2001:db8:1:2::1")),
            household(address("2001:db8:1:3::1"))
        );
    }

    #[test]
    fn connections_are_counted_while_they_are_open() {
        let connections = Arc::new(Connections::new(&Table {
            connections: size(3),
            connections_per_address: size(2),
            ..Table::default()
        }));
        let one = address("192.0.2.1");
        let enter = |address| connections.enter(address);
        let first = enter(Some(one)).unwrap();
        let second = enter(Some(one)).unwrap();
        assert_eq!(enter(Some(one)).unwrap_err(), NoPlace::FullForAddress);
        let other = enter(Some(address("192.0.2.2"))).unwrap();
        assert_eq!(enter(None).unwrap_err(), NoPlace::Full);
        drop((first, other));
        let proxy = enter(None).unwrap();
        let again = enter(Some(one)).unwrap();
        drop((second, again, proxy));
        assert!(connections.by_address.lock().is_empty());
        assert_eq!(connections.open(), 0);
        let refused = [NoPlace::Full, NoPlace::FullForAddress].map(|why| connections.refused(why));
        assert_eq!(refused, [1, 1]);
        // Fewer from now on, for those who come.
        connections.allow(&Table {
            connections: size(1),
            ..Table::default()
        });
        let only = connections.enter(None).unwrap();
        assert_eq!(connections.enter(None).unwrap_err(), NoPlace::Full);
        drop(only);
    }

    #[test]
    fn steps_are_counted_for_each_address_and_each_kind() {
        let logins = Logins::new(&Table {
            logins_per_minute: count(2),
            logins_in_flight: size(1),
            ..Table::default()
        });
        let one = address("192.0.2.1");
        assert!(logins.count(Step::Start, one).is_ok());
        assert!(logins.count(Step::Start, one).is_ok());
        assert_eq!(
            logins.count(Step::Start, one),
            Err(TooOften { first: true })
        );
        assert_eq!(
            logins.count(Step::Start, one),
            Err(TooOften { first: false })
        );
        assert!(logins.count(Step::Callback, one).is_ok());
        assert!(logins.count(Step::Start, address("192.0.2.2")).is_ok());
        let place = logins.wait().unwrap();
        assert!(logins.wait().is_none());
        drop(place);
        assert!(logins.wait().is_some());
    }

    #[test]
    fn sizes_and_durations_are_written_as_people_do() {
        let size = |text: &str| BodySize::try_from(text.to_owned()).map(BodySize::bytes);
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("1KB"), Ok(1000));
        for wrong in ["", "big", "-1MiB", "1 potato"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0s", "2h", "15", ""] {
            assert!(Seconds::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
