//! Sessions, opened, read and ended; and what other modules' tests make them with.

use super::*;
use crate::cookies::SameSiteSetting;
use crate::signing::{Look, generate_key};

const HOST: &str = "shop.example.com";

pub(crate) fn account(app_id: &str) -> LoginAccount {
    account_of(app_id, Kind::Official)
}

pub(crate) fn account_of(app_id: &str, kind: Kind) -> LoginAccount {
    use crate::origin::PublicOrigin;
    use crate::secret::Secret;
    use crate::wechat::account::{API_BASE_URL, BaseUrl, OPEN_BASE_URL, Parts};
    let parts = Parts {
        kind,
        app_id: app_id.to_owned().try_into().unwrap(),
        app_secret: Secret::new("s".to_owned()),
        callback_origin: PublicOrigin::try_from(format!("https://{HOST}")).unwrap(),
        open_base: BaseUrl::wechat(OPEN_BASE_URL),
        api_base: BaseUrl::wechat(API_BASE_URL),
        api_fallback: None,
        lang: Default::default(),
        hop: Default::default(),
    };
    LoginAccount {
        name: "shop".to_owned().try_into().unwrap(),
        wechat: crate::wechat::Account::new(parts),
        holder: Default::default(),
        outsiders: false,
        session_cookie: "__Host-wxgate_shop".to_owned(),
        snapshot_cookie: "__Host-wxgate-snapshot-shop".to_owned(),
        pay_cookie: "__Host-wxgate-pay-shop".to_owned(),
    }
}

pub(crate) fn sessions(domain: Option<&str>) -> Sessions {
    let keys = Keyring::new(&[generate_key().unwrap()]).unwrap();
    let cookies = CookieSettings::new(
        "wxgate",
        domain.map(str::to_owned),
        SameSiteSetting::Lax,
        true,
    );
    Sessions::new(
        keys,
        cookies,
        known(),
        Lifetime::try_from("10m".to_owned()).unwrap(),
        Lifetime::try_from("1h".to_owned()).unwrap(),
    )
}

/// Nothing was ended, and that is known.
pub(crate) fn known() -> Arc<Revocations> {
    let all = Revocations::default();
    all.complete();
    Arc::new(all)
}

pub(crate) fn session(place: &str, now: Now) -> Session {
    Session {
        id: [7; 16],
        place: place.to_owned(),
        app_id: "wxaaaaaaaaaaaaaaaa".to_owned(),
        kind: Kind::Official,
        visitor: Visitor::OpenId("oVisitor".to_owned().try_into().unwrap()),
        unionid: None,
        nickname: Some("小明".to_owned()),
        avatar: None,
        scope: Scope::Userinfo,
        opened: now,
        seen: now,
        until: now + 3600,
        profile_at: now,
        verified_at: now,
        tokens: false,
        snapshot: false,
    }
}

fn line(set_cookie: &str) -> Vec<u8> {
    set_cookie.split(';').next().unwrap().as_bytes().to_vec()
}

fn read(
    sessions: &Sessions,
    line: &[u8],
    host: &str,
    app_id: &str,
    now: Now,
) -> Result<Carried, NoSession> {
    sessions.read(
        std::iter::once(line),
        &Host::new(host).unwrap(),
        &account(app_id),
        now,
    )
}

#[test]
fn an_examined_cookie_tells_what_it_says_and_why_it_does_not_count() {
    let (all, account) = (sessions(None), account("wxaaaaaaaaaaaaaaaa"));
    let written = all.write(&session(HOST, 1_000), &account, 1_300);
    let line = written.split(';').next().unwrap().to_owned();
    let look = |ring: &Sessions, line: &str, host: &str, now| {
        let lines = || std::iter::once(line.as_bytes());
        let mut found = ring.examine(lines, &Host::new(host).unwrap(), &account, now);
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let good = look(&all, &line, HOST, 1_400);
    let told = good.told.unwrap();
    assert!(good.verdict.is_ok_and(|carried| !carried.renew));
    assert_eq!((told.seen, told.idle_end, told.end), (1_300, 1_900, 4_600));
    assert_eq!((told.place.as_str(), good.look), (HOST, None));
    let late = look(&all, &line, HOST, 1_900);
    assert_eq!(late.verdict.unwrap_err(), NoSession::Expired);
    assert_eq!(late.told.unwrap().idle_end, 1_900);
    let moved = look(&all, &line, "other.example.com", 1_400);
    assert_eq!(moved.verdict.unwrap_err(), NoSession::Elsewhere);
    assert_eq!(moved.told.unwrap().place, HOST);
    // What does not verify is not told.
    let (start, end) = line.split_at(line.len() - 20);
    let other = if end.starts_with('A') { "B" } else { "A" };
    let changed = format!("{start}{other}{}", end.split_at(1).1);
    for (ring, line, expected) in [
        (&sessions(None), line.clone(), Look::UnknownKey),
        (&all, changed, Look::KnownKey),
        (&all, "__Host-wxgate_shop=AAAA".to_owned(), Look::NoToken),
    ] {
        let other = look(ring, &line, HOST, 1_400);
        assert_eq!(other.verdict.unwrap_err(), NoSession::Forged);
        assert!(other.told.is_none());
        assert_eq!(other.look, Some(expected), "{line}");
    }
    let twice = look(&all, &format!("{line}; {line}"), HOST, 1_400);
    assert_eq!(twice.verdict.unwrap_err(), NoSession::Repeated);
}

#[test]
fn a_session_holds_at_its_host_and_account_alone() {
    let all = sessions(None);
    let made = session(HOST, 1000);
    let cookie = line(&all.write(&made, &account("wxaaaaaaaaaaaaaaaa"), 1000));
    let carried = read(&all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap();
    assert!(carried.session == made && !carried.renew);
    assert_eq!(
        read(
            &all,
            &cookie,
            "other.example.com",
            "wxaaaaaaaaaaaaaaaa",
            1000
        )
        .unwrap_err(),
        NoSession::Elsewhere
    );
    assert_eq!(
        read(&all, &cookie, HOST, "wxbbbbbbbbbbbbbbbb", 1000).unwrap_err(),
        NoSession::Elsewhere
    );
    assert_eq!(
        read(&sessions(None), &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
        NoSession::Forged
    );
    let twice = [cookie.clone(), b"; ".to_vec(), cookie].concat();
    assert_eq!(
        read(&all, &twice, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
        NoSession::Repeated
    );
    assert_eq!(
        read(&all, b"a=b", HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
        NoSession::Absent
    );
}

#[test]
fn a_session_of_one_kind_or_agent_is_none_of_another_with_the_same_id() {
    let all = sessions(None);
    let agent = |number| Kind::WeCom(crate::wechat::AgentId::parse(number).unwrap());
    let kinds = [
        Kind::Official,
        Kind::Website,
        agent("1000002"),
        agent("1000003"),
    ];
    for of in kinds {
        let made = Session {
            kind: of,
            visitor: match of {
                Kind::WeCom(_) => Visitor::Member("zhangsan".to_owned().try_into().unwrap()),
                _ => Visitor::OpenId("oVisitor".to_owned().try_into().unwrap()),
            },
            ..session(HOST, 1000)
        };
        for at in kinds {
            let account = account_of("wxaaaaaaaaaaaaaaaa", at);
            let cookie = line(&all.write(&made, &account, 1000));
            let host = Host::new(HOST).unwrap();
            let lines = || std::iter::once(cookie.as_slice());
            let read = all.read(lines(), &host, &account, 1000);
            let taken = all.take_over(made.clone(), &host, &account, 1000);
            assert_eq!(read.is_ok(), of == at, "{of:?} {at:?}");
            assert_eq!(taken.is_ok(), of == at, "{of:?} {at:?}");
        }
    }
}

#[test]
fn a_session_in_the_place_of_another_has_its_id_and_its_end() {
    let more = Session {
        id: [9; 16],
        scope: Scope::Userinfo,
        until: 9_000,
        ..session(HOST, 2000)
    };
    let before = Session {
        until: 5_000,
        ..session(HOST, 1000)
    };
    let made = more.clone().in_place_of(&before);
    assert_eq!((made.id, made.until), (before.id, 5_000));
    assert_eq!((made.opened, made.scope), (2000, Scope::Userinfo));
    // It lives no longer than it would by itself, either.
    let long = Session {
        until: 99_000,
        ..before.clone()
    };
    assert_eq!(more.clone().in_place_of(&long).until, 9_000);
    let mut others = [(); 4].map(|()| before.clone());
    others[0].visitor = Visitor::OpenId("oOther".to_owned().try_into().unwrap());
    others[1].app_id = "wxbbbbbbbbbbbbbbbb".to_owned();
    others[2].kind = Kind::Website;
    others[3].snapshot = true;
    for other in others {
        assert!(more.clone().in_place_of(&other) == more);
    }
}

#[test]
fn a_member_is_nobody_with_such_an_openid() {
    let all = sessions(None);
    let of = |visitor| Session {
        visitor,
        ..session(HOST, 1000)
    };
    let openid = of(Visitor::OpenId("zhangsan".to_owned().try_into().unwrap()));
    let member = of(Visitor::Member("zhangsan".to_owned().try_into().unwrap()));
    assert!(all.visitor(&openid) != all.visitor(&member));
    assert!(member.openid().is_none() && openid.visitor().userid().is_none());
    let account = account("wxaaaaaaaaaaaaaaaa");
    let cookie = line(&all.write(&member, &account, 1000));
    let carried = read(&all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap();
    assert!(carried.session == member && carried.session != openid);
    let ended = crate::revocation::Revocation::of_visitor;
    all.ended
        .apply(&ended("wxaaaaaaaaaaaaaaaa", "zhangsan", 2000));
    assert!(all.not_ended(&member).is_ok() && all.not_ended(&openid).is_err());
}

#[test]
fn idle_and_absolute_limits_end_it_and_half_the_idle_time_renews_it() {
    let all = sessions(None);
    let account = account("wxaaaaaaaaaaaaaaaa");
    let made = session(HOST, 1000);
    let at = |cookie: &[u8], now| read(&all, cookie, HOST, "wxaaaaaaaaaaaaaaaa", now);
    let first = line(&all.write(&made, &account, 1000));
    assert!(!at(&first, 1300).unwrap().renew);
    assert!(at(&first, 1301).unwrap().renew);
    assert!(at(&first, 1599).is_ok());
    assert_eq!(at(&first, 1600).unwrap_err(), NoSession::Expired);
    let later = line(&all.write(&made, &account, 4500));
    assert!(at(&later, 4599).is_ok());
    assert_eq!(at(&later, 4600).unwrap_err(), NoSession::Expired);
    assert!(all.write(&made, &account, 4500).contains("Max-Age=100"));
    assert_eq!(at(&first, 900).unwrap_err(), NoSession::Future);
    assert!(at(&first, 950).is_ok());
}

#[test]
fn nobody_is_let_in_before_it_is_known_who_was_put_out() {
    let mut all = sessions(None);
    let account = account("wxaaaaaaaaaaaaaaaa");
    let cookie = line(&all.write(&session(HOST, 1000), &account, 1000));
    let at = |all: &Sessions| read(all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", 1000);
    assert!(at(&all).is_ok());
    all.ended = Arc::default();
    assert_eq!(at(&all).unwrap_err(), NoSession::Unknown);
    all.ended.complete();
    assert!(at(&all).is_ok());
    all.ended.apply(&session(HOST, 1000).revocation());
    assert_eq!(at(&all).unwrap_err(), NoSession::Ended);
}

#[test]
fn no_renewal_moves_a_session_beyond_its_end() {
    let all = sessions(None);
    let account = account("wxaaaaaaaaaaaaaaaa");
    let made = Session {
        until: 1100,
        ..session(HOST, 1000)
    };
    assert_eq!(all.ends(&made), 1100);
    let cookie = line(&all.write(&made, &account, 1050));
    let at = |now| read(&all, &cookie, HOST, "wxaaaaaaaaaaaaaaaa", now);
    assert!(at(1099).is_ok());
    assert_eq!(at(1100).unwrap_err(), NoSession::Expired);
    assert!(all.write(&made, &account, 1050).contains("Max-Age=50"));
}

#[tokio::test]
async fn waiting_for_the_end_ends() {
    let all = sessions(None);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let soon = Session {
        until: now.as_secs() + 1,
        ..session(HOST, now.as_secs())
    };
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, all.until_ended(soon))
        .await
        .expect("an end by itself");
    let later = session(HOST, now.as_secs());
    let revocation = later.revocation();
    let waiting = all.until_ended(later);
    let revoking = async { all.ended.apply(&revocation) };
    let both = async { tokio::join!(waiting, revoking) };
    tokio::time::timeout(patience, both).await.expect("an end");
}

#[test]
fn a_domain_shares_its_sessions_among_its_hosts() {
    let all = sessions(Some("example.com"));
    let made = session("example.com", 1000);
    let cookie = all.write(&made, &account("wxaaaaaaaaaaaaaaaa"), 1000);
    assert!(cookie.contains("Domain=example.com"));
    assert!(
        read(
            &all,
            &line(&cookie),
            "a.example.com",
            "wxaaaaaaaaaaaaaaaa",
            1000
        )
        .is_ok()
    );
    assert!(
        read(
            &all,
            &line(&cookie),
            "evilexample.com",
            "wxaaaaaaaaaaaaaaaa",
            1000
        )
        .is_err()
    );
}

#[test]
fn a_login_is_no_session() {
    let all = sessions(None);
    let payload = postcard::to_stdvec(&Wire::from(&session(HOST, 1000))).unwrap();
    let login = format!(
        "__Host-wxgate_shop={}",
        all.keys().seal(Purpose::Login, &payload)
    );
    assert_eq!(
        read(&all, login.as_bytes(), HOST, "wxaaaaaaaaaaaaaaaa", 1000).unwrap_err(),
        NoSession::Forged
    );
}
