//! Whether an object may be stored: metadata, schema, CEL rules, the kind's own code; all errors at once.

use purlin_apiserver_schema::{Scope, validate_metadata, validate_metadata_update, validate_with_rules};
use serde_json::Value;

use super::identity::metadata;
use super::writer::Writer;
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
        let program = self.served.resource.program(self.served.index)?;
        errors.extend(validate_with_rules(new, &version.schema, program, old));
        if errors.is_empty() {
            errors.extend((def.strategy.validate)(new, old));
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(def, metadata(new, "name").unwrap_or_default(), &errors))
    }
}
