//! Objects that a server has to accept, and objects that it has to refuse with the reason, written down as YAML.
//!
//! For tests of the crate that defines a kind ([`findings`](crate::findings)) and of whoever serves it; a file that is
//! included costs nothing in a binary that does not ask for it. A file is a list of cases. A case has a `name`, `spec`,
//! `status` and, for an update, the `old` spec; the rest of the object is filled in. `refused` lists what has to be said
//! of it ([`Refusal`]); without it the object is to be accepted. `grow` makes long values from short ones:
//! `spec.hostnames: 17` repeats the list's first entry 17 times, with the index for each `#` in it; a map grows
//! likewise, a string by its last character.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One object with the verdict on it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The kind and what the case is about.
    pub name: String,
    /// The kind's plural, as it stands in paths of the API.
    pub plural: String,
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

/// The cases of a file's text, of objects of the kind that `definition` defines, in its version `version`.
///
/// # Panics
/// Where the text is not well-formed; it is a part of the program, and a test reads it.
pub fn read(definition: &Value, version: &str, text: &str) -> Vec<Case> {
    let kind = definition["spec"]["names"]["kind"].as_str().unwrap_or_default();
    let entries: Vec<Entry> = serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("cases of {kind}: {e}"));
    entries.into_iter().map(|entry| case(definition, version, entry)).collect()
}

fn case(definition: &Value, version: &str, entry: Entry) -> Case {
    let mut object = object(definition, version, entry.spec, entry.status);
    for (path, count) in &entry.grow {
        let pointer = format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/"));
        let target = object.pointer_mut(&pointer).unwrap_or_else(|| panic!("{}: nothing at {path}", entry.name));
        grow(target, count.as_u64().unwrap_or_default() as usize);
    }
    let names = &definition["spec"]["names"];
    Case {
        name: format!("{}: {}", names["kind"].as_str().unwrap_or_default(), entry.name),
        plural: names["plural"].as_str().unwrap_or_default().to_owned(),
        object,
        old: entry.old.map(|spec| self::object(definition, version, Some(spec), None)),
        refused: entry.refused,
    }
}

fn object(definition: &Value, version: &str, spec: Option<Value>, status: Option<Value>) -> Value {
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let mut object = json!({
        "apiVersion": format!("{group}/{version}"),
        "kind": definition["spec"]["names"]["kind"],
        "metadata": { "name": "case" },
    });
    if definition["spec"]["scope"] == "Namespaced" {
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
