//! `purlin demo-backend`: an HTTP server that tells what it was asked, to route to and to measure with.
//!
//! Every path answers with JSON: the backend's name, the method, path and headers as they arrived, and the size of the
//! body. `/status/CODE`, `/delay/MS`, `/bytes/N` and `/stream/N` answer as they say, within bounds. HTTP/1.1 and HTTP/2
//! without TLS; a WebSocket handshake is accepted on any path, and its messages are echoed.

mod websocket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use purlin_net::listen;
use purlin_net::serve::{ServeOptions, serve as serve_http};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::DemoBackendArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

const MAX_DELAY_MS: u64 = 60_000;
const MAX_BYTES: u64 = 1 << 30;
const MAX_LINES: u64 = 10_000;
/// The pause between two lines of a stream.
const LINE_PAUSE: Duration = Duration::from_millis(10);
/// The bytes that `/bytes/N` is made of.
static FILLING: [u8; 64 * 1024] = [b'p'; 64 * 1024];

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until a signal.
pub(crate) fn run(args: &DemoBackendArgs, output: &mut Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let listener = listen::bind(args.listen, "--listen")?;
        let address = listener.local_addr()?;
        output.data(&if args.json {
            json!({"event": "ready", "name": args.name, "listen": address.to_string()}).to_string()
        } else {
            format!("demo backend {:?} answers on http://{address}", args.name)
        })?;
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, args.name.clone(), shutdown.clone()));
        signals.next().await;
        shutdown.cancel();
        let drained = async {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the demo backend failed");
            }
        };
        signals.unless_repeated(drained).await;
        Ok(())
    })
}

/// Serves on `listener` until `shutdown`, then finishes what is in flight.
pub async fn serve(listener: TcpListener, name: String, shutdown: CancellationToken) {
    let backend = Arc::new(Backend { name, sockets: TaskTracker::new(), shutdown: shutdown.clone() });
    let answering = backend.clone();
    let answer = move |request| answering.clone().answer(request);
    serve_http(listener, None, answer, ServeOptions { name: "demo", ..ServeOptions::default() }, shutdown).await;
    backend.sockets.close();
    backend.sockets.wait().await;
}

struct Backend {
    name: String,
    /// WebSockets, which outlive the requests that they began as.
    sockets: TaskTracker,
    shutdown: CancellationToken,
}

impl Backend {
    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Response<Body> {
        if let Some(response) = websocket::accept(&mut request, &self.sockets, &self.shutdown) {
            return response.map(|()| whole(Bytes::new()));
        }
        let action = match Action::of(request.uri().path()) {
            Ok(action) => action,
            Err(message) => return json_answer(StatusCode::BAD_REQUEST, &json!({"error": message})),
        };
        let (head, body) = request.into_parts();
        let told = json!({
            "name": self.name,
            "method": head.method.as_str(),
            "path": head.uri.path_and_query().map_or("/", |path| path.as_str()),
            "headers": headers(&head.headers),
            "body_bytes": count(body).await,
        });
        match action {
            Action::Tell => json_answer(StatusCode::OK, &told),
            Action::Status(status) => json_answer(status, &told),
            Action::Delay(delay) => {
                tokio::time::sleep(delay).await;
                json_answer(StatusCode::OK, &told)
            }
            Action::Bytes(count) => bytes(count),
            Action::Stream(count) => lines(&self.name, count),
        }
    }
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Tell,
    Status(StatusCode),
    Delay(Duration),
    Bytes(u64),
    Stream(u64),
}

impl Action {
    fn of(path: &str) -> Result<Action, String> {
        let Some((verb, argument)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return Ok(Action::Tell);
        };
        let within = |low: u64, high: u64| {
            let number = argument.parse::<u64>().ok().filter(|number| (low..=high).contains(number));
            number.ok_or_else(|| format!("/{verb}/N takes a number from {low} to {high}, not {argument:?}"))
        };
        Ok(match verb {
            "status" => {
                let code = within(200, 599)?;
                Action::Status(u16::try_from(code).ok().and_then(|code| code.try_into().ok()).unwrap_or_default())
            }
            "delay" => Action::Delay(Duration::from_millis(within(0, MAX_DELAY_MS)?)),
            "bytes" => Action::Bytes(within(0, MAX_BYTES)?),
            "stream" => Action::Stream(within(0, MAX_LINES)?),
            _ => Action::Tell,
        })
    }
}

/// Header lines by name; those of one name are joined as HTTP allows.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let joined = |name| headers.get_all(name).iter().map(text).collect::<Vec<_>>().join(", ");
    headers.keys().map(|name| (name.as_str().to_owned(), joined(name).into())).collect()
}

/// The size of a body, which is read and forgotten.
async fn count(mut body: Incoming) -> u64 {
    let mut size = 0;
    while let Some(Ok(frame)) = body.frame().await {
        size += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    size
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    // These two have no body (RFC 9110, 15.3.5 and 15.4.5).
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if bodiless { Bytes::new() } else { Bytes::from(format!("{value}\n")) };
    answer(status, "application/json", whole(body))
}

fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn bytes(count: u64) -> Response<Body> {
    let chunks = stream::unfold(count, |left| async move {
        let size = FILLING.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let chunk = Bytes::from_static(FILLING.get(..size).filter(|chunk| !chunk.is_empty())?);
        Some((Ok(Frame::data(chunk)), left - size as u64))
    });
    let mut response = answer(StatusCode::OK, "application/octet-stream", StreamBody::new(chunks).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(count));
    response
}

fn lines(name: &str, count: u64) -> Response<Body> {
    let name = name.to_owned();
    let lines = stream::unfold(0, move |at| {
        let line = (at < count).then(|| Bytes::from(format!("{}\n", json!({"name": name, "line": at}))));
        async move {
            if at > 0 && line.is_some() {
                tokio::time::sleep(LINE_PAUSE).await;
            }
            line.map(|line| (Ok(Frame::data(line)), at + 1))
        }
    });
    answer(StatusCode::OK, "application/x-ndjson", StreamBody::new(lines).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_ask_for_things_within_bounds() {
        let check = |path: &str, expected: Option<Action>| assert_eq!(Action::of(path).ok(), expected, "{path}");
        for path in ["/", "", "/status", "/any/thing/else", "//", "/Status/200"] {
            check(path, Some(Action::Tell));
        }
        check("/status/503", Some(Action::Status(StatusCode::SERVICE_UNAVAILABLE)));
        check("/delay/60000", Some(Action::Delay(Duration::from_secs(60))));
        check("/bytes/0", Some(Action::Bytes(0)));
        check("/stream/3", Some(Action::Stream(3)));
        for path in [
            "/status/199",
            "/status/600",
            "/delay/60001",
            "/delay/-1",
            "/bytes/x",
            "/bytes/9999999999999999999999",
            "/stream/",
        ] {
            check(path, None);
        }
        assert_eq!(Action::of("/delay/x").unwrap_err(), "/delay/N takes a number from 0 to 60000, not \"x\"");
    }
}
