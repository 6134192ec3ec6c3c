//! Clients: one that sends bytes as they are written here, and one that keeps
//! cookies and follows redirects as a browser does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// WeChat's browser.
pub const WECHAT: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.60 Language/zh_CN";
/// WeCom's browser, which says that it is WeChat's too.
pub const WECOM: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 wxwork/4.1.36 MicroMessenger/7.0.1 Language/zh";
/// Any other.
pub const DESKTOP: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36";
/// What a browser accepts when it opens a page.
pub const PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the far end closed the connection behind it.
    pub closed: bool,
}

impl Answer {
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    pub fn location(&self) -> &str {
        self.value("location")
            .unwrap_or_else(|| panic!("no redirect but {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Everything that came, for searching.
    pub fn everything(&self) -> String {
        format!("{:?}\n{}", self.headers, self.text())
    }
}

/// One connection. What is sent is what is written.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub async fn to(addr: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(addr).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    /// The same where nobody may listen.
    pub async fn try_to(addr: SocketAddr) -> Option<Self> {
        Some(Self {
            stream: TcpStream::connect(addr).await.ok()?,
            buffer: Vec::new(),
        })
    }

    /// The same from another address of this machine.
    pub async fn from(address: IpAddr, addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address, 0)).unwrap();
        Self {
            stream: socket.connect(addr).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway that has refused already may have closed.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends `bytes`; false when the far end takes none any more. A closed end
    /// shows only in what it sends back, so that is looked at too.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        let mut byte = [0; 1];
        let open = match self.stream.try_read(&mut byte) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        };
        open && self.stream.write_all(bytes).await.is_ok()
    }

    /// Ends the sending half.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer, interim ones included. `head` tells that it has no body.
    pub async fn answer(&mut self, head: bool) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer(head))
            .await
            .expect("an answer in time")
    }

    /// Bytes that came behind an answer, at least `count` of them.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let read = async {
            while self.buffer.len() < count && self.more().await {}
            self.buffer.drain(..count.min(self.buffer.len())).collect()
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("bytes in time")
    }

    /// Whether the far end closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        let read = async { self.buffer.is_empty() && !self.more().await };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or(false)
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(count) if count > 0)
    }

    /// The head of the next answer alone.
    pub async fn head(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_head())
            .await
            .expect("a head in time")
    }

    async fn read_head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break end;
            }
            if !self.more().await {
                return Answer {
                    closed: true,
                    ..Answer::default()
                };
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        Answer {
            status: status.unwrap_or(0),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            ..Answer::default()
        }
    }

    async fn read_answer(&mut self, head: bool) -> Answer {
        let mut answer = self.read_head().await;
        let no_body = head || answer.status < 200 || answer.status == 204 || answer.status == 304;
        if no_body {
            return answer;
        }
        if answer
            .value("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
        {
            answer.body = self.chunks().await;
        } else if let Some(length) = answer
            .value("content-length")
            .and_then(|length| length.parse().ok())
        {
            while self.buffer.len() < length && self.more().await {}
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while self.more().await {}
            answer.body = std::mem::take(&mut self.buffer);
            answer.closed = true;
        }
        answer
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                if !self.more().await {
                    return body;
                }
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let size =
                usize::from_str_radix(String::from_utf8_lossy(&line[..end]).trim(), 16).unwrap();
            while self.buffer.len() < size + 2 && self.more().await {}
            body.extend(self.buffer.drain(..size.min(self.buffer.len())));
            self.buffer.drain(..2.min(self.buffer.len()));
            if size == 0 {
                return body;
            }
        }
    }
}

/// Sends `bytes` on a new connection and reads one answer.
pub async fn send(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    let mut wire = Wire::to(addr).await;
    let head = bytes.as_ref().starts_with(b"HEAD ");
    wire.send(bytes).await;
    wire.answer(head).await
}

/// A cookie in a jar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    pub path: String,
}

/// A browser: an agent, cookies, and eyes for redirects. All hosts here are
/// 127.0.0.1, and cookies do not know ports.
#[derive(Clone, Debug)]
pub struct Browser {
    pub agent: &'static str,
    pub jar: Vec<Cookie>,
    /// Whether it keeps cookies at all.
    pub keeps_cookies: bool,
    /// Names of cookies that do not stick, by their beginning.
    pub forgets: Option<&'static str>,
}

impl Browser {
    pub fn new(agent: &'static str) -> Self {
        Self {
            agent,
            jar: Vec::new(),
            keeps_cookies: true,
            forgets: None,
        }
    }

    /// The `Cookie` header for `path`; empty when there is none.
    pub fn cookies(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        let sent: Vec<String> = self
            .jar
            .iter()
            .filter(|cookie| {
                cookie.path == "/"
                    || path == cookie.path
                    || path.starts_with(&format!("{}/", cookie.path))
            })
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        sent.join("; ")
    }

    /// The value of the cookie whose name begins with `name`.
    pub fn cookie(&self, name: &str) -> Option<&Cookie> {
        self.jar.iter().find(|cookie| cookie.name.starts_with(name))
    }

    pub fn keep(&mut self, answer: &Answer) {
        self.keep_lines(answer.values("set-cookie").into_iter());
    }

    fn keep_lines<'l>(&mut self, lines: impl Iterator<Item = &'l str>) {
        for line in lines {
            let mut parts = line.split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let path = parts
                .clone()
                .find_map(|part| part.strip_prefix("Path="))
                .unwrap_or("/");
            let gone = parts.any(|part| part == "Max-Age=0");
            self.jar
                .retain(|cookie| cookie.name != name || cookie.path != path);
            let forgotten =
                !self.keeps_cookies || self.forgets.is_some_and(|start| name.starts_with(start));
            if !gone && !forgotten {
                self.jar.push(Cookie {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    path: path.to_owned(),
                });
            }
        }
    }

    /// The bytes of a request, with this browser's cookies.
    pub fn request(
        &self,
        method: &str,
        host: impl std::fmt::Display,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut text = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {}\r\n",
            self.agent
        );
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("accept"))
        {
            text.push_str(&format!("Accept: {PAGE}\r\n"));
        }
        let cookies = self.cookies(target);
        if !cookies.is_empty() {
            text.push_str(&format!("Cookie: {cookies}\r\n"));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        [text.as_bytes(), body].concat()
    }

    /// One request, without following.
    pub async fn ask(
        &mut self,
        method: &str,
        addr: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = send(addr, self.request(method, addr, target, headers, body)).await;
        self.keep(&answer);
        answer
    }

    /// Opens a page, without following.
    pub async fn open(&mut self, addr: SocketAddr, target: &str) -> Answer {
        self.ask("GET", addr, target, &[], b"").await
    }

    /// Opens `url`, without following.
    pub async fn open_url(&mut self, url: &str) -> Answer {
        let (addr, target) = split(url);
        self.open(addr, &target).await
    }

    /// The same as [`Self::visit`] of `url`.
    pub async fn visit_url(&mut self, url: &str) -> (Answer, Vec<String>) {
        let (addr, target) = split(url);
        self.visit(addr, &target).await
    }

    /// Opens a page and follows every redirect; the addresses on the way come
    /// along. More than twenty are a loop, and fail.
    pub async fn visit(&mut self, addr: SocketAddr, target: &str) -> (Answer, Vec<String>) {
        let mut trail = Vec::new();
        let mut answer = self.open(addr, target).await;
        while answer.status == 302 {
            let mut to = answer.location().to_owned();
            if to.starts_with('/') {
                let last = trail.last().map_or(addr, |url: &String| split(url).0);
                to = format!("http://{last}{to}");
            }
            trail.push(to.clone());
            assert!(trail.len() <= 20, "a loop: {trail:#?}");
            answer = self.open_url(&to).await;
        }
        (answer, trail)
    }
}

/// A browser that knows many hosts, and keeps each one's cookies for that host
/// alone, or for the domain that `Set-Cookie` names (RFC 6265, section 5.3). All
/// names lead to one gateway but for those `elsewhere`; WeChat is called by its
/// address.
#[derive(Clone, Debug)]
pub struct Traveller {
    pub gateway: SocketAddr,
    /// Names that lead elsewhere, with their ports.
    pub elsewhere: BTreeMap<String, SocketAddr>,
    pub agent: &'static str,
    /// By host; those of a domain under its name with a dot before.
    pub jars: BTreeMap<String, Browser>,
}

impl Traveller {
    pub fn new(gateway: SocketAddr) -> Self {
        Self {
            gateway,
            elsewhere: BTreeMap::new(),
            agent: WECHAT,
            jars: BTreeMap::new(),
        }
    }

    /// The jar of exactly `host`.
    pub fn at(&mut self, host: &str) -> &mut Browser {
        let fresh = || Browser::new(self.agent);
        self.jars.entry(host.to_owned()).or_insert_with(fresh)
    }

    pub async fn ask(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let (host, target) = parts(url);
        let named = self.elsewhere.get(host).copied();
        let addr = named.or(host.parse().ok()).unwrap_or(self.gateway);
        let domain = |jar: &str| jar.starts_with('.') && format!(".{host}").ends_with(jar);
        let mut sends = self.at(host).clone();
        for (_, jar) in self.jars.iter().filter(|(name, _)| domain(name)) {
            sends.jar.extend(jar.jar.iter().cloned());
        }
        let answer = send(addr, sends.request(method, host, &target, headers, body)).await;
        for line in answer.values("set-cookie") {
            let mut parts = line.split("; ");
            match parts.find_map(|part| part.strip_prefix("Domain=")) {
                // A browser refuses what is for others.
                Some(of) if format!(".{host}").ends_with(&format!(".{of}")) => {
                    self.at(&format!(".{of}")).keep_lines(std::iter::once(line));
                }
                Some(_) => {}
                None => self.at(host).keep_lines(std::iter::once(line)),
            }
        }
        answer
    }

    pub async fn open(&mut self, url: &str) -> Answer {
        self.ask("GET", url, &[], b"").await
    }

    /// Opens `url` and follows redirects until one leads where `stop` says, or
    /// nowhere; the addresses on the way come along. More than thirty are a loop,
    /// and fail.
    pub async fn until(&mut self, url: &str, stop: impl Fn(&str) -> bool) -> (Answer, Vec<String>) {
        let mut trail = Vec::new();
        let mut at = url.to_owned();
        loop {
            let answer = self.open(&at).await;
            if answer.status != 302 {
                return (answer, trail);
            }
            let to = answer.location().to_owned();
            at = match to.starts_with('/') {
                true => format!("http://{}{to}", parts(&at).0),
                false => to,
            };
            trail.push(at.clone());
            assert!(trail.len() <= 30, "a loop: {trail:#?}");
            if stop(&at) {
                return (answer, trail);
            }
        }
    }

    pub async fn visit(&mut self, url: &str) -> (Answer, Vec<String>) {
        self.until(url, |_| false).await
    }
}

/// The authority and the target of an `http://` URL.
pub fn parts(url: &str) -> (&str, String) {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("{url} is not http"));
    let rest = rest.split('#').next().unwrap();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    (authority, format!("/{path}"))
}

/// The socket address and the target of an `http://` URL.
pub fn split(url: &str) -> (SocketAddr, String) {
    let (authority, target) = parts(url);
    (
        authority.parse().unwrap_or_else(|_| panic!("{url}")),
        target,
    )
}
