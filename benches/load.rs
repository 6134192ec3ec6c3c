//! The one tool of `benches/load/run`: an origin, Pingora as a plain proxy, and a
//! driver of requests. Built with everything else, in the profile that is shipped.
//!
//!   load origin ADDRESS
//!   load plain LISTEN UPSTREAM
//!   load drive ADDRESS TARGET COUNT CONNECTIONS [COOKIE]
//!   load pace ADDRESS TARGET RATE SECONDS CONNECTIONS [COOKIE]
//!
//! `drive` sends COUNT requests as fast as they are answered; `pace` sends RATE a
//! second, and measures each from when it was due, so that waiting for a slow
//! answer does not hide the next. Every answer must be a 200.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents as _};
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const WECHAT: &str =
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 MicroMessenger/8.0.60.2860 Language/zh_CN";
const LARGE: usize = 64 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = (arguments.iter().map(String::as_str))
        .filter(|argument| *argument != "--bench")
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.as_slice() {
        ["origin", address] => runtime.block_on(origin(address.parse().unwrap())),
        ["plain", listen, upstream] => {
            runtime.block_on(plain(listen.parse().unwrap(), upstream.parse().unwrap()));
        }
        ["drive", address, target, count, connections, cookie @ ..] => {
            let asked = Asked::new(address, target, cookie);
            runtime.block_on(drive(
                asked,
                count.parse().unwrap(),
                connections.parse().unwrap(),
            ));
        }
        [
            "pace",
            address,
            target,
            rate,
            seconds,
            connections,
            cookie @ ..,
        ] => {
            let asked = Asked::new(address, target, cookie);
            let (rate, seconds) = (rate.parse().unwrap(), seconds.parse().unwrap());
            runtime.block_on(pace(asked, rate, seconds, connections.parse().unwrap()));
        }
        // `cargo test --benches` and others ask for a list of tests: there is none.
        _ => {}
    }
}

// The origin.

async fn origin(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let small =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world"
            .to_vec();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {LARGE}\r\n\r\n");
    let large = [head.as_bytes(), &vec![b'x'; LARGE]].concat();
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Requests here have no body, and come one at a time.
        if buffer.ends_with(b"\r\n\r\n") {
            let wants_large = buffer.starts_with(b"GET /large");
            buffer.clear();
            let answer = if wants_large { &large } else { &small };
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

// Pingora, and nothing else.

struct Plain(HttpPeer);

#[async_trait]
impl ProxyHttp for Plain {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// As the gateway is served: one thread, one runtime, the same pool.
async fn plain(listen: SocketAddr, upstream: SocketAddr) {
    let conf = ServerConf {
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    };
    let peer = HttpPeer::new(upstream, false, String::new());
    let proxy = http_proxy(&Arc::new(conf), Plain(peer));
    let mut service = Service::new("plain".to_owned(), proxy);
    let listener = StdListener::bind(listen).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    println!("listening on {address}");
    service.add_tcp(&address.to_string());
    let mut fds = Fds::new();
    fds.add(address.to_string(), listener.into_raw_fd());
    let (_stop, stopped) = watch::channel(false);
    let (ready, _) = watch::channel(false);
    service
        .start_service(
            Some(Arc::new(Mutex::new(fds))),
            stopped,
            1,
            ServiceReadyNotifier::new(ready),
        )
        .await;
}

// The driver.

struct Asked {
    address: SocketAddr,
    bytes: Vec<u8>,
}

impl Asked {
    fn new(address: &str, target: &str, cookie: &[&str]) -> Arc<Self> {
        let mut text = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {WECHAT}\r\nAccept: text/html,*/*;q=0.8\r\n\
             Accept-Encoding: gzip, deflate, br\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nReferer: http://{address}/\r\n\
             Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nX-Requested-With: com.tencent.mm\r\n"
        );
        if let [cookie] = cookie {
            text.push_str(&format!(
                "Cookie: JSESSIONID=8A1B2C3D4E5F60718293A4B5C6D7E8F9; {cookie}\r\n"
            ));
        }
        text.push_str("\r\n");
        Arc::new(Self {
            address: address.parse().unwrap(),
            bytes: text.into_bytes(),
        })
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::with_capacity(LARGE + 4 * 1024),
        }
    }

    async fn ask(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(
                count > 0,
                "closed: {}",
                String::from_utf8_lossy(&self.buffer)
            );
            whole = whole.or_else(|| whole_of(&self.buffer));
        }
        assert!(
            self.buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(400)])
        );
    }
}

/// How long an answer is in all, once its header is there.
fn whole_of(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length:")?;
    let length: usize = rest.lines().next()?.trim().parse().ok()?;
    Some(end + length)
}

async fn drive(asked: Arc<Asked>, count: usize, connections: usize) {
    let left = Arc::new(AtomicUsize::new(count));
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (asked, left) = (Arc::clone(&asked), Arc::clone(&left));
            tokio::spawn(async move {
                let mut connection = Connection::to(asked.address).await;
                let one = |left: usize| left.checked_sub(1);
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one)
                    .is_ok()
                {
                    connection.ask(&asked.bytes).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!("{:.0}", count as f64 / began.elapsed().as_secs_f64());
}

async fn pace(asked: Arc<Asked>, rate: u64, seconds: u64, connections: u64) {
    let began = Instant::now() + Duration::from_millis(50);
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut connection = Connection::to(asked.address).await;
                let gap = Duration::from_secs_f64(connections as f64 / rate as f64);
                let mut due = began + gap.mul_f64(number as f64 / connections as f64);
                let mut took = Vec::new();
                while due < began + Duration::from_secs(seconds) {
                    tokio::time::sleep_until(due.into()).await;
                    connection.ask(&asked.bytes).await;
                    took.push(due.elapsed());
                    due += gap;
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    let at = |part: f64| all[((all.len() - 1) as f64 * part) as usize].as_micros();
    println!("{} {}", at(0.5), at(0.99));
}
