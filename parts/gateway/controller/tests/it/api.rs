//! A small Kubernetes API in memory: lists by watching, single objects, status patches with optimistic locking.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use purlin_resource::{ApiBody, InProcessApi, boxed};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// Plural, namespace and name; the latter are empty where there is none.
type Id = (String, String, String);

/// Clones share the state.
#[derive(Clone)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Id, Value>,
    watchers: Vec<(String, mpsc::UnboundedSender<Value>)>,
    /// Each status patch that was accepted.
    patches: Vec<String>,
    /// Codes with which the next status patches are refused.
    refusals: VecDeque<u16>,
}

impl Api {
    pub(crate) fn new() -> Self {
        Api { state: Arc::default(), version: Arc::new(watch::Sender::new(0)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Creates or replaces an object; a status that is not given stays.
    pub(crate) fn put(&self, plural: &str, mut object: Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let id = (plural.to_owned(), text("namespace"), text("name"));
        let mut state = self.lock();
        let old = state.objects.get(&id).cloned();
        let generation = old.as_ref().map_or(0, |o| o["metadata"]["generation"].as_i64().unwrap_or(0));
        object["metadata"]["generation"] = json!(generation + 1);
        object["metadata"]["uid"] = json!(format!("{id:?}"));
        if let Some(status) = old.as_ref().and_then(|o| o.get("status")) {
            object["status"] = status.clone();
        }
        state.store(id, object, if old.is_some() { "MODIFIED" } else { "ADDED" });
        self.version.send_replace(state.version);
    }

    /// Refuses the next status patches with these codes.
    pub(crate) fn refuse(&self, codes: &[u16]) {
        self.lock().refusals.extend(codes);
    }

    pub(crate) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&(plural.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The status patches since the last call.
    pub(crate) fn take_patches(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().patches)
    }

    /// Returns once `holds` does.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Api) -> bool) {
        let mut version = self.version.subscribe();
        let wait = async {
            while !holds(self) {
                version.changed().await.unwrap();
            }
        };
        // Only so that a broken controller ends the test.
        assert!(tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.is_ok(), "never: {what}");
    }

    fn answer(&self, method: &Method, path: &str, body: &Value) -> Response<ApiBody> {
        let (id, status) = parse(path);
        let mut state = self.lock();
        if method == Method::GET && id.2.is_empty() {
            return state.watch(&id.0);
        }
        if method == Method::POST {
            let id = (id.0, id.1, body["metadata"]["name"].as_str().unwrap().to_owned());
            state.store(id.clone(), body.clone(), "ADDED");
        } else if method == Method::PATCH {
            assert!(status, "only statuses are patched: {path}");
            if let Some(code) = state.refusals.pop_front() {
                return failure(code);
            }
            let Some(mut object) = state.objects.get(&id).cloned() else { return failure(404) };
            if object["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                return failure(409);
            }
            merge(&mut object["status"], &body["status"]);
            state.patches.push(format!("{} {}", id.0, id.2));
            state.store(id.clone(), object, "MODIFIED");
        }
        self.version.send_replace(state.version);
        let (id, _) = match method {
            &Method::POST => {
                ((id_plural(path), String::new(), body["metadata"]["name"].as_str().unwrap().to_owned()), false)
            }
            _ => parse(path),
        };
        match state.objects.get(&id) {
            Some(object) => Response::new(boxed(object.to_string())),
            None => failure(404),
        }
    }
}

impl State {
    fn store(&mut self, id: Id, mut object: Value, event: &str) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let event = json!({"type": event, "object": object});
        self.watchers.retain(|(plural, watcher)| *plural != id.0 || watcher.send(event.clone()).is_ok());
        self.objects.insert(id, object);
    }

    /// The objects of a kind, the mark that these were all, then each change.
    fn watch(&mut self, plural: &str) -> Response<ApiBody> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let objects = self.objects.iter().filter(|(id, _)| id.0 == plural);
        let initial: Vec<Value> = objects.map(|(_, object)| json!({"type": "ADDED", "object": object})).collect();
        let end = json!({"type": "BOOKMARK", "object": {"kind": "Any", "apiVersion": "v1", "metadata": {
            "resourceVersion": self.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}});
        self.watchers.push((plural.to_owned(), sender));
        let changes = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let events = stream::iter(initial).chain(stream::iter([end])).chain(changes);
        let frames = events.map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync())
    }
}

fn id_plural(path: &str) -> String {
    parse(path).0.0
}

/// What a path names, and whether it is the status of it.
fn parse(path: &str) -> (Id, bool) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let name = rest.get(1).copied().unwrap_or_default();
    ((rest[0].to_owned(), namespace.to_owned(), name.to_owned()), rest.get(2) == Some(&"status"))
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().shift_remove(name)),
            value => merge(&mut target[name.as_str()], value),
        }
    }
}

fn failure(code: u16) -> Response<ApiBody> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                        "reason": reason, "message": "refused by the test"});
    let mut response = Response::new(boxed(status.to_string()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}

impl InProcessApi for Api {
    fn call(&self, request: Request<ApiBody>) -> BoxFuture<'static, Response<ApiBody>> {
        let api = self.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
            api.answer(&head.method, head.uri.path(), &body)
        }
        .boxed()
    }
}
