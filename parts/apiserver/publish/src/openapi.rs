//! OpenAPI documents: `/openapi/v3` with one document a group version, and `/openapi/v2` with everything in one.
//!
//! `kubectl explain`, `apply`, `diff` and typed clients read them. They are large and rarely asked for, hence built on
//! request; the hash of each is computed from the definitions alone.

use std::sync::Arc;

use purlin_apiserver_schema::ResourceDef;
use serde_json::{Map, Value, json};

use crate::definitions::Definitions;
use crate::downgrade;
use crate::fingerprint::hash;
use crate::groups::{group_version, groups};
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

#[cfg(test)]
mod tests;
