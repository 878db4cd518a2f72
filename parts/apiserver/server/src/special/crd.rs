//! CustomResourceDefinition: checked when it is written, served from the moment it is acknowledged.
//!
//! Whether its names are free is decided in the write itself, so the definition is Established in the answer to
//! it; the catalog changes when the write is published, before it is acknowledged.

use std::sync::Arc;

use parking_lot::Mutex;
use purlin_apiserver_schema::{Origin, ResourceDef, definition, definition_update, stored_definition};
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::storage::{Event, EventKind};
use crate::write::{Writer, metadata};

/// Holds a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Definitions that are about to be stored: two at a time must not both be given the same names.
#[derive(Default)]
pub(crate) struct PendingNames(Mutex<Vec<Arc<ResourceDef>>>);

/// The names of a definition, set aside until this is dropped.
pub(crate) struct Names {
    pending: Arc<PendingNames>,
    def: Arc<ResourceDef>,
}

impl Drop for Names {
    fn drop(&mut self) {
        self.pending.0.lock().retain(|def| !Arc::ptr_eq(def, &self.def));
    }
}

/// Checks the definition and writes the status that follows from it.
pub(super) fn prepare(writer: &Writer, new: &mut Value, old: Option<&Value>) -> ApiResult<Option<Names>> {
    if new.get("status").is_some_and(|status| !status.is_object()) {
        // The validation says so.
        return Ok(None);
    }
    let name = metadata(new, "name").unwrap_or_default().to_owned();
    let checked = old.map_or_else(|| definition(new), |old| definition_update(new, old));
    let def = checked.map_err(|errors| ApiError::invalid(writer.served.def(), &name, &errors))?;
    let def = Arc::new(def);
    let pending = &writer.api.pending_names;
    let taken = {
        let mut pending = pending.0.lock();
        let taken = taken(writer, &name, &def, &pending);
        pending.push(Arc::clone(&def));
        taken
    };
    let reserved = Names { pending: Arc::clone(pending), def };
    let names = taken
        .as_deref()
        .map_or(condition(writer, new, "NamesAccepted", true, "NoConflicts", "no conflicts found"), |why| {
            condition(writer, new, "NamesAccepted", false, "NameConflict", why)
        });
    let established = if taken.is_none() {
        condition(writer, new, "Established", true, "InitialNamesAccepted", "the initial names have been accepted")
    } else {
        condition(writer, new, "Established", false, "NotAccepted", "not all names are accepted")
    };
    let kept = new["status"]["conditions"].as_array().into_iter().flatten();
    let kept = kept.filter(|c| c["type"] != "NamesAccepted" && c["type"] != "Established").cloned();
    let conditions: Vec<Value> = [names, established].into_iter().chain(kept).collect();
    new["status"]["conditions"] = conditions.into();
    new["status"]["acceptedNames"] =
        if taken.is_none() { new["spec"]["names"].clone() } else { json!({"plural": "", "kind": ""}) };
    Ok(Some(reserved))
}

/// A condition; its time is kept where its status is.
fn condition(writer: &Writer, crd: &Value, ty: &str, holds: bool, reason: &str, message: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    let before = crd["status"]["conditions"].as_array().and_then(|list| list.iter().find(|c| c["type"] == ty));
    let since = before.filter(|c| c["status"] == status).and_then(|c| c["lastTransitionTime"].as_str());
    let since = since.map_or_else(|| writer.api.now(), str::to_owned);
    json!({"type": ty, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
}

/// Which of the names another resource of the group has.
fn taken(writer: &Writer, name: &str, def: &ResourceDef, pending: &[Arc<ResourceDef>]) -> Option<String> {
    let catalog = writer.api.catalog.load();
    let served = catalog.resources().map(|resource| &resource.def);
    let mut others = served.chain(pending).filter(|other| other.group == def.group && other.key() != name);
    others.find_map(|other| {
        let (theirs, ours) = (&other.names, &def.names);
        let mut known: Vec<&str> = vec![&theirs.plural, &theirs.singular];
        known.extend(theirs.short_names.iter().map(String::as_str));
        let mut wanted: Vec<&str> = vec![&ours.plural, &ours.singular];
        wanted.extend(ours.short_names.iter().map(String::as_str));
        if let Some(word) = wanted.iter().find(|word| known.contains(word)) {
            return Some(format!("{word:?} is already in use"));
        }
        let kinds = [&theirs.kind, &theirs.list_kind];
        [&ours.kind, &ours.list_kind]
            .into_iter()
            .find(|kind| kinds.contains(kind))
            .map(|k| format!("{k:?} is already in use"))
    })
}

/// What the catalog serves of a stored definition; None where its names are not accepted.
pub(crate) fn served(crd: &Value) -> Option<ResourceDef> {
    let conditions = crd["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == "Established" && c["status"] == "True")?;
    let mut def = stored_definition(crd).ok()?;
    if metadata(crd, "deletionTimestamp").is_some() {
        // What is there can still be read and deleted; nothing new comes.
        def.verbs = &["delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    }
    def.origin = Origin::Custom { uid: metadata(crd, "uid").unwrap_or_default().to_owned() };
    Some(def)
}

/// Follows a change of a definition.
pub(crate) fn observe(api: &Api, event: &Event) {
    let name = &*event.key.name;
    let same = |field: &str| event.previous().is_some_and(|old| old[field] == event.object()[field]);
    let dying = |object: &Value| metadata(object, "deletionTimestamp").is_some();
    let unchanged = same("spec") && event.previous().is_some_and(|old| dying(old) == dying(event.object()));
    if event.kind == EventKind::Modified && unchanged && same("status") {
        return;
    }
    match (event.kind, served(event.object())) {
        (EventKind::Added | EventKind::Modified, Some(def)) => {
            api.change_catalog(|catalog| {
                let known = catalog.stored(name).filter(|_| same("spec")).map(|served| served.resource.since);
                catalog.with(name, def.clone(), known.unwrap_or(event.rv))
            });
        }
        _ => api.change_catalog(|catalog| catalog.without(name)),
    }
}
