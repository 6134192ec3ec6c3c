//! In which way an app failed, and what may be said of it.
//!
//! Holds always: nothing is said of what stood in a request or an answer, for that
//! may be a visitor's.

use pingora::{Error, ErrorType};

/// In which way an app failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made.
    Connect,
    /// It took too long.
    Timeout,
    /// The connection ended before the answer did.
    Closed,
    /// No TLS, or with a certificate that is not believed.
    Tls,
    /// What came was no answer.
    Invalid,
    /// There was nobody to ask: every peer is out, as the checks say, or no name
    /// has an address.
    NoPeer,
}

impl Failure {
    /// All of them, in the order of the counts.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Timeout,
        Self::Closed,
        Self::Tls,
        Self::Invalid,
        Self::NoPeer,
    ];

    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Tls => "tls",
            Self::Invalid => "invalid",
            Self::NoPeer => "no_peer",
        }
    }
}

/// In which way it failed.
pub(super) fn failure(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ConnectTimedout
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSWantX509Lookup
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => Failure::Tls,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            Failure::Closed
        }
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::H2Downgrade
        | ErrorType::InvalidH2 => Failure::Invalid,
        _ => Failure::Connect,
    }
}

/// Whether a connection ended before the first byte of an answer, which Pingora
/// tells in words alone. Other words are no yes.
pub(super) fn nothing_came(error: &Error) -> bool {
    match error.etype() {
        ErrorType::WriteError => true,
        ErrorType::ReadError | ErrorType::ConnectionClosed => {
            let context = error.context.as_ref().map(|words| words.as_str());
            context.is_some_and(|words| words.ends_with("bytes already read: 0"))
        }
        _ => false,
    }
}

/// Why a connection was not made, for a log. Of what was said on it nothing, for
/// that may be a visitor's.
pub fn why(error: &Error) -> String {
    let kind = error.etype().as_str();
    match failure(error) {
        Failure::Tls => {
            let context = error.context.as_ref().map(|words| words.as_str());
            let context = context.unwrap_or_default();
            let reason = context
                .strip_prefix("TLS connect() failed: ")
                .unwrap_or(context);
            format!("{kind}: {reason}")
        }
        Failure::Connect => match error.root_cause().downcast_ref::<std::io::Error>() {
            Some(cause) => format!("{kind}: {cause}"),
            None => kind.to_owned(),
        },
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_connection_without_a_byte_is_none() {
        let ended = |kind, words: &'static str| nothing_came(&Error::explain(kind, words));
        let nothing = "while reading response headers, bytes already read: 0";
        assert!(ended(ErrorType::ConnectionClosed, nothing));
        assert!(ended(ErrorType::ReadError, nothing));
        for (kind, words) in [
            (
                ErrorType::ConnectionClosed,
                "while reading response headers, bytes already read: 10",
            ),
            (ErrorType::ConnectionClosed, "in other words"),
            (ErrorType::ReadTimedout, nothing),
            (ErrorType::InvalidHTTPHeader, nothing),
        ] {
            assert!(!ended(kind.clone(), words), "{kind:?} {words}");
        }
    }

    #[test]
    fn an_answer_stands_in_no_log() {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "buf: Set-Cookie: secret");
        assert_eq!(why(&error), "InvalidHTTPHeader");
        let error = Error::explain(
            ErrorType::TLSHandshakeFailure,
            "TLS connect() failed: invalid peer certificate: UnknownIssuer, SNI: a",
        );
        assert_eq!(
            why(&error),
            "TLSHandshakeFailure: invalid peer certificate: UnknownIssuer, SNI: a"
        );
    }
}
