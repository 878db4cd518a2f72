//! JSON patch (RFC 6902), with bounds that the RFC does not know.
//!
//! The operations are those of the json-patch crate; they are applied one by one so that an object can be refused
//! as soon as it grows too deep or by too many copies (each `copy` may double an object). Like Kubernetes' own, a
//! `test` for `null` also holds where there is nothing. Unlike it, negative indices are refused, as the RFC demands.

use json_patch::jsonptr::Pointer;
use json_patch::{PatchOperation, patch_unsafe};
use serde_json::Value;

use crate::{MAX_DEPTH, PatchError};

/// The most operations that one patch may have.
pub const MAX_OPERATIONS: usize = 10_000;

/// How many nodes and bytes of strings all `copy` operations of a patch may add.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// How many items of lists and nodes of moved values all operations of a patch may touch.
const MAX_TOUCHED: usize = 64 * 1024 * 1024;

/// Applies a JSON patch. Nothing is changed when one operation fails.
pub fn apply_json_patch(obj: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations = decode(patch)?;
    let mut doc = obj.clone();
    let mut growth = Growth::default();
    for (index, operation) in operations.iter().enumerate() {
        if is_absence_test(&doc, operation) {
            continue;
        }
        growth.check(&doc, operation)?;
        patch_unsafe(&mut doc, std::slice::from_ref(operation)).map_err(|e| {
            PatchError::Unprocessable(format!(
                "{} operation {index} failed at path {:?}: {}",
                name(operation),
                e.path.as_str(),
                e.kind
            ))
        })?;
    }
    Ok(doc)
}

/// The operations of a patch; what is wrong with one is told by its field (`[0].op`).
fn decode(patch: &[u8]) -> Result<Vec<PatchOperation>, PatchError> {
    let malformed = |why: String| PatchError::Malformed(format!("error decoding patch: {why}"));
    let patch: Value = serde_json::from_slice(patch).map_err(|e| malformed(e.to_string()))?;
    let Value::Array(operations) = patch else {
        return Err(malformed("a JSON patch is a list of operations".to_owned()));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let decoded = operations.into_iter().enumerate().map(|(index, operation)| {
        check_fields(&operation).map_err(|why| malformed(format!("[{index}]{why}")))?;
        serde_json::from_value(operation).map_err(|e| malformed(format!("[{index}]: {e}")))
    });
    decoded.collect()
}

/// Whether an operation has the fields that RFC 6902 demands of it; else which one is wrong, and why.
fn check_fields(operation: &Value) -> Result<(), String> {
    if !operation.is_object() {
        return Err(": an operation is an object".to_owned());
    }
    let (pointers, has_value): (&[&str], bool) = match operation.get("op") {
        Some(Value::String(op)) => match op.as_str() {
            "add" | "replace" | "test" => (&["path"], true),
            "remove" => (&["path"], false),
            "move" | "copy" => (&["path", "from"], false),
            unknown => {
                return Err(format!(
                    ".op: {unknown:?} is none of \"add\", \"remove\", \"replace\", \"move\", \"copy\", \"test\""
                ));
            }
        },
        Some(_) => return Err(".op: expected a string".to_owned()),
        None => return Err(".op: required".to_owned()),
    };
    for field in pointers {
        match operation.get(field) {
            Some(Value::String(text)) => {
                Pointer::parse(text).map_err(|e| format!(".{field}: {text:?} is no JSON pointer: {e}"))?;
            }
            Some(_) => return Err(format!(".{field}: expected a string")),
            None => return Err(format!(".{field}: required")),
        }
    }
    if has_value && operation.get("value").is_none() {
        return Err(".value: required".to_owned());
    }
    Ok(())
}

fn name(operation: &PatchOperation) -> &'static str {
    match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

fn is_absence_test(doc: &Value, operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test) if test.value.is_null() && doc.pointer(test.path.as_str()).is_none())
}

/// What the operations so far have cost.
#[derive(Default)]
struct Growth {
    copied: usize,
    touched: usize,
}

impl Growth {
    /// Refuses an operation that would make the object too deep, copy too much, or take too long.
    fn check(&mut self, doc: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
        // Items are shifted by what is added or removed before them.
        self.touched = self.touched.saturating_add(siblings(doc, operation.path()));
        let (path, below) = match operation {
            PatchOperation::Add(op) => (&op.path, depth(&op.value)),
            PatchOperation::Replace(op) => (&op.path, depth(&op.value)),
            PatchOperation::Move(op) => {
                let source = doc.pointer(op.from.as_str());
                self.touched = self.touched.saturating_add(siblings(doc, &op.from) + source.map_or(0, size));
                (&op.path, source.map_or(0, depth))
            }
            PatchOperation::Copy(op) => {
                let source = doc.pointer(op.from.as_str());
                self.copied = self.copied.saturating_add(source.map_or(0, size));
                (&op.path, source.map_or(0, depth))
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => return self.within(),
        };
        if Pointer::count(path) + below > MAX_DEPTH {
            return Err(PatchError::TooLarge(format!("the patch nests values deeper than {MAX_DEPTH} levels")));
        }
        self.within()
    }

    fn within(&self) -> Result<(), PatchError> {
        if self.copied > MAX_COPIED {
            let message = format!("the copy operations of the patch add more than {MAX_COPIED} bytes");
            return Err(PatchError::TooLarge(message));
        }
        if self.touched > MAX_TOUCHED {
            let message = format!("the operations of the patch touch more than {MAX_TOUCHED} values; split the patch");
            return Err(PatchError::TooLarge(message));
        }
        Ok(())
    }
}

/// How many items the list has that a path leads into; 0 for an object.
fn siblings(doc: &Value, path: &Pointer) -> usize {
    let parent = path.split_back().and_then(|(parent, _)| doc.pointer(parent.as_str()));
    parent.and_then(Value::as_array).map_or(0, Vec::len)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(obj: Value, patch: Value, expected: Result<Value, &str>) {
        let got = apply_json_patch(&obj, patch.to_string().as_bytes());
        assert_eq!(got, expected.map_err(|message| PatchError::Unprocessable(message.to_owned())), "{patch}");
    }

    #[test]
    fn operations() {
        let obj = json!({"a": {"b": 1}, "l": [1, 2], "n": null});
        let ops = |ops: Value| ops;
        check(obj.clone(), ops(json!([])), Ok(obj.clone()));
        check(
            json!({"data": {"a": "1", "b": "2"}}),
            json!([{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/b"}]),
            Ok(json!({"data": {"a": "1"}})),
        );
        check(
            json!({"l": [1, 2]}),
            json!([{"op": "add", "path": "/l/1", "value": 9}, {"op": "add", "path": "/l/-", "value": 8}]),
            Ok(json!({"l": [1, 9, 2, 8]})),
        );
        check(
            json!({"a": 1}),
            json!([{"op": "move", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/b", "path": "/c"}]),
            Ok(json!({"b": 1, "c": 1})),
        );
        check(
            json!({"m": {"a/b": 1, "c~d": 2}}),
            json!([{"op": "remove", "path": "/m/a~1b"}, {"op": "replace", "path": "/m/c~0d", "value": 3}]),
            Ok(json!({"m": {"c~d": 3}})),
        );
        check(json!({"a": 1}), json!([{"op": "test", "path": "/b", "value": null}]), Ok(json!({"a": 1})));
    }

    #[test]
    fn refused_as_a_whole() {
        let obj = json!({"a": {"b": 1}, "l": [1, 2], "n": null});
        let refuse = |op: Value, message: &str| {
            check(obj.clone(), json!([{"op": "add", "path": "/z", "value": 1}, op]), Err(message))
        };
        refuse(
            json!({"op": "test", "path": "/a/b", "value": 2}),
            "test operation 1 failed at path \"/a/b\": value did not match",
        );
        refuse(
            json!({"op": "test", "path": "/x", "value": 2}),
            "test operation 1 failed at path \"/x\": path is invalid",
        );
        refuse(json!({"op": "remove", "path": "/x"}), "remove operation 1 failed at path \"/x\": path is invalid");
        refuse(
            json!({"op": "replace", "path": "/x", "value": 1}),
            "replace operation 1 failed at path \"/x\": path is invalid",
        );
        refuse(
            json!({"op": "add", "path": "/n/x", "value": 1}),
            "add operation 1 failed at path \"/n/x\": path is invalid",
        );
        refuse(
            json!({"op": "add", "path": "/l/3", "value": 1}),
            "add operation 1 failed at path \"/l/3\": path is invalid",
        );
        refuse(
            json!({"op": "remove", "path": "/l/-1"}),
            "remove operation 1 failed at path \"/l/-1\": path is invalid",
        );
        refuse(
            json!({"op": "move", "from": "/a", "path": "/a/b"}),
            "move operation 1 failed at path \"/a/b\": cannot move the value inside itself",
        );
        refuse(
            json!({"op": "copy", "from": "/x", "path": "/y"}),
            "copy operation 1 failed at path \"/y\": \"from\" path is invalid",
        );
    }

    #[test]
    fn malformed() {
        let check = |patch: &str, expected: &str| {
            let got = apply_json_patch(&json!({"a": 1}), patch.as_bytes());
            let Err(PatchError::Malformed(why)) = got else { panic!("{patch}: {got:?}") };
            assert_eq!(why, format!("error decoding patch: {expected}"), "{patch}");
        };
        check("{", "EOF while parsing an object at line 1 column 1");
        for patch in ["{}", "null", r#"{"op":"foo"}"#] {
            check(patch, "a JSON patch is a list of operations");
        }
        let one = |operation: &str, expected: &str| {
            check(&format!(r#"[{{"op":"test","path":"/a","value":1}},{operation}]"#), &format!("[1]{expected}"));
        };
        one("7", ": an operation is an object");
        let known = r#""add", "remove", "replace", "move", "copy", "test""#;
        one(r#"{"op":"foo"}"#, &format!(".op: \"foo\" is none of {known}"));
        one(r#"{"op":1,"path":"/a"}"#, ".op: expected a string");
        one(r#"{"path":"/a"}"#, ".op: required");
        one(r#"{"op":"remove"}"#, ".path: required");
        one(r#"{"op":"remove","path":["a"]}"#, ".path: expected a string");
        one(r#"{"op":"move","path":"/a"}"#, ".from: required");
        for op in ["add", "replace", "test"] {
            one(&format!(r#"{{"op":"{op}","path":"/a"}}"#), ".value: required");
        }
        for pointer in ["a", "/a~2", "/~"] {
            for (patch, field) in [
                (json!([{"op": "remove", "path": pointer}]), "path"),
                (json!([{"op": "copy", "path": "/b", "from": pointer}]), "from"),
            ] {
                let got = apply_json_patch(&json!({"a": 1}), patch.to_string().as_bytes());
                let Err(PatchError::Malformed(why)) = got else { panic!("{patch}: {got:?}") };
                let begin = format!("error decoding patch: [0].{field}: {pointer:?} is no JSON pointer: ");
                assert!(why.len() > begin.len() && why.starts_with(&begin), "{why}");
            }
        }
    }

    #[test]
    fn bounds() {
        let too_large = |obj: Value, ops: Vec<Value>| {
            let got = apply_json_patch(&obj, Value::from(ops).to_string().as_bytes());
            assert!(matches!(got, Err(PatchError::TooLarge(_))), "{got:?}");
        };
        let noop = json!({"op": "test", "path": "/a", "value": 1});
        assert!(
            apply_json_patch(&json!({"a": 1}), Value::from(vec![noop.clone(); MAX_OPERATIONS]).to_string().as_bytes())
                .is_ok()
        );
        too_large(json!({"a": 1}), vec![noop; MAX_OPERATIONS + 1]);
        // Each copy of the whole doubles it: without a bound, 2^60 nodes.
        too_large(
            json!({"a": "x".repeat(1000)}),
            (0..60).map(|n| json!({"op": "copy", "from": "", "path": format!("/{n}")})).collect(),
        );
        let shift = json!({"op": "add", "path": "/a/0", "value": 1});
        too_large(json!({"a": vec![0; 100_000]}), vec![shift; 1000]);
        let there = json!({"op": "move", "from": "/a", "path": "/b"});
        let back = json!({"op": "move", "from": "/b", "path": "/a"});
        too_large(json!({"a": vec![0; 100_000]}), [there, back].iter().cycle().take(1000).cloned().collect());
        // Each copy into the deepest place doubles the depth.
        let chain: Vec<Value> =
            (0..20).map(|n| json!({"op": "copy", "from": "/a", "path": "/a".repeat((1 << n) + 1)})).collect();
        too_large(json!({"a": {}}), chain);
    }
}
