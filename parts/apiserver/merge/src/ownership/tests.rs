//! Flows of applies and updates on a widget, each step with the owners that it leaves.

use serde_json::json;

use super::*;
use crate::error::{conflict_causes, conflict_message};
use crate::fixtures::{any_json, any_schema, widget};

const V1: &str = "bar.example.com/v1";

/// An object that is written to step by step; each step is a second later.
struct Flow {
    schema: Schema,
    live: Option<Value>,
    step: u32,
    subresource: Option<&'static str>,
}

impl Flow {
    fn new() -> Flow {
        Flow { schema: widget(), live: None, step: 0, subresource: None }
    }

    fn now(&mut self) -> String {
        self.step += 1;
        format!("2026-01-01T00:00:{:02}Z", self.step)
    }

    fn try_apply(&mut self, manager: &str, force: bool, body: Value) -> Result<&mut Flow, ApplyError> {
        let mut applied = json!({"apiVersion": V1, "kind": "Widget", "metadata": {"name": "a", "namespace": "t"}});
        applied = crate::apply_merge_patch(&applied, &body);
        let now = self.now();
        let tracked = if self.subresource.is_some() { Tracked::Only("status") } else { Tracked::All };
        let opts = ApplyOptions { manager, force, api_version: V1, subresource: self.subresource, now: &now, tracked };
        let merged = apply(self.live.as_ref(), &applied, &self.schema, &opts)?;
        self.live = Some(merged);
        Ok(self)
    }

    #[track_caller]
    fn apply(&mut self, manager: &str, body: Value) -> &mut Flow {
        self.try_apply(manager, false, body).unwrap()
    }

    #[track_caller]
    fn force(&mut self, manager: &str, body: Value) -> &mut Flow {
        self.try_apply(manager, true, body).unwrap()
    }

    #[track_caller]
    fn conflicts(&mut self, manager: &str, body: Value, message: &str) -> &mut Flow {
        match self.try_apply(manager, false, body) {
            Err(ApplyError::Conflicts(conflicts)) => assert_eq!(conflict_message(&conflicts), message),
            other => panic!("{:?}", other.map(|flow| flow.live.clone())),
        }
        self
    }

    /// Updates with a merge patch.
    fn update(&mut self, manager: &str, patch: Value) -> &mut Flow {
        let base = json!({"apiVersion": V1, "kind": "Widget", "metadata": {"name": "a", "namespace": "t"}});
        let mut new = crate::apply_merge_patch(self.live.as_ref().unwrap_or(&base), &patch);
        let now = self.now();
        let tracked = if self.subresource.is_some() { Tracked::Only("status") } else { Tracked::All };
        let opts = UpdateOptions { manager, api_version: V1, subresource: self.subresource, now: &now, tracked };
        update(self.live.as_ref(), &mut new, &self.schema, &opts);
        self.live = Some(new);
        self
    }

    #[track_caller]
    fn at(&mut self, pointer: &str, expected: Value) -> &mut Flow {
        let live = self.live.as_ref().unwrap();
        assert_eq!(live.pointer(pointer).unwrap_or(&Value::Null), &expected, "{live:#}");
        self
    }

    /// Each owner as `manager Operation second: paths`, in the order of managedFields.
    #[track_caller]
    fn owners(&mut self, expected: &[&str]) -> &mut Flow {
        let live = self.live.as_ref().unwrap();
        let list = live.pointer("/metadata/managedFields").cloned().unwrap_or_else(|| json!([]));
        let shown: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
                let second = text("time").get(17..19).unwrap_or("--").to_owned();
                let paths = FieldSet::from_json(&entry["fieldsV1"]).unwrap().to_string().replace('\n', " ");
                let subresource = entry["subresource"].as_str().map(|s| format!("/{s}")).unwrap_or_default();
                format!("{}{subresource} {} {second}: {paths}", text("manager"), text("operation"))
            })
            .collect();
        assert_eq!(shown, expected);
        self
    }
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

#[test]
fn create_by_apply() {
    Flow::new()
        .apply("m", json!({"metadata": {"labels": {"x": "y"}}, "spec": {"size": 1}}))
        .owners(&["m Apply 01: .metadata.labels.x .spec.size"])
        .at("/metadata/name", json!("a"))
        .at("/spec/size", json!(1));
}

#[test]
fn create_by_update() {
    Flow::new()
        .update(
            "kubectl-create",
            json!({"metadata": {"uid": "1", "labels": {"x": "y"}}, "spec": {"size": 1, "args": ["a"]}}),
        )
        .owners(&["kubectl-create Update 01: .metadata.labels .metadata.labels.x .spec .spec.args .spec.size"]);
}

#[test]
fn encoded_as_upstream() {
    let mut flow = Flow::new();
    flow.update("kubectl-client-side-apply", spec(json!({"size": 1, "ports": [{"name": "pa", "port": 1}]})));
    let list = flow.live.as_ref().unwrap().pointer("/metadata/managedFields").unwrap();
    assert_eq!(
        list.to_string(),
        concat!(
            r#"[{"manager":"kubectl-client-side-apply","operation":"Update","apiVersion":"bar.example.com/v1","time":"2026-01-01T00:00:01Z","#,
            r#""fieldsType":"FieldsV1","fieldsV1":{"f:spec":{".":{},"f:ports":{".":{},"k:{\"name\":\"pa\"}":{".":{},"f:name":{},"f:port":{}}},"f:size":{}}}}]"#
        )
    );
}

#[test]
fn conflicts_and_force() {
    let mut flow = Flow::new();
    flow.update("kubectl-client-side-apply", spec(json!({"size": 2, "color": "red"})));
    flow.conflicts("m1", spec(json!({"size": 3})), "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using bar.example.com/v1: .spec.size");
    flow.at("/spec/size", json!(2));
    flow.force("m1", spec(json!({"size": 3})))
        .at("/spec/size", json!(3))
        .owners(&["m1 Apply 03: .spec.size", "kubectl-client-side-apply Update 01: .spec .spec.color"]);
}

#[test]
fn conflicts_are_listed_by_manager() {
    let mut flow = Flow::new();
    flow.apply("a", spec(json!({"size": 1, "ports": [{"name": "p", "port": 1}]})));
    flow.update("b", spec(json!({"color": "red"})));
    flow.subresource = Some("status");
    flow.update("c", json!({"status": {"replicas": 1}}));
    flow.subresource = None;
    let body =
        json!({"spec": {"size": 2, "color": "blue", "ports": [{"name": "p", "port": 2}]}, "status": {"replicas": 2}});
    let Err(ApplyError::Conflicts(conflicts)) = flow.try_apply("m", false, body) else { panic!("no conflict") };
    assert_eq!(
        conflict_message(&conflicts),
        "Apply failed with 4 conflicts: conflicts with \"a\":\n- .spec.ports[name=\"p\"].port\n- .spec.size\n\
         conflicts with \"b\" using bar.example.com/v1:\n- .spec.color\n\
         conflicts with \"c\" with subresource \"status\" using bar.example.com/v1:\n- .status.replicas"
    );
    let causes = conflict_causes(&conflicts);
    assert_eq!(causes[0].message, "conflict with \"a\"");
    assert_eq!(causes[0].field, ".spec.ports[name=\"p\"].port");
    assert_eq!(causes[3].message, "conflict with \"c\" with subresource \"status\" using bar.example.com/v1");
}

#[test]
fn the_same_value_is_shared() {
    let mut flow = Flow::new();
    flow.apply("a", spec(json!({"size": 1}))).apply("b", spec(json!({"size": 1})));
    flow.owners(&["a Apply 01: .spec.size", "b Apply 02: .spec.size"]);
    // Who no longer applies a field does not take it from the other.
    flow.apply("a", json!({})).at("/spec/size", json!(1)).owners(&["b Apply 02: .spec.size"]);
    flow.apply("b", json!({})).at("/spec", json!(null)).owners(&[]);
}

#[test]
fn items_of_two_managers() {
    // The flow of the kubectl acceptance script.
    let mut flow = Flow::new();
    flow.update("kubectl-client-side-apply", spec(json!({"size": 2, "color": "red"})));
    flow.force("m1", spec(json!({"size": 3})));
    flow.apply("p1", spec(json!({"size": 3, "ports": [{"name": "pa", "port": 1}]})));
    flow.apply("p2", spec(json!({"size": 3, "ports": [{"name": "pb", "port": 2}]})));
    flow.at("/spec/ports", json!([{"name": "pa", "port": 1}, {"name": "pb", "port": 2}]));
    flow.apply("p2", spec(json!({"size": 3})));
    flow.at("/spec/ports", json!([{"name": "pa", "port": 1}])).owners(&[
        "m1 Apply 02: .spec.size",
        "p1 Apply 03: .spec.ports[name=\"pa\"] .spec.ports[name=\"pa\"].name .spec.ports[name=\"pa\"].port .spec.size",
        "p2 Apply 05: .spec.size",
        "kubectl-client-side-apply Update 01: .spec .spec.color",
    ]);
    flow.update("kubectl", spec(json!({"size": 7}))).owners(&[
        "p1 Apply 03: .spec.ports[name=\"pa\"] .spec.ports[name=\"pa\"].name .spec.ports[name=\"pa\"].port",
        "kubectl-client-side-apply Update 01: .spec .spec.color",
        "kubectl Update 06: .spec.size",
    ]);
}

#[test]
fn one_item_of_two_managers() {
    let mut flow = Flow::new();
    flow.apply("a", spec(json!({"ports": [{"name": "p", "port": 1}]})));
    flow.apply("b", spec(json!({"ports": [{"name": "p", "tags": ["x"]}]})));
    flow.at("/spec/ports", json!([{"name": "p", "port": 1, "tags": ["x"]}]));
    // The item stays, with what the other one owns of it.
    flow.apply("a", spec(json!({"size": 1}))).at("/spec/ports", json!([{"name": "p", "tags": ["x"]}]));
    flow.owners(&[
        "b Apply 02: .spec.ports[name=\"p\"] .spec.ports[name=\"p\"].name .spec.ports[name=\"p\"].tags[=\"x\"]",
        "a Apply 03: .spec.size",
    ]);
    flow.apply("b", json!({})).at("/spec", json!({"size": 1}));
}

#[test]
fn an_item_goes_with_the_last_who_owns_it() {
    // As upstream: to own a field of an item is not to own the item.
    let mut flow = Flow::new();
    flow.apply("a", spec(json!({"ports": [{"name": "p"}, {"name": "q"}], "size": 1})));
    flow.update("u", spec(json!({"ports": [{"name": "p", "port": 5}, {"name": "q"}, {"name": "r"}]})));
    flow.apply("a", spec(json!({"size": 1}))).at("/spec/ports", json!([{"name": "r"}]));
    flow.owners(&["a Apply 03: .spec.size", "u Update 02: .spec.ports[name=\"r\"] .spec.ports[name=\"r\"].name"]);
}

#[test]
fn sets_and_atomic_values() {
    let mut flow = Flow::new();
    flow.apply("a", json!({"metadata": {"finalizers": ["x"]}, "spec": {"args": ["1"]}}));
    flow.apply("b", json!({"metadata": {"finalizers": ["y"]}}));
    flow.at("/metadata/finalizers", json!(["x", "y"]));
    flow.conflicts("b", spec(json!({"args": ["2"]})), "Apply failed with 1 conflict: conflict with \"a\": .spec.args");
    flow.apply("a", json!({})).at("/metadata/finalizers", json!(["y"])).at("/spec", json!(null));
}

#[test]
fn applying_twice_changes_nothing() {
    let mut flow = Flow::new();
    let body =
        json!({"metadata": {"labels": {"x": "y"}}, "spec": {"size": 1, "ports": [{"name": "p"}], "raw": {"a": [1]}}});
    let first = flow.apply("m", body.clone()).live.clone();
    assert_eq!(flow.apply("m", body).live, first);
}

#[test]
fn updates_move_ownership() {
    let mut flow = Flow::new();
    flow.apply("a", json!({"metadata": {"labels": {"x": "1", "y": "1"}}, "spec": {"size": 1}}));
    flow.update("u", json!({"metadata": {"labels": {"x": "2", "y": null}}}));
    flow.owners(&["a Apply 01: .spec.size", "u Update 02: .metadata.labels.x"]);
    // No change keeps the time, a removal too.
    flow.update("u", json!({})).owners(&["a Apply 01: .spec.size", "u Update 02: .metadata.labels.x"]);
    flow.update("w", json!({"metadata": {"labels": null}})).owners(&["a Apply 01: .spec.size"]);
    flow.update("w", spec(json!({"size": 2}))).owners(&["w Update 05: .spec.size"]);
}

#[test]
fn status_has_other_owners() {
    let mut flow = Flow::new();
    flow.apply("a", spec(json!({"size": 1})));
    flow.subresource = Some("status");
    flow.update("a", json!({"status": {"replicas": 4}, "spec": {"size": 9}, "metadata": {"managedFields": []}}));
    flow.owners(&["a Apply 01: .spec.size", "a/status Update 02: .status .status.replicas"]);
    flow.conflicts("b", json!({"status": {"replicas": 5}}), "Apply failed with 1 conflict: conflict with \"a\" with subresource \"status\" using bar.example.com/v1: .status.replicas");
    flow.force("b", json!({"status": {"replicas": 5}, "spec": {"size": 2}}));
    flow.owners(&["a Apply 01: .spec.size", "b/status Apply 04: .status.replicas", "a/status Update 02: .status"]);
}

#[test]
fn reset_fields_have_no_owner() {
    let status = FieldSet::of_fields(&[&["status"]]);
    let mut new = json!({"metadata": {}, "spec": {"size": 1}, "status": {"replicas": 1}});
    let opts = UpdateOptions {
        manager: "u",
        api_version: V1,
        subresource: None,
        now: "2026-01-01T00:00:01Z",
        tracked: Tracked::Except(&status),
    };
    update(None, &mut new, &widget(), &opts);
    assert_eq!(new.pointer("/metadata/managedFields/0/fieldsV1"), Some(&json!({"f:spec": {".": {}, "f:size": {}}})));
}

#[test]
fn reset_and_first_apply() {
    for reset in [json!([]), json!([{}])] {
        let mut flow = Flow::new();
        flow.update("u", json!({"metadata": {"uid": "1"}, "spec": {"size": 1}}));
        flow.update("u", json!({"metadata": {"managedFields": reset}})).owners(&[]);
        // Nothing is tracked until the first apply, which finds what there is.
        flow.update("u", spec(json!({"color": "red"}))).owners(&[]);
        flow.apply("a", spec(json!({"size": 1})));
        flow.owners(&["a Apply 04: .spec.size", "before-first-apply Update 04: .spec .spec.color .spec.size"]);
    }
}

#[test]
fn given_managers() {
    let mut flow = Flow::new();
    flow.update("u", spec(json!({"size": 1})));
    // What cannot be read, or is missing, is taken from the live object.
    for given in [json!([{"manager": "x"}]), json!("x"), json!(null)] {
        flow.update("u", json!({"metadata": {"managedFields": given}})).owners(&["u Update 01: .spec .spec.size"]);
    }
    let entry = json!({"manager": "x", "operation": "Apply", "apiVersion": V1, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:size": {}}}});
    flow.update("u", json!({"metadata": {"managedFields": [entry]}})).owners(&["x Apply --: .spec.size"]);
}

#[test]
fn refused_requests() {
    let mut flow = Flow::new();
    let check = |flow: &mut Flow, body: Value, expected: ApplyError| {
        assert_eq!(flow.try_apply("m", false, body).err(), Some(expected))
    };
    check(
        &mut flow,
        json!({"apiVersion": "v2"}),
        ApplyError::BadRequest(
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: bar.example.com/v1"
                .into(),
        ),
    );
    check(
        &mut flow,
        json!({"metadata": {"managedFields": []}}),
        ApplyError::BadRequest("metadata.managedFields must be nil".into()),
    );
    check(
        &mut flow,
        spec(json!({"colour": 1})),
        ApplyError::NotTyped("failed to create typed patch object (t/a; bar.example.com/v1, Kind=Widget): .spec.colour: field not declared in schema".into()),
    );
    check(
        &mut flow,
        spec(json!({"colour": 1, "size": "x"})),
        ApplyError::NotTyped("failed to create typed patch object (t/a; bar.example.com/v1, Kind=Widget): errors:\n  .spec.colour: field not declared in schema\n  .spec.size: expected numeric (int or float), got string".into()),
    );
    flow.live = Some(json!({"metadata": {"managedFields": [{"manager": "x"}]}}));
    check(&mut flow, json!({}), ApplyError::Live("managedFields[0]: operation must be `Apply` or `Update`".into()));
}

#[test]
fn live_objects_may_be_odd() {
    let mut flow = Flow::new();
    flow.update("u", spec(json!({"size": "x", "unknown": 1, "ports": [{"name": "p", "port": 1}, {"name": "p", "port": 2}, {"name": "q"}]})));
    flow.apply("m", spec(json!({"ports": [{"name": "r"}]})));
    flow.at("/spec/ports", json!([{"name": "p", "port": 1}, {"name": "p", "port": 2}, {"name": "q"}, {"name": "r"}]));
    flow.conflicts(
        "m",
        spec(json!({"ports": [{"name": "p", "port": 3}]})),
        "Apply failed with 1 conflict: conflict with \"u\" using bar.example.com/v1: .spec.ports[name=\"p\"]",
    );
}

#[test]
fn from_client_side_to_server_side() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let last = json!({"apiVersion": V1, "kind": "Widget", "metadata": {"name": "a", "namespace": "t", "annotations": {}}, "spec": {"size": 2}});
    let mut flow = Flow::new();
    flow.update(
        "kubectl-client-side-apply",
        json!({"metadata": {"annotations": {annotation: last.to_string()}}, "spec": {"size": 2}}),
    );
    // Another manager has no such excuse.
    flow.conflicts("other", spec(json!({"size": 3})), "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using bar.example.com/v1: .spec.size");
    flow.apply("kubectl", spec(json!({"size": 3}))).at("/spec/size", json!(3));
    let path = format!("/metadata/annotations/{}", annotation.replace('/', "~1"));
    flow.at(&path, json!("{\"apiVersion\":\"bar.example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"a\",\"namespace\":\"t\"},\"spec\":{\"size\":3}}\n"));
    // What somebody else changed since is a conflict.
    flow.update("kubectl-edit", spec(json!({"size": 4})));
    flow.conflicts(
        "kubectl",
        spec(json!({"size": 5})),
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using bar.example.com/v1: .spec.size",
    );
}

#[test]
fn old_updaters_are_merged() {
    let mut flow = Flow::new();
    for n in 0..14 {
        flow.update(&format!("u{n:02}"), json!({"metadata": {"labels": {format!("l{n:02}"): "x"}}}));
    }
    let live = flow.live.clone().unwrap();
    let managed = ManagedFields::of(&live).unwrap();
    assert_eq!(managed.0.len(), MAX_UPDATERS);
    let oldest = live.pointer("/metadata/managedFields/0").unwrap();
    assert_eq!(oldest["manager"], "ancient-changes");
    assert_eq!(oldest["time"], "2026-01-01T00:00:05Z");
    let fields = FieldSet::from_json(&oldest["fieldsV1"]).unwrap();
    assert_eq!(
        fields.to_string(),
        ".metadata.labels\n.metadata.labels.l00\n.metadata.labels.l01\n.metadata.labels.l02\n.metadata.labels.l03\n.metadata.labels.l04"
    );
}

#[test]
fn the_example_of_the_documentation() {
    // A user applies replicas, an autoscaler takes them over, the user lets go of them.
    let mut flow = Flow::new();
    flow.apply("user", spec(json!({"replicas": 3, "color": "red"})));
    flow.update("autoscaler", spec(json!({"replicas": 5})));
    flow.conflicts(
        "user",
        spec(json!({"replicas": 3, "color": "red"})),
        "Apply failed with 1 conflict: conflict with \"autoscaler\" using bar.example.com/v1: .spec.replicas",
    );
    flow.apply("user", spec(json!({"color": "red"}))).at("/spec/replicas", json!(5));
    flow.owners(&["user Apply 01: .spec.color", "autoscaler Update 02: .spec.replicas"]);
}

/// Flows with what structured-merge-diff (v6.4.2) makes of them, recorded from random ones.
mod recorded {
    use std::collections::BTreeMap;

    use purlin_apiserver_schema::{ListType, Type};

    use super::*;
    use crate::fixtures::{atomic, integer, list_map, list_of, map_of, object, of_type, set_of_strings, string};

    fn schema() -> Schema {
        let port = object([("name", string()), ("port", integer()), ("tags", set_of_strings())]);
        let inner = object([("x", string()), ("y", string())]);
        object([
            ("size", integer()),
            ("color", string()),
            ("ports", list_map(port, &["name"])),
            ("tags", set_of_strings()),
            ("args", list_of(string(), ListType::Atomic)),
            ("selector", atomic(map_of(string()))),
            ("labels", map_of(string())),
            ("nested", object([("a", string()), ("b", string()), ("inner", inner)])),
            ("raw", of_type(Type::Any)),
        ])
    }

    /// Without nulls and what is empty: what becomes empty is null upstream.
    fn filled(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let empty = |value: &Value| [json!(null), json!({}), json!([])].contains(value);
                fields
                    .iter()
                    .map(|(name, v)| (name.clone(), filled(v)))
                    .filter(|(_, v)| !empty(v))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Value::Array(items) => items.iter().map(filled).collect(),
            other => other.clone(),
        }
    }

    /// Does a step; the conflicts of a refused one.
    fn step(node: Node<'_>, live: &mut Value, managed: &mut ManagedFields, step: &Value) -> Vec<String> {
        let (manager, now, object) = (step["manager"].as_str().unwrap(), "2026-01-01T00:00:00Z", &step["object"]);
        let (api_version, subresource, tracked) = ("v1", None, Tracked::All);
        if step["op"] == "update" {
            take_over(node, managed, live, object, &UpdateOptions { manager, api_version, subresource, now, tracked });
            *live = object.clone();
            return Vec::new();
        }
        assert!(check(node, object).is_empty());
        let force = step["force"].as_bool().unwrap();
        let opts = ApplyOptions { manager, force, api_version, subresource, now, tracked };
        match (Merge { node, live, applied: object, opts: &opts }).run(managed.clone(), force) {
            Ok(merged) => {
                (*live, *managed) = merged;
                Vec::new()
            }
            Err(conflicts) => conflicts.iter().map(|c| format!("{} {}", c.owner.manager, c.path)).collect(),
        }
    }

    #[test]
    fn as_upstream() {
        let schema = schema();
        for line in include_str!("upstream.jsonl").lines() {
            let flow: Vec<Value> = serde_json::from_str(line).unwrap();
            let (mut live, mut managed) = (json!({}), ManagedFields::default());
            for recorded in &flow {
                let mut conflicts = step(Node::Known(&schema), &mut live, &mut managed, recorded);
                conflicts.sort();
                assert_eq!(json!(conflicts), recorded["conflicts"], "{line}");
                assert_eq!(filled(&live), recorded["want"], "{line}");
                let owners =
                    managed.0.iter().map(|(id, entry)| (id.manager.clone(), entry.fields.to_json().to_string()));
                let want =
                    recorded["owners"].as_object().unwrap().iter().map(|(m, fields)| (m.clone(), fields.to_string()));
                assert_eq!(owners.collect::<BTreeMap<_, _>>(), want.collect::<BTreeMap<_, _>>(), "{line}");
            }
        }
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn opts<'a>(manager: &'a str, now: &'a str) -> ApplyOptions<'a> {
        ApplyOptions { manager, force: true, api_version: V1, subresource: None, now, tracked: Tracked::All }
    }

    /// With a label, as upstream an applier of nothing but an empty list owns nothing.
    fn object(spec: Value) -> Value {
        json!({"apiVersion": V1, "kind": "X", "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": spec})
    }

    fn root(spec: Schema) -> Schema {
        crate::fixtures::object([
            ("apiVersion", crate::fixtures::string()),
            ("kind", crate::fixtures::string()),
            ("metadata", crate::fixtures::metadata()),
            ("spec", spec),
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_write_to_any_object(schema in any_schema(), live in any_json(), next in any_json(), config in any_json()) {
            let schema = root(schema);
            let update_opts = UpdateOptions { manager: "u", api_version: V1, subresource: None, now: "2026-01-01T00:00:01Z", tracked: Tracked::All };
            let mut live = object(live);
            update(None, &mut live, &schema, &update_opts);
            let mut next = object(next);
            update(Some(&live), &mut next, &schema, &update_opts);
            let Ok(once) = apply(Some(&next), &object(config.clone()), &schema, &opts("m", "2026-01-01T00:00:02Z")) else { return Ok(()) };
            let twice = apply(Some(&once), &object(config), &schema, &opts("m", "2026-01-01T00:00:03Z")).unwrap();
            prop_assert_eq!(&twice, &once);
            let gone = apply(Some(&twice), &object(json!(null)), &schema, &opts("m", "2026-01-01T00:00:04Z"));
            prop_assert!(gone.is_ok());
        }

        #[test]
        fn a_forced_apply_is_the_only_owner_of_what_it_changes(schema in any_schema(), live in any_json(), config in any_json()) {
            let schema = root(schema);
            let update_opts = UpdateOptions { manager: "u", api_version: V1, subresource: None, now: "2026-01-01T00:00:01Z", tracked: Tracked::All };
            let mut live = object(live);
            update(None, &mut live, &schema, &update_opts);
            let Ok(merged) = apply(Some(&live), &object(config), &schema, &opts("m", "2026-01-01T00:00:02Z")) else { return Ok(()) };
            let changes = compare(Node::Known(&schema), &without_managers(Some(&live)), &without_managers(Some(&merged)));
            let managed = ManagedFields::of(&merged).unwrap();
            for (id, entry) in &managed.0 {
                if id.manager != "m" {
                    prop_assert!(entry.fields.intersection(&changes.modified.union(&changes.added)).is_empty());
                }
            }
        }
    }
}
