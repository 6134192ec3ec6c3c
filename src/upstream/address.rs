//! Where an app listens.
//!
//! Holds always: an address names one place and nothing below it, for path and
//! query are the visitor's own; a password in it is refused and not repeated.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::SocketAddr as UnixAddress;

use serde::Deserialize;
use url::{Host as UrlHost, Url};

/// `"http://127.0.0.1:3000"`, `"https://app.internal"` or `"unix:/run/app.sock"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    pub(super) place: Place,
    pub(super) tls: bool,
}

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    At(SocketAddr),
    /// To be looked up.
    Named(String, u16),
    /// A socket in the file system.
    Socket(String),
}

const FORMS: &str = "an http or https URL such as \"http://127.0.0.1:3000\", or a socket such as \"unix:/run/app.sock\"";

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        if let Some(path) = found.strip_prefix("unix:") {
            return socket(path);
        }
        let refuse = |why: &str| format!("found \"{found}\"; expected {FORMS}: {why}");
        if found.contains('@') {
            // What stands before it is a password, and is not repeated.
            return Err(format!(
                "found a user name or password; expected {FORMS}, without them"
            ));
        }
        let url = Url::parse(&found).map_err(|_| refuse("this is no URL"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(refuse("the scheme must be http or https")),
        };
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse(
                "it must hold no path or query, for the visitor's own is forwarded",
            ));
        }
        let port = url
            .port_or_known_default()
            .ok_or_else(|| refuse("the port is missing"))?;
        let at = |address: IpAddr| Place::At(SocketAddr::new(address, port));
        let place = match url.host() {
            Some(UrlHost::Domain(name)) => Place::Named(name.to_owned(), port),
            Some(UrlHost::Ipv4(address)) => at(address.into()),
            Some(UrlHost::Ipv6(address)) => at(address.into()),
            None => return Err(refuse("the host is missing")),
        };
        Ok(Self { place, tls })
    }
}

fn socket(path: &str) -> Result<Address, String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(format!(
            "found \"unix:{path}\"; expected the whole path of a socket, such as \"unix:/run/app.sock\""
        ));
    }
    if UnixAddress::from_pathname(path).is_err() {
        return Err(format!(
            "found \"unix:{path}\", which is longer than the path of a socket may be; expected at most 107 bytes"
        ));
    }
    Ok(Address {
        place: Place::Socket(path.to_owned()),
        tls: false,
    })
}

impl Address {
    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The name that its certificate must hold for, where nothing else is said;
    /// never empty for an address of https.
    pub fn certificate_name(&self) -> Option<String> {
        match &self.place {
            _ if !self.tls => None,
            Place::At(address) => Some(address.ip().to_string()),
            Place::Named(name, _) => Some(name.clone()),
            Place::Socket(_) => None,
        }
    }

    /// The host that a request of the gateway's own asks for.
    pub(super) fn authority(&self) -> String {
        match &self.place {
            Place::At(address) => address.to_string(),
            Place::Named(name, port) => format!("{name}:{port}"),
            Place::Socket(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tls {
            f.write_str("https://")?;
        }
        match &self.place {
            Place::At(address) => write!(f, "{address}"),
            Place::Named(name, port) => write!(f, "{name}:{port}"),
            Place::Socket(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, String> {
        Address::try_from(text.to_owned())
    }

    #[test]
    fn an_address_is_a_bare_url_or_a_socket() {
        let shown = |text: &str| address(text).unwrap().to_string();
        assert_eq!(shown("http://127.0.0.1:3000"), "127.0.0.1:3000");
        assert_eq!(
            shown("https://app.example.com"),
            "https://app.example.com:443"
        );
        assert_eq!(shown("http://[::1]:3000"), "[::1]:3000");
        assert_eq!(shown("unix:/run/app.sock"), "unix:/run/app.sock");
        for wrong in [
            "127.0.0.1:3000",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "unix:app.sock",
            "unix:",
            &format!("unix:/{}", "x".repeat(108)),
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert!(
            !address("http://u:hunter2@a")
                .unwrap_err()
                .contains("hunter2")
        );
    }

    #[test]
    fn whatever_speaks_tls_has_a_name_to_be_checked() {
        let name = |text: &str| address(text).unwrap().certificate_name();
        assert_eq!(name("https://10.0.0.1:8443").as_deref(), Some("10.0.0.1"));
        assert_eq!(name("https://[fd00::1]").as_deref(), Some("fd00::1"));
        assert_eq!(
            name("https://app.internal").as_deref(),
            Some("app.internal")
        );
        assert_eq!(name("http://app.internal"), None);
        assert_eq!(name("unix:/run/app.sock"), None);
    }
}
