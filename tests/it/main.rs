//! The world around the gateway, and what must hold in it: real sockets on
//! ports the kernel chose, the simulator speaking WeChat's protocol, an app
//! that records what it was sent.
//!
//! `world` builds it, and `checks` says what holds whatever bytes arrive; each
//! other module is a topic.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod app;
mod checks;
mod client;
mod conformance;
mod h2;
mod issued;
mod load;
mod process;
mod world;

mod answers;
mod assertion;
mod auth_endpoint;
mod command_line;
mod consent;
mod corpus;
mod doctor;
mod drain;
mod endpoints;
mod environments;
mod explain;
mod facade;
mod hostile;
mod kill;
mod kinds;
mod limits;
mod login;
mod metrics;
mod origins;
mod pages;
mod pay;
mod properties;
mod proxying;
mod reload;
mod revocation;
mod secrets;
mod signon;
mod snapshot;
mod source;
mod status;
mod stores;
mod survival;
mod tls;
mod tokens;
mod trace;
mod upgrade;
mod upstreams;
mod visit;
