//! The CustomResourceDefinitions: names, columns and versions of the kinds, around the schemas of their types.

use purlin_crd::schema::{self, with_default};
use purlin_crd::{Column, Kind, Version};
use serde_json::Value;

use crate::{
    CHANNEL, Gateway, GatewayClass, GatewayClassStatus, GatewayStatus, HttpRoute, ReferenceGrant, RouteStatus, VERSION,
};

/// The CustomResourceDefinitions of all kinds (apiextensions.k8s.io/v1).
///
/// Builds them anew with each call.
pub fn crds() -> Vec<Value> {
    [gateway_class(), gateway(), http_route(), reference_grant()].iter().map(crd).collect()
}

/// The definition, with what all kinds of this API have in common.
fn crd(kind: &Kind) -> Value {
    let annotations = &[
        ("api-approved.kubernetes.io", "https://github.com/kubernetes-sigs/gateway-api/pull/4530"),
        ("gateway.networking.k8s.io/bundle-version", VERSION),
        ("gateway.networking.k8s.io/channel", CHANNEL),
    ];
    Kind { categories: &["gateway-api"], annotations, ..kind.clone() }.definition()
}

/// The same version under another name.
fn also(name: &str, version: &Version) -> Vec<Version> {
    vec![Version { name: name.to_owned(), ..version.clone() }]
}

fn gateway_class() -> Kind {
    let columns = vec![
        Column::text("Controller", ".spec.controllerName"),
        Column::condition("Accepted"),
        Column::age(),
        Column::text("Description", ".spec.description").wide(),
    ];
    let v1 = Version::of::<GatewayClass>(Some(with_default::<GatewayClassStatus>()), columns);
    Kind {
        short_names: &["gc"],
        others: also("v1beta1", &v1),
        ..Kind::of::<GatewayClass>("GatewayClass names the controller that serves the Gateways of a class.", v1)
    }
}

fn gateway() -> Kind {
    let columns = vec![
        Column::text("Class", ".spec.gatewayClassName"),
        Column::text("Address", ".status.addresses[*].value"),
        Column::condition("Programmed"),
        Column::age(),
    ];
    let v1 = Version::of::<Gateway>(Some(with_default::<GatewayStatus>()), columns);
    let about = "Gateway asks for listeners: ports where traffic comes in, with protocol, host and TLS.";
    Kind { short_names: &["gtw"], others: also("v1beta1", &v1), ..Kind::of::<Gateway>(about, v1) }
}

fn http_route() -> Kind {
    let columns = vec![Column::text("Hostnames", ".spec.hostnames"), Column::age()];
    let v1 = Version::of::<HttpRoute>(Some(schema::of::<RouteStatus>()), columns);
    let about = "HTTPRoute takes HTTP requests from a Gateway's listeners to backends.";
    Kind { others: also("v1beta1", &v1), ..Kind::of::<HttpRoute>(about, v1) }
}

fn reference_grant() -> Kind {
    let v1beta1 = Version::of::<ReferenceGrant>(None, vec![Column::age()]);
    let about = "ReferenceGrant allows objects of other namespaces to refer to objects of its own namespace.";
    Kind { short_names: &["refgrant"], others: also("v1", &v1beta1), ..Kind::of::<ReferenceGrant>(about, v1beta1) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::HttpRouteSpec;

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
