//! Copies of this program that play a part of their own: a process may open so
//! many files and no more, and the gateway needs all of its own.
//!
//! Holds always: a helper ends with its handle, and by itself when whoever
//! started it is gone, for its standard input ends then.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What a helper's first argument is.
pub const PART: &str = "play";
/// How long a helper may take to say something.
const PATIENCE: Duration = Duration::from_secs(90);

/// A helper, spoken to by lines.
pub struct Helper {
    child: Child,
    orders: ChildStdin,
    lines: UnboundedReceiver<String>,
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Helper {
    /// Starts a copy with `arguments`.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(PART)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = unbounded_channel();
        let told = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in told.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self {
            orders: child.stdin.take().unwrap(),
            child,
            lines,
        }
    }

    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// Its next line.
    pub async fn told(&mut self) -> String {
        let told = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        told.expect("a line in time")
            .expect("a helper that goes on")
    }

    pub async fn asked(&mut self, order: &str) -> String {
        self.order(order);
        self.told().await
    }
}

/// What the helper that this process is was ordered; `None` when nobody is left
/// to order anything.
pub fn orders() -> UnboundedReceiver<String> {
    let (send, orders) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    orders
}
