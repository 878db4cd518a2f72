//! WebSocket over HTTP/2 (RFC 8441) in front of backends that speak it over HTTP/1.1.
//!
//! An extended CONNECT becomes the GET of RFC 6455 before anything looks at it, so that rules, filters and the backend
//! see one kind of handshake; the backend's 101 becomes a 200.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::ext::Protocol;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Turns an extended CONNECT for `websocket` into the GET of HTTP/1.1, and says so by the protocol's name.
pub(crate) fn of_extended_connect<B>(request: &mut Request<B>) -> Option<HeaderValue> {
    let protocol = request.extensions().get::<Protocol>()?;
    if request.method() != Method::CONNECT || protocol.as_ref() != b"websocket" {
        return None;
    }
    let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
    *request.method_mut() = Method::GET;
    request.headers_mut().insert(KEY, HeaderValue::from_str(&key).ok()?);
    Some(HeaderValue::from_static("websocket"))
}

/// What a client of HTTP/2 gets for a backend's 101.
pub(crate) fn accepted(headers: &mut HeaderMap) -> StatusCode {
    headers.remove(ACCEPT);
    StatusCode::OK
}
