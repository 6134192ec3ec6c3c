//! The parameters of a request to the facade.
//!
//! Holds always: of a name that is known here there is one value or none; where it
//! stands twice, with the same value or another, under its own letters or encoded, the
//! request is refused, for two readers could take two. Names that are not known mean
//! nothing. Values are decoded once; `+` stands for itself, as WeChat has it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Every name that means something.
const KNOWN: [&str; 10] = [
    "appid",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "secret",
    "code",
    "grant_type",
    "refresh_token",
    "access_token",
];
/// The last of them.
const OPENID: &str = "openid";

/// A query that cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear;

/// What a query says.
pub struct Parameters<'q>(Vec<(&'static str, Cow<'q, str>)>);

impl<'q> Parameters<'q> {
    /// Reads a raw query.
    ///
    /// # Errors
    /// When a known name stands twice, or its value is not UTF-8.
    pub fn read(query: &'q str) -> Result<Self, Unclear> {
        let mut found: Vec<(&'static str, Cow<'q, str>)> = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(name) = percent_decode_str(name).decode_utf8() else {
                continue;
            };
            let known = KNOWN.into_iter().chain([OPENID]);
            let Some(name) = known.into_iter().find(|known| *known == name) else {
                continue;
            };
            if found.iter().any(|(other, _)| *other == name) {
                return Err(Unclear);
            }
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| Unclear)?;
            found.push((name, value));
        }
        Ok(Self(found))
    }

    /// The value of `name`; empty where it does not stand.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(its, _)| *its == name);
        found.map_or("", |(_, value)| value)
    }

    /// The same, or `missing` where it is empty.
    ///
    /// # Errors
    /// `missing`.
    pub fn required<E>(&self, name: &str, missing: E) -> Result<&str, E> {
        match self.get(name) {
            "" => Err(missing),
            value => Ok(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_stands_once_or_not_at_all() {
        let query = "a=1&appid=wx1&a=2&code=a%2Bb+c&secret=&openid=o";
        let parameters = Parameters::read(query).unwrap();
        assert_eq!(parameters.get("appid"), "wx1");
        assert_eq!(parameters.get("code"), "a+b+c");
        assert_eq!(parameters.required("secret", 1), Err(1));
        assert_eq!(parameters.required("state", 2), Err(2));
        assert_eq!(parameters.required("openid", 3), Ok("o"));
        for twice in [
            "code=a&code=b",
            "code=a&code=a",
            "code&code",
            "code=a&c%6fde=b",
            "appid=1&state=2&%61ppid=1",
            "openid=%ff",
        ] {
            assert!(Parameters::read(twice).is_err(), "{twice}");
        }
        for other in ["", "&&", "=", "CODE=a&code=b", "code =a&code=b", "%ff=1"] {
            assert!(Parameters::read(other).is_ok(), "{other}");
        }
    }
}
