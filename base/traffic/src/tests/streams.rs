//! TLSRoutes, TCPRoutes, UDPRoutes and the listeners that they attach to.

use super::*;

const SERVICES: &str = r"
kind: Service
metadata: {name: dns, namespace: default}
spec: {ports: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53}]}
---
kind: EndpointSlice
metadata: {name: dns-1, namespace: default, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{name: tcp, port: 8053}, {name: udp, port: 9053, protocol: UDP}]
endpoints: [{addresses: [10.0.0.3]}]
";

const CERTIFICATE: &str = r"
kind: Secret
type: kubernetes.io/tls
metadata: {name: good, namespace: default}
data: {tls.crt: LS0t, tls.key: LS0t}
";

fn gateway(listeners: &str) -> String {
    format!(
        "kind: Gateway\nmetadata: {{name: gw, namespace: default}}\nspec:\n  gatewayClassName: purlin\n  listeners:{listeners}"
    )
}

fn route(kind: &str, name: &str, day: u8, rest: &str) -> String {
    format!(
        "kind: {kind}\nmetadata: {{name: {name}, namespace: default, creationTimestamp: '2026-01-0{day}T00:00:00Z'}}\n\
         spec: {{parentRefs: [{{name: gw}}], {rest}}}"
    )
}

fn to(service: &str, port: u16) -> String {
    format!("rules: [{{backendRefs: [{{name: {service}, port: {port}}}]}}]")
}

#[test]
fn of_several_routes_the_oldest_gets_the_connections() {
    let gateway = gateway(
        r"
  - {name: tcp, port: 53, protocol: TCP}
  - {name: udp, port: 53, protocol: UDP}
  - {name: idle, port: 54, protocol: UDP}",
    );
    let udp = "kind: UDPRoute\nmetadata: {name: udp, namespace: default}\nspec: {parentRefs: [{name: gw, sectionName: udp}, \
               {name: gw, sectionName: tcp}], rules: [{backendRefs: [{name: dns, port: 53, weight: 0}, {name: absent, port: 1}]}]}";
    check(
        &[
            SERVICES,
            &gateway,
            &route("TCPRoute", "a-young", 2, &to("web", 80)),
            &route("TCPRoute", "old", 1, &to("dns", 53)),
            udp,
        ],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  tcp routes=2 TCPRoute: ok",
            "  udp routes=1 UDPRoute: ok",
            "  idle routes=0 UDPRoute: ok",
            "TCPRoute default/a-young at gw: ok",
            "TCPRoute default/old at gw: ok",
            "UDPRoute default/udp at gw#udp: ResolvedRefs=False/BackendNotFound",
            "UDPRoute default/udp at gw#tcp: Accepted=False/NotAllowedByListeners ResolvedRefs=False/BackendNotFound",
            "bind 127.0.0.1:53 Tcp",
            "  gw/tcp *",
            "    * [old] -> default/dns:53 (stream)*1",
            "datagrams 127.0.0.1:53 gw/udp [udp] -> default/dns:53 (datagrams)*0 -> closed*1",
            "datagrams 127.0.0.1:54 gw/idle ",
            "cluster default/dns:53 (stream) Tcp [10.0.0.3:8053]",
            "cluster default/dns:53 (datagrams) Udp [10.0.0.3:9053]",
            "cluster default/web:80 (stream) Tcp [10.0.0.1:8080 10.0.0.2:8080]",
        ],
    );
}

#[test]
fn https_and_tls_share_a_port_by_sni() {
    let gateway = gateway(
        r"
  - {name: web, port: 443, protocol: HTTPS, hostname: web.com, tls: {certificateRefs: [{name: good}]}}
  - {name: pass, port: 443, protocol: TLS, hostname: '*.pass.com', tls: {mode: Passthrough}}
  - {name: end, port: 443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: good}]}}
  - {name: none, port: 444, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: absent}]}}",
    );
    check(
        &[
            CERTIFICATE,
            &gateway,
            &route("TLSRoute", "wide", 1, &format!("hostnames: ['*.com'], {}", to("web", 80))),
            &route("TLSRoute", "a", 2, &format!("hostnames: [a.pass.com, b.com], {}", to("web", 80))),
            &route("TLSRoute", "later", 3, &format!("hostnames: [a.pass.com], {}", to("absent", 80))),
            "kind: TLSRoute\nmetadata: {name: web, namespace: default}\nspec: {hostnames: [web.com], parentRefs: [{name: gw, \
             sectionName: web}], rules: [{backendRefs: [{name: web, port: 80}]}]}",
            "kind: TLSRoute\nmetadata: {name: elsewhere, namespace: default}\nspec: {hostnames: [web.com], parentRefs: \
             [{name: gw, sectionName: pass}], rules: [{backendRefs: [{name: web, port: 80}]}]}",
        ],
        &[
            "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid ResolvedRefs=False/ListenersNotResolved",
            "  web routes=0: ok",
            "  pass routes=3 TLSRoute: ok",
            "  end routes=3 TLSRoute: ok",
            "  none routes=3 TLSRoute: Programmed=False/Invalid ResolvedRefs=False/InvalidCertificateRef",
            "TLSRoute default/a at gw: ok",
            "TLSRoute default/elsewhere at gw#pass: Accepted=False/NoMatchingListenerHostname",
            "TLSRoute default/later at gw: ResolvedRefs=False/BackendNotFound",
            "TLSRoute default/web at gw#web: Accepted=False/NotAllowedByListeners",
            "TLSRoute default/wide at gw: ok",
            "bind 127.0.0.1:443 Tls",
            "  gw/web web.com certificate default/good",
            "  gw/pass *.pass.com passthrough",
            "    a.pass.com [a] -> default/web:80 (stream)*1",
            "    *.pass.com [wide] -> default/web:80 (stream)*1",
            "  gw/end * certificate default/good",
            "    a.pass.com [a] -> default/web:80 (stream)*1",
            "    b.com [a] -> default/web:80 (stream)*1",
            "    *.com [wide] -> default/web:80 (stream)*1",
            "cluster default/web:80 (stream) Tcp [10.0.0.1:8080 10.0.0.2:8080]",
        ],
    );
}

#[test]
fn what_cannot_be_told_apart_is_in_conflict() {
    let gateway = gateway(
        r"
  - {name: tcp, port: 1, protocol: TCP}
  - {name: http, port: 1, protocol: HTTP, hostname: a.com}
  - {name: web, port: 2, protocol: HTTPS, tls: {certificateRefs: [{name: good}]}}
  - {name: pass, port: 2, protocol: TLS, tls: {mode: Passthrough}}
  - {name: one, port: 3, protocol: UDP}
  - {name: two, port: 3, protocol: UDP}
  - {name: mixed, port: 4, protocol: TCP}
  - {name: udp, port: 4, protocol: UDP}",
    );
    let conflict = |reason: &str| format!("Accepted=False/{reason} Conflicted=True/{reason} Programmed=False/Invalid");
    let (protocol, hostname) = (conflict("ProtocolConflict"), conflict("HostnameConflict"));
    check(
        &[CERTIFICATE, &gateway],
        &[
            "gateway default/gw [127.0.0.1]: Accepted=True/ListenersNotValid",
            &format!("  tcp routes=0 TCPRoute: {protocol}"),
            &format!("  http routes=0: {protocol}"),
            &format!("  web routes=0: {hostname}"),
            &format!("  pass routes=0 TLSRoute: {hostname}"),
            &format!("  one routes=0 UDPRoute: {protocol}"),
            &format!("  two routes=0 UDPRoute: {protocol}"),
            "  mixed routes=0 TCPRoute: ok",
            "  udp routes=0 UDPRoute: ok",
            "bind 127.0.0.1:4 Tcp",
            "  gw/mixed *",
            "datagrams 127.0.0.1:4 gw/udp ",
        ],
    );
}

#[test]
fn a_route_with_several_rules_is_refused() {
    let gateway = gateway("\n  - {name: tcp, port: 1, protocol: TCP}");
    let two = "rules: [{backendRefs: [{name: web, port: 80}]}, {backendRefs: [{name: web, port: 80}]}]";
    check(
        &[&gateway, &route("TCPRoute", "r", 1, two)],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  tcp routes=0 TCPRoute: ok",
            "TCPRoute default/r at gw: Accepted=False/UnsupportedValue",
            "bind 127.0.0.1:1 Tcp",
            "  gw/tcp *",
        ],
    );
}

#[test]
fn a_listener_that_the_data_plane_does_not_serve_says_so() {
    let gateway = gateway("\n  - {name: udp, port: 1, protocol: UDP}");
    let refuse = |input: &mut Input| {
        let gateway = ObjectName::new("default", "gw");
        let listener = ListenerName { gateway, set: None, section: "udp".into() };
        input.plane.refused.insert(listener, "datagrams are not built".to_owned());
    };
    check_with(
        &[&gateway],
        refuse,
        &[
            "gateway default/gw [127.0.0.1]: Accepted=False/ListenersNotValid Programmed=False/Invalid",
            "  udp routes=0 UDPRoute: Accepted=False/UnsupportedValue Programmed=False/Invalid",
            "datagrams 127.0.0.1:1 gw/udp ",
        ],
    );
}
