use std::collections::BTreeSet;

use purlin_apiserver_schema::{Checks, Schema, Type};

use super::*;
use crate::testing::{custom, deployments, leaf, object, pods, review, service_accounts};

fn defs() -> Vec<Arc<ResourceDef>> {
    let widgets = custom("example.com", "widgets", "Widget", &["v1", "v1beta1"]);
    vec![widgets, review(), service_accounts(), deployments(), pods()]
}

fn versions() -> [(&'static str, &'static str); 5] {
    [("", "v1"), ("apps", "v1"), ("authentication.k8s.io", "v1"), ("example.com", "v1"), ("example.com", "v1beta1")]
}

fn document(group: &str, version: &str) -> Value {
    openapi_v3(&defs(), group, version).expect("served")
}

/// All values under `key` in a document.
fn collect<'a>(value: &'a Value, key: &str, out: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, out)),
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => out.push(text),
                    _ => collect(value, key, out),
                }
            }
        }
        _ => {}
    }
}

fn all<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let mut out = Vec::new();
    collect(value, key, &mut out);
    out
}

#[test]
fn the_index_names_each_version_with_its_hash() {
    let index = openapi_v3_index(&defs());
    let paths = index["paths"].as_object().expect("paths");
    let names: Vec<_> = paths.keys().collect();
    let expected =
        ["api/v1", "apis/apps/v1", "apis/authentication.k8s.io/v1", "apis/example.com/v1", "apis/example.com/v1beta1"];
    assert_eq!(names, expected);
    for ((group, version), path) in versions().iter().zip(expected) {
        let hash = openapi_v3_hash(&defs(), group, version).expect("served");
        assert_eq!(paths[path]["serverRelativeURL"], format!("/openapi/v3/{path}?hash={hash}"));
    }
}

#[test]
fn a_hash_changes_with_its_own_version_only() {
    let before: Vec<_> = versions().map(|(group, version)| openapi_v3_hash(&defs(), group, version)).into();
    let mut defs = defs();
    let mut widgets = ResourceDef::clone(&defs[0]);
    let mut schema = Schema::clone(&widgets.versions[0].schema);
    schema.properties.insert("extra".into(), leaf(Type::String));
    widgets.versions[0].schema = Arc::new(schema);
    let v2 = openapi_v2_hash(&defs);
    defs[0] = Arc::new(widgets);
    let after: Vec<_> = versions().map(|(group, version)| openapi_v3_hash(&defs, group, version)).into();
    let changed: Vec<_> = before.iter().zip(&after).map(|(a, b)| a != b).collect();
    assert_eq!(changed, [false, false, false, true, false]);
    assert_ne!(openapi_v2_hash(&defs), v2);
    assert_eq!(openapi_v3_hash(&defs, "example.com", "v3"), None);
}

#[test]
fn every_reference_is_defined() {
    let documents = versions().map(|(group, version)| document(group, version));
    for (document, prefix) in documents
        .into_iter()
        .map(|document| (document, "/components/schemas/"))
        .chain([(openapi_v2(&defs()), "/definitions/")])
    {
        let references = all(&document, "$ref");
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            assert!(pointer.starts_with(prefix), "{reference}");
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference} is not defined");
        }
    }
}

#[test]
fn operation_ids_are_unique() {
    let document = openapi_v2(&defs());
    let ids = all(&document, "operationId");
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    for id in [
        "listCoreV1PodForAllNamespaces",
        "createAppsV1NamespacedDeployment",
        "deleteAppsV1CollectionNamespacedDeployment",
        "replaceAppsV1NamespacedDeploymentScale",
        "createCoreV1NamespacedServiceAccountToken",
        "createAuthenticationV1TokenReview",
        "patchExampleComV1beta1NamespacedWidget",
    ] {
        assert!(unique.contains(&id), "{id}");
    }
}

#[test]
fn paths_of_a_version() {
    let document = document("apps", "v1");
    let operations = |path: &str| -> Vec<_> {
        let item = document["paths"][path].as_object().unwrap_or_else(|| panic!("no {path}"));
        item.keys().filter(|key| *key != "parameters").map(String::as_str).collect()
    };
    let base = "/apis/apps/v1/namespaces/{namespace}/deployments";
    assert_eq!(operations("/apis/apps/v1/deployments"), ["get"]);
    assert_eq!(operations(base), ["get", "post", "delete"]);
    assert_eq!(operations(&format!("{base}/{{name}}")), ["get", "put", "patch", "delete"]);
    assert_eq!(operations(&format!("{base}/{{name}}/scale")), ["get", "put", "patch"]);
    assert_eq!(operations(&format!("{base}/{{name}}/status")), ["get", "put", "patch"]);
    assert_eq!(document["paths"].as_object().map(Map::len), Some(5));
    let scale = &document["paths"][format!("{base}/{{name}}/scale")]["patch"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
}

#[test]
fn what_can_only_be_created_has_no_other_operation() {
    let document = document("authentication.k8s.io", "v1");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["/apis/authentication.k8s.io/v1/tokenreviews"]);
    let operations: Vec<_> =
        paths["/apis/authentication.k8s.io/v1/tokenreviews"].as_object().expect("item").keys().collect();
    assert_eq!(operations, ["post", "parameters"]);
    assert!(document["components"]["schemas"].get("io.k8s.api.authentication.v1.TokenReviewList").is_none());
}

/// kubectl finds out by these whether the server validates fields and can dry-run.
#[test]
fn a_patch_says_what_it_understands() {
    for (group, path, strategic) in [
        ("apps", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", true),
        ("example.com", "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}", false),
    ] {
        let document = document(group, "v1");
        let patch = &document["paths"][path]["patch"];
        let names: Vec<_> = patch["parameters"].as_array().expect("parameters").iter().map(|p| &p["name"]).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        assert_eq!(patch["x-kubernetes-action"], "patch");
        assert_eq!(patch["x-kubernetes-group-version-kind"]["group"], group);
        let content = &patch["requestBody"]["content"];
        assert!(content.get("application/apply-patch+yaml").is_some());
        assert_eq!(content.get("application/strategic-merge-patch+json").is_some(), strategic);
    }
}

fn fields(schema: &Value) -> Vec<&str> {
    schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect()
}

#[test]
fn the_schema_of_a_custom_resource() {
    let document = document("example.com", "v1");
    let schemas = &document["components"]["schemas"];
    let widget = &schemas["com.example.v1.Widget"];
    assert_eq!(fields(widget), ["apiVersion", "kind", "metadata", "spec", "status"]);
    let gvk = json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]);
    assert_eq!(widget["x-kubernetes-group-version-kind"], gvk);
    let spec = json!({
        "type": "object",
        "properties": {
            "size": {
                "description": "How many.", "type": "integer", "format": "int32", "default": 1,
                "minimum": 1, "maximum": 10,
            },
            "port": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
        "required": ["size"],
    });
    assert_eq!(widget["properties"]["spec"], spec);
    let list = &schemas["com.example.v1.WidgetList"];
    assert_eq!(list["properties"]["items"]["items"]["allOf"][0]["$ref"], "#/components/schemas/com.example.v1.Widget");
    assert_eq!(list["x-kubernetes-group-version-kind"][0]["kind"], "WidgetList");
}

#[test]
fn the_schemas_of_a_built_in_kind_are_named() {
    let document = document("", "v1");
    let schemas = &document["components"]["schemas"];
    let spec = json!({
        "description": "What runs.",
        "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}],
    });
    assert_eq!(schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"], spec);
    let containers = json!({
        "description": "The containers.",
        "type": "array",
        "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"},
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": "name",
    });
    assert_eq!(schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"], containers);
    let container = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    assert_eq!(schemas["io.k8s.api.core.v1.Container"], container);
}

#[test]
fn a_number_or_a_text() {
    let any = Checks {
        any_of: vec![Schema {
            checks: Some(Box::new(Checks { minimum: Some(1.0), ..Checks::default() })),
            ..Schema::default()
        }],
        ..Checks::default()
    };
    let spec = object(vec![
        (
            "port",
            Arc::new(Schema {
                ty: Type::IntOrString,
                reference: Some("io.k8s.apimachinery.pkg.util.intstr.IntOrString".into()),
                doc: Some("Where.".into()),
                ..Schema::default()
            }),
        ),
        ("share", leaf(Type::IntOrString)),
        ("bound", Arc::new(Schema { ty: Type::IntOrString, checks: Some(Box::new(any)), ..Schema::default() })),
    ]);
    let mut def = ResourceDef::clone(&custom("example.com", "widgets", "Widget", &["v1"]));
    def.versions[0].schema = Arc::new(spec);
    let defs = [Arc::new(def)];
    let either = json!([{"type": "integer"}, {"type": "string"}]);

    let v3 = &openapi_v3(&defs, "example.com", "v1").unwrap()["components"]["schemas"];
    let properties = &v3["com.example.v1.Widget"]["properties"];
    let reference = json!({"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"});
    assert_eq!(properties["port"], json!({"description": "Where.", "allOf": [reference]}));
    assert_eq!(properties["share"], json!({"anyOf": either, "x-kubernetes-int-or-string": true}));
    let bound = json!({
        "anyOf": [{"minimum": 1}], "allOf": [{"anyOf": either}], "x-kubernetes-int-or-string": true,
    });
    assert_eq!(properties["bound"], bound);
    let definition = json!({"format": "int-or-string", "oneOf": either});
    assert_eq!(v3["io.k8s.apimachinery.pkg.util.intstr.IntOrString"], definition);

    let v2 = &openapi_v2(&defs)["definitions"];
    let properties = &v2["com.example.v1.Widget"]["properties"];
    let reference = "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    assert_eq!(properties["port"], json!({"description": "Where.", "$ref": reference}));
    assert_eq!(properties["share"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(properties["bound"], json!({"x-kubernetes-int-or-string": true}));
    let definition = json!({"format": "int-or-string", "type": "string"});
    assert_eq!(v2["io.k8s.apimachinery.pkg.util.intstr.IntOrString"], definition);
}

#[test]
fn swagger_says_less() {
    let mut def = ResourceDef::clone(&custom("example.com", "widgets", "Widget", &["v1"]));
    let maybe = Schema { nullable: true, ..object(vec![("x", leaf(Type::String))]) };
    let quantity = Schema {
        ty: Type::IntOrString,
        reference: Some("io.k8s.apimachinery.pkg.api.resource.Quantity".into()),
        ..Schema::default()
    };
    // Fields that are called like keywords are fields.
    let keywords = object(vec![("oneOf", leaf(Type::String)), ("nullable", leaf(Type::Boolean))]);
    let spec = object(vec![
        ("maybe", Arc::new(maybe)),
        ("cpu", Arc::new(quantity)),
        ("port", leaf(Type::IntOrString)),
        ("keywords", Arc::new(keywords)),
    ]);
    def.versions[0].schema = Arc::new(object(vec![("spec", Arc::new(spec))]));
    let document = openapi_v2(&[Arc::new(def)]);
    assert_eq!(document["swagger"], "2.0");
    let definitions = &document["definitions"];
    let spec = json!({
        "type": "object",
        "properties": {
            "maybe": {},
            "cpu": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
            "port": {"x-kubernetes-int-or-string": true},
            "keywords": {
                "type": "object",
                "properties": {"oneOf": {"type": "string"}, "nullable": {"type": "boolean"}},
            },
        },
    });
    let widget = &definitions["com.example.v1.Widget"];
    assert_eq!(widget["properties"]["spec"], spec);
    assert_eq!(
        widget["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    assert_eq!(definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"], json!({"type": "string"}));

    let post = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets"]["post"];
    assert_eq!(post["consumes"], json!(["application/json", "application/yaml"]));
    assert_eq!(post["produces"], json!(["application/json", "application/yaml"]));
    let body = json!({
        "in": "body", "name": "body", "required": true, "schema": {"$ref": "#/definitions/com.example.v1.Widget"},
    });
    assert_eq!(post["parameters"][0], body);
    assert_eq!(post["parameters"][1]["name"], "dryRun");
    assert_eq!(post["parameters"][1]["type"], "string");
    assert_eq!(post["responses"]["201"]["schema"]["$ref"], "#/definitions/com.example.v1.Widget");
}
