//! `auth`: a proxy in front asks whether a request may go to the app, and takes it
//! there itself.
//!
//! Holds always: only a trusted proxy is answered, anybody else learns nothing; the
//! decision is `decide`'s, as if the request had come by itself; "yes" is said with
//! a permit alone, and with every header of the family, empty where nothing is
//! known, so that a client's own is displaced, while no other success is ever
//! answered; an access token is never handed out here, where a browser might see it,
//! and a signed proof on routes alone that are made for such questions.

use http::{HeaderName, StatusCode, header};
use pingora::http::RequestHeader;

use super::answer::{note_permit, refuse_unread};
use super::decide::{Decision, Permit};
use super::{Gateway, Visit};
use crate::access_log::Way;
use crate::endpoints::auth::Original;
use crate::endpoints::login_path;
use crate::identity::{self, WRITTEN};
use crate::origin::ReturnTo;
use crate::reply::{Reply, Trouble};
use crate::request::Asked;

impl Gateway {
    /// Answers a proxy's question.
    pub(super) async fn auth(&self, question: &Asked<'_>, visit: &mut Visit) -> Reply {
        if !visit.client.through_proxy {
            visit.log.decided(Way::Refused, "auth_untrusted");
            return Reply::new(StatusCode::FORBIDDEN);
        }
        let original = match Original::read(question) {
            Ok(original) => original,
            Err(untold) => {
                visit.log.decided(Way::Refused, untold.reason());
                return Reply::new(StatusCode::FORBIDDEN);
            }
        };
        let reply = match original.asked() {
            Ok(asked) => self.answer_about(&original, &asked, visit).await,
            Err(unreadable) => {
                visit.log.decided(Way::Refused, unreadable.reason());
                match original.manner.hands_on() {
                    true => refuse_unread(unreadable, visit),
                    false => Reply::new(StatusCode::FORBIDDEN),
                }
            }
        };
        visit.original = Some(Box::new(original.into_header()));
        reply
    }

    async fn answer_about(
        &self,
        original: &Original,
        asked: &Asked<'_>,
        visit: &mut Visit,
    ) -> Reply {
        let manner = original.manner;
        if manner.hands_on()
            && let Some(reply) = self.to_https(asked, asked.headers(), false, visit)
        {
            return reply;
        }
        let mut decision = self.decide(asked, visit.now);
        if let Decision::Forward(permit) = &decision {
            let route = permit.route();
            // Any visitor who gets past the proxy to this path would read them.
            if route.access_token || (route.assertion && !route.upstream.is_none()) {
                visit.log.decided(Way::Refused, "auth_not_for_this_route");
                return Reply::new(StatusCode::FORBIDDEN);
            }
            if !route.methods.is_empty() && original.overrides_method() {
                visit.log.decided(Way::Refused, "auth_disguised");
                return Reply::new(StatusCode::FORBIDDEN);
            }
        }
        if !visit.is_rehearsal {
            decision = self.freshen(decision, asked, visit).await;
        }
        let reply = match decision {
            Decision::Forward(permit) => self.admit(permit, asked, visit),
            // These are the gateway's to answer, and the proxy's to send there.
            Decision::Own(_) | Decision::VerifyFile(_) | Decision::Facade(..) => {
                visit.log.decided(Way::Refused, "auth_own_path");
                match manner.hands_on() {
                    true => self.page(Trouble::NotFound, asked, &ReturnTo::root(), visit),
                    false => Reply::new(StatusCode::FORBIDDEN),
                }
            }
            refused if manner.hands_on() => self.turn_down(refused, asked, visit).refusing(),
            refused => self.say_no(&refused, asked, visit),
        };
        self.note_route(asked, visit);
        reply
    }

    /// "Yes": the answer says who the visitor is, as the app is to be told.
    fn admit(&self, permit: Permit, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let Ok(told) = self.told(&permit, asked, visit) else {
            visit.log.decided(Way::Refused, Trouble::Internal.reason());
            return Reply::new(StatusCode::FORBIDDEN);
        };
        note_permit(&permit, visit);
        let mut reply = Reply::new(StatusCode::OK);
        for (name, value) in &told.headers {
            reply = reply.with_value(name.clone(), value.clone());
        }
        let name = HeaderName::from_static("x-request-id");
        reply = reply.with_value(name, visit.request_id.value().clone());
        if let Permit::Vouched(route, account, carried) = &permit {
            // One at a time: of two, some proxies pass on the first alone, or both in one.
            let cookie = match carried.renew {
                true => {
                    self.count_session(account, "renewed");
                    Some(self.sessions.write(&carried.session, account, visit.now))
                }
                false => self.renewed_payer(route, carried, visit.now),
            };
            if let Some(cookie) = cookie {
                reply = reply.with_cookie(&cookie);
            }
        }
        visit.permit = Some(permit);
        reply
    }

    /// The whole family of headers for `permit`'s visitor.
    fn told(
        &self,
        permit: &Permit,
        asked: &Asked<'_>,
        visit: &Visit,
    ) -> pingora::Result<RequestHeader> {
        let mut told = RequestHeader::build_no_case("GET", b"/", Some(WRITTEN.len()))?;
        for name in WRITTEN {
            told.insert_header(HeaderName::from_static(name), "")?;
        }
        if let Some(session) = permit.session() {
            identity::vouch(&mut told, session)?;
            let payer = permit.payer();
            if let Some(payer) = payer {
                identity::vouch_payer(&mut told, payer)?;
            }
            if permit.route().assertion {
                let (who, host) = ((session, permit.route().identity), asked.host.as_str());
                self.assert(&mut told, who, payer, host, visit.now)?;
            }
        }
        Ok(told)
    }

    /// "No", for a proxy that knows two kinds of it: 401 for what a login cures, with
    /// its address, and 403.
    fn say_no(&self, decision: &Decision<'_>, asked: &Asked<'_>, visit: &mut Visit) -> Reply {
        let (reason, cured) = match decision {
            Decision::Login(_, reason) | Decision::LoginRequired(reason) => (*reason, true),
            Decision::Refuse(trouble, reason) => {
                let cured = trouble.leads_elsewhere()
                    || matches!(trouble, Trouble::SessionEnded | Trouble::NoPayer);
                (*reason, cured)
            }
            Decision::MethodNotAllowed(_) => ("method", false),
            Decision::Own(_)
            | Decision::VerifyFile(_)
            | Decision::Facade(..)
            | Decision::Forward(_) => (Trouble::NotFound.reason(), false),
        };
        visit.log.decided(Way::Refused, reason);
        if !cured {
            return Reply::new(StatusCode::FORBIDDEN);
        }
        let origin = self.routes.origin_of(asked);
        let login = format!("{}{}", origin.as_str(), login_path(&self.way_back(asked)));
        Reply::new(StatusCode::UNAUTHORIZED).with_header(header::LOCATION, &login)
    }
}
