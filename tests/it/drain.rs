//! What a stop does to connections that are open.

use std::time::Duration;

use crate::client::{DESKTOP, Wire};
use crate::load::{GOING_AWAY, SOCKET};
use crate::world::{Extra, World};

async fn socket(world: &World, path: &str) -> Wire {
    let visitor = world.visitor().await;
    let mut socket = Wire::to(world.gateway).await;
    let request = visitor.request("GET", world.gateway, path, &SOCKET, b"");
    socket.send(request).await;
    assert_eq!(socket.answer(false).await.status, 101);
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_used_gets_its_answer_and_the_word_that_it_was_the_last() {
    let world = World::new().await;
    let gateway = world.gateway;
    let request =
        format!("GET /pay/notify HTTP/1.1\r\nHost: {gateway}\r\nUser-Agent: {DESKTOP}\r\n\r\n");
    let mut kept = Wire::to(gateway).await;
    kept.send(&request).await;
    assert!(!kept.answer(false).await.closed);
    let mut idle = Wire::to(gateway).await;
    idle.send(&request).await;
    assert!(!idle.answer(false).await.closed);
    let stopping = tokio::spawn(world.stop());
    // Nobody new is taken; whoever is here is answered once more.
    while Wire::try_to(gateway).await.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kept.send(&request).await;
    let answer = kept.answer(false).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.value("connection"), Some("close"), "{answer:?}");
    assert!(kept.is_closed().await);
    // One that is not used holds nobody up.
    assert!(idle.is_closed().await);
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_told_to_go_between_two_frames() {
    let world = World::with(Extra {
        server: "drain_timeout = \"4s\"",
        ..Extra::default()
    })
    .await;
    let mut silent = socket(&world, "/socket").await;
    let mut busy = socket(&world, "/socket").await;
    let stopping = tokio::spawn(world.stop());
    assert_eq!(silent.bytes(4).await, GOING_AWAY);
    // It is over when the far end says so too.
    silent.finish().await;
    assert!(silent.is_closed().await);
    // The app sends back what it gets, most of the time half a frame.
    let mut got = Vec::new();
    let chat = async {
        for part in ["\u{2}a", "b"].iter().cycle() {
            let part = match *part {
                "b" => b"b".to_vec(),
                begin => [b"\x82", begin.as_bytes()].concat(),
            };
            busy.send(&part).await;
            got.extend(busy.bytes(part.len()).await);
            if got.ends_with(GOING_AWAY) {
                break;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), chat).await;
    told.expect("a goodbye");
    let frames = got.strip_suffix(GOING_AWAY).unwrap();
    assert!(
        frames.chunks(4).all(|frame| frame == b"\x82\x02ab"),
        "{got:?}"
    );
    busy.finish().await;
    assert!(busy.is_closed().await);
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_holds_up_no_stop() {
    let world = World::with(Extra {
        server: "drain_timeout = \"20s\"",
        ..Extra::default()
    })
    .await;
    let visitor = world.visitor().await;
    let mut events = Wire::to(world.gateway).await;
    events
        .send(visitor.request(
            "GET",
            world.gateway,
            "/events",
            &[("Accept", "text/event-stream")],
            b"",
        ))
        .await;
    assert_eq!(events.head().await.status, 200);
    let began = std::time::Instant::now();
    world.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    let end = async { while !events.bytes(1).await.is_empty() {} };
    tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .expect("an end");
}
