//! Back from WeChat: check, exchange once, open a session.
//!
//! Holds always: a code is spent only for the browser whose login cookie
//! carries its state, and at most once for each (login, code), however many
//! duplicates arrive together; all of them get the same session. A callback
//! without its login cookie calls nobody and opens nothing. Whatever happens,
//! the visitor goes on: to the target, to WeChat again at most twice, or to a
//! page that says why.

mod client;
mod exchange;
mod opened;
mod shared;
mod ticket;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tracing::warn;

pub use self::client::{Caller, Refused};
use self::exchange::{Complaints, Failure, Work, consequence, seconds};
pub use self::ticket::{Asking, Unasked};
use crate::circuit::{Circuits, Kind, Shut};
use crate::endpoints;
use crate::limits::Logins;
use crate::login::{self, Login, Opens};
use crate::metrics::{AccountCounts, Metrics};
use crate::origin::{Host, PublicOrigin, ReturnTo};
use crate::reply::{Reply, Trouble};
use crate::request::Asked;
use crate::route::{Decided, LoginAccount, Route, Routes, Snapshot};
use crate::session::{Millis, Session, Sessions};
use crate::signon::Ask;
use crate::store::{Key, Store};
use crate::tokens::Keeper;
use crate::wechat::callback::{NoAnswer, Verdict};
use crate::wechat::{Answer, Api, ApiError, Browser, Code, Errcode, Meaning, State};

/// How many logins in a row may end without the session being kept.
const MAX_ROUNDS: usize = 3;
/// How many codes one login may bring: WeChat's browser has been seen to bring
/// two. Each costs a call of the account's quota.
const MAX_CODES: usize = 3;
/// How long they are counted: as long as a login lives.
const CODE_MEMORY: Duration = Duration::from_secs(600);
/// How long the result of an exchange answers its duplicates: longer than one takes
/// (see `shared`).
const REPLAY: Duration = Duration::from_secs(60);

/// What a callback leads to.
#[derive(Debug)]
pub enum Outcome {
    /// On to the target, or to WeChat again.
    Go(Reply, &'static str),
    /// A page.
    Show(Shown),
}

impl Outcome {
    /// What came of it, in one word.
    fn word(&self) -> &'static str {
        match self {
            Self::Go(_, reason) => reason,
            Self::Show(shown) => shown.trouble.reason(),
        }
    }
}

/// A page and where it leads.
#[derive(Debug)]
pub struct Shown {
    /// What happened.
    pub trouble: Trouble,
    /// Where the visitor wanted to go.
    pub to: ReturnTo,
    /// An address that may go better in another browser.
    pub address: Option<String>,
    /// WeChat's error, if it was one.
    pub errcode: Option<Box<Errcode>>,
    /// In how many seconds it may be tried again, where that is known.
    pub retry_after: Option<u64>,
    /// Cookies to set, which end the login.
    pub cookies: Vec<String>,
}

/// What can be said of a callback without asking anybody.
enum Judged {
    Done(Outcome),
    /// WeChat's answer to a login that this browser began.
    Begun(Answer, Login, Arc<LoginAccount>),
}

/// What callbacks need.
#[derive(Debug)]
pub struct Callbacks {
    api: Api,
    sessions: Arc<Sessions>,
    keeper: Keeper,
    store: Arc<Store>,
    routes: Arc<Routes>,
    logins: Arc<Logins>,
    memory: Memory,
}

/// What is remembered of callbacks, whatever `gateway.toml` says meanwhile: the
/// exchanges in flight, and those just done. A clone shares it.
#[derive(Clone, Debug)]
pub struct Memory {
    metrics: Arc<Metrics>,
    circuits: Arc<Circuits>,
    complaints: Arc<Complaints>,
    flights: Cache<Flight, Result<Session, Failure>>,
    /// How many codes each login has had exchanged.
    codes: Cache<State, Arc<AtomicUsize>>,
}

impl Memory {
    /// Nothing is remembered yet; `metrics` counts what becomes of logins.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            circuits: Arc::default(),
            complaints: Arc::default(),
            codes: Cache::builder()
                .max_capacity(100_000)
                .time_to_live(CODE_MEMORY)
                .build(),
            flights: Cache::builder()
                .max_capacity(100_000)
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .time_to_live(REPLAY)
                .build(),
        }
    }
}

/// A login whose visitor has come back.
struct Arrived {
    login: Login,
    account: Arc<LoginAccount>,
    counts: Arc<AccountCounts>,
}

/// One (login, code). The code itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    state: State,
    code: [u8; 32],
}

impl Flight {
    /// What its record is sealed for: only the browser and WeChat know it.
    fn name(&self) -> Vec<u8> {
        [self.state.as_str().as_bytes(), &self.code].concat()
    }

    /// Where its record stands in a store, which is told neither.
    fn key(&self) -> Key {
        let mut hash = Sha256::new();
        hash.update(b"wxgate\0flight\0");
        hash.update(self.name());
        hash.finalize().into()
    }
}

impl Callbacks {
    /// Callbacks for `routes`, which open `sessions`, as many at one time as
    /// `logins` allows, with the `memory` of those before.
    pub fn new(
        api: Api,
        sessions: Arc<Sessions>,
        keeper: Keeper,
        store: Arc<Store>,
        routes: Arc<Routes>,
        logins: Arc<Logins>,
        memory: Memory,
    ) -> Self {
        Self {
            api,
            sessions,
            keeper,
            store,
            routes,
            logins,
            memory,
        }
    }

    /// What is remembered.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How WeChat is asked.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Whether accounts' quotas are used up.
    pub fn circuits(&self) -> &Circuits {
        &self.memory.circuits
    }

    /// Answers a request to [`login::CALLBACK_PATH`]. Says too which account it was
    /// about, where that is known.
    pub async fn answer(
        &self,
        asked: &Asked<'_>,
        now: Millis,
    ) -> (Outcome, Option<Arc<LoginAccount>>) {
        let (answer, login, account) = match self.judge(asked, now) {
            Judged::Done(outcome) => return (outcome, None),
            Judged::Begun(answer, login, account) => (answer, login, account),
        };
        let about = Some(Arc::clone(&account));
        let counts = self.memory.metrics.account(account.name.as_str());
        let outcome = match answer.for_login(&login.state) {
            Some(Verdict::Agreed(code)) => {
                let arrived = Arrived {
                    login,
                    account,
                    counts,
                };
                self.exchange(asked, arrived, code, now).await
            }
            Some(Verdict::Refused) => counted(&counts, self.end(login, Trouble::Refused, None)),
            None => self.without_login(asked, Some(answer.state()), now),
        };
        (outcome, about)
    }

    /// Whether [`Self::answer`] would have WeChat exchange the code.
    pub fn would_exchange(&self, asked: &Asked<'_>, now: Millis) -> bool {
        match self.judge(asked, now) {
            Judged::Done(_) => false,
            Judged::Begun(answer, login, _) => {
                matches!(answer.for_login(&login.state), Some(Verdict::Agreed(_)))
            }
        }
    }

    /// Whose callback it is. Asks nobody.
    fn judge(&self, asked: &Asked<'_>, now: Millis) -> Judged {
        let answer = match Answer::parse(asked.query.unwrap_or_default()) {
            Ok(answer) => answer,
            Err(NoAnswer::NoState) => return Judged::Done(self.without_login(asked, None, now)),
            Err(NoAnswer::Ambiguous) => {
                let home = endpoints::home(&asked.host, &self.routes);
                return Judged::Done(show(Trouble::BadRequest, home));
            }
        };
        let mut logins = login::carried(&self.sessions, asked.headers(), &asked.host, now);
        let known = |login: &Login| login.state.same(answer.state().as_str());
        let Some(at) = logins.iter().position(known) else {
            return Judged::Done(self.without_login(asked, Some(answer.state()), now));
        };
        let login = logins.swap_remove(at);
        let direct = |account: &Arc<LoginAccount>| self.sessions.is_direct(&login.host, account);
        let Some(account) = self.account(&login).filter(direct) else {
            return Judged::Done(self.without_login(asked, Some(answer.state()), now));
        };
        let counts = self.memory.metrics.account(account.name.as_str());
        let login = match self.unsettled(asked, login, &logins, &account, &counts, now) {
            Ok(login) => login,
            Err(outcome) => return Judged::Done(outcome),
        };
        if !login.listed {
            let outcome = self.not_begun_here(asked, login, &account, now);
            if matches!(outcome, Outcome::Show(_)) {
                counts.loops.add_one();
            }
            return Judged::Done(counted(&counts, outcome));
        }
        Judged::Begun(answer, login, account)
    }

    /// A login cookie that this browser did not get from us, as far as its list
    /// tells: another host of the domain may have set it, to have the visitor
    /// logged in as somebody else. The code is not spent; the visitor logs in
    /// as themselves.
    fn not_begun_here(
        &self,
        asked: &Asked<'_>,
        login: Login,
        account: &Arc<LoginAccount>,
        now: Millis,
    ) -> Outcome {
        if login.state.attempt() < login::MAX_ATTEMPT {
            return self.start_again(asked, login, account, now);
        }
        self.end(login, Trouble::CookieMissing, None)
    }

    /// The account that `login` began with, if it is still served there.
    fn account(&self, login: &Login) -> Option<Arc<LoginAccount>> {
        let accounts = match &login.opens {
            Opens::Payer(_) => self.routes.pay_accounts(&login.host),
            Opens::Session | Opens::SessionThenPayer(_) | Opens::Ticket => {
                self.routes.accounts_at(&login.host)
            }
        };
        (accounts.into_iter())
            .find(|account| account.name.as_str() == login.account)
            .filter(|account| account.wechat.app_id().as_str() == login.app_id)
            .cloned()
    }

    /// The session that the request carries, if it is what `login` is for.
    fn session(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        account: &LoginAccount,
        now: Millis,
    ) -> Option<Session> {
        let session = self.carried(asked, login, account, now)?;
        login.is_met_by(&session).then_some(session)
    }

    fn carried(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        account: &LoginAccount,
        now: Millis,
    ) -> Option<Session> {
        let (lines, now) = (asked.cookie_lines(), seconds(now));
        let carried = self.sessions.read(lines, &login.host, account, now).ok()?;
        Some(carried.session)
    }

    /// No login of this browser's: it took too long, cookies are off, or the
    /// link is somebody else's. Nothing is spent. Whoever has a session goes
    /// home; the rest begin anew once, from an address without the code.
    fn without_login(&self, asked: &Asked<'_>, state: Option<&State>, now: Millis) -> Outcome {
        let home = endpoints::home(&asked.host, &self.routes);
        if self.is_at_home(asked, now) {
            let home = endpoints::home_from(&asked.host, &self.routes);
            return Outcome::Go(Reply::redirect(&home), "already_logged_in");
        }
        let counts = self.counts_at(&asked.host);
        match state {
            // A host without routes has nothing to log in for.
            Some(state) if state.attempt() == 0 && self.routes.serves(&asked.host) => {
                counts.logins.add_one(AccountCounts::AGAIN);
                let login = endpoints::login_again(&home);
                Outcome::Go(Reply::redirect(&login), "login_cookie_missing")
            }
            _ => {
                if state.is_some() {
                    counts.loops.add_one();
                }
                counted(&counts, show(Trouble::CookieMissing, home))
            }
        }
    }

    /// The counts of a login of which nothing is known but its host.
    fn counts_at(&self, host: &Host) -> Arc<AccountCounts> {
        let accounts = self.routes.accounts(host);
        let name = match accounts.as_slice() {
            [only] => only.name.as_str(),
            // Whose login it was is not known.
            _ => "",
        };
        self.memory.metrics.account(name)
    }

    /// What the browser that sent `asked` sees of `host`, which may be another of
    /// its cookies' domain.
    fn origin(&self, asked: &Asked<'_>, host: &Host) -> PublicOrigin {
        match *host == asked.host {
            true => self.routes.origin_of(asked),
            false => self.routes.origin(host),
        }
    }

    fn end(&self, login: Login, trouble: Trouble, errcode: Option<Errcode>) -> Outcome {
        Outcome::Show(Shown {
            trouble,
            cookies: vec![login.forget(&self.sessions)],
            to: login.to,
            address: None,
            errcode: errcode.map(Box::new),
            retry_after: None,
        })
    }

    /// Somebody who is not of the corp. Where another account would know them, they
    /// are told to open the address elsewhere.
    fn outsider(&self, asked: &Asked<'_>, login: Login, now: Millis) -> Outcome {
        let others = |accounts: &[Arc<LoginAccount>]| {
            let corps =
                |account: &Arc<LoginAccount>| account.wechat.kind().browser() == Browser::WeCom;
            !accounts.iter().all(corps)
        };
        let address = match Ask::query_of(&login.to) {
            // What was to be opened at the host that asks is known there alone.
            Some(query) => match self.ask(query, &login.host, now) {
                Ok(asking) if asking.client.is_none() => {
                    let host = &asking.ask.host;
                    let own = self.routes.accounts(host).into_iter().cloned();
                    others(&own.collect::<Vec<_>>()).then(|| {
                        let origin = self.routes.origin(host);
                        format!("{}{}", origin.as_str(), self.routes.home(host))
                    })
                }
                _ => None,
            },
            None => (self.route(&login))
                .filter(|route| others(route.accounts.all()))
                .map(|_| login.to.on(&self.origin(asked, &login.host))),
        };
        let trouble = match address {
            None => Trouble::NotAMember,
            Some(_) => Trouble::NotAMemberHere,
        };
        match self.end(login, trouble, None) {
            Outcome::Show(shown) => Outcome::Show(Shown { address, ..shown }),
            going @ Outcome::Go(..) => going,
        }
    }

    /// The account's quota is used up; the login is over, for its code would be
    /// too old afterwards.
    fn quota(&self, login: Login, errcode: Option<Errcode>, shut: Shut) -> Outcome {
        match self.end(login, Trouble::Quota, errcode) {
            Outcome::Show(shown) => Outcome::Show(Shown {
                retry_after: Some(shut.seconds),
                ..shown
            }),
            going @ Outcome::Go(..) => going,
        }
    }

    async fn exchange(
        &self,
        asked: &Asked<'_>,
        arrived: Arrived,
        code: &Code,
        now: Millis,
    ) -> Outcome {
        let Arrived {
            login,
            account,
            counts,
        } = arrived;
        if let Err(shut) = self.memory.circuits.exchange(&account, now) {
            return counted(&counts, self.quota(login, None, shut));
        }
        if login.need.tokens
            && let Err(error) = self.store.ready()
        {
            warn!(
                "a login was put off, and its code not spent, for its tokens could not be kept: {error}"
            );
            return counted(&counts, show(Trouble::StoreDown, login.to));
        }
        // Every duplicate waits too, and holds memory while it does. Nothing is
        // spent: the same callback may be opened again.
        let Some(_waiting) = self.logins.wait() else {
            warn!(
                "a login was put off: limits.logins_in_flight wait for WeChat, which answers slowly or not at all"
            );
            return counted(&counts, show(Trouble::Busy, login.to));
        };
        let (result, first) = self.exchange_once(asked, &login, &account, code, now).await;
        if !first {
            counts.duplicates.add_one();
        }
        match result {
            Ok(session) => {
                self.memory.circuits.worked(&account);
                counts.set_circuit(false);
                if first {
                    counts.logins.add_one(AccountCounts::OK);
                }
                let said = ("logged_in", "a visitor logged in");
                self.opened(asked, login, &account, &session, said, now)
            }
            Err(failure) => {
                let outcome = self.after_failure(asked, login, &account, failure, now);
                match first {
                    true => counted(&counts, outcome),
                    false => outcome,
                }
            }
        }
    }

    /// One call for each (login, code): whoever comes while it runs, or soon
    /// after, gets the same answer. Says too whether this was the first.
    async fn exchange_once(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        account: &Arc<LoginAccount>,
        code: &Code,
        now: Millis,
    ) -> (Result<Session, Failure>, bool) {
        let flight = Flight {
            state: login.state.clone(),
            code: code.digest(),
        };
        let codes = (self.memory)
            .codes
            .get_with(login.state.clone(), async { Arc::default() })
            .await;
        let first = AtomicBool::new(false);
        let opens_session = !matches!(login.opens, Opens::Payer(_) | Opens::Ticket);
        let before = opens_session.then(|| self.had_too_little(asked, login, account, now));
        let exchange = async {
            if codes.fetch_add(1, Ordering::Relaxed) >= MAX_CODES {
                first.store(true, Ordering::Relaxed);
                return Err(Failure::TooManyCodes);
            }
            let work = Work {
                api: &self.api,
                sessions: &self.sessions,
                keeper: &self.keeper,
                account,
                host: &login.host,
                need: login.need,
                admits_snapshots: self.admits_snapshots(login, now),
                opens_session,
                before: before.flatten(),
                complaints: &self.memory.complaints,
                counts: &self.memory.metrics.account(account.name.as_str()),
                now,
            };
            let run = async {
                first.store(true, Ordering::Relaxed);
                shared::in_time(account, work.run(code)).await
            };
            shared::once(&self.store, self.sessions.keys(), &flight, run).await
        };
        let result = self.memory.flights.get_with(flight.clone(), exchange).await;
        if matches!(result, Err(Failure::Store)) {
            // The store may be back when the callback is opened again.
            self.memory.flights.invalidate(&flight).await;
        }
        (result, first.into_inner())
    }

    /// The session that the request carries and that is not enough for `login`.
    fn had_too_little(
        &self,
        asked: &Asked<'_>,
        login: &Login,
        account: &LoginAccount,
        now: Millis,
    ) -> Option<Session> {
        let session = self.carried(asked, login, account, now)?;
        // One whose tokens are gone would be asked for again, and again.
        (login.instead_of.as_ref() != Some(session.id())).then_some(session)
    }

    /// Whether the page that `login` is for lets snapshot pages' visitors look
    /// around.
    fn admits_snapshots(&self, login: &Login, now: Millis) -> bool {
        if matches!(login.opens, Opens::Payer(_)) {
            return false;
        }
        if let Some(query) = Ask::query_of(&login.to) {
            let asking = self.ask(query, &login.host, now);
            return asking.is_ok_and(|asking| asking.ask.snapshots);
        }
        self.route(login)
            .is_some_and(|route| route.snapshot == Snapshot::ReadOnly)
    }

    /// The route of the page that `login` is for.
    fn route(&self, login: &Login) -> Option<&Route> {
        match self.routes.decide(&login.host, login.to.path()) {
            Decided::Route(route) => Some(route),
            Decided::Ambiguous | Decided::None => None,
        }
    }

    fn after_failure(
        &self,
        asked: &Asked<'_>,
        login: Login,
        account: &Arc<LoginAccount>,
        failure: Failure,
        now: Millis,
    ) -> Outcome {
        let error = match failure {
            Failure::Snapshot => return self.end(login, Trouble::Snapshot, None),
            Failure::Outsider => return self.outsider(asked, login, now),
            Failure::GrantedLess => return self.end(login, Trouble::GrantedLess, None),
            Failure::NoUnionId => return self.end(login, Trouble::NoUnionId, None),
            Failure::TooManyCodes => return self.end(login, Trouble::CodeNotTaken, None),
            Failure::Internal => return self.end(login, Trouble::Internal, None),
            // Should the code be spent, the next callback begins anew.
            Failure::Store => return show(Trouble::StoreDown, login.to),
            Failure::Api(error) => error,
        };
        if let ApiError::Errcode { code, .. } = &error {
            let kind = match code.meaning() {
                Meaning::MinuteQuota => Some(Kind::Minute),
                Meaning::DailyQuota => Some(Kind::Day),
                _ => None,
            };
            if let Some(kind) = kind {
                let shut = self.memory.circuits.used_up(account, kind, now);
                let counts = self.memory.metrics.account(account.name.as_str());
                counts.set_circuit(true);
                return self.quota(login, Some(code.clone()), shut);
            }
        }
        let (code, trouble) = match error {
            ApiError::NotSent(_) => return self.end(login, Trouble::Unreachable, None),
            ApiError::NoAnswer(_) | ApiError::Late(_) | ApiError::Garbled(_) => {
                (None, Trouble::NoAnswer)
            }
            ApiError::Errcode { code, .. } => {
                let trouble = consequence(&code);
                (Some(code), trouble)
            }
        };
        let again = matches!(trouble, Trouble::NoAnswer | Trouble::CodeNotTaken);
        if again && login.state.attempt() < login::MAX_ATTEMPT {
            return self.start_again(asked, login, account, now);
        }
        self.end(login, trouble, code)
    }

    fn start_again(
        &self,
        asked: &Asked<'_>,
        login: Login,
        account: &Arc<LoginAccount>,
        now: Millis,
    ) -> Outcome {
        let forget = login.forget(&self.sessions);
        let start = login::Start {
            host: &login.host,
            origin: self.origin(asked, &login.host),
            account,
            need: login.need,
            instead_of: login.instead_of,
            opens: login.opens.clone(),
            attempt: login.state.attempt() + 1,
            route: self.route(&login),
            to: login.to,
        };
        match login::start(&self.sessions, asked.cookie_lines(), start, now) {
            Ok(reply) => Outcome::Go(reply.with_cookie(&forget), "started_again"),
            Err(_) => show(Trouble::Internal, ReturnTo::root()),
        }
    }
}

/// The same outcome, as what became of a login.
fn counted(counts: &AccountCounts, outcome: Outcome) -> Outcome {
    counts.logins.add_one(outcome.word());
    outcome
}

/// Whether `login` is one of too many in a row, `others` being this browser's.
fn goes_round(login: &Login, others: &[Login]) -> bool {
    let round = login.finished.is_none() && login.rounds_before(others) >= MAX_ROUNDS;
    if round {
        warn!(
            host = %login.host,
            "a browser logs in again and again: the session cookie does not come back as it was set; look at \
             public_scheme, at cookie_domain, and at what else sets or changes cookies"
        );
    }
    round
}

fn show(trouble: Trouble, to: ReturnTo) -> Outcome {
    Outcome::Show(Shown {
        trouble,
        to,
        address: None,
        errcode: None,
        retry_after: None,
        cookies: Vec::new(),
    })
}
