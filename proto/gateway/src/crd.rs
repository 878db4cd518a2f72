//! The CustomResourceDefinitions: names, columns and versions of the kinds, around the schemas of their types.

use purlin_crd::schema::{self, with_default};
use purlin_crd::{Column, Kind, Version};
use serde_json::{Value, json};

use crate::{
    BackendTlsPolicy, CHANNEL, Gateway, GatewayClass, GatewayClassStatus, GatewayStatus, GrpcRoute, HttpRoute,
    ListenerSet, ListenerSetStatus, PolicyStatus, ReferenceGrant, RouteStatus, TcpRoute, TlsRoute, UdpRoute, VERSION,
};

/// The CustomResourceDefinitions of all kinds (apiextensions.k8s.io/v1).
///
/// Builds them anew with each call.
pub fn crds() -> Vec<Value> {
    let kinds = [
        gateway_class(),
        gateway(),
        listener_set(),
        http_route(),
        grpc_route(),
        tls_route(),
        tcp_route(),
        udp_route(),
        backend_tls_policy(),
        reference_grant(),
    ];
    kinds.iter().map(crd).collect()
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

/// A version from before the kind was in the standard channel. Nobody can use it: it is there because objects may have
/// been stored in it, through another definition of the kind.
fn former(kind: &str, name: &str, version: &Version) -> Version {
    let warning = format!(
        "The {name} version of {kind} has been deprecated and will be removed in a future release of the API. Please \
         upgrade to v1."
    );
    Version { name: name.to_owned(), served: false, deprecated: Some(warning), ..version.clone() }
}

/// A route's former version, which may have several rules.
fn former_route(kind: &str, name: &str, version: &Version) -> Version {
    let mut former = former(kind, name, version);
    former.spec["properties"]["rules"]["maxItems"] = json!(16);
    former
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

fn grpc_route() -> Kind {
    let columns = vec![Column::text("Hostnames", ".spec.hostnames"), Column::age()];
    let v1 = Version::of::<GrpcRoute>(Some(schema::of::<RouteStatus>()), columns);
    Kind::of::<GrpcRoute>("GRPCRoute takes gRPC calls from a Gateway's listeners to backends.", v1)
}

fn tls_route() -> Kind {
    let v1 = Version::of::<TlsRoute>(Some(schema::of::<RouteStatus>()), vec![Column::age()]);
    let mut v1alpha2 = former_route("TLSRoute", "v1alpha2", &v1);
    if let Value::Object(hostnames) = &mut v1alpha2.spec["properties"]["hostnames"] {
        hostnames.shift_remove("minItems");
        hostnames.shift_remove("x-kubernetes-validations");
    }
    v1alpha2.spec["required"] = json!(["rules"]);
    let others = vec![former("TLSRoute", "v1alpha3", &v1), v1alpha2];
    let about = "TLSRoute takes TLS connections from a Gateway's listeners to backends, by the name that is asked for.";
    Kind { others, ..Kind::of::<TlsRoute>(about, v1) }
}

fn tcp_route() -> Kind {
    let v1 = Version::of::<TcpRoute>(Some(schema::of::<RouteStatus>()), vec![Column::age()]);
    let others = vec![former_route("TCPRoute", "v1alpha2", &v1)];
    Kind {
        others,
        ..Kind::of::<TcpRoute>("TCPRoute takes TCP connections from a Gateway's listeners to backends.", v1)
    }
}

fn udp_route() -> Kind {
    let v1 = Version::of::<UdpRoute>(Some(schema::of::<RouteStatus>()), vec![Column::age()]);
    let others = vec![former_route("UDPRoute", "v1alpha2", &v1)];
    Kind { others, ..Kind::of::<UdpRoute>("UDPRoute takes UDP datagrams from a Gateway's listeners to backends.", v1) }
}

fn listener_set() -> Kind {
    let columns = vec![Column::condition("Accepted"), Column::condition("Programmed"), Column::age()];
    let v1 = Version::of::<ListenerSet>(Some(with_default::<ListenerSetStatus>()), columns);
    let about = "ListenerSet adds listeners to a Gateway that allows it.";
    Kind { short_names: &["lset"], ..Kind::of::<ListenerSet>(about, v1) }
}

fn backend_tls_policy() -> Kind {
    let v1 = Version::of::<BackendTlsPolicy>(Some(schema::of::<PolicyStatus>()), vec![Column::age()]);
    let v1alpha3 = Version { columns: Vec::new(), ..former("BackendTLSPolicy", "v1alpha3", &v1) };
    Kind {
        short_names: &["btlspolicy"],
        labels: &[("gateway.networking.k8s.io/policy", "Direct")],
        others: vec![v1alpha3],
        ..Kind::of::<BackendTlsPolicy>(
            "BackendTLSPolicy says that backends are reached by TLS, and how they are verified.",
            v1,
        )
    }
}

fn reference_grant() -> Kind {
    let v1beta1 = Version::of::<ReferenceGrant>(None, vec![Column::age()]);
    let about = "ReferenceGrant allows objects of other namespaces to refer to objects of its own namespace.";
    Kind { short_names: &["refgrant"], others: also("v1", &v1beta1), ..Kind::of::<ReferenceGrant>(about, v1beta1) }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_backend_has_a_share_and_a_kind_where_it_says_nothing() {
        let route: crate::TcpRouteSpec =
            serde_json::from_value(json!({ "rules": [{ "backendRefs": [{ "name": "db", "port": 5432 }] }] })).unwrap();
        let expected = json!({ "group": "", "kind": "Service", "name": "db", "port": 5432, "weight": 1 });
        assert_eq!(json!(route.rules[0].backend_refs[0]), expected);
        let route: crate::GrpcRouteSpec = serde_json::from_value(json!({})).unwrap();
        assert_eq!(json!(route), json!({}));
        let status: crate::ListenerSetStatus = serde_json::from_value(json!({})).unwrap();
        assert_eq!(status, crate::ListenerSetStatus::default());
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
