//! Redis servers of a test's own: one, one behind TLS, one behind Sentinels, a
//! cluster. Each ends with its handle.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A password that may appear nowhere.
pub const PASSWORD: &str = "hunter2-hunter2";

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// One server: a process and what it is called with.
pub struct Server {
    pub port: u16,
    dir: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Starts a server on `port` that keeps its data in `dir`.
    pub fn start(program: &str, port: u16, dir: &Path, arguments: &[&str]) -> Self {
        let dir = dir.join(port.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        let arguments = std::iter::once(program).chain(arguments.iter().copied());
        let arguments: Vec<String> = arguments.map(str::to_owned).collect();
        let child = spawn(&arguments, &dir);
        Self {
            port,
            dir,
            arguments,
            child,
        }
    }

    /// A plain server that keeps what it has.
    pub fn plain(dir: &Path) -> Self {
        let port = free_port();
        let text = port.to_string();
        let arguments = [
            "--port",
            &text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--requirepass",
            PASSWORD,
        ];
        let server = Self::start("redis-server", port, dir, &arguments);
        server.until_it_answers();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    pub fn until_it_answers(&self) {
        until("redis answers", || self.cli(&["PING"]).trim() == "PONG");
    }

    /// What `redis-cli` prints for a command.
    pub fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args([
                "-p",
                &self.port.to_string(),
                "-a",
                PASSWORD,
                "--no-auth-warning",
            ])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// It hears and says nothing until it goes on.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew with what it kept.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.arguments, &self.dir);
    }

    /// Starts it anew with nothing.
    pub fn restart_empty(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.dir).unwrap();
        std::fs::create_dir_all(&self.dir).unwrap();
        self.child = spawn(&self.arguments, &self.dir);
        self.until_it_answers();
    }
}

fn spawn(arguments: &[String], dir: &Path) -> Child {
    let (program, rest) = arguments.split_first().unwrap();
    Command::new(program)
        .args(rest)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"))
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "not in time: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server behind TLS, and the file of the authority that vouches for it.
pub fn behind_tls(dir: &Path) -> (Server, PathBuf) {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -keyout redis.key -out redis.csr 2>/dev/null && \
         openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy \
         -out redis.pem 2>/dev/null";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .status();
    assert!(made.unwrap().success());
    let (port, at) = (free_port(), |name: &str| {
        dir.join(name).display().to_string()
    });
    let arguments = [
        "--port",
        "0",
        "--tls-port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--tls-cert-file",
        &at("redis.pem"),
        "--tls-key-file",
        &at("redis.key"),
        "--tls-ca-cert-file",
        &at("ca.pem"),
        "--tls-auth-clients",
        "no",
    ];
    let server = Server::start("redis-server", port, dir, &arguments);
    until("redis listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (server, dir.join("ca.pem"))
}

/// Two servers, one of which follows the other, and three Sentinels.
pub struct Watched {
    pub servers: Vec<Server>,
    pub sentinels: Vec<Server>,
}

impl Watched {
    pub fn start(dir: &Path) -> Self {
        let first = Server::plain(dir);
        let port = free_port();
        let (text, of) = (port.to_string(), first.port.to_string());
        let arguments = [
            "--port",
            &text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            PASSWORD,
            "--masterauth",
            PASSWORD,
            "--replicaof",
            "127.0.0.1",
            &of,
        ];
        let second = Server::start("redis-server", port, dir, &arguments);
        second.until_it_answers();
        until("the second follows", || {
            second
                .cli(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        let sentinel = |_| {
            let port = free_port();
            let config = dir.join(format!("sentinel-{port}.conf"));
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {of} 2\n\
                 sentinel auth-pass shop {PASSWORD}\nsentinel down-after-milliseconds shop 800\n\
                 sentinel failover-timeout shop 5000\n"
            );
            std::fs::write(&config, text).unwrap();
            Server::start("redis-sentinel", port, dir, &[config.to_str().unwrap()])
        };
        let sentinels: Vec<Server> = (0..3).map(sentinel).collect();
        let watched = Self {
            servers: vec![first, second],
            sentinels,
        };
        until("the Sentinels know of each other", || {
            watched.sentinels.iter().all(|sentinel| {
                let told = sentinel_cli(sentinel.port, &["SENTINEL", "master", "shop"]);
                told.contains("num-slaves\n1\n") && told.contains("num-other-sentinels\n2\n")
            })
        });
        watched
    }

    pub fn url(&self) -> String {
        let sentinels: Vec<_> = (self.sentinels.iter())
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
            .collect();
        format!("redis+sentinel://:{PASSWORD}@{}/shop", sentinels.join(","))
    }
}

fn sentinel_cli(port: u16, command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Three servers that are one cluster.
pub fn cluster(dir: &Path) -> (Vec<Server>, String) {
    let server = |_| {
        let (port, bus) = (free_port(), free_port());
        let (text, bus) = (port.to_string(), bus.to_string());
        let arguments = [
            "--port",
            &text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "2000",
            "--requirepass",
            PASSWORD,
        ];
        let server = Server::start("redis-server", port, dir, &arguments);
        server.until_it_answers();
        server
    };
    let servers: Vec<Server> = (0..3).map(server).collect();
    let nodes: Vec<_> = (servers.iter())
        .map(|server| format!("127.0.0.1:{}", server.port))
        .collect();
    let made = Command::new("redis-cli")
        .args(["-a", PASSWORD, "--no-auth-warning", "--cluster", "create"])
        .args(&nodes)
        .arg("--cluster-yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{told}");
    until("the cluster is one", || {
        servers.iter().all(|server| {
            server
                .cli(&["CLUSTER", "INFO"])
                .contains("cluster_state:ok")
        })
    });
    let url = format!("redis+cluster://:{PASSWORD}@{}", nodes.join(","));
    (servers, url)
}
