//! Visitors who never pause, and who count what they lose.
//!
//! Lost is every request that was sent and not answered as it should be, whether
//! it was refused, cut off or answered otherwise.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::client::{Browser, DESKTOP, WECHAT, Wire};
use crate::issued::{client, connect, shown};

/// A close frame, 1001: going away.
pub const GOING_AWAY: &[u8] = &[0x88, 2, 0x03, 0xe9];
/// What asks for a WebSocket.
pub const SOCKET: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
];
/// Between two requests of one visitor: a moment for everybody else.
const PAUSE: Duration = Duration::from_millis(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// What all of them share.
#[derive(Clone)]
struct Shared {
    plain: SocketAddr,
    tls: SocketAddr,
    enough: Arc<AtomicBool>,
    lost: Arc<Mutex<Vec<String>>>,
    served: Arc<[AtomicUsize; 6]>,
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

/// All of them.
pub struct Load {
    shared: Shared,
    visitors: JoinSet<()>,
}

/// What became of their requests.
#[derive(Debug)]
pub struct Count {
    /// On connections that are kept, on new ones, over TLS, with a body, whole
    /// logins, messages on WebSockets.
    pub served: [usize; 6],
    pub lost: Vec<String>,
    /// The certificates that were shown, each once, in their order.
    pub shown: Vec<CertificateDer<'static>>,
}

impl Load {
    /// They come to `plain`, with the session of `visitor`, and to `tls`.
    pub fn start(plain: SocketAddr, tls: SocketAddr, visitor: &Browser) -> Self {
        let shared = Shared {
            plain,
            tls,
            enough: Arc::default(),
            lost: Arc::default(),
            served: Arc::default(),
            shown: Arc::default(),
        };
        let mut visitors = JoinSet::new();
        for _ in 0..2 {
            visitors.spawn(shared.clone().kept(visitor.clone()));
            visitors.spawn(shared.clone().fresh());
        }
        visitors.spawn(shared.clone().secured());
        visitors.spawn(shared.clone().posting(visitor.clone()));
        visitors.spawn(shared.clone().logging_in());
        visitors.spawn(shared.clone().talking(visitor.clone()));
        Self { shared, visitors }
    }

    /// Waits until every kind of request was answered a few times more.
    pub async fn some_more(&self) {
        let served = |at: usize| self.shared.served[at].load(Ordering::Relaxed);
        let before: Vec<_> = (0..6).map(served).collect();
        let more = async {
            while (0..6).any(|at| served(at) < before[at] + 3) {
                assert!(
                    self.shared.lost.lock().unwrap().is_empty(),
                    "{:?}",
                    self.shared.lost
                );
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE * 3, more)
            .await
            .unwrap_or_else(|_| panic!("{:?}", self.shared.served));
    }

    /// Whether the latest certificate is `der`.
    pub fn is_shown(&self, der: &CertificateDer<'static>) -> bool {
        self.shared.shown.lock().unwrap().last() == Some(der)
    }

    /// Lets them finish, and counts.
    pub async fn stop(self) -> Count {
        self.shared.enough.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE * 3, self.visitors.join_all())
            .await
            .expect("visitors who finish");
        Count {
            served: std::array::from_fn(|at| self.shared.served[at].load(Ordering::Relaxed)),
            lost: std::mem::take(&mut self.shared.lost.lock().unwrap()),
            shown: std::mem::take(&mut self.shared.shown.lock().unwrap()),
        }
    }
}

impl Shared {
    async fn goes_on(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        !self.enough.load(Ordering::Relaxed)
    }

    /// Counts one of the kind `at`, which is as it should be, or what it was.
    fn count(&self, at: usize, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.served[at].fetch_add(1, Ordering::Relaxed);
            }
            Err(what) => self.lost.lock().unwrap().push(format!("{at}: {what}")),
        }
    }

    /// Asks again and again on a connection, until an answer says that it was the
    /// last there.
    async fn again_and_again(&self, at: usize, request: &[u8], body: &str) {
        while self.goes_on().await {
            let Some(mut wire) = Wire::try_to(self.plain).await else {
                self.count(at, Err("refused".to_owned()));
                continue;
            };
            loop {
                wire.send(request).await;
                let answer = wire.answer(false).await;
                let fits = answer.status == 200 && answer.text() == body;
                self.count(at, fits.then_some(()).ok_or_else(|| format!("{answer:?}")));
                let last = answer.value("connection") == Some("close");
                if !fits || last || !self.goes_on().await {
                    break;
                }
            }
        }
    }

    async fn kept(self, visitor: Browser) {
        let request = visitor.request("GET", self.plain, "/page", &[], b"");
        self.again_and_again(0, &request, "app got 0").await;
    }

    async fn fresh(self) {
        let request = format!(
            "GET /pay/notify HTTP/1.1\r\nHost: {}\r\nUser-Agent: {DESKTOP}\r\nConnection: close\r\n\r\n",
            self.plain
        );
        self.again_and_again(1, request.as_bytes(), "app got 0")
            .await;
    }

    async fn posting(self, visitor: Browser) {
        let body = "x".repeat(20_000);
        let request = visitor.request("POST", self.plain, "/form", &[], body.as_bytes());
        self.again_and_again(3, &request, "app got 20000").await;
    }

    /// Notes which certificate was shown.
    fn note(&self, der: CertificateDer<'static>) {
        let mut all = self.shown.lock().unwrap();
        if all.last() != Some(&der) {
            all.push(der);
        }
    }

    async fn secured(self) {
        let config = client(&["http/1.1"], rustls::DEFAULT_VERSIONS);
        let request = format!(
            "GET /pay/notify HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.plain
        );
        while self.goes_on().await {
            let ask = async {
                let mut stream = connect(self.tls, "127.0.0.1", &config).await?;
                self.note(shown(&stream));
                stream.write_all(request.as_bytes()).await?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await?;
                Ok::<_, std::io::Error>(answer)
            };
            let answer = tokio::time::timeout(PATIENCE, Box::pin(ask)).await.unwrap();
            let result = match answer {
                Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => Ok(()),
                other => Err(format!("{other:?}")),
            };
            self.count(2, result);
        }
    }

    async fn logging_in(self) {
        while self.goes_on().await {
            let mut browser = Browser::new(WECHAT);
            let (answer, trail) = browser.visit(self.plain, "/cart?x=1").await;
            let fits = answer.status == 200;
            let what = || format!("{answer:?} after {trail:?}");
            self.count(4, fits.then_some(()).ok_or_else(what));
        }
    }

    /// Says something on a WebSocket and hears it, until it is told to go.
    async fn talking(self, visitor: Browser) {
        let request = visitor.request("GET", self.plain, "/socket", &SOCKET, b"");
        while self.goes_on().await {
            let Some(mut wire) = Wire::try_to(self.plain).await else {
                self.count(5, Err("refused".to_owned()));
                continue;
            };
            wire.send(&request).await;
            let answer = wire.answer(false).await;
            if answer.status != 101 {
                self.count(5, Err(format!("{answer:?}")));
                continue;
            }
            while self.goes_on().await {
                wire.send(b"\x82\x02hi").await;
                let heard = wire.bytes(4).await;
                if heard == GOING_AWAY {
                    break;
                }
                let fits = heard == b"\x82\x02hi";
                self.count(5, fits.then_some(()).ok_or_else(|| format!("{heard:?}")));
                if !fits {
                    break;
                }
            }
            wire.finish().await;
        }
    }
}
