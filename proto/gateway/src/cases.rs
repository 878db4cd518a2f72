//! Objects that a server has to accept, and objects that it has to refuse with the reason: `cases/<kind>.yaml`.
//!
//! For tests of whoever serves these kinds; the files cost nothing in a binary that does not ask for them. A case of the
//! files gives `spec`, `status` and, for an update, the `old` spec; the rest of the object is filled in. `grow` makes
//! long values from short ones: `spec.hostnames: 17` repeats the list's first entry 17 times, with the index for each
//! `#` in it; a map grows likewise, a string by its last character.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One object with the verdict on it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The kind and what the case is about.
    pub name: String,
    /// The object. A `status` is to be judged with it by the schema: a server drops it unless it comes through the
    /// status subresource.
    pub object: Value,
    /// The object before the update; none for a creation.
    pub old: Option<Value>,
    /// Why the object is refused; it is accepted when there is nothing here.
    ///
    /// All that is wrong stands here; of the CEL rules only what is said when no field is missing, too long, too many,
    /// of a wrong type or not on its list, since otherwise the API server evaluates no rule. A server may say more about
    /// an address that fails its `oneOf`: what each branch misses.
    pub refused: Vec<Refusal>,
}

/// A field and what has to be said about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The field's path: `spec.rules[0].filters`.
    pub at: String,
    /// A part of the error as it is shown: a CEL rule's message, or the API server's words for a bound.
    pub says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    spec: Option<Value>,
    status: Option<Value>,
    old: Option<Value>,
    #[serde(default)]
    grow: Map<String, Value>,
    #[serde(default)]
    refused: Vec<Refusal>,
}

const FILES: [(&str, &str); 4] = [
    ("GatewayClass", include_str!("../cases/gatewayclass.yaml")),
    ("Gateway", include_str!("../cases/gateway.yaml")),
    ("HTTPRoute", include_str!("../cases/httproute.yaml")),
    ("ReferenceGrant", include_str!("../cases/referencegrant.yaml")),
];

/// All cases of the four kinds.
///
/// # Panics
/// Where an embedded file is not well-formed; the tests of this crate read them all.
pub fn cases() -> Vec<Case> {
    FILES
        .iter()
        .flat_map(|(kind, text)| {
            let entries: Vec<Entry> = serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("cases of {kind}: {e}"));
            entries.into_iter().map(|entry| case(kind, entry))
        })
        .collect()
}

fn case(kind: &str, entry: Entry) -> Case {
    let mut object = object(kind, entry.spec, entry.status);
    for (path, count) in &entry.grow {
        let pointer = format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/"));
        let target = object.pointer_mut(&pointer).unwrap_or_else(|| panic!("{}: nothing at {path}", entry.name));
        grow(target, count.as_u64().unwrap_or_default() as usize);
    }
    Case {
        name: format!("{kind}: {}", entry.name),
        object,
        old: entry.old.map(|spec| self::object(kind, Some(spec), None)),
        refused: entry.refused,
    }
}

fn object(kind: &str, spec: Option<Value>, status: Option<Value>) -> Value {
    let mut object =
        json!({ "apiVersion": format!("{}/v1", crate::GROUP), "kind": kind, "metadata": { "name": "case" } });
    if kind != "GatewayClass" {
        object["metadata"]["namespace"] = json!("default");
    }
    for (field, value) in [("spec", spec), ("status", status)] {
        if let Some(value) = value {
            object[field] = value;
        }
    }
    object
}

fn grow(target: &mut Value, count: usize) {
    match target {
        Value::Array(items) => {
            let first = items.first().cloned().unwrap_or_default();
            *items = (0..count).map(|i| numbered(&first, i)).collect();
        }
        Value::Object(fields) => {
            let first = fields.iter().next().map(|(key, value)| (key.clone(), value.clone())).unwrap_or_default();
            *fields = (0..count).map(|i| (first.0.replace('#', &i.to_string()), first.1.clone())).collect();
        }
        Value::String(text) => {
            let last = text.chars().last().unwrap_or('x');
            let missing = count.saturating_sub(text.chars().count());
            text.extend(std::iter::repeat_n(last, missing));
        }
        _ => {}
    }
}

/// The value with `index` for each `#`; a text that is nothing but `#` becomes the number itself.
fn numbered(value: &Value, index: usize) -> Value {
    match value {
        Value::String(text) if text == "#" => json!(index + 1),
        Value::String(text) => json!(text.replace('#', &index.to_string())),
        Value::Array(items) => items.iter().map(|item| numbered(item, index)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), numbered(value, index))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
