//! The four CustomResourceDefinitions, put together from the types' schemas and the names of the kinds.

use serde_json::{Value, json};

use crate::{
    CHANNEL, GROUP, GatewayClassSpec, GatewayClassStatus, GatewaySpec, GatewayStatus, HttpRouteSpec,
    ReferenceGrantSpec, RouteStatus, VERSION, schema,
};

/// The versions in which each kind is served.
const SERVED: [&str; 2] = ["v1", "v1beta1"];

/// A kind: its names, and what its schema is made of.
struct Kind {
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    scope: &'static str,
    /// The version that is stored.
    storage: &'static str,
    columns: Value,
    about: &'static str,
    spec: Value,
    /// None where the kind has no status.
    status: Option<Value>,
}

/// The CustomResourceDefinitions of GatewayClass, Gateway, HTTPRoute and ReferenceGrant (apiextensions.k8s.io/v1).
///
/// Builds them anew with each call.
pub fn crds() -> Vec<Value> {
    [gateway_class(), gateway(), http_route(), reference_grant()].into_iter().map(definition).collect()
}

fn gateway_class() -> Kind {
    Kind {
        kind: "GatewayClass",
        plural: "gatewayclasses",
        short_names: &["gc"],
        scope: "Cluster",
        storage: "v1",
        columns: json!([
            { "name": "Controller", "type": "string", "jsonPath": ".spec.controllerName" },
            { "name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status" },
            { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
            { "name": "Description", "type": "string", "jsonPath": ".spec.description", "priority": 1 },
        ]),
        about: "GatewayClass names the controller that serves the Gateways of a class.",
        spec: schema::of::<GatewayClassSpec>(),
        status: Some(with_default(schema::of::<GatewayClassStatus>(), &GatewayClassStatus::default())),
    }
}

fn gateway() -> Kind {
    Kind {
        kind: "Gateway",
        plural: "gateways",
        short_names: &["gtw"],
        scope: "Namespaced",
        storage: "v1",
        columns: json!([
            { "name": "Class", "type": "string", "jsonPath": ".spec.gatewayClassName" },
            { "name": "Address", "type": "string", "jsonPath": ".status.addresses[*].value" },
            { "name": "Programmed", "type": "string",
                "jsonPath": ".status.conditions[?(@.type==\"Programmed\")].status" },
            { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
        ]),
        about: "Gateway asks for listeners: ports where traffic comes in, with protocol, host and TLS.",
        spec: schema::of::<GatewaySpec>(),
        status: Some(with_default(schema::of::<GatewayStatus>(), &GatewayStatus::default())),
    }
}

fn http_route() -> Kind {
    Kind {
        kind: "HTTPRoute",
        plural: "httproutes",
        short_names: &[],
        scope: "Namespaced",
        storage: "v1",
        columns: json!([
            { "name": "Hostnames", "type": "string", "jsonPath": ".spec.hostnames" },
            { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
        ]),
        about: "HTTPRoute takes HTTP requests from a Gateway's listeners to backends.",
        spec: schema::of::<HttpRouteSpec>(),
        status: Some(schema::of::<RouteStatus>()),
    }
}

fn reference_grant() -> Kind {
    Kind {
        kind: "ReferenceGrant",
        plural: "referencegrants",
        short_names: &["refgrant"],
        scope: "Namespaced",
        storage: "v1beta1",
        columns: json!([{ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" }]),
        about: "ReferenceGrant allows objects of other namespaces to refer to objects of its own namespace.",
        spec: schema::of::<ReferenceGrantSpec>(),
        status: None,
    }
}

/// Adds what the API server fills in where the whole status is absent.
fn with_default(mut schema: Value, default: &impl serde::Serialize) -> Value {
    schema["default"] = json!(default);
    schema
}

fn definition(kind: Kind) -> Value {
    let singular = kind.kind.to_lowercase();
    let mut names = json!({
        "categories": ["gateway-api"],
        "kind": kind.kind,
        "listKind": format!("{}List", kind.kind),
        "plural": kind.plural,
        "singular": singular,
    });
    if !kind.short_names.is_empty() {
        names["shortNames"] = json!(kind.short_names);
    }
    let subresources = if kind.status.is_some() { json!({ "status": {} }) } else { json!({}) };
    let root = root(kind.about, kind.spec, kind.status);
    let versions: Vec<Value> = SERVED
        .iter()
        .map(|version| {
            json!({
                "name": version,
                "served": true,
                "storage": *version == kind.storage,
                "additionalPrinterColumns": kind.columns,
                "subresources": subresources,
                "schema": { "openAPIV3Schema": root },
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{GROUP}", kind.plural),
            "annotations": {
                "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/4530",
                "gateway.networking.k8s.io/bundle-version": VERSION,
                "gateway.networking.k8s.io/channel": CHANNEL,
            },
        },
        "spec": { "group": GROUP, "names": names, "scope": kind.scope, "versions": versions },
    })
}

/// The schema of a whole object.
fn root(about: &str, spec: Value, status: Option<Value>) -> Value {
    let mut properties = json!({
        "apiVersion": { "type": "string", "description": "The API group and version that the object is written in." },
        "kind": { "type": "string", "description": "The object's kind." },
        "metadata": { "type": "object" },
        "spec": spec,
    });
    if let Some(status) = status {
        properties["status"] = status;
    }
    json!({ "type": "object", "description": about, "properties": properties, "required": ["spec"] })
}

#[cfg(test)]
mod tests {
    use kube::Resource;

    use super::*;
    use crate::{Gateway, GatewayClass, HttpRoute, ReferenceGrant};

    #[test]
    fn types_and_definitions_agree_on_names() {
        fn names<K: Resource<DynamicType = ()>>() -> [String; 4] {
            [K::group(&()), K::version(&()), K::kind(&()), K::plural(&())].map(|name| name.into_owned())
        }
        let types = [names::<GatewayClass>(), names::<Gateway>(), names::<HttpRoute>(), names::<ReferenceGrant>()];
        for (crd, [group, version, kind, plural]) in crds().iter().zip(types) {
            assert_eq!(crd["spec"]["group"], group);
            assert_eq!(crd["spec"]["names"]["kind"], kind);
            assert_eq!(crd["spec"]["names"]["plural"], plural);
            assert!(SERVED.contains(&version.as_str()), "{kind} {version}");
        }
    }

    /// `kubectl explain` has a word for every field.
    #[test]
    fn every_field_is_described() {
        fn check(schema: &Value, path: &str) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                let words = field["description"].as_str().unwrap_or_default();
                assert!(words.ends_with('.') && !words.contains('\n') || path == ".metadata", "{path}: {words:?}");
                check(field, &path);
            }
            for inner in ["items", "additionalProperties"] {
                if let Some(inner) = schema.get(inner) {
                    check(inner, path);
                }
            }
        }
        for crd in crds() {
            check(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
        }
    }

    #[test]
    fn defaults_of_types_are_those_of_the_definitions() {
        let route: HttpRouteSpec = serde_json::from_value(json!({})).unwrap();
        assert_eq!(route, HttpRouteSpec::default());
        let expected = json!({ "rules": [{ "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }] }] });
        assert_eq!(json!(route), expected);
        let status: GatewayStatus = serde_json::from_value(json!({})).unwrap();
        assert_eq!(status, GatewayStatus::default());
    }

    /// Written by a controller or through a channel that knows more.
    #[test]
    fn unknown_values_and_fields_are_read() {
        let route: HttpRouteSpec = serde_json::from_value(json!({
            "rules": [{
                "retry": { "attempts": 3 },
                "filters": [{ "type": "ExternalAuth", "externalAuth": { "protocol": "GRPC" } }],
                "matches": [{ "method": "QUERY", "path": { "type": "Glob", "value": "/*" } }],
            }]
        }))
        .unwrap();
        assert_eq!(route.rules[0].filters[0].type_.as_str(), "ExternalAuth");
        assert_eq!(route.rules[0].matches[0].path.type_.as_str(), "Glob");
    }
}
