//! What has been ended before its time: sessions, visitors, everyone.
//!
//! Holds always: asking takes no lock and makes no call; what was once ended
//! stays ended until no session it concerns could live; as long as it is not
//! known what was ended, nobody is let in ([`Revocations::is_complete`]). Two
//! visitors that are taken for one, which happens once in 2^128, are refused
//! both.
//!
//! Time is an argument, in seconds since 1970.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

/// Seconds since 1970.
type Now = u64;

/// How long a revocation of a visitor, or of everyone, is kept: no session may
/// live longer.
pub const KEPT: u64 = 366 * 24 * 3600;
/// By how much a revocation may lie in the future: another machine's clock.
pub const LEEWAY: u64 = 60;

/// A session's id.
pub type SessionId = [u8; 16];

/// Who a visitor is to their account: an openid and a userid are never the same.
#[derive(Clone, Copy, Debug)]
pub enum Person<'a> {
    /// Somebody with WeChat, by the account's id of them.
    OpenId(&'a str),
    /// A member of a corp. To WeCom its letters' case makes no difference.
    Member(&'a str),
}

/// A corp's member, as they are hashed: whatever the letters' case.
struct Folded<'a>(&'a str);

impl Hash for Folded<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        // No text has this byte: an openid's hash never ends so.
        state.write_u8(0xfe);
    }
}

/// Whose sessions are ended.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// One session.
    Session(SessionId),
    /// All of one visitor with one account.
    Visitor {
        /// The account's appid.
        app_id: String,
        /// The visitor's openid.
        openid: String,
    },
    /// All of one member of a corp (企业微信).
    Member {
        /// The corp's id.
        app_id: String,
        /// The member's userid, in small letters.
        userid: String,
    },
    /// All.
    Everyone,
}

/// Sessions of `target` that were opened at `before` or earlier have ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Whose.
    pub target: Target,
    /// Which of them. A session's own revocation does not look at it.
    pub before: Now,
    /// From when on none of them could live anyway.
    pub until: Now,
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.target {
            Target::Session(_) => "a session",
            Target::Visitor { .. } => "a visitor",
            Target::Member { .. } => "a member",
            Target::Everyone => "everyone",
        };
        write!(f, "Revocation({what}, before {})", self.before)
    }
}

impl Revocation {
    /// Ends one session, which would have lived until `until` at most.
    pub fn of_session(id: SessionId, until: Now) -> Self {
        Self {
            target: Target::Session(id),
            before: 0,
            until,
        }
    }

    /// Ends all sessions that a visitor opened until `before`.
    pub fn of_visitor(app_id: &str, openid: &str, before: Now) -> Self {
        Self {
            target: Target::Visitor {
                app_id: app_id.to_owned(),
                openid: openid.to_owned(),
            },
            before,
            until: before.saturating_add(KEPT),
        }
    }

    /// Ends all sessions that a corp's member opened until `before`.
    pub fn of_member(app_id: &str, userid: &str, before: Now) -> Self {
        Self {
            target: Target::Member {
                app_id: app_id.to_owned(),
                userid: userid.to_ascii_lowercase(),
            },
            before,
            until: before.saturating_add(KEPT),
        }
    }

    /// Ends all sessions that this person opened until `before`.
    pub fn of(app_id: &str, person: Person<'_>, before: Now) -> Self {
        match person {
            Person::OpenId(openid) => Self::of_visitor(app_id, openid, before),
            Person::Member(userid) => Self::of_member(app_id, userid, before),
        }
    }

    /// Ends all sessions that were opened until `before`.
    pub fn of_everyone(before: Now) -> Self {
        Self {
            target: Target::Everyone,
            before,
            until: before.saturating_add(KEPT),
        }
    }

    /// What it is about, as a word without spaces that names it in a store: two
    /// revocations with one name are one, and the later `before` holds.
    pub fn name(&self) -> String {
        match &self.target {
            Target::Session(id) => format!("s:{}", show_id(id)),
            Target::Visitor { app_id, openid } => format!("v:{app_id}:{openid}"),
            Target::Member { app_id, userid } => format!("m:{app_id}:{userid}"),
            Target::Everyone => "e".to_owned(),
        }
    }

    /// The revocation of that name; `None` for a name that [`Self::name`] does
    /// not give.
    pub fn named(name: &str, before: Now, until: Now) -> Option<Self> {
        let plain = |text: &str| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let target = match name.split_once(':') {
            None if name == "e" => Target::Everyone,
            Some(("s", id)) => Target::Session(parse_id(id)?),
            Some(("v", rest)) => {
                let (app_id, openid) = rest.split_once(':')?;
                if !plain(app_id) || !(1..=128).contains(&openid.len()) || !plain_long(openid) {
                    return None;
                }
                Target::Visitor {
                    app_id: app_id.to_owned(),
                    openid: openid.to_owned(),
                }
            }
            Some(("m", rest)) => {
                let (app_id, userid) = rest.split_once(':')?;
                let member = userid.replace(['@', '.'], "-");
                if !plain(app_id) || !plain(&member) || userid != userid.to_ascii_lowercase() {
                    return None;
                }
                Target::Member {
                    app_id: app_id.to_owned(),
                    userid: userid.to_owned(),
                }
            }
            _ => return None,
        };
        Some(Self {
            target,
            before,
            until,
        })
    }
}

fn plain_long(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A session's id as `me` shows it: 32 lower-case hexadecimal digits.
pub fn parse_id(text: &str) -> Option<SessionId> {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 32 && text.bytes().all(lower_hex))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
        .map(u128::to_be_bytes)
}

/// What [`parse_id`] reads.
pub fn show_id(id: &SessionId) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

/// What is asked of a session.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its id.
    pub id: &'a SessionId,
    /// With which account it was opened.
    pub app_id: &'a str,
    /// By whom.
    pub person: Person<'a>,
    /// When.
    pub opened: Now,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    before: Now,
    until: Now,
}

/// How many words a [`Filter`] has: 4 MiB, enough for a few million entries.
const WORDS: usize = 1 << 19;

/// What may have been ended, by a hash: one look at one word of memory tells of
/// nearly everything else that it was not, where the maps, which are larger than a
/// processor's caches, would take several. What was forgotten stays in it, which
/// costs a look into the maps and nothing else.
struct Filter(Box<[AtomicU64]>);

impl Filter {
    fn new() -> Self {
        Self((0..WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    /// A word, and four bits of it.
    fn place(&self, hash: u64) -> (Option<&AtomicU64>, u64) {
        let word = self.0.get(hash as usize & (WORDS - 1));
        let bits = (0..4).fold(0, |bits, at| bits | 1 << ((hash >> (19 + 6 * at)) & 63));
        (word, bits)
    }

    fn add(&self, hash: u64) {
        let (word, bits) = self.place(hash);
        if let Some(word) = word {
            word.fetch_or(bits, Ordering::Release);
        }
    }

    fn may_have(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        word.is_none_or(|word| word.load(Ordering::Acquire) & bits == bits)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter(…)")
    }
}

/// All that was ended, for every request to ask.
#[derive(Debug)]
pub struct Revocations {
    complete: AtomicBool,
    /// Sessions opened until then have ended; 0 for none.
    everyone: AtomicU64,
    /// The latest moment of any revocation of visitors.
    latest: AtomicU64,
    /// Of both maps below.
    filter: Filter,
    sessions: papaya::HashMap<SessionId, Now>,
    /// By a fingerprint of appid and openid: a million of them must be small.
    visitors: papaya::HashMap<u128, Until>,
    hashers: (RandomState, RandomState),
    changes: watch::Sender<u64>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            complete: AtomicBool::new(false),
            everyone: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            filter: Filter::new(),
            sessions: papaya::HashMap::new(),
            visitors: papaya::HashMap::new(),
            hashers: (RandomState::new(), RandomState::new()),
            changes: watch::Sender::new(0),
        }
    }
}

impl Revocations {
    /// Whether all that was ended before this process began is known.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// All that was ended before is known now.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Takes note of `revocation`. It holds for whoever asks from now on.
    pub fn apply(&self, revocation: &Revocation) {
        if self.note(revocation) {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Takes note of many, and tells of them once.
    pub fn apply_all<'a>(&self, revocations: impl Iterator<Item = &'a Revocation>) {
        let news = revocations.fold(false, |news, revocation| self.note(revocation) | news);
        if news {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Whether it was news.
    fn note(&self, revocation: &Revocation) -> bool {
        let Revocation {
            target,
            before,
            until,
        } = revocation;
        self.latest.fetch_max(*before, Ordering::AcqRel);
        match target {
            Target::Session(id) => {
                self.filter.add(self.hash_of_session(id));
                let sessions = self.sessions.pin();
                sessions.insert(*id, *until).is_none()
            }
            Target::Visitor { app_id, openid } => {
                self.note_person(app_id, Person::OpenId(openid), *before, *until)
            }
            Target::Member { app_id, userid } => {
                self.note_person(app_id, Person::Member(userid), *before, *until)
            }
            Target::Everyone => self.everyone.fetch_max(*before, Ordering::AcqRel) < *before,
        }
    }

    fn note_person(&self, app_id: &str, person: Person<'_>, before: Now, until: Now) -> bool {
        let visitors = self.visitors.pin();
        let new = Until { before, until };
        let hash = hash_of(&self.hashers.0, app_id, person);
        self.filter.add(hash);
        let visitor = self.fingerprint(hash, app_id, person);
        let known = visitors.get(&visitor).copied();
        let later = |known: &Until| Until {
            before: known.before.max(before),
            until: known.until.max(until),
        };
        visitors.update_or_insert(visitor, later, new);
        known.is_none_or(|known| known.before < before)
    }

    /// Whether the session of `subject` has been ended.
    pub fn has_ended(&self, subject: &Subject<'_>) -> bool {
        subject.opened <= self.everyone.load(Ordering::Acquire)
            || (self.filter.may_have(self.hash_of_session(subject.id))
                && self.sessions.pin().contains_key(subject.id))
            || subject.opened <= self.visitor_before(subject.app_id, subject.person)
    }

    /// Until when all that were opened for this visitor have ended.
    fn before(&self, app_id: &str, person: Person<'_>) -> Now {
        let everyone = self.everyone.load(Ordering::Acquire);
        everyone.max(self.visitor_before(app_id, person))
    }

    /// The earliest moment at which a session of this visitor may be said to
    /// have been opened: whoever WeChat vouches for in the very second in which
    /// they were put out is let in.
    pub fn earliest(&self, app_id: &str, person: Person<'_>, now: Now) -> Now {
        let before = self.before(app_id, person);
        now.max(before.saturating_add(1).min(now.saturating_add(LEEWAY)))
    }

    /// The moment for a revocation of this visitor that is to end all that were
    /// opened until `now`: those of whoever came back in the very second of an
    /// earlier one too, which tell of the next.
    pub fn moment(&self, app_id: &str, person: Person<'_>, now: Now) -> Now {
        let last = self.before(app_id, person);
        now.max((last + 1).min(now + LEEWAY / 2))
    }

    /// The same for everyone.
    pub fn moment_for_everyone(&self, now: Now) -> Now {
        let last = self.latest.load(Ordering::Acquire);
        now.max((last + 1).min(now + LEEWAY / 2))
    }

    fn visitor_before(&self, app_id: &str, person: Person<'_>) -> Now {
        let hash = hash_of(&self.hashers.0, app_id, person);
        if !self.filter.may_have(hash) {
            return 0;
        }
        let visitors = self.visitors.pin();
        visitors
            .get(&self.fingerprint(hash, app_id, person))
            .map_or(0, |until| until.before)
    }

    fn hash_of_session(&self, id: &SessionId) -> u64 {
        // The ids are random, and signed: nobody chooses them.
        u128::from_be_bytes(*id) as u64
    }

    fn fingerprint(&self, hash: u64, app_id: &str, person: Person<'_>) -> u128 {
        let other = hash_of(&self.hashers.1, app_id, person);
        (u128::from(hash) << 64) | u128::from(other)
    }

    /// Forgets what concerns no session that could live at `now`.
    pub fn forget_old(&self, now: Now) {
        self.sessions.pin().retain(|_, until| *until > now);
        self.visitors.pin().retain(|_, kept| kept.until > now);
    }

    /// How many are known: sessions, visitors.
    pub fn len(&self) -> (usize, usize) {
        (self.sessions.len(), self.visitors.len())
    }

    /// Whether nothing was ended.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0) && self.everyone.load(Ordering::Acquire) == 0
    }

    /// Tells of every change, for those who must not wait for a request.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn hash_of(hasher: &RandomState, app_id: &str, person: Person<'_>) -> u64 {
    match person {
        Person::OpenId(openid) => hasher.hash_one((app_id, openid)),
        Person::Member(userid) => hasher.hash_one((app_id, Folded(userid))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = [7; 16];

    fn subject(opened: Now) -> Subject<'static> {
        Subject {
            id: &ID,
            app_id: "wx1",
            person: Person::OpenId("oVisitor"),
            opened,
        }
    }

    #[test]
    fn a_session_a_visitor_and_everyone_are_ended() {
        let all = Revocations::default();
        assert!(all.is_empty() && !all.has_ended(&subject(1000)));
        all.apply(&Revocation::of_session([8; 16], 5000));
        all.apply(&Revocation::of_visitor("wx1", "oOther", 5000));
        all.apply(&Revocation::of_visitor("wx2", "oVisitor", 5000));
        assert!(!all.has_ended(&subject(1000)));
        all.apply(&Revocation::of_visitor("wx1", "oVisitor", 1000));
        assert!(all.has_ended(&subject(1000)) && !all.has_ended(&subject(1001)));
        all.apply(&Revocation::of_visitor("wx1", "oVisitor", 900));
        assert!(all.has_ended(&subject(1000)));
        all.apply(&Revocation::of_everyone(2000));
        all.apply(&Revocation::of_everyone(1500));
        assert!(all.has_ended(&subject(2000)) && !all.has_ended(&subject(2001)));
        all.apply(&Revocation::of_session(ID, 9000));
        assert!(all.has_ended(&subject(2001)));
    }

    #[test]
    fn a_member_and_who_has_such_an_openid_are_two_and_case_makes_no_difference() {
        let all = Revocations::default();
        let ended = |person| {
            let subject = Subject {
                person,
                ..subject(1000)
            };
            all.has_ended(&subject)
        };
        all.apply(&Revocation::of_member("wx1", "ZhangSan", 1000));
        for same in ["zhangsan", "ZhangSan", "ZHANGSAN"] {
            assert!(ended(Person::Member(same)), "{same}");
            assert!(!ended(Person::OpenId(same)), "{same}");
        }
        assert!(!ended(Person::Member("zhangsa")) && !ended(Person::Member("zhangsann")));
        all.apply(&Revocation::of_visitor("wx1", "lisi", 1000));
        assert!(ended(Person::OpenId("lisi")) && !ended(Person::Member("lisi")));
        assert!(!ended(Person::OpenId("LiSi")));
        let opened = all.earliest("wx1", Person::Member("ZHANGsan"), 1000);
        assert_eq!(opened, 1001);
    }

    #[test]
    fn whoever_was_put_out_can_come_back_at_once() {
        let all = Revocations::default();
        assert_eq!(all.earliest("wx1", Person::OpenId("oVisitor"), 1000), 1000);
        all.apply(&Revocation::of_visitor("wx1", "oVisitor", 1000));
        let opened = all.earliest("wx1", Person::OpenId("oVisitor"), 1000);
        assert!(opened == 1001 && !all.has_ended(&subject(opened)));
        assert_eq!(all.earliest("wx1", Person::OpenId("oOther"), 1000), 1000);
        all.apply(&Revocation::of_everyone(1030));
        assert_eq!(all.earliest("wx1", Person::OpenId("oOther"), 1000), 1031);
        assert_eq!(all.earliest("wx1", Person::OpenId("oOther"), 2000), 2000);
    }

    #[test]
    fn whoever_came_back_at_once_can_be_put_out_at_once() {
        let all = Revocations::default();
        for _ in 0..5 {
            let opened = all.earliest("wx1", Person::OpenId("oVisitor"), 1000);
            assert!(!all.has_ended(&subject(opened)));
            let moment = all.moment("wx1", Person::OpenId("oVisitor"), 1000);
            all.apply(&Revocation::of_visitor("wx1", "oVisitor", moment));
            assert!(all.has_ended(&subject(opened)));
        }
        let opened = all.earliest("wx1", Person::OpenId("oVisitor"), 1000);
        let moment = all.moment_for_everyone(1000);
        all.apply(&Revocation::of_everyone(moment));
        assert!(all.has_ended(&subject(opened)));
        assert_eq!(all.moment("wx1", Person::OpenId("oVisitor"), 2000), 2000);
        assert_eq!(all.moment_for_everyone(2000), 2000);
    }

    #[test]
    fn a_name_gives_back_what_it_names() {
        for revocation in [
            Revocation::of_session(ID, 9),
            Revocation::of_visitor("wx1", "oVisitor_-", 5),
            Revocation::of_member("ww1", "Li.Ming@example-1", 5),
            Revocation::of_everyone(5),
        ] {
            let name = revocation.name();
            let again = Revocation::named(&name, revocation.before, revocation.until);
            assert!(again == Some(revocation), "{name}");
        }
        for wrong in [
            "",
            "x",
            "s:",
            "s:00",
            "v:wx1",
            "v:wx1:",
            "v::o",
            "v:wx 1:o",
            "v:wx1:li.ming",
            "m:ww1",
            "m:ww1:",
            "m:ww1:Li",
            "m:ww1:a b",
            "e:1",
            "s:0707070707070707070707070707070G",
        ] {
            assert!(Revocation::named(wrong, 1, 2).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_could_not_live_is_forgotten_and_changes_are_told() {
        let all = Revocations::default();
        let mut changes = all.changes();
        all.apply(&Revocation::of_session(ID, 2000));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        all.apply(&Revocation::of_session(ID, 2000));
        assert!(!changes.has_changed().unwrap());
        all.forget_old(1999);
        assert_eq!(all.len(), (1, 0));
        all.forget_old(2000);
        assert_eq!(all.len(), (0, 0));
    }
}
