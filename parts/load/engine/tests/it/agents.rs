//! Agents that say what cannot be, and what they leave behind.

use std::time::Duration;

use futures::future::join_all;
use purlin_load::{Options, run};
use purlin_load_model::plan::Plan;
use purlin_load_model::summary::FORMAT;
use purlin_load_model::tally::Tally;
use serde_json::{Value, json};

use super::{open, plan};

/// Says that it reports in our form.
fn hello() -> String {
    json!({ "hello": { "purlin": "0", "format": FORMAT } }).to_string()
}

/// Runs a load whose agents are these shell scripts; what its figures lack, or why it has none.
async fn missing(scripts: &[String]) -> String {
    let agents = scripts.iter().map(|script| vec!["sh".to_owned(), "-c".to_owned(), script.clone()]).collect();
    let options = Options { agents, ..Options::default() };
    let plan = Plan { workers: 1, pace: open(10.0, Duration::from_secs(60)), ..plan(9) };
    match run(plan, &options, &mut |_| {}).await {
        Ok(summary) => summary.missing.join("; "),
        Err(error) => error.to_string(),
    }
}

/// An agent that is told to begin, says these words, and stays.
fn says(words: &[Value]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("'{}'", json!({ "report": word }))).collect();
    let ready = json!({ "report": { "ready": { "worker": 0 } } });
    let (hello, words) = (hello(), words.join(" "));
    format!("printf '%s\\n' '{hello}' '{ready}'; read assemble; read start; printf '%s\\n' {words}; exec sleep 600")
}

fn interval(second: u64, steps: usize, change: impl FnOnce(&mut Tally)) -> Value {
    let mut tally = Tally::new(steps);
    change(&mut tally);
    json!({ "interval": { "worker": 0, "second": second, "due": 0, "tally": tally, "in_flight": 0, "open": 0 } })
}

#[tokio::test]
async fn wrong_reports_do_no_harm() {
    let ended = json!({ "ended": { "worker": 0, "cpu": 1.0 } });
    let process = |cpu: f64| json!({ "process": { "worker": 0, "cpu": cpu, "others": 0.0, "max_rss": 1 } });
    let check = async |words: Vec<Value>, expected: &str| {
        let told = missing(&[says(&words)]).await;
        let named = told.contains("agent 1 of 1") && told.contains("its report is wrong: ");
        assert!(named && told.contains(expected), "{told}");
    };
    // Each takes the moment until the start.
    let checks = vec![
        check(vec![interval(u64::MAX, 1, |_| {})], "has not come yet"),
        check(vec![interval(0, 1, |_| {}), interval(2, 1, |_| {})], "second 2 does not follow"),
        check(vec![interval(0, 1000, |_| {})], "it counts 1000 steps"),
        check(vec![interval(0, 1, |tally| tally.offered = u64::MAX)], "too high a count"),
        check(vec![json!({ "ended": { "worker": 0, "cpu": 1.8e19 } })], "too long a time"),
        check(vec![json!({ "ended": { "worker": 0, "cpu": -1.0 } })], "no duration"),
        check(vec![json!({ "ended": { "worker": 7, "cpu": 1.0 } })], "worker 7 is not its own"),
        check(vec![ended.clone(), process(1.8e19)], "too long a time"),
        check(vec![process(1.0)], "it ends before its workers"),
        check(vec![json!({ "rubbish": [] })], "unknown variant"),
    ];
    join_all(checks).await;
}

#[tokio::test]
async fn reports_before_the_start_are_wrong() {
    let word = json!({ "report": interval(0, 1, |_| {}) });
    let told = missing(&[format!("printf '%s\\n' '{}' '{word}'; exec sleep 600", hello())]).await;
    assert!(told.contains("its report is wrong: it reports before the load has begun"), "{told}");
}

#[tokio::test]
async fn an_agent_that_takes_no_orders_holds_nobody_up() {
    // The plan does not fit into the pipe that nobody reads.
    let mut plan = super::with_rows(plan(9), &["x"; 100_000]);
    plan.workers = 1;
    let agents = vec![vec!["sh".to_owned(), "-c".to_owned(), "echo rubbish; exec sleep 600".to_owned()]];
    let error = run(plan, &Options { agents, ..Options::default() }, &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("it does not say hello as one"), "{error}");
}

#[tokio::test]
async fn nobody_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let left = async |name: &str, script: &str| {
        let file = directory.path().join(name);
        let told = missing(&[format!("sleep 600 & echo $! > '{}'; {script}", file.display())]).await;
        let id: u32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        // It is killed; that it has died is seen a moment later. Whoever inherits it may not have asked how it ended.
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        };
        let gone = async {
            while lives() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), gone).await.is_ok(), "{told}");
        told
    };
    assert!(left("ended", "exit 3").await.contains("ended early (exit code 3)"));
    assert!(left("wrong", "echo rubbish; sleep 600").await.contains("does not say hello"));
}

#[tokio::test]
async fn processes_without_a_connection_are_refused() {
    let agents = vec![vec!["false".to_owned()]; 9];
    let error = run(plan(9), &Options { agents, ..Options::default() }, &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.starts_with("8 connections cannot be dealt out to 9 processes"), "{error}");
}

/// One connection is sent through by one thread, of how many there may be.
#[tokio::test]
async fn every_thread_has_a_connection() {
    let target = super::Target::start(super::Manner::Answer(super::ok())).await;
    let plan = Plan { connections: 1, workers: 2, ..plan(target.address.port()) };
    let summary = super::result(plan).await;
    super::all_succeeded(&summary, 200);
    assert_eq!(summary.tally.not_sent, 0);
}
