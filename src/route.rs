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
            (Auth::Required, _) => {
                alike()
                    && self.scope >= other.scope
                    && self.is_checked_as_often_as(other)
                    && (self.snapshot == other.snapshot || self.snapshot == Snapshot::Page)
            }
            (Auth::Optional, Auth::Optional) => alike(),
            (Auth::Optional | Auth::None, _) => false,
        }
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
            let origin = account.wechat.callback_origin();
            if account.clients().is_empty() {
                continue;
            }
            let host = origin.host();
            self.origins.insert(host.clone(), origin.clone());
            let back = self.callbacks.entry(host.clone()).or_default();
            if !back.iter().any(|(known, _)| known.name == account.name) {
                back.push((Arc::clone(account), HostPattern::Exact(host.clone())));
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
mod tests {
    use super::*;

    fn route(host: &str, path: &str, auth: Auth) -> Route {
        Route {
            number: 0,
            host: HostPattern::try_from(host.to_owned()).unwrap(),
            path: RoutePath::try_from(path.to_owned()).unwrap(),
            upstream: Upstream::try_from("http://127.0.0.1:1".to_owned()).unwrap(),
            auth,
            accounts: Accounts::default(),
            pay_account: None,
            scope: Scope::Base,
            identity: Identity::OpenId,
            outside_wechat: OutsideWeChat::Page,
            session_cookie: SessionCookie::Forward,
            snapshot: Snapshot::Page,
            consent_page: false,
            keep_fragment: false,
            profile_ttl: None,
            verify_every: None,
            access_token: false,
            methods: Vec::new(),
            max_body: BodySize::default(),
            headers: Vec::new(),
            upstream_host: None,
            assertion: false,
        }
    }

    fn account() -> LoginAccount {
        use crate::wechat::account::{API_BASE_URL, BaseUrl, OPEN_BASE_URL, Parts};
        LoginAccount {
            name: "shop".to_owned().try_into().unwrap(),
            wechat: Account::new(Parts {
                kind: crate::wechat::Kind::Official,
                app_id: "wxaaaaaaaaaaaaaaaa".to_owned().try_into().unwrap(),
                app_secret: crate::secret::Secret::new("s".to_owned()),
                callback_origin: PublicOrigin::try_from("https://c.test".to_owned()).unwrap(),
                open_base: BaseUrl::wechat(OPEN_BASE_URL),
                api_base: BaseUrl::wechat(API_BASE_URL),
                api_fallback: None,
                lang: Default::default(),
                hop: Default::default(),
            }),
            holder: Holder::default(),
            session_cookie: String::new(),
            snapshot_cookie: String::new(),
            pay_cookie: String::new(),
        }
    }

    #[test]
    fn a_callback_without_routes_leads_to_a_host_that_can_be_named() {
        let account = Arc::new(account());
        let callback = account.wechat.callback_origin().host().clone();
        let with = |host: &str| {
            let mut route = route(host, "/", Auth::Required);
            route.accounts = Accounts::one(Arc::clone(&account));
            Arc::new(route)
        };
        let listed = ["*.example.org", "other.test", "third.test"].map(with);
        let table = Routes::new(&listed, Vec::new(), PublicScheme::Https).unwrap();
        let there = table.sends_back_to(&callback).map(Host::as_str);
        assert_eq!(there, Some("other.test"));
    }

    #[test]
    fn a_port_is_the_requests_own_only_where_another_gateway_holds_it_against_its_list() {
        use crate::signing::{Keyring, generate_key};
        let shop = |holder| {
            Accounts::one(Arc::new(LoginAccount {
                holder,
                ..account()
            }))
        };
        let via = Via {
            client: "dev".to_owned().try_into().unwrap(),
            key: Keyring::new(&[generate_key().unwrap()]).unwrap(),
        };
        let mut there = route("dev.test", "/", Auth::Required);
        there.accounts = shop(Holder::Elsewhere(Box::new(via)));
        let mut here = route("here.test", "/", Auth::Required);
        here.accounts = shop(Holder::default());
        let listed = [there, here, route("open.test", "/", Auth::None)].map(Arc::new);
        let table = Routes::new(&listed, Vec::new(), PublicScheme::Http).unwrap();
        for (host, expected) in [
            ("dev.test", "http://dev.test:3000"),
            ("here.test", "http://here.test"),
            ("open.test", "http://open.test"),
            ("none.test", "http://none.test"),
        ] {
            let host = Host::new(host).unwrap();
            assert_eq!(table.origin_at(&host, Some(3000)).as_str(), expected);
            assert!(table.origin_at(&host, None).port().is_none());
        }
        // Nobody comes back from WeChat by way of another gateway.
        let callback = Host::new("c.test").unwrap();
        let back = table.accounts_at(&callback);
        assert!(back.len() == 1 && back.iter().all(|account| account.via().is_none()));
    }

    fn table() -> Routes {
        let routes = vec![
            route("shop.example.com", "/", Auth::Required),
            route("shop.example.com", "/pay/notify", Auth::None),
            route("shop.example.com", "/pay", Auth::Optional),
            route("*.example.com", "/", Auth::Required),
            route("one.example.com", "/", Auth::None),
            route("path.example.com", "/app", Auth::None),
            route("open.example.com", "/", Auth::None),
            route("open.example.com", "/secret", Auth::Required),
            route("open.example.com", "/Admin", Auth::Required),
        ];
        let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
        Routes::new(&routes, Vec::new(), PublicScheme::Https).unwrap()
    }

    fn decide(host: &str, path: &str) -> String {
        match table().decide(&Host::new(host).unwrap(), path) {
            Decided::Route(route) => format!("{}{}", route.host, route.path.as_str()),
            Decided::Ambiguous => "ambiguous".to_owned(),
            Decided::None => "none".to_owned(),
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        for (path, expected) in [
            ("/", "shop.example.com/"),
            ("/payment", "shop.example.com/"),
            ("/pay", "shop.example.com/pay"),
            ("/pay/", "shop.example.com/pay"),
            ("/pay/x", "shop.example.com/pay"),
            ("/pay/notify", "shop.example.com/pay/notify"),
            ("/pay/notify/", "shop.example.com/pay/notify"),
            ("/pay/notify/a/b", "shop.example.com/pay/notify"),
            ("/pay/notifyx", "shop.example.com/pay"),
            ("/x/pay/notify", "shop.example.com/"),
        ] {
            assert_eq!(decide("shop.example.com", path), expected, "{path}");
        }
    }

    #[test]
    fn hosts_are_whole() {
        assert_eq!(decide("other.example.com", "/"), "*.example.com/");
        assert_eq!(decide("a.b.example.com", "/"), "*.example.com/");
        assert_eq!(decide("one.example.com", "/"), "one.example.com/");
        assert_eq!(decide("example.com", "/"), "none");
        assert_eq!(decide("evilexample.com", "/"), "none");
        assert_eq!(decide("path.example.com", "/"), "none");
        assert_eq!(decide("path.example.com", "/apple"), "none");
    }

    #[test]
    fn a_host_without_a_root_has_a_home_all_the_same() {
        let home = |host: &str| table().home(&Host::new(host).unwrap()).to_owned();
        assert_eq!(home("shop.example.com"), "/");
        assert_eq!(home("nobody.example.org"), "/");
    }

    #[test]
    fn a_path_that_could_be_a_stricter_routes_is_not_decided() {
        for path in [
            "/pay/notify/../../admin",
            "/pay/notify/%2e%2e/admin",
            "/pay/notify%2f..%2f..%2fadmin",
            "/pay/notify/..%2f..%2fadmin",
            "/pay/notify/..%5c..%5cadmin",
            "/pay/notify\\..\\..\\admin",
            "/pay/notify/..;/..;/admin",
            "/pay/notify/%252e%252e/x",
            "/pay/notify/%25252e%25252e/x",
            "/pay/notify/%2525252525252e%2525252525252e/x",
            "/pay/notify/%u002e%u002e/x",
            "/pay/notify/..%20/x",
            "/pay/notify/%2e%2e%20/x",
            "/pay/notify/%ef%bc%8e%ef%bc%8e/x",
            "/pay/notify/%f0%80%80%ae%f0%80%80%ae/x",
            "/pay/notify/%c0%ae%c0%ae/x",
            "/pay/notify/%e0%80%ae%e0%80%ae/x",
            "/pay/notify/..%c0%afx",
            "/pay/notify/..%ef%bc%8fx",
            "/pay/notify/%2e%2e%3fx",
            // The steps of a server in another order than ours.
            "/pay/notify/%2e%2e;%2fnotify%2f/x",
            "/pay/notify/%2e%2e/notify%2fb/../x",
            // A line break that is taken out of a decoded path.
            "/pay/notify/%0d../x",
            "/pay/notify/.%09./x",
            // An encoded slash that stays in its segment.
            "/pay/notify/%2e%2e/notify%2fx",
        ] {
            assert_eq!(decide("shop.example.com", path), "ambiguous", "{path}");
        }
        for path in [
            "//h/secret/x",
            "/\\h/secret/x",
            "/%2fh/secret",
            "/SECRET/x",
            "/%73ecret/x",
            "/%u0073ecret/x",
            "/%ef%bd%93ecret/x",
            "/secret./x",
            "/secret%20/x",
            "/secret.json",
            "/secret.v1.json/x",
            "/(S(x))/secret",
            "/(S(x))secret",
            "/sec(A(x)F(y))ret/x",
            "/SECRET~1/x",
            "/x/../sec~1",
            "/secret%1c/x",
            "/secret%1c\\.",
            "/secret%3fx",
            "/secret%23x",
            "/secret%00x",
            "/x%3f/../secret%00/../../x",
            "/x//../../secret",
            "/secret::$DATA",
            "/secret;x",
            "/x/../secret",
            "//secret",
            "/./secret",
            "/secret%2fx",
            "/secret%5cx",
            "/admin/x",
            "/ADMIN",
        ] {
            assert_eq!(decide("open.example.com", path), "ambiguous", "{path}");
        }
    }

    #[test]
    fn a_path_that_could_only_be_a_laxer_routes_is_the_stricter_ones() {
        for path in [
            "/x/../pay/notify",
            "//pay/notify",
            "/PAY/notify",
            "/pay;x/notify",
            "/pay%2Fnotify",
        ] {
            assert_eq!(
                decide("shop.example.com", path),
                "shop.example.com/",
                "{path}"
            );
        }
        for path in [
            "/pay//notify",
            "/pay/./notify",
            "/pay/%6eotify",
            "/pay/notify%00",
            "/pay/notify;/x",
        ] {
            assert_eq!(
                decide("shop.example.com", path),
                "shop.example.com/pay",
                "{path}"
            );
        }
    }

    #[test]
    fn a_long_path_is_decided_at_once() {
        let long = "/a/..".repeat(20_000);
        assert_eq!(decide("shop.example.com", &long), "shop.example.com/");
        assert_eq!(
            decide("path.example.com", &format!("/app{long}/..")),
            "ambiguous"
        );
    }

    #[test]
    fn odd_paths_that_lead_to_one_route_however_read_pass() {
        for path in [
            "/a%2Fb",
            "/%E4%BD%A0%E5%A5%BD",
            "/A/b;c=d",
            "/a//b",
            "/a/../b",
            "/你好",
            "/x%00y",
        ] {
            assert_eq!(
                decide("shop.example.com", path),
                "shop.example.com/",
                "{path}"
            );
        }
        assert_eq!(
            decide("shop.example.com", "/pay/notify/Wx%20Pay"),
            "shop.example.com/pay/notify"
        );
        assert_eq!(
            decide("one.example.com", "/a/..%2f..%2fb"),
            "one.example.com/"
        );
        assert_eq!(decide("path.example.com", "/app/%2e%2e/admin"), "ambiguous");
    }

    #[test]
    fn a_route_path_is_plain() {
        let path = |text: &str| RoutePath::try_from(text.to_owned());
        assert_eq!(path("/").unwrap().as_str(), "/");
        assert_eq!(path("/shop/").unwrap(), path("/shop").unwrap());
        for wrong in [
            "",
            "shop",
            "/a//b",
            "/a/../b",
            "/%61",
            "/a;b",
            "/a?b",
            "/a#b",
            "/a*",
            "/.wxgate",
            "/.wxgate/x",
            "//",
            "/./",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_lock_below_an_open_route_is_told() {
        let routes = table();
        let found: Vec<String> = routes
            .locked_below_open()
            .iter()
            .map(|(above, below)| format!("{} {}", above.path.as_str(), below.path.as_str()))
            .collect();
        assert_eq!(found, ["/ /Admin", "/ /secret"]);
    }

    #[test]
    fn two_routes_alike_are_a_mistake() {
        let twins = [
            route("a.example.com", "/x", Auth::None),
            route("A.example.com.", "/X/", Auth::Required),
        ]
        .map(Arc::new);
        assert_eq!(
            Routes::new(&twins, Vec::new(), PublicScheme::Https).unwrap_err(),
            [(0, 1)]
        );
    }
}
