//! An API server of a few answers, for tests.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::{Value, json};

use crate::client::connect::Connection;

/// Answers by method and path, and remembers what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Vec<(u16, Value)>>,
    asked: Vec<(String, Value)>,
}

impl Server {
    /// A server that knows namespaces, ConfigMaps, CustomResourceDefinitions and HTTPRoutes.
    pub(crate) fn new() -> Server {
        let resource = |plural: &str, singular: &str, kind: &str, scope: &str, short: &[&str]| json!({"resource": plural, "singularResource": singular, "responseKind": {"kind": kind}, "scope": scope, "shortNames": short});
        let group = |name: &str, resources: Value| {
            let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
            json!({"metadata": metadata, "versions": [{"version": "v1", "resources": resources}]})
        };
        let core = json!([
            resource("namespaces", "namespace", "Namespace", "Cluster", &["ns"]),
            resource("configmaps", "configmap", "ConfigMap", "Namespaced", &["cm"]),
        ]);
        let crds = json!([resource(
            "customresourcedefinitions",
            "customresourcedefinition",
            "CustomResourceDefinition",
            "Cluster",
            &["crd"]
        )]);
        let routes = json!([resource("httproutes", "httproute", "HTTPRoute", "Namespaced", &[])]);
        Server::default().on("GET", "/api", 200, json!({"items": [group("", core)]})).on(
            "GET",
            "/apis",
            200,
            json!({"items": [group("apiextensions.k8s.io", crds), group("gateway.networking.k8s.io", routes)]}),
        )
    }

    /// Answers a request for this path; the last of several answers is repeated.
    pub(crate) fn on(self, method: &str, path: &str, status: u16, body: Value) -> Server {
        self.state(|state| state.answers.entry(format!("{method} {path}")).or_default().push((status, body)));
        self
    }

    /// A connection to it.
    pub(crate) fn connection(&self) -> Connection {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Connection {
            client: kube::Client::new(service, "default"),
            url: "https://fake".to_owned(),
            kubeconfig: None,
            namespace: "default".to_owned(),
        }
    }

    /// What it was asked besides discovery: method, path and query, and the body.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.state(|state| state.asked.clone())
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<bytes::Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (status, body) = self.state(|state| {
            if !matches!(head.uri.path(), "/api" | "/apis") {
                state.asked.push((format!("{} {}", head.method, head.uri), body));
            }
            let answers = state.answers.get_mut(&format!("{} {}", head.method, head.uri.path()));
            match answers {
                Some(answers) if answers.len() > 1 => answers.remove(0),
                Some(answers) => answers[0].clone(),
                None => (404, json!({"kind": "Status", "message": "not there", "reason": "NotFound", "code": 404})),
            }
        });
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status.try_into().unwrap();
        response
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
