//! The columns that `kubectl get` shows of each kind.
//!
//! Names, order, types and cells are those of kube-apiserver's printers (`pkg/printers/internalversion`); kinds
//! without a printer there show when they were created. `Name` is first and implied (see `VersionDef::columns`),
//! but for Event, which has it last.

use std::collections::BTreeSet;

use purlin_apiserver_schema::{Column, ColumnSource, Schema, age};
use serde_json::{Map, Value};

use crate::schema::doc_at;
use crate::value::{at, entries, int, list, text, texts};

/// One column of a kind.
pub(crate) struct Cell {
    name: &'static str,
    ty: &'static str,
    format: &'static str,
    priority: i32,
    says: Says,
    cell: fn(&Value, i64) -> Value,
}

/// Where a column's description comes from.
enum Says {
    /// What the schema says of the field at this path.
    Field(&'static str),
    /// Our words.
    Words(&'static str),
}

impl Cell {
    const fn new(name: &'static str, field: &'static str, cell: fn(&Value, i64) -> Value) -> Self {
        Cell { name, ty: "string", format: "", priority: 0, says: Says::Field(field), cell }
    }

    /// Shown with `-o wide` only.
    const fn wide(self) -> Self {
        Cell { priority: 1, ..self }
    }

    const fn says(self, words: &'static str) -> Self {
        Cell { says: Says::Words(words), ..self }
    }
}

/// The columns of a kind, described by its tree.
pub(crate) fn columns(cells: &[Cell], schema: &Schema) -> Vec<Column> {
    let column = |cell: &Cell| Column {
        name: cell.name.to_owned(),
        ty: cell.ty.to_owned(),
        format: cell.format.to_owned(),
        description: match cell.says {
            Says::Field(path) => doc_at(schema, path),
            Says::Words(words) => words.to_owned(),
        },
        priority: cell.priority,
        source: ColumnSource::Func(cell.cell),
    };
    cells.iter().map(column).collect()
}

const AGE: Cell =
    Cell::new("Age", "metadata.creationTimestamp", |o, now| since(text(o, "metadata.creationTimestamp"), now));

/// Of kinds that have no columns of their own.
pub(crate) const PLAIN: &[Cell] = &[Cell {
    ty: "date",
    ..Cell::new("Created At", "metadata.creationTimestamp", |o, _| text(o, "metadata.creationTimestamp").into())
}];

pub(crate) const AGE_ONLY: &[Cell] = &[AGE];

pub(crate) const NAMESPACE: &[Cell] = &[
    Cell::new("Status", "status.phase", |o, _| text(o, "status.phase").into()).says("The status of the namespace"),
    AGE,
];

pub(crate) const CONFIG_MAP: &[Cell] =
    &[Cell::new("Data", "data", |o, _| (entries(o, "data").count() + entries(o, "binaryData").count()).into()), AGE];

pub(crate) const SECRET: &[Cell] = &[
    Cell::new("Type", "type", |o, _| text(o, "type").into()),
    Cell::new("Data", "data", |o, _| entries(o, "data").count().into()),
    AGE,
];

pub(crate) const SERVICE: &[Cell] = &[
    Cell::new("Type", "spec.type", |o, _| text(o, "spec.type").into()),
    Cell::new("Cluster-IP", "spec.clusterIP", |o, _| or_none(texts(o, "spec.clusterIPs").next().unwrap_or_default())),
    Cell::new("External-IP", "spec.externalIPs", |o, _| external_ip(o).into()),
    Cell::new("Port(s)", "spec.ports", |o, _| service_ports(o)),
    AGE,
    Cell::new("Selector", "spec.selector", |o, _| labels(at(o, "spec.selector"))).wide(),
];

pub(crate) const ENDPOINTS: &[Cell] = &[Cell::new("Endpoints", "subsets", |o, _| subsets(o).into()), AGE];

pub(crate) const ENDPOINT_SLICE: &[Cell] = &[
    Cell::new("AddressType", "addressType", |o, _| text(o, "addressType").into()),
    Cell::new("Ports", "ports", |o, _| {
        let port = |p: &Value| match (int(p, "port"), at(p, "name").and_then(Value::as_str)) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        };
        three(list(o, "ports").iter().map(port)).into()
    }),
    Cell::new("Endpoints", "endpoints", |o, _| {
        three(list(o, "endpoints").iter().flat_map(|e| texts(e, "addresses")).map(str::to_owned)).into()
    }),
    AGE,
];

pub(crate) const LEASE: &[Cell] =
    &[Cell::new("Holder", "spec.holderIdentity", |o, _| text(o, "spec.holderIdentity").into()), AGE];

pub(crate) const BINDING: &[Cell] = &[
    Cell::new("Role", "roleRef", |o, _| format!("{}/{}", text(o, "roleRef.kind"), text(o, "roleRef.name")).into()),
    AGE,
    Cell::new("Users", "", |o, _| subjects(o, "User")).wide().says("The users of the binding"),
    Cell::new("Groups", "", |o, _| subjects(o, "Group")).wide().says("The groups of the binding"),
    Cell::new("ServiceAccounts", "", |o, _| subjects(o, "ServiceAccount"))
        .wide()
        .says("The service accounts of the binding"),
];

pub(crate) const EVENT: &[Cell] = &[
    Cell::new("Last Seen", "lastTimestamp", last_seen),
    Cell::new("Type", "type", |o, _| text(o, "type").into()),
    Cell::new("Reason", "reason", |o, _| text(o, "reason").into()),
    Cell::new("Object", "involvedObject", |o, _| event_object(o).into()),
    Cell::new("Subobject", "involvedObject.fieldPath", |o, _| text(o, "involvedObject.fieldPath").into()).wide(),
    Cell::new("Source", "source", |o, _| event_source(o).into()).wide(),
    Cell::new("Message", "message", |o, _| text(o, "message").trim().into()),
    Cell::new("First Seen", "firstTimestamp", |o, now| since(first_seen(o), now)).wide(),
    Cell::new("Count", "count", |o, _| event_count(o).into()).wide(),
    Cell { format: "name", ..Cell::new("Name", "metadata.name", |o, _| text(o, "metadata.name").into()).wide() },
];

/// Of events.k8s.io: the same columns, of the object in its stored shape.
pub(crate) const NEW_EVENT: &[Cell] = &[
    Cell::new("Last Seen", "deprecatedLastTimestamp", |o, now| last_seen(&stored(o), now)),
    Cell::new("Type", "type", |o, _| text(o, "type").into()),
    Cell::new("Reason", "reason", |o, _| text(o, "reason").into()),
    Cell::new("Object", "regarding", |o, _| event_object(&stored(o)).into()),
    Cell::new("Subobject", "regarding.fieldPath", |o, _| text(o, "regarding.fieldPath").into()).wide(),
    Cell::new("Source", "deprecatedSource", |o, _| event_source(&stored(o)).into()).wide(),
    Cell::new("Message", "note", |o, _| text(o, "note").trim().into()),
    Cell::new("First Seen", "deprecatedFirstTimestamp", |o, now| since(first_seen(&stored(o)), now)).wide(),
    Cell::new("Count", "deprecatedCount", |o, _| event_count(&stored(o)).into()).wide(),
    Cell { format: "name", ..Cell::new("Name", "metadata.name", |o, _| text(o, "metadata.name").into()).wide() },
];

fn stored(event: &Value) -> Value {
    let mut event = event.clone();
    crate::kinds::event::to_stored(&mut event);
    event
}

fn since(time: &str, now: i64) -> Value {
    age(time, now).unwrap_or_else(|| "<unknown>".to_owned()).into()
}

fn or_none(cell: &str) -> Value {
    if cell.is_empty() { "<none>" } else { cell }.into()
}

fn labels(map: Option<&Value>) -> Value {
    let no_labels = Map::new();
    let labels = map.and_then(Value::as_object).unwrap_or(&no_labels);
    let sorted: BTreeSet<String> =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    or_none(&Vec::from_iter(sorted).join(","))
}

/// The first three, and how many more there are.
fn three(items: impl Iterator<Item = String>) -> String {
    let mut shown = Vec::new();
    let mut more = 0;
    for item in items {
        if shown.len() < 3 {
            shown.push(item);
        } else {
            more += 1;
        }
    }
    match (shown.is_empty(), more) {
        (true, _) => "<unset>".to_owned(),
        (false, 0) => shown.join(","),
        (false, more) => format!("{} + {more} more...", shown.join(",")),
    }
}

/// The addresses at which a Service is reached from outside.
fn external_ip(service: &Value) -> String {
    let external: Vec<&str> = texts(service, "spec.externalIPs").collect();
    match text(service, "spec.type") {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let balancer = balancer_addresses(service);
            let all: Vec<&str> = balancer.iter().map(String::as_str).chain(external).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(service, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn balancer_addresses(service: &Value) -> Option<String> {
    const WIDTH: usize = 16;
    let address = |ingress| [text(ingress, "ip"), text(ingress, "hostname")].into_iter().find(|a| !a.is_empty());
    let sorted: BTreeSet<&str> = list(service, "status.loadBalancer.ingress").iter().filter_map(address).collect();
    let joined = Vec::from_iter(sorted).join(",");
    if joined.is_empty() {
        return None;
    }
    // Cut as kubectl shows it without `-o wide`; a cell does not know how it is shown.
    let cut = joined.char_indices().nth(WIDTH).and(joined.char_indices().nth(WIDTH - 3)).map(|(i, _)| i);
    Some(cut.and_then(|i| joined.get(..i)).map_or_else(|| joined.clone(), |head| format!("{head}...")))
}

fn service_ports(service: &Value) -> Value {
    let port = |p: &Value| {
        let (port, protocol) = (int(p, "port").unwrap_or(0), text(p, "protocol"));
        match int(p, "nodePort").filter(|n| *n > 0) {
            Some(node) => format!("{port}:{node}/{protocol}"),
            None => format!("{port}/{protocol}"),
        }
    };
    or_none(&list(service, "spec.ports").iter().map(port).collect::<Vec<_>>().join(","))
}

/// The ready addresses of Endpoints, each with each port.
fn subsets(endpoints: &Value) -> String {
    if list(endpoints, "subsets").is_empty() {
        return "<none>".to_owned();
    }
    let mut pairs = Vec::new();
    for subset in list(endpoints, "subsets") {
        let ips = || list(subset, "addresses").iter().map(|a| text(a, "ip"));
        let ports = list(subset, "ports");
        if ports.is_empty() {
            pairs.extend(ips().map(str::to_owned));
        }
        for port in ports.iter().map(|p| int(p, "port").unwrap_or(0)) {
            pairs.extend(
                ips().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    if pairs.is_empty() { String::new() } else { three(pairs.into_iter()) }
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let name = |s: &Value| match text(s, "namespace") {
        namespace if kind == "ServiceAccount" && !namespace.is_empty() => format!("{namespace}/{}", text(s, "name")),
        _ => text(s, "name").to_owned(),
    };
    let named = list(binding, "subjects").iter().filter(|s| text(s, "kind") == kind).map(name);
    named.collect::<Vec<_>>().join(", ").into()
}

fn first_seen(event: &Value) -> &str {
    match text(event, "firstTimestamp") {
        "" => text(event, "eventTime"),
        time => time,
    }
}

fn last_seen(event: &Value, now: i64) -> Value {
    if at(event, "series").is_some() {
        return since(text(event, "series.lastObservedTime"), now);
    }
    match text(event, "lastTimestamp") {
        "" => since(first_seen(event), now),
        time => since(time, now),
    }
}

fn event_count(event: &Value) -> i64 {
    let count = if at(event, "series").is_some() { "series.count" } else { "count" };
    int(event, count).filter(|count| *count != 0).unwrap_or(1)
}

fn event_object(event: &Value) -> String {
    let kind = text(event, "involvedObject.kind").to_lowercase();
    match text(event, "involvedObject.name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn event_source(event: &Value) -> String {
    let either = |a, b| if text(event, a).is_empty() { text(event, b) } else { text(event, a) };
    let component = either("source.component", "reportingComponent");
    match either("source.host", "reportingInstance") {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Ten minutes after the objects were made.
    const NOW: i64 = 600;

    /// The header (wide columns in brackets) and the row of an object.
    fn check(cells: &[Cell], mut object: Value, header: &str, row: &str) {
        object["metadata"] = json!({"name": "x", "creationTimestamp": "1970-01-01T00:00:00Z"});
        let name = |c: &Cell| if c.priority > 0 { format!("[{}]", c.name) } else { c.name.to_owned() };
        assert_eq!(cells.iter().map(name).collect::<Vec<_>>().join(" | "), header);
        let cell = |c: &Cell| match (c.cell)(&object, NOW) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        assert_eq!(cells.iter().map(cell).collect::<Vec<_>>().join(" | "), row);
    }

    #[test]
    fn small_kinds() {
        check(AGE_ONLY, json!({}), "Age", "10m");
        check(PLAIN, json!({}), "Created At", "1970-01-01T00:00:00Z");
        check(NAMESPACE, json!({"status": {"phase": "Active"}}), "Status | Age", "Active | 10m");
        check(CONFIG_MAP, json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}), "Data | Age", "3 | 10m");
        check(SECRET, json!({"type": "Opaque"}), "Type | Data | Age", "Opaque | 0 | 10m");
        check(LEASE, json!({"spec": {"holderIdentity": "me"}}), "Holder | Age", "me | 10m");
    }

    #[test]
    fn services() {
        let header = "Type | Cluster-IP | External-IP | Port(s) | Age | [Selector]";
        check(
            SERVICE,
            json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "nodePort": 30053}],
                "selector": {"b": "2", "a": "1"}}}),
            header,
            "ClusterIP | 10.96.0.1 | <none> | 80/TCP,53:30053/UDP | 10m | a=1,b=2",
        );
        check(
            SERVICE,
            json!({"spec": {"type": "ExternalName", "externalName": "a.b"}}),
            header,
            "ExternalName | <none> | a.b | <none> | 10m | <none>",
        );
        check(
            SERVICE,
            json!({"spec": {"type": "LoadBalancer"}}),
            header,
            "LoadBalancer | <none> | <pending> | <none> | 10m | <none>",
        );
        check(
            SERVICE,
            json!({"spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]},
                "status": {"loadBalancer": {"ingress": [{"hostname": "a-long-name.example.com"}]}}}),
            header,
            "LoadBalancer | <none> | a-long-name.e...,192.0.2.1 | <none> | 10m | <none>",
        );
    }

    #[test]
    fn backends() {
        let header = "AddressType | Ports | Endpoints | Age";
        let endpoint = |ip: &str| json!({"addresses": [ip]});
        check(
            ENDPOINT_SLICE,
            json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "web"}, {}],
                "endpoints": [endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3"), endpoint("10.0.0.4"),
                    endpoint("10.0.0.5")]}),
            header,
            "IPv4 | 80,web,* | 10.0.0.1,10.0.0.2,10.0.0.3 + 2 more... | 10m",
        );
        check(ENDPOINT_SLICE, json!({"addressType": "FQDN"}), header, "FQDN | <unset> | <unset> | 10m");
        check(
            ENDPOINTS,
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "::1"}], "ports": [{"port": 1}, {"port": 2}]}]}),
            "Endpoints | Age",
            "10.0.0.1:1,[::1]:1,10.0.0.1:2 + 1 more... | 10m",
        );
        check(ENDPOINTS, json!({}), "Endpoints | Age", "<none> | 10m");
    }

    #[test]
    fn bindings() {
        check(
            BINDING,
            json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [
                {"kind": "User", "name": "a"}, {"kind": "User", "name": "b"}, {"kind": "Group", "name": "g"},
                {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
            "Role | Age | [Users] | [Groups] | [ServiceAccounts]",
            "ClusterRole/view | 10m | a, b | g | n/s",
        );
    }

    #[test]
    fn events() {
        let header = "Last Seen | Type | Reason | Object | [Subobject] | [Source] | Message | [First Seen] | [Count] \
                      | [Name]";
        check(
            EVENT,
            json!({"involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"}, "type": "Warning",
                "reason": "Failed", "message": " text\n", "source": {"component": "c", "host": "h"},
                "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:09:00Z", "count": 4}),
            header,
            "60s | Warning | Failed | pod/p | spec | c, h | text | 10m | 4 | x",
        );
        check(
            EVENT,
            json!({"involvedObject": {"kind": "Node"}, "reportingComponent": "r", "reportingInstance": "i",
                "eventTime": "1970-01-01T00:08:00.000000Z"}),
            header,
            "2m |  |  | node |  | r, i |  | 2m | 1 | x",
        );
        check(
            EVENT,
            json!({"eventTime": "1970-01-01T00:08:00.000000Z",
                "series": {"count": 9, "lastObservedTime": "1970-01-01T00:09:59.000000Z"}}),
            header,
            "1s |  |  |  |  |  |  | 2m | 9 | x",
        );
        check(
            NEW_EVENT,
            json!({"regarding": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "R", "note": "text",
                "reportingController": "r", "reportingInstance": "i", "eventTime": "1970-01-01T00:08:00.000000Z"}),
            header,
            "2m | Normal | R | pod/p |  | r, i | text | 2m | 1 | x",
        );
    }
}
