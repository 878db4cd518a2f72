//! Lease: who holds it and for how long.

use purlin_apiserver_schema::{FieldError, Strategy, qualified_name};
use serde_json::Value;

use crate::value::{drop_nulls, forbidden, int, invalid_if, text, unsupported};

pub(crate) fn strategy() -> Strategy {
    Strategy { default: drop_nulls, validate, ..Strategy::default() }
}

fn validate(lease: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(seconds) = int(lease, "spec.leaseDurationSeconds").filter(|s| *s <= 0) {
        errors.push(FieldError::invalid("spec.leaseDurationSeconds", seconds.into(), "must be greater than 0"));
    }
    if let Some(count) = int(lease, "spec.leaseTransitions").filter(|c| *c < 0) {
        let what = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("spec.leaseTransitions", count.into(), what));
    }
    let strategy = text(lease, "spec.strategy");
    if strategy.contains('/') {
        invalid_if(&mut errors, "spec.strategy.strategy", strategy, qualified_name(strategy));
    } else if !strategy.is_empty() && strategy != "OldestEmulationVersion" {
        errors.push(unsupported("spec.strategy.strategy", strategy, &["OldestEmulationVersion"]));
    }
    if strategy.is_empty() && !text(lease, "spec.preferredHolder").is_empty() {
        errors.push(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::create;

    #[test]
    fn leases() {
        let check = |spec, expected: &str| assert_eq!(create(&strategy(), json!({ "spec": spec })), expected);
        check(json!({}), "");
        check(json!({"leaseDurationSeconds": 15, "leaseTransitions": 0, "holderIdentity": "a"}), "");
        check(
            json!({"leaseDurationSeconds": 0, "leaseTransitions": -1}),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0\n\
             spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        );
        check(
            json!({"preferredHolder": "a"}),
            "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
        );
        check(
            json!({"strategy": "Newest"}),
            "spec.strategy.strategy: Unsupported value: \"Newest\": supported values: \"OldestEmulationVersion\"",
        );
    }
}
