//! OpenAPI documents: `/openapi/v3` with one document a group version, and `/openapi/v2` with everything in one.
//!
//! `kubectl explain`, `apply`, `diff` and typed clients read them. They are large and rarely asked for, hence built on
//! request; the hash of each is computed from the definitions alone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use purlin_apiserver_schema::{Checks, ResourceDef, Schema, VersionDef};
use serde_json::{Map, Value, json};

use crate::definitions::Definitions;
use crate::downgrade;
use crate::groups::{GroupVersion, group_version, groups, namespaced, subresources};
use crate::operations::paths;

/// `/openapi/v3`: where the document of each group version is, with its hash, by which clients cache.
pub fn openapi_v3_index(defs: &[Arc<ResourceDef>]) -> Value {
    let groups = groups(defs);
    let versions = groups.iter().flat_map(|group| &group.versions);
    let paths: Map<_, _> = versions
        .map(|version| {
            let url = format!("/openapi/v3/{}?hash={}", version.path(), hash(std::iter::once(version)));
            (version.path(), json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The hash of one document: the value of `?hash=` and of its `ETag`; none where the version is not served.
pub fn openapi_v3_hash(defs: &[Arc<ResourceDef>], group: &str, version: &str) -> Option<String> {
    Some(hash(std::iter::once(&group_version(defs, group, version)?)))
}

/// `/openapi/v3/api/VERSION` (with the group empty) or `/openapi/v3/apis/GROUP/VERSION`; none where it is not served.
pub fn openapi_v3(defs: &[Arc<ResourceDef>], group: &str, version: &str) -> Option<Value> {
    let known = group_version(defs, group, version)?;
    let mut definitions = Definitions::new();
    known.resources.iter().for_each(|(def, version)| definitions.add(def, version));
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths(&known),
        "components": {
            "schemas": definitions.finish(),
            "securitySchemes": {"BearerToken": bearer_token()},
        },
    }))
}

/// The hash of the v2 document, for its `ETag`.
pub fn openapi_v2_hash(defs: &[Arc<ResourceDef>]) -> String {
    let groups = groups(defs);
    hash(groups.iter().flat_map(|group| &group.versions))
}

/// `/openapi/v2`: everything as one Swagger document.
pub fn openapi_v2(defs: &[Arc<ResourceDef>]) -> Value {
    let mut definitions = Definitions::new();
    let mut all_paths = Map::new();
    for known in groups(defs).iter().flat_map(|group| &group.versions) {
        known.resources.iter().for_each(|(def, version)| definitions.add(def, version));
        all_paths.extend(paths(known).into_iter().map(|(path, item)| (path, downgrade::path_item(item))));
    }
    let definitions = definitions.finish().into_iter().map(|(name, schema)| (name, downgrade::schema(schema)));
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": all_paths,
        "definitions": definitions.collect::<Map<_, _>>(),
        "securityDefinitions": {"BearerToken": bearer_token()},
        "security": [{"BearerToken": []}],
    })
}

fn bearer_token() -> Value {
    json!({"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer token"})
}

/// A hash of all that the document of these versions is made of. Not cryptographic: it only has to change with them.
fn hash<'a>(versions: impl Iterator<Item = &'a GroupVersion<'a>>) -> String {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    for version in versions {
        version.path().hash(&mut hasher);
        for (def, version) in &version.resources {
            resource(def, version, &mut hasher);
        }
    }
    format!("{:016X}", hasher.finish())
}

fn resource(def: &ResourceDef, version: &VersionDef, hasher: &mut DefaultHasher) {
    (&def.names.plural, &def.names.kind, &def.names.list_kind, namespaced(def), def.verbs).hash(hasher);
    version.selectable.hash(hasher);
    subresources(def, version).iter().for_each(|subresource| subresource.name.hash(hasher));
    fingerprint(&version.schema, hasher);
}

fn fingerprint(schema: &Schema, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&schema.ty).hash(hasher);
    (schema.nullable, schema.preserve_unknown, schema.embedded).hash(hasher);
    (&schema.required, &schema.doc, &schema.format, &schema.reference).hash(hasher);
    schema.default.as_ref().map(Value::to_string).hash(hasher);
    // Their Debug forms say everything of these, and they are rare or small.
    format!("{:?}{:?}{:?}{:?}", schema.list, schema.map, schema.strategic, schema.rules).hash(hasher);
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

fn fingerprint_of_checks(checks: &Checks, hasher: &mut DefaultHasher) {
    let Checks { all_of, any_of, one_of, not, enum_values, .. } = checks;
    for bound in [checks.minimum, checks.maximum, checks.multiple_of] {
        bound.map(f64::to_bits).hash(hasher);
    }
    (checks.exclusive_minimum, checks.exclusive_maximum, checks.unique_items).hash(hasher);
    (checks.min_length, checks.max_length, checks.min_items, checks.max_items).hash(hasher);
    (checks.min_properties, checks.max_properties, &checks.pattern).hash(hasher);
    enum_values.iter().for_each(|value| value.to_string().hash(hasher));
    for schemas in [all_of, any_of, one_of] {
        schemas.len().hash(hasher);
        schemas.iter().for_each(|schema| fingerprint(schema, hasher));
    }
    not.iter().for_each(|schema| fingerprint(schema, hasher));
}

#[cfg(test)]
mod tests;
