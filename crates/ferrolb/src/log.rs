//! Starts logging, to standard error: standard output belongs to results.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    let layer = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let targets = targets(level);
    match format {
        LogFormat::Text => registry().with(layer.with_filter(targets)).init(),
        LogFormat::Json => registry().with(layer.event_format(Json).with_filter(targets)).init(),
    }
}

/// The client of the API server reports each attempt that fails. We say so once, and what follows.
fn targets(level: LevelFilter) -> Targets {
    let client = if level >= LevelFilter::DEBUG { level } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level);
    targets.with_target("kube_client", client).with_target("kube_runtime", client)
}

/// One JSON object a line, with the keys that those who collect MetalLB's logs look for.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let level = metadata.level().as_str().to_ascii_lowercase();
        let file = metadata.file().and_then(|file| Path::new(file).file_name());
        let file = file.and_then(|name| name.to_str()).unwrap_or_default();
        let caller = format!("{file}:{}", metadata.line().unwrap_or_default());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, rest } = fields;
        let first = [("ts", time), ("level", level), ("caller", caller), ("msg", message)];
        let first = first.map(|(key, text)| (key, Value::String(text)));
        let all = first.iter().map(|(key, value)| (*key, value));
        let all = all.chain(rest.iter().map(|(key, value)| (*key, value)));
        for (index, (key, value)) in all.enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(writer, "{before}{}:{value}", Value::from(key))?;
        }
        writeln!(writer, "}}")
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    rest: BTreeMap<&'static str, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => {
                self.rest.insert(name, format!("{value:?}").into());
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => {
                self.rest.insert(name, value.into());
            }
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.rest.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.rest.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.rest.insert(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_json_has_the_keys_of_metallb() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Json)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(port = 9120, service = "a \"b\"", "not {}", "good");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("{\"ts\":\"20") && text.ends_with("}\n"), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["msg"], "not good");
        assert_eq!(line["port"], 9120);
        assert_eq!(line["service"], "a \"b\"");
        assert!(line["caller"].as_str().unwrap().starts_with("log.rs:"), "{text}");
    }
}
