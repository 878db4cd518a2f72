//! Gateways, their listeners, addresses and certificates.

use super::*;
use crate::{AddressProblem, Unusable};

fn gateway(listeners: &str) -> String {
    format!(
        "kind: Gateway\nmetadata: {{name: gw, namespace: default}}\nspec:\n  gatewayClassName: purlin\n  listeners:\n{listeners}"
    )
}

#[test]
fn a_socket_is_shared_by_hostname_the_most_specific_first() {
    let listeners = r"
  - {name: any, port: 80, protocol: HTTP}
  - {name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'}
  - {name: wilder, port: 80, protocol: HTTP, hostname: '*.com'}
  - {name: exact, port: 80, protocol: HTTP, hostname: a.com}";
    check(
        &[&gateway(listeners)],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  any routes=0: ok",
            "  wild routes=0: ok",
            "  wilder routes=0: ok",
            "  exact routes=0: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/exact a.com",
            "  gw/wild *.example.com",
            "  gw/wilder *.com",
            "  gw/any *",
        ],
    );
}

#[test]
fn listeners_that_cannot_be_told_apart_are_in_conflict() {
    let listeners = r"
  - {name: a, port: 80, protocol: HTTP, hostname: a.com}
  - {name: b, port: 80, protocol: HTTP, hostname: A.com}
  - {name: c, port: 80, protocol: HTTP}
  - {name: d, port: 81, protocol: HTTP}
  - {name: e, port: 81, protocol: HTTPS, hostname: e.com}
  - {name: f, port: 80, protocol: example.com/SCTP}";
    check(
        &[&gateway(listeners)],
        &[
            "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid ResolvedRefs=False/ListenersNotResolved",
            "  a routes=0: Accepted=False/HostnameConflict Conflicted=True/HostnameConflict Programmed=False/Invalid",
            "  b routes=0: Accepted=False/HostnameConflict Conflicted=True/HostnameConflict Programmed=False/Invalid",
            "  c routes=0: ok",
            "  d routes=0: Accepted=False/ProtocolConflict Conflicted=True/ProtocolConflict Programmed=False/Invalid",
            "  e routes=0: Accepted=False/ProtocolConflict Conflicted=True/ProtocolConflict Programmed=False/Invalid \
         ResolvedRefs=False/InvalidCertificateRef",
            "  f routes=0 no kinds: Accepted=False/UnsupportedProtocol Programmed=False/Invalid",
            "bind 127.0.0.1:80 Http",
            "  gw/c *",
        ],
    );
}

#[test]
fn a_gateway_says_which_listeners_are_not_valid() {
    let some = gateway("  - {name: a, port: 80, protocol: HTTP}\n  - {name: b, port: 81, protocol: example.com/SCTP}");
    let none = gateway("  - {name: b, port: 81, protocol: example.com/SCTP}");
    for (yaml, status, message) in [
        (some, true, "accepted without the listeners b; see their conditions"),
        (none, false, "no listener is accepted; see the conditions of the listeners"),
    ] {
        let output = translate(&input(&[BASE, &yaml]), None);
        let report = output.gateways.values().next().unwrap();
        let accepted = report.conditions.iter().find(|c| c.kind == "Accepted").unwrap();
        assert_eq!((accepted.status, accepted.reason), (status, reasons::LISTENERS_NOT_VALID));
        assert_eq!(accepted.message, message);
    }
}

#[test]
fn kinds_are_those_of_the_protocol() {
    let listeners = r"
  - {name: good, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}
  - {name: both, port: 81, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}, {kind: TCPRoute}]}}
  - {name: bad, port: 82, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute, group: example.com}]}}";
    let parents = "[{name: gw, sectionName: good}, {name: gw, sectionName: both}, {name: gw, sectionName: bad}]";
    let route = format!("kind: HTTPRoute\nmetadata: {{name: r, namespace: default}}\nspec: {{parentRefs: {parents}}}");
    check(
        &[&gateway(listeners), &route],
        &[
            "gateway default/gw [127.0.0.1]: ResolvedRefs=False/ListenersNotResolved",
            "  good routes=1 HTTPRoute: ok",
            "  both routes=1 HTTPRoute: ResolvedRefs=False/InvalidRouteKinds",
            "  bad routes=0 no kinds: ResolvedRefs=False/InvalidRouteKinds",
            "route default/r at gw#good: ok",
            "route default/r at gw#both: ok",
            "route default/r at gw#bad: Accepted=False/NotAllowedByListeners",
            "bind 127.0.0.1:80 Http",
            "  gw/good *",
            "    * / [r#0] -> 500",
            "bind 127.0.0.1:81 Http",
            "  gw/both *",
            "    * / [r#0] -> 500",
            "bind 127.0.0.1:82 Http",
            "  gw/bad *",
        ],
    );
}

#[test]
fn parameters_and_what_else_a_gateway_asks_for_that_is_not_built() {
    let gateway = |extra: &str| GATEWAY.replace("spec: {", &format!("spec: {{{extra}, "));
    let refused = |reason: &str, extra: &str| {
        check(
            &[&gateway(extra)],
            &[
                &format!("gateway default/gw []: Accepted=False/{reason} Programmed=False/Invalid"),
                "  http routes=0: Programmed=False/Invalid",
            ],
        );
    };
    refused("InvalidParameters", "infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: x}}");
    refused("UnsupportedAddress", "addresses: [{type: Hostname, value: a.com}]");
    refused("UnsupportedAddress", "addresses: [{type: example.com/Named, value: a}]");
    check(
        &[&gateway("infrastructure: {labels: {a: b}}")],
        &["gateway default/gw [127.0.0.1]: ok", "  http routes=0: ok", "bind 127.0.0.1:80 Http", "  gw/http *"],
    );
    let class = "kind: GatewayClass\nmetadata: {name: purlin}\nspec: {controllerName: purlin.dev/gateway, \
                 parametersRef: {group: '', kind: ConfigMap, name: x}}";
    check(
        &[class, GATEWAY],
        &[
            "class purlin: Accepted=False/InvalidParameters",
            "gateway default/gw []: Accepted=False/InvalidParameters Programmed=False/Invalid",
            "  http routes=0: Programmed=False/Invalid",
        ],
    );
}

#[test]
fn a_class_says_whether_we_know_the_definitions() {
    let conditions = |version: &str| {
        let mut input = input(&[BASE]);
        input.bundle_version = Some(version.to_owned());
        verdict(&translate(&input, None).classes.values().next().unwrap().conditions)
    };
    assert_eq!(conditions("v1.6.0"), "ok");
    assert_eq!(conditions("v1.7.0"), "SupportedVersion=False/UnsupportedVersion");
}

/// Self-made; the key does not belong to it, which is not checked here.
const PEM: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\nMIIBAA==\n-----END PRIVATE KEY-----\n",
);

fn secret(namespace: &str, name: &str, kind: &str, certificate: &str, key: &str) -> String {
    let data = |text: &str| serde_json::to_value(k8s_openapi::ByteString(text.into())).unwrap();
    serde_json::json!({
        "kind": "Secret", "type": kind, "metadata": {"name": name, "namespace": namespace},
        "data": {"tls.crt": data(certificate), "tls.key": data(key)},
    })
    .to_string()
}

fn https(port: u16, references: &str) -> String {
    format!("  - {{name: s{port}, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{references}]}}}}\n")
}

#[test]
fn certificates_are_resolved() {
    let grant = |name: &str, kind: &str, to: &str| {
        format!(
            "kind: ReferenceGrant\nmetadata: {{name: {name}, namespace: other}}\nspec: {{from: [{{group: \
             gateway.networking.k8s.io, kind: {kind}, namespace: default}}], to: [{to}]}}"
        )
    };
    let listeners = [
        https(1, "{name: good}"),
        https(2, "{name: absent}"),
        https(3, "{name: junk}"),
        https(5, "{name: opaque}"),
        https(6, "{name: good, kind: ConfigMap}"),
        https(7, "{name: allowed, namespace: other}"),
        https(8, "{name: secret, namespace: other}"),
        https(9, "{name: absent}, {name: good}"),
        https(10, ""),
    ];
    let (chain, key) = PEM;
    check(
        &[
            &gateway(&listeners.concat()),
            &secret("default", "good", "kubernetes.io/tls", chain, key),
            &secret("default", "junk", "kubernetes.io/tls", "nothing", key),
            &secret("default", "opaque", "Opaque", chain, key),
            &secret("other", "allowed", "kubernetes.io/tls", chain, key),
            &secret("other", "secret", "kubernetes.io/tls", chain, key),
            &grant("a", "Gateway", "{group: '', kind: Secret, name: allowed}"),
            &grant("b", "HTTPRoute", "{group: '', kind: Secret}"),
            &grant("c", "Gateway", "{group: '', kind: Service}, {group: example.com, kind: Secret}"),
        ],
        &[
            "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid ResolvedRefs=False/ListenersNotResolved",
            "  s1 routes=0: ok",
            "  s2 routes=0: Programmed=False/Invalid ResolvedRefs=False/InvalidCertificateRef",
            "  s3 routes=0: ok",
            "  s5 routes=0: Programmed=False/Invalid ResolvedRefs=False/InvalidCertificateRef",
            "  s6 routes=0: Programmed=False/Invalid ResolvedRefs=False/InvalidCertificateRef",
            "  s7 routes=0: ok",
            "  s8 routes=0: Programmed=False/Invalid ResolvedRefs=False/RefNotPermitted",
            "  s9 routes=0: ResolvedRefs=False/InvalidCertificateRef",
            "  s10 routes=0: Programmed=False/Invalid ResolvedRefs=False/InvalidCertificateRef",
            "bind 127.0.0.1:1 Tls",
            "  gw/s1 * certificate default/good",
            // Not looked into here: the data plane has it, and says what it is.
            "bind 127.0.0.1:3 Tls",
            "  gw/s3 * certificate default/junk",
            "bind 127.0.0.1:7 Tls",
            "  gw/s7 * certificate other/allowed",
            "bind 127.0.0.1:9 Tls",
            "  gw/s9 * certificate default/good",
        ],
    );
}

#[test]
fn tls_settings_that_are_not_built_are_refused() {
    let frontend = r"
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}
      perPort: [{port: 2, tls: {}}]
";
    let listeners = r"
  - {name: validated, port: 1, protocol: HTTPS, tls: {certificateRefs: [{name: good}]}}
  - {name: free, port: 2, protocol: HTTPS, tls: {certificateRefs: [{name: good}]}}
  - {name: pass, port: 2, protocol: HTTPS, hostname: a.com, tls: {mode: Passthrough, certificateRefs: [{name: good}]}}
  - {name: option, port: 2, protocol: HTTPS, hostname: b.com, tls: {options: {a.com/b: c}, certificateRefs: [{name: good}]}}
  - {name: plain, port: 3, protocol: HTTP, tls: {}}";
    let (chain, key) = PEM;
    let objects = [gateway(listeners) + frontend, secret("default", "good", "kubernetes.io/tls", chain, key)];
    check(
        &[&objects[0], &objects[1]],
        &[
            "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid ResolvedRefs=False/ListenersNotResolved",
            "  validated routes=0: Accepted=False/NoValidCACertificate Programmed=False/Invalid \
             ResolvedRefs=False/InvalidCACertificateRef",
            "  free routes=0: OverlappingTLSConfig=True/OverlappingHostnames",
            "  pass routes=0: Accepted=False/UnsupportedValue Programmed=False/Invalid \
         OverlappingTLSConfig=True/OverlappingHostnames",
            "  option routes=0: Accepted=False/UnsupportedValue Programmed=False/Invalid \
         OverlappingTLSConfig=True/OverlappingHostnames",
            "  plain routes=0: Accepted=False/UnsupportedValue Programmed=False/Invalid",
            "bind 127.0.0.1:2 Tls",
            "  gw/free * certificate default/good",
        ],
    );
}

const AUTHORITIES: &str = r"
kind: ConfigMap
metadata: {name: ca, namespace: default}
data: {ca.crt: '-----BEGIN CERTIFICATE-----'}
---
kind: ConfigMap
metadata: {name: junk, namespace: default}
data: {ca.crt: junk}
---
kind: ConfigMap
metadata: {name: far, namespace: other}
data: {ca.crt: '-----BEGIN CERTIFICATE-----'}
---
kind: ConfigMap
metadata: {name: allowed, namespace: other}
data: {ca.crt: '-----BEGIN CERTIFICATE-----'}
---
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}]
  to: [{group: '', kind: ConfigMap, name: allowed}]
";

#[test]
fn clients_are_asked_for_certificates_by_port() {
    let by_port = |port: u16, references: &str, mode: &str| {
        let validation = format!("{{caCertificateRefs: [{references}]{mode}}}");
        format!("      - {{port: {port}, tls: {{validation: {validation}}}}}\n")
    };
    let reference = |name: &str| format!("{{group: '', kind: ConfigMap, name: {name}}}");
    let frontend = [
        "\n  tls:\n    frontend:\n      default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}\n"
            .to_owned(),
        "      perPort:\n      - {port: 2, tls: {}}\n".to_owned(),
        by_port(3, &reference("junk"), ""),
        by_port(4, "{group: '', kind: Secret, name: ca}", ", mode: AllowInsecureFallback"),
        by_port(5, "{group: '', kind: ConfigMap, name: far, namespace: other}", ""),
        by_port(6, "{group: '', kind: ConfigMap, name: allowed, namespace: other}", ", mode: AllowInsecureFallback"),
        by_port(7, &[reference("absent"), reference("ca")].join(", "), ""),
        by_port(8, &reference("ca"), ", mode: AllowWhoever"),
    ];
    let mut listeners: String = (1..=8).map(|port| https(port, "{name: good}")).collect();
    listeners.push_str("  - {name: plain, port: 9, protocol: HTTP}\n");
    listeners
        .push_str("  - {name: tls, port: 10, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: good}]}}");
    let (chain, key) = PEM;
    let objects =
        [gateway(&listeners) + &frontend.concat(), secret("default", "good", "kubernetes.io/tls", chain, key)];
    let no_authority = |reason: &str| {
        format!("Accepted=False/NoValidCACertificate Programmed=False/Invalid ResolvedRefs=False/{reason}")
    };
    check(
        &[&objects[0], &objects[1], AUTHORITIES],
        &[
            "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid ResolvedRefs=False/ListenersNotResolved \
             InsecureFrontendValidationMode=True/ConfigurationChanged",
            "  s1 routes=0: ok",
            "  s2 routes=0: ok",
            &format!("  s3 routes=0: {}", no_authority("InvalidCACertificateRef")),
            &format!("  s4 routes=0: {}", no_authority("InvalidCACertificateKind")),
            &format!("  s5 routes=0: {}", no_authority("RefNotPermitted")),
            "  s6 routes=0: ok",
            "  s7 routes=0: ResolvedRefs=False/InvalidCACertificateRef",
            "  s8 routes=0: Accepted=False/UnsupportedValue Programmed=False/Invalid",
            "  plain routes=0: ok",
            "  tls routes=0 TLSRoute: ok",
            "bind 127.0.0.1:1 Tls",
            "  gw/s1 * certificate default/good clients(1 bundles optional=false)",
            "bind 127.0.0.1:2 Tls",
            "  gw/s2 * certificate default/good",
            "bind 127.0.0.1:6 Tls",
            "  gw/s6 * certificate default/good clients(1 bundles optional=true)",
            "bind 127.0.0.1:7 Tls",
            "  gw/s7 * certificate default/good clients(1 bundles optional=false)",
            "bind 127.0.0.1:9 Http",
            "  gw/plain *",
            "bind 127.0.0.1:10 Tls",
            "  gw/tls * certificate default/good",
        ],
    );
    let output = translate(&input(&[BASE, &objects[0], &objects[1], AUTHORITIES]), None);
    let report = output.gateways.values().next().unwrap();
    assert_eq!(
        message_of(&report.conditions, "InsecureFrontendValidationMode"),
        "tls.frontend (port 4, port 6): clients are served though their certificates are missing or do not verify"
    );
}

#[test]
fn backends_are_shown_the_certificate_of_the_gateway() {
    let (chain, key) = PEM;
    let secrets = [
        secret("default", "client", "kubernetes.io/tls", chain, key),
        secret("default", "junk", "kubernetes.io/tls", "junk", key),
        secret("other", "far", "kubernetes.io/tls", chain, key),
    ];
    let shown = |reference: &str| {
        GATEWAY.replace("spec: {", &format!("spec: {{tls: {{backend: {{clientCertificateRef: {{{reference}}}}}}}, "))
    };
    let policy = "kind: BackendTLSPolicy\nmetadata: {name: p, namespace: default}\nspec: {targetRefs: [{group: '', kind: Service, \
                  name: web}], validation: {hostname: a.com, wellKnownCACertificates: System}}";
    let plain = "kind: Service\nmetadata: {name: plain, namespace: default}\nspec: {ports: [{port: 80}]}";
    let second = GATEWAY.replace("name: gw", "name: second").replace("port: 80", "port: 81");
    let mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}";
    let route = format!(
        "kind: HTTPRoute\nmetadata: {{name: r, namespace: default}}\nspec: {{parentRefs: [{{name: gw}}, {{name: second}}], rules: \
         [{{filters: [{mirror}], backendRefs: [{{name: web, port: 80, filters: [{mirror}]}}, {{name: plain, port: 80}}]}}]}}"
    );
    let ours = "default/web:80 (shown the certificate of Gateway default/gw)";
    check(
        &[&shown("name: client"), &second, &route, policy, plain, &secrets[0]],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  http routes=1: ok",
            "gateway default/second [127.0.0.1]: ok",
            "  http routes=1: ok",
            "route default/r at gw: ok",
            "route default/r at second: ok",
            "policy default/p at gw: ok",
            "policy default/p at second: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/http *",
            &format!("    * / [r#0] mirror({ours} 1/1) -> {ours}*1 mirror({ours} 1/1) -> default/plain:80*1"),
            "bind 127.0.0.1:81 Http",
            "  second/http *",
            "    * / [r#0] mirror(default/web:80 1/1) -> default/web:80*1 mirror(default/web:80 1/1) -> default/plain:80*1",
            "cluster default/plain:80 Http1 []",
            "cluster default/web:80 Http1 tls(a.com by system) [10.0.0.1:8080 10.0.0.2:8080]",
            &format!("cluster {ours} Http1 tls(a.com by system shows default/client) [10.0.0.1:8080 10.0.0.2:8080]"),
        ],
    );
    for (reference, reason) in [
        ("name: absent", "InvalidClientCertificateRef"),
        ("name: junk", "InvalidClientCertificateRef"),
        ("name: client, kind: ConfigMap", "InvalidClientCertificateRef"),
        ("name: client, group: a.com", "InvalidClientCertificateRef"),
        ("name: far, namespace: other", "RefNotPermitted"),
    ] {
        let mut objects = vec![BASE];
        objects.extend(secrets.iter().map(String::as_str));
        let gateway = shown(reference);
        objects.push(&gateway);
        let output = translate(&input(&objects), None);
        let report = output.gateways.values().next().unwrap();
        assert_eq!(verdict(&report.conditions), format!("ResolvedRefs=False/{reason}"), "{reference}");
    }
}

#[test]
fn a_socket_belongs_to_the_oldest_gateway() {
    let gateway = |name: &str, year: u16, listeners: &str| {
        format!(
            "kind: Gateway\nmetadata: {{name: {name}, namespace: default, creationTimestamp: '{year}-01-01T00:00:00Z'}}\n\
             spec: {{gatewayClassName: purlin, listeners: [{listeners}]}}"
        )
    };
    let young =
        gateway("a", 2026, "{name: x, port: 80, protocol: HTTP, hostname: a.com}, {name: z, port: 81, protocol: HTTP}");
    let old = gateway("b", 2025, "{name: x, port: 80, protocol: HTTP}");
    check(
        &[&young, &old],
        &[
            "gateway default/a [127.0.0.1]: Accepted=True/ListenersNotValid",
            "  x routes=0: Accepted=False/PortUnavailable Programmed=False/Invalid",
            "  z routes=0: ok",
            "gateway default/b [127.0.0.1]: ok",
            "  x routes=0: ok",
            "bind 127.0.0.1:80 Http",
            "  b/x *",
            "bind 127.0.0.1:81 Http",
            "  a/z *",
        ],
    );
}

#[test]
fn addresses_that_are_not_there_are_said() {
    let gw = ObjectName::new("default", "gw");
    let assign = |addresses: &[&str], problem: Option<AddressProblem>| {
        let assigned = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let gw = gw.clone();
        move |input: &mut Input| drop(input.addresses.insert(gw, GatewayAddresses { assigned, problem }))
    };
    check_with(
        &[GATEWAY],
        assign(&["127.0.0.1", "::1"], None),
        &[
            "gateway default/gw [127.0.0.1 ::1]: ok",
            "  http routes=0: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/http *",
            "bind [::1]:80 Http",
            "  gw/http *",
        ],
    );
    check_with(
        &[GATEWAY],
        assign(&["127.0.0.1"], Some(AddressProblem::NotUsable("no".into()))),
        &[
            "gateway default/gw [127.0.0.1]: Programmed=False/AddressNotUsable",
            "  http routes=0: ok",
            "bind 127.0.0.1:80 Http",
            "  gw/http *",
        ],
    );
    for problem in [Some(AddressProblem::NotAssigned("none left".into())), None] {
        check_with(
            &[GATEWAY],
            assign(&[], problem),
            &[
                "gateway default/gw []: Programmed=False/AddressNotAssigned",
                "  http routes=0: Programmed=False/Invalid",
            ],
        );
    }
}

#[test]
fn what_the_data_plane_could_not_do_is_said_and_still_wanted() {
    let socket = "127.0.0.1:80".parse().unwrap();
    let refuse = |input: &mut Input| drop(input.plane.binds.insert(socket, "permission denied".into()));
    check_with(
        &[GATEWAY],
        refuse,
        &[
            "gateway default/gw [127.0.0.1]: Accepted=False/ListenersNotValid Programmed=False/Invalid",
            "  http routes=0: Accepted=False/PortUnavailable Programmed=False/Invalid",
            "bind 127.0.0.1:80 Http",
            "  gw/http *",
        ],
    );
    let (chain, key) = PEM;
    let objects = [gateway(&https(443, "{name: good}")), secret("default", "good", "kubernetes.io/tls", chain, key)];
    let refuse = |served: bool| {
        let gateway = ObjectName::new("default", "gw");
        let listener = ListenerName { gateway, set: None, section: "s443".into() };
        let unusable = Unusable { message: "keys differ".to_owned(), served };
        move |input: &mut Input| drop(input.plane.listeners.insert(listener, unusable))
    };
    let bound = ["bind 127.0.0.1:443 Tls", "  gw/s443 * certificate default/good"];
    let down = [
        "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid Programmed=False/Invalid \
         ResolvedRefs=False/ListenersNotResolved",
        "  s443 routes=0: Programmed=False/Invalid ResolvedRefs=False/InvalidCertificateRef",
    ];
    check_with(&[&objects[0], &objects[1]], refuse(false), &[down, bound].concat());
    // With another certificate, or the one from before.
    let up = [
        "gateway default/gw [127.0.0.1]: ResolvedRefs=False/ListenersNotResolved",
        "  s443 routes=0: ResolvedRefs=False/InvalidCertificateRef",
    ];
    check_with(&[&objects[0], &objects[1]], refuse(true), &[up, bound].concat());
}

#[test]
fn every_condition_has_words_and_good_ones_have_good_words() {
    let listeners = "
  - {name: z, port: 80, protocol: HTTP}
  - {name: bad, port: 81, protocol: example.com/SCTP}
  - {name: no-cert, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: none}]}}
  - {name: b, port: 82, protocol: HTTP}
  - {name: a, port: 83, protocol: example.com/SCTP}";
    let gateway = format!(
        "kind: Gateway\nmetadata: {{name: gw, namespace: default}}\nspec:\n  gatewayClassName: purlin\n  listeners:{listeners}\n"
    );
    let route = "
kind: HTTPRoute
metadata: {name: r, namespace: default}
spec: {parentRefs: [{name: gw}], rules: [{}]}
";
    let mut input = input(&[BASE, &gateway, route]);
    input.bundle_version = Some("v1.6.0".into());
    let output = translate(&input, None);
    let gateway = output.gateways.values().next().unwrap();
    let said = |kind| message_of(&gateway.conditions, kind);
    assert_eq!(said("Accepted"), "accepted without the listeners bad, no-cert, a; see their conditions");
    assert_eq!(said("Programmed"), "listening on 127.0.0.1 for z, b");
    assert_eq!(said("ResolvedRefs"), "see the conditions of the listeners no-cert");
    let listener = &gateway.listeners[0].conditions;
    let said: Vec<&str> = listener.iter().map(|c| &*c.message).collect();
    assert_eq!(
        said,
        [
            "HTTP on port 80",
            "no other listener conflicts with it",
            "listening on 127.0.0.1:80",
            "all references resolve"
        ]
    );
    let parent = &output.routes.values().next().unwrap().parents[0].conditions;
    assert_eq!(message_of(parent, "Accepted"), "attached to the listeners z, no-cert, b of Gateway default/gw");
    let classes = output.classes.values().flat_map(|class| &class.conditions);
    let listeners = gateway.listeners.iter().flat_map(|listener| &listener.conditions);
    for condition in gateway.conditions.iter().chain(listeners).chain(parent).chain(classes) {
        assert!(!condition.message.is_empty(), "{condition:?}");
    }
}
