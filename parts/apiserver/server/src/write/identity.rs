//! What a write may not change: the object's identity, what the server keeps, and the other half of a split object.

use purlin_apiserver_schema::FieldError;
use serde_json::{Map, Value};

use super::writer::Writer;
use crate::error::{ApiError, ApiResult};
use crate::storage::Key;
use crate::verbs::Part;

impl Writer {
    /// Takes over what only the server decides, and what this part of the object may not change.
    pub(super) fn carry_over(&self, old: &Value, new: &mut Value, part: Part) {
        if part == Part::Status {
            let status = new.get("status").cloned();
            let owners = new["metadata"].get("managedFields").cloned();
            *new = old.clone();
            set(new, "status", status);
            if let Some(metadata) = new["metadata"].as_object_mut() {
                set_field(metadata, "managedFields", owners);
            }
        } else if self.served.version().status {
            set(new, "status", old.get("status").cloned());
        }
        let Some(metadata) = new["metadata"].as_object_mut() else { return };
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
            "generateName",
            "resourceVersion",
        ] {
            set_field(metadata, field, old["metadata"].get(field).cloned());
        }
    }

    /// Whether an update has to say which revision it replaces.
    fn needs_revision(&self) -> bool {
        let gr = &*self.served.resource.gr;
        self.served.resource.is_custom()
            || matches!(gr, "leases.coordination.k8s.io" | "customresourcedefinitions.apiextensions.k8s.io")
    }

    /// Name, namespace, uid and revision of the new object, where it has them, must be those of the old one.
    pub(super) fn confirm_identity(&self, key: &Key, old: &Value, new: &mut Value) -> ApiResult<()> {
        let def = self.served.def();
        if !new["metadata"].is_object() {
            return Err(ApiError::bad_request("metadata: expected an object"));
        }
        // A patch may have taken them away.
        new["apiVersion"] = self.served.api_version().into();
        new["kind"] = def.names.kind.as_str().into();
        let uid = metadata(old, "uid").unwrap_or_default();
        match metadata(new, "uid") {
            Some(given) if !given.is_empty() && given != uid => {
                let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
                return Err(ApiError::conflict(def, &key.name, &why));
            }
            _ => {}
        }
        let rv = metadata(old, "resourceVersion").unwrap_or_default();
        match metadata(new, "resourceVersion") {
            Some(given) if !given.is_empty() && given != rv => return Err(ApiError::modified(def, &key.name)),
            None | Some("") if self.verb == "update" && self.needs_revision() => {
                let error =
                    FieldError::invalid("metadata.resourceVersion", 0.into(), "must be specified for an update");
                return Err(ApiError::invalid(def, &key.name, &[error]));
            }
            _ => {}
        }
        for (field, is) in [("name", &*key.name), ("namespace", &*key.ns)] {
            let given = metadata(new, field).unwrap_or_default();
            if !given.is_empty() && given != is {
                let request = if field == "name" { "URL" } else { "request" };
                return Err(ApiError::bad_request(format!(
                    "the {field} of the object ({given}) does not match the {field} on the {request} ({is})"
                )));
            }
            if !is.is_empty() {
                new["metadata"][field] = is.into();
            }
        }
        Ok(())
    }
}

/// Whether an object that is being deleted has nothing left that holds it.
pub(crate) fn is_finished(object: &Value) -> bool {
    let held = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    let namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    object["metadata"].get("deletionTimestamp").is_some_and(|at| !at.is_null())
        && !held(&object["metadata"]["finalizers"])
        && !(namespace && held(&object["spec"]["finalizers"]))
}

/// Whether anything but metadata and status differs.
pub(super) fn spec_changed(old: &Value, new: &Value) -> bool {
    let empty = Map::new();
    let fields = |v: &Value| {
        let fields = v.as_object().unwrap_or(&empty).iter();
        let kept = fields.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status" | "apiVersion"));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
    };
    fields(old) != fields(new)
}

/// A text field of the metadata.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

pub(super) fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove(field);
    }
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(fields) = object.as_object_mut() {
        set_field(fields, field, value);
    }
}

fn set_field(fields: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.shift_remove(field),
    };
}
