//! Stored bodies as bytes: JSON whose first members are `apiVersion`, `kind` and `metadata`, and whose metadata
//! begins with name, namespace, uid and resourceVersion.
//!
//! The order lets a revision or an API version be put in by copying bytes, without parsing: the revision is only
//! known inside the transaction, and a watch sends what is stored. Values that stand before `resourceVersion` are
//! validated names, so its first occurrence is the right one.

use serde_json::{Map, Value};

const MARK: &[u8] = b"\"resourceVersion\":\"";

/// An object ready to be stored, but for its revision.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    /// Where the revision's digits go.
    hole: usize,
}

impl Draft {
    /// Brings the object into stored order; `metadata.resourceVersion` is left open.
    pub(crate) fn new(object: &Value) -> Draft {
        let bytes = canonical(object).to_string().into_bytes();
        let hole = find(&bytes).map_or(bytes.len(), |(start, _)| start);
        Draft { bytes, hole }
    }

    /// How large the object is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes at revision `rv`.
    pub(super) fn at(&self, rv: i64) -> Vec<u8> {
        let digits = rv.to_string();
        let mut out = Vec::with_capacity(self.bytes.len() + digits.len());
        out.extend_from_slice(&self.bytes[..self.hole]);
        out.extend_from_slice(digits.as_bytes());
        out.extend_from_slice(&self.bytes[self.hole..]);
        out
    }
}

/// The same body with another revision.
pub(super) fn moved_to(body: &[u8], rv: i64) -> Vec<u8> {
    let Some((start, end)) = find(body) else { return body.to_vec() };
    let mut out = Vec::with_capacity(body.len() + 4);
    out.extend_from_slice(&body[..start]);
    out.extend_from_slice(rv.to_string().as_bytes());
    out.extend_from_slice(&body[end..]);
    out
}

/// The same body in another version of its API; `api_version` is `group/version`.
pub(crate) fn with_api_version(body: &[u8], api_version: &str) -> Vec<u8> {
    const HEAD: &[u8] = b"{\"apiVersion\":\"";
    let rest = body.strip_prefix(HEAD).and_then(|rest| memchr(b'"', rest).map(|end| &rest[end..]));
    let Some(rest) = rest else { return body.to_vec() };
    [HEAD, api_version.as_bytes(), rest].concat()
}

/// Start and end of the digits of `metadata.resourceVersion`.
fn find(body: &[u8]) -> Option<(usize, usize)> {
    let start = body.windows(MARK.len()).position(|w| w == MARK)? + MARK.len();
    let end = start + memchr(b'"', &body[start..])?;
    Some((start, end))
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == byte)
}

fn canonical(object: &Value) -> Value {
    let empty = Map::new();
    let object = object.as_object().unwrap_or(&empty);
    let mut metadata = Map::new();
    let given = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    for name in ["name", "namespace", "uid"] {
        if let Some(value) = given.get(name) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    metadata.insert("resourceVersion".to_owned(), "".into());
    for (name, value) in given {
        if !metadata.contains_key(name) {
            metadata.insert(name.clone(), value.clone());
        }
    }
    let mut out = Map::new();
    for name in ["apiVersion", "kind"] {
        out.insert(name.to_owned(), object.get(name).cloned().unwrap_or_default());
    }
    out.insert("metadata".to_owned(), metadata.into());
    for (name, value) in object {
        if !out.contains_key(name) {
            out.insert(name.clone(), value.clone());
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_revision_goes_where_it_belongs() {
        let object = json!({
            "spec": {"resourceVersion": "no"}, "kind": "W", "apiVersion": "g/v1",
            "metadata": {"annotations": {"resourceVersion": "no"}, "resourceVersion": "5", "name": "a", "uid": "u"},
        });
        let draft = Draft::new(&object);
        let body = draft.at(42);
        let text = r#"{"apiVersion":"g/v1","kind":"W","metadata":{"name":"a","uid":"u","resourceVersion":"42","annotations":{"resourceVersion":"no"}},"spec":{"resourceVersion":"no"}}"#;
        assert_eq!(String::from_utf8(body.clone()).unwrap(), text);
        assert_eq!(String::from_utf8(moved_to(&body, 7)).unwrap(), text.replace("42", "7"));
        assert_eq!(String::from_utf8(with_api_version(&body, "g/v2")).unwrap(), text.replace("g/v1", "g/v2"));
    }
}
