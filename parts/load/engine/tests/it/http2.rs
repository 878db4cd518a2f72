//! HTTP/2: streams that are shared, refused and waited for; servers that do not read, do not speak, or do not stop.

use std::time::Instant;

use super::*;
use crate::h2_target::H2Target;
use crate::raw_target::{Habit, RawTarget, frame};
use crate::tls::Identity;

/// Like [`plan`], over HTTP/2: two connections with four streams each.
pub(crate) fn plan_h2(port: u16) -> Plan {
    Plan { protocol: Protocol::Http2, connections: 2, streams: 4, ..plan(port) }
}

pub(crate) const MANNER: h2_target::Manner = h2_target::Manner { max_streams: 100, requests: usize::MAX, refusals: 0 };

/// All senders share a connection, and ask again as soon as they are answered.
fn crowd(port: u16, senders: u32) -> Plan {
    let pace = Pace::Closed { duration: MS * 400 };
    Plan { pace, connections: 1, streams: senders, workers: 1, timeout: MS * 5000, ..plan_h2(port) }
}

/// A step that sends a body of so many bytes.
fn upload(length: usize) -> Step {
    let mut upload = step("upload", "/");
    let Action::Http(action) = &mut upload.action else { panic!() };
    action.method = "POST".into();
    action.body = Some(Template::parse(&"x".repeat(length)).unwrap());
    upload
}

fn one(step: Step) -> Vec<Scenario> {
    vec![Scenario { name: "one".into(), weight: 1, steps: vec![step] }]
}

#[tokio::test]
async fn streams_share_connections() {
    let target = H2Target::start(MANNER).await;
    let summary = result(plan_h2(target.address.port())).await;
    all_succeeded(&summary, 200);
    assert_eq!(summary.tally.connect.count(), 2);
}

#[tokio::test]
async fn a_server_that_allows_few_streams_is_obeyed() {
    let target = H2Target::start(h2_target::Manner { max_streams: 1, ..MANNER }).await;
    let summary = result(plan_h2(target.address.port())).await;
    all_succeeded(&summary, 200);
}

#[tokio::test]
async fn a_connection_that_says_goaway_is_replaced() {
    let target = H2Target::start(h2_target::Manner { requests: 10, ..MANNER }).await;
    let summary = result(plan_h2(target.address.port())).await;
    // What the server would not answer is asked for on the next connection.
    all_succeeded(&summary, 200);
    assert!(summary.tally.connect.count() >= 10, "{}", summary.tally.connect.count());
}

#[tokio::test]
async fn whoever_waits_for_a_stream_gets_one_though_connections_end() {
    let target = H2Target::start(h2_target::Manner { max_streams: 2, requests: 10, ..MANNER }).await;
    let summary = result(crowd(target.address.port(), 40)).await;
    accounted(&summary);
    let total = summary.total();
    assert_eq!((total.errors.len(), total.succeeded), (0, total.sent), "{:?}", total.errors);
}

#[tokio::test]
async fn what_is_refused_is_sent_again_until_its_time_is_over() {
    let target = H2Target::start(h2_target::Manner { refusals: 5, ..MANNER }).await;
    let summary = result(Plan { pace: Pace::Closed { duration: MS * 200 }, ..crowd(target.address.port(), 1) }).await;
    accounted(&summary);
    let total = summary.total();
    assert_eq!((total.succeeded, total.errors.len()), (total.sent, 0), "{:?}", total.errors);
    let asked = target.asked.load(Ordering::Relaxed);
    assert_eq!(asked, total.sent * 6);

    // Not in a hot loop, though: with 400 ms, it is asked for after 1, 2, 4 ... 256 ms.
    let target = H2Target::start(h2_target::Manner { refusals: u64::MAX, ..MANNER }).await;
    let summary = result(Plan { timeout: MS * 400, ..crowd(target.address.port(), 3) }).await;
    accounted(&summary);
    let total = summary.total();
    assert_eq!(total.errors.get(&ErrorKind::Timeout), Some(&total.sent), "{:?}", total.errors);
    let asked = target.asked.load(Ordering::Relaxed);
    assert!((2 * total.sent..=10 * total.sent).contains(&asked), "{asked} for {}", total.sent);
}

#[tokio::test]
async fn all_of_an_upload_leaves_tls() {
    let identity = Identity::new();
    let target = H2Target::start_slow(MANNER, identity.acceptor).await;
    let mut plan = crowd(target.address.port(), 1);
    (plan.target.secure, plan.tls, plan.timeout) = (true, identity.tls, MS * 3000);
    plan.scenarios = one(upload(1 << 20));
    let total = result(plan).await.total();
    assert!(total.sent > 0);
    assert_eq!((total.succeeded, total.errors.len()), (total.sent, 0), "{:?}", total.errors);
}

#[tokio::test]
async fn a_server_that_does_not_read_is_left() {
    let check = async |habit: Habit, length: usize| {
        let target = RawTarget::start(habit.clone()).await;
        let scenarios = one(upload(length));
        let pace = open(200.0, MS * 800);
        let plan =
            Plan { pace, scenarios, timeout: MS * 200, connections: 1, workers: 1, ..plan_h2(target.address.port()) };
        let summary = result(plan).await;
        accounted(&summary);
        let total = summary.total();
        assert_eq!(total.errors.keys().collect::<Vec<_>>(), [&ErrorKind::Timeout], "{habit:?}");
        let connections = summary.tally.connect.count();
        assert!((2..=8).contains(&connections), "{habit:?}: {connections}");
    };
    check(Habit::Deaf, 4 << 20).await;
    check(Habit::Mute, 1).await;
}

#[tokio::test]
async fn a_server_that_leaves_before_it_is_asked_is_not_connected_to_in_a_hot_loop() {
    let target = RawTarget::start(Habit::Hasty).await;
    let summary = result(Plan { pace: open(100.0, MS * 200), ..plan_h2(target.address.port()) }).await;
    accounted(&summary);
    let total = summary.total();
    assert_eq!(total.errors.get(&ErrorKind::Closed), Some(&total.sent), "{:?}", total.errors);
    let connections = summary.tally.connect.count();
    assert!(connections <= 2 * total.sent + 4, "{connections} for {}", total.sent);
}

#[tokio::test]
async fn no_flood_holds_up_a_deadline() {
    let head = frame(1, 4, 1, &[0x88]);
    let check = async |name: &str, first: &[u8], others: Vec<u8>, errors: &[ErrorKind]| {
        let target = RawTarget::start(Habit::Flood(first.to_vec(), others)).await;
        let plan = Plan {
            pace: open(100.0, MS * 100),
            timeout: MS * 200,
            connections: 1,
            streams: 1,
            workers: 1,
            ..plan_h2(target.address.port())
        };
        let began = Instant::now();
        let summary = result(plan).await;
        accounted(&summary);
        let total = summary.total();
        assert!(total.errors.keys().all(|error| errors.contains(error)), "{name}: {:?}", total.errors);
        assert_eq!(total.succeeded, 0);
        assert!(total.sent > 0 && began.elapsed() < MS * 5000, "{name}: {:?}", began.elapsed());
    };
    check("PING", &[], frame(6, 0, 0, &[0; 8]), &[ErrorKind::Protocol]).await;
    check("SETTINGS", &[], frame(4, 0, 0, &[]), &[ErrorKind::Protocol]).await;
    check("empty DATA", &head, frame(0, 0, 1, &[]), &[ErrorKind::Protocol]).await;
    check("WINDOW_UPDATE", &[], frame(8, 0, 1, &[0, 0, 0, 1]), &[ErrorKind::Protocol]).await;
    check("CONTINUATION", &frame(1, 0, 1, &[]), frame(9, 0, 1, &[]), &[ErrorKind::Protocol]).await;
    check("DATA", &head, frame(0, 0, 1, b"x"), &[ErrorKind::Timeout]).await;
    // It depends on how fast it reads what it calls for.
    let mixed = [frame(6, 0, 0, &[0; 8]), frame(0, 0, 1, b"x")].concat();
    check("PING and DATA", &head, mixed, &[ErrorKind::Timeout, ErrorKind::Protocol]).await;
}
