//! The ways in which servers are known to read one path.
//!
//! Holds always: a path that [`is_plain`] has one reading. For every other,
//! [`readings`] lists what its bytes say: decoded as often as they can be,
//! slashes and dots in all their disguises, parameters, streams and trailing
//! dots kept or cut, dot segments resolved or not, and all in small letters.
//! Servers do these in different orders, and a proxy before them does some
//! again, so that each step is tried behind each other. A reading too many
//! costs an odd request a 400; one too few could let it pass as another. `None`
//! stands for a path of which there are more than anybody looks through.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;

/// How much is read, in bytes: an odd path has a dozen readings, and one of
/// thousands is an attack.
const MAX_READ: usize = 128 * 1024;

/// What servers do to a path.
const STEPS: &[fn(&str) -> String] = &[
    decode,
    decode_within_segments,
    plain_marks,
    without_parameters,
    |path| without_cookieless(path, ""),
    |path| without_cookieless(path, "/"),
    stems,
    windows_names,
    // What follows a NUL, or a decoded `?` or `#`, is cut off by some.
    |path| before(path, '\0'),
    |path| before(path, '?'),
    |path| before(path, '#'),
    reference,
    without_breaks,
    single_slashes,
    resolve,
];

/// Whether every server reads `path` alike, but for the endings of its names:
/// lower-case letters and a few marks, no empty or dot segment.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.');
    bytes.iter().all(|byte| plain(*byte))
        && !bytes
            .windows(2)
            .any(|pair| matches!(pair, b"//" | b"/." | b"./"))
        && !bytes.ends_with(b".")
}

/// A plain path as read by apps that take the ending of a name for a format:
/// `/secret.json` for `/secret` in JSON. `None` where no name has one.
pub(super) fn without_endings(path: &str) -> Option<[String; 2]> {
    path.contains('.').then(|| [stems(path), bare_names(path)])
}

/// Names without what follows their last dot.
fn stems(path: &str) -> String {
    each_segment(path, |segment| match segment.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() && !stem.ends_with('.') => stem,
        _ => segment,
    })
}

/// Names without what follows their first dot.
fn bare_names(path: &str) -> String {
    each_segment(path, |segment| match segment.split_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => segment,
    })
}

/// Whether a name may be one of those that Windows makes of longer ones:
/// `SECRET~1`. Which one nobody knows but the disk.
fn may_be_shortened(path: &str) -> bool {
    path.as_bytes()
        .windows(3)
        .any(|three| matches!(three, [before, b'~', b'0'..=b'9'] if *before != b'/'))
}

/// Every reading of `path`, in small letters, without duplicates.
pub(super) fn readings(path: &str) -> Option<Vec<String>> {
    let mut found = vec![path.to_lowercase()];
    let mut known: HashSet<String> = found.iter().cloned().collect();
    let mut read = path.len();
    let mut next = 0;
    while let Some(reading) = found.get(next).cloned() {
        next += 1;
        if may_be_shortened(&reading) {
            return None;
        }
        for step in STEPS {
            let other = step(&reading).to_lowercase();
            if known.contains(&other) {
                continue;
            }
            read += other.len();
            if read > MAX_READ {
                return None;
            }
            known.insert(other.clone());
            found.push(other);
        }
    }
    Some(found)
}

/// Slashes, dots and letters in Unicode's other forms as what they look like:
/// some file systems and code pages make them the same.
fn plain_marks(text: &str) -> String {
    let plain = |c: char| match c {
        '\\' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f5}' | '\u{29f8}' | '\u{29f9}'
        | '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}' => '/',
        '\u{2024}' | '\u{ff0e}' | '\u{3002}' | '\u{ff61}' => '.',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        other => other,
    };
    text.chars().map(plain).collect()
}

fn without_parameters(path: &str) -> String {
    each_segment(path, |segment| {
        segment.split(';').next().unwrap_or_default()
    })
}

/// ASP.NET takes `(S(…))` and its kin out of a path, in the middle of a name too,
/// and with the slash behind it where it stands for a whole segment.
fn without_cookieless(path: &str, behind: &str) -> String {
    let mut rest = path;
    let mut plain = String::with_capacity(path.len());
    while let Some((before, after)) = rest.split_once('(') {
        let session = after
            .get(1..)
            .filter(|_| after.starts_with(|c: char| c.is_ascii_alphabetic()))
            .and_then(|open| open.strip_prefix('('))
            .and_then(|inside| inside.split_once("))"))
            .filter(|(value, _)| !value.contains('/'));
        plain.push_str(before);
        match session {
            Some((_, tail)) => rest = tail.strip_prefix(behind).unwrap_or(tail),
            None => {
                plain.push('(');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Files' names without the streams of NTFS, and as Windows takes them.
fn windows_names(path: &str) -> String {
    each_segment(path, |segment| {
        let name = segment.split(':').next().unwrap_or_default();
        match name {
            "." | ".." => name,
            _ => windows_name(name),
        }
    })
}

/// A file's name as Windows takes it: dots and spaces at its end do not count,
/// and what is left of `..` with a space stays a step up. Control characters are
/// as spaces, which the WHATWG parser cuts off an address likewise.
fn windows_name(name: &str) -> &str {
    let blank = |c: char| c <= ' ';
    let spaceless = name.trim_end_matches(blank);
    match spaceless {
        "." | ".." => spaceless,
        _ => spaceless.trim_end_matches(|c| c == '.' || blank(c)),
    }
}

fn each_segment(path: &str, change: impl Fn(&str) -> &str) -> String {
    let segments: Vec<&str> = path.split('/').map(change).collect();
    segments.join("/")
}

fn before(path: &str, mark: char) -> String {
    path.split(mark).next().unwrap_or_default().to_owned()
}

/// The WHATWG parser takes tabs and line breaks out before it reads.
fn without_breaks(path: &str) -> String {
    path.replace(['\t', '\n', '\r'], "")
}

/// `//host/path` is a whole address to parsers of URL references.
fn reference(path: &str) -> String {
    match path.strip_prefix("//") {
        Some(rest) => format!("/{}", rest.split_once('/').map_or("", |(_, path)| path)),
        None => path.to_owned(),
    }
}

/// Decodes `%XX` and IIS's `%uXXXX` once. Overlong UTF-8 forms, which some
/// servers still read, are taken at their word.
fn decode(text: &str) -> String {
    let text = decode_u(text);
    let bytes: Vec<u8> = percent_decode_str(&text).collect();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, used) = match (*first, tail) {
            (lead @ (0xc0 | 0xc1), [next, ..]) => ((lead & 1) << 6 | next & 0x3f, 2),
            (0xe0, [a @ 0x80..=0x81, b, ..]) => ((a & 1) << 6 | b & 0x3f, 3),
            (0xf0, [0x80, a @ 0x80..=0x81, b, ..]) => ((a & 1) << 6 | b & 0x3f, 4),
            (byte, _) => (byte, 1),
        };
        plain.push(byte);
        rest = rest.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The same, but for the slashes: to many servers an encoded one stays in its
/// segment, and the WHATWG parser reads no more than `%2e` of a path.
fn decode_within_segments(path: &str) -> String {
    let keep = |text: &str, slash: &str, change: &dyn Fn(&str) -> String| {
        let parts: Vec<String> = text.split(slash).map(change).collect();
        parts.join(slash)
    };
    keep(path, "%2f", &|part| keep(part, "%5c", &decode))
}

fn decode_u(text: &str) -> String {
    let mut parts = text.split("%u");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part
            .get(..4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let letter =
            digits.and_then(|digits| char::from_u32(u32::from_str_radix(digits, 16).ok()?));
        match letter {
            Some(letter) => {
                plain.push(letter);
                plain.push_str(part.get(4..).unwrap_or_default());
            }
            None => {
                plain.push_str("%u");
                plain.push_str(part);
            }
        }
    }
    plain
}

fn single_slashes(path: &str) -> String {
    let mut single = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !single.ends_with('/') {
            single.push(c);
        }
    }
    single
}

/// Dot segments taken away (RFC 3986, section 5.2.4): an empty segment is one.
fn resolve(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}
