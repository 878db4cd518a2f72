//! EndpointSlice and Endpoints: where the backends of a Service are.
//!
//! One deviation from kube-apiserver: loopback addresses are accepted in EndpointSlices, because the node of the
//! embedded API is this machine.

use std::collections::HashSet;
use std::net::IpAddr;

use purlin_apiserver_schema::{FieldError, Strategy, dns1123_label, dns1123_subdomain, label_value, qualified_name};
use serde_json::Value;

use super::{PROTOCOLS, port_number};
use crate::value::{
    at, default_text, drop_nulls, duplicate, entries, immutable, int, invalid_if, list, text, too_many, unsupported,
};

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_HINTS: usize = 8;
const MAX_TOPOLOGY: usize = 16;

pub(crate) fn slice() -> Strategy {
    Strategy { default: default_slice, validate: validate_slice, generation: true, ..Strategy::default() }
}

pub(crate) fn endpoints() -> Strategy {
    Strategy { default: default_endpoints, validate: validate_endpoints, ..Strategy::default() }
}

fn default_slice(slice: &mut Value) {
    drop_nulls(slice);
    for port in slice.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            default_text(port, "name", "");
            // Set, but empty, is not absent: the protocol is a pointer in Kubernetes.
            port.entry("protocol").or_insert_with(|| "TCP".into());
        }
    }
}

fn validate_slice(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let ty = text(new, "addressType");
    if ty.is_empty() {
        errors.push(FieldError::required("addressType", ""));
    } else if !ADDRESS_TYPES.contains(&ty) {
        errors.push(unsupported("addressType", ty, &ADDRESS_TYPES));
    }
    check_ports(&mut errors, list(new, "ports"));
    // What was accepted once stays accepted while it does not change.
    if old.is_none_or(|old| at(old, "endpoints") != at(new, "endpoints")) {
        check_endpoints(&mut errors, list(new, "endpoints"), ty);
    }
    if let Some(old) = old {
        immutable(&mut errors, new, old, "addressType");
    }
    errors
}

fn check_ports(errors: &mut Vec<FieldError>, ports: &[Value]) {
    if ports.len() > MAX_PORTS {
        errors.push(too_many("ports", ports.len(), MAX_PORTS));
        return;
    }
    let mut names = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let name = text(port, "name");
        let path = format!("ports[{i}].name");
        if !name.is_empty() {
            invalid_if(errors, &path, name, dns1123_label(name));
        }
        if !names.insert(name) {
            errors.push(duplicate(path, name.into()));
        }
        let protocol = text(port, "protocol");
        if !PROTOCOLS.contains(&protocol) {
            errors.push(unsupported(&format!("ports[{i}].protocol"), protocol, &PROTOCOLS));
        }
        if let Some(app) = at(port, "appProtocol").and_then(Value::as_str) {
            invalid_if(errors, &format!("ports[{i}].appProtocol"), app, qualified_name(app));
        }
        if let Some(number) = int(port, "port")
            && let Some(message) = port_number(number)
        {
            errors.push(FieldError::invalid(format!("ports[{i}].port"), number.into(), message));
        }
    }
}

fn check_endpoints(errors: &mut Vec<FieldError>, endpoints: &[Value], ty: &str) {
    if endpoints.len() > MAX_ENDPOINTS {
        errors.push(too_many("endpoints", endpoints.len(), MAX_ENDPOINTS));
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = format!("endpoints[{i}]");
        let addresses = list(endpoint, "addresses");
        let field = format!("{path}.addresses");
        match addresses.len() {
            0 => errors.push(FieldError::required(field.as_str(), "must contain at least 1 address")),
            1..=MAX_ADDRESSES => {}
            n => errors.push(too_many(&field, n, MAX_ADDRESSES)),
        }
        for (j, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            check_address(errors, address, ty, &field, j);
        }
        if let Some(node) = at(endpoint, "nodeName").and_then(Value::as_str) {
            invalid_if(errors, &format!("{path}.nodeName"), node, dns1123_subdomain(node));
        }
        if let Some(host) = at(endpoint, "hostname").and_then(Value::as_str) {
            invalid_if(errors, &format!("{path}.hostname"), host, dns1123_label(host));
        }
        check_topology(errors, endpoint, &format!("{path}.deprecatedTopology"));
        check_hints(errors, list(endpoint, "hints.forZones"), &format!("{path}.hints.forZones"), label_value);
        check_hints(errors, list(endpoint, "hints.forNodes"), &format!("{path}.hints.forNodes"), dns1123_subdomain);
    }
}

fn check_address(errors: &mut Vec<FieldError>, address: &str, ty: &str, field: &str, index: usize) {
    let path = format!("{field}[{index}]");
    match (ty, address.parse::<IpAddr>()) {
        ("IPv4", Ok(IpAddr::V6(_))) => {
            errors.push(FieldError::invalid(field, address.into(), "must be an IPv4 address"));
        }
        ("IPv6", Ok(IpAddr::V4(_))) => {
            errors.push(FieldError::invalid(field, address.into(), "must be an IPv6 address"));
        }
        ("IPv4" | "IPv6", Ok(ip)) => {
            if ty == "IPv6" && ip.to_string() != address {
                let what = format!("must be in canonical form ({:?})", ip.to_string());
                errors.push(FieldError::invalid(path.as_str(), address.into(), what));
            }
            invalid_if(errors, &path, address, special(ip));
        }
        ("IPv4" | "IPv6", Err(_)) => {
            let what = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(path, address.into(), what));
        }
        ("FQDN", _) => invalid_if(errors, &path, address, full_name(address)),
        _ => {}
    }
}

/// What is wrong with a domain name of at least two labels.
fn full_name(name: &str) -> Vec<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let messages = dns1123_subdomain(name);
    if !messages.is_empty() {
        messages
    } else if name.contains('.') {
        name.split('.').flat_map(dns1123_label).collect()
    } else {
        vec!["should be a domain with at least two segments separated by dots".to_owned()]
    }
}

/// Addresses at which no backend can be. Loopback is not among them: see the file's head.
fn special(ip: IpAddr) -> Option<String> {
    let (unspecified, link_local, multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_unspecified(), ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unspecified(), ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    if unspecified {
        Some(format!("may not be unspecified ({ip})"))
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned())
    } else {
        multicast.then(|| "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned())
    }
}

fn check_topology(errors: &mut Vec<FieldError>, endpoint: &Value, path: &str) {
    let count = entries(endpoint, "deprecatedTopology").count();
    if count > MAX_TOPOLOGY {
        errors.push(too_many(path, count, MAX_TOPOLOGY));
        return;
    }
    for (key, value) in entries(endpoint, "deprecatedTopology") {
        let value = value.as_str().unwrap_or_default();
        invalid_if(errors, path, key, qualified_name(key));
        invalid_if(errors, path, value, label_value(value));
    }
}

fn check_hints(errors: &mut Vec<FieldError>, hints: &[Value], path: &str, rule: fn(&str) -> Vec<String>) {
    if hints.len() > MAX_HINTS {
        errors.push(too_many(path, hints.len(), MAX_HINTS));
        return;
    }
    let mut names = HashSet::new();
    for (i, hint) in hints.iter().enumerate() {
        let name = text(hint, "name");
        let path = format!("{path}[{i}].name");
        if !names.insert(name) {
            errors.push(duplicate(path.as_str(), name.into()));
        }
        invalid_if(errors, &path, name, rule(name));
    }
}

fn default_endpoints(endpoints: &mut Value) {
    drop_nulls(endpoints);
    for subset in endpoints.get_mut("subsets").and_then(Value::as_array_mut).into_iter().flatten() {
        for port in subset.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                default_text(port, "protocol", "TCP");
            }
        }
    }
}

fn validate_endpoints(endpoints: &Value, _: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, subset) in list(endpoints, "subsets").iter().enumerate() {
        let path = format!("subsets[{i}]");
        let ready = list(subset, "addresses").iter().enumerate().map(|a| ("addresses", a));
        let waiting = list(subset, "notReadyAddresses").iter().enumerate().map(|a| ("notReadyAddresses", a));
        let mut any = false;
        for (field, (j, address)) in ready.chain(waiting) {
            any = true;
            let (path, ip) = (format!("{path}.{field}[{j}].ip"), text(address, "ip"));
            match ip.parse::<IpAddr>() {
                Ok(parsed) => invalid_if(&mut errors, &path, ip, special(parsed)),
                Err(_) => errors.push(FieldError::invalid(path, ip.into(), "must be a valid IP address")),
            }
        }
        if !any {
            errors.push(FieldError::required(path.as_str(), "must specify `addresses` or `notReadyAddresses`"));
        }
        let ports = list(subset, "ports");
        for (j, port) in ports.iter().enumerate() {
            let path = format!("{path}.ports[{j}]");
            match text(port, "name") {
                "" if ports.len() > 1 => errors.push(FieldError::required(format!("{path}.name"), "")),
                "" => {}
                name => invalid_if(&mut errors, &format!("{path}.name"), name, dns1123_label(name)),
            }
            let number = int(port, "port").unwrap_or(0);
            if let Some(message) = port_number(number) {
                errors.push(FieldError::invalid(format!("{path}.port"), number.into(), message));
            }
            let protocol = text(port, "protocol");
            if !PROTOCOLS.contains(&protocol) {
                errors.push(unsupported(&format!("{path}.protocol"), protocol, &PROTOCOLS));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{create, update};

    fn with(ty: &str, addresses: &[&str]) -> Value {
        json!({"addressType": ty, "endpoints": [{"addresses": addresses}], "ports": [{"port": 80}]})
    }

    #[test]
    fn defaults() {
        let mut object = json!({"ports": [{"port": 80}, {"name": "x", "protocol": "UDP", "appProtocol": null}]});
        default_slice(&mut object);
        let expected = json!({"ports": [
            {"port": 80, "name": "", "protocol": "TCP"}, {"name": "x", "protocol": "UDP"}
        ]});
        assert_eq!(object, expected);
    }

    #[test]
    fn addresses() {
        let check = |ty: &str, address: &str, expected: &str| {
            assert_eq!(create(&slice(), with(ty, &[address])), expected, "{ty} {address}");
        };
        check("IPv4", "127.0.0.1", "");
        check("IPv6", "::1", "");
        check("FQDN", "a.example.com.", "");
        let field = "endpoints[0].addresses";
        let not_an_ip = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        check("IPv4", "010.0.0.1", &format!("{field}[0]: Invalid value: \"010.0.0.1\": {not_an_ip}"));
        check("IPv4", "x", &format!("{field}[0]: Invalid value: \"x\": {not_an_ip}"));
        check("IPv4", "2001:db8::1", &format!("{field}: Invalid value: \"2001:db8::1\": must be an IPv4 address"));
        check("IPv4", "0.0.0.0", &format!("{field}[0]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)"));
        check(
            "IPv4",
            "169.254.1.1",
            &format!(
                "{field}[0]: Invalid value: \"169.254.1.1\": may not be in the link-local range (169.254.0.0/16, \
                 fe80::/10)"
            ),
        );
        check(
            "IPv6",
            "ff02::1",
            &format!(
                "{field}[0]: Invalid value: \"ff02::1\": may not be in the link-local multicast range (224.0.0.0/24, \
                 ff02::/10)"
            ),
        );
        check(
            "IPv6",
            "2001:DB8::1",
            &format!("{field}[0]: Invalid value: \"2001:DB8::1\": must be in canonical form (\"2001:db8::1\")"),
        );
        check(
            "FQDN",
            "host",
            &format!(
                "{field}[0]: Invalid value: \"host\": should be a domain with at least two segments separated by dots"
            ),
        );
        check("", "1.2.3.4", "addressType: Required value");
        check("MAC", "x", "addressType: Unsupported value: \"MAC\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"");
    }

    #[test]
    fn counts_and_ports() {
        let check = |object, expected: &str| assert_eq!(create(&slice(), object), expected);
        check(json!({"addressType": "IPv4"}), "");
        check(with("IPv4", &[]), "endpoints[0].addresses: Required value: must contain at least 1 address");
        let one = json!({"addresses": ["10.0.0.1"]});
        check(
            json!({"addressType": "IPv4", "endpoints": vec![one; MAX_ENDPOINTS + 1]}),
            "endpoints: Too many: 1001: must have at most 1000 items",
        );
        check(with("IPv4", &["10.0.0.1"; 101]), "endpoints[0].addresses: Too many: 101: must have at most 100 items");
        check(
            json!({"addressType": "IPv4", "ports": [
                {"name": "a"}, {"name": "a", "protocol": "ICMP"}, {"name": "a.b"}, {"name": "b", "port": 70000}
            ]}),
            "ports[1].name: Duplicate value: \"a\"\n\
             ports[1].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"\n\
             ports[2].name: Invalid value: \"a.b\": must not contain dots\n\
             ports[3].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        );
        let zones = json!({"forZones": [{"name": "a"}, {"name": "a"}], "forNodes": vec![json!({"name": "n"}); 9]});
        check(
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "hints": zones}]}),
            "endpoints[0].hints.forZones[1].name: Duplicate value: \"a\"\n\
             endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items",
        );
    }

    #[test]
    fn the_address_type_stays() {
        assert_eq!(
            update(&slice(), with("IPv4", &["10.0.0.1"]), with("FQDN", &["a.b"])),
            "addressType: Invalid value: \"FQDN\": field is immutable"
        );
        assert_eq!(update(&slice(), with("IPv4", &["10.0.0.1"]), with("IPv4", &["10.0.0.2"])), "");
    }

    #[test]
    fn plain_endpoints() {
        let check = |subset, expected: &str| assert_eq!(create(&endpoints(), json!({"subsets": [subset]})), expected);
        check(json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}), "");
        check(json!({}), "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`");
        check(
            json!({"addresses": [{"ip": "x"}], "ports": [{"port": 0}, {"port": 1, "name": "a"}]}),
            "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address\n\
             subsets[0].ports[0].name: Required value\n\
             subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        );
    }
}
