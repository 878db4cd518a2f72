//! Judges an object by a structural schema, as far as the schemas of this crate go.
//!
//! It exists to hold the cases to the schemas here, where no API server is at hand; a server has its own validation. It
//! names for each thing that is wrong the fact that says so, so that the tests can tell which facts no case touches.

use std::net::{Ipv4Addr, Ipv6Addr};

use k8s_openapi::jiff::Timestamp;
use kube_cel::{CompiledSchema, ErrorKind, Validator, apply_defaults, compile_schema};
use purlin_gateway_api::cases::Refusal;
use regex::Regex;
use serde_json::Value;

/// A field that is wrong.
pub(crate) struct Wrong {
    pub(crate) at: String,
    pub(crate) says: String,
    /// Keyword and value of the schema, or the CEL rule.
    pub(crate) fact: String,
    /// The API server evaluates no CEL rule where such an error is.
    blocks_rules: bool,
}

/// What is wrong with an object.
pub(crate) struct Verdict {
    pub(crate) schema: Vec<Wrong>,
    pub(crate) rules: Vec<Wrong>,
    blocked: bool,
}

impl Verdict {
    /// What an API server says.
    pub(crate) fn said(&self) -> Vec<Refusal> {
        let rules = if self.blocked { &[] } else { self.rules.as_slice() };
        self.schema.iter().chain(rules).map(|w| Refusal { at: w.at.clone(), says: w.says.clone() }).collect()
    }
}

/// A kind's schema with its rules compiled.
pub(crate) struct Judge {
    pub(crate) schema: Value,
    rules: CompiledSchema,
    validator: Validator,
}

impl Judge {
    pub(crate) fn new(schema: Value) -> Self {
        let rules = compile_schema(&schema);
        assert!(!rules.has_errors(), "{:?}", rules.compilation_errors());
        Judge { schema, rules, validator: Validator::new() }
    }

    pub(crate) fn judge(&self, object: &Value, old: Option<&Value>) -> Verdict {
        let mut wrong = Vec::new();
        check(&self.schema, &apply_defaults(&self.schema, object), "", &mut wrong);
        let blocked = wrong.iter().any(|wrong| wrong.blocks_rules);
        let failed =
            self.validator.validate_compiled(&self.rules, object, old).err().map(|e| e.into_vec()).unwrap_or_default();
        let rules = failed.into_iter().map(|error| {
            // A rule may stumble only over a field that is missing or of a wrong type.
            assert!(blocked || error.kind == ErrorKind::ValidationFailure, "{}: {}", error.rule, error.message);
            let fact = format!("rule {} {}", error.rule, error.message);
            Wrong { at: error.field_path, says: error.message, fact, blocks_rules: false }
        });
        Verdict { rules: rules.collect(), schema: wrong, blocked }
    }
}

/// What an object can offend, of all that the schema has: keyword and value, as in [`Wrong::fact`].
pub(crate) fn facts(schema: &Value) -> Vec<String> {
    let text = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
    let mut out = Vec::new();
    for (key, value) in schema.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => out.extend(fields.values().flat_map(facts)),
            ("items" | "additionalProperties", _) => out.extend(facts(value)),
            ("x-kubernetes-validations", Value::Array(rules)) => {
                out.extend(rules.iter().map(|rule| format!("rule {} {}", text(rule, "rule"), text(rule, "message"))));
            }
            ("required", Value::Array(names)) => out.extend(names.iter().map(|name| format!("required {name}"))),
            ("minLength", Value::Number(n)) if n.as_u64() == Some(0) => {}
            // Every integer that JSON can hold here fits.
            ("format", _) if value == "int64" => {}
            ("x-kubernetes-list-type", _) if value == "atomic" => {}
            ("x-kubernetes-map-type" | "x-kubernetes-list-map-keys" | "description" | "default", _) => {}
            _ => out.push(format!("{key} {value}")),
        }
    }
    out
}

fn check(schema: &Value, value: &Value, at: &str, out: &mut Vec<Wrong>) {
    let mut wrong = |keyword: &str, says: String, blocks_rules: bool| {
        let fact = format!("{keyword} {}", schema[keyword]);
        out.push(Wrong { at: at.to_owned(), says, fact, blocks_rules });
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(expected) = schema["type"].as_str()
        && expected != kind
    {
        return wrong("type", format!("must be of type {expected}"), true);
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong("enum", "Unsupported value".to_owned(), true);
    }
    if schema.get("oneOf").is_some() {
        let valid = branches(&schema["oneOf"], value).filter(|ok| *ok).count();
        if valid != 1 {
            wrong("oneOf", "must validate one and only one schema (oneOf)".to_owned(), false);
        }
    }
    match value {
        Value::String(text) => string(schema, text, &mut wrong),
        Value::Number(number) => {
            let n = number.as_i64().unwrap_or(i64::MAX);
            if schema["format"] == "int32" && i32::try_from(n).is_err() {
                wrong("format", "must be of type integer with format int32".to_owned(), false);
            }
            if let Some(max) = schema["maximum"].as_i64().filter(|max| n > *max) {
                wrong("maximum", format!("should be less than or equal to {max}"), false);
            }
            if let Some(min) = schema["minimum"].as_i64().filter(|min| n < *min) {
                wrong("minimum", format!("should be greater than or equal to {min}"), false);
            }
        }
        Value::Array(items) => array(schema, items, at, out),
        Value::Object(fields) => object(schema, fields, at, out),
        _ => {}
    }
}

/// Which of the branches hold; they bound the values of fields, with `enum`, `not`, `format` and `anyOf`.
fn branches<'a>(branches: &'a Value, value: &'a Value) -> impl Iterator<Item = bool> + 'a {
    branches.as_array().into_iter().flatten().map(|branch| holds(branch, value))
}

fn holds(branch: &Value, value: &Value) -> bool {
    branch.as_object().into_iter().flatten().all(|(keyword, wanted)| match keyword.as_str() {
        "enum" => wanted.as_array().is_some_and(|allowed| allowed.contains(value)),
        "not" => !holds(wanted, value),
        "format" => value.as_str().is_none_or(|text| has_format(wanted, text)),
        "anyOf" => branches(wanted, value).any(|ok| ok),
        "properties" => wanted
            .as_object()
            .into_iter()
            .flatten()
            .all(|(name, field)| value.get(name).is_none_or(|value| holds(field, value))),
        other => panic!("unknown keyword {other} in a branch"),
    })
}

fn has_format(format: &Value, text: &str) -> bool {
    match format.as_str() {
        Some("ipv4") => text.parse::<Ipv4Addr>().is_ok(),
        Some("ipv6") => text.parse::<Ipv6Addr>().is_ok(),
        Some("date-time") => text.parse::<Timestamp>().is_ok(),
        other => panic!("unknown format {other:?}"),
    }
}

fn string(schema: &Value, text: &str, wrong: &mut impl FnMut(&str, String, bool)) {
    let length = text.chars().count() as u64;
    if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
        wrong("maxLength", format!("may not be more than {max} bytes"), true);
    }
    if let Some(min) = schema["minLength"].as_u64().filter(|min| length < *min) {
        wrong("minLength", format!("should be at least {min} chars long"), false);
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        wrong("pattern", "should match".to_owned(), false);
    }
    if schema.get("format").is_some_and(|format| !has_format(format, text)) {
        wrong("format", format!("must be of type {}", schema["format"].as_str().unwrap()), false);
    }
}

fn array(schema: &Value, items: &[Value], at: &str, out: &mut Vec<Wrong>) {
    let count = items.len() as u64;
    let mut wrong = |at: String, keyword: &str, says: String, blocks_rules: bool| {
        out.push(Wrong { at, says, fact: format!("{keyword} {}", schema[keyword]), blocks_rules });
    };
    if let Some(max) = schema["maxItems"].as_u64().filter(|max| count > *max) {
        wrong(at.to_owned(), "maxItems", format!("must have at most {max} items"), true);
    }
    if let Some(min) = schema["minItems"].as_u64().filter(|min| count < *min) {
        wrong(at.to_owned(), "minItems", format!("should have at least {min} items"), false);
    }
    let key = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(item.clone()),
        Some("map") => item.get(schema["x-kubernetes-list-map-keys"][0].as_str()?).cloned(),
        _ => None,
    };
    for (i, item) in items.iter().enumerate() {
        if let Some(own) = key(item)
            && items[..i].iter().filter_map(key).any(|other| other == own)
        {
            wrong(format!("{at}[{i}]"), "x-kubernetes-list-type", "Duplicate value".to_owned(), false);
        }
    }
    items.iter().enumerate().for_each(|(i, item)| check(&schema["items"], item, &format!("{at}[{i}]"), out));
}

fn object(schema: &Value, fields: &serde_json::Map<String, Value>, at: &str, out: &mut Vec<Wrong>) {
    let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    for name in schema["required"].as_array().into_iter().flatten() {
        let field = name.as_str().unwrap();
        if !fields.contains_key(field) {
            let says = "Required value".to_owned();
            out.push(Wrong { at: path(field), says, fact: format!("required {name}"), blocks_rules: true });
        }
    }
    if let Some(max) = schema["maxProperties"].as_u64().filter(|max| fields.len() as u64 > *max) {
        let says = format!("must have at most {max} items");
        out.push(Wrong { at: at.to_owned(), says, fact: format!("maxProperties {max}"), blocks_rules: true });
    }
    for (name, value) in fields {
        if let Some(field) = schema["properties"].get(name).or(schema.get("additionalProperties")) {
            check(field, value, &path(name), out);
        } else if schema.get("properties").is_some() {
            panic!("the case has a field that the schema does not know: {}", path(name));
        }
    }
}
