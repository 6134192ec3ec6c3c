//! The app behind the gateway: it records each request as it came over the
//! wire, and answers as its path asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request as the app saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and headers, byte for byte.
    pub head: Vec<u8>,
    /// The body, unchunked.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// The gateway's end of the connection it came over.
    pub connection: SocketAddr,
}

impl Seen {
    /// The head as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// The request line.
    pub fn line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// Every value of the header called `name`, its case aside.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.text()
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }

    /// The one value of the header called `name`.
    pub fn value(&self, name: &str) -> Option<String> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} stands {} times", values.len());
        values.into_iter().next()
    }
}

/// A running app.
pub struct App {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Lets `/events` and `/half` go on.
    pub go_on: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl App {
    pub async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// One at `addr`.
    pub async fn at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let go_on = Arc::new(Notify::new());
        let shared = (seen.clone(), go_on.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, go_on) = shared.clone();
                connections.spawn(async move {
                    let _ = serve(stream, seen, go_on).await;
                });
            }
        });
        Self {
            addr,
            seen,
            go_on,
            task,
        }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The latest request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the app was asked for something")
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<Seen>>>,
    go_on: Arc<Notify>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    let connection = stream.peer_addr()?;
    loop {
        let Some(head) = read_head(&mut stream, &mut buffer).await? else {
            if !buffer.is_empty() {
                // What is no request, and should not have come.
                seen.lock().unwrap().push(Seen {
                    head: buffer,
                    body: Vec::new(),
                    whole: false,
                    connection,
                });
            }
            return Ok(());
        };
        let mut request = Seen {
            head,
            body: Vec::new(),
            whole: false,
            connection,
        };
        let path = request.line().split(' ').nth(1).unwrap_or("/").to_owned();
        if !request.values("expect").is_empty() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if path.starts_with("/half") {
            // Answers while the request is still on its way.
            seen.lock().unwrap().push(request.clone());
            go_on.notified().await;
        }
        (request.body, request.whole) = read_body(&mut stream, &mut buffer, &request).await?;
        let length = request.body.len();
        seen.lock().unwrap().push(request.clone());
        let name = path.split(['?', '/']).nth(1).unwrap_or_default();
        match name {
            "events" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
                    .await?;
                go_on.notified().await;
                stream.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n").await?;
            }
            "old" => {
                stream
                    .write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
                    .await?;
                return Ok(());
            }
            "claims" => {
                stream
                    .write_all(
                        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: wxgate_shop=forged; Path=/\r\nSet-Cookie: b=2\r\n\
                          X-WeChat-OpenId: forged\r\nKeep-Alive: timeout=5\r\nX-App: yes\r\nContent-Length: 2\r\n\r\nok",
                    )
                    .await?;
            }
            "cached" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nContent-Length: 2\r\n\r\nok")
                    .await?;
            }
            "strict" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 2\r\n\r\nok")
                    .await?;
            }
            "switch" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\nsmuggled")
                    .await?;
            }
            "socket" => {
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    .await?;
                let mut bytes = [0; 1024];
                loop {
                    let count = stream.read(&mut bytes).await?;
                    if count == 0 {
                        return Ok(());
                    }
                    stream.write_all(&bytes[..count]).await?;
                }
            }
            "large" => {
                let count: usize = path.rsplit('/').next().unwrap().parse().unwrap();
                stream
                    .write_all(
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n").as_bytes(),
                    )
                    .await?;
                let chunk = vec![b'x'; 64 * 1024];
                let mut left = count;
                while left > 0 {
                    let now = left.min(chunk.len());
                    stream.write_all(&chunk[..now]).await?;
                    left -= now;
                }
            }
            _ => {
                let body = format!("app got {length}");
                let body = if request.line().starts_with("HEAD") {
                    String::new()
                } else {
                    body
                };
                let text = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
                    format!("app got {length}").len()
                );
                stream.write_all(text.as_bytes()).await?;
            }
        }
    }
}

async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Ok(Some(std::mem::replace(buffer, rest)));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &Seen,
) -> std::io::Result<(Vec<u8>, bool)> {
    let chunked = request
        .values("transfer-encoding")
        .iter()
        .any(|coding| coding.contains("chunked"));
    // A length that is none, or stands twice, is for the test to find.
    let length: usize = request
        .values("content-length")
        .first()
        .map_or(0, |length| length.parse().unwrap_or(0));
    let mut body = Vec::new();
    if !chunked {
        while buffer.len() < length {
            if stream.read_buf(buffer).await? == 0 {
                break;
            }
        }
        let whole = buffer.len() >= length;
        let rest = buffer.split_off(length.min(buffer.len()));
        return Ok((std::mem::replace(buffer, rest), whole));
    }
    loop {
        let Some(size) = read_line(stream, buffer).await? else {
            return Ok((body, false));
        };
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap_or(0);
        while buffer.len() < size + 2 {
            if stream.read_buf(buffer).await? == 0 {
                buffer.clear();
                return Ok((body, false));
            }
        }
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
        if size == 0 {
            return Ok((body, true));
        }
    }
}

async fn read_line(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line: Vec<u8> = buffer.drain(..end + 2).collect();
            return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
