//! What a sudden end and a new start leave standing.

use crate::app::App;
use crate::client::{Browser, WECHAT, split};
use crate::process::{Process, free_address};
use crate::world::{Extra, OPENID, files, gateway_toml, install_crypto, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sigkills_bring_nobody_back_with_the_memory_store() {
    crate::kill::kills("kind = \"memory\"", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sigkills_bring_nobody_back_with_the_file_store() {
    crate::kill::kills("kind = { file = \"store.redb\" }", 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_logins_survive_sigkill() {
    install_crypto();
    let gateway = free_address();
    let app = App::start().await;
    let simulator = simulator(gateway).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    // No session.keys: the key is made at the first start, and kept.
    std::fs::write(
        &config,
        gateway_toml(gateway, app.addr, &simulator, &Extra::default()),
    )
    .unwrap();
    let mut process = Process::gateway(&config);
    let mut visitor = Browser::new(WECHAT);
    let (answer, _) = visitor.visit(gateway, "/").await;
    assert_eq!(answer.status, 200);
    let mut other = Browser::new(WECHAT);
    let answer = other.open(gateway, "/in-flight?x=1").await;
    let answer = other.open_url(answer.location()).await;
    let callback = split(answer.location()).1;

    process.kill();
    let mut process = Process::gateway(&config);
    let answer = visitor.open(gateway, "/again").await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.last().value("x-wechat-openid").as_deref(), Some(OPENID));
    let answer = other.open(gateway, &callback).await;
    assert_eq!(answer.location(), format!("http://{gateway}/in-flight?x=1"));
    assert_eq!(other.open(gateway, "/in-flight?x=1").await.status, 200);

    // A callback again, after the memory of its exchange is gone.
    process.kill();
    let _process = Process::gateway(&config);
    let answer = other.open(gateway, &callback).await;
    assert_eq!(answer.location(), format!("http://{gateway}/in-flight?x=1"));
    assert_eq!(simulator.calls().exchange.total, 2);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(files.path().join("state/session.key"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
