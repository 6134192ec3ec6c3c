//! wxgate.
pub mod cookies;
pub mod origin;
pub mod secret;
pub mod signing;
pub mod wechat;
