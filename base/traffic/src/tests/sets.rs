//! ListenerSets: which a Gateway allows, whose listeners give way, and which routes attach.

use super::*;

/// A Gateway with one listener on port 80 that allows sets as `from` says.
fn gateway(from: &str) -> String {
    format!(
        "kind: Gateway\nmetadata: {{name: gw, namespace: default}}\nspec:\n  gatewayClassName: purlin\n  allowedListeners: \
         {{namespaces: {{{from}}}}}\n  listeners: [{{name: own, port: 80, protocol: HTTP, hostname: own.com}}]\n"
    )
}

fn set(namespace: &str, name: &str, day: u8, listeners: &str) -> String {
    format!(
        "kind: ListenerSet\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: '2026-01-0{day}T00:00:00Z'}}\n\
         spec:\n  parentRef: {{name: gw, namespace: default}}\n  listeners: [{listeners}]\n"
    )
}

const HTTP: &str = "{name: http, port: 80, protocol: HTTP, hostname: set.com}";

#[test]
fn the_gateway_says_whose_sets_it_allows() {
    let accepted = |gateway: &str| {
        let sets = [set("default", "near", 1, HTTP), set("other", "far", 2, &HTTP.replace("set", "far"))];
        let output = translate(&input(&[BASE, gateway, &sets[0], &sets[1]]), None);
        let gateway = output.gateways.values().next().unwrap();
        let verdicts: Vec<String> = output.listener_sets.values().map(|report| verdict(&report.conditions)).collect();
        (gateway.attached_listener_sets, verdicts.join(", "))
    };
    let no = "Accepted=False/NotAllowed Programmed=False/NotAllowed";
    let both = (2, "ok, ok".to_owned());
    let near = (1, format!("ok, {no}"));
    let none = (0, format!("{no}, {no}"));
    assert_eq!(accepted(&gateway("from: All")), both);
    assert_eq!(accepted(&gateway("from: Same")), near);
    assert_eq!(accepted(&gateway("from: Selector, selector: {matchLabels: {team: blue}}")), near);
    assert_eq!(accepted(&gateway("from: Selector")), none);
    assert_eq!(accepted(&gateway("from: None")), none);
    assert_eq!(accepted(&gateway("from: Galaxy")), none);
    assert_eq!(accepted(&gateway("")), none);
    assert_eq!(accepted(GATEWAY), none);
}

#[test]
fn listeners_of_sets_are_served_and_routes_attach_to_them_by_name() {
    let route = |name: &str, parent: &str| {
        format!("kind: HTTPRoute\nmetadata: {{name: {name}, namespace: other}}\nspec: {{parentRefs: [{parent}]}}")
    };
    let parent = |rest: &str| format!("{{kind: ListenerSet, name: far{rest}}}");
    check(
        &[
            &gateway("from: All"),
            &set("other", "far", 1, &format!("{HTTP}, {{name: tcp, port: 90, protocol: TCP}}")),
            &route("r", &parent("")),
            &route("section", &parent(", sectionName: tcp")),
            &route("absent", &parent(", sectionName: own")),
            &route("gateway", "{name: gw, namespace: default, sectionName: http}"),
            &route("unknown", "{kind: ListenerSet, name: nobody}"),
        ],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  own routes=0: ok",
            "set other/far: ok",
            "  http routes=1: ok",
            "  tcp routes=0 TCPRoute: ok",
            "route other/absent at far#own: Accepted=False/NoMatchingParent",
            "route other/gateway at gw#http: Accepted=False/NoMatchingParent",
            "route other/r at far: ok",
            "route other/section at far#tcp: Accepted=False/NotAllowedByListeners",
            "bind 127.0.0.1:80 Http",
            "  gw/own own.com",
            "  far/http set.com",
            "    set.com / [r#0] -> 500",
            "bind 127.0.0.1:90 Tcp",
            "  far/tcp *",
        ],
    );
}

#[test]
fn listeners_give_way_to_the_gateway_and_to_older_sets() {
    let listener = |name: &str, port: u16, protocol: &str, host: &str| {
        format!("{{name: {name}, port: {port}, protocol: {protocol}, hostname: {host}}}")
    };
    let young = [listener("same", 81, "HTTP", "x.com"), listener("mixed", 82, "TCP", "''")].join(", ");
    let old = [
        listener("own", 80, "HTTP", "own.com"),
        listener("same", 81, "HTTP", "x.com"),
        listener("free", 82, "HTTP", "y.com"),
        listener("twice", 83, "HTTP", "z.com"),
        listener("again", 83, "HTTP", "z.com"),
    ];
    let conflict = |reason: &str| format!("Accepted=False/{reason} Conflicted=True/{reason} Programmed=False/{reason}");
    let (hostname, protocol) = (conflict("HostnameConflict"), conflict("ProtocolConflict"));
    check(
        &[&gateway("from: All"), &set("default", "a", 2, &young), &set("default", "b", 1, &old.join(", "))],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  own routes=0: ok",
            "set default/a: Accepted=False/ListenersNotValid Programmed=False/ListenersNotValid",
            &format!("  same routes=0: {hostname}"),
            &format!("  mixed routes=0 TCPRoute: {protocol}"),
            "set default/b: Accepted=True/ListenersNotValid",
            &format!("  own routes=0: {hostname}"),
            "  same routes=0: ok",
            "  free routes=0: ok",
            &format!("  twice routes=0: {hostname}"),
            &format!("  again routes=0: {hostname}"),
            "bind 127.0.0.1:80 Http",
            "  gw/own own.com",
            "bind 127.0.0.1:81 Http",
            "  b/same x.com",
            "bind 127.0.0.1:82 Http",
            "  b/free y.com",
        ],
    );
}

#[test]
fn a_set_stands_on_its_own_with_grants_and_namespaces() {
    let grant = |name: &str, kind: &str, to: &str| {
        format!(
            "kind: ReferenceGrant\nmetadata: {{name: {name}, namespace: default}}\nspec: {{from: [{{group: \
             gateway.networking.k8s.io, kind: {kind}, namespace: other}}], to: [{{group: '', kind: Secret, name: {to}}}]}}"
        )
    };
    let secret = |name: &str| {
        format!(
            "kind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: {name}, namespace: default}}\ndata: {{tls.crt: LS0t, \
             tls.key: LS0t}}"
        )
    };
    let https = |port: u16, secret: &str| {
        format!(
            "{{name: s{port}, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: {secret}, namespace: default}}]}}}}"
        )
    };
    let route = |namespace: &str| {
        format!(
            "kind: HTTPRoute\nmetadata: {{name: r, namespace: {namespace}}}\nspec: {{parentRefs: [{{kind: ListenerSet, name: far, \
             namespace: other, sectionName: s1}}]}}"
        )
    };
    let frontend =
        "  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}";
    let authority =
        "kind: ConfigMap\nmetadata: {name: ca, namespace: default}\ndata: {ca.crt: '-----BEGIN CERTIFICATE-----'}";
    check(
        &[
            &(gateway("from: All") + frontend),
            &set("other", "far", 1, &[https(1, "allowed"), https(2, "kept")].join(", ")),
            &grant("sets", "ListenerSet", "allowed"),
            &grant("gateways", "Gateway", "kept"),
            &secret("allowed"),
            &secret("kept"),
            &route("other"),
            &route("default"),
            authority,
        ],
        &[
            "gateway default/gw [127.0.0.1]: ok",
            "  own routes=0: ok",
            "set other/far: ok",
            "  s1 routes=1: ok",
            "  s2 routes=0: Programmed=False/Invalid ResolvedRefs=False/RefNotPermitted",
            "route default/r at far#s1: Accepted=False/NotAllowedByListeners",
            "route other/r at far#s1: ok",
            "bind 127.0.0.1:1 Tls",
            "  far/s1 * certificate default/allowed clients(1 bundles optional=false)",
            "    * / [r#0] -> 500",
            "bind 127.0.0.1:80 Http",
            "  gw/own own.com",
        ],
    );
}

#[test]
fn a_set_says_how_its_gateway_stands() {
    let verdicts = |change: &dyn Fn(&mut Input), gateway: &str| {
        let mut input = input(&[BASE, gateway, &set("default", "a", 1, HTTP)]);
        change(&mut input);
        translate(&input, None).listener_sets.values().map(|r| verdict(&r.conditions)).collect::<Vec<_>>().join(" ")
    };
    let refused =
        gateway("from: All").replace("listeners: [", "addresses: [{type: Hostname, value: a.com}]\n  listeners: [");
    assert_eq!(verdicts(&|_| {}, &refused), "Accepted=False/ParentNotAccepted Programmed=False/ParentNotProgrammed");
    let homeless = |input: &mut Input| input.addresses.clear();
    assert_eq!(verdicts(&homeless, &gateway("from: All")), "Programmed=False/ParentNotProgrammed");
    assert_eq!(verdicts(&|_| {}, &gateway("from: All").replace("purlin", "foreign")), "");
    // What the data plane says of a listener is said of the right one.
    let refuse = |set: Option<ObjectName>, section: &str| {
        let name = ListenerName { gateway: ObjectName::new("default", "gw"), set, section: section.into() };
        move |input: &mut Input| drop(input.plane.refused.insert(name.clone(), "not built".to_owned()))
    };
    let failed = "Accepted=False/ListenersNotValid Programmed=False/ListenersNotValid";
    assert_eq!(verdicts(&refuse(Some(ObjectName::new("default", "a")), "http"), &gateway("from: All")), failed);
    assert_eq!(verdicts(&refuse(None, "http"), &gateway("from: All")), "ok");
}
