//! What a request is refused with: a Kubernetes `Status` with code, reason, message and details.
//!
//! The constructors are named after `k8s.io/apimachinery/pkg/api/errors`, and say what those say: clients match on
//! reasons, and people on the words.

use http::StatusCode;
use purlin_apiserver_schema::{FieldError, ResourceDef};
use purlin_store::StoreError;
use serde_json::{Map, Value, json};

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    /// The HTTP status code.
    pub(crate) code: StatusCode,
    /// `Status.reason`.
    pub(crate) reason: &'static str,
    /// `Status.message`.
    pub(crate) message: String,
    /// `Status.details`; empty is left out.
    pub(crate) details: Box<Map<String, Value>>,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
    /// `Status.metadata.continue`: where an expired list can go on.
    pub(crate) resume: Option<String>,
}

/// What handlers return.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        ApiError { code, reason, message: message.into(), details: Box::default(), retry_after: None, resume: None }
    }

    fn named(mut self, def: &ResourceDef, name: &str) -> Self {
        self.detail("name", name);
        self.detail("group", &def.group);
        self.detail("kind", &def.names.plural);
        self
    }

    fn detail(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.details.insert(key.to_owned(), value.into());
        }
    }

    fn causes(mut self, causes: Vec<Value>) -> Self {
        self.details.insert("causes".to_owned(), causes.into());
        self
    }

    /// 404: no object of this name.
    pub(crate) fn not_found(def: &ResourceDef, name: &str) -> Self {
        let message = format!("{} {name:?} not found", def.key());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).named(def, name)
    }

    /// 404: no such path.
    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 409: the name is taken.
    pub(crate) fn already_exists(def: &ResourceDef, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", def.key());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).named(def, name)
    }

    /// 409: somebody else was faster, or a precondition does not hold.
    pub(crate) fn conflict(def: &ResourceDef, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", def.key());
        Self::new(StatusCode::CONFLICT, "Conflict", message).named(def, name)
    }

    /// 409: the resourceVersion is not the stored one.
    pub(crate) fn modified(def: &ResourceDef, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(def, name, why)
    }

    /// 409: server-side apply met fields that others own; each cause is (field, message).
    pub(crate) fn apply_conflict(message: String, causes: Vec<(String, String)>) -> Self {
        let causes = causes
            .into_iter()
            .map(|(field, message)| json!({"reason": "FieldManagerConflict", "message": message, "field": field}));
        Self::new(StatusCode::CONFLICT, "Conflict", message).causes(causes.collect())
    }

    /// 422: the object breaks rules of its kind.
    pub(crate) fn invalid(def: &ResourceDef, name: &str, errors: &[FieldError]) -> Self {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = if let [one] = list.as_slice() { one.clone() } else { format!("[{}]", list.join(", ")) };
        let kind =
            if def.group.is_empty() { def.names.kind.clone() } else { format!("{}.{}", def.names.kind, def.group) };
        let mut error =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{kind} {name:?} is invalid: {list}"));
        error.detail("name", name);
        error.detail("group", &def.group);
        error.detail("kind", &def.names.kind);
        error.causes(causes(errors))
    }

    /// 422: query parameters that do not hold together; `kind` is that of the options, as `PatchOptions`.
    pub(crate) fn invalid_options(kind: &str, errors: &[FieldError]) -> Self {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = if let [one] = list.as_slice() { one.clone() } else { format!("[{}]", list.join(", ")) };
        let message = format!("{kind}.meta.k8s.io \"\" is invalid: {list}");
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        error.detail("group", "meta.k8s.io");
        error.detail("kind", kind);
        error.causes(causes(errors))
    }

    /// 422 without a field: a patch that does not fit the object.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403 on a resource; `why` begins with `User "..." cannot ...`.
    pub(crate) fn forbidden(resource: &str, group: &str, name: &str, why: &str) -> Self {
        let target = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let target = if name.is_empty() { target } else { format!("{target} {name:?}") };
        let mut error = Self::new(StatusCode::FORBIDDEN, "Forbidden", format!("{target} is forbidden: {why}"));
        error.detail("name", name);
        error.detail("group", group);
        error.detail("kind", resource);
        error
    }

    /// 403 on a path that is no resource.
    pub(crate) fn forbidden_path(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", format!("forbidden: {why}"))
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 406; `accepted` lists what would be answered.
    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 415; `accepted` lists what would be read.
    pub(crate) fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 410: the revision is no longer known.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 413.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 429: as many requests are in flight as are taken.
    pub(crate) fn too_many_requests() -> Self {
        let message = "too many requests, please try again later";
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        error.retry_after = Some(1);
        error.details.insert("retryAfterSeconds".to_owned(), 1.into());
        error
    }

    /// 504: a revision that is not committed yet.
    pub(crate) fn future_revision(asked: i64, current: i64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        error.retry_after = Some(1);
        error.details.insert("retryAfterSeconds".to_owned(), 1.into());
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        error.causes(vec![cause])
    }

    /// 504: the request took too long.
    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", "the request did not complete within its time limit")
    }

    /// 500; the details go to the log.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        tracing::error!(error = message, "a request failed inside the API server");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("Internal error occurred: {message}"))
    }

    /// 503: try again.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
        error.retry_after = Some(1);
        error
    }

    /// Adds a cause that names why, as namespaces in termination do.
    pub(crate) fn with_cause(self, reason: &str, message: &str, field: &str) -> Self {
        self.causes(vec![json!({"reason": reason, "message": message, "field": field})])
    }

    /// The `Status` object (meta/v1).
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if let Some(resume) = &self.resume {
            status["metadata"]["continue"] = resume.clone().into();
        }
        if !self.details.is_empty() {
            status["details"] = Map::clone(&self.details).into();
        }
        status["code"] = self.code.as_u16().into();
        status
    }
}

fn causes(errors: &[FieldError]) -> Vec<Value> {
    errors.iter().map(|e| json!({"reason": e.cause.reason(), "message": e.message(), "field": e.path})).collect()
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::unavailable("the API server is shutting down"),
            StoreError::Full => {
                let mut error = Self::internal(error.to_string());
                error.code = StatusCode::INSUFFICIENT_STORAGE;
                error
            }
            StoreError::TimedOut => Self::timeout(),
            other => Self::internal(other.to_string()),
        }
    }
}
