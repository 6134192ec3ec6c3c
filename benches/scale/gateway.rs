//! The gateway: the program that is shipped, in a process of its own, on one
//! thread.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wxgate::secret::Secret;
use wxgate::signing::{Keyring, generate_key};

use crate::measure;
use crate::process::{Process, free_address};
use crate::visitors::Visitors;

pub const APP_ID: &str = "wx5150a7c0ffee0001";
/// The domain whose hosts share sessions: routes may be many hosts'.
pub const DOMAIN: &str = "example.com";
/// Where visitors log in.
pub const HOST: &str = "shop.example.com";
/// How long a start may take before it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a gateway is to be.
pub struct Wanted<'a> {
    pub app: SocketAddr,
    /// Where WeChat is; nobody logs in without it.
    pub wechat: Option<SocketAddr>,
    /// More tables of the configuration, `[store]` for one.
    pub tables: &'a str,
}

/// A running gateway; ends with its handle.
pub struct Gateway {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    process: Process,
    /// From the start of its process to its first answer to a visitor.
    pub started_in: Duration,
}

/// Makes the key that all gateways of `dir` share: its visitors.
pub fn visitors(dir: &Path) -> Visitors {
    let key = generate_key().unwrap();
    std::fs::write(dir.join("key"), key.expose()).unwrap();
    std::fs::write(dir.join("app_secret"), "0123456789abcdef").unwrap();
    Visitors::new(keys(dir))
}

fn keys(dir: &Path) -> Keyring {
    let key = std::fs::read_to_string(dir.join("key")).unwrap();
    Keyring::new(&[Secret::new(key)]).unwrap()
}

impl Gateway {
    /// Starts one whose key and state are in `dir`, and waits until it lets a
    /// visitor in.
    pub async fn start(dir: &Path, visitors: &Visitors, wanted: &Wanted<'_>) -> Self {
        let (address, admin) = (free_address(), free_address());
        let config = dir.join(format!("{}.toml", address.port()));
        std::fs::write(&config, text(address, admin, wanted)).unwrap();
        let question = visitors.request(0, HOST, "/");
        let began = Instant::now();
        let process = Process::start(&["run", "--config", config.to_str().unwrap()]);
        while !lets_in(address, &question).await {
            assert!(began.elapsed() < PATIENCE, "{}", process.written());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self {
            started_in: began.elapsed(),
            address,
            admin,
            process,
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of memory that it holds.
    pub fn resident(&self) -> f64 {
        measure::resident(self.id())
    }

    /// Seconds of the processors that it has used.
    pub fn cpu(&self) -> f64 {
        measure::cpu(self.id())
    }
}

/// An operator's order to end the sessions of `openid`.
pub fn revocation(dir: &Path, openid: &str) -> Vec<u8> {
    let word = keys(dir).admin_word();
    let order = format!("{{\"openid\":\"{openid}\"}}");
    format!(
        "POST /sessions/revoke HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
        word.expose(),
        order.len()
    )
    .into_bytes()
}

async fn lets_in(address: SocketAddr, question: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return false;
    };
    let mut answer = [0; 12];
    let asked = async {
        stream.write_all(question).await?;
        stream.read_exact(&mut answer).await
    };
    asked.await.is_ok() && answer.ends_with(b" 200")
}

fn text(address: SocketAddr, admin: SocketAddr, wanted: &Wanted<'_>) -> String {
    let Wanted {
        app,
        wechat,
        tables,
    } = wanted;
    let wechat = wechat.map_or_else(String::new, |wechat| {
        format!("open_base_url = \"http://{wechat}\"\napi_base_url = \"http://{wechat}\"\n")
    });
    format!(
        r#"
[server]
listen = ["{address}"]
admin_listen = "{admin}"
public_scheme = "http"
threads = 1
state_dir = "state"

[session]
keys = [{{ file = "key" }}]
cookie_domain = "{DOMAIN}"

[limits]
connections = 25000
logins_per_minute = 1000000
wechat_timeout = "5m"

[log]
level = "warn"

[accounts.shop]
app_id = "{APP_ID}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://{HOST}"
sandbox = true
{wechat}
[[routes]]
host = "{HOST}"
upstream = "http://{app}"
account = "shop"
{tables}"#
    )
}
