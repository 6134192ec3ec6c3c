//! Frames of HTTP/2 that are too long, in no order or for no stream
//! (RFC 9113, sections 4 to 6).

use super::row::{Fields, GONE, Row, Step, h2_frames};
use crate::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, block, frame,
};

pub(super) const WHOLE: u8 = END_HEADERS | END_STREAM;

pub(super) fn row(name: &str, steps: Vec<Step>) -> Row {
    h2_frames(format!("h2-{name}"), steps)
}

/// A row of bytes alone.
pub(super) fn raw(name: &str, frames: &[Vec<u8>]) -> Row {
    row(name, vec![Step::Bytes(frames.concat())])
}

/// Some bytes, and then a good request on stream `stream`.
fn before(name: &str, stream: u32, frames: &[Vec<u8>]) -> Row {
    row(
        name,
        vec![
            Step::Bytes(frames.concat()),
            Step::Fields(WHOLE, stream, Fields::visitor().0),
            Step::Await(stream),
        ],
    )
}

/// The block of a stranger's request, as far as it needs no world.
pub(super) fn public() -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "127.0.0.1"),
        (":path", "/pay/notify"),
    ])
}

pub fn rows() -> Vec<Row> {
    let mut rows = blocks();
    rows.extend(streams());
    rows.extend(control());
    rows
}

fn blocks() -> Vec<Row> {
    let block = public();
    let (head, tail) = block.split_at(20);
    let padded = [&[3], block.as_slice(), &[0, 0, 0]].concat();
    let too_much = [&[200], block.as_slice()].concat();
    vec![
        raw(
            "continued-is-fine",
            &[
                frame(HEADERS, END_STREAM, 1, head),
                frame(CONTINUATION, 0, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, tail),
            ],
        )
        .forwarded(),
        raw(
            "padded-is-fine",
            &[frame(HEADERS, WHOLE | PADDED, 1, &padded)],
        )
        .forwarded(),
        raw(
            "padding-longer-than-the-frame",
            &[frame(HEADERS, WHOLE | PADDED, 1, &too_much)],
        ),
        raw(
            "padding-without-a-length",
            &[frame(HEADERS, WHOLE | PADDED, 1, &[])],
        ),
        raw("block-empty", &[frame(HEADERS, WHOLE, 1, &[])]),
        raw(
            "block-cut-off",
            &[frame(HEADERS, WHOLE, 1, &block[..block.len() - 3])],
        ),
        raw(
            "block-not-ended-then-data",
            &[
                frame(HEADERS, 0, 1, head),
                frame(DATA, END_STREAM, 1, b"hello"),
            ],
        ),
        raw(
            "block-not-ended-then-another-stream",
            &[
                frame(HEADERS, END_STREAM, 1, head),
                frame(HEADERS, WHOLE, 3, &block),
            ],
        ),
        raw(
            "block-continued-on-another-stream",
            &[
                frame(HEADERS, END_STREAM, 1, head),
                frame(CONTINUATION, END_HEADERS, 3, tail),
            ],
        ),
        raw(
            "block-not-ended-then-ping",
            &[
                frame(HEADERS, END_STREAM, 1, head),
                frame(PING, 0, 0, &[0; 8]),
            ],
        ),
        raw(
            "continuation-of-nothing",
            &[frame(CONTINUATION, END_HEADERS, 1, &block)],
        ),
        raw(
            "frame-over-the-limit",
            &[frame(HEADERS, WHOLE, 1, &[0; 16_385])],
        ),
        raw(
            "frame-that-lies-about-its-length",
            &[
                vec![0xff, 0xff, 0xff, HEADERS, WHOLE, 0, 0, 0, 1],
                block.clone(),
            ],
        ),
        raw(
            "frame-cut-off",
            &[frame(HEADERS, WHOLE, 1, &block)[..20].to_vec()],
        )
        .unfinished(),
        raw(
            "frame-of-unknown-type-is-fine",
            &[
                frame(0xee, 0xff, 0, b"spoofed"),
                frame(HEADERS, WHOLE, 1, &block),
            ],
        )
        .forwarded(),
    ]
}

fn streams() -> Vec<Row> {
    let block = public();
    vec![
        raw("stream-even", &[frame(HEADERS, WHOLE, 2, &block)]),
        raw("stream-zero", &[frame(HEADERS, WHOLE, 0, &block)]),
        raw(
            "stream-going-back",
            &[
                frame(HEADERS, WHOLE, 5, &block),
                frame(HEADERS, WHOLE, 3, &block),
            ],
        )
        .answers(&[GONE])
        .seen_at_most(1),
        raw(
            "data-on-an-idle-stream",
            &[frame(DATA, END_STREAM, 1, b"hello")],
        ),
        raw(
            "data-on-stream-zero",
            &[frame(DATA, END_STREAM, 0, b"hello")],
        ),
        row(
            "data-on-a-closed-stream",
            vec![
                Step::Fields(WHOLE, 1, Fields::visitor().0),
                Step::Bytes(frame(
                    DATA,
                    END_STREAM,
                    1,
                    b"GET /smuggled HTTP/1.1\r\n\r\n",
                )),
            ],
        )
        .answers(&[200, GONE])
        .seen_at_most(1)
        .body(""),
        raw(
            "request-twice-on-a-stream",
            &[
                frame(HEADERS, END_HEADERS, 1, &block),
                frame(HEADERS, WHOLE, 1, &block),
            ],
        )
        .either(),
        raw(
            "data-padding-longer-than-the-frame",
            &[
                frame(HEADERS, END_HEADERS, 1, &block),
                frame(DATA, END_STREAM | PADDED, 1, &[9, b'a']),
            ],
        )
        .midway(),
        raw(
            "reset-of-an-idle-stream",
            &[frame(RST_STREAM, 0, 1, &[0; 4])],
        ),
        raw(
            "depends-on-itself",
            &[
                frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16]),
                frame(HEADERS, WHOLE, 1, &block),
            ],
        )
        .either(),
        raw(
            "depends-on-itself-at-once",
            &[frame(
                HEADERS,
                WHOLE | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 16], block.as_slice()].concat(),
            )],
        )
        .either(),
        raw(
            "promise-of-a-client",
            &[frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2], block.as_slice()].concat(),
            )],
        ),
    ]
}

/// Frames about the connection, misshapen.
fn control() -> Vec<Row> {
    vec![
        before(
            "settings-of-five-bytes",
            1,
            &[frame(SETTINGS, 0, 0, &[0; 5])],
        ),
        before(
            "settings-confirmed-with-words",
            1,
            &[frame(SETTINGS, ACK, 0, &[0; 6])],
        ),
        before("settings-on-a-stream", 1, &[frame(SETTINGS, 0, 1, &[])]),
        before(
            "settings-window-too-large",
            1,
            &[frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])],
        ),
        before(
            "settings-frame-too-small",
            1,
            &[frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])],
        ),
        before("ping-of-seven-bytes", 1, &[frame(PING, 0, 0, &[0; 7])]),
        before("ping-on-a-stream", 1, &[frame(PING, 0, 1, &[0; 8])]),
        before(
            "window-grows-by-nothing",
            1,
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 4])],
        ),
        before(
            "window-grows-too-far",
            1,
            &[frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
        ),
        before("goes-away-and-asks", 1, &[frame(GOAWAY, 0, 0, &[0; 8])]).either(),
        row(
            "preface-then-http1",
            vec![
                Step::Mute,
                Step::Bytes([PREFACE, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat()),
            ],
        ),
        row(
            "preface-without-settings",
            vec![
                Step::Mute,
                Step::Bytes([PREFACE, &frame(HEADERS, WHOLE, 1, &public())].concat()),
            ],
        )
        .either(),
        row(
            "preface-twice",
            vec![
                Step::Bytes(PREFACE.to_vec()),
                Step::Fields(WHOLE, 1, Fields::visitor().0),
            ],
        ),
    ]
}
