//! Reading and writing JSON values by path, and the errors of validation: what every kind's functions use.
//!
//! Reading never fails: what is missing or of another type reads as empty, because the schema has refused wrong
//! types before and Go's zero values mean the same.

use purlin_apiserver_schema::{Cause, FieldError};
use serde_json::{Map, Value};

/// The value at a dotted path.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key)).filter(|v| !v.is_null())
}

/// The string at a dotted path; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a dotted path.
pub(crate) fn int(value: &Value, path: &str) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// The list at a dotted path; empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The strings of the list at a dotted path.
pub(crate) fn texts<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a str> {
    list(value, path).iter().filter_map(Value::as_str)
}

/// The entries of the object at a dotted path.
pub(crate) fn entries<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    at(value, path).and_then(Value::as_object).into_iter().flatten()
}

/// The object at a key, made where there is none.
pub(crate) fn object<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let map = value.as_object_mut()?;
    let entry = map.entry(key).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Map::new());
    }
    entry.as_object_mut()
}

/// Sets a key of an object, or removes it where there is no value.
pub(crate) fn put(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(key.to_owned(), value)),
        None => drop(map.shift_remove(key)),
    }
}

/// Carries a field of the object over from another one.
pub(crate) fn carry(new: &mut Value, old: &Value, key: &str) {
    if let Some(map) = new.as_object_mut() {
        put(map, key, old.get(key).cloned());
    }
}

/// Sets a string where it is missing or empty.
pub(crate) fn default_text(map: &mut Map<String, Value>, key: &str, value: &str) {
    if map.get(key).and_then(Value::as_str).is_none_or(str::is_empty) && !is_wrong_type(map.get(key)) {
        map.insert(key.to_owned(), value.into());
    }
}

/// Whether something other than a string stands there: left alone, so that the schema can refuse it.
fn is_wrong_type(value: Option<&Value>) -> bool {
    value.is_some_and(|v| !v.is_null() && !v.is_string())
}

/// Removes fields whose value is null, at any depth: Go decodes null as absent (`creationTimestamp: null` stands in
/// many a manifest). Depth is bounded by the decoder.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// `Unsupported value`, with what is supported.
pub(crate) fn unsupported(path: &str, value: &str, supported: &[&str]) -> FieldError {
    let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
    let detail = format!("supported values: {}", supported.join(", "));
    FieldError { path: path.to_owned(), cause: Cause::NotSupported, value: Some(value.into()), detail }
}

/// `Duplicate value`.
pub(crate) fn duplicate(path: impl Into<String>, value: Value) -> FieldError {
    FieldError { path: path.into(), cause: Cause::Duplicate, value: Some(value), detail: String::new() }
}

/// `Too many`, with how many there may be.
pub(crate) fn too_many(path: &str, actual: usize, max: usize) -> FieldError {
    let detail = format!("must have at most {max} items");
    FieldError { path: path.to_owned(), cause: Cause::TooMany, value: Some(actual.into()), detail }
}

/// `Too long`, with how many bytes there may be.
pub(crate) fn too_long(path: &str, max: usize) -> FieldError {
    FieldError::new(path, Cause::TooLong, format!("may not be more than {max} bytes"))
}

/// `Forbidden`.
pub(crate) fn forbidden(path: &str, detail: &str) -> FieldError {
    FieldError::new(path, Cause::Forbidden, detail)
}

/// Adds an `Invalid value` for each message.
pub(crate) fn invalid_if(
    errors: &mut Vec<FieldError>,
    path: &str,
    value: &str,
    messages: impl IntoIterator<Item = String>,
) {
    errors.extend(messages.into_iter().map(|message| FieldError::invalid(path, value.into(), message)));
}

/// Refuses a change of a field.
pub(crate) fn immutable(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &str) {
    let (new, old) = (at(new, path), at(old, path));
    if new != old {
        errors.push(FieldError::invalid(path, new.cloned().unwrap_or(Value::Null), "field is immutable"));
    }
}
