//! What is counted of a request, and where.
//!
//! Holds always: what is counted decides nothing; a request with a session adds
//! to what its route's number leads to, and looks nothing up by name.

use http::StatusCode;

use super::{Gateway, Visit};
use crate::metrics::{Ended, Seat};
use crate::route::LoginAccount;
use crate::session::NoSession;

impl Gateway {
    fn seat(&self, visit: &Visit) -> Option<&Seat> {
        self.counters.seat(visit.route()?.number)
    }

    /// A request has ended, with this status.
    pub(super) fn count(&self, status: u16, visit: &Visit) {
        let goes_on = visit.outlives || status == StatusCode::SWITCHING_PROTOCOLS.as_u16();
        let ended = Ended {
            route: visit.route().map(|route| route.number),
            way: visit.log.way,
            reason: visit.log.reason,
            status,
            took: (!goes_on).then(|| visit.log.started().elapsed()),
        };
        self.metrics.ended(&self.counters, ended);
    }

    /// The header of the app's answer has come.
    pub(super) fn count_app_answer(&self, visit: &Visit) {
        if let (Some(seat), Some(took)) = (self.seat(visit), visit.log.app_took()) {
            seat.answers.observe(took);
        }
    }

    /// A request showed a session that is none.
    pub(super) fn count_no_session(&self, account: &LoginAccount, why: NoSession) {
        if let Some(event) = why.event() {
            self.count_session(account, event);
        }
    }

    /// Something happened to a session of this account.
    pub(super) fn count_session(&self, account: &LoginAccount, event: &'static str) {
        let counts = self.metrics.account(account.name.as_str());
        counts.sessions.add_one(event);
    }
}
