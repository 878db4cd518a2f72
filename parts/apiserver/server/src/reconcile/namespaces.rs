//! Emptying what is being deleted: namespaces of all their objects, definitions of all their resources' objects.
//!
//! Each is worked on by a task of its own, which tries again with back-off while finalizers hold something.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use purlin_apiserver_schema::Scope;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};

use super::left::Left;
use super::writer;
use crate::api::Api;
use crate::catalog::Served;
use crate::delete::DeleteOptions;
use crate::error::{ApiError, ApiResult};
use crate::select::Selection;
use crate::special::{crd, finalize};
use crate::storage::{Change, Key, Stored};
use crate::verbs::Part;

type Work = (Arc<str>, Arc<str>);

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LAST_BACKOFF: Duration = Duration::from_secs(2);

/// The work that is under way, by task, and what came up again meanwhile.
#[derive(Default)]
struct Busy {
    tasks: JoinSet<()>,
    under_way: HashMap<task::Id, Work>,
    again: HashSet<Work>,
}

impl Busy {
    fn start(&mut self, api: &Arc<Api>, work: Work) {
        if self.under_way.values().any(|busy| *busy == work) {
            self.again.insert(work);
            return;
        }
        let handle = self.tasks.spawn(empty(Arc::clone(api), work.clone()));
        self.under_way.insert(handle.id(), work);
    }

    /// The task has ended, well or not.
    fn ended(&mut self, api: &Arc<Api>, id: task::Id) {
        if let Some(work) = self.under_way.remove(&id)
            && self.again.remove(&work)
        {
            self.start(api, work);
        }
    }
}

pub(super) async fn run(api: Arc<Api>, mut work: mpsc::UnboundedReceiver<Work>) {
    let mut busy = Busy::default();
    for gr in ["namespaces", "customresourcedefinitions.apiextensions.k8s.io"] {
        let stored = super::all(&api, &gr.into(), None).await.unwrap_or_default();
        for item in stored {
            let object: Value = serde_json::from_slice(&item.body).unwrap_or_default();
            if super::is_terminating(&object) {
                busy.start(&api, (gr.into(), item.key.name));
            }
        }
    }
    loop {
        tokio::select! {
            () = api.shutdown.cancelled() => break,
            Some(next) = work.recv() => busy.start(&api, next),
            Some(done) = busy.tasks.join_next_with_id() => match done {
                Ok((id, ())) => busy.ended(&api, id),
                Err(error) => {
                    tracing::error!(%error, "emptying a namespace or definition panicked");
                    busy.ended(&api, error.id());
                }
            },
        }
    }
    busy.tasks.shutdown().await;
}

/// Works on one namespace or definition until it is gone.
async fn empty(api: Arc<Api>, work: Work) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let tried = if &*work.0 == "namespaces" {
            empty_namespace(&api, &work.1).await
        } else {
            empty_definition(&api, &work.1).await
        };
        match tried {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::warn!(what = %work.1, error = error.message, "failed to empty; tried again"),
        }
        if api.shutdown.run_until_cancelled(tokio::time::sleep(backoff)).await.is_none() {
            return;
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
    }
}

/// Whether it is gone.
async fn empty_namespace(api: &Arc<Api>, name: &Arc<str>) -> ApiResult<bool> {
    let catalog = api.catalog.load_full();
    let Some(namespaces) = catalog.stored("namespaces") else { return Ok(true) };
    let key = namespaces.key(None, name);
    if !is_terminating(api, &namespaces, &key).await? {
        return Ok(true);
    }
    let mut left = Left::default();
    let resources = catalog.resources().filter(|r| r.def.scope == Scope::Namespaced && r.def.strategy.alias.is_none());
    for resource in resources {
        if !is_terminating(api, &namespaces, &key).await? {
            return Ok(true);
        }
        let served = Served { resource: Arc::clone(resource), index: resource.def.storage };
        match empty_of(api, &served, Some(name), "namespace-controller").await {
            Ok(held) => left.add(&served, &held),
            Err(error) => {
                tracing::warn!(namespace = %name, error = error.message, "failed to empty; tried again");
                left.fail(&error);
            }
        }
    }
    let writer = writer(api, &namespaces, "namespace-controller", "delete");
    if left.is_nothing() {
        // What was created in between makes this fail, and is found at the next try.
        let without = |old: &Value| {
            if !super::is_terminating(old) {
                return Err(ApiError::not_found(namespaces.def(), name));
            }
            let finalizers = old["spec"]["finalizers"].as_array().into_iter().flatten();
            Ok(finalizers.filter(|f| *f != "kubernetes").cloned().collect())
        };
        match finalize(&writer, &key, without).await {
            // Somebody else's finalizer holds it still.
            Ok(written) if !written.deleted => {}
            Ok(_) | Err(ApiError { reason: "NotFound", .. }) => return Ok(true),
            Err(error) if error.reason == "Conflict" => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    let says = |old: &Value| {
        if !super::is_terminating(old) {
            return Err(ApiError::not_found(namespaces.def(), name));
        }
        let mut new = old.clone();
        new["status"]["conditions"] = left.conditions(old, &api.now()).into();
        Ok(new)
    };
    match writer.change(&key, Part::Status, &[], says).await {
        Ok(_) => Ok(false),
        Err(error) if error.reason == "NotFound" => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether it is gone.
async fn empty_definition(api: &Arc<Api>, name: &Arc<str>) -> ApiResult<bool> {
    let catalog = api.catalog.load_full();
    let Some(definitions) = catalog.stored("customresourcedefinitions.apiextensions.k8s.io") else { return Ok(true) };
    let key = definitions.key(None, name);
    if !is_terminating(api, &definitions, &key).await? {
        return Ok(true);
    }
    let gone = catalog.stored(name);
    if let Some(served) = &gone
        && !empty_of(api, served, None, "crd-finalizer").await?.is_empty()
    {
        return Ok(false);
    }
    let writer = writer(api, &definitions, "crd-finalizer", "delete");
    let without = |old: &Value| {
        let mut new = old.clone();
        if let Some(finalizers) = new["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != crd::CLEANUP);
        }
        Ok(new)
    };
    match writer.change(&key, Part::Main, &[], without).await {
        Ok(written) if !written.deleted => return Ok(false),
        Ok(_) | Err(ApiError { reason: "NotFound", .. }) => {}
        Err(error) => return Err(error),
    }
    if let Some(served) = gone {
        sweep(api, &served).await?;
        offer_names(api, &definitions, &served.def().group).await?;
    }
    Ok(true)
}

/// Whether the object is there and being deleted. One that has come anew under the name is left alone.
async fn is_terminating(api: &Arc<Api>, served: &Served, key: &Key) -> ApiResult<bool> {
    let stored = api.storage.get(key).await?;
    Ok(stored.is_some_and(|stored| super::is_terminating(&served.object(&stored.body))))
}

/// Removes what was created while the definition went, unless another has taken its place.
async fn sweep(api: &Arc<Api>, served: &Served) -> ApiResult<()> {
    let writer = writer(api, served, "crd-finalizer", "delete");
    for left in super::all(api, &served.resource.gr, None).await.map_err(crate::read::read_error)? {
        if api.catalog.load().stored(&served.resource.gr).is_none() {
            let _gone_already = writer.try_commit(left.key, Change::Delete(left.rv)).await;
        }
    }
    Ok(())
}

/// Lets definitions of the group that were refused their names have them now.
async fn offer_names(api: &Arc<Api>, definitions: &Served, group: &str) -> ApiResult<()> {
    let stored = super::all(api, &definitions.resource.gr, None).await.map_err(crate::read::read_error)?;
    for item in stored {
        let definition = definitions.object(&item.body);
        if definition["spec"]["group"] == group && crd::served(&definition).is_none() {
            let writer = writer(api, definitions, "crd-names", "update");
            // What is written decides about the names anew.
            match writer.change(&item.key, Part::Status, &[], |old| Ok(old.clone())).await {
                Ok(_) | Err(ApiError { reason: "NotFound", .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Deletes all objects of a resource; those that finalizers hold.
async fn empty_of(api: &Arc<Api>, served: &Served, ns: Option<&Arc<str>>, who: &'static str) -> ApiResult<Vec<Stored>> {
    let writer = writer(api, served, who, "delete");
    let selection = Selection::all(ns.map(|ns| ns.to_string()));
    writer.delete_all(&selection, &DeleteOptions::default()).await?;
    super::all(api, &served.resource.gr, ns).await.map_err(crate::read::read_error)
}
