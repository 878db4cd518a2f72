//! An API server elsewhere, for roles that run without one beside them: what they ask goes there as the kubeconfig's
//! user, since their own service accounts exist only within one process.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use purlin_resource::{ApiBody, BodyError, InProcessApi, boxed};
use serde_json::json;

/// Passes requests on.
pub(crate) struct Outside {
    client: kube::Client,
}

impl Outside {
    /// Passes requests on to where `client` leads.
    pub(crate) fn new(client: kube::Client) -> Outside {
        Outside { client }
    }
}

impl InProcessApi for Outside {
    fn call(&self, request: Request<ApiBody>) -> BoxFuture<'static, Response<ApiBody>> {
        let client = self.client.clone();
        let (head, body) = request.into_parts();
        async move {
            // What parts send is whole: an object or a patch.
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return unreachable(&error.to_string()),
            };
            let mut passed = Request::new(Body::from(body));
            *passed.method_mut() = head.method;
            *passed.uri_mut() = head.uri;
            *passed.headers_mut() = head.headers;
            match client.send(passed).await {
                Ok(response) => response.map(|body| body.map_err(BodyError::new).boxed_unsync()),
                Err(error) => unreachable(&super::request::root_cause(&error)),
            }
        }
        .boxed()
    }
}

/// What a client retries: a Status with 503.
fn unreachable(message: &str) -> Response<ApiBody> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the API server cannot be reached: {message}"), "reason": "ServiceUnavailable", "code": 503,
    });
    let mut response = Response::new(boxed(status.to_string()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use purlin_resource::ApiHandle;

    use super::*;
    use crate::client::fake;

    #[tokio::test]
    async fn requests_of_parts_reach_the_server_elsewhere() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
        let server = fake::Server::new().on("GET", "/api/v1/namespaces/a", 200, namespace);
        let handle = ApiHandle::default();
        handle.register(Box::new(Outside::new(server.connection().client)));
        let api: kube::Api<Namespace> = kube::Api::all(handle.client("gateway"));
        assert_eq!(api.get("a").await.unwrap().metadata.name.as_deref(), Some("a"));
        assert!(matches!(api.get("b").await, Err(kube::Error::Api(status)) if status.code == 404));
    }
}
