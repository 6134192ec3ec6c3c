//! Visitors: their cookies, made here with the gateway's own key, and what they
//! ask.
//!
//! Holds always: every answer is read whole, and is what it has to be, or the
//! benchmark fails.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval};
use wxgate::signing::{Keyring, Purpose};
use wxgate::wechat::Scope;

use crate::gateway::{APP_ID, DOMAIN, HOST};

const WECHAT: &str =
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 MicroMessenger/8.0.60.2860 Language/zh_CN";
/// How many connections come from one address.
const FROM_ONE: usize = 500;

/// Makes the session cookies of as many visitors as one likes.
pub struct Visitors(Keyring);

impl Visitors {
    /// Visitors of gateways that have this key.
    pub fn new(keys: Keyring) -> Self {
        Self(keys)
    }

    /// The session cookie of visitor `number`.
    ///
    /// The payload is spelled out, for a session is made of a grant, and a grant
    /// of WeChat's answer.
    pub fn cookie(&self, number: usize) -> String {
        let nobody: Option<&str> = None;
        let openid = openid(number);
        let (at, until) = (now(), now() + 7 * 24 * 3600);
        let wire = (
            (id(number), DOMAIN, APP_ID, openid.as_str()),
            (nobody, nobody, nobody, Scope::Base),
            (at, at, until),
            (0_u64, at, false),
        );
        let payload = postcard::to_stdvec(&wire).unwrap();
        let token = self.0.seal(Purpose::Session, &payload);
        format!("wxgate_shop={token}")
    }

    /// What visitor `number` asks of a page at `host`.
    pub fn request(&self, number: usize, host: &str, target: &str) -> Vec<u8> {
        request(host, target, &self.cookie(number), "")
    }
}

/// The openid of visitor `number`.
pub fn openid(number: usize) -> String {
    format!("oVisitor{number:020}")
}

/// The id of their session.
pub fn id(number: usize) -> [u8; 16] {
    // Spread over all numbers, as random ones are.
    let spread = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    spread.to_be_bytes()
}

pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A page as WeChat's browser asks for it.
pub fn request(host: &str, target: &str, cookie: &str, more: &str) -> Vec<u8> {
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("Cookie: {cookie}\r\n"),
    };
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {WECHAT}\r\nAccept: text/html,*/*;q=0.8\r\n\
         Accept-Encoding: gzip, deflate, br\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n\
         Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n{more}{cookie}\r\n"
    )
    .into_bytes()
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Self {
        Self::from(0, address).await
    }

    /// Connection `number` of many: no address has more than its share of them.
    pub async fn from(number: usize, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        let place = u8::try_from(number / FROM_ONE).unwrap();
        let from = Ipv4Addr::new(127, 0, 1, 1 + place);
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends `bytes` and reads the whole answer: its status.
    pub async fn ask(&mut self, bytes: &[u8]) -> u16 {
        self.stream.write_all(bytes).await.unwrap();
        self.answer().await
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads an answer: its status.
    pub async fn answer(&mut self) -> u16 {
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(count > 0, "closed behind {:?}", self.text());
            whole = whole.or_else(|| whole_of(&self.buffer));
        }
        let status = self.buffer.get(9..12).unwrap_or_default();
        std::str::from_utf8(status).unwrap().parse().unwrap()
    }

    /// Asks for a page that has to come.
    pub async fn page(&mut self, bytes: &[u8]) {
        let status = self.ask(bytes).await;
        assert_eq!(status, 200, "{}", self.text());
    }

    /// The last answer.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// Gives back what an idle client need not keep.
    pub fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    /// Sends bytes over a WebSocket and waits until they come back.
    pub async fn echo(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        let mut back = vec![0; bytes.len()];
        self.stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, bytes);
    }
}

/// How long an answer is in all, once its header is there.
fn whole_of(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length = head
        .split_once("content-length:")
        .and_then(|(_, rest)| rest.lines().next())
        .map_or(0, |length| length.trim().parse().unwrap());
    Some(end + length)
}

/// Asks for `count` pages as fast as they come, over so many connections, in
/// turns to each of `addresses`; `request` makes the one of a number. Says how
/// long it took.
pub async fn drive(
    addresses: &[SocketAddr],
    count: usize,
    connections: usize,
    request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> Duration {
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let began = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for at in 0..connections {
        let address = addresses[at % addresses.len()];
        let (next, request) = (Arc::clone(&next), Arc::clone(&request));
        all.spawn(async move {
            let mut connection = Connection::to(address).await;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                connection.page(&request(number)).await;
            }
        });
    }
    all.join_all().await;
    began.elapsed()
}

/// Visitors who ask at a fixed rate until they are told that it is over. The
/// time is measured from when a request was due, so that waiting for a slow
/// answer does not hide the next ones.
pub struct Steady {
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Steady {
    /// So many, of whom each asks with this pause.
    pub fn start(address: SocketAddr, requests: Vec<Vec<u8>>, pause: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let count = u32::try_from(requests.len()).unwrap();
        let tasks = (0..count)
            .zip(requests)
            .map(|(at, request)| {
                let over = Arc::clone(&over);
                tokio::spawn(async move {
                    let mut connection = Connection::to(address).await;
                    tokio::time::sleep(pause * at / count).await;
                    let mut due = interval(pause);
                    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
                    let mut times = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let began = due.tick().await;
                        connection.page(&request).await;
                        times.push(began.elapsed());
                    }
                    times
                })
            })
            .collect();
        Self { over, tasks }
    }

    /// How long their requests took.
    pub async fn end(self) -> Vec<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await.unwrap());
        }
        all
    }
}

/// A login up to WeChat, over a connection: what its callback will be.
pub async fn begin_login(connection: &mut Connection, number: usize) -> Vec<u8> {
    let status = connection.ask(&request(HOST, "/", "", "")).await;
    let text = connection.text();
    assert_eq!(status, 302, "{text}");
    let state = text
        .split_once("&state=")
        .and_then(|(_, rest)| rest.split(['&', '#', '\r']).next())
        .unwrap();
    let cookies: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .filter_map(|(_, value)| value.split(';').next())
        .collect();
    let target = format!("/.wxgate/callback?code={number:032}&state={state}");
    request(HOST, &target, &cookies.join("; "), "")
}

/// Whether the answer to a callback lets the visitor in.
pub fn is_logged_in(status: u16, text: &str) -> bool {
    status == 302
        && text
            .to_ascii_lowercase()
            .contains("set-cookie: wxgate_shop=")
}
