//! What TLS may be set to.

use std::time::Duration;

use http::HeaderValue;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde::Deserialize;

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2, which every browser of WeChat's speaks.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

impl MinVersion {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static FROM_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::Tls12 => &FROM_TLS12,
            Self::Tls13 => &FROM_TLS13,
        }
    }
}

/// How long a browser remembers to come by https alone (RFC 6797), written
/// `"180d"`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Hsts(Duration);

impl Hsts {
    const LONGEST: Duration = Duration::from_secs(731 * 24 * 3600);

    /// The header that tells it. Other hosts of the domain are not ours to
    /// speak for.
    pub fn header(self) -> HeaderValue {
        let value = format!("max-age={}", self.0.as_secs());
        // Digits and ASCII letters.
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("max-age=0"))
    }
}

impl TryFrom<String> for Hsts {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        humantime::parse_duration(&found)
            .ok()
            .filter(|duration| *duration <= Self::LONGEST)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "found \"{found}\"; expected a duration of at most two years, such as \"180d\", or \"0s\", which has browsers forget it"
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_in_seconds() {
        let header = |text: &str| Hsts::try_from(text.to_owned()).map(Hsts::header);
        assert_eq!(header("180d").unwrap(), "max-age=15552000");
        assert_eq!(header("2years").unwrap(), "max-age=63115200");
        assert_eq!(header("0s").unwrap(), "max-age=0");
        for wrong in ["", "180", "3years", "for ever"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
