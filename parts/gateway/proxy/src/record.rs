//! What is remembered of a request until it ends: the access log's line and the route's metrics.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Version};
use tokio::time::Instant;

use crate::access_log::Line;
use crate::body::UploadState;
use crate::client::{self, Client, Ended, Noted, Origin};
use crate::connection::Downstream;
use crate::metrics::Malformed;
use crate::snapshot::RuleId;
use crate::trace::Ids;
use crate::worker::Pinned;

/// One request; written when it is dropped.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) downstream: Rc<Downstream>,
    pub(crate) snapshot: Pinned,
    pub(crate) started: Instant,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) path: http::Uri,
    /// Whether its bind has settings.
    pub(crate) has_settings: bool,
    pub(crate) origin: Origin,
    /// Where a log format shows headers.
    pub(crate) noted: Option<Box<Noted>>,
    pub(crate) ids: Ids,
    pub(crate) rule: Option<RuleId>,
    pub(crate) upstream: Option<SocketAddr>,
    /// Zero until there is an answer.
    pub(crate) status: u16,
    pub(crate) upload: Rc<UploadState>,
    pub(crate) bytes_out: u64,
    /// Why the answer is what it is, where it is not simply the backend's.
    pub(crate) flag: &'static str,
    /// Why the request was refused as it came.
    pub(crate) malformed: Option<Malformed>,
    /// The answer was handed over to its end.
    pub(crate) complete: bool,
}

impl Record {
    /// The settings of its bind.
    pub(crate) fn settings(&self) -> Option<&Client> {
        if !self.has_settings {
            return None;
        }
        self.snapshot.binds.get(&self.downstream.bind)?.client.as_ref()
    }

    pub(crate) fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }

    fn line(&self, status: u16, flag: &str, took: Duration) -> String {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut line = Line::new()
            .text("method", self.method.as_str())
            .text("host", &self.authority.as_ref().map(text).unwrap_or_default())
            .text("path", self.path.path())
            .text("protocol", self.protocol())
            .number("status", status)
            .number("bytes_in", self.upload.bytes.get())
            .number("bytes_out", self.bytes_out)
            .number("duration_ms", format_args!("{:.3}", took.as_secs_f64() * 1e3))
            .text("client", &self.downstream.client.to_string())
            .text("request_id", &text(&self.ids.request))
            .text("trace_id", &self.ids.trace.trace.to_string());
        if let Some(rule) = self.rule.and_then(|id| self.snapshot.rule(id)) {
            line = line.text("route", &rule.label);
        }
        if let Some(upstream) = self.upstream {
            line = line.text("upstream", &upstream.to_string());
        }
        if !flag.is_empty() {
            line = line.text("flag", flag);
        }
        line.end()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        // 499 as nginx has it: the client left before there was an answer.
        let status = if self.status == 0 { 499 } else { self.status };
        let flag = if self.flag.is_empty() && !self.complete { "client_left" } else { self.flag };
        let worker = &self.downstream.worker;
        let rule = self.rule.and_then(|id| self.snapshot.rule(id));
        rule.map_or(&worker.shared.metrics.unrouted, |rule| &rule.metrics).record(status, took);
        let settings = self.settings();
        if let Some(settings) = settings {
            settings.judge_slowness(self, status, took);
        }
        if worker.log.is_on() {
            let format = settings.and_then(|settings| settings.log.as_ref());
            let ended = Ended { status, flag, took };
            worker.log.send(match format {
                Some(format) => format.line(|field| client::value(self, ended, field)),
                None => self.line(status, flag, took),
            });
        }
        let broken_body = self.upload.failed.get().and_then(|failure| failure.malformed);
        if let Some(reason) = self.malformed.or(broken_body) {
            worker.shared.metrics.malformed(reason);
        }
        self.downstream.ended(self.upload.ended.get(), self.status != 0);
    }
}
