//! Which objects of a collection a request means: namespace, name, labels, fields.

use purlin_apiserver_schema::{FieldSelector, LabelSelector, ResourceDef};
use serde_json::Value;

use crate::api::Call;
use crate::catalog::Served;
use crate::error::{ApiError, ApiResult};
use crate::storage::Key;

/// The conditions of a request; all must hold.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// None for all namespaces.
    pub(crate) namespace: Option<String>,
    name: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads the selectors of a request; 400 for one that is malformed or names a field that cannot be selected.
    pub(crate) fn of(call: &Call, served: &Served) -> ApiResult<Selection> {
        let options = &call.options;
        let refused = |what: &str, error: String| ApiError::bad_request(format!("unable to parse the {what}: {error}"));
        let labels =
            LabelSelector::parse(&options.label_selector).map_err(|e| refused("label selector", e.to_string()))?;
        let fields =
            FieldSelector::parse(&options.field_selector).map_err(|e| refused("field selector", e.to_string()))?;
        let selectable = &served.version().selectable;
        for field in fields.fields() {
            let known =
                matches!(field, "metadata.name" | "metadata.namespace") || selectable.iter().any(|s| s == field);
            if !known {
                return Err(ApiError::bad_request(format!("field label not supported: {field}")));
            }
        }
        let namespaced = served.def().scope == purlin_apiserver_schema::Scope::Namespaced;
        let namespace = call.request.namespace.clone().filter(|_| namespaced);
        Ok(Selection { namespace, name: call.request.name.clone(), labels, fields })
    }

    /// Everything in a namespace, or everywhere.
    pub(crate) fn all(namespace: Option<String>) -> Selection {
        Selection { namespace, name: None, labels: LabelSelector::default(), fields: FieldSelector::default() }
    }

    /// Whether only namespace decides.
    pub(crate) fn is_whole(&self) -> bool {
        self.name.is_none() && self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object belongs; `object` is only asked for where labels or fields decide.
    pub(crate) fn matches<'a>(&self, def: &ResourceDef, key: &Key, object: impl FnOnce() -> &'a Value) -> bool {
        if self.namespace.as_deref().is_some_and(|ns| ns != &*key.ns) {
            return false;
        }
        if self.name.as_deref().is_some_and(|name| name != &*key.name) {
            return false;
        }
        if self.labels.is_empty() && self.fields.is_empty() {
            return true;
        }
        let object = object();
        self.labels.matches(object["metadata"].get("labels")) && self.fields.matches(object, def.strategy.select)
    }
}
