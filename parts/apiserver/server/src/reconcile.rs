//! The API server's own reconcilers: what Kubernetes does by controllers that are always on.
//!
//! Observers of the [`crate::storage::Hub`] keep what every request needs (RBAC rules, the catalog, namespaces in
//! termination, taken addresses) in step with the store, before a write is acknowledged. What takes longer is
//! queued from there to tasks: emptying namespaces and definitions, collecting garbage, filling new namespaces,
//! aggregating roles, keeping the Service `kubernetes`, expiring events.

mod accounts;
mod expire;
mod garbage;
mod graph;
pub(crate) mod kubernetes;
mod left;
mod namespaces;
mod roles;

use std::sync::Arc;

use purlin_auth::rbac::Kind;
use purlin_role::Tasks;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::Api;
use crate::catalog::Served;
use crate::options::FieldValidation;
use crate::special::crd;
use crate::storage::{Event, EventKind, PageQuery, ReadError, Stored};
use crate::write::{Writer, controller};

/// Where observers leave work for the tasks.
struct Queues {
    /// Namespaces and definitions that are to be emptied: (resource, name).
    terminating: mpsc::UnboundedSender<(Arc<str>, Arc<str>)>,
    /// Namespaces whose first objects may be missing.
    accounts: mpsc::UnboundedSender<Arc<str>>,
    /// Everything that owns or is owned.
    garbage: mpsc::UnboundedSender<Arc<Event>>,
    /// Wakes the aggregation of roles.
    roles: Arc<tokio::sync::Notify>,
    /// Wakes who looks after the Service `kubernetes`.
    kubernetes: Arc<tokio::sync::Notify>,
}

/// Makes the API follow its store from now on, and starts the tasks; they end with the API's shutdown.
pub(crate) fn start(api: &Arc<Api>, tasks: &Tasks) {
    let (terminating, terminating_work) = mpsc::unbounded_channel();
    let (accounts, accounts_work) = mpsc::unbounded_channel();
    let (garbage, garbage_work) = mpsc::unbounded_channel();
    let roles = Arc::new(tokio::sync::Notify::new());
    let kubernetes = Arc::new(tokio::sync::Notify::new());
    let queues =
        Queues { terminating, accounts, garbage, roles: Arc::clone(&roles), kubernetes: Arc::clone(&kubernetes) };
    let weak = Arc::downgrade(api);
    api.storage.hub().observe(move |event| {
        if let Some(api) = weak.upgrade() {
            observe(&api, event);
            queue(&queues, event);
        }
    });
    tasks.spawn(namespaces::run(Arc::clone(api), terminating_work));
    tasks.spawn(accounts::run(Arc::clone(api), accounts_work));
    tasks.spawn(garbage::run(Arc::clone(api), garbage_work));
    tasks.spawn(roles::run(Arc::clone(api), roles));
    tasks.spawn(kubernetes::run(Arc::clone(api), kubernetes));
    tasks.spawn(expire::run(Arc::clone(api)));
}

/// Keeps in step what requests read.
fn observe(api: &Api, event: &Arc<Event>) {
    match &*event.key.gr {
        "namespaces" => {
            let dying = event.kind != EventKind::Deleted && is_terminating(event.object());
            let mut terminating = api.terminating.write();
            if dying {
                terminating.insert(Arc::clone(&event.key.name));
            } else {
                terminating.remove(&event.key.name);
            }
        }
        "services" => api.addresses.observe(event),
        "customresourcedefinitions.apiextensions.k8s.io" => crd::observe(api, event),
        gr => {
            if let Some(kind) = rbac_kind(gr) {
                follow_rbac(api, kind, event.kind, event.object());
            }
        }
    }
}

/// Leaves work for the tasks.
fn queue(queues: &Queues, event: &Arc<Event>) {
    let key = &event.key;
    let alive = event.kind != EventKind::Deleted;
    match &*key.gr {
        "namespaces" | "customresourcedefinitions.apiextensions.k8s.io" if alive && is_terminating(event.object()) => {
            let _ = queues.terminating.send((Arc::clone(&key.gr), Arc::clone(&key.name)));
        }
        "namespaces" if event.kind == EventKind::Added => {
            let _ = queues.accounts.send(Arc::clone(&key.name));
        }
        "serviceaccounts" | "configmaps" if accounts::concerns(event) => {
            let _ = queues.accounts.send(Arc::clone(&key.ns));
        }
        "clusterroles.rbac.authorization.k8s.io" => queues.roles.notify_one(),
        _ => {}
    }
    if kubernetes::concerns(event) {
        queues.kubernetes.notify_one();
    }
    if garbage::concerns(event) {
        let _ = queues.garbage.send(Arc::clone(event));
    }
}

pub(crate) fn is_terminating(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some_and(|at| !at.is_null())
}

pub(crate) fn rbac_kind(gr: &str) -> Option<Kind> {
    match gr {
        "roles.rbac.authorization.k8s.io" => Some(Kind::Role),
        "clusterroles.rbac.authorization.k8s.io" => Some(Kind::ClusterRole),
        "rolebindings.rbac.authorization.k8s.io" => Some(Kind::RoleBinding),
        "clusterrolebindings.rbac.authorization.k8s.io" => Some(Kind::ClusterRoleBinding),
        _ => None,
    }
}

pub(crate) fn follow_rbac(api: &Api, kind: Kind, change: EventKind, object: &Value) {
    let mut rules = api.rbac.write();
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    if change == EventKind::Deleted {
        rules.remove(kind, text("namespace"), text("name"));
    } else if let Err(error) = rules.upsert(kind, object) {
        tracing::error!(%error, "an RBAC object grants nothing");
    }
}

/// The writer of a controller, under its own name.
fn writer(api: &Arc<Api>, served: &Served, name: &'static str, verb: &'static str) -> Writer {
    Writer {
        api: Arc::clone(api),
        caller: controller(name),
        served: served.clone(),
        verb,
        manager: name.to_owned(),
        validation: FieldValidation::Ignore,
        dry_run: false,
    }
}

/// All stored objects of a resource, in one namespace or all.
pub(crate) async fn all(api: &Api, gr: &Arc<str>, ns: Option<&Arc<str>>) -> Result<Vec<Stored>, ReadError> {
    let query = PageQuery { gr: Arc::clone(gr), ns: ns.cloned(), after: None, limit: 0, at: None };
    Ok(api.storage.page(query, None).await?.items)
}
