//! What holds a namespace that is being deleted, as its conditions tell it.
//!
//! Types, reasons and messages are those of kube-controller-manager (`pkg/controller/namespace/deletion`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::catalog::Served;
use crate::error::ApiError;
use crate::storage::Stored;

/// What one round of emptying has left.
#[derive(Default)]
pub(super) struct Left {
    /// Instances by `plural.group`.
    resources: BTreeMap<String, usize>,
    /// Instances by finalizer.
    finalizers: BTreeMap<String, usize>,
    /// Why resources could not be deleted.
    failures: Vec<String>,
}

impl Left {
    pub(super) fn add(&mut self, served: &Served, items: &[Stored]) {
        if items.is_empty() {
            return;
        }
        let def = served.def();
        // With the dot even where the group is empty: so it is said there.
        self.resources.insert(format!("{}.{}", def.names.plural, def.group), items.len());
        for item in items {
            let object = served.object(&item.body);
            let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
            for finalizer in finalizers.filter_map(Value::as_str) {
                *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
    }

    pub(super) fn fail(&mut self, error: &ApiError) {
        self.failures.push(error.message.clone());
        self.failures.sort();
    }

    /// Nothing is left, and nothing failed.
    pub(super) fn is_nothing(&self) -> bool {
        self.resources.is_empty() && self.failures.is_empty()
    }

    /// The conditions of the namespace: those that it has of other types, and the five that say what holds it.
    pub(super) fn conditions(&self, namespace: &Value, now: &str) -> Vec<Value> {
        let counted = |counts: &BTreeMap<String, usize>, words: &str| {
            let each = counts.iter().map(|(what, count)| format!("{what} {words} {count} resource instances"));
            each.collect::<Vec<_>>().join(", ")
        };
        let failed = (!self.failures.is_empty()).then(|| {
            let (count, why) = (self.failures.len(), self.failures.join(", "));
            ("ContentDeletionFailed", format!("Failed to delete all resource types, {count} remaining: {why}"))
        });
        let content = (!self.resources.is_empty()).then(|| {
            let what = counted(&self.resources, "has");
            ("SomeResourcesRemain", format!("Some resources are remaining: {what}"))
        });
        let finalizers = (!self.finalizers.is_empty()).then(|| {
            let what = counted(&self.finalizers, "in");
            ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {what}"))
        });
        // The catalog is at hand and its versions are parsed: the first two cannot fail here.
        let said = [
            (
                "NamespaceDeletionDiscoveryFailure",
                None,
                ("ResourcesDiscovered", "All resources successfully discovered"),
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                None,
                ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            ),
            (
                "NamespaceDeletionContentFailure",
                failed,
                ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            ),
            ("NamespaceContentRemaining", content, ("ContentRemoved", "All content successfully removed")),
            (
                "NamespaceFinalizersRemaining",
                finalizers,
                ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            ),
        ];
        let before = || namespace["status"]["conditions"].as_array().into_iter().flatten();
        let mut conditions: Vec<Value> =
            before().filter(|c| !said.iter().any(|(ty, ..)| c["type"] == *ty)).cloned().collect();
        for (ty, holds, (fine, words)) in said {
            let status = if holds.is_some() { "True" } else { "False" };
            let (reason, message) = holds.unwrap_or_else(|| (fine, words.to_owned()));
            let same = before().find(|c| c["type"] == ty && c["status"] == status);
            let since = same.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(now);
            conditions.push(json!({
                "type": ty, "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
            }));
        }
        conditions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_kept_while_the_status_is() {
        let other = json!({"type": "Other", "status": "True"});
        let mut left = Left::default();
        left.fail(&ApiError::internal("b"));
        left.fail(&ApiError::internal("a"));
        let mut namespace = json!({"status": {"conditions": [other]}});
        namespace["status"]["conditions"] = left.conditions(&namespace, "then").into();
        assert_eq!(namespace["status"]["conditions"].as_array().map(Vec::len), Some(6));
        let failed = &namespace["status"]["conditions"][3];
        assert_eq!((&failed["status"], &failed["reason"]), (&json!("True"), &json!("ContentDeletionFailed")));
        let why = "Internal error occurred: a, Internal error occurred: b";
        assert_eq!(failed["message"], format!("Failed to delete all resource types, 2 remaining: {why}"));

        namespace["status"]["conditions"] = Left::default().conditions(&namespace, "now").into();
        let said: Vec<_> = namespace["status"]["conditions"].as_array().into_iter().flatten().collect();
        let times: Vec<_> = said[1..].iter().map(|c| c["lastTransitionTime"].as_str().unwrap_or_default()).collect();
        assert_eq!(times, ["then", "then", "now", "then", "then"], "{said:?}");
        assert_eq!(said[0], &other);
        assert!(said[1..].iter().all(|c| c["status"] == "False"), "{said:?}");
    }
}
