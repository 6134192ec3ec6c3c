//! What the fuzzer is given to begin with, and what it once found: each file of
//! `fuzz/corpus` goes through its check, and none of the three places lacks
//! what another has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checks;

fn entries(dir: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(paths: &[PathBuf]) -> BTreeSet<&str> {
    paths
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap())
        .collect()
}

fn fuzz(dir: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(dir)
}

#[test]
fn every_check_has_a_fuzz_target_and_a_corpus() {
    let checks: BTreeSet<&str> = checks::ALL.iter().map(|(name, _)| *name).collect();
    let targets = entries(&fuzz("fuzz_targets"));
    assert_eq!(checks, stems(&targets));
    assert_eq!(checks, stems(&entries(&fuzz("corpus"))));
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for (target, name) in targets.iter().zip(&checks) {
        let source = fs::read_to_string(target).unwrap();
        assert!(source.contains(&format!("checks::{name}(data)")), "{name}");
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
}

#[test]
fn the_corpus_holds() {
    let mut broken = Vec::new();
    for (name, check) in checks::ALL {
        let files = entries(&fuzz("corpus").join(name));
        assert!(files.len() >= 5, "{name} has {} files", files.len());
        for file in files {
            let data = fs::read(&file).unwrap();
            if std::panic::catch_unwind(|| check(&data)).is_err() {
                broken.push(file);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
