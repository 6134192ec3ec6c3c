//! Codes and tokens as time goes by, which is an argument here.

use std::sync::Arc;

use wxgate::facade::{App, Facade, Given, Records, Refusal};
use wxgate::origin::{Host, PublicOrigin};
use wxgate::revocation::Revocation;
use wxgate::route::LoginAccount;
use wxgate::secret::Secret;
use wxgate::session::{Session, Sessions};
use wxgate::store::Store;
use wxgate::wechat::{Kind, Scope};

use crate::checks::{self, NOW};

struct Desk {
    sessions: Sessions,
    store: Arc<Store>,
    facade: Facade,
    session: Session,
}

fn app(name: &str, account: &Arc<LoginAccount>) -> Arc<App> {
    Arc::new(App {
        name: name.to_owned().try_into().unwrap(),
        app_id: format!("wx{name}").try_into().unwrap(),
        secret: Secret::new(format!("{name}0123456789abcdef")),
        origins: vec![PublicOrigin::try_from(format!("https://{name}.example")).unwrap()],
        account: Arc::clone(account),
    })
}

impl Desk {
    /// A session that was opened at [`NOW`] and ends an hour later.
    fn new() -> Self {
        let (sessions, account) = (checks::sessions(), Arc::new(checks::account("shop")));
        let token = checks::session_token(&sessions);
        let cookie = format!("{}={token}", account.session_cookie);
        let lines = std::iter::once(cookie.as_bytes());
        let host = Host::new(checks::HOST).unwrap();
        let session = sessions.read(lines, &host, &account, NOW).unwrap().session;
        let apps = ["legacy", "forum"].map(|name| app(name, &account));
        Self {
            store: Store::scratch(Arc::clone(sessions.ended())),
            facade: Facade::new(Host::new("wx.example.com").unwrap(), apps.to_vec()),
            sessions,
            session,
        }
    }

    fn records(&self) -> Records<'_> {
        Records {
            store: &self.store,
            sessions: &self.sessions,
        }
    }

    async fn code(&self, at: u64) -> String {
        let app = &self.facade.apps[0];
        let given = (self.records()).give(app, Scope::Userinfo, &self.session, at * 1000);
        given.await.unwrap()
    }

    async fn exchange(&self, code: &str, at_ms: u64) -> Result<Given, Refusal> {
        let app = &self.facade.apps[0];
        self.records()
            .exchange(&self.facade, app, code, at_ms)
            .await
    }

    /// Access and refresh token of a code that was made and exchanged at `at`.
    async fn tokens(&self, at: u64) -> (String, String) {
        let given = self
            .exchange(&self.code(at).await, at * 1000)
            .await
            .ok()
            .unwrap();
        let (access, _) = given.access(&self.sessions, at);
        (access, given.refresh(&self.sessions, at))
    }

    async fn holder(&self, access: &str, at: u64) -> Result<Given, Refusal> {
        self.records()
            .holder(&self.facade, access, "oVisitor", at)
            .await
    }

    async fn refreshed(&self, renews: &str, app: usize, at: u64) -> Result<Given, Refusal> {
        let app = &self.facade.apps[app];
        self.records()
            .refreshed(&self.facade, app, renews, at)
            .await
    }
}

fn refused(result: Result<Given, Refusal>) -> Refusal {
    result.err().expect("a refusal")
}

#[tokio::test]
async fn a_code_is_good_for_five_minutes() {
    let desk = Desk::new();
    for (after_ms, good) in [
        (0, true),
        (299_999, true),
        (300_000, false),
        (900_000, false),
    ] {
        let code = desk.code(NOW).await;
        let result = desk.exchange(&code, NOW * 1000 + after_ms).await;
        match good {
            true => assert!(result.is_ok(), "{after_ms}"),
            false => assert_eq!(refused(result), Refusal::CodeExpired, "{after_ms}"),
        }
        let again = desk.exchange(&code, NOW * 1000).await;
        assert_eq!(refused(again), Refusal::CodeUsed, "{after_ms}");
    }
}

#[tokio::test]
async fn a_token_lives_no_longer_than_its_session() {
    let desk = Desk::new();
    let given = desk
        .exchange(&desk.code(NOW).await, NOW * 1000)
        .await
        .ok()
        .unwrap();
    // Of WeChat's two hours the session leaves one, and later less.
    assert_eq!(given.access(&desk.sessions, NOW).1, 3600);
    assert_eq!(given.access(&desk.sessions, NOW + 3000).1, 600);
    let (access, renews) = desk.tokens(NOW).await;
    // The visitor was away for longer than idle_timeout (10m), and never came again.
    assert!(desk.holder(&access, NOW + 3599).await.is_ok());
    assert!(desk.refreshed(&renews, 0, NOW + 3599).await.is_ok());
    assert_eq!(
        refused(desk.holder(&access, NOW + 3600).await),
        Refusal::TokenExpired
    );
    let late = desk.refreshed(&renews, 0, NOW + 3600).await;
    assert_eq!(refused(late), Refusal::RefreshExpired);
    // A code at the session's very end is none.
    let code = desk.code(NOW + 3500).await;
    let late = desk.exchange(&code, (NOW + 3600) * 1000).await;
    assert_eq!(refused(late), Refusal::Code);
}

#[tokio::test]
async fn whoever_ended_the_session_ended_the_tokens() {
    for of_visitor in [false, true] {
        let desk = Desk::new();
        let code = desk.code(NOW).await;
        let (access, renews) = desk.tokens(NOW).await;
        let revocation = match of_visitor {
            true => Revocation::of_visitor(checks::APP_ID, "oVisitor", NOW + 1),
            false => desk.session.revocation(),
        };
        desk.store.revoke(&revocation).await.unwrap();
        assert_eq!(
            refused(desk.exchange(&code, NOW * 1000).await),
            Refusal::Code
        );
        assert_eq!(refused(desk.holder(&access, NOW + 1).await), Refusal::Token);
        let result = desk.refreshed(&renews, 0, NOW + 1).await;
        assert_eq!(refused(result), Refusal::RefreshToken);
    }
}

#[tokio::test]
async fn a_token_is_for_its_app_and_what_it_is() {
    let desk = Desk::new();
    let (access, renews) = desk.tokens(NOW).await;
    let others = desk.refreshed(&renews, 1, NOW).await;
    assert_eq!(refused(others), Refusal::RefreshToken);
    assert_eq!(
        refused(desk.refreshed(&access, 0, NOW).await),
        Refusal::RefreshToken
    );
    assert_eq!(refused(desk.holder(&renews, NOW).await), Refusal::Token);
    let stranger = desk
        .records()
        .holder(&desk.facade, &access, "oSomebody", NOW);
    assert_eq!(refused(stranger.await), Refusal::OpenId);
    // An app that is not there any more has no visitors.
    let left = Facade::new(
        desk.facade.host.clone(),
        vec![Arc::clone(&desk.facade.apps[1])],
    );
    let gone = desk.records().holder(&left, &access, "oVisitor", NOW);
    assert_eq!(refused(gone.await), Refusal::Token);
}

#[tokio::test]
async fn an_access_token_is_good_for_two_hours_where_the_session_is_longer() {
    let mut desk = Desk::new();
    // The same session under limits of days, as it stands in a cookie of theirs.
    let keys = desk.sessions.keys().clone();
    let lifetime = |text: &str| wxgate::session::Lifetime::try_from(text.to_owned()).unwrap();
    desk.sessions = Sessions::new(
        keys,
        checks::cookie_settings(),
        Arc::clone(desk.sessions.ended()),
        lifetime("1d"),
        lifetime("60d"),
    );
    let nobody: Option<&str> = None;
    let days = 60 * 24 * 3600;
    let wire = (
        ([7_u8; 16], checks::HOST, checks::APP_ID),
        (Kind::Official, 0_u32, "oVisitor"),
        (nobody, nobody, nobody, Scope::Userinfo),
        (NOW, NOW, NOW + days),
        (NOW, NOW, false),
    );
    let packed = postcard::to_stdvec(&(false, wire)).unwrap();
    desk.session = Sessions::unpack(&packed).unwrap();
    let (access, renews) = desk.tokens(NOW).await;
    assert!(desk.holder(&access, NOW + 7199).await.is_ok());
    assert_eq!(
        refused(desk.holder(&access, NOW + 7200).await),
        Refusal::TokenExpired
    );
    let month = 30 * 24 * 3600;
    let last = desk
        .refreshed(&renews, 0, NOW + month - 1)
        .await
        .ok()
        .unwrap();
    let (access, seconds) = last.access(&desk.sessions, NOW + month - 1);
    assert_eq!(seconds, 7200);
    assert!(desk.holder(&access, NOW + month - 1).await.is_ok());
    let late = desk.refreshed(&renews, 0, NOW + month).await;
    assert_eq!(refused(late), Refusal::RefreshExpired);
}

#[tokio::test]
async fn of_two_who_show_a_code_at_once_one_at_most_is_given_something() {
    // The second comes between the first's mark and its grant: nothing is given.
    for _ in 0..50 {
        let desk = Arc::new(Desk::new());
        let code = desk.code(NOW).await;
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let (desk, code) = (Arc::clone(&desk), code.clone());
                tokio::spawn(async move { desk.exchange(&code, NOW * 1000).await.ok() })
            })
            .collect();
        let mut given = Vec::new();
        for call in calls {
            given.extend(call.await.unwrap());
        }
        assert!(given.len() <= 1);
        for given in given {
            let (access, _) = given.access(&desk.sessions, NOW);
            assert_eq!(refused(desk.holder(&access, NOW).await), Refusal::Token);
        }
    }
}
