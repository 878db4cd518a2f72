//! What the platform costs, measured: `make bench`, on a release build and a machine that does nothing else.
//!
//! Each figure has the bar that it must not pass; tests of correctness are elsewhere and never look at the time.

use std::time::Duration;

use anyhow::Context as _;

use crate::platform::Platform;
use crate::traffic::{Load, Scene, route, served_after, split};

/// One line of the table.
fn show(what: &str, seen: f64, unit: &str, bar: f64, over: &mut Vec<String>) {
    use std::io::Write as _;
    let line = format!("{what:<44}{seen:>8.1} {unit:<4} (at most {bar})");
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
    if seen > bar {
        over.push(line);
    }
}

fn resident_megabytes(id: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

#[tokio::test]
#[ignore = "measures: make bench"]
async fn start_and_memory() -> anyhow::Result<()> {
    let mut over = Vec::new();
    let (mut api, mut ready) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        let platform = Platform::up().await?;
        api = api.min(platform.ready("api_ms")?.as_f64().context("api_ms is no number")?);
        ready = ready.min(platform.ready("ready_ms")?.as_f64().context("ready_ms is no number")?);
    }
    show("API answers after", api, "ms", 300.0, &mut over);
    show("all is ready after", ready, "ms", 1_000.0, &mut over);
    let platform = Platform::up().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    show("memory, idle", resident_megabytes(platform.id()?)?, "MiB", 60.0, &mut over);
    anyhow::ensure!(over.is_empty(), "{over:#?}");
    Ok(())
}

#[tokio::test]
#[ignore = "measures: make bench"]
async fn routes_until_served() -> anyhow::Result<()> {
    let mut over = Vec::new();
    let scene = Scene::set().await?;
    scene.add(route("main", "m.test", split(&[("a", 80), ("b", 20)]))).await?;
    scene.answers("m.test", "/", 200).await?;
    let load = Load::on(scene.gateway, "m.test");
    let took = served_after(&scene, 200).await?;
    load.stop().await?;
    show("a route is served after, median", took[100].as_secs_f64() * 1e3, "ms", 100.0, &mut over);
    show("a route is served after, 99 of 100", took[197].as_secs_f64() * 1e3, "ms", 100.0, &mut over);
    anyhow::ensure!(over.is_empty(), "{over:#?}");
    Ok(())
}
