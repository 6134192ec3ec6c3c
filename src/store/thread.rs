//! A thread that is given work, for what must not hold up the others.
//!
//! Holds always: when this is dropped, what was given is done and the thread has
//! ended, so that what it held is free.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::{fmt, io};

/// The thread, by what it is sent.
pub(super) struct Worker<T> {
    sender: Option<Sender<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({:?})", self.thread)
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread that runs `work` until nobody can send any more.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(&Receiver<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Gives it `work`. False when it has ended.
    pub(super) fn give(&self, work: T) -> bool {
        let sender = self.sender.as_ref();
        sender.is_some_and(|sender| sender.send(work).is_ok())
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended too.
            let _ = thread.join();
        }
    }
}
