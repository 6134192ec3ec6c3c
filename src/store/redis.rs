//! The store that several machines share: a Redis or Valkey, alone, behind
//! Sentinels, or a cluster.
//!
//! Holds always: every call ends within two seconds, and at once while the store
//! is known to be down; one task alone makes connections, and goes on trying, so
//! that nobody waits for one; revocations are told by a stream and are found in a
//! set when the stream was missed; what this instance knows of and the store has
//! lost is put back. No message holds the store's URL.
//!
//! All keys begin with the prefix in braces, so that a cluster keeps them on one
//! node. `{p}:r:HEX` is a record, with its lifetime. `{p}:revoked` is a sorted set
//! of `NAME BEFORE`, scored by when it becomes pointless. `{p}:news` is the stream:
//! a day of the same, to be followed.
//!
//! Calls come from threads with runtimes of their own; the work is done on the
//! runtime that opened the store, which drives the connections.

mod url;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult,
    Script, Value, cmd,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use self::url::Form;
pub use self::url::Url;
use super::{Key, OpenError, Unavailable};
use crate::revocation::{Revocation, Revocations};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an answer may take.
const RESPONSE: Duration = Duration::from_secs(1);
/// How long the stream is waited at.
const BLOCK: Duration = Duration::from_millis(400);
/// How long until a connection is tried again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long the first load is waited for.
const FIRST: Duration = Duration::from_secs(2);
/// How often it is looked whether the store has lost something, and what is
/// pointless is forgotten.
const LOOK: Duration = Duration::from_secs(10);
/// How long news stay in the stream, in milliseconds.
const NEWS_LIFE: u64 = 24 * 3600 * 1000;
/// How many entries are written with one call, and read of the stream.
const CHUNK: usize = 1_000;
/// How many entries are read with one call at a start: a Redis does nothing else
/// for some milliseconds then.
const LOAD: usize = 10_000;

/// Adds revocations to the set and to the stream, both or none: a time of news
/// that are too old, the time of now, then `UNTIL NAME BEFORE` of each.
const REVOKE: &str = r"
for i = 3, #ARGV, 3 do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  redis.call('XADD', KEYS[2], 'MINID', '~', ARGV[1], '*', 'r', ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' ' .. ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
return 1
";
/// Puts a value in the place of another.
const REPLACE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

/// A shared store.
#[derive(Debug)]
pub(super) struct RedisStore {
    shared: Arc<Shared>,
    runtime: Handle,
    /// Ends the following when it is dropped.
    _following: watch::Sender<()>,
}

/// A connection to one, or to many.
#[derive(Clone)]
enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(link) => link.req_packed_command(cmd),
            Self::Cluster(link) => link.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(link) => link.req_packed_commands(cmd, offset, count),
            Self::Cluster(link) => link.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

/// What a call does.
enum Op {
    Put(Key, Vec<u8>, u64),
    PutNew(Key, Vec<u8>, u64),
    Get(Key),
    Replace(Key, Vec<u8>, Vec<u8>, u64),
    Remove(Key),
    Revoke(Vec<Revocation>),
}

/// What the store is to have: name → before, until.
type Known = HashMap<Box<str>, (u64, u64)>;

struct Shared {
    url: Url,
    prefix: String,
    revoke: Script,
    replace: Script,
    /// What calls go over, while the store answers.
    link: Mutex<Option<Link>>,
    /// Why it does not, while it does not.
    trouble: Mutex<Option<String>>,
    /// Has the following look at what a call has met.
    met: Notify,
    /// Revocations that the store has not taken yet.
    unsaved: Mutex<Vec<Revocation>>,
    known: Mutex<Known>,
    revocations: Arc<Revocations>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:?})", self.url)
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

impl RedisStore {
    pub(super) async fn open(
        url: &Url,
        prefix: String,
        revocations: Arc<Revocations>,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            url: url.clone(),
            prefix,
            revoke: Script::new(REVOKE),
            replace: Script::new(REPLACE),
            link: Mutex::new(None),
            trouble: Mutex::new(Some("it has not been reached yet".to_owned())),
            met: Notify::new(),
            unsaved: Mutex::default(),
            known: Mutex::default(),
            revocations,
        });
        let (following, end) = watch::channel(());
        let (ready, mut is_ready) = watch::channel(false);
        tokio::spawn(Arc::clone(&shared).follow(end, ready));
        if timeout(FIRST, is_ready.wait_for(|ready| *ready))
            .await
            .is_err()
        {
            warn!(
                "the Redis of store.kind does not answer: sessions are refused until it has told which were ended"
            );
        }
        Ok(Self {
            shared,
            runtime: Handle::current(),
            _following: following,
        })
    }

    pub(super) fn ready(&self) -> Result<(), Unavailable> {
        match &*self.shared.trouble.lock() {
            None => Ok(()),
            Some(why) => Err(Unavailable(why.clone())),
        }
    }

    async fn call<T: FromRedisValue>(&self, op: Op) -> Result<T, Unavailable> {
        let shared = Arc::clone(&self.shared);
        let value = self
            .runtime
            .spawn(async move { shared.attempt(&op).await })
            .await
            .map_err(|_| Unavailable("the call was cut off".to_owned()))??;
        redis::from_redis_value(value)
            .map_err(|_| Unavailable("an answer that is none to the question".to_owned()))
    }

    pub(super) async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        let saved = self.call(Op::Revoke(vec![revocation.clone()])).await;
        match saved {
            Ok(()) => self.shared.know(revocation),
            Err(_) => self.shared.unsaved.lock().push(revocation.clone()),
        }
        saved
    }

    pub(super) async fn put(
        &self,
        key: &Key,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<(), Unavailable> {
        self.call(Op::Put(*key, value.to_vec(), millis(lifetime)))
            .await
    }

    pub(super) async fn put_new(
        &self,
        key: &Key,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, Unavailable> {
        let op = Op::PutNew(*key, value.to_vec(), millis(lifetime));
        let answer: Option<String> = self.call(op).await?;
        Ok(answer.is_some())
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Unavailable> {
        self.call(Op::Get(*key)).await
    }

    pub(super) async fn replace(
        &self,
        key: &Key,
        old: &[u8],
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, Unavailable> {
        let op = Op::Replace(*key, old.to_vec(), value.to_vec(), millis(lifetime));
        self.call(op).await
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<(), Unavailable> {
        self.call(Op::Remove(*key)).await
    }
}

/// Why the store is taken for down.
struct Down(String);

impl From<RedisError> for Down {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

impl From<tokio::time::error::Elapsed> for Down {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self("no answer in time".to_owned())
    }
}

impl Shared {
    fn record(&self, key: &Key) -> String {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{{}}}:r:{hex}", self.prefix)
    }

    fn revoked(&self) -> String {
        format!("{{{}}}:revoked", self.prefix)
    }

    fn news(&self) -> String {
        format!("{{{}}}:news", self.prefix)
    }

    fn know(&self, revocation: &Revocation) {
        let mut known = self.known.lock();
        let (before, until) = known.entry(revocation.name().into()).or_default();
        *before = (*before).max(revocation.before);
        *until = (*until).max(revocation.until);
    }

    /// One call, tried once: what became of it when no answer came is unknown.
    async fn attempt(&self, op: &Op) -> Result<Value, Unavailable> {
        let link = self.link.lock().clone();
        let Some(mut link) = link else {
            let why = self.trouble.lock().clone();
            return Err(Unavailable(why.unwrap_or_default()));
        };
        let done = timeout(RESPONSE, self.perform(&mut link, op)).await;
        let error = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.is_down(&error);
        self.met.notify_one();
        Err(Unavailable(error))
    }

    async fn perform(&self, link: &mut Link, op: &Op) -> RedisResult<Value> {
        let set = |key: &Key, value: &[u8], lifetime: u64| {
            let mut set = cmd("SET");
            set.arg(self.record(key)).arg(value).arg("PX").arg(lifetime);
            set
        };
        match op {
            Op::Put(key, value, lifetime) => set(key, value, *lifetime).query_async(link).await,
            Op::PutNew(key, value, lifetime) => {
                set(key, value, *lifetime).arg("NX").query_async(link).await
            }
            Op::Get(key) => cmd("GET").arg(self.record(key)).query_async(link).await,
            Op::Remove(key) => cmd("UNLINK").arg(self.record(key)).query_async(link).await,
            Op::Replace(key, old, value, lifetime) => {
                self.replace
                    .key(self.record(key))
                    .arg(old.as_slice())
                    .arg(value.as_slice())
                    .arg(*lifetime)
                    .invoke_async(link)
                    .await
            }
            Op::Revoke(revocations) => self.save(link, revocations).await,
        }
    }

    async fn save(&self, link: &mut Link, revocations: &[Revocation]) -> RedisResult<Value> {
        let now = now();
        let mut call = self.revoke.key(self.revoked());
        call.key(self.news())
            .arg(millis(now).saturating_sub(NEWS_LIFE))
            .arg(now.as_secs());
        for revocation in revocations {
            call.arg(revocation.until)
                .arg(revocation.name())
                .arg(revocation.before);
        }
        call.invoke_async(link).await
    }

    /// Takes the store for down, once.
    fn is_down(&self, why: &str) {
        let was_up = self.link.lock().take().is_some();
        let mut trouble = self.trouble.lock();
        if was_up {
            warn!("the store does not answer: {why}");
        }
        *trouble = Some(why.to_owned());
    }

    /// Connects, follows what is revoked, and does so again, until `end`.
    async fn follow(self: Arc<Self>, mut end: watch::Receiver<()>, ready: watch::Sender<bool>) {
        let mut follower = Follower {
            shared: self,
            seen: None,
        };
        let forever = async {
            loop {
                let Err(Down(why)) = follower.run(&ready).await;
                follower.shared.is_down(&why);
                sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = forever => {}
            _ = end.changed() => {}
        }
    }

    async fn connect(&self, response: Duration) -> Result<Link, Down> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response));
        let connecting = async {
            Ok::<_, RedisError>(match &self.url.0 {
                Form::One(client) => Link::One(
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await?,
                ),
                Form::Sentinel(sentinels) => {
                    let mut client = sentinels.builder()?.build()?;
                    Link::One(client.get_async_connection_with_config(&config).await?)
                }
                Form::Cluster(client) => Link::Cluster(client.get_async_connection().await?),
            })
        };
        let mut link = timeout(2 * CONNECT, connecting).await??;
        let pong = cmd("PING");
        timeout(RESPONSE, pong.query_async::<()>(&mut link)).await??;
        Ok(link)
    }
}

/// Follows what is revoked, over a connection of its own.
struct Follower {
    shared: Arc<Shared>,
    /// The id of the last of the news that is known.
    seen: Option<String>,
}

/// There is no end but trouble.
enum Never {}

impl Follower {
    async fn run(&mut self, ready: &watch::Sender<bool>) -> Result<Never, Down> {
        let shared = Arc::clone(&self.shared);
        let mut link = shared.connect(RESPONSE).await?;
        let mut news = shared.connect(BLOCK + RESPONSE).await?;
        if !self.is_still_there(&mut link).await? {
            self.load(&mut link).await?;
        }
        self.save_unsaved(&mut link).await?;
        shared.revocations.complete();
        *shared.link.lock() = Some(link.clone());
        if shared.trouble.lock().take().is_some() {
            info!("the store answers");
        }
        ready.send_replace(true);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                heard = self.hear(&mut news) => heard?,
                // A call failed where this one waits: both connections are new then.
                () = shared.met.notified() => {}
            }
            if shared.link.lock().is_none() {
                let why = shared.trouble.lock().clone();
                return Err(Down(why.unwrap_or_default()));
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.look_after(&mut link).await?;
            }
        }
    }

    /// Waits for news for a while.
    async fn hear(&mut self, link: &mut Link) -> Result<(), Down> {
        let seen = self.seen.as_deref().unwrap_or("0-0");
        let mut read = cmd("XREAD");
        read.arg("COUNT")
            .arg(CHUNK)
            .arg("BLOCK")
            .arg(millis(BLOCK))
            .arg("STREAMS")
            .arg(self.shared.news())
            .arg(seen);
        let asked = read.query_async::<Option<StreamReadReply>>(link);
        let reply = timeout(BLOCK + RESPONSE, asked).await??;
        for entry in reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids)
        {
            match entry
                .get::<String>("r")
                .as_deref()
                .and_then(revocation_of_news)
            {
                Some(revocation) => {
                    self.shared.revocations.apply(&revocation);
                    self.shared.know(&revocation);
                }
                None => error!(
                    "the store tells of a revocation that cannot be read: {}",
                    entry.id
                ),
            }
            self.seen = Some(entry.id);
        }
        Ok(())
    }

    /// Whether the stream goes on where it was left: nothing was missed then.
    async fn is_still_there(&self, link: &mut Link) -> Result<bool, Down> {
        let Some(seen) = &self.seen else {
            return Ok(false);
        };
        let mut range = cmd("XRANGE");
        range.arg(self.shared.news()).arg(seen).arg(seen);
        let found: StreamRangeReply = timeout(RESPONSE, range.query_async(link)).await??;
        Ok(!found.ids.is_empty())
    }

    /// Reads all that was ended, and puts back what the store has lost.
    async fn load(&mut self, link: &mut Link) -> Result<(), Down> {
        // First, so that nothing falls between the two.
        let mut last = cmd("XREVRANGE");
        last.arg(self.shared.news())
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        let last: StreamRangeReply = timeout(RESPONSE, last.query_async(link)).await??;
        let last = last.ids.into_iter().next().map(|entry| entry.id);
        let mut lost = std::mem::take(&mut *self.shared.known.lock());
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("ZSCAN");
            scan.arg(self.shared.revoked())
                .arg(cursor)
                .arg("COUNT")
                .arg(LOAD);
            let answer = timeout(RESPONSE, scan.query_async::<(u64, Vec<String>)>(link)).await??;
            let revocations: Vec<_> = answer
                .1
                .chunks_exact(2)
                .filter_map(revocation_of_set)
                .collect();
            if revocations.len() * 2 != answer.1.len() {
                error!("the store holds a revocation that cannot be read");
            }
            self.shared.revocations.apply_all(revocations.iter());
            for revocation in &revocations {
                self.shared.know(revocation);
                let name = revocation.name();
                if lost
                    .get(name.as_str())
                    .is_some_and(|(before, _)| *before <= revocation.before)
                {
                    lost.remove(name.as_str());
                }
            }
            cursor = answer.0;
            if cursor == 0 {
                break;
            }
        }
        self.put_back(link, lost).await?;
        self.seen = Some(last.unwrap_or_else(|| "0-0".to_owned()));
        Ok(())
    }

    async fn put_back(&self, link: &mut Link, lost: Known) -> Result<(), Down> {
        let now = now().as_secs();
        let lost: Vec<_> = lost
            .iter()
            .filter(|(_, (_, until))| *until > now)
            .filter_map(|(name, (before, until))| Revocation::named(name, *before, *until))
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        error!(
            count = lost.len(),
            "the store has lost revocations that this instance knows of, and is given them again: see that it keeps what it has \
             (appendonly yes)"
        );
        // Known before they are saved: should that fail, they are lost again.
        lost.iter()
            .for_each(|revocation| self.shared.know(revocation));
        for chunk in lost.chunks(CHUNK) {
            timeout(RESPONSE, self.shared.save(link, chunk)).await??;
        }
        Ok(())
    }

    async fn save_unsaved(&self, link: &mut Link) -> Result<(), Down> {
        let unsaved = self.shared.unsaved.lock().clone();
        for chunk in unsaved.chunks(CHUNK) {
            timeout(RESPONSE, self.shared.save(link, chunk)).await??;
            chunk
                .iter()
                .for_each(|revocation| self.shared.know(revocation));
        }
        self.shared.unsaved.lock().drain(..unsaved.len());
        Ok(())
    }

    /// Whether the store still has what it had; what came meanwhile and could not
    /// be saved; what is pointless.
    async fn look_after(&mut self, link: &mut Link) -> Result<(), Down> {
        let now = now().as_secs();
        self.shared.revocations.forget_old(now);
        let known = {
            let mut known = self.shared.known.lock();
            known.retain(|_, (_, until)| *until > now);
            known.len()
        };
        let mut count = cmd("ZCARD");
        count.arg(self.shared.revoked());
        let there: usize = timeout(RESPONSE, count.query_async(link)).await??;
        if there < known {
            self.load(link).await?;
        }
        self.save_unsaved(link).await
    }
}

/// `NAME BEFORE UNTIL`.
fn revocation_of_news(text: &str) -> Option<Revocation> {
    let mut parts = text.splitn(3, ' ');
    let (name, before, until) = (parts.next()?, parts.next()?, parts.next()?);
    Revocation::named(name, before.parse().ok()?, until.parse().ok()?)
}

/// `NAME BEFORE` and its score.
fn revocation_of_set(pair: &[String]) -> Option<Revocation> {
    let [member, score] = pair else {
        return None;
    };
    let (name, before) = member.split_once(' ')?;
    let until: f64 = score.parse().ok()?;
    // Seconds since 1970, which a float holds exactly.
    let until = (0.0..9e15).contains(&until).then_some(until as u64)?;
    Revocation::named(name, before.parse().ok()?, until)
}
