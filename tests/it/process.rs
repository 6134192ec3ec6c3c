//! The real binary as a child process, ended by its own handle.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running `wxgate`, with all that it wrote.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    written: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts `wxgate` with `arguments`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_wxgate")).args(arguments))
    }

    /// Starts `command`.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let written = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let (send, written) = (send.clone(), written.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    written.lock().unwrap().push_str(&format!("{line}\n"));
                    let _ = send.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            written,
        }
    }

    /// Starts the gateway of `config` and waits until it listens.
    pub fn gateway(config: &Path) -> Self {
        let process = Self::start(&["run", "--config", config.to_str().unwrap()]);
        process.wait_for("listening on");
        process
    }

    /// Waits for a line with `text` in it.
    pub fn wait_for(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(20)) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line with {text:?} in:\n{}", self.written()),
            }
        }
    }

    /// All that it wrote so far.
    pub fn written(&self) -> String {
        self.written.lock().unwrap().clone()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// The address that a running gateway says it listens on.
    pub fn listening_on(&self) -> SocketAddr {
        let line = self.wait_for("listening on ");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The most memory it has held at once, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        let kill = format!("kill -TERM {}", self.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
        // Both outputs close when the process ends.
        let end = loop {
            if let Err(end) = self.lines.recv_timeout(Duration::from_secs(20)) {
                break end;
            }
        };
        assert_eq!(end, RecvTimeoutError::Disconnected, "it does not end");
        self.wait()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// A command that runs `wxgate` in `dir`, with nothing of the caller's
/// environment that it would read.
pub fn wxgate(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wxgate"));
    command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null());
    for name in [
        "WXGATE_SESSION_KEY",
        "WXGATE_APP_SECRET",
        "WXGATE_PAY_SECRET",
        "WXGATE_DESK_SECRET",
        "WXGATE_CORP_SECRET",
        "STATE_DIRECTORY",
        "XDG_STATE_HOME",
    ] {
        command.env_remove(name);
    }
    command
}

/// An address that was free a moment ago, for a process that must be told its
/// own before it starts.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
