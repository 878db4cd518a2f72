//! Loads of several processes: they add up, and what is lost with one of them is told.

use std::path::Path;

use anyhow::Context as _;
use purlin_testkit::{PATIENCE, wait_until};

use super::ends::{kill, long};
use super::{SOON, all_good, count, load, result, result_of};
use crate::load::target::Target;
use crate::platform::{PURLIN, said};

/// The processes that `parent` has started.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// proc(5): the fourth field, two behind the name in parentheses.
fn parent_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn processes_add_up() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let result = result(&[&target.url(), "--processes", "3"]).await?;
    all_good(&result)?;
    // Counted by the target, by the processes, and by their histograms, which `result` has compared.
    anyhow::ensure!(count(&result, "/figures/sent") == target.requests(), "{} arrived: {result}", target.requests());
    anyhow::ensure!(count(&result, "/generator/processes") == 3, "{result}");
    anyhow::ensure!(result["missing"] == serde_json::json!([]), "{result}");
    Ok(())
}

#[tokio::test]
async fn a_process_that_is_killed_is_missed() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let child = long(&target, &["--processes", "3"]).await?;
    let id = child.id().context("it has ended")?;
    let agents = children(id);
    let [victim, _, _] = agents[..] else { anyhow::bail!("it has the processes {agents:?}") };
    kill("KILL", victim).await?;
    wait_until("it is noticed", PATIENCE, async || children(id).len() == 2).await?;
    // The others go on.
    target.has_more_than(target.requests() + 50).await?;
    kill("INT", id).await?;
    let said = said(child).await?;
    let result = result_of(&said)?;
    let missing = result["missing"].to_string();
    let told =
        missing.contains("ended early (signal 9)") && missing.contains("of 3") && missing.contains("interrupted");
    anyhow::ensure!(said.code == Some(130) && told, "{said:?}");
    anyhow::ensure!(count(&result, "/generator/processes") == 2, "{result}");
    let sent = count(&result, "/figures/sent");
    anyhow::ensure!(sent >= 50 && sent <= target.requests(), "{} arrived: {result}", target.requests());
    Ok(())
}

#[tokio::test]
async fn what_is_no_agent_is_named() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let url = target.url();
    let good = format!("'{PURLIN}' load agent");
    let check = async |bad: &str, told: &str| {
        let said = load(&[&SOON[..], &["-o", "json", &url, "--agent", &good, "--agent", bad]].concat()).await?;
        let result = result_of(&said)?;
        let missing = result["missing"].to_string();
        let named = missing.contains("agent 2 of 2") && missing.contains(told);
        anyhow::ensure!(said.code == Some(0) && named, "{bad}: {said:?}");
        // The other sends its half.
        anyhow::ensure!(count(&result, "/tally/offered") == 20, "{bad}: {result}");
        anyhow::ensure!(count(&result, "/figures/failed") == 0, "{bad}: {result}");

        let alone = load(&[&SOON[..], &[&url, "--agent", bad]].concat()).await?;
        let refused = alone.code == Some(1) && alone.out.is_empty() && alone.err.contains(told);
        anyhow::ensure!(refused && alone.err.contains("there is nobody to send"), "{bad}: {alone:?}");
        anyhow::Ok(())
    };
    check("exit 7", "ended early (exit code 7)").await?;
    check("echo rubbish; exec sleep 600", "does not say hello").await?;
    check("printf '\"hello'", "ended early (exit code 0)").await?;
    check("echo '{\"hello\":{\"purlin\":\"99\",\"format\":99}}'; exec sleep 600", "it is purlin 99").await?;

    let far = load(&[&SOON[..], &["http://203.0.113.1/", "--processes", "2"]].concat()).await?;
    anyhow::ensure!(far.code == Some(1) && far.err.contains("neither loopback nor private"), "{far:?}");
    Ok(())
}

#[tokio::test]
async fn no_agent_outlives_who_commands_it() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let mut child = long(&target, &["--processes", "2"]).await?;
    let agents = children(child.id().context("it has ended")?);
    anyhow::ensure!(agents.len() == 2, "{agents:?}");
    child.kill().await?;
    let gone =
        async || agents.iter().all(|agent| !Path::new(&format!("/proc/{agent}/cmdline")).exists() || dead(*agent));
    wait_until("the agents end", PATIENCE, gone).await?;
    let before = target.requests();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    anyhow::ensure!(target.requests() == before, "somebody still loads it");
    Ok(())
}

/// Whether a process has ended and nobody has asked how.
fn dead(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}
