//! `namespaces/finalize`: the only way to change `spec.finalizers` of a Namespace.

use http::Response;
use purlin_resource::ApiBody;
use serde_json::{Value, json};

use crate::api::Call;
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::storage::{Change, CommitError, Draft, Key};
use crate::write::{Writer, Written, check_kind, is_finished};

pub(super) async fn update(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let namespace = content::decode(&call.media_type, body)?.value;
    check_kind(&namespace, "Namespace", "v1")?;
    let name = call.request.name.as_deref().unwrap_or_default();
    let finalizers = namespace["spec"].get("finalizers").cloned().unwrap_or_else(|| json!([]));
    let strings = finalizers.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if !strings {
        return Err(ApiError::bad_request("spec.finalizers: expected a list of strings"));
    }
    let writer = call.writer(served)?;
    let written = finalize(&writer, &served.key(None, name), &finalizers).await?;
    Ok(call.written(served, &written))
}

/// Sets the finalizers of a namespace, and removes it when it was being deleted and none is left.
pub(crate) async fn finalize(writer: &Writer, key: &Key, finalizers: &Value) -> ApiResult<Written> {
    loop {
        let stored = writer.stored(key).await?.ok_or_else(|| writer.not_found(key))?;
        let mut object = writer.served.object(&stored.body);
        object["spec"]["finalizers"] = finalizers.clone();
        let deleted = is_finished(&object);
        let change = if deleted { Change::Delete(stored.rv) } else { Change::Replace(stored.rv, Draft::new(&object)) };
        match writer.try_commit(key.clone(), change).await {
            Ok(now) => return Ok(Written { body: now.body, created: false, deleted, warnings: Vec::new() }),
            Err(CommitError::Changed) => {}
            Err(error) => return Err(writer.refused(key, error)),
        }
    }
}
