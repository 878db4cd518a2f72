//! The access log: one JSON object a line, written by a thread of its own.
//!
//! Lines go through a bounded channel. When the writer is behind they are dropped and counted: logging never holds up
//! a request.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use purlin_telemetry::metrics::Counter;

use crate::config::AccessLog;

/// Lines that may wait for the writer.
const QUEUE: usize = 16_384;
/// Longest part of a host or path that is logged.
const MAX_TEXT: usize = 1024;

/// Takes lines; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogSender {
    queue: Option<SyncSender<String>>,
    dropped: Counter,
}

impl LogSender {
    pub(crate) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) fn send(&self, line: String) {
        if let Some(queue) = &self.queue
            && queue.try_send(line).is_err()
        {
            self.dropped.inc();
        }
    }
}

/// Opens the sink. The thread ends when the last sender is gone.
pub(crate) fn start(sink: &AccessLog, dropped: Counter) -> io::Result<(LogSender, Option<JoinHandle<()>>)> {
    let out: Box<dyn Write + Send> = match sink {
        AccessLog::Off => return Ok((LogSender { queue: None, dropped }, None)),
        AccessLog::Stderr => Box::new(io::stderr()),
        AccessLog::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    };
    let (queue, lines) = sync_channel(QUEUE);
    let failed = dropped.clone();
    let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || write_all(out, &lines, &failed))?;
    Ok((LogSender { queue: Some(queue), dropped }, Some(thread)))
}

fn write_all(out: Box<dyn Write + Send>, lines: &Receiver<String>, failed: &Counter) {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(line) = next {
            if out.write_all(line.as_bytes()).is_err() {
                failed.inc();
            }
            next = lines.try_recv().ok();
        }
        // A full disk fails here too; the lines stay in the buffer and are tried again.
        let _ = out.flush();
    }
}

/// A JSON object on one line, written field by field.
#[derive(Debug)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new() -> Self {
        let mut line = String::with_capacity(512);
        let _ = write!(line, "{{\"time\":\"{:.3}\"", jiff::Timestamp::now());
        Self(line)
    }

    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.0, ",\"{name}\":\"");
        let mut end = value.len().min(MAX_TEXT);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        for c in value[..end].chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                c if c.is_control() => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
        self
    }

    pub(crate) fn number(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let _ = write!(self.0, ",\"{name}\":{value}");
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json() {
        let long = "é".repeat(MAX_TEXT);
        let line = Line::new().text("path", "/a\"\\\n\u{1}").text("long", &long).number("ms", 1.5).end();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["path"], "/a\"\\\n\u{1}");
        assert_eq!(json["long"].as_str().unwrap().len(), MAX_TEXT);
        assert_eq!(json["ms"], 1.5);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_file_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        for _ in 0..2 {
            let dropped = purlin_telemetry::metrics::counter("test_log_dropped_total", "Dropped.", &[]);
            let (sender, thread) = start(&AccessLog::File(path.clone()), dropped).unwrap();
            sender.send("{}\n".to_owned());
            drop(sender);
            thread.unwrap().join().unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), "{}\n{}\n");
    }
}
