//! `serviceaccounts/token`: a short-lived token of a service account (`TokenRequest`, authentication.k8s.io/v1).

use http::{Response, StatusCode};
use purlin_apiserver_schema::{FieldError, default, prune, validate};
use purlin_auth::token::{ObjectRef, Subject, TokenSpec};
use purlin_resource::ApiBody;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Call;
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::write::check_kind;

/// The shortest and longest life of a token, in seconds, as kube-apiserver has them.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
const USUAL: i64 = 3600;

pub(super) async fn create(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let mut request = content::decode(&call.media_type, body)?.value;
    check_kind(&request, "TokenRequest", "authentication.k8s.io/v1")?;
    let name = call.request.name.as_deref().unwrap_or_default();
    if let Some(schema) = served.version().subresources.iter().find(|s| s.name == "token").map(|s| &s.schema) {
        prune(&mut request, schema);
        default(&mut request, schema);
        let errors = validate(&request, schema, None);
        if !errors.is_empty() {
            return Err(ApiError::invalid(served.def(), name, &errors));
        }
    }
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(USUAL);
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        let words = format!("may not specify a duration less than 10 minutes or more than {LONGEST} seconds");
        let error = FieldError::invalid("spec.expirationSeconds", seconds.into(), words);
        return Err(ApiError::invalid(served.def(), name, &[error]));
    }
    let key = served.key(call.request.namespace.as_deref(), name);
    let stored = call.api.storage.get(&key).await?.ok_or_else(|| ApiError::not_found(served.def(), name))?;
    let account = served.object(&stored.body);
    let audiences: Vec<String> = request["spec"]["audiences"]
        .as_array()
        .map(|list| list.iter().filter_map(|a| a.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let audiences = if audiences.is_empty() { vec![call.api.tokens.issuer().to_owned()] } else { audiences };
    let now = call.api.clock.now();
    let bound = bound(call, &key.ns, &request["spec"]["boundObjectRef"]).await?;
    let uid = account["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let subject = Subject {
        namespace: key.ns.to_string(),
        serviceaccount: ObjectRef { name: name.to_owned(), uid },
        secret: bound,
        ..Subject::default()
    };
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let spec = TokenSpec { subject, audiences: audiences.clone(), issued_at: now, seconds, id: Uuid::new_v4() };
    let token = call.api.tokens.sign(spec).map_err(|e| ApiError::internal(e.to_string()))?;
    let expires = jiff::Timestamp::from_second(now.as_second() + i64::from(seconds)).unwrap_or(jiff::Timestamp::MAX);
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["kind"] = "TokenRequest".into();
    request["metadata"] = json!({"name": name, "namespace": &*key.ns, "creationTimestamp": call.api.now()});
    request["spec"]["audiences"] = audiences.into();
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({"token": token, "expirationTimestamp": expires.to_string()});
    Ok(content::value(StatusCode::CREATED, &request))
}

/// The Secret that a token is bound to; other kinds are not there to be bound to yet.
async fn bound(call: &Call, namespace: &str, reference: &Value) -> ApiResult<Option<ObjectRef>> {
    if !reference.is_object() {
        return Ok(None);
    }
    let kind = reference["kind"].as_str().unwrap_or_default();
    let name = reference["name"].as_str().unwrap_or_default();
    let secrets = call.api.catalog.load().stored("secrets");
    let Some(secrets) = secrets.filter(|_| kind == "Secret") else {
        return Err(ApiError::bad_request(format!("cannot bind token for serviceaccount to object of type {kind:?}")));
    };
    let stored = call.api.storage.get(&secrets.key(Some(namespace), name)).await?;
    let stored = stored.ok_or_else(|| ApiError::not_found(secrets.def(), name))?;
    let uid = secrets.object(&stored.body)["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let given = reference["uid"].as_str().unwrap_or_default();
    if !given.is_empty() && given != uid {
        return Err(ApiError::conflict(
            secrets.def(),
            name,
            &format!(
                "the UID in the bound object reference ({given}) does not match the UID in record. The object might have been deleted and then recreated"
            ),
        ));
    }
    Ok(Some(ObjectRef { name: name.to_owned(), uid }))
}
