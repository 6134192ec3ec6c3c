//! The ways in which servers are known to read one path.
//!
//! Holds always: a path that [`is_plain`] has one reading; for every other,
//! [`readings`] lists at least what its bytes say, decoded or not, resolved or
//! not. A reading too many costs an odd request a 400; one too few could let it
//! pass as another.

use percent_encoding::percent_decode_str;

/// Whether every server reads `path` alike: lower-case letters and a few marks,
/// no empty or dot segment.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let plain =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~');
    bytes.iter().all(|byte| plain(*byte))
        && !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

/// The ways in which servers are known to read a path: decoded not at all,
/// once or twice; cut at a NUL or not; a backslash as a slash; parameters behind `;` kept or
/// cut; empty and dot segments resolved or kept.
pub(super) fn readings(path: &str) -> Vec<String> {
    let once = decode(path);
    let twice = decode(&once);
    let mut found = Vec::new();
    for text in [path.to_owned(), once, twice] {
        let cut = text.split('\0').next().unwrap_or_default().to_owned();
        for text in [text, cut] {
            let slashed = text.replace(['\\', '\u{2044}', '\u{2215}', '\u{ff0f}', '\u{ff3c}'], "/");
            let bare = without_parameters(&slashed);
            for reading in [resolve(&slashed), resolve(&bare), slashed, bare] {
                if !found.contains(&reading) {
                    found.push(reading);
                }
            }
        }
    }
    found
}

/// Decodes `%XX` once. Overlong UTF-8 forms of `.`, `/` and `\`, which some
/// servers still read as such, are taken at their word.
fn decode(text: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, used) = match (*first, tail) {
            (lead @ (0xc0 | 0xc1), [next, ..]) => ((lead & 1) << 6 | next & 0x3f, 2),
            (0xe0, [a @ 0x80..=0x81, b, ..]) => ((a & 1) << 6 | b & 0x3f, 3),
            (byte, _) => (byte, 1),
        };
        plain.push(byte);
        rest = rest.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn without_parameters(path: &str) -> String {
    let bare: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    bare.join("/")
}

fn resolve(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}
