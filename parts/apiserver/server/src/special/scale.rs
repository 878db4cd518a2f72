//! `/scale`: `Scale` of autoscaling/v1, read from and written to the paths that the definition names.

use purlin_apiserver_schema::ScaleDef;
use serde_json::{Map, Value, json};

use crate::catalog::Served;
use crate::error::{ApiError, ApiResult};

/// The scale of an object.
pub(crate) fn of(served: &Served, object: &Value) -> Value {
    let Some(paths) = &served.version().scale else { return Value::Null };
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let count = |path: &str| at(object, path).and_then(Value::as_i64).unwrap_or_default();
    let mut status = json!({"replicas": count(&paths.status_replicas_path)});
    if let Some(selector) = paths.label_selector_path.as_deref().and_then(|path| at(object, path)) {
        status["selector"] = selector.clone();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": count(&paths.spec_replicas_path)}, "status": status,
    })
}

/// The object with the replicas of `scale`.
pub(crate) fn set(served: &Served, object: &Value, scale: &Value) -> ApiResult<Value> {
    let Some(ScaleDef { spec_replicas_path, .. }) = &served.version().scale else {
        return Err(ApiError::no_such_path());
    };
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    if !replicas.as_i64().is_some_and(|n| (0..=i64::from(i32::MAX)).contains(&n)) {
        return Err(ApiError::unprocessable(format!(
            "spec.replicas: Invalid value: {replicas}: must be a whole number from 0 to {}",
            i32::MAX
        )));
    }
    let mut new = object.clone();
    let given = scale["metadata"].get("resourceVersion").filter(|rv| rv.as_str().is_some_and(|rv| !rv.is_empty()));
    if let Some(given) = given {
        new["metadata"]["resourceVersion"] = given.clone();
    }
    let mut place = &mut new;
    for name in spec_replicas_path.split('.').filter(|name| !name.is_empty()) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[name];
    }
    *place = replicas;
    Ok(new)
}

/// The value at a dotted path with a leading dot.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(object, |at, name| at.get(name))
}
