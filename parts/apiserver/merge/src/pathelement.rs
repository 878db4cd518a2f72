//! One step of a field's path: a field's name, an item's keys, an item's value or its index.
//!
//! Follows `fieldpath` of structured-merge-diff: the order here is the order in which FieldsV1 is written.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use serde_json::{Number, Value};

/// A scalar that tells an item of a list from the others. Numbers that are equal are one value (`1` and `1.0`).
#[derive(Clone, Debug)]
pub enum PathValue {
    /// A whole number.
    Int(i64),
    /// A number that no `Int` equals; finite.
    Float(f64),
    /// A string.
    String(Box<str>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`, in the keys of an item only.
    Null,
}

/// How a child is found in what contains it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A field of an object: `f:name`.
    Field(Box<str>),
    /// The item of a list that has these keys, ordered by name: `k:{"name":"x"}`.
    Key(Vec<(Box<str>, PathValue)>),
    /// The item of a set: `v:"x"`.
    Value(PathValue),
    /// The item at this place: `i:0`.
    Index(i64),
}

/// A field's path from the root of its object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<PathElement>);

impl PathValue {
    /// The scalar in a JSON value; none for lists and objects.
    pub fn of(value: &Value) -> Option<PathValue> {
        match value {
            Value::Null => Some(PathValue::Null),
            Value::Bool(flag) => Some(PathValue::Bool(*flag)),
            Value::String(text) => Some(PathValue::String(text.as_str().into())),
            Value::Number(number) => Some(PathValue::of_number(number)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn of_number(number: &Number) -> PathValue {
        if let Some(int) = number.as_i64() {
            return PathValue::Int(int);
        }
        let float = number.as_f64().unwrap_or_default();
        // Exactly the floats that are whole and within i64: the cast loses nothing, and one number has one form.
        if float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            return PathValue::Int(float as i64);
        }
        PathValue::Float(float)
    }

    fn rank(&self) -> u8 {
        match self {
            PathValue::Int(_) | PathValue::Float(_) => 0,
            PathValue::String(_) => 1,
            PathValue::Bool(_) => 2,
            PathValue::Null => 3,
        }
    }

    /// The value as compact JSON, with the characters escaped that Go's encoder escapes.
    fn json(&self) -> String {
        match self {
            PathValue::Int(int) => int.to_string(),
            PathValue::Float(float) => Number::from_f64(*float).map_or_else(|| "null".to_owned(), |n| n.to_string()),
            PathValue::String(text) => json_string(text),
            PathValue::Bool(flag) => flag.to_string(),
            PathValue::Null => "null".to_owned(),
        }
    }
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for character in Value::from(text).to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

impl PartialEq for PathValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PathValue {}

impl PartialOrd for PathValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PathValue {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a Float is never a whole number within i64, so rounding decides nothing"
    )]
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (PathValue::Int(a), PathValue::Int(b)) => a.cmp(b),
            (PathValue::Int(a), PathValue::Float(b)) => (*a as f64).total_cmp(b),
            (PathValue::Float(a), PathValue::Int(b)) => a.total_cmp(&(*b as f64)),
            (PathValue::Float(a), PathValue::Float(b)) => a.total_cmp(b),
            (PathValue::String(a), PathValue::String(b)) => a.cmp(b),
            (PathValue::Bool(a), PathValue::Bool(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PathElement {
    /// A field by its name.
    pub fn field(name: impl Into<Box<str>>) -> PathElement {
        PathElement::Field(name.into())
    }

    /// The key of FieldsV1.
    pub fn serialize(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{}:{}", Value::from(&**name), value.json())).collect();
                format!("k:{{{}}}", fields.join(","))
            }
            PathElement::Value(value) => format!("v:{}", value.json()),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads a key of FieldsV1. `Ok(None)` is a kind that a later version may know; it is to be ignored.
    pub fn parse(text: &str) -> Result<Option<PathElement>, String> {
        let Some((kind, rest)) = text.split_once(':').filter(|(kind, _)| kind.len() == 1) else {
            return Err(format!("path element {text:?} does not begin with a letter and a colon"));
        };
        let invalid = || format!("invalid path element {text:?}");
        let element = match kind {
            "f" => PathElement::Field(rest.into()),
            "v" => {
                let value: Value = serde_json::from_str(rest).map_err(|_| invalid())?;
                PathElement::Value(PathValue::of(&value).ok_or_else(invalid)?)
            }
            "k" => {
                let Ok(Value::Object(fields)) = serde_json::from_str(rest) else { return Err(invalid()) };
                let mut keys = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    keys.push((name.into(), PathValue::of(&value).ok_or_else(invalid)?));
                }
                keys.sort();
                PathElement::Key(keys)
            }
            "i" => PathElement::Index(rest.parse().map_err(|_| invalid())?),
            _ => return Ok(None),
        };
        Ok(Some(element))
    }
}

impl fmt::Display for PathValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathValue::String(text) => write!(f, "{text:?}"),
            other => f.write_str(&other.json()),
        }
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", fields.join(","))
            }
            PathElement::Value(value) => write!(f, "[={value}]"),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| write!(f, "{element}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_read_and_shown() {
        let check = |text: &str, shown: &str| {
            let element = PathElement::parse(text).unwrap().unwrap();
            assert_eq!(element.serialize(), text);
            assert_eq!(element.to_string(), shown);
        };
        check("f:spec", ".spec");
        check("f:", ".");
        check("f:app.kubernetes.io/name", ".app.kubernetes.io/name");
        check("f:a:b", ".a:b");
        check(r#"k:{"name":"x"}"#, r#"[name="x"]"#);
        check(r#"k:{"port":80,"protocol":"TCP"}"#, r#"[port=80,protocol="TCP"]"#);
        check("v:1", "[=1]");
        check("v:1.5", "[=1.5]");
        check("v:true", "[=true]");
        check(r#"v:"a\u003cb""#, r#"[="a<b"]"#);
        check("i:0", "[0]");
    }

    #[test]
    fn one_form_for_equal_elements() {
        let check =
            |text: &str, canonical: &str| assert_eq!(PathElement::parse(text).unwrap().unwrap().serialize(), canonical);
        check(r#"k:{ "b": 1, "a": "x" }"#, r#"k:{"a":"x","b":1}"#);
        check("v:1.0", "v:1");
        check("v:1e3", "v:1000");
        check("v:-0.0", "v:0");
    }

    #[test]
    fn unknown_and_invalid() {
        assert_eq!(PathElement::parse("x:1"), Ok(None));
        for text in
            ["", "f", "spec", "v:", "v:[1]", "v:{}", "k:1", r#"k:{"a":[]}"#, "i:x", "i:99999999999999999999", "v:1 2"]
        {
            assert!(PathElement::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ordered_as_upstream() {
        let sorted = [
            "f:a",
            "f:b",
            r#"k:{"a":1}"#,
            r#"k:{"a":1,"b":2}"#,
            r#"k:{"b":0}"#,
            "v:-1",
            "v:0.5",
            "v:1",
            "v:9007199254740993",
            "v:1e30",
            r#"v:"a""#,
            "v:false",
            "v:true",
            "i:2",
            "i:10",
        ];
        let mut elements: Vec<PathElement> =
            sorted.iter().map(|text| PathElement::parse(text).unwrap().unwrap()).collect();
        elements.reverse();
        elements.sort();
        let texts: Vec<String> = elements.iter().map(PathElement::serialize).collect();
        assert_eq!(texts, sorted.map(|t| if t == "v:1e30" { "v:1e+30" } else { t }));
    }
}
