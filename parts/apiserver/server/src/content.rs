//! What goes over the wire: request bodies in, and responses in the form that the client asks for.
//!
//! Bodies are JSON, YAML or Kubernetes protobuf, at most 3 MiB. Responses are JSON: the object itself, a Table, or
//! its metadata only (`as=Table`, `as=PartialObjectMetadata` of meta.k8s.io).

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use purlin_apiserver_publish::MetaVersion;
use purlin_apiserver_schema::{DecodeError, Decoded, Limits, decode_json, decode_yaml};
use purlin_resource::{ApiBody, boxed};
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

/// The largest request body, as kube-apiserver has it.
pub(crate) const MAX_BODY: usize = 3 << 20;

const READABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const WRITABLE: &str = "application/json, application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// Reads a whole body; 413 beyond [`MAX_BODY`].
pub(crate) async fn read_body(body: ApiBody) -> ApiResult<Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(format!("Request entity too large: limit is {MAX_BODY}")))
        }
        Err(error) => Err(ApiError::bad_request(format!("the request's body could not be read: {error}"))),
    }
}

/// The media type without parameters, in lower case; JSON where none is given.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("application/json");
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads an object by its media type.
pub(crate) fn decode(media_type: &str, body: &[u8]) -> ApiResult<Decoded> {
    let limits = Limits { bytes: MAX_BODY, ..Limits::default() };
    let refused =
        |error: DecodeError| ApiError::bad_request(format!("the request's body could not be decoded: {error}"));
    match media_type {
        "application/json" => decode_json(body, &limits).map_err(refused),
        "application/yaml" | "application/x-yaml" | "text/yaml" => decode_yaml(body, &limits).map_err(refused),
        purlin_kubernetes::CONTENT_TYPE => {
            let value = purlin_kubernetes::decode(body).map_err(|e| match e {
                purlin_kubernetes::DecodeError::UnknownKind { .. } => ApiError::unsupported_media_type(READABLE),
                other => ApiError::bad_request(format!("the request's body could not be decoded: {other}")),
            })?;
            Ok(Decoded { value, duplicates: Vec::new() })
        }
        _ => Err(ApiError::unsupported_media_type(READABLE)),
    }
}

/// In which form an object or list is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Object,
    /// `as=Table`.
    Table(MetaVersion),
    /// `as=PartialObjectMetadata` or `as=PartialObjectMetadataList`.
    Metadata(MetaVersion),
}

/// The first form of the Accept header that we can write.
pub(crate) fn negotiate(headers: &HeaderMap) -> ApiResult<Form> {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    accept.split(',').find_map(form).ok_or_else(|| ApiError::not_acceptable(WRITABLE))
}

fn form(range: &str) -> Option<Form> {
    let mut parts = range.split(';').map(str::trim);
    if !matches!(parts.next()?, "application/json" | "application/*" | "*/*" | "") {
        return None;
    }
    let (mut kind, mut group, mut version) = ("", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            _ => {}
        }
    }
    let version = match (kind, group, version) {
        ("", ..) => return Some(Form::Object),
        (_, "meta.k8s.io", "v1") => MetaVersion::V1,
        (_, "meta.k8s.io", "v1beta1") => MetaVersion::V1Beta1,
        _ => return None,
    };
    match kind {
        "Table" => Some(Form::Table(version)),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Form::Metadata(version)),
        _ => None,
    }
}

/// A JSON response.
pub(crate) fn json(code: StatusCode, body: impl Into<Bytes>) -> Response<ApiBody> {
    let mut response = Response::new(boxed(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON response of a value.
pub(crate) fn value(code: StatusCode, value: &Value) -> Response<ApiBody> {
    json(code, value.to_string())
}

/// A refusal.
pub(crate) fn refusal(error: &ApiError) -> Response<ApiBody> {
    let mut response = value(error.code, &error.status());
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.code == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"kubernetes\"");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Warnings as RFC 9111 (5.5) had them and kubectl prints them: `299 - "text"`.
pub(crate) fn add_warnings(response: &mut Response<ApiBody>, warnings: &[String]) {
    const MOST: usize = 32;
    for text in warnings.iter().take(MOST) {
        let plain: String = text.chars().filter(|c| !c.is_control()).take(512).collect();
        let quoted = plain.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &'static str, expected: Option<Form>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        assert_eq!(negotiate(&headers).ok(), expected, "{accept}");
    }

    #[test]
    fn the_first_form_that_we_can_write_is_taken() {
        check("application/json", Some(Form::Object));
        check("*/*", Some(Form::Object));
        check("application/vnd.kubernetes.protobuf,application/json", Some(Form::Object));
        check("application/vnd.kubernetes.protobuf", None);
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(Form::Table(MetaVersion::V1)),
        );
        check("application/json;as=Table;g=meta.k8s.io;v=v9, application/json", Some(Form::Object));
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Some(Form::Metadata(MetaVersion::V1)),
        );
        check("text/html", None);
    }
}
