//! `[telemetry]` in `gateway.toml`.

use serde::Deserialize;
use url::Url;

/// `[telemetry]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Whether the app receives `traceparent` even where no spans are sent.
    pub traceparent: bool,
    /// Where spans are sent; nowhere by default.
    pub otlp_endpoint: Option<Endpoint>,
    /// How many of the traces that begin here are sampled.
    pub sample: Sample,
    /// What this gateway is called there.
    pub service_name: ServiceName,
}

/// The base URL of a collector that speaks OTLP over HTTP.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub struct Endpoint {
    traces: String,
    https: bool,
}

impl Endpoint {
    /// Where spans are posted to.
    pub fn traces(&self) -> &str {
        &self.traces
    }

    /// Whether over TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        if found.contains('@') {
            // What stands before it is a password, and is not repeated.
            return Err(
                "found a user name or password; expected a URL without them, such as \"http://127.0.0.1:4318\""
                    .to_owned(),
            );
        }
        if found.contains(['?', '#']) {
            // A key may stand there, and is not repeated.
            return Err(
                "found a query or fragment; expected a URL without them, such as \"http://127.0.0.1:4318\""
                    .to_owned(),
            );
        }
        let url = Url::parse(&found)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let url = url.ok_or_else(|| {
            format!(
                "found \"{found}\"; expected the base URL of an OTLP collector (HTTP, not gRPC), such as \"http://127.0.0.1:4318\""
            )
        })?;
        Ok(Self {
            traces: format!("{}/v1/traces", url.as_str().trim_end_matches('/')),
            https: url.scheme() == "https",
        })
    }
}

/// A share of all traces, from 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "f64")]
pub struct Sample(f64);

impl Default for Sample {
    fn default() -> Self {
        Self(0.1)
    }
}

impl Sample {
    /// Whether the trace whose id ends in `end` is among them: by the rule of
    /// OpenTelemetry's `TraceIdRatioBased`, so that services agree.
    pub(super) fn takes(self, end: u64) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a range, and a cast that stays within it"
        )]
        let bound = (self.0 * (1_u64 << 63) as f64) as u64;
        end >> 1 < bound
    }
}

impl TryFrom<f64> for Sample {
    type Error = String;

    fn try_from(found: f64) -> Result<Self, String> {
        match (0.0..=1.0).contains(&found) {
            true => Ok(Self(found)),
            false => Err(format!(
                "found {found}; expected a share from 0.0 (none) to 1.0 (all)"
            )),
        }
    }
}

/// The name of a service.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub struct ServiceName(String);

impl Default for ServiceName {
    fn default() -> Self {
        Self("wxgate".to_owned())
    }
}

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServiceName {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let fits = (1..=128).contains(&found.len()) && !found.chars().any(char::is_control);
        match fits {
            true => Ok(Self(found)),
            false => Err(format!(
                "found {found:?}; expected a name of 1 to 128 characters"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_bare_url() {
        let traces = |text: &str| Endpoint::try_from(text.to_owned()).map(|url| url.traces);
        assert_eq!(
            traces("http://127.0.0.1:4318").unwrap(),
            "http://127.0.0.1:4318/v1/traces"
        );
        assert_eq!(
            traces("https://otel.example.com/in/").unwrap(),
            "https://otel.example.com/in/v1/traces"
        );
        for wrong in [
            "",
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://u:p@a",
            "http://a?b",
            "http://",
        ] {
            assert!(traces(wrong).is_err(), "{wrong}");
        }
        assert!(
            !traces("http://user:secret@a")
                .unwrap_err()
                .contains("secret")
        );
    }

    #[test]
    fn a_share_of_the_traces_is_taken() {
        let share = |share: f64| Sample::try_from(share).unwrap();
        assert!(!share(0.0).takes(0) && share(1.0).takes(u64::MAX));
        assert!(share(0.5).takes(u64::MAX / 2 - 1) && !share(0.5).takes(u64::MAX / 2 + 2));
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Sample::try_from(wrong).is_err());
        }
    }
}
