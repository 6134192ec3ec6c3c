//! The app: it answers at once, and echoes what comes over a WebSocket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A running app; ends with its handle.
pub struct Origin {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    pub fn start() -> Self {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                tokio::spawn(answer(stream));
            }
        });
        Self { address, task }
    }
}

/// A listener on a free port that takes thousands at once.
pub fn listener() -> tokio::net::TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(4096).unwrap()
}

async fn answer(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(2 * 1024);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Requests here have no body, and come one at a time.
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        let opens_socket = buffer.starts_with(b"GET /socket");
        buffer.clear();
        let answer = if opens_socket { SWITCH } else { ANSWER };
        if stream.write_all(answer).await.is_err() {
            return;
        }
        if opens_socket {
            return echo(stream).await;
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 256];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
