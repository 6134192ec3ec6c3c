//! The one tool of `benches/load/run`: an origin, Pingora as a plain proxy, an
//! OpenID provider, and a driver of requests. Built with everything else, in the
//! profile that is shipped.
//!
//!   load origin ADDRESS
//!   load plain LISTEN UPSTREAM [CERTIFICATE KEY]
//!   load provider LISTEN MILLISECONDS
//!   load drive WAY ADDRESS TARGET COUNT CONNECTIONS COOKIE [CERTIFICATE]
//!   load pace ADDRESS TARGET RATE SECONDS CONNECTIONS COOKIE
//!   load login ADDRESS COUNT CONCURRENCY
//!
//! `drive` asks COUNT times as fast as it is answered, in one of these ways:
//! `keep` on CONNECTIONS connections that stay open; `new` on a new connection
//! each time; `socket` with messages on open WebSockets; `visit` as `keep`, and
//! the answer is a 302 to a login. It tells how many a second. With a CERTIFICATE,
//! which is trusted, all that goes over TLS to the host `localhost`.
//!
//! `pace` asks RATE times a second, whatever the answers take. It tells the 50th
//! and 99th percentile in microseconds.
//!
//! `login` follows redirects from `/` until the page is there, each time as a
//! browser that was never seen. It tells how many a second, and the 50th and 99th
//! percentile of a whole login in milliseconds.
//!
//! COOKIE is the whole line, or nothing. An answer other than the one that is
//! expected ends the program, and so do five minutes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

mod asked;
mod drive;
mod login;
mod origin;
mod plain;
mod provider;
mod wire;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::asked::{Asked, Way};
use crate::wire::Place;

/// The program's, for the plain proxy is to be built alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LIMIT: Duration = Duration::from_secs(300);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = (arguments.iter().map(String::as_str))
        .filter(|argument| *argument != "--bench")
        .collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.as_slice() {
        ["origin", address] => runtime.block_on(origin::serve(address.parse().unwrap())),
        ["plain", listen, upstream, certificate @ ..] => {
            runtime.block_on(until_told(plain::serve(
                listen.parse().unwrap(),
                upstream.parse().unwrap(),
                certificate,
            )))
        }
        ["provider", listen, delay] => runtime.block_on(provider::serve(
            listen.parse().unwrap(),
            Duration::from_millis(delay.parse().unwrap()),
        )),
        [
            "drive",
            way,
            address,
            target,
            count,
            connections,
            cookie,
            certificate @ ..,
        ] => {
            let way = Way::named(way);
            let place = Place::new(address, certificate.first().copied());
            let asked = Asked::new(way, place, target, cookie);
            let (count, connections) = (count.parse().unwrap(), connections.parse().unwrap());
            let rate = runtime.block_on(bounded(drive::drive(asked, count, connections)));
            println!("{rate:.0}");
        }
        ["pace", address, target, rate, seconds, connections, cookie] => {
            let asked = Asked::new(Way::Keep, Place::new(address, None), target, cookie);
            let (rate, seconds) = (rate.parse().unwrap(), seconds.parse().unwrap());
            let took = drive::pace(&asked, rate, seconds, connections.parse().unwrap());
            println!(
                "{} {}",
                at(&took, 0.5).as_micros(),
                at(&took, 0.99).as_micros()
            );
        }
        ["login", address, count, concurrency] => {
            let (count, concurrency) = (count.parse().unwrap(), concurrency.parse().unwrap());
            let logins = bounded(login::logins(address, count, concurrency));
            let (rate, took) = runtime.block_on(logins);
            println!(
                "{rate:.0} {} {}",
                at(&took, 0.5).as_millis(),
                at(&took, 0.99).as_millis()
            );
        }
        // `cargo test --benches` and others ask for a list of tests: there is none.
        _ => {}
    }
}

/// Serves until SIGTERM, and lets `main` return: a program that is watched writes
/// down what was seen when it does.
async fn until_told(serve: impl Future<Output = ()>) {
    let mut told = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        () = serve => {}
        _ = told.recv() => {}
    }
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.unwrap()
}

/// What a part of the sorted times stays below.
fn at(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}
