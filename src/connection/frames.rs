//! Where one frame of a WebSocket ends and the next begins (RFC 6455, section
//! 5.2), in what an app sends, so that the gateway can put in its own last one.
//!
//! Holds always: what the app sent is neither changed nor cut: the goodbye stands
//! between two whole frames, and nothing stands behind it. Payloads are not read.

/// A close frame, 1001: going away.
const GOODBYE: [u8; 4] = [0x88, 2, 0x03, 0xe9];
/// What ends the header that comes before the first frame.
const HEADER_END: [u8; 4] = *b"\r\n\r\n";

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// More of the header, of whose end so many bytes have come.
    Header(usize),
    /// A frame.
    Frame,
    /// More of a frame's own header, whose first bytes were these.
    Head { bytes: [u8; 14], have: usize },
    /// So much of a frame's payload.
    Payload(u64),
}

/// How far what an app sends has come.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    /// How much of the goodbye was said, if it is to be said.
    goodbye: Option<usize>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            at: At::Header(0),
            goodbye: None,
        }
    }
}

impl Frames {
    /// From now on, the goodbye is due at the end of a frame.
    pub(super) fn leave(&mut self) {
        self.goodbye.get_or_insert(0);
    }

    /// What is to be said of the goodbye now.
    pub(super) fn goodbye(&self) -> Option<&'static [u8]> {
        let said = self.goodbye.filter(|_| self.at == At::Frame)?;
        GOODBYE.get(said..).filter(|rest| !rest.is_empty())
    }

    /// `count` more bytes of it were said.
    pub(super) fn said(&mut self, count: usize) {
        if let Some(said) = &mut self.goodbye {
            *said += count;
        }
    }

    /// Whether it was said: nothing may follow.
    pub(super) fn is_over(&self) -> bool {
        self.goodbye == Some(GOODBYE.len())
    }

    /// How much of `bytes` may be sent before the goodbye: all, unless it is due.
    pub(super) fn fit(&self, bytes: &[u8]) -> usize {
        if self.goodbye.is_none() {
            return bytes.len();
        }
        let (mut at, mut taken) = (self.at, 0);
        while at != At::Frame || taken == 0 {
            let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let (next, count) = at.step(rest);
            (at, taken) = (next, taken + count);
        }
        taken
    }

    /// Notes that `bytes` were sent.
    pub(super) fn note(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (next, count) = self.at.step(bytes);
            self.at = next;
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }
}

impl At {
    /// What comes next after some of `bytes`, which are not empty, and after how
    /// many.
    fn step(self, bytes: &[u8]) -> (Self, usize) {
        match self {
            Self::Header(matched) => {
                let first = bytes.first().copied();
                let matched = match HEADER_END.get(matched) {
                    Some(wanted) if first == Some(*wanted) => matched + 1,
                    _ => usize::from(first == Some(b'\r')),
                };
                let is_over = matched == HEADER_END.len();
                (
                    if is_over {
                        Self::Frame
                    } else {
                        Self::Header(matched)
                    },
                    1,
                )
            }
            Self::Frame => Self::Head {
                bytes: [0; 14],
                have: 0,
            }
            .step(bytes),
            Self::Head {
                bytes: mut head,
                mut have,
            } => {
                if let (Some(slot), Some(byte)) = (head.get_mut(have), bytes.first()) {
                    *slot = *byte;
                }
                have += 1;
                let next = match payload(&head, have) {
                    Some(0) => Self::Frame,
                    Some(length) => Self::Payload(length),
                    None => Self::Head { bytes: head, have },
                };
                (next, 1)
            }
            Self::Payload(left) => {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(left);
                let next = match left - here {
                    0 => Self::Frame,
                    left => Self::Payload(left),
                };
                (next, usize::try_from(here).unwrap_or(bytes.len()))
            }
        }
    }
}

/// The length of the payload, once the `have` bytes of a frame's header are all of
/// it. Apps do not mask; one that does all the same has four more.
fn payload(head: &[u8; 14], have: usize) -> Option<u64> {
    let [_, second, rest @ ..] = head;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length, size) = match second & 0x7f {
        126 => {
            let [a, b, ..] = *rest;
            (u64::from(u16::from_be_bytes([a, b])), 4)
        }
        127 => {
            let [a, b, c, d, e, f, g, h, ..] = *rest;
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10)
        }
        short => (u64::from(short), 2),
    };
    (have == size + mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that an app may say first, one kind of frame after the other, with the
    /// places where a frame begins.
    fn said() -> (Vec<u8>, Vec<usize>) {
        let mut all = b"HTTP/1.1 101 Switching\r\nA: b\r\r\n\r\n".to_vec();
        let mut begins = vec![all.len()];
        let frames: [&[u8]; 5] = [
            &[0x81, 2],
            &[0x89, 0],
            &[0x02, 126, 0x01, 0x02],
            &[0x80, 127, 0, 0, 0, 0, 0, 1, 0, 1],
            &[0x82, 0x83, 1, 2, 3, 4],
        ];
        for (head, length) in frames.into_iter().zip([2, 0, 258, 65_537, 3]) {
            all.extend_from_slice(head);
            all.extend(std::iter::repeat_n(b'\n', length));
            begins.push(all.len());
        }
        (all, begins)
    }

    #[test]
    fn a_goodbye_stands_between_two_frames_wherever_the_pieces_end() {
        let (all, begins) = said();
        for piece in [1, 3, 7, 4096, usize::MAX] {
            let mut frames = Frames::default();
            let mut passed = 0;
            for bytes in all.chunks(piece.min(all.len())) {
                frames.note(bytes);
                passed += bytes.len();
                let mut leaving = Frames {
                    at: frames.at,
                    goodbye: Some(0),
                };
                assert_eq!(leaving.goodbye().is_some(), begins.contains(&passed));
                // What is left of the frame may be sent, and no more.
                let rest = &all[passed..];
                let next = begins.iter().find(|begin| **begin > passed);
                let fit = leaving.fit(rest);
                assert_eq!(fit, next.map_or(0, |next| next - passed), "at {passed}");
                leaving.note(&rest[..fit]);
                assert_eq!(leaving.goodbye(), Some(&GOODBYE[..]));
            }
            assert_eq!(passed, all.len());
        }
    }

    #[test]
    fn nothing_follows_a_goodbye() {
        let mut frames = Frames::default();
        frames.note(b"\r\n\r\n");
        assert_eq!(frames.goodbye(), None);
        frames.leave();
        frames.said(1);
        assert_eq!(frames.goodbye(), Some(&GOODBYE[1..]));
        assert!(!frames.is_over());
        frames.said(3);
        frames.leave();
        assert!(frames.is_over() && frames.goodbye().is_none());
    }
}
