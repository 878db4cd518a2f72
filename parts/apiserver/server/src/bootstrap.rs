//! What is there from the start: namespaces, RBAC defaults, the Gateway API's definitions, the `kubernetes` Service.
//!
//! Everything goes through the [`Writer`] like a client's objects, all at once, so that the first start costs a few
//! group commits. What is there already is only touched where it differs and is ours to keep up to date.

use std::sync::Arc;

use http::StatusCode;
use purlin_resource::names::NAMESPACE;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::ApiResult;
use crate::options::FieldValidation;
use crate::reconcile::kubernetes;
use crate::verbs::Part;
use crate::write::{Writer, controller, metadata};

const SYSTEM: [&str; 5] = ["default", "kube-node-lease", "kube-public", "kube-system", NAMESPACE];

/// Creates and updates what belongs to every installation.
pub(crate) async fn run(api: &Arc<Api>) -> anyhow::Result<()> {
    let namespaces = SYSTEM.iter().map(|name| namespace(name)).collect();
    ensure(api, namespaces).await?;
    let mut rest = purlin_apiserver_builtin::bootstrap_roles();
    rest.extend(purlin_gateway_api::crds());
    rest.extend(kubernetes::objects(api.listen));
    rest.extend(part_bindings());
    ensure(api, rest).await
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// What each part of purlin may do: the same list as a Helm chart grants, so that what works here works there.
fn part_bindings() -> Vec<Value> {
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps", "services", "secrets", "namespaces"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["backendtlspolicies", "gateways", "grpcroutes", "httproutes", "listenersets", "referencegrants", "tcproutes", "tlsroutes", "udproutes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["gatewayclasses"], "verbs": ["get", "list", "watch", "create"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["backendtlspolicies/status", "gatewayclasses/status", "gateways/status", "grpcroutes/status", "httproutes/status", "listenersets/status", "tcproutes/status", "tlsroutes/status", "udproutes/status"], "verbs": ["get", "update", "patch"]},
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "resourceNames": ["gatewayclasses.gateway.networking.k8s.io"], "verbs": ["get"]},
    ]);
    let name = "purlin:gateway";
    let leases =
        json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]);
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": NAMESPACE}, "rules": leases,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": NAMESPACE}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": NAMESPACE}],
        }),
    ]
}

async fn ensure(api: &Arc<Api>, objects: Vec<Value>) -> anyhow::Result<()> {
    let each = objects.into_iter().map(|object| async move {
        let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
        match one(api, object).await {
            Ok(()) => Ok(()),
            // One object that somebody's own stands in the way of does not keep the API from serving.
            Err(error) if error.code.is_client_error() => {
                tracing::error!(what, error = error.message, "failed to create an object of the installation");
                Ok(())
            }
            Err(error) => Err(anyhow::anyhow!("failed to create {what}: {}", error.message)),
        }
    });
    futures::future::try_join_all(each).await.map(drop)
}

/// Creates an object of the installation, or brings it up to date.
pub(crate) async fn one(api: &Arc<Api>, object: Value) -> ApiResult<()> {
    let (group, version) = match object["apiVersion"].as_str().unwrap_or_default().split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", object["apiVersion"].as_str().unwrap_or_default()),
    };
    let catalog = api.catalog.load_full();
    let resource = catalog.of_kind(group, object["kind"].as_str().unwrap_or_default());
    let served = resource.and_then(|r| catalog.find(group, version, &r.def.names.plural));
    let Some(served) = served else { return Err(crate::error::ApiError::no_such_path()) };
    let key = served.key(metadata(&object, "namespace"), metadata(&object, "name").unwrap_or_default());
    let writer = Writer {
        api: Arc::clone(api),
        caller: controller("purlin"),
        served,
        verb: "create",
        manager: "purlin".to_owned(),
        validation: FieldValidation::Strict,
        dry_run: false,
    };
    if writer.stored(&key).await?.is_some() {
        let updated = writer.change(&key, Part::Main, &[], |old| Ok(brought_up_to_date(old, &object))).await;
        return updated.map(drop);
    }
    match writer.create(object, &[]).await {
        Err(error) if error.code == StatusCode::CONFLICT => Ok(()),
        created => created.map(drop),
    }
}

/// The stored object with what an installation decides: the spec of definitions, the rules of roles that say that they
/// may be updated, where the API is. All else is left as its owners have it.
fn brought_up_to_date(old: &Value, wanted: &Value) -> Value {
    let mut new = old.clone();
    let kind = wanted["kind"].as_str().unwrap_or_default();
    let automatic = old["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] == "true"
        || metadata(old, "name").is_some_and(|name| name.starts_with("purlin:"));
    match kind {
        "CustomResourceDefinition" => {
            new["spec"] = wanted["spec"].clone();
            for (name, value) in wanted["metadata"]["annotations"].as_object().into_iter().flatten() {
                new["metadata"]["annotations"][name] = value.clone();
            }
        }
        // Rules are added, never taken away: an administrator's own stay.
        "ClusterRole" | "Role" if automatic && wanted.get("aggregationRule").is_none() => {
            let mut rules = old["rules"].as_array().cloned().unwrap_or_default();
            let missing = wanted["rules"].as_array().into_iter().flatten().filter(|rule| !rules.contains(rule));
            let missing: Vec<Value> = missing.cloned().collect();
            rules.extend(missing);
            new["rules"] = rules.into();
        }
        "ClusterRoleBinding" if automatic => {
            let mut subjects = old["subjects"].as_array().cloned().unwrap_or_default();
            let missing = wanted["subjects"].as_array().into_iter().flatten().filter(|s| !subjects.contains(s));
            let missing: Vec<Value> = missing.cloned().collect();
            subjects.extend(missing);
            new["subjects"] = subjects.into();
        }
        "Service" => new["spec"]["ports"] = wanted["spec"]["ports"].clone(),
        "EndpointSlice" | "Endpoints" => {
            for field in ["endpoints", "ports", "subsets"] {
                if let Some(value) = wanted.get(field) {
                    new[field] = value.clone();
                }
            }
            for (name, value) in wanted["metadata"]["labels"].as_object().into_iter().flatten() {
                new["metadata"]["labels"][name] = value.clone();
            }
        }
        _ => {}
    }
    new
}
