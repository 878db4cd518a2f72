//! `metadata.managedFields`: which manager owns which fields, since when.
//!
//! Follows apimachinery's managedfields: an applier is one manager whatever the version, an updater one for each
//! version. Entries of other versions of an object are compared as they are: there is no conversion between
//! versions here, so that a field has the same path in all of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::fieldset::FieldSet;

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By creating, replacing or patching.
    Update,
}

/// What tells a manager from the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManagerId {
    /// The name.
    pub manager: String,
    /// How it owns.
    pub operation: Operation,
    /// The version of an updater; empty for an applier.
    pub api_version: String,
    /// The subresource through which it wrote; empty for the main resource.
    pub subresource: String,
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version in which it last wrote.
    pub api_version: String,
    /// When it last changed anything, in RFC 3339.
    pub time: Option<String>,
    /// The fields.
    pub fields: FieldSet,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedFields(pub BTreeMap<ManagerId, Entry>);

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

impl ManagerId {
    pub(crate) fn new(manager: &str, operation: Operation, api_version: &str, subresource: Option<&str>) -> ManagerId {
        let api_version = if operation == Operation::Apply { "" } else { api_version };
        ManagerId {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            operation,
            api_version: api_version.to_owned(),
            subresource: subresource.unwrap_or_default().to_owned(),
        }
    }
}

impl ManagedFields {
    /// The managers of an object; none without `metadata.managedFields`.
    pub fn of(object: &Value) -> Result<ManagedFields, String> {
        match object.pointer("/metadata/managedFields") {
            None | Some(Value::Null) => Ok(ManagedFields::default()),
            Some(list) => ManagedFields::from_json(list),
        }
    }

    /// Reads `metadata.managedFields`.
    pub fn from_json(list: &Value) -> Result<ManagedFields, String> {
        let Value::Array(list) = list else { return Err("managedFields is not a list".to_owned()) };
        let mut out = ManagedFields::default();
        for (index, entry) in list.iter().enumerate() {
            let (id, entry) = read_entry(entry).map_err(|e| format!("managedFields[{index}]: {e}"))?;
            out.0.insert(id, entry);
        }
        Ok(out)
    }

    /// `metadata.managedFields`, ordered as upstream: appliers first, then by time.
    pub fn to_json(&self) -> Value {
        let mut entries: Vec<(&ManagerId, &Entry)> = self.0.iter().collect();
        entries.sort_by_cached_key(|(id, entry)| {
            let version = entry.api_version.clone();
            (id.operation, entry.seconds(), id.manager.clone(), version, id.subresource.clone())
        });
        entries.into_iter().map(|(id, entry)| write_entry(id, entry)).collect()
    }

    /// Replaces `metadata.managedFields` of an object; without managers there is none.
    pub(crate) fn store(&self, object: &mut Value) {
        if self.0.is_empty() {
            strip(object);
        } else if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("managedFields".to_owned(), self.to_json());
        } else if let Some(object) = object.as_object_mut() {
            object.insert("metadata".to_owned(), json!({ "managedFields": self.to_json() }));
        }
    }
}

impl Entry {
    /// The time in seconds since 1970; 0 without a time.
    pub(crate) fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
    }
}

/// Takes `metadata.managedFields` away, so that it owns nothing itself.
pub(crate) fn strip(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
}

/// Whether a user asks to forget all managers: an empty list, or one empty entry.
pub(crate) fn is_reset(object: &Value) -> bool {
    match object.pointer("/metadata/managedFields") {
        Some(Value::Array(list)) => match list.as_slice() {
            [] => true,
            [Value::Object(only)] => only.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

fn read_entry(entry: &Value) -> Result<(ManagerId, Entry), String> {
    let Value::Object(entry) = entry else { return Err("is not an object".to_owned()) };
    let operation = match text(entry, "operation")? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = text(entry, "apiVersion")?;
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text(entry, "fieldsType")? {
        "FieldsV1" => {}
        "" => return Err("missing fieldsType".to_owned()),
        other => return Err(format!("invalid fieldsType {other:?}")),
    }
    let time = text(entry, "time")?;
    if !time.is_empty() && time.parse::<Timestamp>().is_err() {
        return Err(format!("invalid time {time:?}"));
    }
    let fields = match entry.get("fieldsV1") {
        None | Some(Value::Null) => FieldSet::new(),
        Some(fields) => FieldSet::from_json(fields).map_err(|e| e.to_string())?,
    };
    let manager = text(entry, "manager")?;
    let id = ManagerId {
        manager: manager.to_owned(),
        operation,
        api_version: if operation == Operation::Apply { String::new() } else { api_version.to_owned() },
        subresource: text(entry, "subresource")?.to_owned(),
    };
    let time = (!time.is_empty()).then(|| time.to_owned());
    Ok((id, Entry { api_version: api_version.to_owned(), time, fields }))
}

/// A string field; empty where there is none.
fn text<'v>(entry: &'v Map<String, Value>, field: &str) -> Result<&'v str, String> {
    match entry.get(field) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("{field} is not a string")),
    }
}

fn write_entry(id: &ManagerId, entry: &Entry) -> Value {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    if !id.manager.is_empty() {
        set("manager", id.manager.as_str().into());
    }
    set("operation", id.operation.as_str().into());
    set("apiVersion", entry.api_version.as_str().into());
    if let Some(time) = &entry.time {
        set("time", time.as_str().into());
    }
    set("fieldsType", "FieldsV1".into());
    set("fieldsV1", entry.fields.to_json());
    if !id.subresource.is_empty() {
        set("subresource", id.subresource.as_str().into());
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, time: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}})
    }

    #[test]
    fn ordered_by_operation_time_and_name() {
        let sorted = json!([
            entry("z", "Apply", "2026-01-01T00:00:00Z"),
            entry("a", "Apply", "2026-01-02T00:00:00Z"),
            entry("a", "Update", "2026-01-01T00:00:00Z"),
            entry("b", "Update", "2026-01-01T00:00:00Z"),
            {"manager": "b", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {}, "subresource": "status"},
        ]);
        let mut shuffled = sorted.as_array().unwrap().clone();
        shuffled.reverse();
        let managed = ManagedFields::from_json(&Value::Array(shuffled)).unwrap();
        assert_eq!(managed.to_json().to_string(), sorted.to_string());
    }

    #[test]
    fn refused() {
        let check = |change: (&str, Value), message: &str| {
            let mut entry = entry("m", "Apply", "2026-01-01T00:00:00Z");
            entry[change.0] = change.1;
            assert_eq!(ManagedFields::from_json(&json!([entry])).unwrap_err(), format!("managedFields[0]: {message}"));
        };
        check(("operation", json!("Merge")), "operation must be `Apply` or `Update`");
        check(("apiVersion", json!("")), "apiVersion must not be empty");
        check(("fieldsType", json!("")), "missing fieldsType");
        check(("fieldsType", json!("FieldsV2")), "invalid fieldsType \"FieldsV2\"");
        check(("time", json!("yesterday")), "invalid time \"yesterday\"");
        check(("manager", json!(1)), "manager is not a string");
        check(("fieldsV1", json!({"f:a": 1})), "FieldsV1: expected an object at \"f:a\"");
        assert_eq!(ManagedFields::from_json(&json!({})).unwrap_err(), "managedFields is not a list");
        assert_eq!(ManagedFields::from_json(&json!([1])).unwrap_err(), "managedFields[0]: is not an object");
    }
}
