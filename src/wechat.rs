//! WeChat's protocol, and nothing of the gateway: web page authorisation
//! (网页授权) of an official account, the login of a website (网站应用), and that of
//! an app of WeCom (企业微信).
//!
//! Holds always: a [`Grant`] comes only from an exchange that WeChat answered
//! with an openid or a userid; the app secret, codes and tokens leave this module in
//! requests to WeChat's api and nowhere else; no error holds a URL.
//!
//! Read in the order of a login: [`account`] (who asks; [`kind`] tells of which
//! browsers), [`authorize`] (the
//! browser's hop to WeChat), [`callback`] (what comes back), [`api`] (server
//! to server; [`calls`] tells which; `corp` keeps WeCom's token), [`errcode`] (what WeChat's numbers mean), [`openid`] (who it was),
//! [`tokens`] (what may be kept of it).
//!
//! Source: WeChat's pages "网页授权" and "全局返回码" in the official accounts
//! documentation.

pub mod account;
pub mod api;
pub mod authorize;
pub mod callback;
pub mod calls;
mod corp;
pub mod errcode;
pub mod kind;
pub mod openid;
pub mod tokens;

pub use account::{Account, AppId};
pub use api::{Api, ApiError, Call, Called, Grant, Observer, Profile};
pub use authorize::{Scope, State};
pub use callback::{Answer, Code};
pub use errcode::{Errcode, Meaning};
pub use kind::{AgentId, Browser, Kind};
pub use openid::{OpenId, UnionId, UserId, Visitor};
pub use tokens::Tokens;
