//! The source itself: its order, and the names that its documents promise.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The lines of the table below `heading` in lib.rs, split at their bars.
fn table(heading: &str) -> Vec<Vec<String>> {
    let lib = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let rows: Vec<Vec<String>> = lib
        .lines()
        .skip_while(|line| !line.contains(heading))
        .skip_while(|line| !line.starts_with("//! |"))
        .take_while(|line| line.starts_with("//! |"))
        .skip(2)
        .map(|line| {
            line.trim_start_matches("//! |")
                .trim_end_matches('|')
                .split(" |")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table below {heading}");
    rows
}

/// The module that a file of src/ belongs to.
fn module(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path
        .strip_prefix(src)
        .unwrap()
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn a_module_uses_only_what_stands_below_it() {
    let order: Vec<String> = table("# The order")
        .into_iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let place: HashMap<&str, usize> = order
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), at))
        .collect();
    let mut uses = 0;
    for path in files("src", ".rs") {
        let from = module(&path);
        if from == "lib" || from == "main" {
            continue;
        }
        let at = place
            .get(from.as_str())
            .unwrap_or_else(|| panic!("{from} is missing in the order of lib.rs"));
        for (_, rest) in read(&path)
            .match_indices("crate::")
            .map(|(start, word)| (start, read(&path)[start + word.len()..].to_owned()))
        {
            let used: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if used == from || !place.contains_key(used.as_str()) {
                continue;
            }
            uses += 1;
            assert!(
                place[used.as_str()] > *at,
                "{} uses {used}, which stands above it",
                path.display()
            );
        }
    }
    assert!(uses > 50, "only {uses} uses were found");
    for name in order {
        assert!(
            files("src", ".rs").iter().any(|path| module(path) == name),
            "{name} is in the order and not in src/"
        );
    }
}

/// Whether `text` has a test called `name`, written out or made by a macro.
fn has_test(text: &str, name: &str) -> bool {
    let listed = text.split("run!(").skip(1).any(|rest| {
        let list = rest.split(')').next().unwrap_or_default();
        list.split(',').any(|made| made.trim() == name)
    });
    let made = |word: &str, start: &str| {
        text.match_indices(word).any(|(at, _)| {
            let rest = text[at + word.len()..].trim_start();
            rest.strip_prefix(start)
                .is_some_and(|rest| rest.starts_with(['(', ',']))
        })
    };
    text.contains("#[test]") && made("fn ", name)
        || text.contains("#[tokio::test") && made("fn ", name)
        || listed
        || text.contains("proptest!") && made("fn ", name)
}

#[test]
fn every_row_of_the_threat_table_names_tests_that_exist() {
    let sources: Vec<(PathBuf, String)> = ["src", "tests/it", "tests/redis"]
        .iter()
        .flat_map(|dir| files(dir, ".rs"))
        .map(|path| (path.clone(), read(&path)))
        .collect();
    let mut rows = 0;
    for row in table("# Threats") {
        assert_eq!(row.len(), 4, "{row:?}");
        if row[0].starts_with("**") {
            continue;
        }
        rows += 1;
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let names: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test in {row:?}");
        for name in names {
            let (module, test) = name.split_once("::").unwrap_or_else(|| panic!("{name}"));
            let found = sources.iter().any(|(path, text)| {
                let parts = path.iter().map(|part| part.to_str().unwrap());
                let here = parts
                    .map(|part| part.trim_end_matches(".rs"))
                    .any(|part| part == module);
                here && has_test(text, test)
            });
            assert!(found, "no test is called {name}");
        }
    }
    assert!(rows >= 60, "{rows}");
}

#[test]
fn every_file_opens_with_what_it_is() {
    for path in files("src", ".rs").into_iter().chain(files("tests", ".rs")) {
        assert!(read(&path).starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn only_one_place_lets_a_secret_out_of_its_wrapper() {
    // Whoever exposes a secret is listed here, to be looked at.
    let allowed = [
        "secret.rs",
        "signing.rs",
        "admin.rs",
        "store/redis/url.rs",
        "identity.rs",
        "wechat/tokens.rs",
        "demo.rs",
        "main/keygen.rs",
        "wechat/api.rs",
        "wechat/callback.rs",
    ];
    for path in files("src", ".rs") {
        let text = read(&path);
        let production = text.split("#[cfg(test)]").next().unwrap();
        let here = allowed.iter().any(|name| path.ends_with(name));
        assert!(
            here || !production.contains(".expose()"),
            "{} exposes a secret",
            path.display()
        );
    }
}
