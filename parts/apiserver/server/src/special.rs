//! What single kinds need beyond the common way of all objects.

pub(crate) mod crd;
mod finalize;
mod rbac;
mod review;
pub(crate) mod scale;
pub(crate) mod service;
mod token;

use http::Response;
use purlin_resource::ApiBody;
use serde_json::Value;

pub(crate) use finalize::finalize;

use crate::api::Call;
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::verbs::check_scope;
use crate::write::Writer;

/// What is set aside for an object until it is stored, so that no other takes it meanwhile. Whoever holds this lets it
/// go once the write was answered: from then on what is stored says that it is taken.
#[derive(Default)]
#[expect(dead_code, reason = "held for what happens when it is dropped")]
pub(crate) enum Reserved {
    #[default]
    Nothing,
    Address(service::Address),
    Names(crd::Names),
}

/// Fills in what only the server knows, and checks what only the server can.
pub(crate) fn prepare(writer: &Writer, new: &mut Value, old: Option<&Value>) -> ApiResult<Reserved> {
    match &*writer.served.resource.gr {
        "services" => Ok(service::prepare(writer, new, old)?.map_or(Reserved::Nothing, Reserved::Address)),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            Ok(crd::prepare(writer, new, old)?.map_or(Reserved::Nothing, Reserved::Names))
        }
        gr if gr.ends_with(".rbac.authorization.k8s.io") => rbac::prepare(writer, new, old).map(|()| Reserved::Nothing),
        _ => Ok(Reserved::Nothing),
    }
}

/// Subresources that have a kind or a meaning of their own.
pub(crate) async fn subresource(call: Call, served: &Served, body: ApiBody) -> ApiResult<Response<ApiBody>> {
    let body = content::read_body(body).await?;
    match (&*served.resource.gr, call.request.subresource.as_deref(), call.request.verb.as_str()) {
        ("serviceaccounts", Some("token"), "create") => token::create(&call, served, &body).await,
        ("namespaces", Some("finalize"), "update") => finalize::update(&call, served, &body).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// A resource that is answered at once and never stored; 404 for any other.
pub(crate) async fn review(call: Call, body: ApiBody) -> ApiResult<Response<ApiBody>> {
    let request = &call.request;
    let found = call.api.catalog.load().review(&request.group, &request.version, &request.resource);
    let Some(served) = found else { return Err(ApiError::no_such_path()) };
    check_scope(&call, &served)?;
    if request.verb != crate::request::Verb::Create || request.name.is_some() {
        return Err(ApiError::method_not_allowed());
    }
    review::answer(&call, &served, &content::read_body(body).await?).await
}
