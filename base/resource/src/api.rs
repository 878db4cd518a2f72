//! The way to the API server of this process: a handle that is there before the server and survives its restarts.
//!
//! `kube::Client` -> [`ApiHandle`] (adds the [`Caller`]) -> the API server's handler, without a socket or TLS.
//! While no server is registered, requests wait for one; after a while they are answered with 503 and `Retry-After`.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use purlin_auth::{Caller, Principal};
use tokio::sync::watch;

/// A body of a request or response, its type erased.
pub type ApiBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(String);

impl BodyError {
    /// The error of any body.
    pub fn new(error: impl std::fmt::Display) -> Self {
        BodyError(error.to_string())
    }
}

/// A whole body that is at hand.
pub fn boxed(bytes: impl Into<Bytes>) -> ApiBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// What answers API requests in this process. The request's extensions hold a [`Caller`].
pub trait InProcessApi: Send + Sync {
    /// Answers one request; errors are responses too.
    fn call(&self, request: Request<ApiBody>) -> BoxFuture<'static, Response<ApiBody>>;
}

type Registered = watch::Sender<Option<Arc<dyn InProcessApi>>>;

/// How long a request waits for the API server to start, or to start again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The place where the API server registers itself; clones share it.
#[derive(Clone)]
pub struct ApiHandle(Arc<Registered>);

impl Default for ApiHandle {
    fn default() -> Self {
        ApiHandle(Arc::new(Registered::new(None)))
    }
}

impl ApiHandle {
    /// Makes `api` answer from now on.
    pub fn register(&self, api: Box<dyn InProcessApi>) {
        self.0.send_replace(Some(Arc::from(api)));
    }

    /// Leaves nobody to answer.
    pub fn clear(&self) {
        self.0.send_replace(None);
    }

    /// A client of a part: it asks as `system:serviceaccount:purlin-system:PART`.
    pub fn client(&self, part: &str) -> kube::Client {
        self.client_of(Principal::part(part))
    }

    /// A client that asks as anybody: whoever holds the handle is trusted.
    pub fn client_of(&self, principal: Principal) -> kube::Client {
        let caller = Caller { principal, ..Caller::default() };
        kube::Client::new(Service { api: self.clone(), caller: Arc::new(caller) }, "default")
    }

    /// Sends one request as `caller`; waits a while for an API server to be there.
    pub fn call(&self, caller: Caller, mut request: Request<ApiBody>) -> BoxFuture<'static, Response<ApiBody>> {
        request.extensions_mut().insert(caller);
        let mut registered = self.0.subscribe();
        Box::pin(async move {
            let api = tokio::time::timeout(PATIENCE, registered.wait_for(Option::is_some)).await;
            let api = api.ok().and_then(Result::ok).and_then(|api| api.clone());
            match api {
                Some(api) => api.call(request).await,
                None => not_yet(),
            }
        })
    }
}

#[derive(Clone)]
struct Service {
    api: ApiHandle,
    caller: Arc<Caller>,
}

impl tower::Service<Request<kube::client::Body>> for Service {
    type Response = Response<ApiBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let request = request.map(|body| body.map_err(BodyError::new).boxed_unsync());
        let answer = self.api.call(Caller::clone(&self.caller), request);
        Box::pin(async move { Ok(answer.await) })
    }
}

fn not_yet() -> Response<ApiBody> {
    let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the API server of this process is not ready yet","reason":"ServiceUnavailable","code":503}"#;
    let mut response = Response::new(boxed(status));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    response
}
