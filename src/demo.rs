//! `wxgate demo`: a WeChat simulator, a small legacy shop and the gateway
//! between them, on loopback.
//!
//! Holds always: the gateway is the real one, configured by a real
//! `gateway.toml`; the shop knows nothing of WeChat; what the demo writes to
//! disk is gone when it ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use tempfile::TempDir;
use thiserror::Error;

use crate::config::{Mistakes, Plan};
use crate::server::{self, Running, StartError};
use crate::signing::generate_key;
use crate::simulator::{Settings, Shop, SimAccount, Simulator};

/// The demo's address, if it is free.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Why the demo does not start.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Every address at once is none that a browser can be sent to.
    #[error(
        "{0} is no address that a browser can open; give one of this machine's, such as 127.0.0.1:8080"
    )]
    Unspecified(SocketAddr),
    /// A socket or file.
    #[error("the demo cannot start: {0}")]
    Io(#[from] io::Error),
    /// The demo's own configuration.
    #[error("the demo's gateway.toml is wrong:\n{0}")]
    Config(#[from] Mistakes),
    /// The gateway.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A demo that serves.
pub struct Demo {
    gateway: Running,
    simulator: Simulator,
    shop: Shop,
    address: SocketAddr,
    _files: TempDir,
}

/// The demo's account: sandbox, for it runs on http and a port.
fn account(address: SocketAddr) -> SimAccount {
    SimAccount {
        callback_hosts: vec![address.to_string()],
        ..SimAccount::default()
    }
}

fn gateway_toml(address: SocketAddr, simulator: &Simulator, shop: &Shop, app_id: &str) -> String {
    let wechat = simulator.base_url();
    format!(
        r#"[server]
listen = ["{address}"]
public_scheme = "http"

[session]
keys = [{{ file = "session.key" }}]

[accounts.shop]
app_id = "{app_id}"
app_secret = {{ file = "app_secret" }}
callback_origin = "http://{address}"
sandbox = true
open_base_url = "{wechat}"
api_base_url = "{wechat}"

[[routes]]
host = "{host}"
path = "/"
upstream = "http://{shop}"
account = "shop"
outside_wechat = "redirect"

[[routes]]
host = "{host}"
path = "/pay/notify"
upstream = "http://{shop}"
auth = "none"
"#,
        // An IPv6 address stands in brackets wherever a host does.
        host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        },
        shop = shop.addr(),
    )
}

async fn free_port() -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// Writes a file that only its owner reads: the directory is the owner's.
fn write(dir: &Path, name: &str, content: &str) -> io::Result<()> {
    std::fs::write(dir.join(name), content)
}

/// Starts the demo at `address`, or where that is taken and `or_any` is set, at
/// a free port.
///
/// # Errors
/// See [`DemoError`].
pub async fn start(address: SocketAddr, or_any: bool) -> Result<Demo, DemoError> {
    if address.ip().is_unspecified() {
        return Err(DemoError::Unspecified(address));
    }
    let listener = match TcpListener::bind(address) {
        Err(error) if or_any && error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((address.ip(), 0))?
        }
        bound => bound?,
    };
    let address = listener.local_addr()?;
    let account = account(address);
    let files = tempfile::Builder::new().prefix("wxgate-demo-").tempdir()?;
    write(files.path(), "app_secret", &account.app_secret)?;
    write(
        files.path(),
        "session.key",
        generate_key().map_err(io::Error::other)?.expose(),
    )?;
    let app_id = account.app_id.clone();
    let simulator = Simulator::start(free_port().await?, Settings::new(vec![account])).await?;
    let shop = Shop::start(free_port().await?).await?;
    let text = gateway_toml(address, &simulator, &shop, &app_id);
    let plan = Plan::parse(&files.path().join("gateway.toml"), &text)?;
    let gateway = server::start_on(plan, vec![listener]).await?;
    Ok(Demo {
        gateway,
        simulator,
        shop,
        address,
        _files: files,
    })
}

impl Demo {
    /// What a newcomer needs to know, for the terminal.
    pub fn welcome(&self) -> String {
        format!(
            "\n  The shop behind wxgate:   http://{}/\n  \
               What WeChat did:          {}/simulator/\n\n  \
               Open the first address in any browser and choose who is visiting; the log below shows each step.\n  \
               Ctrl-C ends the demo.\n",
            self.address,
            self.simulator.base_url(),
        )
    }

    /// Ends the demo.
    pub async fn stop(self) {
        self.gateway.stop().await;
        self.simulator.stop().await;
        self.shop.stop().await;
    }
}
