//! Lists of a strategic merge patch: items told apart by their merge key, scalars by themselves.
//!
//! The result's order: what the patch names in the patch's order (or that of `$setElementOrder`), everything else in
//! the object's, the two interleaved as the object had them where that can be said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Fields, Meta, PATCH, merge_fields, unknown_directive, without_directives};
use crate::PatchError;
use crate::pathelement::PathValue;

/// A list with what tells each item from the others.
type Keyed = Vec<(PathValue, Value)>;

/// Merges a list of a patch into one of the object.
pub(super) fn merge(original: Vec<Value>, patch: Vec<Value>, meta: &Meta<'_>) -> Result<Vec<Value>, PatchError> {
    let Some(objects) = are_objects(original.iter().chain(&patch))? else { return Ok(original) };
    if !objects {
        let patch = keyed(patch, None)?;
        let original = keyed(original, None)?;
        let (server_order, patch_order) = (positions(&original), positions(&patch));
        let mut seen = BTreeSet::new();
        let merged = original.into_iter().chain(patch).filter(|(key, _)| seen.insert(key.clone())).collect();
        return Ok(ordered(merged, &patch_order, &server_order));
    }
    let Some(merge_key) = meta.merge_key else {
        return Err(PatchError::Unprocessable("cannot merge lists without merge key".to_owned()));
    };
    let directives = Directives::take(patch, merge_key)?;
    if directives.replace {
        return Ok(directives.items.into_iter().filter_map(without_directives).collect());
    }
    let mut merged = keyed(original, Some(merge_key))?;
    merged.retain(|(key, _)| !directives.deleted.contains(key));
    let patch = keyed(directives.items, Some(merge_key))?;
    let (server_order, patch_order) = (positions(&merged), positions(&patch));
    let mut places = server_order.clone();
    for (key, item) in patch {
        match places.get(&key).and_then(|&place| merged.get_mut(place)) {
            Some((_, into)) => {
                if let (Value::Object(original), Value::Object(item)) = (into.take(), item) {
                    *into = Value::Object(merge_fields(original, item, meta.item())?);
                }
            }
            None => {
                places.insert(key.clone(), merged.len());
                merged.extend(without_directives(item).map(|item| (key, item)));
            }
        }
    }
    Ok(ordered(merged, &patch_order, &server_order))
}

/// Does what `$setElementOrder/field` says, together with the patch's own list of the field, which is used up.
pub(super) fn set_order(
    original: &mut Fields,
    patch: &mut Fields,
    field: &str,
    order: Value,
    meta: &Meta<'_>,
) -> Result<(), PatchError> {
    let order = array(order)?;
    let live = original.get(field).cloned().map(array).transpose()?;
    let wanted = patch.get(field).cloned().map(array).transpose()?;
    let Some(sample) = live.iter().chain(&wanted).flatten().next() else { return Ok(()) };
    let merge_key = if sample.is_object() { Some(merge_key(meta)?) } else { None };
    let order = keyed(order, merge_key)?;
    if let Some(wanted) = &wanted {
        check_order(wanted, &order, merge_key)?;
    }
    patch.shift_remove(field);
    let server = keyed(live.clone().unwrap_or_default(), merge_key)?;
    let merged = match (live, wanted) {
        (Some(live), None) => live,
        (Some(live), Some(wanted)) if meta.merges_list() => merge(live, wanted, meta)?,
        (Some(_), Some(wanted)) => wanted,
        (None, wanted) => wanted.unwrap_or_default().into_iter().filter_map(without_directives).collect(),
    };
    let merged = keyed(merged, merge_key)?;
    let server_order = after_deletions(&server, &merged);
    original.insert(field.to_owned(), Value::Array(ordered(merged, &positions(&order), &server_order)));
    Ok(())
}

/// The object's order, in which new items took the places at the end that deleted items left: so do they upstream.
fn after_deletions(server: &Keyed, merged: &Keyed) -> BTreeMap<PathValue, usize> {
    let (was, is) = (positions(server), positions(merged));
    let kept = server.iter().map(|(key, _)| key).filter(|key| is.contains_key(key));
    let added = merged.iter().map(|(key, _)| key).filter(|key| !was.contains_key(key));
    let mut out = BTreeMap::new();
    for (place, key) in kept.chain(added).take(server.len()).enumerate() {
        out.entry(key.clone()).or_insert(place);
    }
    out
}

/// Does what `$deleteFromPrimitiveList/field` says.
pub(super) fn delete_from(original: &mut Fields, field: &str, unwanted: Value) -> Result<(), PatchError> {
    let Value::Array(unwanted) = unwanted else {
        return Err(PatchError::Malformed("invalid patch format of primitive list".to_owned()));
    };
    let unwanted: BTreeSet<PathValue> = keyed(unwanted, None)?.into_iter().map(|(key, _)| key).collect();
    if let Some(Value::Array(list)) = original.get_mut(field) {
        list.retain(|item| PathValue::of(item).is_none_or(|item| !unwanted.contains(&item)));
    }
    Ok(())
}

/// A patch's list, apart into its items and its directives.
#[derive(Default)]
struct Directives {
    items: Vec<Value>,
    deleted: BTreeSet<PathValue>,
    replace: bool,
}

impl Directives {
    fn take(patch: Vec<Value>, merge_key: &str) -> Result<Directives, PatchError> {
        let mut out = Directives::default();
        for item in patch {
            match item.get(PATCH) {
                None => out.items.push(item),
                Some(Value::String(kind)) if kind == "delete" => {
                    out.deleted.insert(key_of(&item, Some(merge_key))?);
                }
                Some(Value::String(kind)) if kind == "replace" => out.replace = true,
                Some(Value::String(kind)) if kind == "merge" => {
                    let message = "merging lists cannot yet be specified in the patch";
                    return Err(PatchError::Unprocessable(message.to_owned()));
                }
                Some(kind) => return Err(unknown_directive(kind)),
            }
        }
        Ok(out)
    }
}

/// Whether a list is of objects; none for an empty one. Lists of lists and of mixed types are refused.
fn are_objects<'v>(items: impl Iterator<Item = &'v Value>) -> Result<Option<bool>, PatchError> {
    let mut first = None;
    for item in items {
        let kind = std::mem::discriminant(item);
        match item {
            Value::Array(_) => return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned())),
            _ if first.is_some_and(|(first, _)| first != kind) => {
                return Err(PatchError::Unprocessable("list element types are not identical".to_owned()));
            }
            _ => first = Some((kind, item.is_object())),
        }
    }
    Ok(first.map(|(_, objects)| objects))
}

fn array(value: Value) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(PatchError::Malformed("invalid patch format of setElementOrder list".to_owned())),
    }
}

fn merge_key<'s>(meta: &Meta<'s>) -> Result<&'s str, PatchError> {
    let message = "$setElementOrder of a list of objects that has no merge key";
    meta.merge_key.ok_or_else(|| PatchError::Unprocessable(message.to_owned()))
}

fn key_of(item: &Value, merge_key: Option<&str>) -> Result<PathValue, PatchError> {
    match merge_key {
        Some(name) => item.get(name).and_then(PathValue::of).ok_or_else(|| {
            PatchError::Unprocessable(format!("map: {item} does not contain declared merge key: {name}"))
        }),
        None => PathValue::of(item)
            .ok_or_else(|| PatchError::Unprocessable("list element types are not identical".to_owned())),
    }
}

fn keyed(list: Vec<Value>, merge_key: Option<&str>) -> Result<Keyed, PatchError> {
    list.into_iter().map(|item| Ok((key_of(&item, merge_key)?, item))).collect()
}

/// The first place of each item.
fn positions(list: &Keyed) -> BTreeMap<PathValue, usize> {
    let mut out = BTreeMap::new();
    for (place, (key, _)) in list.iter().enumerate() {
        out.entry(key.clone()).or_insert(place);
    }
    out
}

/// The patch's items must come in the order that `$setElementOrder` gives, and all be in it.
fn check_order(patch: &[Value], order: &Keyed, merge_key: Option<&str>) -> Result<(), PatchError> {
    if order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        let key = key_of(item, merge_key)?;
        if !rest.any(|(ordered, _)| *ordered == key) {
            let message = "The order in patch list doesn't match $setElementOrder list";
            return Err(PatchError::Unprocessable(message.to_owned()));
        }
    }
    Ok(())
}

/// What the patch names in its order, the others in the object's, interleaved.
fn ordered(
    merged: Keyed,
    patch_order: &BTreeMap<PathValue, usize>,
    server_order: &BTreeMap<PathValue, usize>,
) -> Vec<Value> {
    let (mut named, mut others): (Keyed, Keyed) =
        merged.into_iter().partition(|(key, _)| patch_order.contains_key(key));
    named.sort_by_key(|(key, _)| patch_order.get(key).copied());
    others.sort_by_key(|(key, _)| server_order.get(key).copied().unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let Some((name, _)) = named.peek() {
        let before = |other: &(PathValue, Value)| match (server_order.get(&other.0), server_order.get(name)) {
            (Some(other), Some(named)) => other < named,
            _ => false,
        };
        match others.next_if(before) {
            Some((_, item)) => out.push(item),
            None => out.extend(named.next().map(|(_, item)| item)),
        }
    }
    out.extend(others.map(|(_, item)| item));
    out
}
