//! WeChat's protocol, and nothing of the gateway: web page authorisation
//! (网页授权) of an official account.
//!
//! Holds always: a [`Grant`] comes only from an exchange that WeChat answered
//! with an openid; the app secret, codes and tokens leave this module in
//! requests to WeChat's api and nowhere else; no error holds a URL.
//!
//! Read in the order of a login: [`account`] (who asks), [`authorize`] (the
//! browser's hop to WeChat), [`callback`] (what comes back), [`api`] (server
//! to server; [`calls`] tells which), [`errcode`] (what WeChat's numbers mean), [`openid`] (who it was),
//! [`tokens`] (what may be kept of it).
//!
//! Source: WeChat's pages "网页授权" and "全局返回码" in the official accounts
//! documentation.

pub mod account;
pub mod api;
pub mod authorize;
pub mod callback;
pub mod calls;
pub mod errcode;
pub mod openid;
pub mod tokens;

pub use account::{Account, AppId};
pub use api::{Api, ApiError, Call, Called, Grant, Observer, Profile};
pub use authorize::{Scope, State};
pub use callback::{Answer, Code};
pub use errcode::{Errcode, Meaning};
pub use openid::{OpenId, UnionId};
pub use tokens::Tokens;
