//! gRPC: types by reflection, calls, streams, and answers that break the rules.

use base64::Engine as _;
use prost_reflect::DescriptorPool;
use purlin_load::{compile_protos, reflect};
use purlin_load_model::plan::GrpcAction;

use super::*;
use crate::grpc_target::{GrpcTarget, Reflection, SERVICE, TEXT, file_response, importing};
use crate::tls::Identity;

/// The types of the target, compiled from their files.
fn compiled() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let service = directory.path().join("service.proto");
    std::fs::write(&service, SERVICE).unwrap();
    std::fs::write(directory.path().join("text.proto"), TEXT).unwrap();
    compile_protos(&[service], &[]).unwrap()
}

fn serves(version: &'static str) -> Reflection {
    Reflection::Serves(version, DescriptorPool::decode(compiled().as_slice()).unwrap())
}

fn call(method: &str, message: &str) -> Step {
    let action = GrpcAction {
        path: format!("/test.Echo/{method}"),
        metadata: Vec::new(),
        message: Template::parse(message).unwrap(),
    };
    Step { action: Action::Grpc(action), ..step(method, "/") }
}

/// 20 iterations that make these calls.
fn plan_grpc(target: &GrpcTarget, steps: Vec<Step>) -> Plan {
    Plan {
        protocol: Protocol::Grpc,
        pace: open(200.0, MS * 100),
        connections: 1,
        streams: 4,
        workers: 1,
        scenarios: vec![Scenario { name: "calls".into(), weight: 1, steps }],
        descriptors: Some(base64::engine::general_purpose::STANDARD.encode(compiled())),
        ..plan(target.address.port())
    }
}

async fn services(reflection: Reflection, symbols: &[&str]) -> Result<DescriptorPool, String> {
    let target = GrpcTarget::start(reflection).await;
    let found = reflect(&plan_grpc(&target, Vec::new()), &[], symbols).await.map_err(|e| e.to_string())?;
    Ok(DescriptorPool::decode(found.as_slice()).unwrap())
}

#[tokio::test]
async fn a_server_tells_its_types_with_all_that_they_import() {
    for version in ["v1", "v1alpha"] {
        let pool = services(serves(version), &["test.Echo"]).await.unwrap();
        let mut names: Vec<&str> = pool.files().map(|file| file.name().to_owned().leak() as &str).collect();
        names.sort_unstable();
        assert_eq!(names, ["google/protobuf/wrappers.proto", "service.proto", "text.proto"], "{version}");
        assert_eq!(pool.get_service_by_name("test.Echo").unwrap().methods().len(), 5);
    }
}

#[tokio::test]
async fn types_and_answers_come_over_tls_too() {
    let identity = Identity::new();
    let target = GrpcTarget::start_secure(serves("v1alpha"), identity.acceptor).await;
    let mut plan = plan_grpc(&target, vec![call("Say", r#"{"text": "hi"}"#)]);
    (plan.target.secure, plan.tls) = (true, identity.tls);
    let types = reflect(&plan, &[], &["test.Echo"]).await.unwrap();
    plan.descriptors = Some(base64::engine::general_purpose::STANDARD.encode(types));
    let total = result(plan.clone()).await.total();
    assert_eq!(total.succeeded, 20, "{:?}", total.errors);

    // Who is not told to trust it asks nothing.
    plan.tls = Identity::new().tls;
    let failed = reflect(&plan, &[], &["test.Echo"]).await.unwrap_err().to_string();
    assert!(failed.contains("is its certificate trusted"), "{failed}");
}

#[tokio::test]
async fn what_a_server_cannot_tell_is_explained() {
    let check = async |reflection: Reflection, symbol: &str, expected: &str| {
        let failed = services(reflection.clone(), &[symbol]).await.unwrap_err();
        assert!(failed.starts_with("cannot ask 127.0.0.1:") && failed.contains(expected), "{reflection:?}: {failed}");
    };
    check(serves("v1"), "test.Eco", "it has no service test.Eco; it has: test.Echo").await;
    check(Reflection::Refuses("12"), "test.Echo", "name the files of its types with --proto").await;
    check(Reflection::Refuses("16"), "test.Echo", "refuses reflection with status 16").await;
    check(Reflection::Endless, "test.Echo", "import each other more than 100 deep").await;
    let many: Vec<u8> = (0..=2000).flat_map(|n| file_response(&importing(&n.to_string(), "0"))).collect();
    check(Reflection::Says(vec![many]), "test.Echo", "more than 2000 files").await;
    check(Reflection::Says(Vec::new()), "test.Echo", "does not answer all questions").await;
    check(Reflection::Says(vec![Vec::new()]), "test.Echo", "its answer is empty").await;
    check(Reflection::Says(vec![vec![0xff; 4]]), "test.Echo", "its answer cannot be read").await;
    check(Reflection::Says(vec![file_response(&[0xff; 4])]), "test.Echo", "a file of its types cannot be read").await;
    // Whatever is asked, it sends the same file, which imports one that it does not send.
    let same = file_response(&importing("a.proto", "b.proto"));
    check(Reflection::Says(vec![same]), "test.Echo", "asked for b.proto, which a.proto imports, it sends other files")
        .await;
}

#[tokio::test]
async fn what_is_no_grpc_server_is_told_apart() {
    let http1 = Target::start(Manner::Answer(ok())).await;
    let plan = Plan { protocol: Protocol::Grpc, ..plan(http1.address.port()) };
    let failed = reflect(&plan, &[], &["a.B"]).await.unwrap_err().to_string();
    assert!(failed.contains("does not speak HTTP/2") && failed.contains("HTTP/1"), "{failed}");

    let http2 = H2Target::start(MANNER).await;
    let failed = reflect(&plan_h2(http2.address.port()), &[], &["a.B"]).await.unwrap_err().to_string();
    assert!(failed.contains("no grpc-status"), "{failed}");

    let nobody = Plan { target: To { port: 1, ..plan.target.clone() }, ..plan.clone() };
    let failed = reflect(&nobody, &[], &["a.B"]).await.unwrap_err().to_string();
    assert!(failed.contains("cannot be connected to"), "{failed}");

    let far = Plan { target: To { host: "192.0.2.1".into(), ..plan.target.clone() }, ..plan };
    let failed = reflect(&far, &[], &["a.B"]).await.unwrap_err().to_string();
    assert!(failed.contains("--i-may-load-this-target 192.0.2.1"), "{failed}");
}

#[tokio::test]
async fn answers_are_looked_at_as_json() {
    let target = GrpcTarget::start(serves("v1")).await;
    let mut first = call("Say", r#"{"text": "hi ${iteration}", "more": "x"}"#);
    first.expect.contains = Some(r#""count":"0","more":"x""#.into());
    first.extract = [("said".to_owned(), Extract::Json("$.text".into()))].into();
    let mut second = call("Say", r#"{"text": "${said}!"}"#);
    second.expect.contains = Some(r#"{"text":"hi "#.into());
    second.name = "again".into();
    let mut third = call("Count", r#"{"count": 3}"#);
    third.expect.contains = Some(r#""text":"1""#.into());
    let summary = result(plan_grpc(&target, vec![first, second, third])).await;
    accounted(&summary);
    let succeeded: Vec<u64> = summary.tally.steps.iter().map(|step| step.succeeded).collect();
    assert_eq!(succeeded, [20, 20, 20], "{:?}", summary.total().errors);
}

#[tokio::test]
async fn answers_that_break_the_rules_are_counted_as_such() {
    let target = GrpcTarget::start(serves("v1")).await;
    let check = async |step: Step, status: Option<u16>, error: Option<ErrorKind>| {
        let summary = result(plan_grpc(&target, vec![step.clone()])).await;
        accounted(&summary);
        let total = summary.total();
        let shown = format!("{step:?}: {:?} {:?}", total.status, total.errors);
        assert_eq!(total.status.keys().copied().collect::<Vec<u16>>(), Vec::from_iter(status), "{shown}");
        assert_eq!(total.errors.keys().copied().collect::<Vec<ErrorKind>>(), Vec::from_iter(error), "{shown}");
        assert!(total.sent > 0, "{shown}");
    };
    let odd = |text: &str| call("Odd", &format!("{{\"text\": \"{text}\"}}"));
    check(call("Count", r#"{"count": 3000}"#), Some(0), None).await;
    check(call("Count", "{}"), Some(0), None).await;
    for text in ["compressed", "truncated", "nothing", "two", "no status"] {
        check(odd(text), None, Some(ErrorKind::Protocol)).await;
    }
    check(odd("no number"), Some(2), Some(ErrorKind::Status)).await;
    check(odd("other"), Some(13), Some(ErrorKind::Status)).await;
    check(odd("trailers only"), Some(5), Some(ErrorKind::Status)).await;
    check(odd("proxy"), Some(14), Some(ErrorKind::Status)).await;
    let expected = Expect { status: vec![5], contains: None };
    check(Step { expect: expected, ..odd("trailers only") }, Some(5), None).await;
    // What the message says is of interest only to a step that looks at it.
    check(odd("wrong type"), Some(0), None).await;
    let looked_at = Expect { status: Vec::new(), contains: Some("a".into()) };
    check(Step { expect: looked_at.clone(), ..odd("wrong type") }, Some(0), Some(ErrorKind::Content)).await;
    check(Step { expect: looked_at, ..call("Count", "{}") }, Some(0), Some(ErrorKind::Content)).await;
}

#[tokio::test]
async fn a_stream_that_broke_the_rules_is_not_left_open() {
    let target = GrpcTarget::start(serves("v1")).await;
    let summary = result(plan_grpc(&target, vec![call("Odd", r#"{"text": "compressed without end"}"#)])).await;
    accounted(&summary);
    assert_eq!(summary.total().errors[&ErrorKind::Protocol], summary.total().sent);
    assert!(target.given_up.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn metadata_go_with_calls() {
    let target = GrpcTarget::start(serves("v1")).await;
    let with = |metadata: &[(&str, &str)]| {
        let mut step = call("Meta", "{}");
        let Action::Grpc(action) = &mut step.action else { panic!() };
        let parse = |(name, value): &(&str, &str)| ((*name).to_owned(), Template::parse(value).unwrap());
        action.metadata = metadata.iter().map(parse).collect();
        step
    };
    let mut step = with(&[("authorization", "Bearer ${iteration}"), ("x-bin", "AAEC/w==")]);
    step.expect.contains = Some(" AAEC/w trailers application/grpc".into());
    let summary = result(plan_grpc(&target, vec![step])).await;
    assert_eq!(summary.total().succeeded, 20, "{:?}", summary.total().errors);
    for (name, value, expected) in [
        ("grpc-timeout", "1s", "leave it out"),
        ("te", "gzip", "leave it out"),
        (":path", "/", "small letters"),
        ("x-bin", "?", "must be base64"),
        ("x-bin", "-${iteration}", "must be base64"),
    ] {
        let plan = plan_grpc(&target, vec![with(&[(name, value)])]);
        let failed = run(plan, &Options::default(), &mut |_| {}).await.unwrap_err().to_string();
        assert!(failed.starts_with("step Meta: metadata ") && failed.contains(expected), "{failed}");
    }
}

#[tokio::test]
async fn calls_that_cannot_be_made_are_refused_before_the_load() {
    let target = GrpcTarget::start(serves("v1")).await;
    for (method, message, expected) in [
        ("Collect", "{}", "takes a stream of messages"),
        ("Sey", "{}", "test.Echo has no method Sey; it has: Say, Meta, Count, Odd, Collect"),
        ("Say", "{\"tekst\": 1}", "the message is no test.Text: unrecognized field name 'tekst'"),
        ("Say", "{} {}", "the message is no test.Text"),
    ] {
        let plan = plan_grpc(&target, vec![call(method, message)]);
        let failed = run(plan, &Options::default(), &mut |_| {}).await.unwrap_err().to_string();
        assert!(failed.contains(expected), "{failed}");
    }
}
