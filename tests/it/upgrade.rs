//! One process follows another, and files change, under visitors who never pause.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use wxgate::simulator::Simulator;

use crate::app::App;
use crate::client::{Browser, WECHAT, send};
use crate::issued::Issued;
use crate::load::Load;
use crate::process::{Process, free_address};
use crate::world::{Extra, files, gateway_toml, install_crypto, simulator};

const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway in a process of its own, with all that belongs to it.
struct Site {
    plain: SocketAddr,
    tls: SocketAddr,
    text: String,
    config: PathBuf,
    _app: App,
    _simulator: Simulator,
    files: tempfile::TempDir,
}

impl Site {
    async fn new(tables: &str) -> Self {
        install_crypto();
        let (plain, tls) = (free_address(), free_address());
        let (app, simulator, files) = (App::start().await, simulator(plain).await, files());
        let extra = Extra {
            server: "drain_timeout = \"20s\"",
            // All of them come from one address, as often as they can.
            limits: "logins_per_minute = 100000",
            tables,
            ..Extra::default()
        };
        let table = format!(
            "[server.tls]\nlisten = [\"{tls}\"]\ncertificates = [{{ hosts = [\"127.0.0.1\"], cert = \"a.pem\", key = \"a.key\" }}]\n\n[session]"
        );
        let text = gateway_toml(plain, app.addr, &simulator, &extra);
        let text = text.replacen("[session]", &table, 1);
        Issued::for_hosts(&["127.0.0.1"]).write(files.path(), "a");
        let config = files.path().join("gateway.toml");
        std::fs::write(&config, &text).unwrap();
        Self {
            plain,
            tls,
            text,
            config,
            _app: app,
            _simulator: simulator,
            files,
        }
    }

    fn dir(&self) -> &Path {
        self.files.path()
    }

    fn start(&self) -> Process {
        let process = Process::start(&["run", "--config", self.config.to_str().unwrap()]);
        process.wait_for("admin paths on");
        process
    }

    async fn visitor(&self) -> Browser {
        let mut browser = Browser::new(WECHAT);
        let (answer, _) = browser.visit(self.plain, "/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        browser
    }
}

/// Sends a signal to a process.
fn signal(name: &str, id: u32) -> bool {
    let kill = format!("kill -{name} {id}");
    let sent = Command::new("sh")
        .args(["-c", &kill])
        .stderr(Stdio::null())
        .status();
    sent.unwrap().success()
}

/// A process that no test started by itself, and that ends with the test.
struct Next(u32);

impl Drop for Next {
    fn drop(&mut self) {
        signal("KILL", self.0);
    }
}

impl Next {
    /// Has a process that took over from `before` begin, and `before` end.
    fn after(before: &mut Process) -> Self {
        assert!(signal("USR2", before.id()));
        let line = before.wait_for(" serves: ");
        let id = line.split("process ").nth(1).unwrap();
        let next = Self(id.split(' ').next().unwrap().parse().unwrap());
        assert_ne!(next.0, before.id());
        assert!(before.wait().success());
        next
    }

    /// Ends it as a supervisor does, and waits for that.
    fn terminate(self) {
        assert!(signal("TERM", self.0));
        let deadline = std::time::Instant::now() + PATIENCE;
        while signal("0", self.0) {
            assert!(std::time::Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Under load: so many reloads, half of them of a file with a mistake, another
/// certificate, another process.
async fn nothing_is_lost(tables: &str, reloads: usize) {
    let site = Site::new(tables).await;
    let mut process = site.start();
    let visitor = site.visitor().await;
    let load = Load::start(site.plain, site.tls, &visitor);
    load.some_more().await;
    for turn in 0..reloads {
        let text = match turn % 2 {
            0 => site
                .text
                .replace("X-From\" = \"gateway", &format!("X-From\" = \"{turn}")),
            _ => site
                .text
                .replace("account = \"shop\"", "account = \"nobody\""),
        };
        std::fs::write(&site.config, text).unwrap();
        assert!(signal("HUP", process.id()));
        process.wait_for(match turn % 2 {
            0 => "was read anew and holds",
            _ => "was read anew and changes nothing",
        });
    }
    std::fs::write(&site.config, &site.text).unwrap();
    let renewed = Issued::for_hosts(&["127.0.0.1"]);
    renewed.write(site.dir(), "a");
    let seen = async {
        while !load.is_shown(&renewed.der) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .expect("the new certificate");
    load.some_more().await;
    let next = tokio::task::spawn_blocking(move || Next::after(&mut process));
    let next = next.await.unwrap();
    // Nobody is left but the next one.
    load.some_more().await;
    let count = load.stop().await;
    assert!(count.lost.is_empty(), "{count:?}");
    assert!(count.served.iter().all(|kind| *kind > 0), "{count:?}");
    assert_eq!(count.shown.len(), 2, "each certificate for a time");
    println!("served: {:?}", count.served);
    let mut visitor = visitor;
    assert_eq!(visitor.open(site.plain, "/").await.status, 200);
    tokio::task::spawn_blocking(move || next.terminate())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_a_certificate_and_an_upgrade_lose_not_one_request() {
    nothing_is_lost("", 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_belongs_to_one_process_goes_over_to_the_next() {
    let tables = "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/tokens\"\nupstream = \"http://{app}\"\naccount = \"shop\"\n\
                  access_token = true\n\n[store]\nkind = { file = \"store.redb\" }\n";
    nothing_is_lost(tables, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_a_file_are_there_after_an_upgrade() {
    let tables = "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/tokens\"\nupstream = \"http://{app}\"\naccount = \"shop\"\n\
                  access_token = true\n\n[store]\nkind = { file = \"store.redb\" }\n";
    let site = Site::new(tables).await;
    let mut process = site.start();
    let mut visitor = Browser::new(WECHAT);
    let (answer, _) = visitor.visit(site.plain, "/tokens").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = site._app.last().value("x-wechat-access-token").unwrap();
    let next = Next::after(&mut process);
    assert_eq!(visitor.open(site.plain, "/tokens").await.status, 200);
    assert_eq!(site._app.last().value("x-wechat-access-token"), Some(token));
    next.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_process_takes_over_the_one_before_goes_on() {
    let store = "[store]\nkind = { file = \"store.redb\" }\n";
    let site = Site::new(store).await;
    let mut process = site.start();
    let mut visitor = site.visitor().await;
    for (text, why) in [
        ("nonsense".to_owned(), "exit status: 78"),
        // All is well until the store is to be opened.
        (
            site.text.replace("store.redb", "no/such/place.redb"),
            "exit status: 1",
        ),
        (
            site.text.replace("[[routes]]", "[[roads]]"),
            "exit status: 78",
        ),
    ] {
        // Not noticed as a change: the process that is to take over reads it first.
        std::fs::write(&site.config, text).unwrap();
        assert!(signal("USR2", process.id()));
        let line = process.wait_for("this one goes on");
        assert!(line.contains(why), "{line}");
        assert_eq!(visitor.open(site.plain, "/").await.status, 200);
    }
    std::fs::write(&site.config, &site.text).unwrap();
    // Who logs in now is kept in the store that was taken back.
    let mut late = site.visitor().await;
    let next = Next::after(&mut process);
    assert_eq!(visitor.open(site.plain, "/").await.status, 200);
    assert_eq!(late.open(site.plain, "/").await.status, 200);
    next.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_upgrade_is_a_stop() {
    let site = Site::new("").await;
    // A program that takes its time: it never says a word.
    let program = site.dir().join("wxgate");
    std::fs::copy(env!("CARGO_BIN_EXE_wxgate"), &program).unwrap();
    let arguments = ["run", "--config", site.config.to_str().unwrap()];
    let mut process = Process::spawn(Command::new(&program).args(arguments));
    process.wait_for("admin paths on");
    std::fs::remove_file(&program).unwrap();
    std::fs::write(
        &program,
        "#!/bin/sh\necho it sleeps as $$\nexec sleep 600\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    assert!(signal("USR2", process.id()));
    let line = process.wait_for("it sleeps as");
    let sleeper: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(signal("TERM", process.id()));
    assert!(process.wait().success());
    // It has not been left behind.
    let deadline = std::time::Instant::now() + PATIENCE;
    while signal("0", sleeper) {
        assert!(std::time::Instant::now() < deadline, "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_is_told_who_is_ready_and_who_follows() {
    let site = Site::new("").await;
    let path = site.dir().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let next_word = || {
        let mut bytes = [0; 256];
        let count = told.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let arguments = ["run", "--config", site.config.to_str().unwrap()];
    let mut process = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_wxgate"))
            .args(arguments)
            .env("NOTIFY_SOCKET", &path),
    );
    assert_eq!(next_word().trim(), "READY=1");
    assert_eq!(site.visitor().await.open(site.plain, "/").await.status, 200);
    assert!(signal("HUP", process.id()));
    let word = next_word();
    assert!(word.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{word}");
    assert_eq!(next_word().trim(), "READY=1");
    assert!(signal("USR2", process.id()));
    // The next one says so itself, which systemd does not take from it yet.
    let mut words = [next_word(), next_word()];
    words.sort();
    let [follows, ready] = &words;
    assert_eq!(ready.trim(), "READY=1");
    let line = process.wait_for(" serves: ");
    let id = line
        .split("process ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let next = Next(id.parse().unwrap());
    assert_eq!(follows.trim(), format!("MAINPID={id}\nREADY=1"));
    assert!(process.wait().success());
    let ended = tokio::task::spawn_blocking(move || next.terminate());
    assert_eq!(next_word().trim(), "STOPPING=1");
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_come_from_a_supervisor() {
    let site = Site::new("").await;
    let sockets = [site.tls, site.plain].map(|address| {
        let listener = std::net::TcpListener::bind(address).unwrap();
        OwnedFd::from(listener)
    });
    let given = sockets.into_iter().zip(3..);
    let given = given.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    let arguments = ["run", "--config", site.config.to_str().unwrap()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_wxgate"));
    command
        .args(arguments)
        .env("LISTEN_FDS", "2")
        .fd_mappings(given.collect())
        .unwrap();
    let process = Process::spawn(&mut command);
    drop(command);
    process.wait_for("admin paths on");
    let request = format!("GET /pay/notify HTTP/1.1\r\nHost: {}\r\n\r\n", site.plain);
    assert_eq!(send(site.plain, request).await.status, 200);
    assert!(process.terminate().success());
}
