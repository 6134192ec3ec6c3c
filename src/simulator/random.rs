//! Random codes, tokens and ids in WeChat's shapes.
//!
//! What always holds: they come from the system's generator and nothing else,
//! for the simulator also stands in for WeChat in people's security tests.

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A code: 32 letters and digits, the first a 0.
pub(super) fn code() -> String {
    format!("0{}", alphanumeric(31))
}

/// An access or refresh token.
pub(super) fn token() -> String {
    format!("90_{}", alphanumeric(86))
}

/// An openid or unionid: `o` and 27 more.
pub(super) fn openid() -> String {
    format!("o{}", alphanumeric(27))
}

/// 32 random bits.
pub(super) fn number() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

fn alphanumeric(length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        fill(&mut bytes);
        // Two bits are thrown away and 62, 63 skipped, so that every
        // character is as likely as any other.
        let letters = bytes
            .iter()
            .filter_map(|byte| ALPHANUMERIC.get(usize::from(byte >> 2)))
            .map(|&letter| char::from(letter));
        text.extend(letters.take(length - text.len()));
    }
    text
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("Linux, macOS and Windows never fail to give random bytes");
}
