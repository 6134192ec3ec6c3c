//! Pingora as a plain proxy: what wxgate costs is counted from here.
//!
//! As the gateway is served, but for what makes it a gateway: one thread with one
//! runtime, the same pool, the same limits in time for visitor and app, the same
//! allocator. As any proxy in front of an app it writes where a request comes from.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::HOST;
use parking_lot::Mutex;
use pingora::Result;
use pingora::apps::HttpServerOptions;
use pingora::http::RequestHeader;
use pingora::listeners::ListenerConfig;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents as _};
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::watch;

struct Plain {
    upstream: SocketAddr,
    scheme: &'static str,
}

#[async_trait]
impl ProxyHttp for Plain {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, downstream: &mut Session, (): &mut ()) -> Result<()> {
        if downstream.get_keepalive().is_some() {
            downstream.set_keepalive(Some(60));
        }
        let patience = if downstream.is_upgrade_req() { 300 } else { 60 };
        downstream.set_read_timeout(Some(Duration::from_secs(patience)));
        downstream.set_write_timeout(Some(Duration::from_secs(60)));
        Ok(())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.upstream, false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(5));
        peer.options.total_connection_timeout = Some(Duration::from_secs(10));
        peer.options.read_timeout = Some(Duration::from_secs(300));
        peer.options.write_timeout = Some(Duration::from_secs(60));
        peer.options.idle_timeout = Some(Duration::from_secs(50));
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        downstream: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        let address = downstream.client_addr().and_then(|addr| addr.as_inet());
        let client = address.map(|address| address.ip().to_string()).unwrap();
        let host = request.headers.get(HOST).cloned().unwrap();
        request.insert_header("X-Forwarded-For", client.clone())?;
        request.insert_header("X-Forwarded-Proto", self.scheme)?;
        request.insert_header("X-Forwarded-Host", host)?;
        request.insert_header("X-Real-IP", client)
    }
}

/// Serves until the process ends; over TLS if there are a certificate and a key.
pub async fn serve(listen: SocketAddr, upstream: SocketAddr, certificate: &[&str]) {
    let conf = ServerConf {
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    };
    let scheme = if certificate.is_empty() {
        "http"
    } else {
        "https"
    };
    let mut proxy = http_proxy(&Arc::new(conf), Plain { upstream, scheme });
    proxy.server_options = Some(HttpServerOptions::default());
    let mut service = Service::new("plain".to_owned(), proxy);
    let listener = TcpListener::bind(listen).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    println!("listening on {address}");
    let address = address.to_string();
    match certificate {
        [certificate, key] => {
            let mut settings = TlsSettings::intermediate(certificate, key).unwrap();
            settings.enable_h2();
            service.add_tls_with_settings(&address, None, settings);
        }
        _ => {
            let buffer = L4BufferSettings::default().read(0);
            service.add_listener(ListenerConfig::tcp(&address).l4_buffer(buffer));
        }
    }
    let mut fds = Fds::new();
    fds.add(address, listener.into_raw_fd());
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
