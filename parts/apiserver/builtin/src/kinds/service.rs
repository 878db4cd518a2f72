//! Service: ports, types, cluster addresses.
//!
//! The address itself is allocated by the server, which alone knows what is taken: where [`needs_cluster_ip`] says
//! so it draws one with [`cluster_ip`] and sets it with [`set_cluster_ip`], between `prepare_*` and `validate`.
//! The cluster has one address family, IPv4; node ports are kept as given and are not allocated.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use purlin_apiserver_schema::{
    FieldError, NameForm, Strategy, dns1123_label, dns1123_subdomain, label_value, qualified_name,
};
use serde_json::{Map, Value, json};

use super::{PROTOCOLS, port_number};
use crate::value::{
    at, carry, default_text, drop_nulls, duplicate, entries, forbidden, int, invalid_if, list, object, text, texts,
    unsupported,
};

/// 10.96.0.0/12, the range of kubeadm.
const RANGE_BASE: u32 = u32::from_be_bytes([10, 96, 0, 0]);
const RANGE_SIZE: u32 = 1 << 20;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// A day is the longest that a client may stick to a backend; three hours are the default.
const AFFINITY_MAX: i64 = 86_400;
const AFFINITY_DEFAULT: i64 = 10_800;

pub(crate) fn strategy() -> Strategy {
    Strategy { default, prepare_create, prepare_update, validate, name: NameForm::Label, ..Strategy::default() }
}

/// A free address of 10.96.0.0/12 for a Service: the first one from a random place on that is not taken. The
/// network's first and last address are never given; `None` when all are taken.
pub fn cluster_ip(random: u64, taken: &dyn Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let usable = u64::from(RANGE_SIZE - 2);
    (0..usable).map(|i| Ipv4Addr::from(RANGE_BASE + 1 + ((random % usable + i) % usable) as u32)).find(|ip| !taken(*ip))
}

/// Whether the server has to allocate an address.
pub fn needs_cluster_ip(service: &Value) -> bool {
    text(service, "spec.type") != "ExternalName"
        && text(service, "spec.clusterIP").is_empty()
        && list(service, "spec.clusterIPs").is_empty()
}

/// Gives a Service its address, and the family that follows from it.
pub fn set_cluster_ip(service: &mut Value, ip: Ipv4Addr) {
    if let Some(spec) = object(service, "spec") {
        spec.insert("clusterIP".to_owned(), ip.to_string().into());
        spec.insert("clusterIPs".to_owned(), json!([ip.to_string()]));
        default_families(spec);
    }
}

fn default(service: &mut Value) {
    drop_nulls(service);
    let Some(spec) = object(service, "spec") else { return };
    default_text(spec, "sessionAffinity", "None");
    default_text(spec, "type", "ClusterIP");
    default_affinity(spec);
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            default_port(port);
        }
    }
    let ty = field(spec, "type").to_owned();
    let external_ips = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if matches!(ty.as_str(), "NodePort" | "LoadBalancer") || (ty == "ClusterIP" && external_ips) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(ty.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") && !spec.contains_key("internalTrafficPolicy") {
        spec.insert("internalTrafficPolicy".to_owned(), "Cluster".into());
    }
    if ty == "LoadBalancer" {
        spec.entry("allocateLoadBalancerNodePorts").or_insert(true.into());
    }
    if ty != "ExternalName" {
        default_families(spec);
    }
}

fn default_affinity(spec: &mut Map<String, Value>) {
    match field(spec, "sessionAffinity") {
        "None" => drop(spec.shift_remove("sessionAffinityConfig")),
        "ClientIP" => {
            let seconds = spec.get("sessionAffinityConfig").and_then(|c| c.pointer("/clientIP/timeoutSeconds"));
            if seconds.is_none() {
                let config = json!({"clientIP": {"timeoutSeconds": AFFINITY_DEFAULT}});
                spec.insert("sessionAffinityConfig".to_owned(), config);
            }
        }
        _ => {}
    }
}

fn default_port(port: &mut Map<String, Value>) {
    default_text(port, "protocol", "TCP");
    let unset = port.get("targetPort").is_none_or(|t| *t == 0 || *t == "");
    if unset && let Some(number) = port.get("port").cloned() {
        port.insert("targetPort".to_owned(), number);
    }
}

/// Family and policy of a Service that has its address.
fn default_families(spec: &mut Map<String, Value>) {
    let family = match field(spec, "clusterIP") {
        "" => return,
        ip if ip.contains(':') => "IPv6",
        _ => "IPv4",
    };
    // A headless Service without selector is for whoever fills in its endpoints, of both families.
    let selects = spec.get("selector").and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    let open = field(spec, "clusterIP") == "None" && !selects;
    default_text(spec, "ipFamilyPolicy", if open { "RequireDualStack" } else { "SingleStack" });
    let single = field(spec, "ipFamilyPolicy") == "SingleStack";
    let families = spec.entry("ipFamilies").or_insert_with(|| json!([family]));
    if open
        && !single
        && let Some([only]) = families.as_array().map(Vec::as_slice)
    {
        let other = if *only == "IPv6" { "IPv4" } else { "IPv6" };
        *families = json!([only, other]);
    }
}

fn field<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn prepare_create(service: &mut Value) {
    if let Some(map) = service.as_object_mut() {
        map.insert("status".to_owned(), json!({"loadBalancer": {}}));
    }
    if let Some(spec) = object(service, "spec")
        && !spec.contains_key("clusterIPs")
        && !field(spec, "clusterIP").is_empty()
    {
        let ip = field(spec, "clusterIP").to_owned();
        spec.insert("clusterIPs".to_owned(), json!([ip]));
    }
}

/// Carries over the allocated address where an updater leaves it out (`kubectl replace` of a manifest), and lets it
/// go where the type no longer has one.
fn prepare_update(service: &mut Value, old: &Value) {
    carry(service, old, "status");
    let (ty, old_ty) = (text(service, "spec.type").to_owned(), text(old, "spec.type"));
    let (old_ip, old_ips) = (text(old, "spec.clusterIP"), at(old, "spec.clusterIPs"));
    let Some(spec) = object(service, "spec") else { return };
    if ty == "ExternalName" {
        if old_ty != "ExternalName" && field(spec, "clusterIP") == old_ip && spec.get("clusterIPs") == old_ips {
            for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.shift_remove(key);
            }
        }
        return;
    }
    if old_ty == "ExternalName" {
        if field(spec, "clusterIP").is_empty() {
            return;
        }
    } else if field(spec, "clusterIP").is_empty() && !spec.contains_key("clusterIPs") {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if !spec.contains_key(key)
                && let Some(value) = at(old, &format!("spec.{key}"))
            {
                spec.insert(key.to_owned(), value.clone());
            }
        }
    }
    // Who changes one of the two fields means both.
    let ip = field(spec, "clusterIP").to_owned();
    if !ip.is_empty() && ip != old_ip && (spec.get("clusterIPs") == old_ips || !spec.contains_key("clusterIPs")) {
        spec.insert("clusterIPs".to_owned(), json!([ip]));
    } else if !ip.is_empty() {
        spec.entry("clusterIPs").or_insert_with(|| json!([ip]));
    }
    default_families(spec);
    drop_stale_node_ports(spec, &ty, old);
}

/// A Service that turns into a plain ClusterIP loses the node ports that it had.
fn drop_stale_node_ports(spec: &mut Map<String, Value>, ty: &str, old: &Value) {
    if ty != "ClusterIP" || !matches!(text(old, "spec.type"), "NodePort" | "LoadBalancer") {
        return;
    }
    let had: HashSet<i64> = list(old, "spec.ports").iter().filter_map(|p| int(p, "nodePort")).collect();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if int(port, "nodePort").is_some_and(|p| had.contains(&p))
            && let Some(port) = port.as_object_mut()
        {
            port.shift_remove("nodePort");
        }
    }
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        check_unchanged(&mut errors, new, old);
    }
    let ty = text(new, "spec.type");
    let headless = is_headless(new);
    let ports = list(new, "spec.ports");
    if ports.is_empty() && !headless && ty != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    check_type(&mut errors, new, ty, headless);
    check_ports(&mut errors, ports, ty);
    for (key, value) in entries(new, "spec.selector") {
        let value = value.as_str().unwrap_or_default();
        invalid_if(&mut errors, "spec.selector", key, qualified_name(key));
        invalid_if(&mut errors, "spec.selector", value, label_value(value));
    }
    check_affinity(&mut errors, new);
    if ty != "ExternalName" {
        check_cluster_ips(&mut errors, new);
    }
    for (i, ip) in texts(new, "spec.externalIPs").enumerate() {
        check_ip(&mut errors, &format!("spec.externalIPs[{i}]"), ip);
    }
    check_policies(&mut errors, new, ty);
    errors
}

fn is_headless(service: &Value) -> bool {
    let ips = list(service, "spec.clusterIPs");
    ips.len() == 1 && ips.first().is_some_and(|ip| ip == "None")
}

/// The primary address stays for the Service's life, unless it turns from or to ExternalName.
fn check_unchanged(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let external = |s| text(s, "spec.type") == "ExternalName";
    if external(new) || external(old) || (is_headless(new) && is_headless(old)) {
        return;
    }
    let (now, before) = (list(new, "spec.clusterIPs"), list(old, "spec.clusterIPs"));
    let what = match (now.first(), before.first()) {
        (None, Some(_)) => "primary clusterIP can not be unset",
        (Some(now), Some(before)) if now != before => "may not change once set",
        _ => return,
    };
    errors.push(FieldError::invalid("spec.clusterIPs[0]", now.to_vec().into(), what));
}

fn check_type(errors: &mut Vec<FieldError>, service: &Value, ty: &str, headless: bool) {
    match ty {
        "LoadBalancer" | "NodePort" if headless => {
            let what = format!("may not be set to 'None' for {ty} services");
            errors.push(FieldError::invalid("spec.clusterIPs[0]", "None".into(), what));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if service.pointer(&format!("/spec/{field}")).is_some_and(|v| *v != json!([])) {
                    errors.push(forbidden(&format!("spec.{field}"), "may not be set for ExternalName services"));
                }
            }
            let name = text(service, "spec.externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => errors.push(FieldError::required("spec.externalName", "")),
                name => invalid_if(errors, "spec.externalName", name, dns1123_subdomain(name)),
            }
        }
        _ => {}
    }
    if !TYPES.contains(&ty) {
        errors.push(unsupported("spec.type", ty, &TYPES));
    }
}

fn check_ports(errors: &mut Vec<FieldError>, ports: &[Value], ty: &str) {
    let (mut names, mut numbers, mut nodes) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (i, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let name_path = format!("{path}.name");
        match text(port, "name") {
            "" if ports.len() > 1 => errors.push(FieldError::required(name_path, "")),
            "" => {}
            name => {
                invalid_if(errors, &name_path, name, dns1123_label(name));
                if !names.insert(name) {
                    errors.push(duplicate(name_path, name.into()));
                }
            }
        }
        let number = int(port, "port").unwrap_or(0);
        if let Some(message) = port_number(number) {
            errors.push(FieldError::invalid(format!("{path}.port"), number.into(), message));
        }
        let protocol = text(port, "protocol");
        if !PROTOCOLS.contains(&protocol) {
            errors.push(unsupported(&format!("{path}.protocol"), protocol, &PROTOCOLS));
        }
        check_target(errors, port.get("targetPort"), &format!("{path}.targetPort"));
        if let Some(app) = at(port, "appProtocol").and_then(Value::as_str) {
            invalid_if(errors, &format!("{path}.appProtocol"), app, qualified_name(app));
        }
        let node = int(port, "nodePort").unwrap_or(0);
        if node != 0 {
            let node_path = format!("{path}.nodePort");
            if ty == "ClusterIP" {
                errors.push(forbidden(&node_path, "may not be used when `type` is 'ClusterIP'"));
            }
            if !nodes.insert((protocol, node)) {
                errors.push(duplicate(node_path, node.into()));
            }
        }
        if !numbers.insert((protocol, number)) {
            errors.push(duplicate(path, json!({"protocol": protocol, "port": number})));
        }
    }
}

fn check_target(errors: &mut Vec<FieldError>, target: Option<&Value>, path: &str) {
    match target {
        Some(Value::String(name)) => invalid_if(errors, path, name, port_name(name)),
        Some(number) => {
            let message = port_number(number.as_i64().unwrap_or(0));
            errors.extend(message.map(|m| FieldError::invalid(path, number.clone(), m)));
        }
        None => {}
    }
}

/// What is wrong with a port's name as containers have it (RFC 6335).
fn port_name(name: &str) -> Option<String> {
    let message = if name.len() > 15 {
        "must be no more than 15 bytes"
    } else if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    } else if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        "must contain at least one letter (a-z)"
    } else if name.contains("--") {
        "must not contain consecutive hyphens"
    } else if name.starts_with('-') || name.ends_with('-') {
        "must not begin or end with a hyphen"
    } else {
        return None;
    };
    Some(message.to_owned())
}

fn check_affinity(errors: &mut Vec<FieldError>, service: &Value) {
    let path = "spec.sessionAffinityConfig";
    match text(service, "spec.sessionAffinity") {
        "ClientIP" => match int(service, "spec.sessionAffinityConfig.clientIP.timeoutSeconds") {
            None => {
                let what = "when session affinity type is ClientIP";
                errors.push(FieldError::required(format!("{path}.clientIP.timeoutSeconds"), what));
            }
            Some(1..=AFFINITY_MAX) => {}
            Some(seconds) => errors.push(FieldError::invalid(
                format!("{path}.clientIP.timeoutSeconds"),
                seconds.into(),
                format!("must be greater than 0 and less than {AFFINITY_MAX}"),
            )),
        },
        "None" => {
            if at(service, path).is_some() {
                errors.push(forbidden(path, "must not be set when session affinity is None"));
            }
        }
        other => errors.push(unsupported("spec.sessionAffinity", other, &["ClientIP", "None"])),
    }
}

fn check_cluster_ips(errors: &mut Vec<FieldError>, service: &Value) {
    let path = "spec.clusterIPs";
    let (ip, ips) = (text(service, "spec.clusterIP"), list(service, path));
    let mut wrong = |what: &str| errors.push(FieldError::invalid(path, ips.to_vec().into(), what));
    match ips.first() {
        None if !ip.is_empty() => return errors.push(FieldError::required(path, "")),
        Some(_) if ip.is_empty() => wrong("must be empty when `clusterIP` is not specified"),
        Some(first) if *first != ip => wrong("first value must match `clusterIP`"),
        Some(first) if first == "None" && ips.len() > 1 => wrong("'None' must be the first and only value"),
        _ => {}
    }
    if ips.len() > 2 {
        wrong("may only hold up to 2 values");
    }
    let families = ["IPv4", "IPv6"];
    for (i, family) in texts(service, "spec.ipFamilies").enumerate() {
        if !families.contains(&family) {
            errors.push(unsupported(&format!("spec.ipFamilies[{i}]"), family, &families));
        }
        if texts(service, "spec.ipFamilies").take(i).any(|f| f == family) {
            errors.push(duplicate(format!("spec.ipFamilies[{i}]"), family.into()));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    let policy = text(service, "spec.ipFamilyPolicy");
    if !policy.is_empty() && !policies.contains(&policy) {
        errors.push(unsupported("spec.ipFamilyPolicy", policy, &policies));
    }
    for (i, ip) in ips.iter().filter_map(Value::as_str).enumerate().filter(|(_, ip)| *ip != "None") {
        let path = format!("{path}[{i}]");
        check_ip(errors, &path, ip);
        let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
        if let Some(expected) = texts(service, "spec.ipFamilies").nth(i).filter(|f| *f != family) {
            let what = format!("expected an {expected} value as indicated by `ipFamilies[{i}]`");
            errors.push(FieldError::invalid(path, ip.into(), what));
        }
    }
}

fn check_ip(errors: &mut Vec<FieldError>, path: &str, ip: &str) {
    if ip.parse::<IpAddr>().is_err() {
        let what = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(path, ip.into(), what));
    }
}

fn check_policies(errors: &mut Vec<FieldError>, service: &Value, ty: &str) {
    let path = "spec.externalTrafficPolicy";
    let policies = ["Cluster", "Local"];
    let external = matches!(ty, "NodePort" | "LoadBalancer")
        || (ty == "ClusterIP" && !list(service, "spec.externalIPs").is_empty());
    match text(service, path) {
        "" if external => errors.push(FieldError::required(path, "")),
        "" => {}
        policy if !external => {
            errors.push(FieldError::invalid(path, policy.into(), "may only be set for externally-accessible services"));
        }
        policy if !policies.contains(&policy) => errors.push(unsupported(path, policy, &policies)),
        _ => {}
    }
    let path = "spec.internalTrafficPolicy";
    if let Some(policy) = at(service, path).and_then(Value::as_str).filter(|p| !policies.contains(p)) {
        errors.push(unsupported(path, policy, &policies));
    }
    let path = "spec.trafficDistribution";
    let ways = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    if let Some(way) = at(service, path).and_then(Value::as_str).filter(|w| !ways.contains(w)) {
        errors.push(unsupported(path, way, &ways));
    }
    if ty != "LoadBalancer" {
        let what = "may only be used when `type` is 'LoadBalancer'";
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if at(service, &format!("spec.{field}")).is_some() {
                errors.push(forbidden(&format!("spec.{field}"), what));
            }
        }
        if !list(service, "spec.loadBalancerSourceRanges").is_empty() {
            errors.push(forbidden("spec.LoadBalancerSourceRanges", what));
        }
    }
}

#[cfg(test)]
mod tests;
