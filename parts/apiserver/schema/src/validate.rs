//! Validation of a value by its schema: types, bounds, enums, patterns, formats, unique list members, junctors.
//!
//! The paths and words of a refusal are those that kube-apiserver prints. On an update, a part that did not change
//! is not refused for what it was before (ratcheting): list items are matched by their map keys, all else by name.
//! The number of errors and the size of the values shown in them are bounded.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::meta_schema::object_meta;
use crate::path::Path;
use crate::{Cause, Checks, FieldError, Format, ListType, Schema, Type};

/// How many errors are gathered before validation stops.
const MAX_ERRORS: usize = 100;

/// The longest text of an offending value that an error repeats.
const MAX_SHOWN: usize = 1024;

/// What is wrong with a value; `old` is the stored value on an update.
pub fn validate(value: &Value, schema: &Schema, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(value, schema, old, &Path::ROOT, &mut errors);
    errors
}

/// The same for a value inside an object (a default in a CustomResourceDefinition).
pub(crate) fn validate_at(value: &Value, schema: &Schema, at: &Path<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(value, schema, None, at, &mut errors);
    errors
}

fn node(value: &Value, schema: &Schema, old: Option<&Value>, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    if errors.len() >= MAX_ERRORS || old == Some(value) || (value.is_null() && schema.nullable) {
        return;
    }
    if let Some(expected) = mismatch(value, schema.ty) {
        errors.push(wrong_type(at, expected, json!(type_name(value)), &format!("{:?}", type_name(value))));
        return;
    }
    if let Some(checks) = &schema.checks {
        check_value(value, schema, checks, at, errors);
    }
    match value {
        Value::Object(fields) => {
            for name in &schema.required {
                if !fields.contains_key(&**name) {
                    push(errors, FieldError::required(at.field(name).to_string(), ""));
                }
            }
            if schema.embedded {
                embedded(fields, at, errors);
            }
            for (name, value) in fields {
                let below = schema.properties.get(name.as_str()).or(schema.additional.as_ref());
                if let Some(below) = below {
                    let old = old.and_then(|old| old.get(name));
                    node(value, below, old, &at.field(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(below) = &schema.items {
                let old = OldItems::of(old, &schema.list);
                for (i, item) in items.iter().enumerate() {
                    node(item, below, old.find(item), &at.index(i), errors);
                }
            }
            unique(items, &schema.list, at, errors);
        }
        _ => {}
    }
}

/// What an embedded resource has, though its schema need not say so.
fn embedded(fields: &Map<String, Value>, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let at = at.field(name).to_string();
        match fields.get(name) {
            None => push(errors, FieldError::required(at, "")),
            Some(value) if value == "" => push(errors, FieldError::invalid(at, json!(""), "must not be empty")),
            Some(_) => {}
        }
    }
    if let Some(metadata) = fields.get("metadata") {
        node(metadata, object_meta(), None, &at.field("metadata"), errors);
    }
}

/// The items of an old list by what identifies them, so that each is found in one step.
pub(crate) struct OldItems<'a> {
    items: HashMap<String, &'a Value>,
    list: &'a ListType,
}

impl<'a> OldItems<'a> {
    /// Items of an atomic list are not told apart: none of them is found.
    pub(crate) fn of(old: Option<&'a Value>, list: &'a ListType) -> Self {
        let old = old.and_then(Value::as_array).filter(|_| *list != ListType::Atomic);
        // The first of two equal ones wins, as in a search from the front.
        let items = old.into_iter().flatten().rev().map(|item| (identity(item, list), item)).collect();
        OldItems { items, list }
    }

    /// The old item that is the same item as this one.
    pub(crate) fn find(&self, item: &Value) -> Option<&'a Value> {
        if self.items.is_empty() { None } else { self.items.get(&identity(item, self.list)).copied() }
    }
}

/// What tells an item from the others: its map keys, or the whole of it.
fn identity(item: &Value, list: &ListType) -> String {
    match list {
        ListType::Map(keys) => canonical(&key_of(item, keys)),
        ListType::Set | ListType::Atomic => canonical(item),
    }
}

/// The map keys of an item, as an object.
fn key_of(item: &Value, keys: &[Box<str>]) -> Value {
    let field = |name: &str| item.get(name).map(|value| (name.to_owned(), value.clone()));
    Value::Object(keys.iter().filter_map(|name| field(name)).collect())
}

/// The type that the schema wants, where the value has another one.
fn mismatch(value: &Value, ty: Type) -> Option<&'static str> {
    let (fits, expected) = match ty {
        Type::Any => return None,
        Type::Object => (value.is_object(), "object"),
        Type::Array => (value.is_array(), "array"),
        Type::String => (value.is_string(), "string"),
        Type::Integer => (is_integer(value), "integer"),
        Type::Number => (value.is_number(), "number"),
        Type::Boolean => (value.is_boolean(), "boolean"),
        Type::IntOrString => (value.is_string() || is_integer(value), "integer,string"),
    };
    (!fits).then_some(expected)
}

fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(n) => {
            n.is_i64() || n.as_f64().is_some_and(|f| !n.is_u64() && f.fract() == 0.0 && f.abs() < 9.2e18)
        }
        _ => false,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn push(errors: &mut Vec<FieldError>, error: FieldError) {
    if errors.len() < MAX_ERRORS {
        errors.push(error);
    }
}

fn wrong_type(at: &Path<'_>, expected: &str, value: Value, shown: &str) -> FieldError {
    let name = at.to_string();
    let detail = format!("{name} in body must be of type {expected}: {shown}");
    FieldError { path: name, cause: Cause::TypeInvalid, value: Some(value), detail }
}

/// The value as an error repeats it: cut where it is long.
pub(crate) fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > MAX_SHOWN => {
            let end = (0..=MAX_SHOWN).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            Value::String(format!("{}...", &text[..end]))
        }
        Value::Object(_) if value.to_string().len() > MAX_SHOWN => json!("object"),
        Value::Array(_) if value.to_string().len() > MAX_SHOWN => json!("array"),
        other => other.clone(),
    }
}

fn check_value(value: &Value, schema: &Schema, checks: &Checks, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let fail = |errors: &mut Vec<FieldError>, rest: std::fmt::Arguments<'_>| {
        let name = at.to_string();
        let detail = format!("{name} in body {rest}");
        push(errors, FieldError::invalid(name, shown(value), detail));
    };
    if !checks.enum_values.is_empty() && !checks.enum_values.iter().any(|allowed| equal(allowed, value)) {
        push(errors, not_supported(at, value, &checks.enum_values));
    }
    match value {
        Value::Number(n) => check_number(n.as_f64().unwrap_or(f64::NAN), checks, &fail, errors),
        Value::String(text) => check_string(text, checks, at, &fail, errors),
        Value::Array(items) => {
            let count = items.len() as u64;
            if let Some(max) = checks.max_items.filter(|&max| count > max) {
                push(errors, too_many(at, count, max));
            }
            if let Some(min) = checks.min_items.filter(|&min| count < min) {
                fail(errors, format_args!("should have at least {min} items"));
            }
            if checks.unique_items && first_duplicate(items).is_some() {
                fail(errors, format_args!("shouldn't contain duplicates"));
            }
        }
        Value::Object(fields) => {
            let count = fields.len() as u64;
            if let Some(max) = checks.max_properties.filter(|&max| count > max) {
                push(errors, too_many(at, count, max));
            }
            if let Some(min) = checks.min_properties.filter(|&min| count < min) {
                fail(errors, format_args!("should have at least {min} properties"));
            }
        }
        _ => {}
    }
    if let (Value::Number(n), Some(Format::Int32)) = (value, checks.format)
        && n.as_i64().is_none_or(|n| i32::try_from(n).is_err())
    {
        let name = at.to_string();
        let detail = format!("Checked value must be of type integer with format int32 in {name}");
        push(errors, FieldError::invalid(name, value.clone(), detail));
    }
    check_junctors(value, schema, checks, at, errors);
}

type Fail<'a> = dyn Fn(&mut Vec<FieldError>, std::fmt::Arguments<'_>) + 'a;

fn check_number(n: f64, checks: &Checks, fail: &Fail<'_>, errors: &mut Vec<FieldError>) {
    match checks.maximum {
        Some(max) if checks.exclusive_maximum && n >= max => fail(errors, format_args!("should be less than {max}")),
        Some(max) if n > max => fail(errors, format_args!("should be less than or equal to {max}")),
        _ => {}
    }
    match checks.minimum {
        Some(min) if checks.exclusive_minimum && n <= min => fail(errors, format_args!("should be greater than {min}")),
        Some(min) if n < min => fail(errors, format_args!("should be greater than or equal to {min}")),
        _ => {}
    }
    if let Some(step) = checks.multiple_of
        && (n / step).fract() != 0.0
    {
        fail(errors, format_args!("should be a multiple of {step}"));
    }
}

fn check_string(text: &str, checks: &Checks, at: &Path<'_>, fail: &Fail<'_>, errors: &mut Vec<FieldError>) {
    if checks.max_length.is_some() || checks.min_length.is_some() {
        let length = text.chars().count() as u64;
        if let Some(max) = checks.max_length.filter(|&max| length > max) {
            let bytes = if max == 1 { "byte" } else { "bytes" };
            push(
                errors,
                FieldError::new(at.to_string(), Cause::TooLong, format!("may not be more than {max} {bytes}")),
            );
        }
        if let Some(min) = checks.min_length.filter(|&min| length < min) {
            fail(errors, format_args!("should be at least {min} chars long"));
        }
    }
    if let Some(pattern) = &checks.pattern {
        match checks.compiled.get_or_init(|| crate::pattern::compile(pattern)) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => fail(errors, format_args!("should match '{pattern}'")),
            Err(why) => {
                fail(errors, format_args!("cannot be checked, the schema's pattern '{pattern}' is wrong: {why}"))
            }
        }
    }
    if let Some(format) = checks.format.filter(|format| !format.accepts(text)) {
        let value = shown(&Value::String(text.to_owned()));
        let quoted = value.to_string();
        push(errors, wrong_type(at, format.name(), value, &quoted));
    }
}

/// `Unsupported value: "x": supported values: "red", "green"`.
pub(crate) fn not_supported(at: &Path<'_>, value: &Value, allowed: &[Value]) -> FieldError {
    let mut detail = String::from("supported values: ");
    for (i, value) in allowed.iter().enumerate() {
        let text = match value {
            Value::String(text) => json!(text),
            other => json!(other.to_string()),
        };
        let _ = write!(detail, "{}{text}", if i == 0 { "" } else { ", " });
    }
    FieldError { path: at.to_string(), cause: Cause::NotSupported, value: Some(shown(value)), detail }
}

pub(crate) fn too_many(at: &Path<'_>, count: u64, max: u64) -> FieldError {
    let items = if max == 1 { "item" } else { "items" };
    FieldError {
        path: at.to_string(),
        cause: Cause::TooMany,
        value: Some(json!(count)),
        detail: format!("must have at most {max} {items}"),
    }
}

/// Equality of JSON where 1 and 1.0 are the same number.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn check_junctors(value: &Value, schema: &Schema, checks: &Checks, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let run = |branch: &Schema| {
        let mut errors = Vec::new();
        node(value, branch, None, at, &mut errors);
        errors
    };
    let fail = |errors: &mut Vec<FieldError>, words: &str| {
        let name = at.to_string();
        let detail = format!("\"{name}\" must {words}");
        push(errors, FieldError::invalid(name, json!(""), detail));
    };
    // What an int-or-string field says of itself in its anyOf was checked with its type.
    let any_of: &[Schema] = if schema.ty == Type::IntOrString { &[] } else { &checks.any_of };
    let mut failed = false;
    for branch in &checks.all_of {
        for error in run(branch) {
            failed = true;
            push(errors, error);
        }
    }
    if failed {
        fail(errors, "validate all the schemas (allOf)");
    }
    let fewest = |mut failures: Vec<Vec<FieldError>>, errors: &mut Vec<FieldError>| {
        failures.sort_by_key(Vec::len);
        for error in failures.into_iter().next().unwrap_or_default() {
            push(errors, error);
        }
    };
    if !any_of.is_empty() {
        let failures: Vec<_> = any_of.iter().map(run).take_while(|e| !e.is_empty()).collect();
        if failures.len() == any_of.len() {
            fail(errors, "validate at least one schema (anyOf)");
            fewest(failures, errors);
        }
    }
    if !checks.one_of.is_empty() {
        let mut failures: Vec<_> = checks.one_of.iter().map(run).collect();
        let before = failures.len();
        failures.retain(|e| !e.is_empty());
        match before - failures.len() {
            0 => {
                fail(errors, "validate one and only one schema (oneOf). Found none valid");
                fewest(failures, errors);
            }
            1 => {}
            valid => {
                fail(errors, &format!("validate one and only one schema (oneOf). Found {valid} valid alternatives"))
            }
        }
    }
    if let Some(branch) = &checks.not
        && run(branch).is_empty()
    {
        fail(errors, "not validate the schema (not)");
    }
}

/// `Duplicate value` for items of sets and maps that occur twice.
fn unique(items: &[Value], list: &ListType, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut report = |i: usize, value: &Value| {
        let error = FieldError {
            path: at.index(i).to_string(),
            cause: Cause::Duplicate,
            value: Some(shown(value)),
            detail: String::new(),
        };
        push(errors, error);
    };
    match list {
        ListType::Atomic => {}
        ListType::Set => {
            let mut seen = HashSet::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                if !seen.insert(canonical(item)) {
                    report(i, item);
                }
            }
        }
        ListType::Map(keys) => {
            let mut seen = HashSet::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                let key = key_of(item, keys);
                if !seen.insert(canonical(&key)) {
                    report(i, &key);
                }
            }
        }
    }
}

fn first_duplicate(items: &[Value]) -> Option<usize> {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().position(|item| !seen.insert(canonical(item)))
}

/// A text that is the same for equal JSON, whatever the order of fields.
fn canonical(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(fields) => {
                let mut names: Vec<&String> = fields.keys().collect();
                names.sort();
                out.push('{');
                for name in names {
                    let _ = write!(out, "{:?}:", name);
                    write(&fields[name.as_str()], out);
                    out.push(',');
                }
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    write(item, out);
                    out.push(',');
                }
                out.push(']');
            }
            scalar => {
                let _ = write!(out, "{scalar}");
            }
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::schema;

    #[track_caller]
    fn check(properties: Value, value: Value, expected: &[&str]) {
        let schema =
            schema(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}));
        let errors: Vec<String> =
            validate(&json!({"spec": value}), &schema, None).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{value}");
    }

    #[test]
    fn types_are_refused_in_the_words_of_kubernetes() {
        let size = json!({"size": {"type": "integer"}});
        check(size.clone(), json!({"size": 3}), &[]);
        check(size.clone(), json!({"size": 3.0}), &[]);
        check(
            size.clone(),
            json!({"size": "x"}),
            &[r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#],
        );
        check(
            size,
            json!({"size": 1.5}),
            &[r#"spec.size: Invalid value: "number": spec.size in body must be of type integer: "number""#],
        );
        check(
            json!({"port": {"x-kubernetes-int-or-string": true}}),
            json!({"port": true}),
            &[r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#],
        );
    }

    #[test]
    fn bounds_are_refused_in_the_words_of_kubernetes() {
        let size = json!({"size": {"type": "integer", "minimum": 1, "maximum": 10}});
        check(
            size.clone(),
            json!({"size": 11}),
            &["spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"],
        );
        check(
            size,
            json!({"size": 0}),
            &["spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"],
        );
        check(
            json!({"n": {"type": "number", "minimum": 0.5, "exclusiveMinimum": true, "multipleOf": 0.25}}),
            json!({"n": 0.5}),
            &["spec.n: Invalid value: 0.5: spec.n in body should be greater than 0.5"],
        );
        check(
            json!({"n": {"type": "integer", "format": "int32"}}),
            json!({"n": 3_000_000_000u64}),
            &["spec.n: Invalid value: 3000000000: Checked value must be of type integer with format int32 in spec.n"],
        );
    }

    #[test]
    fn strings_lists_and_maps_are_bounded() {
        let s = |keywords: Value| {
            let mut node = json!({"type": "string"});
            node.as_object_mut().unwrap().extend(keywords.as_object().unwrap().clone());
            json!({"s": node})
        };
        check(s(json!({"maxLength": 2})), json!({"s": "éé"}), &[]);
        check(s(json!({"maxLength": 2})), json!({"s": "abc"}), &["spec.s: Too long: may not be more than 2 bytes"]);
        check(
            s(json!({"minLength": 2})),
            json!({"s": "a"}),
            &[r#"spec.s: Invalid value: "a": spec.s in body should be at least 2 chars long"#],
        );
        check(
            s(json!({"pattern": "^a+$"})),
            json!({"s": "b"}),
            &[r#"spec.s: Invalid value: "b": spec.s in body should match '^a+$'"#],
        );
        check(
            s(json!({"format": "date-time"})),
            json!({"s": "b"}),
            &[r#"spec.s: Invalid value: "b": spec.s in body must be of type date-time: "b""#],
        );
        check(
            s(json!({"enum": ["red", "green"]})),
            json!({"s": "x"}),
            &[r#"spec.s: Unsupported value: "x": supported values: "red", "green""#],
        );
        let list = json!({"l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "integer"}}});
        check(list.clone(), json!({"l": [1, 2, 3]}), &["spec.l: Too many: 3: must have at most 2 items"]);
        check(list, json!({"l": []}), &["spec.l: Invalid value: []: spec.l in body should have at least 1 items"]);
        let map = json!({"m": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}});
        check(map.clone(), json!({"m": {"a": "", "b": ""}}), &["spec.m: Too many: 2: must have at most 1 item"]);
        check(
            map,
            json!({"m": {"a": 1}}),
            &[r#"spec.m.a: Invalid value: "integer": spec.m.a in body must be of type string: "integer""#],
        );
    }

    #[test]
    fn members_of_sets_and_maps_are_unique() {
        let set = json!({"l": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}});
        check(set, json!({"l": ["a", "b", "a"]}), &[r#"spec.l[2]: Duplicate value: "a""#]);
        let map = json!({"l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
            "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}, "v": {"type": "integer"}}}}});
        check(
            map.clone(),
            json!({"l": [{"n": "a"}, {"n": "a", "v": 1}]}),
            &[r#"spec.l[1]: Duplicate value: {"n":"a"}"#],
        );
        check(map, json!({"l": [{}]}), &["spec.l[0].n: Required value"]);
    }

    #[test]
    fn junctors_hold() {
        let one = json!({"o": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}});
        check(one.clone(), json!({"o": {"a": ""}}), &[]);
        check(
            one.clone(),
            json!({"o": {"a": "", "b": ""}}),
            &[
                r#"spec.o: Invalid value: "": "spec.o" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ],
        );
        check(
            one,
            json!({"o": {}}),
            &[
                r#"spec.o: Invalid value: "": "spec.o" must validate one and only one schema (oneOf). Found none valid"#,
                "spec.o.a: Required value",
            ],
        );
        let not = json!({"n": {"type": "integer", "not": {"enum": [3]}}});
        check(not, json!({"n": 3}), &[r#"spec.n: Invalid value: "": "spec.n" must not validate the schema (not)"#]);
        let any = json!({"n": {"type": "integer", "anyOf": [{"maximum": 3}, {"minimum": 7}]}});
        check(any.clone(), json!({"n": 8}), &[]);
        check(
            any,
            json!({"n": 5}),
            &[
                r#"spec.n: Invalid value: "": "spec.n" must validate at least one schema (anyOf)"#,
                "spec.n: Invalid value: 5: spec.n in body should be less than or equal to 3",
            ],
        );
    }

    #[test]
    fn embedded_resources_say_what_they_are() {
        let raw = json!({"t": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true}});
        check(raw.clone(), json!({"t": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "x": 1}}), &[]);
        check(
            raw,
            json!({"t": {"kind": "Pod", "metadata": {"name": 1}}}),
            &[
                "spec.t.apiVersion: Required value",
                r#"spec.t.metadata.name: Invalid value: "integer": spec.t.metadata.name in body must be of type string: "integer""#,
            ],
        );
    }

    #[test]
    fn what_did_not_change_is_not_refused_again() {
        let schema = schema(json!({"type": "object", "properties": {
            "s": {"type": "string", "maxLength": 1},
            "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {
                "type": "object", "required": ["n"],
                "properties": {"n": {"type": "string"}, "v": {"type": "integer", "maximum": 3}, "w": {"type": "integer"}}}},
        }}));
        let old = json!({"s": "long", "l": [{"n": "a", "v": 9}, {"n": "b", "v": 1}]});
        let new = json!({"s": "long", "l": [{"n": "b", "v": 8}, {"n": "a", "v": 9, "w": 1}]});
        let paths = |old| validate(&new, &schema, old).into_iter().map(|e| e.path).collect::<Vec<_>>();
        assert_eq!(paths(None), ["s", "l[0].v", "l[1].v"]);
        assert_eq!(paths(Some(&old)), ["l[0].v"]);
    }

    #[test]
    fn errors_are_bounded_in_number_and_size() {
        let schema = schema(json!({"type": "object", "properties": {
            "l": {"type": "array", "items": {"type": "string", "maxLength": 1, "pattern": "^b$"}}}}));
        let value = json!({"l": vec!["a".repeat(5000); 200]});
        let errors = validate(&value, &schema, None);
        assert_eq!(errors.len(), MAX_ERRORS);
        assert!(errors.iter().all(|e| e.to_string().len() < 1200));
    }
}
