//! Whether what a request begins with is a request line by RFC 9112, section 3.
//!
//! Holds always: `method SP request-target SP HTTP-version CRLF`, each space
//! once, without a control character, and without the `#` that no target has.
//! Bytes above ASCII pass: old browsers send them as they are. Empty lines before
//! it are skipped, as section 2.2 asks.

/// Reads a request line as its bytes come.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestLine {
    state: State,
    spaces: u8,
    odd: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing but empty lines came.
    #[default]
    Before,
    /// A CR in an empty line came.
    BeforeFeed,
    /// In the line.
    Within,
    /// The CR at its end came.
    Feed,
    /// The line is over.
    Done,
}

impl RequestLine {
    /// Reads on.
    pub fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.state == State::Done {
                return;
            }
            self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Before, b'\r') => State::BeforeFeed,
            (State::BeforeFeed, b'\n') => State::Before,
            (State::Before | State::Within, b'!'..=b'"' | b'$'..=b'~' | 0x80..) => State::Within,
            (State::Within, b' ') => {
                self.spaces = self.spaces.saturating_add(1);
                self.odd |= self.spaces > 2;
                State::Within
            }
            (State::Within, b'\r') => State::Feed,
            (State::Feed, b'\n') => {
                self.odd |= self.spaces != 2;
                State::Done
            }
            (_, b'\n') => {
                self.odd = true;
                State::Done
            }
            _ => {
                self.odd = true;
                State::Within
            }
        };
    }

    /// Whether what came so far is no request line.
    pub fn is_odd(&self) -> bool {
        self.odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(bytes: &[u8]) -> bool {
        let mut line = RequestLine::default();
        line.read(bytes);
        let mut by_byte = RequestLine::default();
        bytes.iter().for_each(|byte| by_byte.read(&[*byte]));
        assert_eq!(line.is_odd(), by_byte.is_odd(), "{bytes:?}");
        line.is_odd()
    }

    #[test]
    fn a_request_line_is_known() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "\r\nGET / HTTP/1.1\r\nX-A: b c d\nz",
            "PROPFIND /a?b=\"'|^ HTTP/1.0\r\n\r\n",
            "GET /\u{4f60} HTTP/1.1\r\n",
            "GET /half",
        ] {
            assert!(!odd(line.as_bytes()), "{line:?}");
        }
        for line in [
            "GET /a b HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            " GET / HTTP/1.1\r\n",
            "GET\t/ HTTP/1.1\r\n",
            "GET /\t HTTP/1.1\r\n",
            "GET /\0 HTTP/1.1\r\n",
            "GET /\u{7f} HTTP/1.1\r\n",
            "GET /\u{b} HTTP/1.1\r\n",
            "GET /#a HTTP/1.1\r\n",
            "GET /\rx HTTP/1.1\r\n",
            "GET / HTTP/1.1\n",
            "\nGET / HTTP/1.1\r\n",
            "\rGET / HTTP/1.1\r\n",
            "GET /\r\n",
            "GET\r\n",
        ] {
            assert!(odd(line.as_bytes()), "{line:?}");
        }
    }
}
