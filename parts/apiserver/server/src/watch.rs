//! `watch`: a stream of events, pulled by the client's reading.
//!
//! First, unless it goes on from a revision, everything that is there as ADDED; then what happens: from the
//! resource's ring, or from the log where the watcher has fallen behind it, or 410 where the log no longer reaches.
//! Nothing is kept for a slow watcher: it is simply further behind. With a selector, an object that begins to match is
//! ADDED and one that ceases to is DELETED. A watch ends at its time-out, when the server drains, and when the
//! definition of its custom resource goes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use purlin_apiserver_publish as publish;
use purlin_apiserver_schema::{Cause, FieldError};
use purlin_resource::ApiBody;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::api::Call;
use crate::catalog::Served;
use crate::content::Form;
use crate::error::{ApiError, ApiResult};
use crate::options::Options;
use crate::read::{confirm_committed, filter, parse_revision, read_error, shaped};
use crate::select::Selection;
use crate::storage::{Event, EventKind, Next, PageQuery, Ring, Stored};

/// Events that are encoded at a time.
const BATCH: usize = 128;
/// How often a watcher that asked for bookmarks is told how far it has seen.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts that names no time-out; somewhat more, by chance, so that they do not end all at once.
const SHORTEST: u64 = 1800;
/// How long a watch lasts at most, whatever it names.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

struct Watcher {
    call: Call,
    served: Served,
    selection: Selection,
    /// Everything up to this revision was sent.
    seen: i64,
    /// What was there at the beginning and is still to be sent.
    initial: std::vec::IntoIter<Stored>,
    /// The bookmark after the initial events is still due.
    announce: bool,
    ring: Arc<Ring>,
    wake: tokio::sync::watch::Receiver<i64>,
    catalogs: tokio::sync::watch::Receiver<u64>,
    until: Instant,
    bookmark_at: Instant,
    table_begun: bool,
    ended: bool,
}

pub(crate) async fn watch(call: &Call, served: &Served) -> ApiResult<Response<ApiBody>> {
    let watcher = begin(call, served).await?;
    let stream = futures::stream::unfold(watcher, |mut watcher| async move {
        let chunk = watcher.next().await?;
        Some((chunk, watcher))
    });
    let frames = stream.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn begin(call: &Call, served: &Served) -> ApiResult<Watcher> {
    let options = &call.options;
    let selection = Selection::of(call, served)?;
    let rv = parse_revision(&options.resource_version)?;
    confirm_committed(call, rv).await?;
    let hub = call.api.storage.hub();
    let announced = options.send_initial_events == Some(true);
    check_initial_events(options)?;
    let from_start = announced || (options.send_initial_events.is_none() && rv == 0);
    let ring = hub.ring(&served.resource.gr);
    let wake = ring.wake();
    let (initial, seen) = if from_start {
        let ns = selection.namespace.as_deref().map(Into::into);
        let query = PageQuery { gr: Arc::clone(&served.resource.gr), ns, after: None, limit: 0, at: None };
        let page = call.api.storage.page(query, filter(&selection, served)).await.map_err(read_error)?;
        (page.items, page.rv)
    } else {
        (Vec::new(), if rv == 0 { hub.revision() } else { rv })
    };
    let now = Instant::now();
    let lasts = options
        .timeout
        .filter(|t| !t.is_zero())
        .map(|t| t.min(LONGEST))
        .unwrap_or_else(|| Duration::from_secs(SHORTEST + rand::random::<u64>() % SHORTEST));
    Ok(Watcher {
        call: call.clone(),
        served: served.clone(),
        selection,
        seen,
        initial: initial.into_iter(),
        announce: announced,
        ring,
        wake,
        catalogs: call.api.catalog_changed.subscribe(),
        until: now + lasts,
        bookmark_at: now + BOOKMARK_EVERY,
        table_begun: false,
        ended: false,
    })
}

fn check_initial_events(options: &Options) -> ApiResult<()> {
    let matched = options.resource_version_match.as_str();
    let (field, why) = match (options.send_initial_events, matched) {
        (None, "") | (Some(false), "NotOlderThan") => return Ok(()),
        (Some(true), "NotOlderThan") if options.bookmarks => return Ok(()),
        (Some(_), "NotOlderThan") => ("allowWatchBookmarks", "sendInitialEvents requires allowWatchBookmarks"),
        (None, _) => {
            ("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
        (Some(_), _) => {
            ("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
    };
    Err(ApiError::invalid_options("ListOptions", &[FieldError::new(field, Cause::Forbidden, why)]))
}

impl Watcher {
    /// The next bytes of the stream; None at its end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended {
            if let Some(chunk) = self.initial_events() {
                return Some(chunk);
            }
            // A busy watch does not come to wait.
            if Instant::now() >= self.until || self.call.api.shutdown.is_cancelled() {
                return self.end();
            }
            // Read before the ring: what was published by then is in the ring.
            let published = self.call.api.storage.hub().revision();
            let events = match self.ring.after(self.seen, BATCH) {
                Next::Events(events) if events.is_empty() => {
                    // So a bookmark of a quiet resource does not grow old.
                    self.seen = self.seen.max(published);
                    if let Some(chunk) = self.wait().await {
                        return Some(chunk);
                    }
                    continue;
                }
                Next::Events(events) => {
                    self.seen = events.last().map_or(self.seen, |e| e.rv);
                    events
                }
                Next::Behind => match self.read_log().await {
                    Ok(events) => events,
                    Err(error) => return Some(self.error(&error)),
                },
            };
            let mut out = Vec::new();
            for event in &events {
                self.encode(&mut out, event);
            }
            if !out.is_empty() {
                return Some(out.into());
            }
        }
        None
    }

    fn initial_events(&mut self) -> Option<Bytes> {
        let batch: Vec<Stored> = self.initial.by_ref().take(BATCH).collect();
        let mut out = Vec::new();
        for stored in &batch {
            let body = self.body(&stored.body);
            line(&mut out, "ADDED", &body);
        }
        if self.initial.as_slice().is_empty() && self.announce {
            self.announce = false;
            let bookmark = self.bookmark(true);
            line(&mut out, "BOOKMARK", bookmark.as_bytes());
        }
        (!out.is_empty()).then(|| out.into())
    }

    async fn read_log(&mut self) -> ApiResult<Vec<Arc<Event>>> {
        let gr = Arc::clone(&self.served.resource.gr);
        let read = self.call.api.storage.events_after(gr, self.seen, BATCH).await;
        let (events, complete) = read.map_err(|error| {
            let mut error = read_error(error);
            if error.reason == "Expired" {
                error.message = format!("too old resource version: {}", self.seen);
            }
            error
        })?;
        self.seen = complete;
        Ok(events)
    }

    /// Waits for the next event; a bookmark or nothing comes of it.
    async fn wait(&mut self) -> Option<Bytes> {
        let shutdown = self.call.api.shutdown.clone();
        tokio::select! {
            changed = self.wake.changed() => self.ended = changed.is_err(),
            () = shutdown.cancelled() => self.ended = true,
            () = sleep_until(self.until) => return self.end(),
            _ = self.catalogs.changed() => self.follow_catalog(),
            () = sleep_until(self.bookmark_at) => {
                self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
                if self.call.options.bookmarks {
                    let mut out = Vec::new();
                    line(&mut out, "BOOKMARK", self.bookmark(false).as_bytes());
                    return Some(out.into());
                }
            }
        }
        None
    }

    /// The last words: how far the watcher has seen, where it asked for bookmarks.
    fn end(&mut self) -> Option<Bytes> {
        self.ended = true;
        let mut out = Vec::new();
        if self.call.options.bookmarks {
            line(&mut out, "BOOKMARK", self.bookmark(false).as_bytes());
        }
        (!out.is_empty()).then(|| out.into())
    }

    /// Goes on with the resource as the catalog has it now; ends where this very resource is gone from it.
    fn follow_catalog(&mut self) {
        let def = self.served.def();
        let found = self.call.api.catalog.load().find(&def.group, &self.served.version().name, &def.names.plural);
        match found.filter(|found| found.def().origin == def.origin) {
            Some(found) => self.served = found,
            None => self.ended = true,
        }
    }

    fn encode(&mut self, out: &mut Vec<u8>, event: &Event) {
        let is = event.kind != EventKind::Deleted && self.matches(event, Event::object);
        let was = event.prev.is_some() && self.matches(event, |event| event.previous().unwrap_or(&Value::Null));
        let word = match (was, is) {
            (false, false) => return,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let body = match event.previous().filter(|_| word == "DELETED" && event.kind != EventKind::Deleted) {
            // What no longer matches is shown as it was when it did.
            Some(previous) => {
                let mut previous = previous.clone();
                previous["metadata"]["resourceVersion"] = event.rv.to_string().into();
                self.body(&previous.to_string().into_bytes().into())
            }
            None => self.body(&event.body),
        };
        line(out, word, &body);
    }

    /// Whether the event's object, before or after, belongs to the watch.
    fn matches(&self, event: &Event, object: impl for<'a> Fn(&'a Event) -> &'a Value) -> bool {
        let def = self.served.def();
        let Some(alias) = def.strategy.alias.filter(|_| !self.selection.is_whole()) else {
            return self.selection.matches(def, &event.key, || object(event));
        };
        let mut shown = object(event).clone();
        (alias.from_stored)(&mut shown);
        self.selection.matches(def, &event.key, || &shown)
    }

    /// A stored body in the watch's version and form.
    fn body(&mut self, body: &Arc<[u8]>) -> Arc<[u8]> {
        match self.call.form {
            Form::Object => self.served.body(body),
            form => {
                let headers = !std::mem::replace(&mut self.table_begun, true);
                let shown = shaped(&self.call, &self.served, form, &[self.served.object(body)], None, headers);
                shown.to_string().into_bytes().into()
            }
        }
    }

    /// Tells how far the watcher has seen.
    fn bookmark(&self, initial_end: bool) -> String {
        let mut metadata = json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({
            "kind": self.served.def().names.kind, "apiVersion": self.served.api_version(), "metadata": metadata,
        });
        match self.call.form {
            Form::Object => object.to_string(),
            Form::Metadata(version) => publish::partial_object(&object, version).to_string(),
            form => {
                let mut table = shaped(&self.call, &self.served, form, std::slice::from_ref(&object), None, false);
                // The row carries the bookmark's annotations to clients that watch Tables.
                table["metadata"] = json!({"resourceVersion": self.seen.to_string()});
                table.to_string()
            }
        }
    }

    fn error(&mut self, error: &ApiError) -> Bytes {
        self.ended = true;
        let mut out = Vec::new();
        line(&mut out, "ERROR", error.status().to_string().as_bytes());
        out.into()
    }
}

/// One event of the stream (`WatchEvent`, meta/v1).
fn line(out: &mut Vec<u8>, word: &str, object: &[u8]) {
    for part in [&b"{\"type\":\""[..], word.as_bytes(), b"\",\"object\":", object, b"}\n"] {
        out.extend_from_slice(part);
    }
}
