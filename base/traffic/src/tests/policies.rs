//! BackendTLSPolicies: what they attach to, which of them counts, and what their backends trust.

use super::*;

const OBJECTS: &str = r"
kind: ConfigMap
metadata: {name: ca, namespace: default}
data: {ca.crt: '-----BEGIN CERTIFICATE-----'}
---
kind: ConfigMap
metadata: {name: empty, namespace: default}
data: {other: x}
---
kind: ConfigMap
metadata: {name: junk, namespace: default}
data: {ca.crt: junk}
---
kind: Service
metadata: {name: s, namespace: default}
spec: {ports: [{name: one, port: 1}, {name: two, port: 2, appProtocol: https}]}
---
kind: HTTPRoute
metadata: {name: r, namespace: default}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: s, port: 1}, {name: s, port: 2}, {name: web, port: 80}]}]}
";

/// A policy; `target` may be `SERVICE` or `SERVICE#PORT`.
fn policy(name: &str, day: u8, target: &str, validation: &str) -> String {
    let target = match target.split_once('#') {
        Some((service, port)) => format!("{{group: '', kind: Service, name: {service}, sectionName: {port}}}"),
        None => format!("{{group: '', kind: Service, name: {target}}}"),
    };
    format!(
        "kind: BackendTLSPolicy\nmetadata: {{name: {name}, namespace: default, creationTimestamp: '2026-01-0{day}T00:00:00Z'}}\n\
         spec: {{targetRefs: [{target}], validation: {{hostname: {name}.com, {validation}}}}}"
    )
}

fn refs(names: &str) -> String {
    let refs: Vec<String> =
        names.split(' ').map(|name| format!("{{group: '', kind: ConfigMap, name: {name}}}")).collect();
    format!("caCertificateRefs: [{}]", refs.join(", "))
}

/// The lines of policies and clusters.
#[track_caller]
fn check_policies(objects: &[&str], expected: &[&str]) {
    let text = show(&translate(&input(&[&[BASE, GATEWAY, OBJECTS], objects].concat()), None));
    let lines: Vec<&str> =
        text.lines().filter(|l| ["policy", "cluster default/s"].iter().any(|p| l.starts_with(p))).collect();
    assert!(lines == expected, "output:\n{}\n", text);
}

#[test]
fn a_policy_secures_a_service_or_a_port() {
    check_policies(&[], &["cluster default/s:1 Http1 []"]);
    check_policies(
        &[&policy("p", 1, "s", &refs("ca"))],
        &[
            "policy default/p at gw: ok",
            "cluster default/s:1 Http1 tls(p.com by 1 bundles) []",
            "cluster default/s:2 Http1 tls(p.com by 1 bundles) []",
        ],
    );
    check_policies(
        &[&policy(
            "p",
            1,
            "s#one",
            "wellKnownCACertificates: System, subjectAltNames: [{type: Hostname, hostname: '*.A.com'}, {type: URI, uri: 'spiffe://x/y'}]",
        )],
        &[
            "policy default/p at gw: ok",
            r#"cluster default/s:1 Http1 tls(p.com by system Dns("*.a.com") Uri("spiffe://x/y")) []"#,
        ],
    );
    // The port's own policy goes before that of the Service, and neither is in conflict.
    check_policies(
        &[&policy("a", 1, "s", &refs("ca")), &policy("b", 2, "s#one", &refs("ca"))],
        &[
            "policy default/a at gw: ok",
            "policy default/b at gw: ok",
            "cluster default/s:1 Http1 tls(b.com by 1 bundles) []",
            "cluster default/s:2 Http1 tls(a.com by 1 bundles) []",
        ],
    );
    check_policies(&[&policy("p", 1, "unused", &refs("ca"))], &["cluster default/s:1 Http1 []"]);
}

#[test]
fn the_older_policy_counts() {
    check_policies(
        &[&policy("a", 2, "s", &refs("ca")), &policy("b", 1, "s", &refs("ca")), &policy("c", 1, "s", &refs("ca"))],
        &[
            "policy default/a at gw: Accepted=False/Conflicted",
            "policy default/b at gw: ok",
            "policy default/c at gw: Accepted=False/Conflicted",
            "cluster default/s:1 Http1 tls(b.com by 1 bundles) []",
            "cluster default/s:2 Http1 tls(b.com by 1 bundles) []",
        ],
    );
}

#[test]
fn what_is_not_valid_fails_closed() {
    let bad = |policy: &str, verdict: &str| {
        check_policies(
            &[policy],
            &[
                &format!("policy default/p at gw: {verdict}"),
                "cluster default/s:1 Http1 tls(p.com by 0 bundles) []",
                "cluster default/s:2 Http1 tls(p.com by 0 bundles) []",
            ],
        );
    };
    let no_authority = |reason: &str| format!("Accepted=False/NoValidCACertificate ResolvedRefs=False/{reason}");
    bad(&policy("p", 1, "s", &refs("absent")), &no_authority("InvalidCACertificateRef"));
    bad(&policy("p", 1, "s", &refs("empty")), &no_authority("InvalidCACertificateRef"));
    bad(&policy("p", 1, "s", &refs("junk")), &no_authority("InvalidCACertificateRef"));
    bad(&policy("p", 1, "s", &refs("ca").replace("ConfigMap", "Secret")), &no_authority("InvalidKind"));
    bad(&policy("p", 1, "s", "wellKnownCACertificates: a.com/b"), "Accepted=False/Invalid");
    bad(&policy("p", 1, "s", ""), "Accepted=False/NoValidCACertificate");
    bad(&policy("p", 1, "s", &format!("{}, subjectAltNames: [{{type: Email}}]", refs("ca"))), "Accepted=False/Invalid");
    let options = policy("p", 1, "s", &refs("ca")).replace("spec: {", "spec: {options: {a.com/b: c}, ");
    bad(&options, "Accepted=False/Invalid");
    // One of two is there.
    check_policies(
        &[&policy("p", 1, "s#one", &refs("absent ca"))],
        &[
            "policy default/p at gw: ResolvedRefs=False/InvalidCACertificateRef",
            "cluster default/s:1 Http1 tls(p.com by 1 bundles) []",
        ],
    );
    check_policies(
        &[&policy("p", 1, "s#three", &refs("ca"))],
        &["policy default/p at gw: Accepted=False/TargetNotFound", "cluster default/s:1 Http1 []"],
    );
}

#[test]
fn streams_are_secured_where_tls_ended() {
    let gateway = r"
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: purlin
  listeners:
  - {name: end, port: 1, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: good}]}}
  - {name: pass, port: 2, protocol: TLS, tls: {mode: Passthrough}}
---
kind: Secret
type: kubernetes.io/tls
metadata: {name: good, namespace: default}
data: {tls.crt: LS0t, tls.key: LS0t}
---
kind: TLSRoute
metadata: {name: r, namespace: default}
spec: {parentRefs: [{name: gw}], hostnames: [a.com], rules: [{backendRefs: [{name: s, port: 1}]}]}
";
    let objects =
        OBJECTS.replace("kind: HTTPRoute", "kind: Namespace").replace("name: r, namespace: default", "name: nobody");
    check(
        &[gateway, &objects, &policy("p", 1, "s", &refs("ca"))],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  end routes=1 TLSRoute: ok",
            "  pass routes=1 TLSRoute: ok",
            "TLSRoute default/r at gw: ok",
            "policy default/p at gw: ok",
            "bind 127.0.0.1:1 Tls",
            "  gw/end * certificate default/good",
            "    a.com [r] -> default/s:1 (terminated)*1",
            "bind 127.0.0.1:2 Tls",
            "  gw/pass * passthrough",
            "    a.com [r] -> default/s:1 (stream)*1",
            "cluster default/s:1 (stream) Tcp []",
            "cluster default/s:1 (terminated) Tcp tls(p.com by 1 bundles) []",
        ],
    );
}

#[test]
fn a_status_that_no_longer_holds_is_taken_back() {
    let policy = policy("p", 1, "unused", &refs("ca"));
    let status =
        "\nstatus: {ancestors: [{controllerName: purlin.dev/gateway, ancestorRef: {name: gw}, conditions: []}]}";
    check_policies(&[&(policy + status)], &["policy default/p: no ancestors", "cluster default/s:1 Http1 []"]);
}
