//! The end of a simulator, with connections still open.

use super::tests::{get, simulator};
use super::*;

#[tokio::test]
async fn dropping_the_last_handle_stops_it() {
    let sim = simulator().await;
    let (addr, other) = (sim.addr(), sim.clone());
    drop(sim);
    assert_eq!(get(&other, "/simulator/calls", &[]).await.status, 200);
    drop(other);
    let refused = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(5), refused).await;
    assert!(refused.is_ok());
}

#[tokio::test]
async fn stopping_breaks_every_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sim = simulator().await;
    sim.set_mood(Mood::Hanging);
    let addr = sim.addr();
    let idle = tokio::net::TcpStream::connect(addr).await.unwrap();
    let mut waiting = tokio::net::TcpStream::connect(addr).await.unwrap();
    waiting
        .write_all(b"GET /sns/auth HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    while sim.calls().check.total == 0 {
        tokio::task::yield_now().await;
    }
    sim.stop().await;
    for mut stream in [idle, waiting] {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
        assert!(matches!(read.unwrap(), Ok(0) | Err(_)));
    }
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
