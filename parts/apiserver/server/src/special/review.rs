//! Reviews: questions about who somebody is and what they may do (authentication.k8s.io and authorization.k8s.io v1).

use http::{Response, StatusCode};
use purlin_apiserver_schema::{default, prune, validate};
use purlin_auth::Principal;
use purlin_auth::rbac::{Attributes, Decision, PolicyRule, Target};
use purlin_resource::ApiBody;
use serde_json::{Value, json};

use crate::api::Call;
use crate::authenticate;
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::write::check_kind;

pub(super) async fn answer(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let kind = served.def().names.kind.as_str();
    let mut review = content::decode(&call.media_type, body)?.value;
    check_kind(&review, kind, &served.api_version())?;
    let schema = &served.version().schema;
    prune(&mut review, schema);
    (served.def().strategy.default)(&mut review);
    default(&mut review, schema);
    let errors = validate(&review, schema, None);
    if !errors.is_empty() {
        return Err(ApiError::invalid(served.def(), "", &errors));
    }
    let status = match kind {
        "TokenReview" => token(call, &review["spec"]).await,
        "SelfSubjectReview" => json!({"userInfo": user_info(&call.caller.principal)}),
        "SelfSubjectAccessReview" => access(call, &call.caller.principal, &review["spec"])?,
        "SubjectAccessReview" => access(call, &subject(&review["spec"])?, &review["spec"])?,
        "LocalSubjectAccessReview" => {
            let asked = review["spec"]["resourceAttributes"]["namespace"].as_str();
            if asked != call.request.namespace.as_deref() {
                return Err(ApiError::bad_request(
                    "spec.resourceAttributes.namespace: must be the namespace of the request",
                ));
            }
            access(call, &subject(&review["spec"])?, &review["spec"])?
        }
        "SelfSubjectRulesReview" => rules(call, review["spec"]["namespace"].as_str().unwrap_or_default())?,
        _ => return Err(ApiError::no_such_path()),
    };
    review["apiVersion"] = served.api_version().into();
    review["kind"] = kind.into();
    review["status"] = status;
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    Ok(content::value(StatusCode::CREATED, &review))
}

fn user_info(principal: &Principal) -> Value {
    let mut info = json!({"username": &*principal.name, "groups": texts(&principal.groups)});
    if let Some(uid) = &principal.uid {
        info["uid"] = (&**uid).into();
    }
    if !principal.extra.is_empty() {
        info["extra"] = json!(principal.extra);
    }
    info
}

fn texts(list: &[std::sync::Arc<str>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}

async fn token(call: &Call, spec: &Value) -> Value {
    let token = spec["token"].as_str().unwrap_or_default();
    let issuer = call.api.tokens.issuer();
    let asked: Vec<&str> = spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let audiences = if asked.is_empty() { vec![issuer] } else { asked };
    match authenticate::bearer(&call.api, token, &audiences).await {
        Ok(claims) => {
            let both: Vec<&str> = audiences.into_iter().filter(|asked| claims.aud.iter().any(|a| a == asked)).collect();
            json!({"authenticated": true, "user": user_info(&claims.principal()), "audiences": both})
        }
        Err(_) => json!({"authenticated": false, "user": {}, "error": "the token is not valid for this API server"}),
    }
}

/// The user that a review asks about.
fn subject(spec: &Value) -> ApiResult<Principal> {
    let name = spec["user"].as_str().unwrap_or_default();
    let groups: Vec<std::sync::Arc<str>> =
        spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect();
    if name.is_empty() && groups.is_empty() {
        return Err(ApiError::bad_request(
            "spec.user: Required value: at least one of user or groups must be specified",
        ));
    }
    Ok(Principal { name: name.into(), groups, ..Principal::default() })
}

fn access(call: &Call, principal: &Principal, spec: &Value) -> ApiResult<Value> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    fn text<'a>(of: &'a Value, field: &str) -> &'a str {
        of[field].as_str().unwrap_or_default()
    }
    let (verb, target) = match (resource.is_object(), path.is_object()) {
        (true, false) => {
            let target = Target::Resource {
                group: text(resource, "group"),
                resource: text(resource, "resource"),
                subresource: text(resource, "subresource"),
                namespace: text(resource, "namespace"),
                name: text(resource, "name"),
            };
            (text(resource, "verb"), target)
        }
        (false, true) => (text(path, "verb"), Target::Path(text(path, "path"))),
        _ => {
            return Err(ApiError::bad_request(
                "spec: exactly one of resourceAttributes and nonResourceAttributes must be specified",
            ));
        }
    };
    Ok(match call.api.rbac.read().authorize(principal, &Attributes { verb, target }) {
        Decision::Allowed { by } => json!({"allowed": true, "reason": format!("RBAC: allowed by {by}")}),
        Decision::Denied { reason } if reason.is_empty() => json!({"allowed": false}),
        Decision::Denied { reason } => json!({"allowed": false, "reason": reason}),
    })
}

fn rules(call: &Call, namespace: &str) -> ApiResult<Value> {
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let rules = call.api.rbac.read().rules_for(&call.caller.principal, namespace);
    let (mut resource, mut path): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for PolicyRule { verbs, api_groups, resources, resource_names, non_resource_urls } in rules {
        if !resources.is_empty() {
            let mut rule = json!({"verbs": verbs, "apiGroups": api_groups, "resources": resources});
            if !resource_names.is_empty() {
                rule["resourceNames"] = resource_names.into();
            }
            resource.push(rule);
        }
        if !non_resource_urls.is_empty() {
            path.push(json!({"verbs": verbs, "nonResourceURLs": non_resource_urls}));
        }
    }
    Ok(json!({"resourceRules": resource, "nonResourceRules": path, "incomplete": false}))
}
