//! What WeChat sends back with the browser: `?code=…&state=…`, or a `state`
//! alone when the visitor refused.
//!
//! Holds always: a [`Code`] is lent only to whoever shows the state that the
//! answer carries, so that no code can be spent before the state was compared.
//! A parameter that stands twice with two values makes the answer void: some
//! clients repeat parameters, and attackers add them.

use std::fmt;

use url::form_urlencoded;

use super::authorize::State;
use crate::secret::Secret;

/// A one-use code, good for five minutes. Becomes a [`super::Grant`] in
/// [`super::Api::exchange`].
#[derive(Clone)]
pub struct Code(Secret);

impl Code {
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }

    /// A name for this code in memory, which does not give it away.
    pub fn digest(&self) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        Sha256::digest(self.0.expose().as_bytes()).into()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// The query of a callback.
#[derive(Debug)]
pub struct Answer {
    state: State,
    code: Option<Code>,
}

/// Why a query is no answer of WeChat's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// No state, or one that was not made here.
    NoState,
    /// `code` or `state` stands twice with two values.
    Ambiguous,
}

/// What the state's owner finds in an answer.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// The visitor agreed.
    Agreed(&'a Code),
    /// The visitor refused, or WeChat gave no usable code.
    Refused,
}

impl Answer {
    /// Reads the raw query of a callback.
    ///
    /// # Errors
    /// When it holds no state of ours or contradicts itself.
    pub fn parse(query: &str) -> Result<Self, NoAnswer> {
        let state = one_value(query, "state")?.ok_or(NoAnswer::NoState)?;
        let state = State::parse(&state).ok_or(NoAnswer::NoState)?;
        let usable = |code: &String| {
            (1..=512).contains(&code.len())
                && code.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
                })
        };
        let code = one_value(query, "code")?
            .filter(usable)
            .map(|code| Code(Secret::new(code)));
        Ok(Self { state, code })
    }

    /// The state, to look the login up with.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The code, for the owner of `expected` alone; `None` when the answer
    /// belongs to another login.
    pub fn for_login(&self, expected: &State) -> Option<Verdict<'_>> {
        self.state
            .same(expected.as_str())
            .then_some(match &self.code {
                Some(code) => Verdict::Agreed(code),
                None => Verdict::Refused,
            })
    }
}

fn one_value(query: &str, name: &str) -> Result<Option<String>, NoAnswer> {
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned());
    let first = values.next();
    let same = values.all(|other| first.as_ref() == Some(&other));
    if same {
        Ok(first)
    } else {
        Err(NoAnswer::Ambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "00112233445566778899aabbccddeeff0";

    fn state() -> State {
        State::parse(STATE).unwrap()
    }

    #[test]
    fn the_code_is_lent_to_its_state_alone() {
        let answer = Answer::parse(&format!("code=abc-1&state={STATE}")).unwrap();
        assert!(
            matches!(answer.for_login(&state()), Some(Verdict::Agreed(code)) if code.expose() == "abc-1")
        );
        let other = State::parse("00112233445566778899aabbccddeeff1").unwrap();
        assert!(answer.for_login(&other).is_none());
        assert!(!format!("{answer:?}").contains("abc-1"));
    }

    #[test]
    fn a_missing_or_odd_code_is_a_refusal() {
        for query in [
            format!("state={STATE}"),
            format!("code=&state={STATE}"),
            format!("code=a%0Ab&state={STATE}"),
        ] {
            let answer = Answer::parse(&query).unwrap();
            assert!(
                matches!(answer.for_login(&state()), Some(Verdict::Refused)),
                "{query}"
            );
        }
    }

    #[test]
    fn repeated_parameters_must_agree() {
        assert!(Answer::parse(&format!("code=a&state={STATE}&code=a&state={STATE}")).is_ok());
        for query in [
            format!("code=a&state={STATE}&code=b"),
            format!("code=a&state={STATE}&state=x"),
        ] {
            assert_eq!(Answer::parse(&query).unwrap_err(), NoAnswer::Ambiguous);
        }
        for query in ["", "code=a", "code=a&state=", "code=a&state=short"] {
            assert_eq!(Answer::parse(query).unwrap_err(), NoAnswer::NoState);
        }
    }
}
