//! The app behind every proxy: small and large answers, and an echo on WebSockets.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::asked::{LARGE, SMALL};

pub async fn serve(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let whole = |body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let (small, large) = (whole(SMALL), whole(&"x".repeat(LARGE)));
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Requests here have no body, and come one at a time.
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        let line = buffer.split(|byte| *byte == b'\r').next().unwrap();
        if line.ends_with(b"/socket HTTP/1.1") {
            return echo(stream, &buffer).await;
        }
        let answer = if line.ends_with(b"/large HTTP/1.1") {
            &large
        } else {
            &small
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        buffer.clear();
    }
}

/// Opens a WebSocket (RFC 6455) and sends each message back.
async fn echo(mut stream: TcpStream, request: &[u8]) {
    let head = String::from_utf8_lossy(request);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.eq_ignore_ascii_case("sec-websocket-key")).then(|| value.trim().to_owned())
    });
    let proof = key.unwrap() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let proof = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes()));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {proof}\r\n\r\n"
    );
    let mut out = answer.into_bytes();
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        if stream.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Messages here are short: their length stands in one byte.
        while let [kind, length, rest @ ..] = buffer.as_slice() {
            let length = usize::from(length & 0x7f);
            let Some((mask, rest)) = rest.split_at_checked(4) else {
                break;
            };
            if rest.len() < length {
                break;
            }
            out.extend([*kind, length as u8]);
            out.extend(
                rest[..length]
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(a, b)| a ^ b),
            );
            buffer.drain(..2 + 4 + length);
        }
    }
}
