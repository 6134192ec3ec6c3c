//! A WeChat that answers every exchange, at once or not before it is told to:
//! the helper `play wechat`. It does nothing that the simulator does, so that
//! what is measured is the gateway.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::helper::{Helper, orders};
use crate::origin::listener;

/// A running one.
pub struct WeChat {
    pub address: SocketAddr,
    helper: Helper,
}

impl WeChat {
    pub async fn start() -> Self {
        let mut helper = Helper::start(&["wechat"]);
        let address = helper.told().await.parse().unwrap();
        Self { address, helper }
    }

    /// Answers no more until [`Self::go_on`].
    pub async fn hold(&mut self) {
        self.helper.asked("hold").await;
    }

    pub async fn go_on(&mut self) {
        self.helper.asked("go on").await;
    }

    /// How many wait for an answer.
    pub async fn waiting(&mut self) -> usize {
        self.helper.asked("waiting").await.parse().unwrap()
    }

    /// How many connections are open.
    pub async fn open(&mut self) -> usize {
        self.helper.asked("open").await.parse().unwrap()
    }
}

/// Plays it until nobody gives orders.
pub async fn play() {
    let listener = listener();
    println!("{}", listener.local_addr().unwrap());
    let (holds, held) = watch::channel(false);
    let waiting = watch::Sender::new(0_usize);
    let count = waiting.subscribe();
    let open = watch::Sender::new(0_usize);
    let opened = open.subscribe();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (held, waiting, open) = (held.clone(), waiting.clone(), open.clone());
            tokio::spawn(async move {
                open.send_modify(|count| *count += 1);
                answer(stream, held, waiting).await;
                open.send_modify(|count| *count -= 1);
            });
        }
    });
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            "hold" => holds.send_replace(true),
            "go on" => holds.send_replace(false),
            _ => *holds.borrow(),
        };
        let asked = if order == "open" { &opened } else { &count };
        println!("{}", *asked.borrow());
    }
}

async fn answer(
    mut stream: TcpStream,
    mut held: watch::Receiver<bool>,
    waiting: watch::Sender<usize>,
) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let text = String::from_utf8_lossy(&buffer);
        let code = text
            .split_once("&code=")
            .and_then(|(_, rest)| rest.split('&').next())
            .unwrap();
        let body = format!(
            "{{\"access_token\":\"A{code}\",\"expires_in\":7200,\"refresh_token\":\"R{code}\",\"openid\":\"o{code}\",\"scope\":\"snsapi_base\"}}"
        );
        waiting.send_modify(|count| *count += 1);
        let goes_on = held.wait_for(|held| !held).await.is_ok();
        waiting.send_modify(|count| *count -= 1);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain";
        let text = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if !goes_on || stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}
