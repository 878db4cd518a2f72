//! Strategic merge patch: a merge patch that knows which lists merge, and by which key.
//!
//! Follows `strategicpatch` of apimachinery, with its directives: `$patch: replace` and `$patch: delete` in objects
//! and items, `$retainKeys`, `$deleteFromPrimitiveList/field` and `$setElementOrder/field`. The schema's `strategic`
//! says what a list or object does; without it lists are replaced and objects merge. Directives never reach the
//! object, nor do nulls of what is added.

use purlin_apiserver_schema::{PatchStrategy, Schema};
use serde_json::{Map, Value};

use crate::PatchError;

mod list;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

type Fields = Map<String, Value>;

/// Applies a strategic merge patch. Where the object has fields that the schema does not know, a patch replaces
/// lists and merges objects.
pub fn apply_strategic(obj: &Value, patch: &Value, schema: &Schema) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("error decoding patch: expected an object".to_owned()));
    };
    let original = obj.as_object().cloned().unwrap_or_default();
    merge_fields(original, patch.clone(), Some(schema)).map(Value::Object)
}

/// What is done with a field's value.
struct Meta<'s> {
    strategy: Option<PatchStrategy>,
    merge_key: Option<&'s str>,
    schema: Option<&'s Schema>,
}

impl<'s> Meta<'s> {
    fn of(parent: Option<&'s Schema>, field: &str) -> Meta<'s> {
        let schema = parent.and_then(|p| p.properties.get(field).or(p.additional.as_ref())).map(AsRef::as_ref);
        let strategic = schema.and_then(|s| s.strategic.as_deref());
        Meta {
            strategy: strategic.map(|s| s.strategy),
            merge_key: strategic.and_then(|s| s.merge_key.as_deref()),
            schema,
        }
    }

    fn merges_list(&self) -> bool {
        matches!(self.strategy, Some(PatchStrategy::Merge | PatchStrategy::MergeRetainKeys))
    }

    fn item(&self) -> Option<&'s Schema> {
        self.schema.and_then(|s| s.items.as_deref())
    }
}

fn merge_fields(mut original: Fields, mut patch: Fields, schema: Option<&Schema>) -> Result<Fields, PatchError> {
    match patch.shift_remove(PATCH) {
        None => {}
        Some(Value::String(kind)) if kind == "replace" => return Ok(patch),
        Some(Value::String(kind)) if kind == "delete" => return Ok(Fields::new()),
        Some(kind) => return Err(unknown_directive(&kind)),
    }
    retain_keys(&mut original, &mut patch)?;
    for name in names_with(&patch, SET_ORDER) {
        if let Some(order) = patch.shift_remove(&name) {
            let field = field_of(&name, "setElementOrder list")?;
            list::set_order(&mut original, &mut patch, field, order, &Meta::of(schema, field))?;
        }
    }
    // Before the additions to the same lists.
    for name in names_with(&patch, DELETE_FROM) {
        if let Some(unwanted) = patch.shift_remove(&name) {
            let field = field_of(&name, "primitive list")?;
            list::delete_from(&mut original, field, unwanted)?;
        }
    }
    for (name, value) in patch {
        let meta = Meta::of(schema, &name);
        match merge_value(original.get_mut(&name).map(Value::take), value, &meta)? {
            Some(value) => {
                original.insert(name, value);
            }
            None => {
                original.shift_remove(&name);
            }
        }
    }
    Ok(original)
}

/// The new value of a field; none when it is deleted.
fn merge_value(original: Option<Value>, patch: Value, meta: &Meta<'_>) -> Result<Option<Value>, PatchError> {
    let merged = match (original, patch) {
        (_, Value::Null) => return Ok(None),
        (Some(Value::Object(_)), patch @ Value::Object(_)) if meta.strategy == Some(PatchStrategy::Replace) => patch,
        (Some(Value::Object(original)), Value::Object(patch)) => {
            Value::Object(merge_fields(original, patch, meta.schema)?)
        }
        (Some(Value::Array(original)), Value::Array(patch)) if meta.merges_list() => {
            Value::Array(list::merge(original, patch, meta)?)
        }
        (Some(Value::Array(_)), patch @ Value::Array(_)) => patch,
        (_, patch) => return Ok(without_directives(patch)),
    };
    Ok(Some(merged))
}

/// Keeps only the named fields of the object. The patch may set no others.
fn retain_keys(original: &mut Fields, patch: &mut Fields) -> Result<(), PatchError> {
    let invalid = || PatchError::Malformed("invalid patch format of retainKeys".to_owned());
    let keys = match patch.shift_remove(RETAIN_KEYS) {
        None => return Ok(()),
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(invalid()),
    };
    let keys: std::collections::BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let directive = |name: &str| name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER);
    if patch.iter().any(|(name, value)| !value.is_null() && !directive(name) && !keys.contains(&**name)) {
        return Err(invalid());
    }
    original.retain(|name, _| keys.contains(&**name));
    Ok(())
}

/// A value that is added: without nulls and directives; none where it is a directive itself.
fn without_directives(value: Value) -> Option<Value> {
    let cleaned = match value {
        Value::Object(fields) if fields.contains_key(PATCH) => return None,
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, value)| !value.is_null() && !is_directive(name))
                .filter_map(|(name, value)| Some((name, without_directives(value)?)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().filter_map(without_directives).collect()),
        other => other,
    };
    Some(cleaned)
}

fn is_directive(name: &str) -> bool {
    name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER)
}

fn names_with(patch: &Fields, prefix: &str) -> Vec<String> {
    patch.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
}

/// What follows the slash of a directive.
fn field_of<'n>(name: &'n str, what: &str) -> Result<&'n str, PatchError> {
    match name.split_once('/') {
        Some((SET_ORDER | DELETE_FROM, field)) => Ok(field),
        _ => Err(PatchError::Malformed(format!("invalid patch format of {what}"))),
    }
}

fn unknown_directive(kind: &Value) -> PatchError {
    PatchError::Unprocessable(format!("unknown patch type: {kind}"))
}

#[cfg(test)]
mod tests;
