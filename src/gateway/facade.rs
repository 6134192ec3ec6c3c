//! At the facade's host: an app that does OAuth itself finds what it knows from WeChat.
//!
//! Holds always: only a page that is being opened gets a code, and only with a session
//! of the app's account at this host; whoever has none logs in as any visitor does, and
//! comes back to this very link; an app's server is told WeChat's JSON and nothing of a
//! visitor but what its code stood for; nothing that it sent is repeated or logged.

use std::sync::Arc;

use http::header;
use serde_json::Value;
use tracing::warn;

use super::{Gateway, Visit};
use crate::access_log::Way;
use crate::endpoints::{self, LoginQuery};
use crate::facade::{
    self, AUTHORIZE_PATH, Api, App, AuthorizeLink, Call, Facade, Parameters, Records, Refusal,
    Unclear, Wrong,
};
use crate::limits::Step;
use crate::login;
use crate::origin::ReturnTo;
use crate::reply::{Onward, Page, Reply, Trouble};
use crate::request::{Asked, Kind};
use crate::route::Need;
use crate::session::Carried;
use crate::wechat::errcode::Side;
use crate::wechat::{Browser, Errcode};

impl Gateway {
    /// Answers a request to the facade's host.
    pub(super) async fn face(
        &self,
        facade: &Facade,
        call: Call,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Reply {
        if !call.takes(asked.method()) {
            visit.log.decided(Way::Refused, "method");
            let reply = self.page(Trouble::MethodNotAllowed, asked, &ReturnTo::root(), visit);
            return reply.with_header(header::ALLOW, call.allow().unwrap_or_default());
        }
        match call {
            Call::Authorize => self.authorize(facade, asked, visit).await,
            Call::Api(api) => self.tell_app(facade, api, asked, visit).await,
            Call::Nothing => {
                visit.log.decided(Way::Refused, "no_route");
                self.page(Trouble::NotFound, asked, &ReturnTo::root(), visit)
            }
        }
    }

    /// A code for whoever has a session, the usual login for the rest.
    async fn authorize(&self, facade: &Facade, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        if asked.kind() != Kind::Navigation {
            // A picture, a frame or a script is no visitor.
            visit.log.decided(Way::Refused, "no_navigation");
            return self.page(Trouble::BadRequest, asked, &ReturnTo::root(), visit);
        }
        let origin = self.routes.origin(&asked.host);
        let link = AuthorizeLink::read(facade, asked.query.unwrap_or_default());
        let found = link.and_then(|link| match link.way_back(&origin, asked.target) {
            Ok(to) => Ok((link, to)),
            Err(fault) => Err(Wrong {
                fault,
                app: Some(link.app),
            }),
        });
        let (link, to) = match found {
            Ok(found) => found,
            Err(wrong) => return wrong_link(facade, &wrong, visit),
        };
        let account = &link.app.account;
        visit.app = Some(Arc::clone(&link.app));
        visit.account = Some(Arc::clone(account));
        if !self.sessions.ended().is_complete() {
            visit.log.decided(Way::Refused, Trouble::StoreDown.reason());
            return self.page(Trouble::StoreDown, asked, &to, visit);
        }
        let need = Need {
            scope: link.scope,
            tokens: false,
            unionid: false,
        };
        let lines = asked.cookie_lines();
        let found = self.sessions.read(lines, &asked.host, account, visit.now);
        if let Err(why) = &found {
            self.count_no_session(account, *why);
        }
        let (need, reason) = match found {
            Ok(carried) if need.is_met_by(carried.session.has()) => {
                return self
                    .give_code(facade, &link, &carried, &to, asked, visit)
                    .await;
            }
            // What the session has is asked for too: it is not lost.
            Ok(carried) => (
                need.keeping(carried.session.has()),
                "session_has_too_little",
            ),
            Err(why) => (need, why.reason()),
        };
        if asked.browser() != Browser::WeChat {
            visit.log.decided(Way::Refused, reason);
            return outside(&link.app.home(), &to, visit);
        }
        let start = login::Start {
            host: &asked.host,
            origin: self.routes.origin_of(asked),
            account,
            need,
            instead_of: None,
            opens: login::Opens::Session,
            to,
            attempt: 0,
            route: None,
        };
        self.login(start, asked, visit, reason)
    }

    /// The visitor goes back to the app, with a code.
    async fn give_code(
        &self,
        facade: &Facade,
        link: &AuthorizeLink,
        carried: &Carried,
        to: &ReturnTo,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Reply {
        let Carried { session, renew, .. } = carried;
        // Each code takes room in the store, as each login does that an address starts.
        if let Some(page) = self.too_often(Step::Code, asked, to, visit) {
            return page;
        }
        if !facade.count_code(&link.app, self.sessions.visitor(session)) {
            let trouble = Trouble::AppLoops;
            visit.log.decided(Way::Refused, trouble.reason());
            return app_page(trouble, Some(10009), &link.app.home(), visit);
        }
        let records = self.records();
        let given = records.give(&link.app, link.scope, session, visit.now_ms);
        let code = match given.await {
            Ok(code) => code,
            Err(error) => {
                warn!(
                    "a visitor gets no code for {}: {error}",
                    link.app.name.as_str()
                );
                visit.log.decided(Way::Refused, Trouble::StoreDown.reason());
                return self.page(Trouble::StoreDown, asked, to, visit);
            }
        };
        visit.log.decided(Way::Facade, "code_given");
        let reply = Reply::redirect(&link.answer(&code));
        if !renew {
            return reply;
        }
        let account = &link.app.account;
        self.count_session(account, "renewed");
        reply.with_cookie(&self.sessions.write(session, account, visit.now))
    }

    fn records(&self) -> Records<'_> {
        Records {
            store: &self.store,
            sessions: &self.sessions,
        }
    }

    /// The answer to an app's server: HTTP 200 whatever it says, as WeChat's.
    async fn tell_app(
        &self,
        facade: &Facade,
        api: Api,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Reply {
        let body = match self.api(facade, api, asked, visit).await {
            Ok((body, word)) => {
                visit.log.decided(Way::Facade, word);
                body
            }
            Err(refusal) => {
                visit.log.decided(Way::Refused, refusal.reason());
                refusal.body(visit.request_id.as_str())
            }
        };
        Reply::plain_json(&body)
    }

    /// Whether `secret` is the app's. Wrong ones are counted, of this app from this
    /// address; once they are enough, none is compared for the rest of the minute.
    /// Whatever a stranger can make an app's server show behind the right secret counts
    /// for nothing, nor does an appid, which every link tells.
    fn prove(&self, app: &App, secret: &str, visit: &Visit) -> Result<(), Refusal> {
        let client = visit.client.address;
        let name = app.app_id.as_str();
        if self.logins.has_guessed_enough(name, client) {
            return Err(Refusal::TooOften);
        }
        if app.secret.is(secret) {
            return Ok(());
        }
        if self.logins.count_guess(name, client) {
            warn!(
                %client,
                app = app.name.as_str(),
                "an address has shown the facade limits.logins_per_minute secrets of an app that are none, and is answered 45011 for \
                 that app: if it is a proxy of yours, list it in server.trusted_proxies and see that it sends X-Forwarded-For"
            );
        }
        Err(Refusal::Secret)
    }

    async fn api(
        &self,
        facade: &Facade,
        api: Api,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Result<(Value, &'static str), Refusal> {
        let query = asked.query.unwrap_or_default();
        let said = Parameters::read(query).map_err(|Unclear| Refusal::Unclear)?;
        let (records, now) = (self.records(), visit.now);
        match api {
            Api::Exchange => {
                let app = known(facade, &said, visit)?;
                let secret = said.required("secret", Refusal::SecretMissing)?;
                self.prove(&app, secret, visit)?;
                grant_type(&said, "authorization_code")?;
                let code = said.required("code", Refusal::CodeMissing)?;
                if visit.is_rehearsal {
                    return Ok(not_looked_at());
                }
                let given = records.exchange(facade, &app, code, visit.now_ms).await?;
                let body = facade::tokens(&given, None, &self.sessions, now);
                Ok((body, "tokens_given"))
            }
            Api::Refresh => {
                let app = known(facade, &said, visit)?;
                grant_type(&said, "refresh_token")?;
                let shown = said.required("refresh_token", Refusal::RefreshMissing)?;
                if visit.is_rehearsal {
                    return Ok(not_looked_at());
                }
                let given = records.refreshed(facade, &app, shown, now).await?;
                let body = facade::tokens(&given, Some(shown), &self.sessions, now);
                Ok((body, "token_refreshed"))
            }
            Api::UserInfo | Api::Check => {
                let token = said.required("access_token", Refusal::TokenMissing)?;
                let openid = said.required("openid", Refusal::OpenIdMissing)?;
                if visit.is_rehearsal {
                    return Ok(not_looked_at());
                }
                let given = records.holder(facade, token, openid, now).await?;
                note(&given.app, visit);
                match api {
                    Api::UserInfo => Ok((facade::profile(&given)?, "profile_told")),
                    _ => Ok((facade::checked(), "token_checked")),
                }
            }
        }
    }

    /// Where `login?to=` leads at the facade's host: to the link that a login was for,
    /// or to an app; a page where the login's cookie was missing, or a browser without
    /// cookies would be sent round.
    pub(super) fn face_again(
        &self,
        query: &LoginQuery,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Option<Reply> {
        self.routes.facade_at(&asked.host)?;
        if query.attempt > 0 {
            let trouble = Trouble::CookieMissing;
            visit.log.decided(Way::Refused, trouble.reason());
            return Some(self.page(trouble, asked, &ReturnTo::root(), visit));
        }
        let link = query.to.path() == AUTHORIZE_PATH;
        let to = match link {
            true => query.to.on(&self.routes.origin_of(asked)),
            false => endpoints::home_from(&asked.host, &self.routes),
        };
        Some(Reply::redirect(&to))
    }
}

/// What an explanation says where the store would be asked.
fn not_looked_at() -> (Value, &'static str) {
    (facade::checked(), "facade_api")
}

fn note(app: &Arc<App>, visit: &mut Visit) {
    visit.account = Some(Arc::clone(&app.account));
    visit.app = Some(Arc::clone(app));
}

/// The app that asks.
fn known(facade: &Facade, said: &Parameters<'_>, visit: &mut Visit) -> Result<Arc<App>, Refusal> {
    let app_id = said.required("appid", Refusal::AppIdMissing)?;
    let app = facade.app(app_id).ok_or(Refusal::AppId)?;
    note(app, visit);
    Ok(Arc::clone(app))
}

fn grant_type(said: &Parameters<'_>, wanted: &str) -> Result<(), Refusal> {
    match said.get("grant_type") == wanted {
        true => Ok(()),
        false => Err(Refusal::GrantType),
    }
}

/// The page for a browser that is not WeChat's. The link has the `state` of that
/// browser: elsewhere the app would refuse it, so that the app's own address is what
/// is to be opened there.
fn outside(home: &str, to: &ReturnTo, visit: &Visit) -> Reply {
    let page = Page {
        trouble: Trouble::OutsideWeChat,
        onward: Onward::Reload(to.as_str()),
        address: Some(home),
        fragment: None,
        retry_after: None,
        errcode: None,
        request_id: visit.request_id.as_str(),
    };
    page.reply()
}

/// The page for a link that WeChat would not take either. It leads to the app, if
/// that is known, and never to where the link would.
fn wrong_link(facade: &Facade, wrong: &Wrong, visit: &mut Visit) -> Reply {
    visit.log.decided(Way::Refused, wrong.fault.reason());
    let home = match &wrong.app {
        Some(app) => {
            note(app, visit);
            app.home()
        }
        None => facade.home(),
    };
    app_page(Trouble::AppLink, wrong.fault.errcode(), &home, visit)
}

fn app_page(trouble: Trouble, errcode: Option<i64>, home: &str, visit: &Visit) -> Reply {
    let errcode = errcode.map(|code| Errcode {
        side: Side::WeChat,
        code,
        rid: None,
    });
    let page = Page {
        trouble,
        onward: match trouble {
            Trouble::AppLoops => Onward::Again(home),
            _ => Onward::Link(home),
        },
        address: None,
        fragment: None,
        retry_after: None,
        errcode: errcode.as_ref(),
        request_id: visit.request_id.as_str(),
    };
    page.reply()
}
