//! Starts logging, to standard error: standard output belongs to results.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;

use crate::args::{LogFormat, LogLevel};

/// From now on messages at least as important as `level` are written in `format`.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::All => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::None => LevelFilter::OFF,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
