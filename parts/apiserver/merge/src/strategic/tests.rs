//! Patches of a pod-like object, by directive.

use proptest::prelude::*;
use purlin_apiserver_schema::{ListType, PatchStrategy, Strategic};
use serde_json::json;

use super::*;
use crate::fixtures::{any_json, integer, list_of, map_of, object, string};

fn strategic(mut schema: Schema, strategy: PatchStrategy, merge_key: Option<&str>) -> Schema {
    schema.strategic = Some(Box::new(Strategic { strategy, merge_key: merge_key.map(Into::into) }));
    schema
}

fn merged_by(item: Schema, key: &str) -> Schema {
    strategic(list_of(item, ListType::Atomic), PatchStrategy::Merge, Some(key))
}

fn env() -> Schema {
    object([("name", string()), ("value", string())])
}

fn schema() -> Schema {
    let container = object([("name", string()), ("image", string()), ("env", merged_by(env(), "name"))]);
    let port = object([("port", integer()), ("name", string()), ("targetPort", integer())]);
    object([
        ("ports", merged_by(port, "port")),
        ("containers", merged_by(container, "name")),
        ("finalizers", strategic(list_of(string(), ListType::Set), PatchStrategy::Merge, None)),
        ("args", list_of(string(), ListType::Atomic)),
        ("items", list_of(object([("a", string())]), ListType::Atomic)),
        ("labels", map_of(string())),
        (
            "strategy",
            strategic(object([("type", string()), ("rolling", map_of(string()))]), PatchStrategy::RetainKeys, None),
        ),
        ("whole", strategic(map_of(string()), PatchStrategy::Replace, None)),
        (
            "volumes",
            strategic(
                list_of(object([("name", string())]), ListType::Atomic),
                PatchStrategy::MergeRetainKeys,
                Some("name"),
            ),
        ),
    ])
}

#[track_caller]
fn check(obj: Value, patch: Value, expected: Value) {
    assert_eq!(apply_strategic(&obj, &patch, &schema()), Ok(expected), "{obj} + {patch}");
}

#[track_caller]
fn refused(obj: Value, patch: Value, expected: PatchError) {
    assert_eq!(apply_strategic(&obj, &patch, &schema()), Err(expected), "{obj} + {patch}");
}

fn unprocessable(message: &str) -> PatchError {
    PatchError::Unprocessable(message.to_owned())
}

fn malformed(message: &str) -> PatchError {
    PatchError::Malformed(message.to_owned())
}

#[test]
fn objects() {
    check(
        json!({"labels": {"a": "1", "b": "2"}}),
        json!({"labels": {"a": "3", "b": null, "c": null}}),
        json!({"labels": {"a": "3"}}),
    );
    check(json!({}), json!({"labels": {"a": null, "b": "1"}}), json!({"labels": {"b": "1"}}));
    check(json!({"labels": {"a": "1"}}), json!({"labels": null}), json!({}));
    check(
        json!({"labels": {"a": "1"}}),
        json!({"labels": {"$patch": "replace", "b": "2"}}),
        json!({"labels": {"b": "2"}}),
    );
    check(json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}}));
    check(json!({"a": 1}), json!({"labels": {"$patch": "delete"}}), json!({"a": 1}));
    check(json!({"whole": {"a": "1"}}), json!({"whole": {"b": "2"}}), json!({"whole": {"b": "2"}}));
    check(json!({"labels": "x"}), json!({"labels": {"a": "1"}}), json!({"labels": {"a": "1"}}));
    check(
        json!({"unknown": {"a": 1, "l": [1]}}),
        json!({"unknown": {"b": 2, "l": [2]}}),
        json!({"unknown": {"a": 1, "b": 2, "l": [2]}}),
    );
    refused(
        json!({"labels": {}}),
        json!({"labels": {"$patch": "merge"}}),
        unprocessable("unknown patch type: \"merge\""),
    );
    refused(json!({}), json!([]), malformed("error decoding patch: expected an object"));
}

#[test]
fn lists_that_are_replaced() {
    check(json!({"args": ["a", "b"]}), json!({"args": ["c"]}), json!({"args": ["c"]}));
    check(json!({"items": [{"a": "1"}]}), json!({"items": [{"a": "2"}]}), json!({"items": [{"a": "2"}]}));
}

#[test]
fn lists_merged_by_key() {
    // The flow of the kubectl acceptance script: a patch adds a port.
    check(
        json!({"ports": [{"name": "80-8080", "port": 80, "targetPort": 8080}]}),
        json!({"ports": [{"port": 81, "name": "b", "targetPort": 81}]}),
        json!({"ports": [{"port": 81, "name": "b", "targetPort": 81}, {"name": "80-8080", "port": 80, "targetPort": 8080}]}),
    );
    check(
        json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "$patch": "delete"}], "image": null}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "b"}]}),
    );
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"$patch": "replace"}, {"name": "c", "image": null}]}),
        json!({"containers": [{"name": "c"}]}),
    );
    check(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"$patch": "replace"}]}),
        json!({"containers": []}),
    );
    check(json!({"containers": []}), json!({"containers": []}), json!({"containers": []}));
    check(
        json!({}),
        json!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "image": null}]}),
        json!({"containers": [{"name": "b"}]}),
    );
    refused(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"image": "x"}]}),
        unprocessable("map: {\"image\":\"x\"} does not contain declared merge key: name"),
    );
    refused(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"$patch": "delete"}]}),
        unprocessable("map: {\"$patch\":\"delete\"} does not contain declared merge key: name"),
    );
    refused(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"$patch": "merge"}]}),
        unprocessable("merging lists cannot yet be specified in the patch"),
    );
    refused(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": ["x"]}),
        unprocessable("list element types are not identical"),
    );
    refused(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [[]]}),
        unprocessable("lists of lists are not supported"),
    );
}

#[test]
fn lists_of_scalars() {
    check(json!({"finalizers": ["a", "b"]}), json!({"finalizers": ["c", "a"]}), json!({"finalizers": ["c", "a", "b"]}));
    check(json!({"finalizers": ["a", "b", "a"]}), json!({"finalizers": ["c"]}), json!({"finalizers": ["c", "a", "b"]}));
    check(
        json!({"finalizers": ["a", "b"]}),
        json!({"$deleteFromPrimitiveList/finalizers": ["a", "x"], "finalizers": ["c"]}),
        json!({"finalizers": ["c", "b"]}),
    );
    check(json!({}), json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!({}));
    refused(json!({}), json!({"$deleteFromPrimitiveList": ["a"]}), malformed("invalid patch format of primitive list"));
    refused(
        json!({}),
        json!({"$deleteFromPrimitiveList/finalizers": "a"}),
        malformed("invalid patch format of primitive list"),
    );
}

#[test]
fn order_of_elements() {
    let names = |text: &str| -> Value { text.chars().map(|c| json!({"name": c.to_string()})).collect() };
    let check = |live: &str, patch: Option<&str>, order: &str, expected: &str| {
        let mut body = json!({"$setElementOrder/containers": names(order)});
        if let Some(patch) = patch {
            body["containers"] = names(patch);
        }
        check(json!({"containers": names(live)}), body, json!({"containers": names(expected)}));
    };
    check("abc", None, "cba", "cba");
    check("abc", None, "ca", "bca");
    check("abc", Some("d"), "abcd", "abcd");
    check("abc", Some("d"), "dabc", "dabc");
    check("abx", Some("d"), "dab", "dabx");
    check("xab", Some("d"), "adb", "xadb");
    check("", Some("ab"), "ab", "ab");
    check("", None, "ab", "");
    // What is added where something was deleted comes after what only the object has.
    super::tests::check(
        json!({"containers": names("bc")}),
        json!({"$setElementOrder/containers": names("d"), "containers": [{"name": "c", "$patch": "delete"}, {"name": "d"}]}),
        json!({"containers": names("bd")}),
    );
    super::tests::check(
        json!({"finalizers": ["a", "b"]}),
        json!({"$setElementOrder/finalizers": ["c", "b", "a"], "finalizers": ["c"]}),
        json!({"finalizers": ["c", "b", "a"]}),
    );
    super::tests::check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
    super::tests::check(
        json!({}),
        json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a"}]}),
        json!({"containers": [{"name": "a"}]}),
    );
    let message = "The order in patch list doesn't match $setElementOrder list";
    refused(
        json!({"containers": [{"name": "a"}]}),
        json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}),
        unprocessable(message),
    );
    refused(
        json!({}),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a"}, {"name": "b"}]}),
        unprocessable(message),
    );
    refused(
        json!({}),
        json!({"$setElementOrder/containers": 1}),
        malformed("invalid patch format of setElementOrder list"),
    );
    refused(json!({}), json!({"$setElementOrder": []}), malformed("invalid patch format of setElementOrder list"));
}

#[test]
fn retained_keys() {
    check(
        json!({"strategy": {"type": "RollingUpdate", "rolling": {"a": "1"}}}),
        json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    check(
        json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w"}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w"}]}),
    );
    check(
        json!({}),
        json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        json!({"strategy": {"type": "Recreate"}}),
    );
    refused(
        json!({"strategy": {}}),
        json!({"strategy": {"$retainKeys": ["type"], "rolling": {}}}),
        malformed("invalid patch format of retainKeys"),
    );
    refused(
        json!({"strategy": {}}),
        json!({"strategy": {"$retainKeys": "type"}}),
        malformed("invalid patch format of retainKeys"),
    );
}

/// Patches with what apimachinery's strategicpatch (v0.36.3) makes of them, recorded from random ones.
#[test]
fn as_recorded_from_upstream() {
    let container = object([("name", string()), ("image", string()), ("env", merged_by(env(), "name"))]);
    let volume = object([("name", string()), ("x", map_of(string())), ("y", map_of(string()))]);
    let volumes = list_of(volume, ListType::Atomic);
    let schema = object([
        ("containers", merged_by(container, "name")),
        ("finalizers", strategic(list_of(string(), ListType::Set), PatchStrategy::Merge, None)),
        ("args", list_of(string(), ListType::Atomic)),
        ("items", list_of(object([("a", string())]), ListType::Atomic)),
        ("labels", map_of(string())),
        ("strategy", strategic(object([("rolling", map_of(string()))]), PatchStrategy::RetainKeys, None)),
        ("whole", strategic(map_of(string()), PatchStrategy::Replace, None)),
        ("volumes", strategic(volumes, PatchStrategy::MergeRetainKeys, Some("name"))),
    ]);
    for line in include_str!("upstream.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let got = apply_strategic(&case["obj"], &case["patch"], &schema).unwrap();
        // Upstream leaves nulls and directives in what it adds to lists: its decoder drops them.
        let want = without_directives(case["want"].clone()).unwrap();
        assert_eq!(without_directives(got).unwrap(), want, "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn never_panics(obj in any_json(), patch in any_json(), key in "[abc]", directive in prop_oneof![Just("$patch"), Just("$retainKeys"), Just("$setElementOrder/a"), Just("$deleteFromPrimitiveList/b")], value in any_json()) {
        let item = object([("a", integer()), ("b", string())]);
        let schema = object([("a", merged_by(item, "a")), ("b", strategic(list_of(integer(), ListType::Set), PatchStrategy::Merge, None)), ("c", map_of(string()))]);
        let mut patch = patch;
        if let Value::Object(fields) = &mut patch {
            fields.insert(directive.to_owned(), value.clone());
            if let Some(Value::Object(below)) = fields.get_mut(&key) {
                below.insert(directive.to_owned(), value);
            }
        }
        let _ = apply_strategic(&obj, &patch, &schema);
    }
}
