//! What must hold whatever bytes arrive: one function a surface, which takes
//! bytes and panics where something does not hold.
//!
//! The fuzzer runs them on what it makes up, `corpus` on what is kept in
//! `fuzz/corpus`, and `properties` borrows what they are built on. They know
//! the gateway by its public interface, and whatever they compare it with is
//! written anew, so that one mistake is not made on both sides.
//!
//! A `mod.rs`, for the fuzzer's crate takes it in by its path, and `rustc`
//! then looks for the files below beside it.

mod auth;
mod callback;
mod clients;
mod cookies;
mod facade;
mod forwarded;
mod gateway_toml;
mod request;
mod return_to;
mod route;
pub mod session;
mod signon;
mod wechat_answer;

pub use self::auth::auth;
pub use self::callback::callback;
pub use self::clients::{client_with, clients};
pub use self::cookies::cookies;
pub use self::facade::{facade, facade_link};
pub use self::forwarded::{as_cgi_sees_it, forwarded};
pub use self::gateway_toml::gateway_toml;
pub use self::request::request;
pub use self::return_to::{return_to, stays_at};
pub use self::route::route;
pub use self::session::{NOW, login, session, session_token};
pub use self::signon::{crossing_with, signon};
pub use self::wechat_answer::wechat_answer;

use std::sync::Arc;

use pingora::http::RequestHeader;
use wxgate::cookies::{CookieSettings, SameSiteSetting};
use wxgate::origin::PublicOrigin;
use wxgate::revocation::Revocations;
use wxgate::route::{Holder, LoginAccount};
use wxgate::secret::Secret;
use wxgate::session::{Lifetime, Sessions};
use wxgate::signing::Keyring;
use wxgate::wechat::Kind;
use wxgate::wechat::account::{
    API_BASE_URL, Account, BaseUrl, HopOptions, Lang, OPEN_BASE_URL, Parts,
};

/// A check, as the fuzzer and the corpus know it.
pub type Check = fn(&[u8]);

/// Every check, by the name of its fuzz target and its folder of the corpus.
pub const ALL: &[(&str, Check)] = &[
    ("auth", auth),
    ("callback", callback),
    ("clients", clients),
    ("cookies", cookies),
    ("facade", facade),
    ("forwarded", forwarded),
    ("gateway_toml", gateway_toml),
    ("login", login),
    ("request", request),
    ("return_to", return_to),
    ("route", route),
    ("session", session),
    ("signon", signon),
    ("wechat_answer", wechat_answer),
];

/// The host that everything here happens at.
pub const HOST: &str = "shop.example.com";
/// The appid of [`account`].
pub const APP_ID: &str = "wxaaaaaaaaaaaaaaaa";

/// An account of [`HOST`].
pub fn account(name: &str) -> LoginAccount {
    let wechat = Account::new(Parts {
        kind: Kind::Official,
        app_id: APP_ID.to_owned().try_into().unwrap(),
        app_secret: Secret::new("hunter2".to_owned()),
        callback_origin: PublicOrigin::try_from(format!("https://{HOST}")).unwrap(),
        open_base: BaseUrl::wechat(OPEN_BASE_URL),
        api_base: BaseUrl::wechat(API_BASE_URL),
        api_fallback: None,
        lang: Lang::default(),
        hop: HopOptions::default(),
    });
    LoginAccount {
        name: name.to_owned().try_into().unwrap(),
        session_cookie: cookie_settings().session_name(name),
        snapshot_cookie: cookie_settings().snapshot_name(name),
        pay_cookie: cookie_settings().pay_name(name),
        wechat,
        holder: Holder::default(),
        outsiders: false,
    }
}

/// The cookies of a gateway that serves https and shares no domain.
pub fn cookie_settings() -> CookieSettings {
    CookieSettings::new("wxgate", None, SameSiteSetting::Lax, true)
}

/// Sessions under one key, the same in every run: what the fuzzer finds is
/// found again.
pub fn sessions() -> Sessions {
    let key = Secret::new(format!("{}==", "A".repeat(86)));
    let lifetime = |text: &str| Lifetime::try_from(text.to_owned()).unwrap();
    let ended = Revocations::default();
    ended.complete();
    Sessions::new(
        Keyring::new(&[key]).unwrap(),
        cookie_settings(),
        Arc::new(ended),
        lifetime("10m"),
        lifetime("1h"),
    )
}

/// The halves of `data` around its first `mark`.
fn split_at_byte(data: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == mark);
    let first = halves.next().unwrap_or_default();
    (first, halves.next().unwrap_or_default())
}

/// A request of `method` for `target` with a header in each line of `lines`;
/// lines that are no header are left out. `None` if there can be no such
/// request.
fn request_of(method: &[u8], target: &[u8], lines: &[u8]) -> Option<RequestHeader> {
    let mut request = RequestHeader::build(method, target, None).ok()?;
    for line in lines.split(|byte| *byte == b'\n') {
        let (name, value) = split_at_byte(line, b':');
        let value = http::HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name), value) {
            // More headers than anybody sends is an error, and the rest is left out.
            let _ = request.append_header(name, value);
        }
    }
    Some(request)
}
