//! Paths that are no resources: discovery, OpenAPI, version, health, metrics, keys of the token issuer.
//!
//! Documents about resources are rendered when first asked for and kept with the catalog that they describe.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use parking_lot::Mutex;
use purlin_apiserver_publish as publish;
use purlin_apiserver_publish::{DiscoveryVersion, Root};
use purlin_auth::token::{CONFIGURATION_PATH, JWKS_PATH};
use purlin_resource::{ApiBody, boxed};
use purlin_telemetry::metrics;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::Api;
use crate::catalog::Catalog;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::health;

/// The Kubernetes version whose API is spoken; helm reads it.
const MINOR: &str = "36";

/// The paths that `/` lists, beside those of health.
const PATHS: [&str; 9] = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/version",
];

const PLAIN: &str = "text/plain; charset=utf-8";
/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A rendered document and its entity tag.
type Document = (Arc<[u8]>, String);

/// What was rendered of a catalog, by normal path and form. A path that names no document leaves nothing behind.
#[derive(Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Arc<OnceCell<Document>>>>);

impl Documents {
    /// The document at `key`; rendered once however many ask, and off the threads that serve requests.
    async fn get(
        &self,
        key: String,
        render: impl FnOnce() -> Option<Document> + Send + 'static,
    ) -> ApiResult<Document> {
        let cell = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        let rendered = cell.get_or_try_init(|| async {
            let rendered = tokio::task::spawn_blocking(render).await;
            let rendered = rendered.map_err(|e| ApiError::internal(format!("rendering {e}")))?;
            rendered.ok_or_else(ApiError::no_such_path)
        });
        let document = rendered.await.cloned();
        if document.is_err() {
            self.0.lock().remove(&key);
        }
        document
    }
}

pub(crate) async fn answer(api: &Api, path: &str, request: &Parts) -> ApiResult<Response<ApiBody>> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(ApiError::method_not_allowed());
    }
    if let Some((status, text)) = health::answer(api, path, request.uri.query().unwrap_or_default()).await? {
        let mut response = plain(PLAIN, text);
        *response.status_mut() = status;
        return Ok(response);
    }
    match path {
        "/metrics" => Ok(plain(METRICS, metrics::render())),
        "/version" => Ok(content::value(StatusCode::OK, &version())),
        JWKS_PATH => Ok(content::value(StatusCode::OK, &api.tokens.jwks())),
        CONFIGURATION_PATH => {
            let uri = format!("{}{JWKS_PATH}", api.tokens.issuer());
            Ok(content::value(StatusCode::OK, &api.tokens.configuration(&uri)))
        }
        _ => document(api, path, request).await,
    }
}

/// OpenAPI v2 in protobuf as kubectl asks for it, and takes nothing else; with the `@` it is no media type to answer with.
const ASKED_FOR_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

fn wants_protobuf(accept: &str) -> bool {
    accept.contains(ASKED_FOR_PROTOBUF) || accept.contains(OPENAPI_V2_PROTOBUF)
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR,
        "gitVersion": format!("v1.{MINOR}.3+purlin.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
    })
}

fn plain(media_type: &'static str, text: String) -> Response<ApiBody> {
    let mut response = Response::new(boxed(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A document about the catalog, with its media type.
async fn document(api: &Api, path: &str, request: &Parts) -> ApiResult<Response<ApiBody>> {
    let accept = request.headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = format!("/{}", parts.join("/"));
    let aggregated = aggregation(accept).filter(|_| matches!(&*path, "/api" | "/apis"));
    let protobuf = path == "/openapi/v2" && wants_protobuf(accept);
    let catalog = api.catalog.load_full();
    let key = format!("{path}?{aggregated:?}{protobuf}");
    let (described, rendered) = (Arc::clone(&catalog), path.clone());
    let document = catalog.documents.get(key, move || {
        let value = render(&described, &rendered, aggregated)?;
        let etag = publish::etag(&value);
        Some(if protobuf {
            (publish::openapi_v2_protobuf(&value).into(), format!("{etag}-protobuf"))
        } else {
            (value.to_string().into_bytes().into(), etag)
        })
    });
    let (body, etag) = document.await?;
    let media = match aggregated {
        _ if protobuf => OPENAPI_V2_PROTOBUF,
        Some(DiscoveryVersion::V2) => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        Some(DiscoveryVersion::V2Beta1) => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        None => "application/json",
    };
    let tag = format!("\"{etag}\"");
    let known = request.headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
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
    if path.starts_with("/openapi/v3/") && request.uri.query().is_some_and(|q| q.contains(&format!("hash={etag}"))) {
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
        ([], _) => {
            let mut paths: Vec<String> = PATHS.map(str::to_owned).into_iter().chain(health::paths()).collect();
            paths.sort_unstable();
            Some(json!({"paths": paths}))
        }
        _ => None,
    }
}
