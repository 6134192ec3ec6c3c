//! wxgate.
pub mod access_log;
pub mod callback;
pub mod cookies;
pub mod endpoints;
pub mod gateway;
pub mod identity;
pub mod login;
pub mod origin;
pub mod reply;
pub mod request;
pub mod route;
pub mod secret;
pub mod session;
pub mod signing;
pub mod simulator;
pub mod upstream;
pub mod wechat;
