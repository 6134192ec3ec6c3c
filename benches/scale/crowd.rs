//! A crowd that keeps connections open: the helper `play crowd`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::helper::{Helper, orders};
use crate::visitors::Connection;

/// How many a helper keeps: fewer than the files it may open.
const EACH: usize = 5_000;
/// How many are opened at one time.
const AT_ONCE: usize = 64;
/// A masked frame with the text "hello".
const FRAME: &[u8] = b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e";

/// What the connections are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Kept alive after one request.
    Idle,
    /// WebSockets, after one frame there and back.
    Socket,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Socket => "socket",
        }
    }
}

/// Connections that are open; they end with their handle.
pub struct Crowd(Vec<Helper>);

impl Crowd {
    /// Opens `count` to `address`, with `request` first.
    pub async fn gather(address: SocketAddr, count: usize, kind: Kind, request: &[u8]) -> Self {
        let address = address.to_string();
        let request = std::str::from_utf8(request).unwrap();
        let mut crowd = Self(Vec::new());
        let mut first = 0;
        while first < count {
            let these = (count - first).min(EACH);
            let numbers = [first, these].map(|number| number.to_string());
            crowd.0.push(Helper::start(&[
                "crowd",
                kind.name(),
                &address,
                &numbers[0],
                &numbers[1],
                request,
            ]));
            first += these;
        }
        for helper in &mut crowd.0 {
            assert_eq!(helper.told().await, "open");
        }
        crowd
    }

    /// Asks once more on each: all are still there, or the benchmark fails.
    pub async fn ask_again(&mut self) {
        for helper in &mut self.0 {
            assert_eq!(helper.asked("ask again").await, "answered");
        }
    }
}

/// Plays it until nobody gives orders.
pub async fn play(kind: &str, address: &str, first: &str, count: &str, request: &str) {
    let is_socket = kind == Kind::Socket.name();
    let (address, first): (SocketAddr, usize) = (address.parse().unwrap(), first.parse().unwrap());
    let count: usize = count.parse().unwrap();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let request: Arc<[u8]> = request.as_bytes().into();
    let mut opening = JoinSet::new();
    for number in first..first + count {
        let (gate, request) = (Arc::clone(&gate), Arc::clone(&request));
        opening.spawn(async move {
            let _turn = gate.acquire().await;
            let mut connection = Connection::from(number, address).await;
            if is_socket {
                assert_eq!(connection.ask(&request).await, 101, "{}", connection.text());
                connection.echo(FRAME).await;
            } else {
                connection.page(&request).await;
            }
            connection.rest();
            connection
        });
    }
    let mut open = opening.join_all().await;
    println!("open");
    let mut orders = orders();
    while orders.recv().await.is_some() {
        for connection in &mut open {
            if is_socket {
                connection.echo(FRAME).await;
            } else {
                connection.page(&request).await;
            }
        }
        println!("answered");
    }
}
