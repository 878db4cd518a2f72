//! `patch`: JSON patch, merge patch, strategic merge patch, server-side apply; told apart by the media type.

use http::{Response, StatusCode};
use purlin_apiserver_merge::{
    ApplyError, PatchError, apply_json_patch, apply_merge_patch, apply_strategic, conflict_causes, conflict_message,
};
use purlin_apiserver_schema::{Cause, Decoded, FieldError, Limits, decode_json, decode_yaml};
use purlin_resource::ApiBody;
use serde_json::Value;

use super::writer::Apply;
use super::{check_kind, identified};
use crate::api::Call;
use crate::catalog::Served;
use crate::content::{self, MAX_BODY};
use crate::error::{ApiError, ApiResult};
use crate::special::scale;
use crate::verbs::Part;

const TYPES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

/// A patch that was read.
enum Patch {
    Json(Vec<u8>),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

pub(crate) async fn patch(call: &Call, served: &Served, part: Part, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let (patch, duplicates) = read(call, served, body)?;
    let name = call.request.name.as_deref().unwrap_or_default();
    let key = served.key(call.request.namespace.as_deref(), name);
    let writer = call.writer(served)?;
    if let Patch::Apply(applied) = patch {
        if call.options.field_manager.is_empty() {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid_options("PatchOptions", &[error]));
        }
        let applied = identified(call, served, applied)?;
        let given = applied["metadata"]["name"].as_str().unwrap_or_default();
        if !given.is_empty() && given != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        let apply = Apply { applied, force: call.options.force };
        let written = writer.apply(&key, part, &duplicates, apply).await?;
        return Ok(call.written(served, &written));
    }
    if call.options.force {
        let error = FieldError::new("force", Cause::Forbidden, "may not be specified for non-apply patch");
        return Err(ApiError::invalid_options("PatchOptions", &[error]));
    }
    let changed = |old: &Value| match part {
        Part::Scale => scale::set(served, old, &patched(&patch, served, &scale::of(served, old))?),
        _ => {
            let new = patched(&patch, served, old)?;
            check_kind(&new, &served.def().names.kind, &served.api_version())?;
            Ok(new)
        }
    };
    let written = writer.change(&key, part, &duplicates, changed).await?;
    if part == Part::Scale {
        let object = served.object(&written.body);
        return Ok(content::value(StatusCode::OK, &scale::of(served, &object)));
    }
    Ok(call.written(served, &written))
}

fn read(call: &Call, served: &Served, body: &[u8]) -> ApiResult<(Patch, Vec<String>)> {
    let limits = Limits { bytes: MAX_BODY, ..Limits::default() };
    let json = |body| {
        decode_json(body, &limits).map_err(|e| ApiError::bad_request(format!("the patch could not be decoded: {e}")))
    };
    let (patch, duplicates) = match call.media_type.as_str() {
        "application/json-patch+json" => {
            json(body)?;
            (Patch::Json(body.to_vec()), Vec::new())
        }
        "application/merge-patch+json" => {
            let Decoded { value, duplicates } = json(body)?;
            (Patch::Merge(value), duplicates)
        }
        "application/strategic-merge-patch+json" if served.resource.is_custom() => {
            let types = TYPES.replace("application/strategic-merge-patch+json, ", "");
            return Err(ApiError::unsupported_media_type(&types));
        }
        "application/strategic-merge-patch+json" => {
            let Decoded { value, duplicates } = json(body)?;
            (Patch::Strategic(value), duplicates)
        }
        "application/apply-patch+yaml" => {
            let read = decode_yaml(body, &limits);
            let Decoded { value, duplicates } =
                read.map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}")))?;
            (Patch::Apply(value), duplicates)
        }
        _ => return Err(ApiError::unsupported_media_type(TYPES)),
    };
    let is_object = match &patch {
        Patch::Json(_) => true,
        Patch::Merge(v) | Patch::Strategic(v) | Patch::Apply(v) => v.is_object(),
    };
    if !is_object {
        return Err(ApiError::bad_request("the patch is not an object"));
    }
    Ok((patch, duplicates))
}

fn patched(patch: &Patch, served: &Served, old: &Value) -> ApiResult<Value> {
    let new = match patch {
        Patch::Json(operations) => apply_json_patch(old, operations),
        Patch::Merge(merge) => Ok(apply_merge_patch(old, merge)),
        Patch::Strategic(patch) => apply_strategic(old, patch, &served.version().schema),
        Patch::Apply(_) => Ok(old.clone()),
    };
    new.map_err(|error| match error {
        PatchError::Malformed(why) => ApiError::bad_request(why),
        PatchError::Unprocessable(why) => ApiError::unprocessable(why),
        PatchError::TooLarge(why) => ApiError::too_large(why),
    })
}

pub(super) fn apply_error(error: ApplyError) -> ApiError {
    match error {
        ApplyError::BadRequest(why) | ApplyError::NotTyped(why) => ApiError::bad_request(why),
        ApplyError::Live(why) => ApiError::internal(format!("failed to decode managed fields: {why}")),
        ApplyError::Conflicts(conflicts) => {
            let causes = conflict_causes(&conflicts).into_iter().map(|c| (c.field, c.message));
            ApiError::apply_conflict(conflict_message(&conflicts), causes.collect())
        }
    }
}
