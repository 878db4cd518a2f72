//! Paths that are no resources: discovery, OpenAPI, version, health, keys of the token issuer.
//!
//! Documents about resources are rendered when first asked for and kept with the catalog that they describe.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Method, Request, Response, StatusCode};
use purlin_apiserver_publish as publish;
use purlin_apiserver_publish::{DiscoveryVersion, Root};
use purlin_auth::token::{CONFIGURATION_PATH, JWKS_PATH};
use purlin_resource::{ApiBody, boxed};
use serde_json::{Value, json};

use crate::api::Api;
use crate::catalog::Catalog;
use crate::content;
use crate::error::{ApiError, ApiResult};

/// The Kubernetes version whose API is spoken; helm reads it.
const MINOR: &str = "36";

pub(crate) fn answer(api: &Api, path: &str, request: &Request<ApiBody>) -> ApiResult<Response<ApiBody>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(ApiError::method_not_allowed());
    }
    match path {
        "/version" => Ok(content::value(StatusCode::OK, &version())),
        "/healthz" | "/livez" | "/readyz" => Ok(plain("ok")),
        JWKS_PATH => Ok(content::value(StatusCode::OK, &api.tokens.jwks())),
        CONFIGURATION_PATH => {
            let uri = format!("{}{JWKS_PATH}", api.tokens.issuer());
            Ok(content::value(StatusCode::OK, &api.tokens.configuration(&uri)))
        }
        _ => document(api, path, request),
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.3+purlin.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
    })
}

fn plain(text: &'static str) -> Response<ApiBody> {
    let mut response = Response::new(boxed(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A document about the catalog, with its media type.
fn document(api: &Api, path: &str, request: &Request<ApiBody>) -> ApiResult<Response<ApiBody>> {
    let accept = request.headers().get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let path = path.trim_end_matches('/');
    let aggregated = aggregation(accept).filter(|_| matches!(path, "/api" | "/apis"));
    let catalog = api.catalog.load_full();
    let key = format!("{path}?{aggregated:?}");
    let cached = catalog.documents.lock().get(&key).cloned();
    let (body, etag) = match cached {
        Some(found) => found,
        None => {
            let value = render(&catalog, path, aggregated).ok_or_else(ApiError::no_such_path)?;
            let rendered = (Arc::<[u8]>::from(value.to_string().into_bytes()), publish::etag(&value));
            catalog.documents.lock().insert(key, rendered.clone());
            rendered
        }
    };
    let media = match aggregated {
        Some(DiscoveryVersion::V2) => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        Some(DiscoveryVersion::V2Beta1) => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        None => "application/json",
    };
    let tag = format!("\"{etag}\"");
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let mut response = if known {
        let mut response = Response::new(boxed(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(boxed(Bytes::from_owner(body)))
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    // A path with its hash never changes what it says.
    if path.starts_with("/openapi/v3/") && request.uri().query().is_some_and(|q| q.contains(&format!("hash={etag}"))) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable, max-age=31536000"));
    }
    Ok(response)
}

/// The newest form of aggregated discovery that a client takes; None for the unaggregated one.
fn aggregation(accept: &str) -> Option<DiscoveryVersion> {
    accept.split(',').find_map(|range| {
        let is = |part: &str| range.split(';').any(|p| p.trim() == part);
        if !is("as=APIGroupDiscoveryList") || !is("g=apidiscovery.k8s.io") {
            return None;
        }
        if is("v=v2") {
            Some(DiscoveryVersion::V2)
        } else if is("v=v2beta1") {
            Some(DiscoveryVersion::V2Beta1)
        } else {
            None
        }
    })
}

fn render(catalog: &Catalog, path: &str, aggregated: Option<DiscoveryVersion>) -> Option<Value> {
    let defs = catalog.published();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (parts.as_slice(), aggregated) {
        (["api"], Some(version)) => Some(publish::aggregated(defs, Root::Api, version)),
        (["apis"], Some(version)) => Some(publish::aggregated(defs, Root::Apis, version)),
        (["api"], None) => Some(publish::api_versions(defs, "")),
        (["apis"], None) => Some(publish::api_groups(defs)),
        (["apis", group], _) => publish::api_group(defs, group),
        (["api", version], _) => publish::api_resources(defs, "", version),
        (["apis", group, version], _) => publish::api_resources(defs, group, version),
        (["openapi", "v2"], _) => Some(publish::openapi_v2(defs)),
        (["openapi", "v3"], _) => Some(publish::openapi_v3_index(defs)),
        (["openapi", "v3", "api", version], _) => publish::openapi_v3(defs, "", version),
        (["openapi", "v3", "apis", group, version], _) => publish::openapi_v3(defs, group, version),
        ([], _) => Some(json!({"paths": [
            "/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2",
            "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version",
        ]})),
        _ => None,
    }
}
