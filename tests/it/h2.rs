//! HTTP/2 by hand (RFC 9113), without TLS and with prior knowledge: frames with
//! whatever bytes a test puts into them, for a client library sends none that
//! are wrong. Of answers it reads the status and how the stream ended.

use std::net::SocketAddr;

use crate::client::Wire;

/// A HEADERS frame's flags.
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// Frame types.
pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PUSH_PROMISE: u8 = 0x5;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;

/// A field's name and value, as bytes.
pub type Field = (Vec<u8>, Vec<u8>);

/// A field.
pub fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Field {
    (name.as_ref().to_vec(), value.as_ref().to_vec())
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block: literals without index and without Huffman (RFC 7541,
/// section 6.2.2).
pub fn block(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            string(&mut bytes, text);
        }
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    // A number with a prefix of seven bits (RFC 7541, section 5.1).
    match u8::try_from(text.len()) {
        Ok(short) if short < 0x7f => bytes.push(short),
        _ => {
            bytes.push(0x7f);
            let mut rest = text.len() - 0x7f;
            while rest >= 0x80 {
                bytes.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
                rest /= 0x80;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
    }
    bytes.extend(text);
}

/// The header of a request on `stream`, in as many frames as it takes.
pub fn headers(stream: u32, flags: u8, fields: &[Field]) -> Vec<u8> {
    let block = block(fields);
    let mut parts: Vec<&[u8]> = block.chunks(16_000).collect();
    let last = parts.pop().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut kind = HEADERS;
    for part in parts {
        let flags = if kind == HEADERS { flags } else { 0 };
        bytes.extend(frame(kind, flags, stream, part));
        kind = CONTINUATION;
    }
    let flags = if kind == HEADERS { flags } else { 0 };
    bytes.extend(frame(kind, flags | END_HEADERS, stream, last));
    bytes
}

/// The four pseudo-header fields of a request.
pub fn pseudo(method: &str, authority: &str, path: &str) -> Vec<Field> {
    vec![
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", authority),
        field(":path", path),
    ]
}

/// How a stream went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The answer's status; 0 when there was none.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the connection ended, by GOAWAY or by itself.
    pub over: bool,
}

/// Sends `bytes` behind a preface and reads what becomes of `stream`.
pub async fn ask(addr: SocketAddr, bytes: &[u8], stream: u32) -> Outcome {
    let mut wire = Wire::to(addr).await;
    let mut all = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    all.extend(frame(SETTINGS, 0, 0, &[]));
    all.extend(bytes);
    wire.send(&all).await;
    let mut outcome = Outcome::default();
    loop {
        let head = wire.bytes(9).await;
        let [a, b, c, kind, flags, id @ ..] = head.as_slice() else {
            outcome.over = true;
            return outcome;
        };
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let payload = wire.bytes(length).await;
        let ours = id == (stream & 0x7fff_ffff).to_be_bytes();
        match *kind {
            HEADERS if ours && outcome.status < 200 => outcome.status = status(&payload),
            DATA if ours => outcome.body.extend(payload),
            RST_STREAM if ours => return outcome,
            GOAWAY => {
                outcome.over = true;
                return outcome;
            }
            _ => {}
        }
        if ours && matches!(*kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            return outcome;
        }
    }
}

/// The status that a header block begins with. Only a connection's first answer
/// can be read so: later ones may refer to it.
fn status(block: &[u8]) -> u16 {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let block = match block {
        // The size of the table (section 6.3).
        [0x20..=0x3f, rest @ ..] => rest,
        other => other,
    };
    match block {
        [index @ 0x88..=0x8e, ..] => KNOWN[usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, length, value @ ..] => {
            let text = &value[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                std::str::from_utf8(text).unwrap().parse().unwrap()
            } else {
                digits(text)
            }
        }
        other => panic!("no status in {other:?}"),
    }
}

/// Huffman-coded digits (RFC 7541, appendix B): 0 to 2 in five bits, 3 to 9 in
/// six.
fn digits(text: &[u8]) -> u16 {
    let bits: Vec<u8> = text
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    let mut rest = bits.as_slice();
    let mut number = 0;
    for _ in 0..3 {
        let take = |count: usize| {
            rest[..count]
                .iter()
                .fold(0_u16, |code, bit| code << 1 | u16::from(*bit))
        };
        let (digit, used) = match take(5) {
            code @ 0..=2 => (code, 5),
            _ => (take(6) - 0x19 + 3, 6),
        };
        number = number * 10 + digit;
        rest = &rest[used..];
    }
    number
}

#[test]
fn a_status_is_read_in_all_its_forms() {
    assert_eq!(status(&[0x88]), 200);
    assert_eq!(status(&[0x3f, 0x8c]), 400);
    assert_eq!(status(b"\x48\x03302"), 302);
    // The example of RFC 7541, appendix C.6.1, and 307 of C.6.2.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), 302);
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), 307);
}
