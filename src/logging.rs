//! Where log lines go, and which ones.
//!
//! Holds always: only this crate's lines are written, at whatever level. Those
//! of libraries can hold what this crate takes care not to say: an HTTP client
//! logs the URL with the app secret, a parser the request line with a code. Of
//! the engine's, the two places that speak of listening and handshakes, where
//! no request is known yet, are let through.

use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogLevel, LogTable};

/// The lines that are written, to be changed.
static LINES: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

fn lines(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_target("wxgate", level)
        .with_target(
            "pingora_core::services::listening",
            level.min(LevelFilter::WARN),
        )
        .with_target("pingora_core::listeners", level.min(LevelFilter::WARN))
}

/// Starts to write lines to the standard error stream. A second call in one
/// process changes nothing.
pub fn start(table: LogTable) {
    let writer = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = match table.format {
        LogFormat::Text => writer.boxed(),
        LogFormat::Json => writer.json().flatten_event(true).boxed(),
    };
    let (lines, handle) = reload::Layer::new(lines(table.level));
    let registry = tracing_subscriber::registry().with(layer.with_filter(lines));
    // It fails only where a subscriber is installed already.
    if registry.try_init().is_ok() {
        let _ = LINES.set(handle);
    }
}

/// Writes lines of `level` from now on, where [`start`] was called.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LINES.get() {
        // It fails only where nobody writes any more.
        let _ = handle.reload(lines(level));
    }
}
