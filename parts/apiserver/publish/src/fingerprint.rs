//! Hashes of documents, computed from the definitions that they are made of.
//!
//! Every request for the index of OpenAPI needs the hash of each group version, hence no document is rendered for
//! it and the hash is a plain one: it only has to change with the document, nobody gains by making two collide.

use std::hash::{Hash, Hasher};

use purlin_apiserver_schema::{Checks, ListType, ResourceDef, Schema, VersionDef};
use serde_json::Value;

use crate::groups::{GroupVersion, namespaced, subresources};

/// Folds words into one. Each step is a bijection of the state, so that a change of one word always shows.
struct Fold(u64);

impl Fold {
    fn new() -> Self {
        // Not 0, at which words of 0 would leave no trace.
        Fold(1)
    }

    fn word(&mut self, word: u64) {
        // The odd number is 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        chunks.remainder().iter().for_each(|byte| self.word(u64::from(*byte)));
    }

    fn write_u8(&mut self, word: u8) {
        self.word(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.word(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.word(word as u64);
    }
}

/// The hash of the document of these versions.
pub(crate) fn hash<'a>(versions: impl Iterator<Item = &'a GroupVersion<'a>>) -> String {
    let mut hasher = Fold::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    for version in versions {
        version.path().hash(&mut hasher);
        version.resources.len().hash(&mut hasher);
        for (def, version) in &version.resources {
            resource(def, version, &mut hasher);
        }
    }
    format!("{:016X}", hasher.finish())
}

fn resource(def: &ResourceDef, version: &VersionDef, hasher: &mut Fold) {
    (&def.names.plural, &def.names.kind, &def.names.list_kind, namespaced(def), def.verbs).hash(hasher);
    version.selectable.hash(hasher);
    let subresources = subresources(def, version);
    subresources.len().hash(hasher);
    subresources.iter().for_each(|subresource| subresource.name.hash(hasher));
    fingerprint(&version.schema, hasher);
}

fn fingerprint(schema: &Schema, hasher: &mut Fold) {
    std::mem::discriminant(&schema.ty).hash(hasher);
    (schema.nullable, schema.preserve_unknown, schema.embedded).hash(hasher);
    (&schema.required, &schema.doc, &schema.format, &schema.reference).hash(hasher);
    schema.default.as_ref().map(Value::to_string).hash(hasher);
    std::mem::discriminant(&schema.list).hash(hasher);
    if let ListType::Map(keys) = &schema.list {
        keys.hash(hasher);
    }
    std::mem::discriminant(&schema.map).hash(hasher);
    schema.strategic.is_some().hash(hasher);
    if let Some(strategic) = &schema.strategic {
        std::mem::discriminant(&strategic.strategy).hash(hasher);
        strategic.merge_key.hash(hasher);
    }
    schema.rules.len().hash(hasher);
    for rule in &schema.rules {
        // The Debug form says everything of a rule, and most nodes have none.
        format!("{rule:?}").hash(hasher);
    }
    schema.properties.len().hash(hasher);
    for (name, field) in &schema.properties {
        name.hash(hasher);
        fingerprint(field, hasher);
    }
    for below in [&schema.additional, &schema.items] {
        below.is_some().hash(hasher);
        below.iter().for_each(|below| fingerprint(below, hasher));
    }
    schema.checks.is_some().hash(hasher);
    schema.checks.iter().for_each(|checks| fingerprint_of_checks(checks, hasher));
}

fn fingerprint_of_checks(checks: &Checks, hasher: &mut Fold) {
    let Checks { all_of, any_of, one_of, not, enum_values, .. } = checks;
    for bound in [checks.minimum, checks.maximum, checks.multiple_of] {
        bound.map(f64::to_bits).hash(hasher);
    }
    (checks.exclusive_minimum, checks.exclusive_maximum, checks.unique_items).hash(hasher);
    (checks.min_length, checks.max_length, checks.min_items, checks.max_items).hash(hasher);
    (checks.min_properties, checks.max_properties, &checks.pattern).hash(hasher);
    enum_values.len().hash(hasher);
    enum_values.iter().for_each(|value| value.to_string().hash(hasher));
    for schemas in [all_of, any_of, one_of] {
        schemas.len().hash(hasher);
        schemas.iter().for_each(|schema| fingerprint(schema, hasher));
    }
    not.is_some().hash(hasher);
    not.iter().for_each(|schema| fingerprint(schema, hasher));
}

#[cfg(test)]
mod tests {
    use purlin_apiserver_schema::{MapType, PatchStrategy, Rule, RuleReason, Strategic, Type};

    use super::*;
    use crate::testing::{leaf, object};

    fn of(schema: &Schema) -> u64 {
        let mut hasher = Fold::new();
        fingerprint(schema, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn whatever_a_schema_says_counts() {
        let checks = |checks: Checks| Some(Box::new(checks));
        let rule = Rule {
            rule: "self.x".into(),
            message: None,
            message_expression: None,
            reason: RuleReason::FieldValueInvalid,
            field_path: None,
            optional_old_self: false,
        };
        let strategic = |merge_key: Option<&str>| {
            Some(Box::new(Strategic { strategy: PatchStrategy::Merge, merge_key: merge_key.map(Into::into) }))
        };
        let base = Schema::default;
        let schemas = [
            base(),
            Schema { ty: Type::String, ..base() },
            Schema { nullable: true, ..base() },
            Schema { preserve_unknown: true, ..base() },
            Schema { embedded: true, ..base() },
            Schema { properties: object(vec![("a", leaf(Type::String))]).properties, ..base() },
            Schema { properties: object(vec![("b", leaf(Type::String))]).properties, ..base() },
            Schema { properties: object(vec![("a", leaf(Type::Number))]).properties, ..base() },
            Schema { required: vec!["a".into()], ..base() },
            Schema { additional: Some(leaf(Type::String)), ..base() },
            Schema { items: Some(leaf(Type::String)), ..base() },
            Schema { list: ListType::Set, ..base() },
            Schema { list: ListType::Map(vec!["a".into()]), ..base() },
            Schema { list: ListType::Map(vec!["b".into()]), ..base() },
            Schema { map: MapType::Atomic, ..base() },
            Schema { strategic: strategic(None), ..base() },
            Schema { strategic: strategic(Some("a")), ..base() },
            Schema { default: Some(Value::Null), ..base() },
            Schema { default: Some(Value::from(1)), ..base() },
            Schema { checks: checks(Checks::default()), ..base() },
            Schema { checks: checks(Checks { minimum: Some(1.0), ..Checks::default() }), ..base() },
            Schema { checks: checks(Checks { maximum: Some(1.0), ..Checks::default() }), ..base() },
            Schema { checks: checks(Checks { pattern: Some("a".into()), ..Checks::default() }), ..base() },
            Schema { checks: checks(Checks { enum_values: vec![Value::from("a")], ..Checks::default() }), ..base() },
            Schema { checks: checks(Checks { all_of: vec![base()], ..Checks::default() }), ..base() },
            Schema { checks: checks(Checks { one_of: vec![base()], ..Checks::default() }), ..base() },
            Schema { checks: checks(Checks { not: Some(Box::new(base())), ..Checks::default() }), ..base() },
            Schema { rules: vec![Rule { optional_old_self: true, ..rule.clone() }], ..base() },
            Schema { rules: vec![rule], ..base() },
            Schema { doc: Some("a".into()), ..base() },
            Schema { format: Some("a".into()), ..base() },
            Schema { reference: Some("a".into()), ..base() },
        ];
        for (index, schema) in schemas.iter().enumerate() {
            assert_eq!(of(schema), of(&schema.clone()));
            for other in schemas.iter().take(index) {
                assert_ne!(of(schema), of(other), "{schema:?} and {other:?}");
            }
        }
    }
}
