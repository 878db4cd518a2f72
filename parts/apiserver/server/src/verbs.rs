//! From an allowed request for a resource to the code of its verb.

use http::Response;
use purlin_resource::ApiBody;

use crate::api::Call;
use crate::catalog::Served;
use crate::error::{ApiError, ApiResult};
use crate::request::Verb;
use crate::{content, delete, read, special, watch, write};

/// What a path names: an object or collection, or one of its subresources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The object itself.
    Main,
    /// `/status`.
    Status,
    /// `/scale`.
    Scale,
}

pub(crate) async fn answer(call: Call, body: ApiBody) -> ApiResult<Response<ApiBody>> {
    let request = &call.request;
    let catalog = call.api.catalog.load();
    let found = catalog.find(&request.group, &request.version, &request.resource);
    drop(catalog);
    let Some(served) = found else {
        return special::review(call, body).await;
    };
    check_scope(&call, &served)?;
    let part = match request.subresource.as_deref() {
        None => Part::Main,
        Some("status") if served.version().status => Part::Status,
        Some("scale") if served.version().scale.is_some() => Part::Scale,
        Some(name) if served.version().subresources.iter().any(|s| s.name == name) => {
            return special::subresource(call, &served, body).await;
        }
        Some(_) => return Err(ApiError::no_such_path()),
    };
    if part == Part::Main && !served.def().verbs.contains(&request.verb.as_str()) {
        return Err(ApiError::method_not_allowed());
    }
    match (request.verb, part) {
        (Verb::Get, _) => read::get(&call, &served, part).await,
        (Verb::List, Part::Main) => read::list(&call, &served).await,
        (Verb::Watch, Part::Main) => watch::watch(&call, &served).await,
        (Verb::Create, Part::Main) if request.name.is_none() => {
            write::create(&call, &served, &content::read_body(body).await?).await
        }
        (Verb::Update, _) => write::update(&call, &served, part, &content::read_body(body).await?).await,
        (Verb::Patch, _) => write::patch(&call, &served, part, &content::read_body(body).await?).await,
        (Verb::Delete, Part::Main) => delete::one(&call, &served, &content::read_body(body).await?).await,
        (Verb::DeleteCollection, Part::Main) => {
            delete::collection(&call, &served, &content::read_body(body).await?).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// A namespaced resource is written in a namespace; a cluster-scoped one never has one in its path.
pub(crate) fn check_scope(call: &Call, served: &Served) -> ApiResult<()> {
    let namespaced = served.def().scope == purlin_apiserver_schema::Scope::Namespaced;
    let request = &call.request;
    let is_namespace = &*served.resource.gr == "namespaces";
    let in_namespace = request.namespace.is_some() && !is_namespace;
    let whole = matches!(request.verb, Verb::List | Verb::Watch) && request.name.is_none();
    if namespaced != in_namespace && !(namespaced && whole) {
        return Err(ApiError::no_such_path());
    }
    Ok(())
}
