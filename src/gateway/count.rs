//! What is counted of a request, and where.
//!
//! Holds always: what is counted decides nothing; a request with a session adds
//! to what its route's number leads to, and looks nothing up by name.

use http::StatusCode;
use pingora::{Error, ErrorType};

use super::{Gateway, Visit};
use crate::metrics::{AppError, Ended, Seat};
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

    /// The app gave no answer, and nobody is asked any more.
    pub(super) fn count_app_error(&self, error: &Error, visit: &Visit) {
        let asked = self.seat(visit).filter(|_| visit.permit.is_some());
        if let (Some(seat), Some(kind)) = (asked, kind_of(error)) {
            seat.app.failed(kind);
        }
    }

    /// A peer of the app's gave no answer, and one is asked again.
    pub(super) fn count_retry(&self, error: &Error, visit: &Visit) {
        if let (Some(seat), Some(kind)) = (self.seat(visit), kind_of(error)) {
            seat.app.failed(kind);
            seat.app.retries.add_one();
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

/// There is nobody to ask.
pub(super) const NO_PEER: ErrorType = ErrorType::Custom("no_peer");

/// What kind of error of an app's it is; `None` for one of ours.
fn kind_of(error: &Error) -> Option<AppError> {
    Some(match error.etype() {
        no_peer if *no_peer == NO_PEER => AppError::NoPeer,
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::BindError
        | ErrorType::SocketError => AppError::Connect,
        ErrorType::ConnectTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout
        | ErrorType::TLSHandshakeTimedout => AppError::Timeout,
        ErrorType::TLSHandshakeFailure
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError
        | ErrorType::TLSWantX509Lookup => AppError::Tls,
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::H2Downgrade
        | ErrorType::InvalidH2 => AppError::Invalid,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            AppError::Closed
        }
        _ => return None,
    })
}
