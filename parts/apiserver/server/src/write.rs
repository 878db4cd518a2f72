//! `create`, `update` and `patch`: from a request's body to a [`Writer`].
//!
//! decode -> (for a patch: apply it to what is there) -> [`Writer`]: prune, default, prepare, own, validate ->
//! compare-and-swap. A patch that names no revision is tried again when somebody else was faster.

mod admit;
mod commit;
mod identity;
mod patch;
mod writer;

use std::sync::Arc;

use http::{Response, StatusCode};
use purlin_apiserver_merge::manager_or_user_agent;
use purlin_apiserver_schema::Decoded;
use purlin_resource::ApiBody;
use serde_json::Value;

pub(crate) use identity::{is_finished, metadata};
pub(crate) use patch::patch;
pub(crate) use writer::{Writer, Written, controller, details};

use crate::api::Call;
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::read;
use crate::special::scale;
use crate::verbs::Part;

impl Call {
    /// The writer of this request.
    pub(crate) fn writer(&self, served: &Served) -> ApiResult<Writer> {
        let manager = &self.options.field_manager;
        Ok(Writer {
            api: Arc::clone(&self.api),
            caller: Arc::clone(&self.caller),
            served: served.clone(),
            verb: self.request.verb.as_str(),
            manager: manager_or_user_agent(manager, &self.user_agent),
            validation: self.options.field_validation,
            dry_run: self.options.dry_run,
        })
    }

    /// The answer to a write.
    pub(crate) fn written(&self, served: &Served, written: &Written) -> Response<ApiBody> {
        let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = read::one(self, served, code, &written.body);
        content::add_warnings(&mut response, &written.warnings);
        response
    }
}

pub(crate) async fn create(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let Decoded { value, duplicates } = content::decode(&call.media_type, body)?;
    let object = identified(call, served, value)?;
    let written = call.writer(served)?.create(object, &duplicates).await?;
    Ok(call.written(served, &written))
}

pub(crate) async fn update(call: &Call, served: &Served, part: Part, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let Decoded { value, duplicates } = content::decode(&call.media_type, body)?;
    let name = call.request.name.as_deref().unwrap_or_default();
    let key = served.key(call.request.namespace.as_deref(), name);
    let writer = call.writer(served)?;
    if part == Part::Scale {
        check_kind(&value, "Scale", "autoscaling/v1")?;
        let written = writer.change(&key, part, &duplicates, |old| scale::set(served, old, &value)).await?;
        let object = served.object(&written.body);
        return Ok(content::value(StatusCode::OK, &scale::of(served, &object)));
    }
    let object = identified(call, served, value)?;
    if object["metadata"]["name"].as_str() != Some(name) {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            object["metadata"]["name"].as_str().unwrap_or_default()
        )));
    }
    let written = writer.change(&key, part, &duplicates, |_| Ok(object.clone())).await?;
    Ok(call.written(served, &written))
}

/// Checks that the body is an object of this resource in this version and namespace, and says so in the object.
fn identified(call: &Call, served: &Served, mut object: Value) -> ApiResult<Value> {
    let kind = served.def().names.kind.as_str();
    let version = served.api_version();
    check_kind(&object, kind, &version)?;
    let namespace = call.request.namespace.as_deref().filter(|_| &*served.resource.gr != "namespaces");
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiError::bad_request("the body is not an object"));
    };
    fields.insert("apiVersion".to_owned(), version.into());
    fields.insert("kind".to_owned(), kind.into());
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
    if metadata.is_null() {
        *metadata = Value::Object(serde_json::Map::new());
    }
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(ApiError::bad_request("metadata: expected an object"));
    };
    match (namespace, metadata.get("namespace").and_then(Value::as_str).filter(|ns| !ns.is_empty())) {
        (Some(expected), Some(given)) if expected != given => {
            return Err(ApiError::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request: {given:?}, expected {expected:?}"
            )));
        }
        (Some(expected), _) => {
            metadata.insert("namespace".to_owned(), expected.into());
        }
        (None, _) => {
            metadata.shift_remove("namespace");
        }
    }
    Ok(object)
}

/// The body's `kind` and `apiVersion`, where it has them, must be those of the path.
pub(crate) fn check_kind(object: &Value, kind: &str, version: &str) -> ApiResult<()> {
    let given_kind = object["kind"].as_str().unwrap_or_default();
    let given_version = object["apiVersion"].as_str().unwrap_or_default();
    if !object.is_object() {
        return Err(ApiError::bad_request(
            "the body is not an object: expected a JSON or YAML object with apiVersion and kind",
        ));
    }
    if given_kind.is_empty() && given_version.is_empty() {
        return Ok(());
    }
    if given_kind != kind || given_version != version {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): it is a {given_kind:?} of {given_version:?}, the path takes {version:?}"
        )));
    }
    Ok(())
}
