//! What a Service is given, and what it is refused for.

use super::*;
use crate::kinds::testing::{create, update};

fn service(spec: Value) -> Value {
    json!({ "spec": spec })
}

#[test]
fn defaults() {
    let mut object = service(json!({"ports": [{"port": 80}, {"name": "x", "port": 81, "targetPort": "web"}]}));
    default(&mut object);
    prepare_create(&mut object);
    assert!(needs_cluster_ip(&object));
    set_cluster_ip(&mut object, Ipv4Addr::new(10, 96, 0, 9));
    let expected = json!({
        "spec": {
            "ports": [
                {"port": 80, "protocol": "TCP", "targetPort": 80},
                {"name": "x", "port": 81, "targetPort": "web", "protocol": "TCP"}
            ],
            "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
            "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"
        },
        "status": {"loadBalancer": {}}
    });
    assert_eq!(object, expected);
    assert!(!needs_cluster_ip(&object));

    let mut object = service(json!({"clusterIP": "None", "sessionAffinity": "ClientIP"}));
    default(&mut object);
    prepare_create(&mut object);
    assert_eq!(object["spec"]["clusterIPs"], json!(["None"]));
    assert_eq!(object["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(object["spec"]["ipFamilyPolicy"], "RequireDualStack");
    assert_eq!(object["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
    assert!(!needs_cluster_ip(&object));

    let mut object = service(json!({"type": "LoadBalancer"}));
    default(&mut object);
    assert_eq!(object["spec"]["externalTrafficPolicy"], "Cluster");
    assert_eq!(object["spec"]["allocateLoadBalancerNodePorts"], true);
}

#[test]
fn addresses_are_drawn_from_the_range() {
    assert_eq!(cluster_ip(0, &|_| false), Some(Ipv4Addr::new(10, 96, 0, 1)));
    assert_eq!(cluster_ip((1 << 20) - 3, &|_| false), Some(Ipv4Addr::new(10, 111, 255, 254)));
    assert_eq!(cluster_ip((1 << 20) - 3, &|ip| ip.octets()[3] == 254), Some(Ipv4Addr::new(10, 96, 0, 1)));
    assert!(cluster_ip(u64::MAX, &|_| false).is_some());
    assert_eq!(cluster_ip(7, &|_| true), None);
}

#[test]
fn ports() {
    let check = |ports, expected: &str| {
        assert_eq!(create(&strategy(), service(json!({ "ports": ports }))), expected);
    };
    check(json!([{"port": 80}]), "");
    check(json!([{"port": 80, "name": "a"}, {"port": 80, "name": "b", "protocol": "UDP"}]), "");
    check(json!([]), "spec.ports: Required value");
    check(
        json!([{"port": 80}, {"port": 0, "name": "b"}]),
        "spec.ports[0].name: Required value\n\
         spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive\n\
         spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
    );
    check(
        json!([{"port": 80, "name": "a"}, {"port": 80, "name": "a"}]),
        "spec.ports[1].name: Duplicate value: \"a\"\n\
         spec.ports[1]: Duplicate value: {\"protocol\":\"TCP\",\"port\":80}",
    );
    check(
        json!([{"port": 80, "protocol": "ICMP", "targetPort": "Web"}]),
        "spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"\n\
         spec.ports[0].targetPort: Invalid value: \"Web\": must contain only alpha-numeric characters (a-z, 0-9), \
         and hyphens (-)",
    );
    check(
        json!([{"port": 80, "nodePort": 30000}]),
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    );
}

#[test]
fn types_and_addresses() {
    let check = |mut spec: Value, expected: &str| {
        let map = spec.as_object_mut().expect("an object");
        map.entry("ports").or_insert_with(|| json!([{"port": 80}]));
        assert_eq!(create(&strategy(), service(spec)), expected);
    };
    check(json!({"type": "NodePort"}), "");
    check(json!({"type": "ExternalName", "externalName": "a.example."}), "");
    check(json!({"type": "ExternalName"}), "spec.externalName: Required value");
    check(
        json!({"type": "Tunnel"}),
        "spec.type: Unsupported value: \"Tunnel\": supported values: \"ClusterIP\", \"ExternalName\", \
         \"LoadBalancer\", \"NodePort\"",
    );
    check(
        json!({"type": "NodePort", "clusterIP": "None"}),
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
    );
    check(
        json!({"clusterIP": "x"}),
        "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    );
    check(
        json!({"clusterIPs": ["10.96.0.1"]}),
        "spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: must be empty when `clusterIP` is not specified",
    );
    check(
        json!({"clusterIP": "10.96.0.1", "ipFamilies": ["IPv6"]}),
        "spec.clusterIPs[0]: Invalid value: \"10.96.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
    );
    check(
        json!({"sessionAffinity": "Cookie", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "x"}),
        "spec.sessionAffinity: Unsupported value: \"Cookie\": supported values: \"ClientIP\", \"None\"\n\
         spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible \
         services\n\
         spec.internalTrafficPolicy: Unsupported value: \"x\": supported values: \"Cluster\", \"Local\"",
    );
    let long = "a".repeat(64);
    check(
        json!({"selector": {&long: &long}, "loadBalancerClass": "x.io/y"}),
        &format!(
            "spec.selector: Invalid value: \"{long}\": name part must be no more than 63 bytes\n\
             spec.selector: Invalid value: \"{long}\": must be no more than 63 bytes\n\
             spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"
        ),
    );
}

#[test]
fn updates() {
    let old = service(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}));
    let check = |new, expected: &str| assert_eq!(update(&strategy(), old.clone(), service(new)), expected);
    check(json!({"ports": [{"port": 81}]}), "");
    check(
        json!({"type": "ExternalName", "externalName": "a.b", "clusterIP": "10.96.0.1",
        "clusterIPs": ["10.96.0.1"]}),
        "",
    );
    check(
        json!({"ports": [{"port": 80}], "clusterIP": "10.96.0.2"}),
        "spec.clusterIPs[0]: Invalid value: [\"10.96.0.2\"]: may not change once set",
    );

    let (mut old, mut new) = (old.clone(), service(json!({"ports": [{"port": 81}]})));
    default(&mut old);
    prepare_create(&mut old);
    default(&mut new);
    prepare_update(&mut new, &old);
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.96.0.1"]));
    assert_eq!(new["spec"]["ipFamilies"], json!(["IPv4"]));
    assert_eq!(new["status"], json!({"loadBalancer": {}}));
}

#[test]
fn node_ports_go_with_the_type() {
    let old = service(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}],
        "clusterIP": "10.96.0.1"}));
    let mut new = old.clone();
    new["spec"]["type"] = "ClusterIP".into();
    new["spec"]["externalTrafficPolicy"] = Value::Null;
    assert_eq!(update(&strategy(), old, new), "");
}
