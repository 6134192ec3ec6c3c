//! The table of hostile requests by its classes. A class is a test; each of its rows is sent on a connection of its own, and
//! one that fails hides no other.

use std::collections::HashSet;

use super::judge::{Stage, judge};
use super::row::{Attack, Row};
use super::{
    callbacks, chunks, fields, floods, forwarded, frames, framing, headers, hops, hosts, lines,
    paths, pseudo, redirects, sessions, spoofing,
};

/// The classes, by the name of their test.
fn classes() -> Vec<(&'static str, Vec<Row>, usize)> {
    vec![
        ("framing", framing::rows(), 100),
        ("chunks", chunks::rows(), 40),
        ("lines", lines::rows(), 110),
        ("hosts", hosts::rows(), 60),
        ("headers", headers::rows(), 45),
        ("hops", hops::rows(), 60),
        ("spoofing", spoofing::rows(), 60),
        ("forwarded", forwarded::rows(), 60),
        ("paths", paths::rows(), 110),
        ("sessions", sessions::rows(), 55),
        ("callbacks", callbacks::rows(), 60),
        ("redirects", redirects::rows(), 115),
        ("pseudo", pseudo::rows(), 70),
        ("fields", fields::rows(), 80),
        ("frames", frames::rows(), 40),
        ("floods", floods::rows(), 18),
    ]
}

macro_rules! run {
    ($($class:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $class() {
            run(stringify!($class), $class::rows(), false).await;
        }
    )*};
}
run!(
    framing, chunks, lines, hosts, headers, hops, spoofing, forwarded, paths, sessions, callbacks,
    redirects, pseudo, fields, frames, floods
);

#[tokio::test(flavor = "multi_thread")]
async fn over_tls() {
    for (class, mut rows, _) in classes() {
        rows.retain(|row| matches!(row.attack, Attack::H2(_)));
        run(class, rows, true).await;
    }
}

#[test]
fn the_table_is_whole() {
    let mut names = HashSet::new();
    let (mut h1, mut h2) = (0, 0);
    for (class, rows, least) in classes() {
        assert!(rows.len() >= least, "{class} has {} rows only", rows.len());
        for row in rows {
            match row.attack {
                Attack::H1(_) => h1 += 1,
                Attack::H2(_) => h2 += 1,
            }
            assert!(names.insert(row.name.clone()), "{} stands twice", row.name);
        }
    }
    assert!(h1 >= 850 && h2 >= 200, "{h1} + {h2}");
}

/// Judges all rows of a class, and complains of all at once.
async fn run(class: &str, rows: Vec<Row>, tls: bool) {
    if rows.is_empty() {
        return;
    }
    let mut stage = Stage::new(tls).await;
    let mut complaints = Vec::new();
    for row in rows {
        let found = judge(&mut stage, &row).await;
        if !found.is_empty() {
            complaints.push(format!("{}:\n  {}", row.name, found.join("\n  ")));
        }
        // What it left in the connections to the app must not be the next row's, nor
        // what is still on its way there.
        if !found.is_empty() || *row.app.end() > 1 {
            stage = Stage::new(tls).await;
        }
    }
    assert!(
        complaints.is_empty(),
        "{} rows of {class} fail:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
