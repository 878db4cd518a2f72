//! Bad endings: signals, disks that are full, descriptors that run out. There is a result each time.

use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{SOON, adds_up, command, count, load, result_of};
use crate::load::target::Target;
use crate::platform::{PURLIN, said};

/// Sends `signal` to a process.
pub(super) async fn kill(signal: &str, process: u32) -> anyhow::Result<()> {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).stderr(Stdio::null()).status();
    anyhow::ensure!(sent.await?.success(), "there is no process {process}");
    Ok(())
}

/// Starts a load that would take a minute, and waits until more than 20 requests have arrived.
pub(super) async fn long(target: &Target, more: &[&str]) -> anyhow::Result<Child> {
    let url = target.url();
    let pace = ["load", &url, "-r", "200/s", "-d", "1m", "-c", "6", "--timeout", "1m", "-q", "-o", "json"];
    let child = command(PURLIN, &[&pace[..], more].concat()).spawn()?;
    target.has_more_than(20).await?;
    Ok(child)
}

fn missing(result: &Value) -> String {
    result["missing"].to_string()
}

#[tokio::test]
async fn one_signal_ends_it_with_what_was_sent() -> anyhow::Result<()> {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let target = Target::start().await?;
        let child = long(&target, &[]).await?;
        kill(signal, child.id().context("it has ended")?).await?;
        let said = said(child).await?;
        let result = result_of(&said)?;
        let (sent, failed) = (count(&result, "/figures/sent"), count(&result, "/figures/failed"));
        anyhow::ensure!(said.code == Some(code) && failed == 0 && sent == target.requests(), "{signal}: {said:?}");
        anyhow::ensure!(missing(&result).contains("interrupted") && sent < 12_000, "{signal}: {result}");
        anyhow::ensure!(result["interrupted"] == true && said.err.contains("was interrupted"), "{signal}: {said:?}");
        let lasted = result["lasted"].as_f64().context("no duration")?;
        anyhow::ensure!(lasted < 60.0, "{signal}: {result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_gives_up_what_is_in_flight() -> anyhow::Result<()> {
    for more in [&[][..], &["--processes", "2"]] {
        let target = Target::start().await?;
        target.answer_only(15);
        // 21 arrive: 15 that are answered, and one on each connection.
        let child = long(&target, more).await?;
        let id = child.id().context("it has ended")?;
        // Two different ones, which are told apart however quickly they come.
        kill("INT", id).await?;
        kill("TERM", id).await?;
        let said = said(child).await?;
        let result = result_of(&said)?;
        anyhow::ensure!(said.code == Some(130) && count(&result, "/figures/succeeded") == 15, "{said:?}");
        anyhow::ensure!(count(&result, "/tally/steps/0/errors/unfinished") == 6, "{result}");
        anyhow::ensure!(missing(&result).contains("interrupted"), "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_full_disk_loses_neither_the_result_nor_what_was_there() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let directory = purlin_testkit::temp_dir()?;
    let url = target.url();
    for option in ["--save", "--html"] {
        let full = load(&[&SOON[..], &[&url, option, "/dev/full"]].concat()).await?;
        anyhow::ensure!(full.code == Some(1) && full.out.contains("Succeeded"), "{full:?}");
        let named = full.err.contains("cannot write /dev/full") && full.err.contains("standard output");
        anyhow::ensure!(named, "{full:?}");

        let file = directory.path().join("result").display().to_string();
        std::fs::write(&file, "what was there")?;
        // A limit of 512 bytes a file stands for a disk that is full.
        let limit = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
        let arguments = [&["-c", limit, "sh", PURLIN, "load", &url, option, &file], &SOON[..]].concat();
        let limited = said(command("sh", &arguments).spawn()?).await?;
        anyhow::ensure!(limited.code == Some(1) && limited.out.contains("Succeeded"), "{limited:?}");
        anyhow::ensure!(limited.err.contains(&format!("cannot write {file}")), "{limited:?}");
        anyhow::ensure!(std::fs::read_to_string(&file)? == "what was there", "it was overwritten");
        anyhow::ensure!(std::fs::read_dir(directory.path())?.count() == 1, "something was left behind");

        // What cannot be written at all is found before anything is sent.
        let before = target.requests();
        let nowhere = directory.path().join("none/result").display().to_string();
        let refused = load(&[&SOON[..], &[&url, option, &nowhere]].concat()).await?;
        anyhow::ensure!(
            refused.code == Some(1) && refused.out.is_empty() && refused.err.contains(&nowhere),
            "{refused:?}"
        );
        anyhow::ensure!(target.requests() == before, "it was loaded all the same");
    }
    Ok(())
}

#[tokio::test]
async fn standard_output_that_is_gone_loses_no_result() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let directory = purlin_testkit::temp_dir()?;
    let url = target.url();
    for (name, redirected) in [("full", "\"$@\" > /dev/full"), ("pipe", "set -o pipefail; \"$@\" | true")] {
        let path = |end: &str| directory.path().join(format!("{name}.{end}")).display().to_string();
        let (save, html) = (path("json"), path("html"));
        let arguments = ["-c", redirected, "bash", PURLIN, "load", &url, "--save", &save, "--html", &html];
        let said = said(command("bash", &[&arguments[..], &SOON[..]].concat()).spawn()?).await?;
        let told = said.err.contains("cannot write the result to standard output");
        anyhow::ensure!(said.code == Some(1) && told, "{name}: {said:?}");
        adds_up(&serde_json::from_slice(&std::fs::read(&save)?)?)?;
        anyhow::ensure!(std::fs::read_to_string(&html)?.ends_with("</html>\n"), "{name}: the page is not whole");
    }
    Ok(())
}

#[tokio::test]
async fn a_load_that_ignores_the_terminals_end_goes_on() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let url = target.url();
    let ignoring = "trap '' HUP; exec \"$@\"";
    let pace = ["-r", "200/s", "-d", "1s", "-c", "6", "-q", "-o", "json"];
    let child = command("sh", &[&["-c", ignoring, "sh", PURLIN, "load", &url], &pace[..]].concat()).spawn()?;
    target.has_more_than(20).await?;
    kill("HUP", child.id().context("it has ended")?).await?;
    let said = said(child).await?;
    anyhow::ensure!(said.code == Some(0) && count(&result_of(&said)?, "/tally/offered") == 200, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn running_out_of_descriptors_is_told() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let limited = "ulimit -n 64; exec \"$@\"";
    let url = target.url();
    let pace = ["-c", "200", "-r", "400/s", "-d", "500ms", "-q", "-o", "json"];
    let said =
        said(command("sh", &[&["-c", limited, "sh", PURLIN, "load", &url], &pace[..]].concat()).spawn()?).await?;
    let result = result_of(&said)?;
    anyhow::ensure!(count(&result, "/tally/connect_errors/descriptors") > 0, "{result}");
    anyhow::ensure!(count(&result, "/figures/succeeded") > 0 && said.code == Some(0), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn it_can_be_ended_while_it_connects() -> anyhow::Result<()> {
    // Handshakes of TLS begin, and nobody answers them.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}/", silent.local_addr()?);
    let pace = ["load", &url, "-r", "10/s", "-d", "1m", "-c", "2", "--timeout", "10m", "-q", "-o", "json"];
    let child = command(PURLIN, &pace).spawn()?;
    let _connections = [silent.accept().await?, silent.accept().await?];
    kill("INT", child.id().context("it has ended")?).await?;
    let said = said(child).await?;
    let result = result_of(&said)?;
    anyhow::ensure!(said.code == Some(130) && count(&result, "/tally/offered") == 0, "{said:?}");
    anyhow::ensure!(missing(&result).contains("interrupted"), "{result}");
    Ok(())
}
