//! HTTP/2 as bytes: frames and header fields as they are written here, without
//! a library that would mend them.
//!
//! Fields are sent as literals without indexing and without Huffman coding
//! (RFC 7541, section 6.2.2), so that any bytes can stand in them and no table
//! has to be kept. Of an answer only `:status` is decoded, which is the first
//! field of its block and reads the same on every new connection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

// Frame types (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

// Flags.
pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const WITH_PRIORITY: u8 = 0x20;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long an answer or a refusal may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One frame. Nothing about it is checked.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of `fields`, in their order and spelling.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            integer(0, 7, text.len(), &mut bytes);
            bytes.extend(text);
        }
    }
    bytes
}

/// An integer behind `first`, of whose byte `bits` are left (RFC 7541, section 5.1).
pub fn integer(first: u8, bits: u32, value: usize, bytes: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        bytes.push(first | u8::try_from(value).unwrap());
        return;
    }
    bytes.push(first | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The final status, and the body as far as it came.
    Answer(u16, Vec<u8>),
    /// `RST_STREAM` without an answer, with its error code.
    Reset(u32),
    /// `GOAWAY` with an error, and its code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
    /// Nothing, for longer than it may take.
    Silent,
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    /// Connects, and says that this is HTTP/2.
    pub async fn to(addr: SocketAddr) -> Self {
        let mut connection = Self::mute(addr).await;
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        connection.send(&hello).await;
        connection
    }

    /// Connects, and says nothing.
    pub async fn mute(addr: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(addr).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    /// Sends `bytes`. The far end may have closed, or have stopped to read.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// Ends the sending half.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads until `stream` is answered or refused.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        timeout(PATIENCE, self.read_outcome(stream))
            .await
            .unwrap_or(Outcome::Silent)
    }

    async fn read_outcome(&mut self, stream: u32) -> Outcome {
        let mut status = None;
        let mut body = Vec::new();
        loop {
            let Some(frame) = self.frame().await else {
                return status.map_or(Outcome::Closed, |status| Outcome::Answer(status, body));
            };
            let ends = frame.stream == stream && frame.flags & END_STREAM != 0;
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    // 1xx come before the answer, trailers behind it.
                    status = status.or_else(|| status_of(&frame).filter(|status| *status >= 200));
                }
                DATA if frame.stream == stream => body.extend(frame.payload),
                RST_STREAM if frame.stream == stream => {
                    let code = code_at(&frame.payload, 0);
                    return status
                        .map_or(Outcome::Reset(code), |status| Outcome::Answer(status, body));
                }
                GOAWAY if code_at(&frame.payload, 4) != 0 => {
                    let code = code_at(&frame.payload, 4);
                    return status.map_or(Outcome::GoAway(code), |status| {
                        Outcome::Answer(status, body)
                    });
                }
                _ => {}
            }
            if let (true, Some(status)) = (ends, status) {
                return Outcome::Answer(status, body);
            }
        }
    }

    async fn frame(&mut self) -> Option<Frame> {
        self.fill(9).await?;
        let head: Vec<u8> = self.buffer.drain(..9).collect();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        self.fill(length).await?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: code_at(&head, 5) & 0x7fff_ffff,
            payload: self.buffer.drain(..length).collect(),
        })
    }

    async fn fill(&mut self, count: usize) -> Option<()> {
        while self.buffer.len() < count {
            let more = self.stream.read_buf(&mut self.buffer).await;
            more.ok().filter(|count| *count > 0)?;
        }
        Some(())
    }
}

fn code_at(bytes: &[u8], at: usize) -> u32 {
    let mut code = [0; 4];
    code.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(code)
}

/// `:status`, the first field of an answer's block.
fn status_of(frame: &Frame) -> Option<u16> {
    let mut block = frame.payload.as_slice();
    if frame.flags & WITH_PRIORITY != 0 {
        block = &block[5..];
    }
    // A change of the table's size may stand before it.
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
        if first & 0x1f == 0x1f {
            let end = block.iter().position(|byte| byte & 0x80 == 0)?;
            block = &block[end + 1..];
        }
    }
    match *block {
        [indexed @ 0x88..=0x8e, ..] => {
            Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)])
        }
        // A literal whose name is the table's eighth, kept, not kept or never kept.
        [0x48 | 0x08 | 0x18, length, ref text @ ..] => {
            let text = text.get(..usize::from(length & 0x7f))?;
            let digits = match length & 0x80 {
                0 => text.to_vec(),
                _ => huffman_digits(text)?,
            };
            String::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Three digits: 0, 1 and 2 have five bits, the others six (RFC 7541, appendix B).
fn huffman_digits(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let mut rest = bits.as_slice();
    let mut digits = Vec::new();
    while digits.len() < 3 {
        let number = |count: usize| {
            let bits = rest.get(..count)?;
            Some(bits.iter().fold(0_u8, |number, bit| number << 1 | bit))
        };
        let (digit, used) = match (number(5)?, number(6)) {
            (short @ 0..=2, _) => (short, 5),
            (_, Some(long @ 0x19..=0x1f)) => (long - 0x16, 6),
            _ => return None,
        };
        digits.push(b'0' + digit);
        rest = &rest[used..];
    }
    Some(digits)
}

#[test]
fn statuses_are_read_in_every_form() {
    let status = |payload: &[u8]| {
        status_of(&Frame {
            kind: HEADERS,
            flags: END_HEADERS,
            stream: 1,
            payload: payload.to_vec(),
        })
    };
    assert_eq!(status(&[0x88]), Some(200));
    assert_eq!(status(&[0x20, 0x3f, 0xe1, 0x1f, 0x8c]), Some(400));
    assert_eq!(status(b"\x48\x03401"), Some(401));
    // RFC 7541, appendices C.6.1 and C.6.2.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
}
