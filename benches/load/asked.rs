//! What is asked: a page as WeChat's browser asks for it, and what must come back.

use std::sync::Arc;

use crate::wire::Place;

/// A small answer.
pub const SMALL: &str = "hello, world";
/// The length of a large answer.
pub const LARGE: usize = 64 * 1024;
/// What a message on a WebSocket says.
pub const MESSAGE: [u8; 64] = [b'm'; 64];

const WECHAT: &str =
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 MicroMessenger/8.0.60.2860 Language/zh_CN";

/// In which way it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Keep,
    New,
    Socket,
    Visit,
}

impl Way {
    pub fn named(name: &str) -> Self {
        match name {
            "keep" => Self::Keep,
            "new" => Self::New,
            "socket" => Self::Socket,
            "visit" => Self::Visit,
            _ => panic!("no way to ask: {name}"),
        }
    }

    /// The status that must be answered.
    pub fn status(self) -> u16 {
        match self {
            Self::Keep | Self::New => 200,
            Self::Socket => 101,
            Self::Visit => 302,
        }
    }

    /// The fields that only this way has.
    fn fields(self, origin: &str) -> String {
        let page = "Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n";
        match self {
            Self::Keep | Self::Visit => page.to_owned(),
            Self::New => format!("{page}Connection: close\r\n"),
            Self::Socket => format!(
                "Sec-Fetch-Dest: websocket\r\nSec-Fetch-Mode: websocket\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            ),
        }
    }
}

/// One request, which is sent again and again.
pub struct Asked {
    pub way: Way,
    pub place: Place,
    pub bytes: Vec<u8>,
}

impl Asked {
    pub fn new(way: Way, place: Place, target: &str, cookie: &str) -> Arc<Self> {
        Arc::new(Self {
            bytes: request(way, &place.origin(), target, cookie),
            way,
            place,
        })
    }
}

/// The bytes of a request. `origin` is a scheme and a host.
pub fn request(way: Way, origin: &str, target: &str, cookie: &str) -> Vec<u8> {
    let (_, host) = origin.split_once("://").unwrap();
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {WECHAT}\r\nAccept: text/html,*/*;q=0.8\r\n\
         Accept-Encoding: gzip, deflate, br\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nReferer: {origin}/\r\n\
         Sec-Fetch-Site: same-origin\r\nX-Requested-With: com.tencent.mm\r\n{}",
        way.fields(origin)
    );
    if !cookie.is_empty() {
        text.push_str(&format!("Cookie: {cookie}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
