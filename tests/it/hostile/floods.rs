//! HTTP/2 that costs the far end more than this one: floods, and compression
//! that unpacks to more than it is (RFC 9113, section 10.5; RFC 7541).

use super::frames::{WHOLE, public, raw, row};
use super::row::{Fields, GONE, Row, Step};
use crate::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, block, frame,
    integer,
};

pub fn rows() -> Vec<Row> {
    let mut rows = tables();
    rows.extend(floods());
    rows
}

/// Header compression (RFC 7541).
fn tables() -> Vec<Row> {
    let coded = |name: &str, more: &[u8]| {
        raw(
            name,
            &[frame(
                HEADERS,
                WHOLE,
                1,
                &[public().as_slice(), more].concat(),
            )],
        )
    };
    let mut huge = Vec::new();
    integer(0x40, 6, 0, &mut huge);
    huge.extend(b"\x03x-a");
    integer(0, 7, 4000, &mut huge);
    huge.extend([b'b'; 4000]);
    huge.extend([0xbe; 400]);
    vec![
        coded("index-zero", &[0x80]),
        coded("index-of-nothing", &[0xff, 0x20]),
        coded(
            "index-without-end",
            &[
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
            ],
        ),
        coded("length-beyond-the-block", &[0, 0x7f, 0xff, 0x7f, b'x']),
        coded(
            "huffman-end-of-string",
            &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
        ),
        coded("huffman-padded-with-zeros", &[0, 0x81, 0x00, 1, b'b']),
        coded("table-size-behind-a-field", &[0x20]),
        raw(
            "table-size-over-the-limit",
            &[frame(
                HEADERS,
                WHOLE,
                1,
                &[&[0x3f, 0xff, 0xff, 0x7f], public().as_slice()].concat(),
            )],
        ),
        // One field of 4 KB, named 400 times: 1.6 MB of headers in 5 KB.
        coded("table-bomb", &huge).answers(&[400, 431, GONE]),
    ]
}

fn floods() -> Vec<Row> {
    let many = |count: usize, frames: &[Vec<u8>]| Step::Bytes(frames.concat().repeat(count));
    let good = |stream: u32| Step::Fields(WHOLE, stream, Fields::visitor().0);
    let reset: Vec<u8> = (0..200)
        .flat_map(|n| {
            [
                frame(HEADERS, WHOLE, 2 * n + 1, &public()),
                frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]),
            ]
            .concat()
        })
        .collect();
    let open: Vec<u8> = (0..200)
        .flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &public()))
        .collect();
    let long = "b".repeat(15_000);
    let piece = block(&[("x-a", long.as_str())]);
    let mut large = vec![frame(HEADERS, END_STREAM, 1, &public())];
    large.extend((0..6).map(|_| frame(CONTINUATION, 0, 1, &piece)));
    large.push(frame(CONTINUATION, END_HEADERS, 1, &[]));
    let target = format!("/{}", "a".repeat(20_000));
    let fields = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "127.0.0.1"),
        (":path", target.as_str()),
    ]);
    let (head, tail) = fields.split_at(15_000);
    let over = [
        frame(HEADERS, END_STREAM, 1, head),
        frame(CONTINUATION, END_HEADERS, 1, tail),
    ];
    vec![
        row(
            "flood-of-empty-continuations",
            vec![
                Step::Bytes(frame(HEADERS, END_STREAM, 1, &public())),
                many(20_000, &[frame(CONTINUATION, 0, 1, &[])]),
            ],
        ),
        row(
            "flood-of-tiny-continuations",
            vec![
                Step::Bytes(frame(HEADERS, END_STREAM, 1, &public())),
                many(20_000, &[frame(CONTINUATION, 0, 1, &block(&[("a", "b")]))]),
            ],
        ),
        raw("header-list-over-64-kilobytes", &large).answers(&[400, 431, GONE]),
        raw("target-over-16-kilobytes", &over).answers(&[400, 414, 431, GONE]),
        row(
            "flood-of-resets",
            vec![Step::Bytes(reset), good(401), Step::Await(401)],
        )
        .answers(&[200, GONE])
        .seen_at_most(201),
        row(
            "flood-of-open-streams",
            vec![Step::Bytes(open), Step::Await(399)],
        )
        .answers(&[GONE])
        .seen_at_most(200),
        row(
            "flood-of-pings",
            vec![many(5000, &[frame(PING, 0, 0, &[0; 8])]), good(1)],
        )
        .answers(&[200, GONE])
        .seen_at_most(1),
        row(
            "flood-of-settings",
            vec![many(5000, &[frame(SETTINGS, 0, 0, &[])]), good(1)],
        )
        .answers(&[200, GONE])
        .seen_at_most(1),
        row(
            "flood-of-empty-data",
            vec![
                Step::Fields(END_HEADERS, 1, Fields::visitor().set(":method", "POST").0),
                many(5000, &[frame(DATA, 0, 1, &[])]),
                Step::Bytes(frame(DATA, END_STREAM, 1, &[])),
            ],
        )
        .answers(&[200, 400, GONE])
        .seen_at_most(1)
        .body(""),
    ]
}
