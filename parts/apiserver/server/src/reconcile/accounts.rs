//! What every namespace has: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::writer;
use crate::api::Api;
use crate::error::ApiResult;
use crate::storage::{Event, EventKind};
use crate::verbs::Part;

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";

/// Whether the event may have taken away or spoiled one of them.
pub(super) fn concerns(event: &Event) -> bool {
    match &*event.key.gr {
        "serviceaccounts" => &*event.key.name == ACCOUNT && event.kind == EventKind::Deleted,
        _ => &*event.key.name == ROOT_CA && event.kind != EventKind::Added,
    }
}

pub(super) async fn run(api: Arc<Api>, mut work: mpsc::UnboundedReceiver<Arc<str>>) {
    let known = super::all(&api, &"namespaces".into(), None).await.unwrap_or_default();
    for namespace in known {
        fill(&api, &namespace.key.name).await;
    }
    while let Some(Some(namespace)) = api.shutdown.run_until_cancelled(work.recv()).await {
        fill(&api, &namespace).await;
    }
}

async fn fill(api: &Arc<Api>, namespace: &Arc<str>) {
    if api.terminating.read().contains(namespace) {
        return;
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": &**namespace},
    });
    let words = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
    let root = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": ROOT_CA, "namespace": &**namespace, "annotations": {"kubernetes.io/description": words}},
        "data": {"ca.crt": api.root_pem},
    });
    let (account, root) = tokio::join!(ensure(api, "serviceaccounts", account), ensure(api, "configmaps", root));
    for error in [account, root].into_iter().filter_map(Result::err) {
        // The namespace may be on its way out.
        tracing::debug!(namespace = &**namespace, error = error.message, "failed to fill a namespace");
    }
}

async fn ensure(api: &Arc<Api>, gr: &str, object: Value) -> ApiResult<()> {
    let Some(served) = api.catalog.load().stored(gr) else { return Ok(()) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let key = served.key(object["metadata"]["namespace"].as_str(), name);
    let writer = writer(api, &served, "root-ca-cert-publisher", "create");
    let Some(stored) = writer.stored(&key).await? else {
        return writer.create(object, &[]).await.map(drop);
    };
    if served.object(&stored.body).get("data") == object.get("data") {
        return Ok(());
    }
    let restored = |old: &Value| {
        let mut new = old.clone();
        new["data"] = object["data"].clone();
        Ok(new)
    };
    writer.change(&key, Part::Main, &[], restored).await.map(drop)
}
