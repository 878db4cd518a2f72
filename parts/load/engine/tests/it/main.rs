//! Runs of the engine against targets that behave and that do not.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod agents;
mod grpc;
mod grpc_target;
mod h2_target;
mod http2;
mod raw_target;
mod target;
mod tls;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use h2_target::H2Target;
use http2::{MANNER, plan_h2};
use purlin_load::{Options, run};
use purlin_load_model::plan::{
    Action, Data, Expect, Extract, HttpAction, Order, Pace, Plan, Protocol, Scenario, Spacing, Stage, Step,
    Target as To, Template, Tls,
};
use purlin_load_model::summary::Summary;
use purlin_load_model::tally::ErrorKind;
use target::{Manner, Target, ok};

const MS: Duration = Duration::from_millis(1);

fn step(name: &str, path: &str) -> Step {
    Step {
        name: name.into(),
        action: Action::Http(HttpAction {
            method: "GET".into(),
            path: Template::parse(path).unwrap(),
            headers: Vec::new(),
            body: None,
        }),
        expect: Expect::default(),
        extract: BTreeMap::new(),
        think: Duration::ZERO,
    }
}

/// One request after the other to `port`: 500 a second for 400 ms.
fn plan(port: u16) -> Plan {
    Plan {
        target: To { secure: false, host: "127.0.0.1".into(), port, authority: format!("127.0.0.1:{port}") },
        protocol: Protocol::Http1,
        pace: open(500.0, MS * 400),
        warm_up: Duration::ZERO,
        connections: 8,
        streams: 1,
        timeout: MS * 500,
        workers: 2,
        seed: 1,
        scenarios: vec![Scenario { name: "one".into(), weight: 1, steps: vec![step("get", "/")] }],
        data: None,
        trace_share: 0.0,
        tls: Tls::default(),
        descriptors: None,
    }
}

fn open(rate: f64, duration: Duration) -> Pace {
    Pace::Open { stages: vec![Stage { duration, from: rate, to: rate }], spacing: Spacing::Constant }
}

async fn result(plan: Plan) -> Summary {
    run(plan, &Options::default(), &mut |_| {}).await.unwrap()
}

/// All of `count` intended requests were answered, but for those that this machine was too busy to begin at all.
fn all_succeeded(summary: &Summary, count: u64) {
    accounted(summary);
    assert_eq!(summary.tally.offered, count);
    for step in &summary.tally.steps {
        assert_eq!(step.succeeded + summary.tally.not_sent, count, "{:?}", step.errors);
        assert!(step.succeeded > 0);
    }
}

/// Every intended start is accounted for, and every request that was sent has one end.
fn accounted(summary: &Summary) {
    let (tally, total) = (&summary.tally, summary.total());
    assert_eq!(summary.series.iter().map(|second| second.offered).sum::<u64>(), tally.offered);
    assert_eq!(tally.on_time + tally.late() + tally.not_sent, tally.offered);
    assert_eq!(total.succeeded + total.failed(), total.sent);
}

#[tokio::test]
async fn an_open_load_sends_what_it_says() {
    let target = Target::start(Manner::Answer(ok())).await;
    let summary = result(plan(target.address.port())).await;
    all_succeeded(&summary, 200);
    let total = summary.total();
    assert_eq!(target.requests.load(Ordering::Relaxed), total.sent);
    assert_eq!((total.status[&200], total.latency.count(), summary.missing.len()), (total.sent, 200, 0));
    assert_eq!((summary.tally.connect.count(), summary.lasted), (8, MS * 400));
}

#[tokio::test]
async fn a_warm_up_does_not_count() {
    let target = Target::start(Manner::Answer(ok())).await;
    let summary = result(Plan { warm_up: MS * 200, ..plan(target.address.port()) }).await;
    all_succeeded(&summary, 100);
    let requests = target.requests.load(Ordering::Relaxed);
    assert!((summary.total().sent + 1..=summary.total().sent + 100).contains(&requests), "{requests}");
}

#[tokio::test]
async fn a_stall_shows_though_few_requests_met_it() {
    let period = MS * 400;
    let target = Target::start(Manner::Stall(ok(), period)).await;
    let plan = Plan { pace: open(500.0, MS * 800), connections: 4, timeout: MS * 2000, ..plan(target.address.port()) };
    let summary = result(plan).await;
    accounted(&summary);
    let total = summary.total();
    // Half of the time nobody is answered: a fifth of all intended requests waited more than 100 ms at the least,
    // though each of the four connections met the stall but twice.
    let quick = total.latency.at_most(MS * 100) as f64 / summary.tally.offered as f64;
    assert!(quick < 0.85, "{quick}");
    let slow_by_service = total.service.count() - total.service.at_most(MS * 100);
    assert!(slow_by_service <= 12, "{slow_by_service}");
    assert!(summary.tally.late_busy + summary.tally.not_sent > 0);
}

#[tokio::test]
async fn whatever_a_target_does_has_a_name() {
    let check = async |manner: Manner, kind: ErrorKind| {
        let target = Target::start(manner.clone()).await;
        let plan = Plan { pace: open(100.0, MS * 100), timeout: MS * 150, ..plan(target.address.port()) };
        let summary = result(plan).await;
        accounted(&summary);
        let total = summary.total();
        assert_eq!(total.errors.get(&kind).copied(), Some(total.sent), "{manner:?}: {:?}", total.errors);
        assert!(total.sent > 0, "{manner:?}");
    };
    check(Manner::Silent, ErrorKind::Timeout).await;
    check(Manner::Drip(ok(), MS * 20), ErrorKind::Timeout).await;
    check(Manner::Reset, ErrorKind::Closed).await;
    check(Manner::Close, ErrorKind::Closed).await;
    check(Manner::Endless, ErrorKind::Protocol).await;
    check(Manner::Answer(b"SSH-2.0-OpenSSH\r\n".to_vec()), ErrorKind::Protocol).await;
    check(Manner::Answer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec()), ErrorKind::Status).await;
}

#[tokio::test]
async fn a_target_that_is_not_there_refuses() {
    let target = Target::start(Manner::Silent).await;
    let port = target.address.port();
    drop(target);
    tokio::time::sleep(MS * 10).await;
    let summary = result(Plan { pace: open(100.0, MS * 100), ..plan(port) }).await;
    accounted(&summary);
    assert_eq!(summary.total().errors[&ErrorKind::Connect], summary.total().sent);
    // A closed pace does not turn into a storm of connections.
    let closed = result(Plan { pace: Pace::Closed { duration: MS * 100 }, ..plan(port) }).await;
    assert!(closed.total().sent < 100, "{}", closed.total().sent);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_no_error() {
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
    let target = Target::start(Manner::Answer(answer)).await;
    let summary = result(plan(target.address.port())).await;
    all_succeeded(&summary, 200);
    assert!(summary.tally.connect.count() >= 200);
}

#[tokio::test]
async fn a_closed_load_asks_as_fast_as_it_is_answered() {
    let target = Target::start(Manner::Answer(ok())).await;
    let summary = result(Plan { pace: Pace::Closed { duration: MS * 200 }, ..plan(target.address.port()) }).await;
    accounted(&summary);
    assert_eq!(summary.total().succeeded, target.requests.load(Ordering::Relaxed));
    assert!(summary.total().succeeded > 500, "{}", summary.total().succeeded);
}

#[tokio::test]
async fn an_interrupted_run_has_a_result() {
    let target = Target::start(Manner::Answer(ok())).await;
    let options = Options::default();
    let stop = options.stop.clone();
    let stopping = async {
        tokio::time::sleep(MS * 300).await;
        stop.cancel();
    };
    let plan = Plan { pace: open(200.0, Duration::from_secs(60)), ..plan(target.address.port()) };
    let mut quiet = |_: &purlin_load::Progress| {};
    let (summary, ()) = tokio::join!(run(plan, &options, &mut quiet), stopping);
    let summary = summary.unwrap();
    accounted(&summary);
    assert!(summary.total().succeeded > 0 && summary.lasted < Duration::from_secs(60));
    assert!(summary.missing[0].contains("interrupted"), "{:?}", summary.missing);
}

#[tokio::test]
async fn what_would_have_been_due_after_a_stop_is_not_offered() {
    let target = Target::start(Manner::Silent).await;
    let options = Options::default();
    let stop = options.stop.clone();
    let stopping = async {
        tokio::time::sleep(MS * 300).await;
        stop.cancel();
    };
    // What is in flight is waited for, for longer than the load lasted.
    let plan = Plan {
        pace: open(1000.0, Duration::from_secs(60)),
        timeout: Duration::from_secs(1),
        ..plan(target.address.port())
    };
    let mut quiet = |_: &purlin_load::Progress| {};
    let (summary, ()) = tokio::join!(run(plan, &options, &mut quiet), stopping);
    let summary = summary.unwrap();
    accounted(&summary);
    let due = summary.lasted.as_secs_f64() * 1000.0;
    assert!((summary.tally.offered as f64 - due).abs() < 400.0, "{} of {due}", summary.tally.offered);
}

#[tokio::test]
async fn what_is_in_flight_when_a_run_is_given_up_is_unfinished() {
    let target = Target::start(Manner::Silent).await;
    let options = Options::default();
    let (stop, abort) = (options.stop.clone(), options.abort.clone());
    let giving_up = async {
        tokio::time::sleep(MS * 200).await;
        stop.cancel();
        abort.cancel();
    };
    let plan = Plan {
        pace: open(200.0, Duration::from_secs(60)),
        timeout: Duration::from_secs(60),
        ..plan(target.address.port())
    };
    let mut quiet = |_: &purlin_load::Progress| {};
    let (summary, ()) = tokio::join!(run(plan, &options, &mut quiet), giving_up);
    let summary = summary.unwrap();
    accounted(&summary);
    assert_eq!(summary.total().errors[&ErrorKind::Unfinished], 8);
}

/// A GET of the path that a row names; rows are taken in turn.
fn with_rows(plan: Plan, rows: &[&str]) -> Plan {
    let rows = rows.iter().map(|path| vec![(*path).to_owned()]).collect();
    let data = Data { columns: vec!["path".into()], rows, order: Order::Sequential };
    let scenarios = vec![Scenario { name: "one".into(), weight: 1, steps: vec![step("get", "/${path}")] }];
    Plan { data: Some(data), scenarios, ..plan }
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_not_sent_and_holds_nobody_up() {
    let target = Target::start(Manner::Answer(ok())).await;
    for pace in [Pace::Closed { duration: MS * 60_000 }, open(1_000_000.0, MS * 60_000)] {
        let before = target.requests.load(Ordering::Relaxed);
        let options = Options::default();
        let stop = options.stop.clone();
        let stopping = async {
            tokio::time::sleep(MS * 200).await;
            stop.cancel();
        };
        // Of two threads, one gets all rows that do not fit into a path.
        let plan = with_rows(Plan { pace, ..plan(target.address.port()) }, &["good", "not good"]);
        let mut quiet = |_: &purlin_load::Progress| {};
        let both = async { tokio::join!(run(plan, &options, &mut quiet), stopping).0 };
        let summary = tokio::time::timeout(MS * 20_000, both).await.unwrap().unwrap();
        let (tally, total) = (&summary.tally, summary.total());
        assert_eq!(tally.on_time + tally.late() + tally.not_sent, tally.offered);
        assert_eq!(total.sent, target.requests.load(Ordering::Relaxed) - before);
        assert_eq!((total.succeeded, total.failed()), (total.sent, total.errors[&ErrorKind::Content]));
        assert!(total.sent > 0 && total.failed() > 0, "{total:?}");
        assert!((0.0..1.0).contains(&summary.error_share()), "{}", summary.error_share());
    }
}

#[tokio::test]
async fn a_load_that_can_make_no_request_is_refused() {
    let plan = with_rows(plan(9), &["not good", "neither good"]);
    let refused = run(plan, &Options::default(), &mut |_| {}).await.unwrap_err().to_string();
    let told = refused.starts_with("step get: ") && refused.ends_with("with each of the first 100 iterations)");
    assert!(told, "{refused}");
}

#[tokio::test]
async fn a_script_takes_values_from_one_answer_to_the_next() {
    let login =
        Step { extract: [("token".to_owned(), Extract::Header("x-token".into()))].into(), ..step("login", "/") };
    let mut echo = step("echo", "/echo");
    echo.action = Action::Http(HttpAction {
        method: "POST".into(),
        path: Template::parse("/echo").unwrap(),
        headers: vec![("x-iteration".into(), Template::parse("${iteration}").unwrap())],
        body: Some(Template::parse("{\"token\": \"${token}\"}").unwrap()),
    });
    echo.extract = [("again".to_owned(), Extract::Json("$.token".into()))].into();
    echo.expect = Expect { contains: Some("abc".into()), ..Expect::default() };
    let scenarios = vec![Scenario { name: "two".into(), weight: 1, steps: vec![login.clone(), echo] }];

    let target = H2Target::start(MANNER).await;
    let summary = result(Plan { scenarios, ..plan_h2(target.address.port()) }).await;
    all_succeeded(&summary, 200);

    // Over HTTP/1.1 the second step finds no token in the body that this target sends.
    let target = Target::start(Manner::Answer(ok())).await;
    let mut lost = step("lost", "/");
    lost.extract = [("again".to_owned(), Extract::Json("$.token".into()))].into();
    let scenarios = vec![Scenario { name: "two".into(), weight: 1, steps: vec![login, lost] }];
    let summary = result(Plan { scenarios, ..plan(target.address.port()) }).await;
    accounted(&summary);
    let [login, lost] = &summary.tally.steps[..] else { panic!("two steps") };
    assert_eq!((login.succeeded, lost.errors[&ErrorKind::Content]), (login.sent, login.sent));
}

#[tokio::test]
async fn traces_of_the_slowest_are_kept() {
    let target = Target::start(Manner::Answer(ok())).await;
    let summary = result(Plan { trace_share: 0.5, ..plan(target.address.port()) }).await;
    accounted(&summary);
    let slowest: Vec<Duration> = summary.tally.exemplars.iter().map(|exemplar| exemplar.latency).collect();
    assert_eq!(slowest.len(), 10);
    assert!(slowest.is_sorted_by(|a, b| a >= b));
    assert!(summary.tally.exemplars.iter().all(|exemplar| exemplar.trace_id.len() == 32));
}
