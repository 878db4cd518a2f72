//! Answers that the proxy gives itself: why a request failed, in one line that names the cause and nothing internal.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SERVER};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use crate::body::Out;
use crate::head::Refused;
use crate::metrics::Malformed;
use crate::record::Record;
use crate::trace::REQUEST_ID;

/// Why a request is not answered by a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    /// For the access log.
    pub(crate) flag: &'static str,
    /// For the client.
    pub(crate) why: &'static str,
    /// The connection must not be used further.
    pub(crate) close: bool,
    /// The request's fault: what counts it.
    pub(crate) malformed: Option<Malformed>,
}

pub(crate) const fn failure(status: StatusCode, flag: &'static str, why: &'static str) -> Failure {
    Failure { status, flag, why, close: false, malformed: None }
}

impl Failure {
    pub(crate) const NO_LISTENER: Self = failure(StatusCode::NOT_FOUND, "no_listener", "no listener is for this host");
    pub(crate) const MISDIRECTED: Self = failure(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected",
        "this connection was opened for another host: open one for this host",
    );
    pub(crate) const NO_ROUTE: Self = failure(StatusCode::NOT_FOUND, "no_route", "no route matches this request");
    pub(crate) const BROKEN: Self =
        failure(StatusCode::INTERNAL_SERVER_ERROR, "broken_rule", "the route of this request is not valid");
    pub(crate) const NO_BACKEND: Self =
        failure(StatusCode::INTERNAL_SERVER_ERROR, "no_backend", "the route of this request has no valid backend");
    pub(crate) const NO_ENDPOINT: Self =
        failure(StatusCode::SERVICE_UNAVAILABLE, "no_endpoint", "the backend has no ready endpoint");
    pub(crate) const CONNECT: Self =
        failure(StatusCode::SERVICE_UNAVAILABLE, "connect_failed", "the backend cannot be connected to");
    pub(crate) const UPSTREAM: Self =
        failure(StatusCode::BAD_GATEWAY, "upstream_broke_off", "the backend broke off before it answered");
    pub(crate) const BAD_RESPONSE: Self =
        failure(StatusCode::BAD_GATEWAY, "bad_response", "the backend's answer is not valid HTTP");
    pub(crate) const TIMEOUT: Self =
        failure(StatusCode::GATEWAY_TIMEOUT, "response_timeout", "the backend did not answer in time");
    pub(crate) const NO_TUNNEL: Self =
        failure(StatusCode::NOT_IMPLEMENTED, "no_tunnel", "the backend does not take WebSockets");
    pub(crate) const EXPECTATION: Self = Self {
        malformed: Some(Malformed::Expectation),
        ..failure(StatusCode::EXPECTATION_FAILED, "refused", "only Expect: 100-continue is known")
    };
    /// The client's fault, as [`Self::UPLOAD`], but it did arrive.
    pub(crate) const BAD_UPLOAD: Self = Self {
        close: true,
        malformed: Some(Malformed::Body),
        ..failure(StatusCode::BAD_REQUEST, "refused", "the request's body is not valid HTTP")
    };
    /// The client's fault, and what is left of its request cannot be found again.
    pub(crate) const UPLOAD: Self = Self {
        close: true,
        ..failure(StatusCode::REQUEST_TIMEOUT, "upload_broke_off", "the request's body did not arrive in time")
    };
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self { close: true, malformed: Some(refused.reason), ..failure(refused.status, "refused", refused.why) }
    }
}

/// The answer to a request that failed.
pub(crate) fn fail(failure: Failure, mut record: Box<Record>) -> Response<Out> {
    record.flag = failure.flag;
    record.malformed = failure.malformed;
    let text = Bytes::from(format!("{}\n", failure.why));
    let close = failure.close && record.version != Version::HTTP_2;
    let mut response = local(failure.status, text, record);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A redirect.
pub(crate) fn redirect(status: StatusCode, location: HeaderValue, record: Box<Record>) -> Response<Out> {
    let mut response = local(status, Bytes::new(), record);
    response.headers_mut().insert(LOCATION, location);
    response
}

/// An answer without a body whose head says all.
pub(crate) fn bare(status: StatusCode, headers: HeaderMap, record: Box<Record>) -> Response<Out> {
    let mut response = local(status, Bytes::new(), record);
    if status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response.headers_mut().extend(headers);
    response
}

fn local(status: StatusCode, text: Bytes, mut record: Box<Record>) -> Response<Out> {
    record.status = status.as_u16();
    record.bytes_out = text.len() as u64;
    record.complete = true;
    let length = HeaderValue::from(text.len());
    let request_id = record.ids.request.clone();
    let data = Some(text).filter(|text| !text.is_empty());
    let mut response = Response::new(Out::Local { data, record: Some(record) });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response.headers_mut().insert(SERVER, HeaderValue::from_static("purlin"));
    response.headers_mut().insert(REQUEST_ID, request_id);
    response
}
