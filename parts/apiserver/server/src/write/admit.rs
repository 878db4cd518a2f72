//! Whether an object may be stored: metadata, schema, CEL rules, the kind's own code; all errors at once.

use purlin_apiserver_schema::{
    Scope, evaluate_rules, validate as validate_schema, validate_metadata, validate_metadata_update,
};
use serde_json::Value;

use super::writer::{Writer, metadata};
use crate::error::{ApiError, ApiResult};

impl Writer {
    /// 422 with every error found; `old` is what the object replaces.
    pub(super) fn validate(&self, new: &Value, old: Option<&Value>) -> ApiResult<()> {
        let (def, version) = (self.served.def(), self.served.version());
        let namespaced = def.scope == Scope::Namespaced;
        let mut errors = validate_metadata(&new["metadata"], namespaced, def.strategy.name);
        if let Some(old) = old {
            errors.extend(validate_metadata_update(&new["metadata"], &old["metadata"]));
        }
        errors.extend(validate_schema(new, &version.schema, old));
        if errors.is_empty() {
            // Rules rest on the types that the schema promises.
            errors.extend(evaluate_rules(self.served.resource.program(self.served.index), new, old));
        }
        if errors.is_empty() {
            errors.extend((def.strategy.validate)(new, old));
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(def, metadata(new, "name").unwrap_or_default(), &errors))
    }
}
