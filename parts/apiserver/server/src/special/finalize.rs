//! `namespaces/finalize`: the only way to change `spec.finalizers` of a Namespace.

use http::Response;
use purlin_resource::ApiBody;
use serde_json::{Value, json};

use crate::api::Call;
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::storage::{Change, CommitError, Key};
use crate::write::{Writer, Written, check_kind, is_finished, metadata};

pub(super) async fn update(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let namespace = content::decode(&call.media_type, body)?.value;
    check_kind(&namespace, "Namespace", "v1")?;
    let name = call.request.name.as_deref().unwrap_or_default();
    if namespace["metadata"]["name"].as_str().is_some_and(|given| !given.is_empty() && given != name) {
        return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
    }
    let finalizers = namespace["spec"].get("finalizers").cloned().unwrap_or_else(|| json!([]));
    let strings = finalizers.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if !strings {
        return Err(ApiError::bad_request("spec.finalizers: expected a list of strings"));
    }
    let writer = call.writer(served)?;
    let revision = metadata(&namespace, "resourceVersion").filter(|rv| !rv.is_empty());
    let key = served.key(None, name);
    let new = |old: &Value| match revision {
        Some(given) if metadata(old, "resourceVersion") != Some(given) => Err(ApiError::modified(served.def(), name)),
        _ => Ok(finalizers.clone()),
    };
    let written = finalize(&writer, &key, new).await?;
    Ok(call.written(served, &written))
}

/// Sets the finalizers of a namespace to what `f` makes of it, and removes it when it was being deleted and nothing
/// holds it any more.
pub(crate) async fn finalize(writer: &Writer, key: &Key, f: impl Fn(&Value) -> ApiResult<Value>) -> ApiResult<Written> {
    loop {
        let stored = writer.stored(key).await?.ok_or_else(|| writer.not_found(key))?;
        let old = writer.served.object(&stored.body);
        let mut object = old.clone();
        object["spec"]["finalizers"] = f(&old)?;
        let deleted = is_finished(&object);
        if writer.dry_run || (!deleted && object == old) {
            let body = writer.preview(&object);
            return Ok(Written { body, created: false, deleted: false, warnings: Vec::new() });
        }
        let change =
            if deleted { Change::Delete(stored.rv) } else { Change::Replace(stored.rv, writer.draft(&object)?) };
        match writer.try_commit(key.clone(), change).await {
            Ok(now) => return Ok(Written { body: now.body, created: false, deleted, warnings: Vec::new() }),
            Err(CommitError::Changed) => {}
            Err(error) => return Err(writer.refused(key, error)),
        }
    }
}
