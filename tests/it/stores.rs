//! The stores that need no other program, as every store must be.

use wxgate::store::{Place, Settings, Store};

use crate::conformance::{conforms, open};

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(async || open(Place::Memory, dir.path()).await, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let again = async || open(Place::File(path.clone()), dir.path()).await;
    conforms(again, true).await;
    let mode = std::fs::metadata(&path).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let told = async |path: &std::path::Path| {
        let settings = Settings {
            place: Place::File(path.to_owned()),
            prefix: "test".to_owned(),
        };
        let opened = Store::open(settings, None, std::sync::Arc::default()).await;
        opened.unwrap_err().to_string()
    };
    let opened = open(Place::File(path.clone()), dir.path()).await;
    let message = told(&path).await;
    assert!(
        message.contains("another wxgate") && message.contains("store.kind"),
        "{message}"
    );
    drop(opened);
    std::fs::write(
        &path,
        b"no database, but long enough to be taken for one by its length alone",
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    let message = told(&path).await;
    assert!(
        message.contains("store.redb") && message.contains("store.kind"),
        "{message}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let message = told(&dir.path().join("none/store.redb")).await;
    assert!(message.contains("a directory that exists"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_revocations_sessions_from_before_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("no-directory");
    std::fs::write(&file, b"").unwrap();
    let opened = open(Place::Memory, &file).await;
    let now = crate::conformance::now();
    assert!(crate::conformance::has_ended(
        &opened.ended,
        1,
        "o",
        now - 10
    ));
    assert!(!crate::conformance::has_ended(
        &opened.ended,
        1,
        "o",
        now + 1
    ));
    assert!(!opened.store.keeps_revocations());
}
