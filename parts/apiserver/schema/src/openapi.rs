//! `openAPIV3Schema` of a CustomResourceDefinition to a [`Schema`]: the shape of a structural schema.
//!
//! One walk parses and checks: every level has a type, keywords that Kubernetes forbids are refused, and junctors
//! (`allOf`, `anyOf`, `oneOf`, `not`) only restrict what is described outside of them. What concerns several levels
//! at once stands in `structural`. Paths and words are those of apiextensions; nodes and nesting are bounded.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::path::Path;
use crate::{
    Cause, Checks, FieldError, Format, ListType, MapType, Rule, RuleReason, Schema, Type, structural, validate,
};

/// How many schema nodes one version may have.
const MAX_NODES: usize = 50_000;

/// How deeply schemas may be nested.
const MAX_DEPTH: usize = 64;

/// How many errors are gathered.
const MAX_ERRORS: usize = 100;

/// The keywords that [`Checks`] holds.
const VALUE_KEYWORDS: [&str; 19] = [
    "enum",
    "format",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "uniqueItems",
];

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

impl Schema {
    /// Reads the `openAPIV3Schema` of a CustomResourceDefinition; `at` is its path in the definition, for errors.
    pub fn from_openapi(openapi: &Value, at: &str) -> Result<Schema, Vec<FieldError>> {
        let at = Path::prefix(at);
        let mut parser = Parser { errors: Vec::new(), nodes: 0, patterns: HashSet::new() };
        let schema = parser.node(openapi, &at, Place { level: Level::Root, depth: 0, in_meta: false });
        if parser.errors.is_empty() {
            structural::check(&schema, &at, &mut parser.errors);
        }
        if parser.errors.is_empty() { Ok(schema) } else { Err(parser.errors) }
    }
}

/// Where a schema stands: the rules differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

#[derive(Clone, Copy)]
struct Place {
    level: Level,
    depth: usize,
    /// Inside `metadata`, `apiVersion` or `kind` of the root: defaults are not allowed there.
    in_meta: bool,
}

impl Place {
    fn below(self, level: Level) -> Self {
        Place { level, depth: self.depth + 1, ..self }
    }
}

struct Parser {
    errors: Vec<FieldError>,
    nodes: usize,
    /// Patterns that were found good: a schema repeats few of them often.
    patterns: HashSet<Box<str>>,
}

impl Parser {
    fn push(&mut self, error: FieldError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn forbid(&mut self, at: &Path<'_>, keyword: &str, why: &str) {
        self.push(FieldError::new(at.field(keyword).to_string(), Cause::Forbidden, why));
    }

    fn invalid(&mut self, at: &Path<'_>, keyword: &str, value: Value, why: &str) {
        self.push(FieldError::invalid(at.field(keyword).to_string(), value, why));
    }

    fn require(&mut self, at: &Path<'_>, keyword: &str, why: &str) {
        self.push(FieldError::required(at.field(keyword).to_string(), why));
    }

    /// The object of a schema, within the limits.
    fn enter<'v>(&mut self, value: &'v Value, at: &Path<'_>, depth: usize) -> Option<&'v Map<String, Value>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            if self.nodes == MAX_NODES + 1 {
                let why =
                    format!("the schema has more than {MAX_NODES} nodes: describe less of it, or split the resource");
                self.push(FieldError::new(at.to_string(), Cause::Forbidden, why));
            }
            return None;
        }
        if depth > MAX_DEPTH {
            let why = format!("schemas may be nested {MAX_DEPTH} levels deep: make the resource flatter");
            self.push(FieldError::new(at.to_string(), Cause::Forbidden, why));
            return None;
        }
        let object = value.as_object();
        if object.is_none() {
            self.push(FieldError::invalid(at.to_string(), validate::shown(value), "a schema must be an object"));
        }
        object
    }

    /// A schema that describes structure.
    fn node(&mut self, value: &Value, at: &Path<'_>, place: Place) -> Schema {
        let Some(node) = self.enter(value, at, place.depth) else { return Schema::default() };
        let mut schema = Schema {
            nullable: self.flag(node, "nullable", at),
            preserve_unknown: self.flag(node, "x-kubernetes-preserve-unknown-fields", at),
            embedded: self.flag(node, "x-kubernetes-embedded-resource", at),
            doc: self.text(node, "description", at).map(Into::into),
            format: self.text(node, "format", at).map(Into::into),
            required: self.texts(node, "required", at),
            default: node.get("default").filter(|v| !v.is_null()).cloned(),
            ..Schema::default()
        };
        schema.ty = self.ty(node, &schema, at, place);
        self.forbidden_keywords(node, at);
        self.structure(node, &mut schema, at, place);
        self.lists(node, &mut schema, at);
        schema.rules = self.rules(node, at);
        schema.checks = self.checks(node, schema.ty == Type::IntOrString, at, place);
        self.rules_of_level(node, &schema, at, place);
        schema
    }

    fn ty(&mut self, node: &Map<String, Value>, schema: &Schema, at: &Path<'_>, place: Place) -> Type {
        let name = self.text(node, "type", at).unwrap_or_default();
        let int_or_string = self.flag(node, "x-kubernetes-int-or-string", at);
        if int_or_string {
            for (set, keyword) in [
                (schema.preserve_unknown, "x-kubernetes-preserve-unknown-fields"),
                (schema.embedded, "x-kubernetes-embedded-resource"),
            ] {
                if set {
                    self.invalid(at, keyword, json!(true), "must be false if x-kubernetes-int-or-string is true");
                }
            }
            if !name.is_empty() {
                self.forbid(at, "type", "must be empty if x-kubernetes-int-or-string is true");
            }
            return Type::IntOrString;
        }
        if schema.embedded && name != "object" {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            if name.is_empty() {
                self.require(at, "type", why)
            } else {
                self.invalid(at, "type", json!(name), why)
            }
            return Type::Object;
        }
        match name {
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "" if schema.preserve_unknown => Type::Any,
            "" => {
                let why = match place.level {
                    Level::Root => "must not be empty at the root",
                    Level::Item => "must not be empty for specified array items",
                    Level::Field => "must not be empty for specified object fields",
                };
                self.require(at, "type", why);
                Type::Any
            }
            other => {
                let error = validate::not_supported(&at.field("type"), &json!(other), &TYPES.map(|t| json!(t)));
                self.push(error);
                if other == "null" {
                    self.forbid(at, "type", "type cannot be set to null, use nullable as an alternative");
                }
                Type::Any
            }
        }
    }

    fn forbidden_keywords(&mut self, node: &Map<String, Value>, at: &Path<'_>) {
        for keyword in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            if node.contains_key(keyword) {
                self.forbid(at, keyword, &format!("{keyword} is not supported"));
            }
        }
        if self.flag(node, "uniqueItems", at) {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbid(at, "uniqueItems", why);
        }
        if node.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(false)) {
            self.invalid(at, "x-kubernetes-preserve-unknown-fields", json!(false), "must be true or undefined");
        }
    }

    /// `properties`, `additionalProperties` and `items`.
    fn structure(&mut self, node: &Map<String, Value>, schema: &mut Schema, at: &Path<'_>, place: Place) {
        let properties_at = at.field("properties");
        for (name, value) in self.object(node, "properties", at) {
            let mut below = place.below(Level::Field);
            below.in_meta |= place.level == Level::Root && is_meta(name);
            let property = self.node(value, &properties_at.key(name), below);
            schema.properties.insert(name.as_str().into(), Arc::new(property));
        }
        match node.get("additionalProperties") {
            None | Some(Value::Null) => {}
            Some(additional) => {
                let at_additional = at.field("additionalProperties");
                if place.level == Level::Root {
                    self.forbid(at, "additionalProperties", "must not be used at the root");
                } else if schema.embedded {
                    let why = "must not be used if x-kubernetes-embedded-resource is set";
                    self.forbid(at, "additionalProperties", why);
                } else if !schema.properties.is_empty() && additional != &json!(true) {
                    self.forbid(at, "additionalProperties", "additionalProperties and properties are mutual exclusive");
                }
                schema.additional = match additional {
                    Value::Bool(true) => Some(Arc::new(Schema { preserve_unknown: true, ..Schema::default() })),
                    Value::Bool(false) => None,
                    value => Some(Arc::new(self.node(value, &at_additional, place.below(Level::Field)))),
                };
            }
        }
        match node.get("items") {
            None | Some(Value::Null) if schema.ty == Type::Array => self.require(at, "items", "must be specified"),
            None | Some(Value::Null) => {}
            Some(Value::Array(_)) => self.forbid(at, "items", "items must be a schema object and not an array"),
            Some(items) => {
                schema.items = Some(Arc::new(self.node(items, &at.field("items"), place.below(Level::Item))));
            }
        }
    }

    /// The merge keywords: list type with its keys, map type.
    fn lists(&mut self, node: &Map<String, Value>, schema: &mut Schema, at: &Path<'_>) {
        let keys = self.texts(node, "x-kubernetes-list-map-keys", at);
        let list = self.text(node, "x-kubernetes-list-type", at);
        for (keyword, given, wanted, name) in [
            ("x-kubernetes-list-type", list, Type::Array, "array"),
            ("x-kubernetes-map-type", self.text(node, "x-kubernetes-map-type", at), Type::Object, "object"),
        ] {
            if given.is_some() && schema.ty != wanted {
                let why = format!("must be {name} if {keyword} is specified");
                match self.text(node, "type", at) {
                    None => self.require(at, "type", &why),
                    Some(other) => self.invalid(at, "type", json!(other), &why),
                }
            }
        }
        if !keys.is_empty() && list != Some("map") {
            let why = "must be map if x-kubernetes-list-map-keys is non-empty";
            match list {
                None => self.require(at, "x-kubernetes-list-type", why),
                Some(other) => self.invalid(at, "x-kubernetes-list-type", json!(other), why),
            }
        }
        schema.list = match list {
            None | Some("atomic") => ListType::Atomic,
            Some("set") => ListType::Set,
            Some("map") => {
                if keys.is_empty() {
                    self.require(
                        at,
                        "x-kubernetes-list-map-keys",
                        "must not be empty if x-kubernetes-list-type is map",
                    );
                }
                ListType::Map(keys)
            }
            Some(other) => {
                let allowed = ["atomic", "set", "map"].map(|t| json!(t));
                self.push(validate::not_supported(&at.field("x-kubernetes-list-type"), &json!(other), &allowed));
                ListType::Atomic
            }
        };
        schema.map = match self.text(node, "x-kubernetes-map-type", at) {
            None | Some("granular") => MapType::Granular,
            Some("atomic") => MapType::Atomic,
            Some(other) => {
                let allowed = ["atomic", "granular"].map(|t| json!(t));
                self.push(validate::not_supported(&at.field("x-kubernetes-map-type"), &json!(other), &allowed));
                MapType::Granular
            }
        };
    }

    /// What the root, embedded resources and `metadata` may say.
    fn rules_of_level(&mut self, node: &Map<String, Value>, schema: &Schema, at: &Path<'_>, place: Place) {
        if place.in_meta && schema.default.is_some() {
            self.forbid(at, "default", "must not be set in top-level metadata, apiVersion or kind");
        }
        if schema.embedded && !schema.preserve_unknown && schema.properties.is_empty() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.require(at, "properties", why);
        }
        if place.level != Level::Root && !schema.embedded {
            return;
        }
        if place.level == Level::Root {
            if schema.nullable {
                self.forbid(at, "nullable", "nullable cannot be true at the root");
            }
            if !matches!(schema.ty, Type::Object) && node.contains_key("type") {
                self.invalid(at, "type", node["type"].clone(), "must be object at the root");
            }
        }
        let properties = at.field("properties");
        for (name, ty, word) in [
            ("kind", Type::String, "string"),
            ("apiVersion", Type::String, "string"),
            ("metadata", Type::Object, "object"),
        ] {
            if let Some(property) = schema.properties.get(name)
                && property.ty != ty
            {
                let given = node["properties"][name].get("type").cloned().unwrap_or(json!(""));
                self.invalid(&properties.key(name), "type", given, &format!("must be {word}"));
            }
        }
        if place.level == Level::Root
            && let Some(metadata) = node.get("properties").and_then(|p| p.get("metadata")).and_then(Value::as_object)
        {
            let plain = metadata.iter().all(|(keyword, value)| match keyword.as_str() {
                "type" => true,
                "properties" => value.as_object().is_some_and(|p| p.keys().all(|k| k == "name" || k == "generateName")),
                _ => false,
            });
            if !plain {
                let why =
                    "must not specify anything other than name and generateName, but metadata is implicitly specified";
                self.push(FieldError::new(properties.key("metadata").to_string(), Cause::Forbidden, why));
            }
        }
    }

    /// The keywords that restrict values, of a structural schema or of a branch of a junctor.
    fn checks(
        &mut self,
        node: &Map<String, Value>,
        int_or_string: bool,
        at: &Path<'_>,
        place: Place,
    ) -> Option<Box<Checks>> {
        let mut checks = Checks {
            enum_values: node.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            format: self.text(node, "format", at).and_then(Format::parse),
            minimum: self.number(node, "minimum", at),
            exclusive_minimum: self.flag(node, "exclusiveMinimum", at),
            maximum: self.number(node, "maximum", at),
            exclusive_maximum: self.flag(node, "exclusiveMaximum", at),
            multiple_of: self.number(node, "multipleOf", at),
            min_length: self.count(node, "minLength", at),
            max_length: self.count(node, "maxLength", at),
            pattern: self.text(node, "pattern", at).filter(|p| !p.is_empty()).map(Into::into),
            min_items: self.count(node, "minItems", at),
            max_items: self.count(node, "maxItems", at),
            min_properties: self.count(node, "minProperties", at),
            max_properties: self.count(node, "maxProperties", at),
            ..Checks::default()
        };
        if checks.multiple_of.is_some_and(|step| step <= 0.0) {
            self.invalid(at, "multipleOf", node["multipleOf"].clone(), "must be greater than 0");
        }
        if let Some(pattern) = &checks.pattern
            && self.patterns.insert(pattern.clone())
            && let Err(why) = crate::pattern::compile(pattern)
        {
            let why = format!("must be a valid regular expression, but isn't: {why}");
            self.invalid(at, "pattern", validate::shown(&json!(&**pattern)), &why);
        }
        checks.all_of = self.branches(node, "allOf", at, place, int_or_string);
        checks.any_of = self.branches(node, "anyOf", at, place, int_or_string);
        checks.one_of = self.branches(node, "oneOf", at, place, false);
        if let Some(not) = node.get("not").filter(|v| !v.is_null()) {
            checks.not = Some(Box::new(self.branch(not, &at.field("not"), place.below(Level::Field), false)));
        }
        VALUE_KEYWORDS.iter().any(|keyword| node.contains_key(*keyword)).then(|| Box::new(checks))
    }

    fn branches(
        &mut self,
        node: &Map<String, Value>,
        keyword: &str,
        at: &Path<'_>,
        place: Place,
        int_or_string: bool,
    ) -> Vec<Schema> {
        let given = match node.get(keyword) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.invalid(at, keyword, validate::shown(other), "must be a list of schemas");
                return Vec::new();
            }
        };
        let at = at.field(keyword);
        // The two types that int-or-string fields traditionally list, in anyOf or in the first allOf.
        if keyword == "anyOf" && int_or_string && is_int_or_string(given) {
            return Vec::new();
        }
        let nested = |i: usize| int_or_string && keyword == "allOf" && i == 0;
        given
            .iter()
            .enumerate()
            .map(|(i, v)| self.branch(v, &at.index(i), place.below(place.level), nested(i)))
            .collect()
    }

    /// A branch of a junctor: it restricts values and may not describe structure.
    fn branch(&mut self, value: &Value, at: &Path<'_>, place: Place, int_or_string: bool) -> Schema {
        let Some(node) = self.enter(value, at, place.depth) else { return Schema::default() };
        for (keyword, why) in [
            ("type", "must be empty to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("default", "must be undefined to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
            ("nullable", "must be false to be structural"),
            ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
            ("x-kubernetes-embedded-resource", "must be false to be structural"),
            ("x-kubernetes-int-or-string", "must be false to be structural"),
            ("x-kubernetes-list-map-keys", "must be empty to be structural"),
            ("x-kubernetes-list-type", "must be undefined to be structural"),
            ("x-kubernetes-map-type", "must be undefined to be structural"),
            ("x-kubernetes-validations", "must be empty to be structural"),
        ] {
            if node.get(keyword).is_some_and(|v| !v.is_null() && v != &json!(false) && v != &json!("")) {
                self.forbid(at, keyword, why);
            }
        }
        self.forbidden_keywords(node, at);
        let properties_at = at.field("properties");
        let mut properties = IndexMap::new();
        for (name, value) in self.object(node, "properties", at) {
            let at = properties_at.key(name);
            if name == "metadata" {
                self.push(FieldError::new(
                    at.to_string(),
                    Cause::Forbidden,
                    "must not be specified in a nested context",
                ));
            }
            let property = self.branch(value, &at, place.below(Level::Field), false);
            properties.insert(name.as_str().into(), Arc::new(property));
        }
        let items = node.get("items").filter(|v| !v.is_null());
        let items = items.map(|v| Arc::new(self.branch(v, &at.field("items"), place.below(Level::Item), false)));
        Schema {
            properties,
            items,
            required: self.texts(node, "required", at),
            checks: self.checks(node, int_or_string, at, place),
            // Null was judged by the schema around the junctor.
            nullable: true,
            ..Schema::default()
        }
    }

    fn rules(&mut self, node: &Map<String, Value>, at: &Path<'_>) -> Vec<Rule> {
        let at_rules = at.field("x-kubernetes-validations");
        let given = match node.get("x-kubernetes-validations") {
            Some(Value::Array(rules)) => rules.as_slice(),
            None | Some(Value::Null) => &[],
            Some(other) => {
                self.invalid(at, "x-kubernetes-validations", validate::shown(other), "must be a list of rules");
                &[]
            }
        };
        given.iter().enumerate().filter_map(|(i, rule)| self.rule(rule, &at_rules.index(i))).collect()
    }

    fn rule(&mut self, value: &Value, at: &Path<'_>) -> Option<Rule> {
        let Some(node) = value.as_object() else {
            self.push(FieldError::invalid(at.to_string(), validate::shown(value), "a rule must be an object"));
            return None;
        };
        let rule = self.text(node, "rule", at).unwrap_or_default();
        let message = self.text(node, "message", at).filter(|m| !m.is_empty());
        let expression = self.text(node, "messageExpression", at).filter(|m| !m.is_empty());
        let field_path = self.text(node, "fieldPath", at).filter(|p| !p.is_empty());
        let broken = |text: &str| text.trim().contains(['\n', '\r']);
        let blank = |text: Option<&str>| text.is_some_and(|t| t.trim().is_empty());
        if rule.trim().is_empty() {
            self.require(at, "rule", "rule is not specified");
            return None;
        } else if blank(message) {
            self.invalid(at, "message", json!(message), "must be non-empty if specified");
        } else if message.is_some_and(broken) {
            self.invalid(at, "message", json!(message), "must not contain line breaks");
        } else if broken(rule) && message.is_none() {
            self.require(at, "message", "message must be specified if rule contains line breaks");
        }
        if blank(expression) {
            self.require(at, "messageExpression", "messageExpression must be non-empty if specified");
        }
        if blank(field_path) {
            self.invalid(at, "fieldPath", json!(field_path), "must be non-empty if specified");
        }
        if field_path.is_some_and(broken) {
            self.invalid(at, "fieldPath", json!(field_path), "must not contain line breaks");
        }
        let reason = match self.text(node, "reason", at) {
            None | Some("") | Some("FieldValueInvalid") => RuleReason::FieldValueInvalid,
            Some("FieldValueForbidden") => RuleReason::FieldValueForbidden,
            Some("FieldValueRequired") => RuleReason::FieldValueRequired,
            Some("FieldValueDuplicate") => RuleReason::FieldValueDuplicate,
            Some(other) => {
                let allowed = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
                let error = validate::not_supported(&at.field("reason"), &json!(other), &allowed.map(|r| json!(r)));
                self.push(error);
                RuleReason::FieldValueInvalid
            }
        };
        Some(Rule {
            rule: rule.into(),
            message: message.map(|m| m.trim().into()),
            message_expression: expression.map(Into::into),
            reason,
            field_path: field_path.map(Into::into),
            optional_old_self: self.flag(node, "optionalOldSelf", at),
        })
    }

    fn flag(&mut self, node: &Map<String, Value>, keyword: &str, at: &Path<'_>) -> bool {
        match node.get(keyword) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(set)) => *set,
            Some(other) => {
                self.invalid(at, keyword, validate::shown(other), "must be true or false");
                false
            }
        }
    }

    fn text<'v>(&mut self, node: &'v Map<String, Value>, keyword: &str, at: &Path<'_>) -> Option<&'v str> {
        match node.get(keyword) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.invalid(at, keyword, validate::shown(other), "must be a string");
                None
            }
        }
    }

    fn texts(&mut self, node: &Map<String, Value>, keyword: &str, at: &Path<'_>) -> Vec<Box<str>> {
        match node.get(keyword) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).map(Into::into).collect()
            }
            Some(other) => {
                self.invalid(at, keyword, validate::shown(other), "must be a list of strings");
                Vec::new()
            }
        }
    }

    fn number(&mut self, node: &Map<String, Value>, keyword: &str, at: &Path<'_>) -> Option<f64> {
        match node.get(keyword) {
            None | Some(Value::Null) => None,
            Some(Value::Number(n)) => n.as_f64(),
            Some(other) => {
                self.invalid(at, keyword, validate::shown(other), "must be a number");
                None
            }
        }
    }

    fn count(&mut self, node: &Map<String, Value>, keyword: &str, at: &Path<'_>) -> Option<u64> {
        let given = node.get(keyword).filter(|v| !v.is_null())?;
        let count = given.as_u64();
        if count.is_none() {
            self.invalid(at, keyword, validate::shown(given), "must be a whole number that is not negative");
        }
        count
    }

    fn object<'v>(
        &mut self,
        node: &'v Map<String, Value>,
        keyword: &str,
        at: &Path<'_>,
    ) -> Vec<(&'v String, &'v Value)> {
        match node.get(keyword) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(fields)) => fields.iter().collect(),
            Some(other) => {
                self.invalid(at, keyword, validate::shown(other), "must be an object");
                Vec::new()
            }
        }
    }
}

fn is_meta(name: &str) -> bool {
    matches!(name, "metadata" | "apiVersion" | "kind")
}

fn is_int_or_string(branches: &[Value]) -> bool {
    branches == [json!({"type": "integer"}), json!({"type": "string"})]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused(openapi: Value, expected: &[&str]) {
        let errors = Schema::from_openapi(&openapi, "spec.versions[0].schema.openAPIV3Schema").unwrap_err();
        let errors: Vec<String> = errors
            .iter()
            .map(|e| e.to_string().trim_start_matches("spec.versions[0].schema.openAPIV3Schema.").to_owned())
            .collect();
        assert_eq!(errors, expected, "{openapi}");
    }

    fn field(node: Value) -> Value {
        json!({"type": "object", "properties": {"f": node}})
    }

    #[test]
    fn every_level_needs_a_type() {
        refused(json!({}), &["type: Required value: must not be empty at the root"]);
        refused(
            json!({"type": "array", "items": {"type": "string"}}),
            &["type: Invalid value: \"array\": must be object at the root"],
        );
        refused(
            field(json!({})),
            &["properties[f].type: Required value: must not be empty for specified object fields"],
        );
        refused(
            field(json!({"type": "array", "items": {}})),
            &["properties[f].items.type: Required value: must not be empty for specified array items"],
        );
        refused(field(json!({"type": "array"})), &["properties[f].items: Required value: must be specified"]);
        refused(
            field(json!({"type": "text"})),
            &[
                "properties[f].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        );
        for node in [json!({"x-kubernetes-int-or-string": true}), json!({"x-kubernetes-preserve-unknown-fields": true})]
        {
            assert!(Schema::from_openapi(&field(node), "").is_ok());
        }
    }

    #[test]
    fn forbidden_keywords_are_refused() {
        refused(
            field(json!({"type": "object", "$ref": "x"})),
            &["properties[f].$ref: Forbidden: $ref is not supported"],
        );
        refused(
            field(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
            &[
                "properties[f].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ],
        );
        refused(
            field(
                json!({"type": "object", "properties": {}, "additionalProperties": {"type": "string"}, "nullable": "x"}),
            ),
            &["properties[f].nullable: Invalid value: \"x\": must be true or false"],
        );
        refused(
            field(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ),
            &[
                "properties[f].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            ],
        );
        refused(
            field(json!({"type": "string", "pattern": "("})),
            &[
                "properties[f].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: unclosed group",
            ],
        );
    }

    #[test]
    fn junctors_describe_no_structure() {
        refused(
            field(json!({"type": "string", "anyOf": [{"type": "string"}]})),
            &["properties[f].anyOf[0].type: Forbidden: must be empty to be structural"],
        );
        refused(
            field(json!({"type": "object", "oneOf": [{"properties": {"a": {"minimum": 1}}}]})),
            &[
                "properties[f].properties[a]: Required value: because it is defined in spec.versions[0].schema.openAPIV3Schema.properties[f].oneOf[0].properties[a]",
            ],
        );
        let traditional =
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
        assert!(Schema::from_openapi(&field(traditional), "").is_ok());
        let quantity = json!({"x-kubernetes-int-or-string": true, "pattern": "^[0-9]+$",
            "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"maxLength": 3}]});
        assert!(Schema::from_openapi(&field(quantity), "").is_ok());
    }

    #[test]
    fn metadata_may_only_restrict_names() {
        let with = |metadata: Value| json!({"type": "object", "properties": {"metadata": metadata}});
        assert!(
            Schema::from_openapi(
                &with(json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}})),
                ""
            )
            .is_ok()
        );
        refused(
            with(json!({"type": "object", "properties": {"labels": {"type": "object"}}})),
            &[
                "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        );
    }

    #[test]
    fn rules_are_complete() {
        refused(
            field(
                json!({"type": "string", "x-kubernetes-validations": [{"rule": " "}, {"rule": "a\nb"}, {"rule": "a", "reason": "X"}]}),
            ),
            &[
                "properties[f].x-kubernetes-validations[0].rule: Required value: rule is not specified",
                "properties[f].x-kubernetes-validations[1].message: Required value: message must be specified if rule contains line breaks",
                "properties[f].x-kubernetes-validations[2].reason: Unsupported value: \"X\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            ],
        );
    }

    #[test]
    fn depth_is_bounded() {
        let mut node = json!({"type": "string"});
        for _ in 0..70 {
            node = field(node);
        }
        let errors = Schema::from_openapi(&node, "").unwrap_err();
        assert!(errors[0].to_string().contains("nested 64 levels"), "{errors:?}");
    }

    /// JSON whose names are often keywords.
    fn any_schema() -> impl Strategy<Value = Value> {
        let words = || proptest::sample::select(&VALUE_KEYWORDS[..]).prop_map(str::to_owned);
        let structure = proptest::sample::select(vec![
            "type",
            "properties",
            "items",
            "additionalProperties",
            "required",
            "default",
            "nullable",
            "metadata",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-validations",
            "rule",
            "x-kubernetes-int-or-string",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-embedded-resource",
        ]);
        let text = proptest::sample::select(vec!["object", "array", "string", "integer", "map", "set", "a", "self"]);
        let leaf = prop_oneof![
            text.prop_map(|t| json!(t)),
            any::<bool>().prop_map(|b| json!(b)),
            any::<i32>().prop_map(|n| json!(n)),
            Just(json!({"type": "string"})),
        ];
        let names = prop_oneof![structure.prop_map(str::to_owned), words(), "[a-c]"];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec((names.clone(), inner), 0..6)
                    .prop_map(|f| Value::Object(f.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_schema_can_panic(schema in any_schema(), value in crate::fixture::any_value()) {
            let node = json!({"type": "object", "properties": {"a": schema}});
            if let Ok(schema) = Schema::from_openapi(&node, "at") {
                let mut value = json!({"a": value});
                crate::prune(&mut value, &schema);
                crate::default(&mut value, &schema);
                validate::validate(&value, &schema, None);
            }
        }
    }
}
