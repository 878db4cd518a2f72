//! Event, of the core group as it is stored and of events.k8s.io as the same objects under other names.
//!
//! | core            | events.k8s.io            |
//! |-----------------|--------------------------|
//! | involvedObject  | regarding                |
//! | message         | note                     |
//! | reportingComponent | reportingController   |
//! | source, firstTimestamp, lastTimestamp, count | deprecatedSource, deprecatedFirstTimestamp, ... |

use purlin_apiserver_schema::{Alias, FieldError, Strategy, dns1123_subdomain, qualified_name};
use serde_json::Value;

use crate::value::{at, drop_nulls, immutable, int, invalid_if, text};

/// Field names, in the core group and in events.k8s.io.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

const WORD_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

pub(crate) fn core() -> Strategy {
    Strategy { default: drop_nulls, validate: |event, _| check_common(event, &CORE), select, ..Strategy::default() }
}

pub(crate) fn events() -> Strategy {
    let alias = Alias { resource: "events", to_stored, from_stored };
    Strategy { default: drop_nulls, validate: validate_events, alias: Some(alias), ..Strategy::default() }
}

/// From events.k8s.io to the core group.
pub(crate) fn to_stored(event: &mut Value) {
    rename(event, "v1", |(core, events)| (events, core));
}

fn from_stored(event: &mut Value) {
    rename(event, "events.k8s.io/v1", |(core, events)| (core, events));
}

fn rename(
    event: &mut Value,
    api_version: &str,
    names: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let Some(map) = event.as_object_mut() else { return };
    let old = std::mem::take(map);
    for (key, value) in old {
        let name = RENAMED.iter().map(|pair| names(*pair)).find(|(from, _)| *from == key).map(|(_, to)| to);
        map.insert(name.map_or(key, str::to_owned), value);
    }
    map.insert("apiVersion".to_owned(), api_version.into());
}

/// `source` of a field selector is the component, or the controller of an event of the new kind.
fn select(event: &Value, field: &str) -> Option<String> {
    (field == "source").then(|| match text(event, "source.component") {
        "" => text(event, "reportingComponent").to_owned(),
        component => component.to_owned(),
    })
}

/// What the fields are called.
struct Shape {
    object: &'static str,
    controller: &'static str,
    note: &'static str,
}

const CORE: Shape = Shape { object: "involvedObject", controller: "reportingComponent", note: "message" };
const EVENTS: Shape = Shape { object: "regarding", controller: "reportingController", note: "note" };

/// What holds in both groups. An event without `eventTime` is of the old kind, of which little is asked.
fn check_common(event: &Value, shape: &Shape) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let namespace = text(event, "metadata.namespace");
    let about = text(event, &format!("{}.namespace", shape.object));
    let old_kind = at(event, "eventTime").is_none();
    let agrees = match (about, old_kind) {
        ("", true) => matches!(namespace, "" | "default"),
        ("", false) => matches!(namespace, "default" | "kube-system"),
        (_, true) => about == namespace,
        (_, false) => true,
    };
    if !agrees {
        // The path is that of the stored object in both groups, as kube-apiserver has it.
        errors.push(FieldError::invalid("involvedObject.namespace", about.into(), "does not match event.namespace"));
    }
    if !old_kind {
        let controller = text(event, shape.controller);
        if controller.is_empty() {
            errors.push(FieldError::required(shape.controller, ""));
        }
        invalid_if(&mut errors, shape.controller, controller, qualified_name(controller));
        for field in ["reportingInstance", "action", "reason"] {
            let value = text(event, field);
            if value.is_empty() {
                errors.push(FieldError::required(field, ""));
            }
            at_most(&mut errors, field, value, WORD_MAX);
        }
        at_most(&mut errors, "message", text(event, shape.note), NOTE_MAX);
    }
    invalid_if(&mut errors, "namespace", namespace, dns1123_subdomain(namespace));
    errors
}

fn at_most(errors: &mut Vec<FieldError>, field: &str, value: &str, max: usize) {
    if value.len() > max {
        errors.push(FieldError::invalid(field, "".into(), format!("can have at most {max} characters")));
    }
}

/// events.k8s.io asks for more, and lets only the series change.
fn validate_events(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = check_common(new, &EVENTS);
    let Some(old) = old else {
        check_series(&mut errors, new);
        if at(new, "eventTime").is_none() {
            errors.push(FieldError::required("eventTime", ""));
        }
        let ty = text(new, "type");
        if !matches!(ty, "Normal" | "Warning") {
            errors.push(FieldError::invalid("type", "".into(), format!("has invalid value: {ty}")));
        }
        for (core, events) in &RENAMED[3..] {
            if at(new, events).is_some_and(|v| *v != 0 && *v != serde_json::json!({})) {
                errors.push(FieldError::invalid(*core, "".into(), "needs to be unset"));
            }
        }
        return errors;
    };
    if at(new, "series") != at(old, "series") {
        check_series(&mut errors, new);
    }
    let fixed = ["eventTime", "reason", "type", "action", "related", "reportingInstance"];
    for field in fixed.into_iter().chain(RENAMED.iter().map(|(_, events)| *events)) {
        immutable(&mut errors, new, old, field);
    }
    errors
}

fn check_series(errors: &mut Vec<FieldError>, event: &Value) {
    if at(event, "series").is_none() {
        return;
    }
    if int(event, "series.count").unwrap_or(0) < 2 {
        errors.push(FieldError::invalid("series.count", "".into(), "should be at least 2"));
    }
    if at(event, "series.lastObservedTime").is_none() {
        errors.push(FieldError::required("series.lastObservedTime", ""));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{create, update};

    fn modern() -> Value {
        json!({
            "metadata": {"namespace": "a"}, "regarding": {"namespace": "a"}, "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "purlin.dev/x", "reportingInstance": "x-1", "action": "Go", "reason": "Why",
            "type": "Normal", "note": "text"
        })
    }

    #[test]
    fn core_events() {
        let check = |event, expected: &str| assert_eq!(create(&core(), event), expected);
        check(json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"}, "eventTime": null}), "");
        check(json!({"metadata": {"namespace": "default"}, "involvedObject": {"kind": "Node"}}), "");
        check(
            json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}}),
            "involvedObject.namespace: Invalid value: \"b\": does not match event.namespace",
        );
        check(
            json!({"metadata": {"namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z",
                "reportingComponent": "x", "reason": "y", "action": "z".repeat(129), "message": "m".repeat(1025)}),
            "reportingInstance: Required value\n\
             action: Invalid value: \"\": can have at most 128 characters\n\
             message: Invalid value: \"\": can have at most 1024 characters",
        );
    }

    #[test]
    fn modern_events() {
        assert_eq!(create(&events(), modern()), "");
        let with = |field: &str, value: Value| {
            let mut event = modern();
            event[field] = value;
            event
        };
        let check = |event, expected: &str| assert_eq!(create(&events(), event), expected);
        check(with("type", "Odd".into()), "type: Invalid value: \"\": has invalid value: Odd");
        check(with("deprecatedCount", 3.into()), "count: Invalid value: \"\": needs to be unset");
        check(
            with("series", json!({"count": 1})),
            "series.count: Invalid value: \"\": should be at least 2\nseries.lastObservedTime: Required value",
        );
        check(
            with("reportingController", "/x".into()),
            "reportingController: Invalid value: \"/x\": prefix part must be non-empty",
        );
        check(with("reason", "".into()), "reason: Required value");
        let series = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"});
        assert_eq!(update(&events(), modern(), with("series", series)), "");
        assert_eq!(
            update(&events(), modern(), with("note", "other".into())),
            "note: Invalid value: \"other\": field is immutable"
        );
    }

    #[test]
    fn one_object_two_shapes() {
        let mut event = modern();
        event["apiVersion"] = "events.k8s.io/v1".into();
        let original = event.clone();
        to_stored(&mut event);
        assert_eq!(event["apiVersion"], "v1");
        assert_eq!(event["involvedObject"], json!({"namespace": "a"}));
        assert_eq!(event["message"], "text");
        assert_eq!(select(&event, "source").as_deref(), Some("purlin.dev/x"));
        assert_eq!(select(&event, "reason"), None);
        from_stored(&mut event);
        assert_eq!(event, original);
    }
}
