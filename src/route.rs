//! Host and path → route, decided once and carried.
//!
//! Holds always: the decision is made on the path that is forwarded, by whole
//! segments, longest first, never by query or fragment. Where servers would
//! read a path in different ways (encoded slashes, dot segments, letter case,
//! `;parameters`, doubled slashes, double encoding) and one of the readings
//! would reach a stricter route, there is no decision: [`Decided::Ambiguous`].

mod accounts;
mod holder;
mod hosts;
mod readings;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use http::{HeaderName, HeaderValue, Method};

pub use self::accounts::{Accounts, Twins};
pub use self::holder::{Client, Holder, Via};
pub use self::hosts::ByHost;
use self::readings::{is_plain, readings, without_endings};
pub use self::settings::{
    AccountName, Auth, HostPattern, Identity, OutsideWeChat, Period, RoutePath, SessionCookie,
    Snapshot,
};
use crate::limits::BodySize;
use crate::origin::{Host, PublicOrigin, PublicScheme};
use crate::request::Asked;
use crate::upstream::Upstream;
use crate::wechat::account::VerifyFile;
use crate::wechat::{Account, Browser, Kind, Scope};

/// An account as routes use it.
#[derive(Debug)]
pub struct LoginAccount {
    /// The name of its table in `gateway.toml`.
    pub name: AccountName,
    /// The account itself.
    pub wechat: Account,
    /// Which gateway holds its secret.
    pub holder: Holder,
    /// Whether a corp's account lets in who is none of its members.
    pub outsiders: bool,
    /// The name of its session cookie.
    pub session_cookie: String,
    /// The name of the cookie of a snapshot page's visitor.
    pub snapshot_cookie: String,
    /// The name of the cookie that tells the openid with this account beside a
    /// session with another.
    pub pay_cookie: String,
}

/// What a route asks of a session.
///
/// The scope is compared in the gateway's own order, whatever WeChat calls it: with
/// `Userinfo` the profile was asked for, with `Base` it was not. A website's one
/// scope, `snsapi_login`, allows both, so that a login there always ends with what
/// was asked for and none has to be repeated; a session that was opened for less is
/// followed by one login for more, and none leads back to less
/// ([`Self::keeping`]). A corp's visitors are asked for `Base` on every route
/// ([`Kind::most`]): their session is enough as soon as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// What the visitor must have granted.
    pub scope: Scope,
    /// Whether the visitor's tokens must be kept.
    pub tokens: bool,
    /// Whether the visitor must be known by a unionid.
    pub unionid: bool,
}

impl Need {
    /// An openid and nothing else, for which nobody is asked.
    pub const OPENID: Self = Self {
        scope: Scope::Base,
        tokens: false,
        unionid: false,
    };

    /// The same, and what `had` has is asked for too, so that it is not lost. A
    /// unionid comes along where WeChat gives one, and is needed where this says so
    /// alone: should the account give none any more, a visitor who had one gets on
    /// wherever it is not asked for.
    #[must_use]
    pub fn keeping(self, had: Self) -> Self {
        Self {
            scope: self.scope.max(had.scope),
            tokens: self.tokens || had.tokens,
            unionid: self.unionid,
        }
    }

    /// Whether whoever has `other` has this.
    pub fn is_met_by(self, other: Self) -> bool {
        self.scope <= other.scope && self.tokens <= other.tokens && self.is_named_by(other)
    }

    /// Whether whoever has `other` is known by the id that this asks for.
    pub fn is_named_by(self, other: Self) -> bool {
        self.unionid <= other.unionid
    }
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Its place in the file, from 0: where what is counted of it stands.
    pub number: usize,
    /// The hosts it serves.
    pub host: HostPattern,
    /// The path it begins at.
    pub path: RoutePath,
    /// The app.
    pub upstream: Upstream,
    /// Whether a session is needed.
    pub auth: Auth,
    /// Whose visitors; a route without login has none.
    pub accounts: Accounts,
    /// Under which other account they pay.
    pub pay_account: Option<Arc<LoginAccount>>,
    /// What visitors are asked for.
    pub scope: Scope,
    /// By which id a visitor must be known.
    pub identity: Identity,
    /// What browsers outside WeChat get.
    pub outside_wechat: OutsideWeChat,
    /// What the app sees of the session cookie.
    pub session_cookie: SessionCookie,
    /// What a snapshot page's visitor gets.
    pub snapshot: Snapshot,
    /// Whether a page of the gateway's own asks before WeChat does.
    pub consent_page: bool,
    /// Whether an address's fragment survives the login.
    pub keep_fragment: bool,
    /// How old a profile may be.
    pub profile_ttl: Option<Period>,
    /// How often WeChat is asked whether the visitor's consent still holds.
    pub verify_every: Option<Period>,
    /// Whether the app gets the visitor's access token.
    pub access_token: bool,
    /// The methods it takes; empty for all.
    pub methods: Vec<Method>,
    /// The largest body it takes.
    pub max_body: BodySize,
    /// Headers that every request to the app carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The `Host` the app receives, if not the visitor's.
    pub upstream_host: Option<HeaderValue>,
    /// Whether the app gets a signed proof of who the visitor is.
    pub assertion: bool,
}

impl Route {
    /// Its host and path as they stand in the file, by which it is known to
    /// operators.
    pub fn label(&self) -> String {
        format!("{}{}", self.host, self.path.as_str())
    }

    /// Whether it needs the visitor's tokens: on the others none is kept.
    pub fn needs_tokens(&self) -> bool {
        self.profile_ttl.is_some() || self.verify_every.is_some() || self.access_token
    }

    /// Who may pass, for operators.
    pub fn admits(&self) -> String {
        let named = |account: &Arc<LoginAccount>| {
            let kind = account.wechat.kind();
            let scope = kind.scope_name(kind.most(self.scope));
            format!("{} ({scope})", account.name.as_str())
        };
        let all: Vec<String> = self.accounts.all().iter().map(named).collect();
        let by = match self.identity {
            Identity::OpenId => "",
            Identity::UnionId => " by unionid",
        };
        match (self.auth, all.is_empty()) {
            (Auth::Required, false) => format!("login with {}{by}", all.join(" or ")),
            (Auth::Optional, false) => format!("login with {}{by} welcome", all.join(" or ")),
            _ => "open to everybody".to_owned(),
        }
    }

    /// Whether a browser that opens a page here can be sent to WeChat with an
    /// official account.
    pub fn leads_to_wechat(&self, asked: &Asked<'_>) -> bool {
        self.outside_wechat == OutsideWeChat::Redirect || asked.browser() == Browser::WeChat
    }

    /// What it asks of a session with an account of `kind`.
    pub fn need(&self, kind: Kind) -> Need {
        Need {
            scope: kind.most(self.scope),
            tokens: self.needs_tokens(),
            unionid: self.identity == Identity::UnionId,
        }
    }

    /// Whether it takes `method`, which is compared as it stands (RFC 9110,
    /// section 9.1).
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Whether whatever passes here may pass at `other` too.
    fn covers(&self, other: &Self) -> bool {
        let methods = other.methods.is_empty()
            || (!self.methods.is_empty() && self.methods.iter().all(|method| other.takes(method)));
        methods
            && self.max_body <= other.max_body
            && self.admits_for(other)
            && self.tells_who_pays_for(other)
    }

    /// Whether what is told here of who pays is all that is told at `other`.
    fn tells_who_pays_for(&self, other: &Self) -> bool {
        let name = |route: &Self| (route.pay_account.as_ref()).map(|account| account.name.clone());
        other.pay_account.is_none() || name(self) == name(other)
    }

    /// Whether a consent that was withdrawn is found out here as soon as at
    /// `other`.
    fn is_checked_as_often_as(&self, other: &Self) -> bool {
        match (self.verify_every, other.verify_every) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(theirs)) => own <= theirs,
        }
    }

    /// Whether whoever may pass here may pass at `other` too, as the same
    /// visitor.
    fn admits_for(&self, other: &Self) -> bool {
        let alike = || self.accounts.are(&other.accounts) && self.identity == other.identity;
        match (self.auth, other.auth) {
            (_, Auth::None) => true,
            (Auth::Required, _) => self.asks_less_in(other).next().is_none(),
            (Auth::Optional, Auth::Optional) => alike(),
            (Auth::Optional | Auth::None, _) => false,
        }
    }

    /// The settings by which whoever has logged in for this route may still not pass
    /// at `other`, or passes there as somebody else.
    pub fn asks_less_in(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let snapshot = self.snapshot == other.snapshot || self.snapshot == Snapshot::Page;
        let settings = [
            ("account", self.accounts.are(&other.accounts)),
            ("identity", self.identity == other.identity),
            ("scope", self.scope >= other.scope),
            ("verify_every", self.is_checked_as_often_as(other)),
            ("snapshot", snapshot),
        ];
        let less = settings.into_iter().filter(|(_, enough)| !enough);
        less.map(|(name, _)| name)
    }
}

/// A route by the host and path of the file: `shop.example.com/pay`.
impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path.as_str())
    }
}

/// What the operator wrote, by name. Visitors choose what is looked up and never
/// what is in it, so that its hashes need no secret.
type Table<K, V> = HashMap<K, V, FixedState>;

/// All routes.
#[derive(Debug, Default)]
pub struct Routes {
    sites: ByHost<Site>,
    verify_files: Table<String, VerifyFile>,
    /// The origins of callback hosts, which in a sandbox may have a port.
    origins: Table<Host, PublicOrigin>,
    /// By callback host: the accounts that routes use, and where each is used first.
    callbacks: Table<Host, Vec<(Arc<LoginAccount>, HostPattern)>>,
    /// A host without routes whose visitors log in all the same.
    facade: Option<FacadeHost>,
    scheme: PublicScheme,
}

/// The host where apps that do OAuth themselves are answered.
#[derive(Debug)]
pub struct FacadeHost {
    /// The host.
    pub host: Host,
    /// Whose visitors log in there.
    pub accounts: Vec<Arc<LoginAccount>>,
    /// The address that a visitor is led to who wants nothing in particular.
    pub home: String,
}

/// The routes of one host pattern.
#[derive(Debug)]
struct Site {
    /// By path, `""` being the root.
    routes: Table<String, Arc<Route>>,
    /// The same by path in small letters, for readings.
    folded: Table<String, Arc<Route>>,
    /// The length of the longest path: nothing beyond it decides.
    longest: usize,
    /// Whether all paths are plain.
    is_plain: bool,
    /// Whether visitors log in here by way of another gateway.
    has_via: bool,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            routes: Table::default(),
            folded: Table::default(),
            longest: 0,
            is_plain: true,
            has_via: false,
        }
    }
}

/// The answer to "which route?".
#[derive(Debug)]
pub enum Decided<'a> {
    /// This one.
    Route(&'a Arc<Route>),
    /// The path could be read as that of another route.
    Ambiguous,
    /// None for this host, or none for this path.
    None,
}

/// The readings for which a path is not decided.
#[derive(Debug)]
pub enum Collisions<'a> {
    /// These, each with the route it reaches.
    Readings(Vec<(String, Option<&'a Arc<Route>>)>),
    /// More than anybody looks through, or one that only a disk knows: `SECRET~1`.
    Countless,
}

impl Routes {
    /// The table of `routes`; with two alike, the places of both.
    ///
    /// # Errors
    /// Each pair `(first, second)` of routes with one host and one path.
    pub fn new(
        routes: &[Arc<Route>],
        verify_files: Vec<VerifyFile>,
        scheme: PublicScheme,
    ) -> Result<Self, Vec<(usize, usize)>> {
        let mut table = Self {
            scheme,
            ..Self::default()
        };
        let mut seen: HashMap<(&HostPattern, String), usize> = HashMap::new();
        let mut twins = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            let key = (&route.host, route.path.prefix().to_ascii_lowercase());
            if let Some(first) = seen.get(&key) {
                twins.push((*first, at));
                continue;
            }
            seen.insert(key, at);
            table.sites.entry(&route.host).add(route);
            let asks = route.auth != Auth::None;
            let accounts = route.accounts.all().iter().chain(&route.pay_account);
            for account in accounts.filter(|_| asks) {
                table.comes_back(account, &route.host);
            }
        }
        table.verify_files = verify_files
            .into_iter()
            .map(|file| (format!("/{}", file.name()), file))
            .collect();
        if twins.is_empty() {
            Ok(table)
        } else {
            Err(twins)
        }
    }

    /// The same with the callbacks of those of `accounts` that have clients, whether
    /// routes use them or not.
    #[must_use]
    pub fn with_clients<'a>(
        mut self,
        accounts: impl IntoIterator<Item = &'a Arc<LoginAccount>>,
    ) -> Self {
        for account in accounts {
            if !account.clients().is_empty() {
                let host = account.wechat.callback_origin().host().clone();
                self.comes_back(account, &HostPattern::Exact(host));
            }
        }
        self
    }

    /// The clients called `name` of accounts whose visitors come back from WeChat to
    /// `host`.
    pub fn clients<'a>(
        &'a self,
        host: &Host,
        name: &'a AccountName,
    ) -> impl Iterator<Item = (&'a Arc<LoginAccount>, &'a Client)> {
        let back = self.callbacks.get(host).into_iter().flatten();
        back.flat_map(move |(account, _)| {
            let clients = account.clients().iter();
            let named = clients.filter(move |client| client.name == *name);
            named.map(move |client| (account, client))
        })
    }

    /// Notes that visitors of `host` come back from WeChat to the host of `account`.
    fn comes_back(&mut self, account: &Arc<LoginAccount>, host: &HostPattern) {
        // Nobody does to where the secret is not.
        if account.via().is_some() {
            return;
        }
        let origin = account.wechat.callback_origin();
        self.origins.insert(origin.host().clone(), origin.clone());
        let back = self.callbacks.entry(origin.host().clone()).or_default();
        match back
            .iter_mut()
            .find(|(known, _)| known.name == account.name)
        {
            None => back.push((Arc::clone(account), host.clone())),
            // One host can be sent to; all below a domain cannot.
            Some((_, known @ HostPattern::Below(_))) => *known = host.clone(),
            Some(_) => {}
        }
    }

    /// The same with the facade's host, which no route serves, not even one for all
    /// hosts below its domain.
    #[must_use]
    pub fn with_facade(mut self, facade: FacadeHost) -> Self {
        let pattern = HostPattern::Exact(facade.host.clone());
        for account in &facade.accounts {
            self.comes_back(account, &pattern);
        }
        let site = Site {
            has_via: (facade.accounts.iter()).any(|account| account.via().is_some()),
            ..Site::default()
        };
        self.sites.insert(&pattern, site);
        self.facade = Some(facade);
        self
    }

    /// The facade, if `host` is its own.
    pub fn facade_at(&self, host: &Host) -> Option<&FacadeHost> {
        self.facade.as_ref().filter(|facade| facade.host == *host)
    }

    /// The route for `path`, as it stands in the request line without query.
    pub fn decide(&self, host: &Host, path: &str) -> Decided<'_> {
        let Some(site) = self.sites.get(host) else {
            return Decided::None;
        };
        let Some(route) = site.longest_prefix(&site.routes, path) else {
            return Decided::None;
        };
        if site.could_be_stricter(path, route) {
            return Decided::Ambiguous;
        }
        Decided::Route(route)
    }

    /// Why `path` is [`Decided::Ambiguous`]: its readings that reach a route which
    /// asks for more, or none (`None`), each with that route.
    pub fn collisions(&self, host: &Host, path: &str) -> Collisions<'_> {
        let site = self.sites.get(host);
        let found = site.and_then(|site| Some((site, site.longest_prefix(&site.routes, path)?)));
        let Some((site, route)) = found.filter(|(site, route)| site.could_be_stricter(path, route))
        else {
            return Collisions::Readings(Vec::new());
        };
        let all = match is_plain(path) && site.is_plain {
            true => without_endings(path).map(Vec::from),
            false => readings(path),
        };
        let Some(all) = all else {
            return Collisions::Countless;
        };
        let stricter = all.into_iter().filter_map(|reading| {
            let other = site.longest_prefix(&site.folded, &reading);
            let passes = other.is_some_and(|other| route.covers(other));
            (!passes).then_some((reading, other))
        });
        Collisions::Readings(stricter.collect())
    }

    /// Whether `host` has routes.
    pub fn serves(&self, host: &Host) -> bool {
        (self.sites.get(host)).is_some_and(|site| !site.routes.is_empty())
    }

    /// Whether visitors come back from WeChat to `host`, which need not have
    /// routes.
    pub fn is_callback(&self, host: &Host) -> bool {
        self.callbacks.contains_key(host)
    }

    /// A host with routes whose visitors come back from WeChat to `host`.
    pub fn sends_back_to(&self, host: &Host) -> Option<&Host> {
        let mut back = self.callbacks.get(host)?.iter();
        back.find_map(|(_, pattern)| match pattern {
            HostPattern::Exact(other) => (other != host).then_some(other),
            HostPattern::Below(_) => None,
        })
    }

    /// What visitors' browsers see of `host`.
    pub fn origin(&self, host: &Host) -> PublicOrigin {
        self.origins
            .get(host)
            .cloned()
            .unwrap_or_else(|| PublicOrigin::of(self.scheme, host))
    }

    /// The same of the host that `asked` names. At hosts whose visitors log in by way
    /// of another gateway the port is the request's own, for nothing else tells it:
    /// that gateway holds the whole against its list.
    pub fn origin_of(&self, asked: &Asked<'_>) -> PublicOrigin {
        self.origin_at(&asked.host, asked.port)
    }

    /// The same for a request to `host` that says `port`.
    pub fn origin_at(&self, host: &Host, port: Option<u16>) -> PublicOrigin {
        let known = self.origins.contains_key(host);
        match self.sites.get(host) {
            Some(site) if site.has_via && !known => PublicOrigin::at(self.scheme, host, port),
            _ => self.origin(host),
        }
    }

    /// Routes that ask for more than one above them, as pairs (above, below).
    /// What lies below an open route is only as safe as the app's reading of
    /// paths is known here.
    pub fn locked_below_open(&self) -> Vec<(&Route, &Route)> {
        let mut pairs: Vec<(&Route, &Route)> = (self.sites.values())
            .flat_map(|site| site.routes.values().map(move |below| (site, below)))
            .filter_map(|(site, below)| {
                let (parent, _) = below.path.prefix().rsplit_once('/')?;
                let above = site.longest_prefix(&site.routes, parent)?;
                (!above.admits_for(below)).then_some((&**above, &**below))
            })
            .collect();
        pairs.sort_by_key(|(_, below)| (below.host.to_string(), below.path.clone()));
        pairs
    }

    /// Routes with a `pay_account` below one with a login and another or none, as
    /// pairs (above, below).
    pub fn paid_below_unpaid(&self) -> Vec<(&Route, &Route)> {
        let pays = |route: &Route| (route.pay_account.as_ref()).map(|account| account.name.clone());
        let mut pairs: Vec<(&Route, &Route)> = (self.sites.values())
            .flat_map(|site| site.routes.values().map(move |below| (site, below)))
            .filter(|(_, below)| below.pay_account.is_some() && below.auth == Auth::Required)
            .filter_map(|(site, below)| {
                let (parent, _) = below.path.prefix().rsplit_once('/')?;
                let above = site.longest_prefix(&site.routes, parent)?;
                let apart = above.auth != Auth::None && pays(above) != pays(below);
                apart.then_some((&**above, &**below))
            })
            .collect();
        pairs.sort_by_key(|(_, below)| (below.host.to_string(), below.path.clone()));
        pairs
    }

    /// The file that WeChat asks for at `path`, on any host.
    pub fn verify_file(&self, path: &str) -> Option<&VerifyFile> {
        self.verify_files.get(path)
    }

    /// Where a visitor of `host` begins who wants nothing in particular: the
    /// root, or the shortest path with a login where the root is not served.
    pub fn home(&self, host: &Host) -> &str {
        let Some(site) = self
            .sites
            .get(host)
            .filter(|site| !site.routes.contains_key(""))
        else {
            return "/";
        };
        let routes = site.routes.values();
        let routes = routes.filter(|route| !route.accounts.is_empty());
        routes
            .map(|route| route.path.as_str())
            .min_by_key(|path| (path.len(), *path))
            .unwrap_or("/")
    }

    /// Every account that a visitor can have a session of at `host`: its routes',
    /// and those whose callback it is.
    pub fn accounts_at(&self, host: &Host) -> Vec<&Arc<LoginAccount>> {
        let mut accounts = self.accounts(host);
        let back = self.callbacks.get(host).into_iter().flatten();
        for (account, _) in back {
            if !accounts.iter().any(|known| known.name == account.name) {
                accounts.push(account);
            }
        }
        accounts
    }

    /// Every account under which visitors of `host` pay, beside a session with
    /// another.
    pub fn pay_accounts(&self, host: &Host) -> Vec<&Arc<LoginAccount>> {
        let routes = (self.sites.get(host).into_iter()).flat_map(|site| site.routes.values());
        let mut accounts: Vec<&Arc<LoginAccount>> = Vec::new();
        for account in routes.filter_map(|route| route.pay_account.as_ref()) {
            if !accounts.iter().any(|known| known.name == account.name) {
                accounts.push(account);
            }
        }
        accounts.sort_by(|one, other| one.name.cmp(&other.name));
        accounts
    }

    /// Every account that a route of `host` uses, the root's first; where it has
    /// no routes, the facade's, or those whose callback it is.
    pub fn accounts(&self, host: &Host) -> Vec<&Arc<LoginAccount>> {
        if let Some(facade) = self.facade_at(host) {
            return facade.accounts.iter().collect();
        }
        let Some(site) = self.sites.get(host) else {
            let back = self.callbacks.get(host).into_iter().flatten();
            return back.map(|(account, _)| account).collect();
        };
        let mut routes: Vec<&Arc<Route>> = site.routes.values().collect();
        routes.sort_by(|a, b| a.path.cmp(&b.path));
        let mut accounts: Vec<&Arc<LoginAccount>> = Vec::new();
        for account in routes.into_iter().flat_map(|route| route.accounts.all()) {
            if !accounts.iter().any(|known| known.name == account.name) {
                accounts.push(account);
            }
        }
        accounts
    }
}

impl Site {
    fn add(&mut self, route: &Arc<Route>) {
        let path = route.path.prefix();
        self.longest = self.longest.max(path.len());
        self.is_plain &= is_plain(path);
        let mut accounts = route.accounts.all().iter().chain(&route.pay_account);
        self.has_via |= accounts.any(|account| account.via().is_some());
        self.folded
            .insert(path.to_ascii_lowercase(), Arc::clone(route));
        self.routes.insert(path.to_owned(), Arc::clone(route));
    }

    fn longest_prefix<'s>(
        &self,
        routes: &'s Table<String, Arc<Route>>,
        path: &str,
    ) -> Option<&'s Arc<Route>> {
        let mut prefix = path.strip_suffix('/').unwrap_or(path);
        // A long path is cut first, at the last boundary that can matter.
        if let Some(head) = prefix.as_bytes().get(..=self.longest) {
            prefix = prefix.get(..head.iter().rposition(|byte| *byte == b'/')?)?;
        }
        loop {
            if let Some(route) = routes.get(prefix) {
                return Some(route);
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }

    /// Whether some way to read `path` reaches a route that asks for more than
    /// `route` does, or for another visitor, or none at all. Where there is only
    /// one route, no reading does; plain paths have few readings.
    fn could_be_stricter(&self, path: &str, route: &Route) -> bool {
        if self.routes.len() == 1 && self.routes.contains_key("") {
            return false;
        }
        if !(is_plain(path) && self.is_plain) {
            return readings(path).is_none_or(|all| self.has_stricter(&all, route));
        }
        without_endings(path).is_some_and(|all| self.has_stricter(&all, route))
    }

    fn has_stricter(&self, readings: &[String], route: &Route) -> bool {
        readings.iter().any(|reading| {
            self.longest_prefix(&self.folded, reading)
                .is_none_or(|other| !route.covers(other))
        })
    }
}

#[cfg(test)]
mod tests;
