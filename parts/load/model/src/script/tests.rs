//! Scripts become plans; mistakes are told with their field and line.

use std::borrow::Cow;

use super::*;
use crate::plan::{Expect, Extract, GrpcAction, Scenario};
use crate::{target, words};

fn inputs() -> Inputs {
    Inputs { workers: 4, seed: 9, ..Inputs::default() }
}

fn plan(text: &str) -> Result<Plan, String> {
    Script::parse(text).and_then(|script| script.plan(Options::default(), inputs())).map_err(|e| e.to_string())
}

fn plan_with(text: &str, overrides: Options) -> Result<Plan, String> {
    Script::parse(text).unwrap().plan(overrides, inputs()).map_err(|e| e.to_string())
}

/// The steps of a script, with `yaml` as the steps of its one scenario, indented as they stand in it.
fn with_steps(yaml: &str) -> String {
    format!("target: http://a\nscenarios:\n- steps:\n{yaml}")
}

fn rendered(template: &Template, values: &[(&str, &str)]) -> String {
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value));
    let mut out = Vec::new();
    template.render(value, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn http(scenario: &Scenario, step: usize) -> &crate::plan::HttpAction {
    match &scenario.steps[step].action {
        Action::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_url_is_enough() {
    let plan = plan("target: https://shop.example/a?b=1").unwrap();
    assert_eq!((plan.protocol, plan.connections, plan.streams), (Protocol::Http1, 50, 1));
    assert_eq!((plan.workers, plan.seed, plan.timeout), (4, 9, Duration::from_secs(10)));
    let stages = vec![Stage { duration: Duration::from_secs(10), from: 50.0, to: 50.0 }];
    assert_eq!(plan.pace, Pace::Open { stages, spacing: Spacing::Constant });
    assert_eq!(plan.scenarios[0].steps[0].name, "GET /a");
    assert_eq!(http(&plan.scenarios[0], 0).path, Template::constant("/a?b=1"));
    let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(again, plan);
}

#[test]
fn everything_can_be_said() {
    let text = "
target: https://127.0.0.1:8080
host: shop.example
protocol: http2
stages:
- {duration: 30s, rate: 100}
- {duration: 1m, rate: 6000..600/m}
spacing: poisson
warm_up: 5s
connections: 8
streams: 10
timeout: 250ms
workers: 2
seed: 18446744073709551615
trace_share: 5%
headers: {X-All: '1', x-b: '${uuid}'}
tls: {insecure: true, server_name: a.example}
scenarios:
- name: one
  weight: 3
  steps:
  - name: first
    http:
      path: /login
      json: {user: 'u-${random}', n: 1, deep: [true, null, 1.5]}
      headers: {x-b: own}
    expect: {status: 201, contains: ok}
    extract: {token: {json: '$.t[0]'}, place: {header: Location}}
    think: 1s
  - http: {method: DELETE, path: '/x/${token|url}', body: 'a=${place}&$$'}
";
    let plan = plan(text).unwrap();
    assert_eq!((plan.target.host.as_str(), plan.target.authority.as_str()), ("127.0.0.1", "shop.example"));
    assert_eq!((plan.protocol, plan.connections, plan.streams, plan.workers), (Protocol::Http2, 8, 10, 2));
    assert_eq!((plan.seed, plan.trace_share, plan.timeout.as_millis()), (u64::MAX, 0.05, 250));
    let Pace::Open { stages, spacing } = &plan.pace else { panic!() };
    assert_eq!((stages[1].from, stages[1].to, *spacing), (100.0, 10.0, Spacing::Poisson));
    assert!(plan.tls.insecure && plan.tls.server_name.as_deref() == Some("a.example"));
    let scenario = &plan.scenarios[0];
    assert_eq!((scenario.name.as_str(), scenario.weight), ("one", 3));
    let first = &scenario.steps[0];
    assert_eq!(first.expect, Expect { status: vec![201], contains: Some("ok".into()) });
    assert_eq!(first.extract["place"], Extract::Header("location".into()));
    assert_eq!((first.think, http(scenario, 0).method.as_str()), (Duration::from_secs(1), "POST"));
    let headers: Vec<_> = http(scenario, 0).headers.iter().map(|(name, v)| (name.as_str(), rendered(v, &[]))).collect();
    let expected = [("x-all", "1"), ("x-b", "own"), ("content-type", "application/json")];
    assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    let body = rendered(http(scenario, 0).body.as_ref().unwrap(), &[("random", "\"")]);
    assert_eq!(body, r#"{"user":"u-\"","n":1,"deep":[true,null,1.5]}"#);
    assert_eq!(scenario.steps[1].name, "DELETE /x/${token|url}");
    assert_eq!(rendered(&http(scenario, 1).path, &[("token", "a b")]), "/x/a%20b");
    assert_eq!(rendered(http(scenario, 1).body.as_ref().unwrap(), &[("place", "p")]), "a=p&$");
}

#[test]
fn grpc_and_websocket_have_steps_of_their_own() {
    let text = "target: http://a\nmax: 1\n";
    assert!(plan(text).unwrap_err().contains("line 2: max: there is no such field here"));
    let text = with_steps("  - grpc: {method: a.B/C, metadata: {x-bin: 'AA=='}, message: {id: '${iteration}'}}\n");
    let grpc = plan(&text).unwrap();
    let Action::Grpc(action) = &grpc.scenarios[0].steps[0].action else { panic!() };
    assert_eq!((grpc.protocol, action.path.as_str()), (Protocol::Grpc, "/a.B/C"));
    assert_eq!(rendered(&action.message, &[("iteration", "7")]), r#"{"id":"7"}"#);
    assert_eq!(grpc.scenarios[0].steps[0].expect.status, [0]);
    let text =
        "target: wss://a/chat\nheaders: {x: y}\nscenarios:\n- steps:\n  - websocket: {text: 'a${uuid}', answers: 0}\n";
    let socket = plan(text).unwrap();
    let Action::Message(action) = &socket.scenarios[0].steps[0].action else { panic!() };
    assert_eq!((socket.protocol, action.path.as_str(), action.answers), (Protocol::WebSocket, "/chat", 0));
    assert_eq!(action.headers, [("x".to_owned(), "y".to_owned())]);
}

#[test]
fn mistakes_have_a_field_and_a_line() {
    let check = |text: &str, expected: &str| {
        let failed = plan(text).unwrap_err();
        assert!(failed.starts_with(expected), "{text}\n{failed}");
    };
    check("", "line 1: fields are needed");
    check("a: [", "line 1: ");
    check("rate: 5\nrates: 1", "line 2: rates: there is no such field here: the fields are target,");
    check("rate: 5", "target: it is missing");
    check("target: a", "line 1: target: \"a\" must begin with http://");
    check("target: 5", "line 1: target: text is needed, but YAML reads this otherwise");
    check("target: http://a\nrate: fast", "line 2: rate: \"fast\" is no rate");
    check("target: http://a\nrate: -5", "line 2: rate: \"-5\" is no rate");
    check("target: http://a\nrate: 0", "rate: it must be above 0");
    check("target: http://a\nrate: 5\nclosed: true", "line 3: closed: there is rate already; either rate or closed");
    check("target: http://a\nclosed: true\nspacing: poisson", "line 3: spacing: a closed pace has no arrivals");
    check("target: http://a\nduration: 5", "line 2: duration: a duration needs a unit, as in 5s");
    check("target: http://a\nduration: 0s", "line 2: duration: it must be from 1.00 ms to");
    check("target: http://a\nstages: []", "line 2: stages: the list must not be empty");
    check("target: http://a\nstages:\n- rate: 5", "line 3: stages[0]: duration is missing");
    check("target: http://a\nstages:\n- {rate: 5, duration: 1s}\nduration: 1s", "line 4: duration: stages say");
    check("target: http://a\nwarm_up: 10s", "warm_up: it must be shorter than the load");
    check("target: http://a\nrate: .inf", "line 2: non-finite float");
    check("target: http://a\n5: 0", "line 2: 5: there is no such field here");
    check("target: http://a\nconnections: 0", "line 2: connections: a whole number from 1 to 100000 is needed");
    check("target: http://a\nconnections: 1.5", "line 2: connections: a whole number");
    check("target: http://a\nstreams: 2", "streams: only HTTP/2 and gRPC");
    check("target: http://a\nworkers: 51", "workers: there are more workers than connections");
    check("target: http://a\nprotocol: http3", "line 2: protocol: it must be one of http1, http2, grpc, websocket");
    check("target: ws://a\nprotocol: http1", "protocol: it is not the one of the target's URL");
    check("target: ws://a", "scenarios: they are missing");
    check("target: http://a\ntrace_share: 2", "line 2: trace_share: a share is needed");
    check("target: http://a\nhost: a b", "line 2: host: it is neither a host");
    check("target: http://a\ntls:\n  server_name: 'a:1'", "tls.server_name: it is no name");
    check("target: http://a\ntls:\n  insecure: 1", "line 3: tls.insecure: true or false");
    check("target: http://a\nfail_if: p99", "line 2: fail_if: \"p99\" compares nothing");
    check("target: http://a\nfail_if:\n- p99>1s\n- step(x).p99>1s", "line 4: fail_if[1]: there is no step \"x\"");
    check("target: http://a\nclosed: true\nfail_if: [late>1%]", "line 3: fail_if[0]: late>1% is not known");
    check(
        "target: http://a/b\nscenarios:\n- steps: [http: {path: /}]",
        "target: its path means nothing beside scenarios",
    );
    check("target: http://a\ndata: {file: x.csv}", "line 2: data.file: the file was not read");
    check("target: http://a\ndata: {order: random}", "line 2: data: file is missing");
}

#[test]
fn mistakes_in_headers_are_found() {
    let check = |header: &str, expected: &str| {
        let failed = plan(&format!("target: http://a\nheaders:\n  {header}\n")).unwrap_err();
        assert!(failed.starts_with(expected), "{header}: {failed}");
    };
    check("a b: x", "line 3: headers.a b: \"a b\" is no name of a header");
    check("Host: x", "line 3: headers.Host: host cannot be set, since purlin writes it: say it as host");
    check("content-length: '5'", "line 3: headers.content-length: content-length cannot be set");
    check("Sec-WebSocket-Key: x", "line 3: headers.Sec-WebSocket-Key: sec-websocket-key cannot be set");
    check("x: \"a\\r\\nb\"", "line 3: headers.x: x: only visible ASCII");
    check("x: 5", "line 3: headers.x: text is needed, but YAML reads this otherwise");
    check("x: $5", "line 3: headers.x: x: a $ must be followed");
    check("x: ${token}", "line 3: headers.x: nothing gives the variable token a value");
    check("{x: a, X: b}", "line 3: headers.X: there is this header already");
}

#[test]
fn mistakes_in_steps_are_found() {
    let check = |steps: &str, expected: &str| {
        let failed = plan(&with_steps(steps)).unwrap_err();
        assert!(failed.starts_with(expected), "{steps}: {failed}");
    };
    let of_step = |field: &str, expected: &str| {
        let failed = plan(&with_steps(&format!("  - http: {{path: /}}\n    {field}\n"))).unwrap_err();
        assert!(failed.starts_with(&format!("line 5: scenarios[0].steps[0].{expected}")), "{field}: {failed}");
    };
    check("  - name: a\n", "line 4: scenarios[0].steps[0]: one of http, grpc and websocket is missing");
    check("  - http: {}\n", "line 4: scenarios[0].steps[0].http: path is missing");
    check("  - http:\n      path: a\n", "line 5: scenarios[0].steps[0].http.path: it must begin with /");
    check("  - http: {path: '${uuid}/a'}\n", "line 4: scenarios[0].steps[0].http.path: it must begin with /");
    check("  - http: {path: '/a b'}\n", "line 4: scenarios[0].steps[0].http.path: ' ' cannot stand in a path");
    check("  - http: {path: /ü}\n", "line 4: scenarios[0].steps[0].http.path: 'ü' cannot stand");
    check("  - http: {path: '/${id}'}\n", "line 4: scenarios[0].steps[0].http.path: nothing gives the variable id");
    check("  - http: {path: /, method: get}\n", "line 4: scenarios[0].steps[0].http.method: methods have capital");
    check("  - http: {path: /, method: CONNECT}\n", "line 4: scenarios[0].steps[0].http.method: CONNECT makes");
    check("  - http: {path: /, body: a, json: 1}\n", "line 4: scenarios[0].steps[0].http.json: there is body already");
    check("  - http: {path: /, json: {a: '${b}'}}\n", "line 4: scenarios[0].steps[0].http.json: nothing gives the");
    let twice = "  - http: {path: /}\n  - http: {path: /}\n";
    check(twice, "line 5: scenarios[0].steps[1]: another step has the name \"GET /\"");
    let mixed = "  - http: {path: /}\n  - grpc: {method: a.B/C}\n";
    check(mixed, "line 5: scenarios[0].steps[1].grpc: this is not the protocol of the target or of the first step");
    check("  - grpc: {method: a}\n", "line 4: scenarios[0].steps[0].grpc.method: a method is needed as in");
    check(
        "  - grpc: {method: a/b, metadata: {grpc-timeout: 1s}}\n",
        "line 4: scenarios[0].steps[0].grpc: grpc-timeout",
    );
    check("  - websocket: {text: a, path: '/${uuid}'}\n", "line 4: scenarios[0].steps[0].websocket.path: a WebSocket");
    let two = "  - websocket: {text: a}\n  - websocket: {text: a, path: /b}\n";
    check(two, "line 5: scenarios[0].steps[1].websocket: path and headers must be those of the first step");
    check(
        "  - websocket: {text: a}\n    expect: {status: 200}\n",
        "line 5: scenarios[0].steps[0].expect.status: a Web",
    );
    of_step("expect: {status: 100}", "expect.status: a whole number from 200 to 599");
    of_step("expect: {status: [200, x]}", "expect.status[1]: a whole number");
    of_step("expect: {contains: ''}", "expect.contains: it has 1 to 65536 bytes");
    of_step("extract: {a: {json: a}}", "extract.a.json: \"a\" is no JSONPath");
    of_step("extract: {a: {header: 'a b'}}", "extract.a.header: ");
    of_step("extract: {a: {}}", "extract.a: json or header is missing");
    of_step("extract: {uuid: {json: $}}", "extract.uuid: a column of the data or a built-in variable");
    of_step("extract: {a-b: {json: $}}", "extract.a-b: the name of a variable");
    of_step("think: 2h", "think: it must be from 0.00 us to 3600 s");
    of_step("repeat: 2", "repeat: there is no such field here: the fields are name, http,");
}

#[test]
fn a_value_must_be_extracted_before_it_is_used() {
    let step = |path: &str, extract: &str| format!("  - {{http: {{path: '{path}'}}, extract: {{{extract}}}}}\n");
    let first = step("/1", "id: {json: $.id}");
    assert!(plan(&with_steps(&format!("{first}{}", step("/${id}", "")))).is_ok());
    let own = plan(&with_steps(&step("/${id}", "id: {json: $.id}"))).unwrap_err();
    assert!(own.contains("nothing gives the variable id a value"), "{own}");
    // Another scenario's values are not there.
    let other = format!("{}- steps:\n{}", with_steps(&first), step("/${id}", ""));
    assert!(plan(&other).unwrap_err().starts_with("line 6: scenarios[1].steps[0].http.path: nothing gives"));
}

#[test]
fn the_same_name_twice_is_refused() {
    let two = "target: http://a\nscenarios:\n- {name: a, steps: [http: {path: /}]}\n";
    let failed = plan(&format!("{two}- {{name: a, steps: [{{name: x, http: {{path: /}}}}]}}\n")).unwrap_err();
    assert!(failed.starts_with("line 4: scenarios[1].name: another scenario has the name \"a\""), "{failed}");
    let failed = plan(&format!("{two}- {{weight: 0, steps: [http: {{path: /}}]}}\n")).unwrap_err();
    assert!(failed.starts_with("line 4: scenarios[1].weight: a whole number from 1 to 1000000"), "{failed}");
}

#[test]
fn the_command_line_wins() {
    let file = "target: http://a\nstages: [{duration: 1m, rate: 5}]\nconnections: 3\nheaders: {x: file, y: file}\n";
    let overrides = Options {
        url: Some(target::url("https://b:1/p").unwrap()),
        shape: Some(Shape::Rate(words::rate("7").unwrap())),
        duration: Some(Duration::from_secs(3)),
        headers: vec![header("X", "line ${iteration}").unwrap()],
        ..Options::default()
    };
    let plan = plan_with(file, overrides).unwrap();
    assert_eq!((plan.target.host.as_str(), plan.connections, plan.workers), ("b", 3, 3));
    assert_eq!(plan.pace.duration(), Duration::from_secs(3));
    let headers = &http(&plan.scenarios[0], 0).headers;
    let values: Vec<_> = headers.iter().map(|(name, v)| (name.as_str(), rendered(v, &[("iteration", "0")]))).collect();
    assert_eq!(values, [("y", "file".to_owned()), ("x", "line 0".to_owned())]);
}

#[test]
fn the_command_line_is_checked_too() {
    let check = |overrides: Options, expected: &str| {
        let failed = plan_with("target: http://a", overrides).unwrap_err();
        assert!(failed.starts_with(expected), "{failed}");
    };
    let none = Options::default;
    check(Options { connections: Some(0), ..none() }, "connections: it must be from 1 to 100000");
    check(Options { timeout: Some(Duration::ZERO), ..none() }, "timeout: it must be");
    check(Options { duration: Some(Duration::ZERO), ..none() }, "duration: it must be");
    check(Options { trace_share: Some(f64::NAN), ..none() }, "trace_share: it must be from 0 to 1");
    check(
        Options { headers: vec![header("x", "${id}").unwrap()], ..none() },
        "header: x: nothing gives the variable id",
    );
    let message = crate::plan::MessageAction {
        path: "/".into(),
        headers: Vec::new(),
        text: Template::parse("${id}").unwrap(),
        answers: 1,
    };
    check(Options { action: Some(Action::Message(message)), ..none() }, "request: nothing gives the variable id");
    assert!(header("a", "b\nc").unwrap_err().contains("only visible ASCII"));
}

#[test]
fn what_has_no_effect_is_refused() {
    let check = |file: &str, overrides: Options, expected: Option<&str>| {
        let failed = plan_with(file, overrides).err();
        assert_eq!(failed.as_deref(), expected, "{file}");
    };
    let none = Options::default;
    let spacing = || Options { spacing: Some(Spacing::Poisson), ..none() };
    let closed = "target: http://a\nclosed: true";
    check(closed, spacing(), Some("spacing: a closed pace has no arrivals to spread"));
    check(closed, Options { shape: Some(Shape::Rate(words::rate("5").unwrap())), ..spacing() }, None);
    let poisson = "target: http://a\nspacing: poisson";
    check(poisson, Options { shape: Some(Shape::Closed), ..none() }, None);
    let order = Options { order: Some(Order::Random), ..none() };
    check("target: http://a", order, Some("data.order: it has no effect without data"));
    let tls = "tls: it has no effect: the target is without TLS; https, wss and grpcs have it";
    check("target: http://a\ntls: {insecure: true}", none(), Some(tls));
    check("target: ws://a\ntls: {server_name: b}", none(), Some(tls));
    check("target: http://a\ntls: {insecure: false}", none(), None);
    let plain = Options { url: Some(target::url("http://b").unwrap()), ..none() };
    check("target: https://a\ntls: {insecure: true}", plain, None);
    let traced = "trace_share: a WebSocket message has no headers that could carry a traceparent";
    let steps = "trace_share: 1\nscenarios: [steps: [websocket: {text: a}]]";
    check(&format!("target: ws://a\n{steps}"), none(), Some(traced));
    let action = GrpcAction { path: "/a.B/C".into(), metadata: Vec::new(), message: Template::constant("{}") };
    let call = Options { action: Some(Action::Grpc(action)), ..none() };
    check(
        "target: grpc://a/b",
        call,
        Some("target: its path means nothing to gRPC, whose path is the method: leave it out"),
    );
}

#[test]
fn the_query_is_no_part_of_a_name() {
    let steps = "  - http: {path: '/a?token=s3cret'}\n  - http: {path: '/b/${uuid}?c=${uuid}'}\n";
    let plan = plan(&with_steps(steps)).unwrap();
    let names: Vec<&str> = plan.scenarios[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["GET /a", "GET /b/${uuid}"]);
}

#[test]
fn rows_and_authorities_come_from_the_caller() {
    let file = "target: https://a\ndata:\n  file: x.csv\n  order: random\ntls: {ca_file: ca.pem}\nscenarios:\n- steps:\n  - http: {path: '/${id}'}\n";
    let script = Script::parse(file).unwrap();
    assert_eq!((script.data_file(), script.ca_file()), (Some("x.csv"), Some("ca.pem")));
    let run = |data: &str, pem: &str| {
        let inputs = Inputs { data: Some(data.into()), roots_pem: Some(pem.into()), ..inputs() };
        script.plan(Options::default(), inputs).map_err(|error| error.to_string())
    };
    let pem = "-----BEGIN CERTIFICATE-----";
    let plan = run("id\n7\n", pem).unwrap();
    assert_eq!((plan.data.unwrap().order, plan.tls.roots_pem.as_deref()), (Order::Random, Some(pem)));
    assert!(run("id\n7,8\n", pem).unwrap_err().starts_with("line 3: data.file: line 2: it has 2 values"));
    assert!(run("ix\n7\n", pem).unwrap_err().contains("nothing gives the variable id a value"));
    assert!(run("id\n7\n", "x").unwrap_err().starts_with("tls.ca_file: there is no certificate in it"));
}

#[test]
fn there_are_limits() {
    let steps = |count: usize| (0..count).map(|n| format!("  - http: {{path: /{n}}}\n")).collect::<String>();
    assert!(plan(&with_steps(&steps(100))).is_ok());
    assert!(plan(&with_steps(&steps(101))).unwrap_err().contains("it has 101 items; 100 are taken at most"));
    let scenarios: String = (0..101).map(|n| format!("- steps: [http: {{path: /{n}}}]\n")).collect();
    assert!(plan(&format!("target: http://a\nscenarios:\n{scenarios}")).unwrap_err().contains("101 items"));
    let long = "stages:\n- {duration: 100h, rate: 1}\n- {duration: 100h, rate: 1}\n";
    assert!(plan(&format!("target: http://a\n{long}")).unwrap_err().starts_with("stages: together they are longer"));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(256))]
    #[test]
    fn a_damaged_script_is_judged_without_a_panic(
        line in 0..60_usize,
        column in 0..40_usize,
        put in "[a-z0-9${}:,'\\[\\]&*<.!% -]{0,6}",
        cut in 0..8_usize,
    ) {
        let mut lines: Vec<String> = include_str!("../../../../../examples/load/shop.yaml").lines().map(str::to_owned).collect();
        let at = line % lines.len();
        let kept: String = lines[at].chars().take(column).collect();
        let rest: String = lines[at].chars().skip(column + cut).collect();
        lines[at] = format!("{kept}{put}{rest}");
        if let Ok(script) = Script::parse(&lines.join("\n")) {
            let data = Some(b"user,item\na,b\n".to_vec());
            if let Ok(plan) = script.plan(Options::default(), Inputs { data, ..inputs() }) {
                proptest::prop_assert!(!plan.scenarios.is_empty() && plan.pace.duration() > Duration::ZERO);
            }
        }
    }
}

#[test]
fn the_examples_are_plans() {
    let check = |text: &str, protocol: Protocol, steps: &[&str], thresholds: usize| {
        let script = Script::parse(text).unwrap();
        let data = script.data_file().map(|name| {
            assert_eq!(name, "users.csv");
            include_bytes!("../../../../../examples/load/users.csv").to_vec()
        });
        let plan = script.plan(Options::default(), Inputs { data, ..inputs() }).unwrap();
        let names: Vec<&str> = plan.scenarios.iter().flat_map(|s| &s.steps).map(|s| s.name.as_str()).collect();
        assert_eq!((plan.protocol, names.as_slice(), script.thresholds().len()), (protocol, steps, thresholds));
    };
    check(include_str!("../../../../../examples/load/constant.yaml"), Protocol::Http1, &["GET /"], 2);
    check(include_str!("../../../../../examples/load/stages.yaml"), Protocol::Http2, &["GET /delay/5"], 3);
    check(include_str!("../../../../../examples/load/shop.yaml"), Protocol::Http1, &["log in", "buy", "look"], 2);
    check(include_str!("../../../../../examples/load/grpc.yaml"), Protocol::Grpc, &["grpc.health.v1.Health/Check"], 1);
    check(include_str!("../../../../../examples/load/websocket.yaml"), Protocol::WebSocket, &["message 1"], 1);
}
