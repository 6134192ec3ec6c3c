//! The way back after a login stays at its host.

use url::Url;
use wxgate::endpoints::{self, LoginQuery};
use wxgate::origin::{MAX_RETURN_TO, PublicOrigin, ReturnTo};
use wxgate::request::Asked;
use wxgate::route::Routes;

/// `data`: a target, as a request line has it and as `login?to=` has it; and
/// the whole query of `login`.
pub fn return_to(data: &[u8]) {
    let target = String::from_utf8_lossy(data);
    for home in [
        "https://shop.example.com",
        "http://127.0.0.1:8080",
        "https://[2001:db8::1]:8443",
    ] {
        let home = PublicOrigin::try_from(home.to_owned()).unwrap();
        if let Some(to) = ReturnTo::of_request(&home, &target) {
            assert_eq!(to.as_str(), target);
            stays_at(&home, &to);
        }
        if let Some(to) = ReturnTo::of_parameter(&home, &target) {
            assert_eq!(to.as_str(), target);
            stays_at(&home, &to);
            stays_in_any_reading(&home, &to);
        }
    }
    query(data);
    if let Some(to) = ReturnTo::of_parameter(&origin(), &target) {
        // What is put into a link to `login` is what `login` reads.
        let path = endpoints::login_path(&to);
        let asked = path.split_once('?').map(|(_, query)| query.as_bytes());
        assert_eq!(query(asked.unwrap()), Some(to));
    }
}

fn origin() -> PublicOrigin {
    PublicOrigin::try_from(format!("https://{}", super::HOST)).unwrap()
}

fn query(query: &[u8]) -> Option<ReturnTo> {
    let target = [b"/.wxgate/login?", query].concat();
    let request = super::request_of(b"GET", &target, b"Host: shop.example.com")?;
    let asked = Asked::read(&request, b"").ok()?;
    let read = LoginQuery::read(&asked, &Routes::default())?;
    assert!(read.attempt <= 1);
    stays_at(&origin(), &read.to);
    stays_in_any_reading(&origin(), &read.to);
    Some(read.to)
}

/// To a browser, the address is on `home`, and it fits into a header.
pub fn stays_at(home: &PublicOrigin, to: &ReturnTo) {
    let address = to.on(home);
    assert!(to.as_str().starts_with('/') && to.as_str().len() <= MAX_RETURN_TO);
    assert!(!address.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    let url = Url::parse(&address).unwrap();
    let expected = Url::parse(home.as_str()).unwrap();
    assert_eq!(url.origin(), expected.origin(), "{address}");
    assert_eq!(url.host_str(), expected.host_str());
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(url.fragment().is_none());
}

/// As a reference alone, too, and whatever the slashes mean.
fn stays_in_any_reading(home: &PublicOrigin, to: &ReturnTo) {
    let expected = Url::parse(home.as_str()).unwrap();
    for reading in [to.as_str().to_owned(), to.as_str().replace('\\', "/")] {
        let url = expected.join(&reading).unwrap();
        assert_eq!(url.origin(), expected.origin(), "{reading}");
    }
}
