//! Connections that end under a request: what is sent again, and what never is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{open_route, peers};
use crate::client::{Answer, Wire};
use crate::world::{Extra, World};

/// An app whose every connection serves one request well, and on the second writes
/// `parting` and ends.
struct Fickle {
    addr: SocketAddr,
    /// The request lines, as they came.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fickle {
    async fn start(parting: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fickle = Self {
            addr: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let asked = fickle.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, asked.clone(), parting));
            }
        });
        fickle
    }

    /// How often `line` came.
    fn count(&self, line: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.starts_with(line)).count()
    }
}

async fn serve(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, parting: &str) -> Option<()> {
    for served in 0..2 {
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.ok()? == 0 {
                return None;
            }
        }
        let text = String::from_utf8(request).unwrap();
        asked.lock().unwrap().push(text.lines().next()?.to_owned());
        if served == 1 {
            stream.write_all(parting.as_bytes()).await.ok()?;
            stream.shutdown().await.ok()?;
            return None;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await
            .ok()?;
    }
    None
}

/// A world whose gateway has one connection to `app` that has served.
async fn world(app: &Fickle) -> (World, Wire) {
    let world = World::with(Extra {
        // Each thread keeps its own connections.
        server: "threads = 1",
        tables: &open_route("/app", &peers(&[app.addr])),
        ..Extra::default()
    })
    .await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(request(&world, "GET /app/first", "")).await;
    assert_eq!(wire.answer(false).await.status, 200);
    // When this is answered, the connection of the last request is free again.
    wire.send(request(&world, "GET /.wxgate/me", "")).await;
    wire.answer(false).await;
    (world, wire)
}

fn request(world: &World, line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", world.gateway)
}

/// The answer to a request over the connection that ends with `parting`, and how
/// often the app got it.
async fn meets(parting: &'static str, line: &str, fields: &str) -> (Answer, usize) {
    let app = Fickle::start(parting).await;
    let (world, mut wire) = world(&app).await;
    wire.send(request(&world, line, fields)).await;
    let mut answer = wire.answer(line.starts_with("HEAD")).await;
    while (100..200).contains(&answer.status) {
        answer = wire.answer(false).await;
    }
    (answer, app.count(line))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_safe_to_repeat_is_sent_again_on_a_connection_of_its_own() {
    for line in [
        "GET /app/x",
        "HEAD /app/x",
        "OPTIONS /app/x",
        "DELETE /app/x",
    ] {
        let (answer, count) = meets("", line, "").await;
        assert_eq!((answer.status, count), (200, 2), "{line}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_never_sent_again() {
    for (line, fields) in [
        ("POST /app/x", "Content-Length: 0\r\n"),
        ("POST /app/x", "Content-Length: 3\r\n\r\nabc"),
        ("PATCH /app/x", "Content-Length: 0\r\n"),
        ("BUY /app/x", ""),
        // Safe by its name, and with a body that may be gone.
        ("PUT /app/x", "Content-Length: 3\r\n\r\nabc"),
        ("GET /app/x", "Content-Length: 3\r\n\r\nabc"),
    ] {
        let fields = match fields.strip_suffix("\r\n\r\nabc") {
            Some(length) => (format!("{length}\r\n"), "abc"),
            None => (fields.to_owned(), ""),
        };
        let app = Fickle::start("").await;
        let (world, mut wire) = world(&app).await;
        wire.send(request(&world, line, &fields.0) + fields.1).await;
        let answer = wire.answer(false).await;
        assert_eq!(
            (answer.status, app.count(line)),
            (502, 1),
            "{line}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_began_is_not_asked_for_again() {
    for (parting, status) in [
        ("HTTP/1.1 2", 502),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 200),
    ] {
        let (answer, count) = meets(parting, "GET /app/x", "").await;
        assert_eq!((answer.status, count), (status, 1), "{parting}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_that_breaks_off_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let other = Fickle::start("").await;
    // Nor at another peer: it may be what the app dies of.
    let world = World::with_tables(&open_route("/app", &peers(&[addr, other.addr]))).await;
    let mut wire = Wire::to(world.gateway).await;
    wire.send(request(&world, "GET /app/x", "")).await;
    assert_eq!(wire.answer(false).await.status, 502);
    assert_eq!((*count.lock().unwrap(), other.count("GET")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_meets_no_second_closing_connection() {
    let app = Fickle::start("").await;
    let (world, mut wire) = world(&app).await;
    // Two requests at one time leave two connections that have served. The one
    // that served before ends under one of them.
    let mut wires = [Wire::to(world.gateway).await, Wire::to(world.gateway).await];
    for other in &mut wires {
        other.send(request(&world, "GET /app/both", "")).await;
    }
    for other in &mut wires {
        assert_eq!(other.answer(false).await.status, 200);
        other.send(request(&world, "GET /.wxgate/me", "")).await;
        other.answer(false).await;
    }
    wire.send(request(&world, "GET /app/x", "")).await;
    let answer = wire.answer(false).await;
    assert_eq!((answer.status, app.count("GET /app/x")), (200, 2));
}
