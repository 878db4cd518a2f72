//! `purlin load`, driven as its users do: a process, its standard output, its exit code.
//!
//! What is loaded is a server of ours ([`target`]), the platform itself, or servers that others wrote ([`peers`]).
//! [`ends`] has the bad endings: signals, full disks, no descriptors; [`agents`] has loads of several processes;
//! [`results`] has what can be done with a result. Counts decide these tests, never how long something took: a busy
//! machine may be late, and may leave something unsent, but what it tells has to add up.

mod agents;
mod ends;
mod peers;
mod results;
mod target;

use std::process::Stdio;

use anyhow::Context as _;
use purlin_testkit::PATIENCE;
use purlin_testkit::process::{Launch, Process};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::platform::{PURLIN, Said, said};
use crate::traffic::{Scene, route, split};
use target::Target;

/// Options of a load that is over soon: 40 iterations, in a time in which even a busy machine comes to send some.
const SOON: [&str; 7] = ["--rate", "100/s", "--duration", "400ms", "--connections", "4", "--quiet"];

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs `purlin load` to its end.
async fn load(arguments: &[&str]) -> anyhow::Result<Said> {
    said(command(PURLIN, &[&["load"], arguments].concat()).spawn()?).await
}

/// The result that `purlin load` has told as JSON.
fn result_of(said: &Said) -> anyhow::Result<Value> {
    let result = serde_json::from_str(&said.out).with_context(|| format!("no result: {said:?}"))?;
    adds_up(&result)?;
    Ok(result)
}

/// The result of [`SOON`] and `more`, which has to succeed.
async fn result(more: &[&str]) -> anyhow::Result<Value> {
    let said = load(&[&SOON[..], &["-o", "json"], more].concat()).await?;
    anyhow::ensure!(said.code == Some(0), "{more:?}: {said:?}");
    result_of(&said)
}

/// The number at a JSON pointer; 0 where there is none.
fn count(result: &Value, pointer: &str) -> u64 {
    result.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// The sum of all numbers of an object.
fn sum(counts: &Value) -> u64 {
    counts.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// The durations that a histogram has counted.
fn counted(histogram: &Value) -> u64 {
    histogram.as_array().into_iter().flatten().map(|bucket| count(bucket, "/1")).sum()
}

/// Whatever has happened: each intended start is told once, and so is the end of each request.
fn adds_up(result: &Value) -> anyhow::Result<()> {
    let tally = |name: &str| count(result, &format!("/tally/{name}"));
    let begun = tally("on_time") + tally("late_busy") + tally("late_self");
    anyhow::ensure!(begun + tally("not_sent") == tally("offered"), "starts are lost: {result}");
    anyhow::ensure!(counted(&result["tally"]["delay"]) == begun, "delays are lost: {result}");
    let mut latencies = 0;
    let mut known = tally("not_sent");
    for step in result["tally"]["steps"].as_array().context("no steps")? {
        let ended = count(step, "/succeeded") + sum(&step["errors"]);
        anyhow::ensure!(count(step, "/sent") == ended, "requests are lost: {result}");
        latencies += counted(&step["latency"]);
        known += sum(&step["status"]) + count(step, "/errors/timeout");
    }
    anyhow::ensure!(latencies == known, "latencies are lost: {result}");
    Ok(())
}

/// All that was offered was answered well, but for what a busy machine could not send.
fn all_good(result: &Value) -> anyhow::Result<()> {
    let (sent, not_sent) = (count(result, "/figures/sent"), count(result, "/tally/not_sent"));
    let good = sent > 0 && count(result, "/figures/succeeded") == sent && sent + not_sent == 40;
    anyhow::ensure!(good && count(result, "/tally/offered") == 40, "not all is good: {result}");
    Ok(())
}

/// A demo backend, and where it listens.
async fn demo_backend() -> anyhow::Result<(Process, String)> {
    let launch = Launch::new(PURLIN, ["demo-backend", "--json", "--listen", "127.0.0.1:0"]);
    let backend = launch.start(PATIENCE).await?;
    let address = backend.ready["listen"].as_str().context("it does not tell where it listens")?.to_owned();
    Ok((backend, address))
}

#[tokio::test]
async fn each_protocol_has_its_answers() -> anyhow::Result<()> {
    let (_backend, address) = demo_backend().await?;
    let (http, ws) = (format!("http://{address}/hello"), format!("ws://{address}/echo"));
    for (more, status) in [
        (vec![http.as_str()], "200"),
        (vec![&http, "--protocol", "http2", "--streams", "5"], "200"),
        (vec![&http, "-X", "PUT", "-b", "${uuid}", "-H", "x-number: ${iteration}", "--trace-share", "1"], "200"),
        (vec![&ws, "--message", "hello ${iteration}"], "101"),
    ] {
        let result = result(&more).await.with_context(|| format!("{more:?}"))?;
        all_good(&result)?;
        let answered = count(&result, &format!("/tally/steps/0/status/{status}"));
        anyhow::ensure!(answered == count(&result, "/figures/sent"), "{more:?}: {result}");
    }
    let closed = load(&[&http, "--closed", "--duration", "100ms", "-c", "2", "-q", "-o", "json"]).await?;
    let closed = result_of(&closed)?;
    anyhow::ensure!(count(&closed, "/figures/sent") > 0 && count(&closed, "/figures/failed") == 0, "{closed}");
    Ok(())
}

#[tokio::test]
async fn the_platforms_own_gateway_is_loaded() -> anyhow::Result<()> {
    let scene = Scene::set().await?;
    let [port] = purlin_testkit::free_ports()?;
    let issued = rcgen::generate_simple_self_signed(["shop.test".to_owned()])?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "shop"},
        "stringData": {"tls.crt": issued.cert.pem(), "tls.key": issued.signing_key.serialize_pem()},
    });
    let tls = json!({"certificateRefs": [{"name": "shop"}]});
    let listeners = json!([
        {"name": "http", "port": scene.gateway.port(), "protocol": "HTTP"},
        {"name": "https", "port": port, "protocol": "HTTPS", "hostname": "shop.test", "tls": tls},
    ]);
    scene.apply(&[secret, scene.gateway_with(listeners)]).await?;
    scene.add(route("shop", "shop.test", split(&[("a", 1), ("b", 1)]))).await?;
    scene.answers("shop.test", "/", 200).await?;
    let host = ["--host", "shop.test"];
    let plain = format!("http://{}/", scene.gateway);
    all_good(&result(&[&[plain.as_str()], &host[..]].concat()).await?)?;
    all_good(&result(&[&[plain.as_str(), "--protocol", "http2"], &host[..]].concat()).await?)?;

    let authority = scene.platform.root().join("client/shop.pem").display().to_string();
    std::fs::write(&authority, issued.cert.pem())?;
    let secure = format!("https://{}:{port}/", scene.gateway.ip());
    let trust = ["--ca-file", &authority, "--server-name", "shop.test"];
    let ready = async || {
        let asked = load(&[&[secure.as_str(), "-r", "10", "-d", "100ms", "-q"], &host[..], &trust[..]].concat()).await;
        asked.is_ok_and(|said| said.code == Some(0))
    };
    purlin_testkit::wait_until("the listener serves TLS", PATIENCE, ready).await?;
    for protocol in ["http1", "http2"] {
        let more = [&[secure.as_str(), "--protocol", protocol], &host[..], &trust[..]].concat();
        all_good(&result(&more).await?)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_target_that_stalls_is_seen() -> anyhow::Result<()> {
    let target = Target::start().await?;
    target.answer_only(20);
    let url = target.url();
    let pace = ["-r", "200/s", "-d", "1s", "-c", "2", "--timeout", "200ms", "-q", "-o", "json"];
    let said = load(&[&[url.as_str()], &pace[..]].concat()).await?;
    let result = result_of(&said)?;
    let (sent, not_sent) = (count(&result, "/figures/sent"), count(&result, "/tally/not_sent"));
    anyhow::ensure!(said.code == Some(0) && count(&result, "/tally/offered") == 200, "{said:?}");
    target.has_more_than(sent - 1).await?;
    anyhow::ensure!(sent + not_sent == 200 && sent == target.requests(), "{} arrived: {result}", target.requests());
    let timeouts = count(&result, "/tally/steps/0/errors/timeout");
    anyhow::ensure!(count(&result, "/figures/succeeded") == 20 && timeouts == sent - 20 && timeouts > 0, "{result}");
    // All answers came in the one second that there is.
    let seconds = result["series"].as_array().map_or(0, Vec::len);
    anyhow::ensure!(seconds == 1 && count(&result, "/series/0/succeeded") == 20, "{result}");
    // Nine of ten users met the stall: whoever waits before he asks again would have told of a few.
    let median = result["figures"]["latency"]["p50"].as_f64().context("no median")?;
    let confessed = result["figures"]["confession"].to_string();
    anyhow::ensure!(median > 0.1 && not_sent > 100 && confessed.contains("waited for a free connection"), "{result}");
    Ok(())
}

#[tokio::test]
async fn exit_codes_say_what_came_of_it() -> anyhow::Result<()> {
    let (_backend, address) = demo_backend().await?;
    let [free] = purlin_testkit::free_ports()?;
    let (good, bad) = (format!("http://{address}/"), format!("http://{address}/status/503"));
    let nowhere = format!("http://127.0.0.1:{free}/");
    let check = async |arguments: &[&str], code: i32, out: &str, err: &str| {
        let said = load(&[&SOON[..], arguments].concat()).await?;
        let right = said.code == Some(code) && said.out.contains(out) && said.err.contains(err);
        anyhow::ensure!(right, "{arguments:?} should end with {code}, {out:?} and {err:?}: {said:?}");
        // Nothing but the result stands on standard output, and errors stand on the other.
        let streams = (code == 0) == said.err.is_empty() && out.is_empty() == said.out.is_empty();
        anyhow::ensure!(streams, "{arguments:?}: {said:?}");
        anyhow::Ok(())
    };
    check(&[&good, "--fail-if", "errors>0"], 0, "Succeeded", "").await?;
    check(&[&good, "--fail-if", "throughput<1000000/s"], 1, "throughput<1000000/s", "as it must not be").await?;
    check(&[&bad, "--fail-if", "errors>=10%"], 1, "503 Service Unavailable", "errors>=10%").await?;
    check(&[&bad], 0, "wrong status", "").await?;
    check(&[&nowhere], 3, "no connection", "no request reached 127.0.0.1").await?;
    check(&["http://203.0.113.1/"], 2, "", "--i-may-load-this-target 203.0.113.1").await?;
    check(&[&good, "--fail-if", "speed>1"], 2, "", "speed").await?;
    check(&[&good, "--streams", "2"], 2, "", "streams").await?;
    check(&["ftp://127.0.0.1/"], 2, "", "ftp").await?;
    check(&[&good, "--closed"], 2, "", "cannot be used with").await?;
    check(&[], 2, "", "nothing says what to load").await?;
    check(&["-f", "no-such-file.yaml"], 1, "", "no-such-file.yaml").await
}

#[tokio::test]
async fn the_examples_run() -> anyhow::Result<()> {
    let (_backend, address) = demo_backend().await?;
    let examples = format!("{}/../examples/load", env!("CARGO_MANIFEST_DIR"));
    for (name, url, steps) in [
        ("constant.yaml", format!("http://{address}/"), 1),
        ("shop.yaml", format!("http://{address}/"), 3),
        ("stages.yaml", format!("http://{address}/"), 1),
        ("websocket.yaml", format!("ws://{address}/echo"), 1),
    ] {
        let file = format!("{examples}/{name}");
        let soon = ["-r", "100", "-d", "300ms", "--warm-up", "0s", "-c", "5", "-q", "-o", "json"];
        let said = load(&[&["-f", file.as_str(), url.as_str()], &soon[..]].concat()).await?;
        // Its thresholds are for its own pace.
        let result = result_of(&said).with_context(|| format!("{name}: {}", said.err))?;
        let tried = result["tally"]["steps"].as_array().map_or(0, Vec::len);
        let good = count(&result, "/figures/succeeded") > 0 && count(&result, "/figures/failed") == 0;
        anyhow::ensure!(good && tried == steps, "{name}: {result}");
    }
    Ok(())
}
