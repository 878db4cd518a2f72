//! The garbage collector: objects whose owners are gone, and deletes that wait for what they own.
//!
//! events -> [`Graph`] (who is to be looked at) -> a batch of tasks at a time, each of which reads the objects again
//! and acts through the [`Writer`]. A task that failed is tried again with back-off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::Mutex;
use purlin_apiserver_schema::Scope;
use serde_json::Value;
use tokio::sync::mpsc;

use super::graph::{FOREGROUND, Graph, ORPHAN, Task, references};
use super::writer;
use crate::api::Api;
use crate::catalog::Served;
use crate::delete::{DeleteOptions, Propagation};
use crate::error::{ApiError, ApiResult};
use crate::storage::{Event, EventKind, Key};
use crate::verbs::Part;
use crate::write::metadata;

const WHO: &str = "generic-garbage-collector";
/// Tasks under way at a time: enough to fill a group commit.
const AT_A_TIME: usize = 64;
const RETRY: Duration = Duration::from_millis(250);

/// Whether the event says something about ownership. Owners are told by their deletion.
pub(super) fn concerns(event: &Event) -> bool {
    let says = |body: &[u8]| [&b"\"ownerReferences\""[..], b"\"finalizers\""].iter().any(|word| contains(body, word));
    event.kind == EventKind::Deleted || says(&event.body) || event.prev.as_deref().is_some_and(says)
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(body, word).is_some()
}

pub(super) async fn run(api: Arc<Api>, mut events: mpsc::UnboundedReceiver<Arc<Event>>) {
    let graph = Mutex::new(Graph::default());
    let mut due: BTreeSet<Task> = learn(&api, &graph).await;
    loop {
        while let Ok(event) = events.try_recv() {
            due.extend(graph.lock().observe(&event.key, event.kind, event.object()));
        }
        let failed = work(&api, &graph, std::mem::take(&mut due)).await;
        let retry = tokio::time::sleep(RETRY);
        tokio::select! {
            () = api.shutdown.cancelled() => return,
            event = events.recv() => {
                let Some(event) = event else { return };
                due.extend(graph.lock().observe(&event.key, event.kind, event.object()));
            }
            () = retry, if !failed.is_empty() => {}
        }
        due.extend(failed);
    }
}

/// Takes in what is stored at the start.
async fn learn(api: &Arc<Api>, graph: &Mutex<Graph>) -> BTreeSet<Task> {
    let mut due = BTreeSet::new();
    let catalog = api.catalog.load_full();
    for resource in catalog.resources().filter(|r| r.def.strategy.alias.is_none()) {
        for item in super::all(api, &resource.gr, None).await.unwrap_or_default() {
            if contains(&item.body, b"\"ownerReferences\"") || contains(&item.body, b"\"finalizers\"") {
                let object: Value = serde_json::from_slice(&item.body).unwrap_or_default();
                due.extend(graph.lock().observe(&item.key, EventKind::Added, &object));
            }
        }
    }
    due
}

/// Works off tasks; returns those that failed.
async fn work(api: &Arc<Api>, graph: &Mutex<Graph>, tasks: BTreeSet<Task>) -> Vec<Task> {
    let each = tasks.into_iter().map(|task| async move {
        let result = match &task {
            Task::Verify(key) => verify(api, key).await,
            Task::Foreground(key) => foreground(api, graph, key).await,
            Task::Orphan(key) => orphan(api, graph, key).await,
        };
        match result {
            Ok(()) => None,
            Err(error) if error.reason == "NotFound" => None,
            Err(error) if error.reason == "Conflict" => Some(task),
            Err(error) => {
                tracing::warn!(?task, error = error.message, "garbage collection failed; tried again");
                Some(task)
            }
        }
    });
    futures::stream::iter(each).buffer_unordered(AT_A_TIME).filter_map(|failed| async move { failed }).collect().await
}

/// An object in the version in which it is stored.
async fn read(api: &Arc<Api>, key: &Key) -> ApiResult<Option<(Served, Value)>> {
    let Some(served) = api.catalog.load().stored(&key.gr) else { return Ok(None) };
    let stored = api.storage.get(key).await?;
    Ok(stored.map(|stored| {
        let object = served.object(&stored.body);
        (served, object)
    }))
}

/// Deletes an object whose owners are all gone; otherwise forgets the owners that are.
async fn verify(api: &Arc<Api>, key: &Key) -> ApiResult<()> {
    let Some((served, object)) = read(api, key).await? else { return Ok(()) };
    let (mut gone, mut there) = (Vec::new(), 0);
    for reference in references(&object) {
        if exists(api, key, reference).await? {
            there += 1;
        } else {
            gone.push(reference["uid"].as_str().unwrap_or_default().to_owned());
        }
    }
    if gone.is_empty() {
        return Ok(());
    }
    if there == 0 {
        let options = just_this(&object, None);
        return writer(api, &served, WHO, "delete").delete(key, &options).await.map(drop);
    }
    disown(api, &served, key, &gone).await
}

/// Whether an owner is there. One of an unknown kind is taken to be: its definition may come back.
async fn exists(api: &Arc<Api>, dependent: &Key, reference: &Value) -> ApiResult<bool> {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    let catalog = api.catalog.load_full();
    let Some(resource) = catalog.of_kind(group, text("kind")) else { return Ok(true) };
    if dependent.ns.is_empty() && resource.def.scope == Scope::Namespaced {
        // The reference names no namespace, so it cannot be resolved.
        return Ok(true);
    }
    let owner = Served { resource: Arc::clone(resource), index: resource.def.storage };
    let key = owner.key(Some(&dependent.ns).map(|ns| &**ns), text("name"));
    let stored = api.storage.get(&key).await?;
    Ok(stored.is_some_and(|stored| metadata(&owner.object(&stored.body), "uid") == Some(text("uid"))))
}

/// To delete this object as it was read, not one that came or changed since.
fn just_this(object: &Value, propagation: Option<Propagation>) -> DeleteOptions {
    let uid = metadata(object, "uid").map(str::to_owned);
    let resource_version = metadata(object, "resourceVersion").map(str::to_owned);
    DeleteOptions { uid, resource_version, propagation, dry_run: false }
}

/// Takes owner references off an object.
async fn disown(api: &Arc<Api>, served: &Served, key: &Key, uids: &[String]) -> ApiResult<()> {
    let without = |old: &Value| {
        let mut new = old.clone();
        let kept: Vec<Value> =
            references(old).filter(|r| !uids.iter().any(|uid| r["uid"] == uid.as_str())).cloned().collect();
        if let Some(metadata) = new["metadata"].as_object_mut() {
            if kept.is_empty() {
                metadata.shift_remove("ownerReferences");
            } else {
                metadata.insert("ownerReferences".to_owned(), kept.into());
            }
        }
        Ok(new)
    };
    writer(api, served, WHO, "update").change(key, Part::Main, &[], without).await.map(drop)
}

/// Deletes what the object owns, and lets it go once nothing is left that blocks it.
async fn foreground(api: &Arc<Api>, graph: &Mutex<Graph>, key: &Key) -> ApiResult<()> {
    let Some((served, owner)) = read(api, key).await? else { return Ok(()) };
    let uid = metadata(&owner, "uid").unwrap_or_default();
    let dependents = graph.lock().dependents(uid);
    let each = dependents.into_iter().map(|dependent| fell(api, graph, dependent, uid));
    let done: Vec<ApiResult<bool>> = futures::stream::iter(each).buffer_unordered(AT_A_TIME).collect().await;
    let blocked = done.into_iter().collect::<ApiResult<Vec<bool>>>()?.contains(&true);
    // Each dependent that goes brings this task back.
    if blocked { Ok(()) } else { release(api, &served, key, FOREGROUND).await }
}

/// Deletes what `uid` owns, or only takes it from it where somebody else owns it too; whether it blocks its owner.
async fn fell(api: &Arc<Api>, graph: &Mutex<Graph>, key: Key, uid: &str) -> ApiResult<bool> {
    let Some((served, object)) = read(api, &key).await? else { return Ok(false) };
    let Some(reference) = references(&object).find(|r| r["uid"] == uid) else { return Ok(false) };
    let blocks = reference["blockOwnerDeletion"] == true;
    if super::is_terminating(&object) {
        return Ok(blocks);
    }
    if has_other_owner(api, graph, &key, &object, uid).await? {
        return gone_is_fine(disown(api, &served, &key, &[uid.to_owned()]).await).map(|()| false);
    }
    let waits = graph.lock().should_wait(metadata(&object, "uid").unwrap_or_default());
    let propagation = Some(if waits { Propagation::Foreground } else { Propagation::Background });
    let deleted = writer(api, &served, WHO, "delete").delete(&key, &just_this(&object, propagation)).await;
    gone_is_fine(deleted.map(drop)).map(|()| blocks)
}

fn gone_is_fine(result: ApiResult<()>) -> ApiResult<()> {
    match result {
        Err(ApiError { reason: "NotFound", .. }) => Ok(()),
        other => other,
    }
}

/// Whether something else owns the object that is there and does not itself wait for it to go.
async fn has_other_owner(
    api: &Arc<Api>,
    graph: &Mutex<Graph>,
    key: &Key,
    object: &Value,
    uid: &str,
) -> ApiResult<bool> {
    for reference in references(object).filter(|r| r["uid"] != uid) {
        let waits = graph.lock().is_waiting(reference["uid"].as_str().unwrap_or_default());
        if !waits && exists(api, key, reference).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Leaves what the object owns without it, and lets it go.
async fn orphan(api: &Arc<Api>, graph: &Mutex<Graph>, key: &Key) -> ApiResult<()> {
    let Some((served, owner)) = read(api, key).await? else { return Ok(()) };
    let uid = metadata(&owner, "uid").unwrap_or_default().to_owned();
    let dependents = graph.lock().dependents(&uid);
    let uids = std::slice::from_ref(&uid);
    let each = dependents.into_iter().map(|dependent| async move {
        let Some(theirs) = api.catalog.load().stored(&dependent.gr) else { return Ok(()) };
        gone_is_fine(disown(api, &theirs, &dependent, uids).await)
    });
    let done: Vec<ApiResult<()>> = futures::stream::iter(each).buffer_unordered(AT_A_TIME).collect().await;
    done.into_iter().collect::<ApiResult<()>>()?;
    release(api, &served, key, ORPHAN).await
}

/// Takes a finalizer off an object.
async fn release(api: &Arc<Api>, served: &Served, key: &Key, finalizer: &str) -> ApiResult<()> {
    let without = |old: &Value| {
        let mut new = old.clone();
        if let Some(finalizers) = new["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != finalizer);
        }
        Ok(new)
    };
    writer(api, served, WHO, "update").change(key, Part::Main, &[], without).await.map(drop)
}
