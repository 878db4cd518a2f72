//! Where events go: standard error, as calm text for a person or as JSON for a machine.

use std::io::{self, IsTerminal as _};

use jiff::Zoned;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// A line for a person.
    Text,
    /// An object a line.
    Json,
}

/// Why logging cannot begin.
#[derive(Debug)]
pub enum LogError {
    /// The filter cannot be understood.
    Filter(String),
    /// Events go elsewhere already.
    Twice,
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogError::Filter(what) => {
                write!(f, "the log filter is wrong: {what}; it looks like \"info\" or \"info,purlin_net=debug\"")
            }
            LogError::Twice => f.write_str("logging has begun already"),
        }
    }
}

impl std::error::Error for LogError {}

/// Logs each request that fails as an error, with less than our own event about it says.
const NOISE: &str = "kube_client::client::builder=off";

/// Sends the events that pass `filter` (as in `info,purlin_net=debug`) to standard error. A filter that names
/// `kube_client` decides about that crate alone; else its events about failed requests are left out.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = subscriber(json, color, filter, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)
}

fn subscriber<W>(
    json: bool,
    color: bool,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let refused = |e: &dyn std::error::Error| LogError::Filter(e.to_string());
    let mut directives = EnvFilter::try_new(filter).map_err(|e| refused(&e))?;
    if !filter.contains("kube_client") {
        directives = directives.add_directive(NOISE.parse().map_err(|e| refused(&e))?);
    }
    // Its own words about a writer that fails go to standard error by a macro that panics when that fails too.
    let events = tracing_subscriber::fmt().with_env_filter(directives).with_writer(writer).log_internal_errors(false);
    Ok(if json {
        Box::new(events.json().flatten_event(true).with_current_span(false).finish())
    } else {
        Box::new(events.compact().with_ansi(color).with_target(false).with_timer(WallClock).finish())
    })
}

/// The time of day: a person knows the date.
struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", Zoned::now().strftime("%H:%M:%S"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::secret::Secret;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, filter: &str) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(json, false, filter, move || writer.clone()).unwrap(), || {
            tracing::info!(port = 6443, token = ?Secret::new("hunter2"), "listening");
            tracing::debug!("hidden");
        });
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn text_is_calm() {
        let text = logged(false, "info");
        let (time, rest) = text.split_at(8);
        assert!(time.bytes().enumerate().all(|(at, b)| if at % 3 == 2 { b == b':' } else { b.is_ascii_digit() }));
        assert_eq!(rest, "  INFO listening port=6443 token=<redacted>\n");
    }

    #[test]
    fn what_a_client_says_of_failures_is_left_out_unless_it_is_asked_for() {
        let check = |filter: &str, expected: usize| {
            let sink = Sink::default();
            let writer = sink.clone();
            tracing::subscriber::with_default(subscriber(true, false, filter, move || writer.clone()).unwrap(), || {
                tracing::error!(target: "kube_client::client::builder", "failed with error client error (Connect)");
                tracing::error!(target: "kube_client::client", "another one");
            });
            let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), expected, "{filter}: {text}");
        };
        check("info", 1);
        check("debug,purlin_net=trace", 1);
        check("info,kube_client::client::builder=error", 2);
        check("kube_client=error", 2);
        check("info,kube_client=off", 0);
    }

    #[test]
    fn json_is_an_object_a_line() {
        let text = logged(true, "info");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&event["message"], &event["port"], &event["level"]),
            (&"listening".into(), &6443.into(), &"INFO".into())
        );
        assert_eq!(event["token"], "<redacted>");
        assert!(event["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(logged(true, "debug").lines().count(), 2);
    }

    #[test]
    fn a_wrong_filter_is_refused_with_words() {
        let refused = init(LogFormat::Json, "purlin=loud").unwrap_err().to_string();
        assert!(refused.starts_with("the log filter is wrong: ") && refused.contains("info"), "{refused}");
    }
}
