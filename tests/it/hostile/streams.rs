//! HTTP/2 below its requests: frames out of order, out of size, without end.

use super::table::{Parts, Row, Sees, Sent, h2, row};
use crate::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, field, frame, headers, pseudo,
};

/// Frames that end a stream or the connection, and never the gateway.
pub fn http2(parts: &Parts) -> Vec<Row> {
    let fields: Vec<Field> = [
        pseudo("GET", &parts.host, "/x"),
        vec![field("cookie", &parts.session)],
    ]
    .concat();
    let good = headers(1, END_STREAM, &fields);
    let begun = headers(
        1,
        0,
        &[
            pseudo("POST", &parts.host, "/x"),
            vec![field("cookie", &parts.session)],
        ]
        .concat(),
    );
    let head = block(&fields);
    let (first, second) = head.split_at(head.len() / 2);
    let fragment = frame(HEADERS, END_STREAM, 1, first);
    let mut rows = Vec::new();
    for (name, frames) in [
        ("a request on stream 0", headers(0, END_STREAM, &fields)),
        (
            "a request on an even stream",
            headers(2, END_STREAM, &fields),
        ),
        (
            "data before a request",
            frame(DATA, END_STREAM, 1, b"smuggled"),
        ),
        ("data on stream 0", frame(DATA, END_STREAM, 0, b"smuggled")),
        (
            "the rest of a header without its beginning",
            frame(CONTINUATION, END_HEADERS, 1, second),
        ),
        (
            "a header without its rest, then data",
            [fragment.clone(), frame(DATA, END_STREAM, 1, b"smuggled")].concat(),
        ),
        (
            "a header without its rest, then another",
            [fragment.clone(), headers(3, END_STREAM, &fields)].concat(),
        ),
        (
            "a header whose rest is another stream's",
            [
                fragment.clone(),
                frame(CONTINUATION, END_HEADERS, 3, second),
            ]
            .concat(),
        ),
        (
            "a header with a PING in it",
            [fragment.clone(), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "a promise of a client's",
            frame(PUSH_PROMISE, END_HEADERS, 1, &head),
        ),
        (
            "a frame larger than allowed",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &vec![0; 20_000]),
        ),
        ("settings with half a value", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
        (
            "an acknowledgement with content",
            frame(SETTINGS, 1, 0, &[0; 6]),
        ),
        (
            "a window beyond its limit",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        ),
        (
            "a frame size below its limit",
            frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]),
        ),
        ("a PING of four bytes", frame(PING, 0, 0, &[0; 4])),
        (
            "a window that grows by nothing",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        ),
        (
            "a window that grows beyond its limit",
            [
                frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
                frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
        ),
        (
            "a reset of a stream that is none",
            frame(RST_STREAM, 0, 1, &[0; 4]),
        ),
        ("a reset of stream 0", frame(RST_STREAM, 0, 0, &[0; 4])),
        (
            "more padding than there is",
            frame(HEADERS, 0x8 | END_HEADERS | END_STREAM, 1, &[0xff, 0, 0]),
        ),
        (
            "an index that is none",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
            ),
        ),
        (
            "index 0",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]),
        ),
        (
            "a string longer than its block",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0, 0x7f, 0xff, 0xff, 0x7f],
            ),
        ),
        (
            "Huffman code that is none",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 1, b'x'],
            ),
        ),
        (
            "a table larger than allowed",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0x3f, 0xff, 0xff, 0xff, 0x0f],
            ),
        ),
        (
            "an empty block",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[]),
        ),
        ("a goodbye in its middle", frame(GOAWAY, 0, 0, &[0; 3])),
        (
            "HTTP/1.1 behind the preface",
            b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        ("nothing of a frame but its beginning", vec![0, 0, 8, PING]),
    ] {
        rows.push(h2(format!("h2: {name}"), ended(frames), &[0, 400]));
    }
    let flood: Vec<u8> = (0..2_000)
        .flat_map(|_| frame(CONTINUATION, 0, 1, b""))
        .collect();
    rows.push(h2(
        "h2: empty pieces of a header without end",
        [fragment.clone(), flood].concat(),
        &[0, 431],
    ));
    let flood: Vec<u8> = (0..200)
        .flat_map(|_| frame(CONTINUATION, 0, 1, &block(&[field("x", "y".repeat(1_000))])))
        .collect();
    rows.push(h2(
        "h2: large pieces of a header without end",
        [fragment, flood].concat(),
        &[0, 431],
    ));
    let resets: Vec<u8> = (0..300_u32)
        .flat_map(|at| {
            [
                headers(
                    2 * at + 3,
                    END_STREAM,
                    &pseudo("GET", &parts.host, "/pay/notify"),
                ),
                frame(RST_STREAM, 0, 2 * at + 3, &[0, 0, 0, 8]),
            ]
            .concat()
        })
        .collect();
    rows.push(row(
        "h2: 300 requests that are taken back",
        Sent::H2(ended(resets)),
        &[0],
        Sees::Flood,
    ));
    let own = [frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16]), good.clone()].concat();
    rows.push(h2("h2: a stream that depends on itself", own, &[0, 200]).perhaps_seen());
    let twice = [good.clone(), good.clone()].concat();
    rows.push(h2("h2: one stream twice", twice, &[0, 200]).perhaps_seen());
    let late = [good.clone(), frame(DATA, END_STREAM, 1, b"smuggled")].concat();
    rows.push(h2("h2: data behind the end", late, &[0, 200]).perhaps_seen());
    let more = [
        begun.clone(),
        frame(DATA, END_STREAM, 1, b"hi"),
        headers(1, END_STREAM, &[field("x-a", "smuggled")]),
    ]
    .concat();
    rows.push(h2("h2: a header behind the end", more, &[0, 200]).perhaps_seen());
    let open = [begun.clone(), headers(1, 0, &[field("x-a", "smuggled")])].concat();
    rows.push(h2("h2: trailers that do not end", ended(open), &[0, 400, 200]).perhaps_seen());
    let unknown = [frame(0x42, 0xff, 1, b"smuggled"), good.clone()].concat();
    rows.push(h2("h2: a frame nobody knows", unknown, &[200]).seen(|_| true));
    let padded = frame(
        HEADERS,
        0x8 | END_HEADERS | END_STREAM,
        1,
        &[&[3][..], &head, &[0; 3]].concat(),
    );
    rows.push(h2("h2: padding", padded, &[200]).seen(|_| true));
    let away = [begun, frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat();
    rows.push(h2("h2: a request that is taken back", ended(away), &[0]).perhaps_seen());
    rows
}

/// `frames`, and a goodbye behind them, so that a gateway that waits for more
/// need not.
fn ended(frames: Vec<u8>) -> Vec<u8> {
    [frames, frame(GOAWAY, 0, 0, &[0; 8])].concat()
}
