//! The admin listener's answers: `/livez`, `/readyz` (gates, `?verbose`), `/metrics`.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use purlin_telemetry::metrics;

use crate::Health;

/// Answers one request of the admin listener; bodies are text.
pub fn answer<B>(request: &Request<B>, health: &Health) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".into());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => readyz(health, request.uri().query() == Some("verbose")),
        "/metrics" => text(StatusCode::OK, metrics::render()),
        _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz or /metrics\n".into()),
    }
}

fn readyz(health: &Health, verbose: bool) -> Response<Full<Bytes>> {
    let ready = health.is_ready();
    if ready && !verbose {
        return text(StatusCode::OK, "ok\n".into());
    }
    let mut body = String::new();
    for (name, open) in health.gates() {
        body.push_str(if open { "[+]" } else { "[-]" });
        body.push_str(&name);
        body.push('\n');
    }
    text(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
