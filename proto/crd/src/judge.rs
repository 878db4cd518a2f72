//! Judges cases by the schemas of their kinds, for the tests of the crates that define kinds.
//!
//! It exists to hold the cases to the schemas where no API server is at hand; a server has its own validation. It knows
//! the keywords that our kinds use, and names for each thing that is wrong the fact that says so, so that it can tell
//! which facts no case touches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use k8s_openapi::jiff::Timestamp;
use kube_cel::{CompiledSchema, ErrorKind, Validator, apply_defaults, compile_schema};
use regex::Regex;
use serde_json::Value;

use crate::cases::{Case, Refusal};

/// What is wrong with definitions and their cases; nothing where all of this holds:
///
/// - each case is judged as it says, by the schema and the CEL rules of its kind;
/// - each bound and rule of a kind is offended by one of its cases;
/// - a kind has cases that are accepted and cases that are refused, and no two cases have the same name;
/// - every field is described, by one paragraph that ends with a full stop.
///
/// # Panics
/// Where a definition has a keyword that is not known here, a CEL rule that does not compile or fails over what the
/// schema lets through, or a case a field that the schema does not know.
pub fn findings(definitions: &[Value], cases: &[Case]) -> Vec<String> {
    let mut findings: Vec<String> = definitions.iter().flat_map(undescribed).collect();
    let mut names = BTreeSet::new();
    findings.extend(cases.iter().filter(|case| !names.insert(&case.name)).map(|case| format!("twice: {}", case.name)));
    for definition in definitions {
        let kind = text(definition, "/spec/names/kind");
        let cases: Vec<&Case> = cases.iter().filter(|case| case.object["kind"] == kind).collect();
        for (verdict, refused) in [("accepted", false), ("refused", true)] {
            if !cases.iter().any(|case| case.refused.is_empty() != refused) {
                findings.push(format!("{kind}: no case is {verdict}"));
            }
        }
        let mut judges = BTreeMap::new();
        let mut untouched = BTreeSet::new();
        for case in cases {
            let version = text(&case.object, "/apiVersion");
            let judge = judges.entry(version).or_insert_with(|| {
                let judge = Judge::new(schema(definition, version));
                untouched.extend(facts(&judge.schema));
                judge
            });
            let verdict = judge.judge(&case.object, case.old.as_ref());
            for wrong in verdict.schema.iter().chain(&verdict.rules) {
                untouched.remove(&wrong.fact);
            }
            findings.extend(otherwise(&case.name, &case.refused, verdict.said()));
        }
        findings.extend(untouched.iter().map(|fact| format!("{kind}: no case offends {fact}")));
    }
    findings
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The schema of the version that `api_version` names.
fn schema(definition: &Value, api_version: &str) -> Value {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let name = api_version.rsplit('/').next().unwrap_or_default();
    let version = versions.into_iter().find(|version| version["name"] == name);
    version.unwrap_or_else(|| panic!("no version {api_version}"))["schema"]["openAPIV3Schema"].clone()
}

fn otherwise(name: &str, expected: &[Refusal], mut said: Vec<Refusal>) -> Option<String> {
    let mut expected = expected.to_vec();
    expected.sort();
    said.sort();
    let fits = |(said, expected): (&Refusal, &Refusal)| said.at == expected.at && said.says.contains(&expected.says);
    let agree = said.len() == expected.len() && said.iter().zip(&expected).all(fits);
    (!agree).then(|| format!("{name}\n  expected {expected:?}\n  said     {said:?}"))
}

/// The fields of a definition that `kubectl explain` has no words for.
fn undescribed(definition: &Value) -> Vec<String> {
    fn walk(schema: &Value, path: &str, out: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let words = text(field, "/description");
            if !(words.ends_with('.') && !words.contains('\n') || path.ends_with(": .metadata")) {
                out.push(format!("{path} is described by {words:?}"));
            }
            walk(field, &path, out);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(inner) {
                walk(inner, path, out);
            }
        }
    }
    let mut out = Vec::new();
    for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
        let path = format!("{} {}: ", text(definition, "/spec/names/kind"), text(version, "/name"));
        walk(&version["schema"]["openAPIV3Schema"], &path, &mut out);
    }
    out
}

/// A field that is wrong.
struct Wrong {
    at: String,
    says: String,
    /// Keyword and value of the schema, or the CEL rule.
    fact: String,
    /// The API server evaluates no CEL rule where such an error is.
    blocks_rules: bool,
}

/// What is wrong with an object.
struct Verdict {
    schema: Vec<Wrong>,
    rules: Vec<Wrong>,
    blocked: bool,
}

impl Verdict {
    /// What an API server says.
    fn said(&self) -> Vec<Refusal> {
        let rules = if self.blocked { &[] } else { self.rules.as_slice() };
        self.schema.iter().chain(rules).map(|w| Refusal { at: w.at.clone(), says: w.says.clone() }).collect()
    }
}

/// A kind's schema with its rules compiled.
struct Judge {
    schema: Value,
    rules: CompiledSchema,
    validator: Validator,
}

impl Judge {
    fn new(schema: Value) -> Self {
        let rules = compile_schema(&schema);
        assert!(!rules.has_errors(), "{:?}", rules.compilation_errors());
        Judge { schema, rules, validator: Validator::new() }
    }

    fn judge(&self, object: &Value, old: Option<&Value>) -> Verdict {
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
fn facts(schema: &Value) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use kube::CustomResource;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::schema::{Rules, map_by, rules};
    use crate::{Kind, Version, cases};

    const EVEN: Rules = &[("self % 2 == 0", "must be even")];

    /// What a box is like.
    #[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
    #[kube(group = "example.com", version = "v1", kind = "Box", plural = "boxes", namespaced, schema = "disabled")]
    struct BoxSpec {
        /// How wide it is.
        #[schemars(with = "Option<crate::bounds::Positive>", transform = rules(EVEN))]
        width: Option<i32>,
        /// What is in it.
        #[schemars(length(max = 2), transform = map_by("name"))]
        #[serde(default)]
        things: Vec<Thing>,
    }

    /// A thing.
    #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
    struct Thing {
        /// Its name.
        name: String,
    }

    const CASES: &str = r#"
- name: fine
  spec: {width: 2, things: [{name: a}, {name: b}]}
- name: odd
  spec: {width: 1}
  refused: [{at: spec.width, says: must be even}]
- name: no width and too wide
  spec: {width: 0}
  refused: [{at: spec.width, says: should be greater than or equal to 1}]
- name: too wide
  spec: {width: 4294967296}
  refused: [{at: spec.width, says: int32}]
- name: too many
  spec: {things: [{name: "t#"}]}
  grow: {spec.things: 3}
  refused: [{at: spec.things, says: must have at most 2 items}]
- name: twice
  spec: {things: [{name: a}, {name: a}]}
  refused: [{at: "spec.things[1]", says: Duplicate value}]
- name: no spec
  refused: [{at: spec, says: Required value}]
- name: no name
  spec: {things: [{}]}
  refused: [{at: "spec.things[0].name", says: Required value}]
- name: other types
  spec: {width: wide, things: [{name: 1}]}
  refused:
  - {at: spec.width, says: must be of type integer}
  - {at: "spec.things[0].name", says: must be of type string}
- name: a list for a map, a text for a list
  spec: {things: many}
  refused: [{at: spec.things, says: must be of type array}]
- name: a list for the spec
  spec: []
  refused: [{at: spec, says: must be of type object}]
"#;

    fn check(change: impl FnOnce(&mut Value), text: &str, expected: &[&str]) {
        let mut definition = Kind::of::<Box>("Box holds things.", Version::of::<Box>(None, vec![])).definition();
        change(&mut definition);
        let cases = cases::read(&definition, "v1", text);
        let found = findings(&[definition], &cases);
        let begin_alike = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.starts_with(e));
        assert!(begin_alike, "{found:#?}");
    }

    const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

    #[test]
    fn definitions_and_cases_that_fit_have_no_findings() {
        check(|_| {}, CASES, &[]);
    }

    #[test]
    fn whatever_does_not_fit_is_found() {
        let without_odd =
            CASES.replace("- name: odd\n  spec: {width: 1}\n  refused: [{at: spec.width, says: must be even}]\n", "");
        check(|_| {}, &without_odd, &["Box: no case offends rule self % 2 == 0 must be even"]);
        check(|_| {}, &CASES.replace("name: odd", "name: fine"), &["twice: Box: fine"]);
        let fewer = |crd: &mut Value| crd.pointer_mut(SPEC).unwrap()["properties"]["things"]["maxItems"] = 1.into();
        check(fewer, CASES, &["Box: fine\n  expected []\n", "Box: too many\n", "Box: twice\n"]);
        let silent = |crd: &mut Value| crd.pointer_mut(SPEC).unwrap()["properties"]["width"]["description"] = "".into();
        check(silent, CASES, &["Box v1: .spec.width is described by \"\""]);
        check(|_| {}, &format!("{CASES}- {{name: odd again, spec: {{width: 3}}}}\n"), &["Box: odd again\n"]);
    }

    #[test]
    fn both_verdicts_have_to_be_there() {
        let refused = CASES.replace("- name: fine\n  spec: {width: 2, things: [{name: a}, {name: b}]}\n", "");
        check(|_| {}, &refused, &["Box: no case is accepted"]);
    }
}
