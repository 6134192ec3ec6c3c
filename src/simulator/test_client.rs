//! A client that sends and reads raw bytes, for client libraries tidy both.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back, as far as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
    pub(super) raw: Vec<u8>,
    /// How the connection ended: `None` for a plain close.
    pub(super) broken: Option<std::io::ErrorKind>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(its, value)| its.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The body's length as promised.
    pub(super) fn promised(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }

    pub(super) fn body_bytes(&self) -> &[u8] {
        &self.raw[self.head.len()..]
    }
}

/// One request on its own connection.
pub(super) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        let broken = stream.read_to_end(&mut raw).await.err();
        (raw, broken.map(|error| error.kind()))
    };
    let (raw, broken) = tokio::time::timeout(Duration::from_secs(20), exchange)
        .await
        .expect("an answer in time");
    let end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = raw.split_at(end.map_or(0, |end| end + 4));
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split(' ').nth(1).map_or(0, |s| s.parse().unwrap());
    Answer {
        status,
        body: String::from_utf8_lossy(body).into_owned(),
        head,
        broken,
        raw,
    }
}
