//! An unmodified kubectl: the transcripts in `kubectl/`, and what a transcript cannot show.

use std::time::Duration;

use anyhow::Context as _;
use purlin_testkit::PATIENCE;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::platform::Platform;
use crate::transcript;

async fn check(name: &str, text: &str) -> anyhow::Result<()> {
    let mut platform = Platform::up().await?;
    transcript::run(&platform, name, text).await?;
    anyhow::ensure!(platform.terminate().await? == Some(0), "it did not end well: {}", platform.errors());
    Ok(())
}

#[tokio::test]
async fn objects() -> anyhow::Result<()> {
    check("objects.txt", include_str!("kubectl/objects.txt")).await
}

#[tokio::test]
async fn custom_resources() -> anyhow::Result<()> {
    check("custom.txt", include_str!("kubectl/custom.txt")).await
}

#[tokio::test]
async fn access() -> anyhow::Result<()> {
    check("access.txt", include_str!("kubectl/access.txt")).await
}

#[tokio::test]
async fn discovery() -> anyhow::Result<()> {
    check("discovery.txt", include_str!("kubectl/discovery.txt")).await
}

#[tokio::test]
async fn words_for_wrong_input() -> anyhow::Result<()> {
    check("words.txt", include_str!("kubectl/words.txt")).await
}

#[tokio::test]
async fn a_watch_shows_what_happens_and_ends_with_the_platform() -> anyhow::Result<()> {
    let mut platform = Platform::up().await?;
    let arguments = ["-n", "default", "get", "configmap", "-w", "--output-watch-events"];
    let mut watching = platform.spawn_kubectl(&arguments)?;
    let mut lines = BufReader::new(watching.stdout.take().context("no output")?).lines();
    let mut seen = Vec::new();
    let mut until = async |what: &str| {
        while !seen.iter().any(|line: &String| line.starts_with(what) && line.contains("loaf")) {
            let line = timeout(PATIENCE, lines.next_line()).await;
            let line = line.with_context(|| format!("no {what} in {seen:?}"))??;
            seen.push(line.with_context(|| format!("the watch ended before {what}"))?);
        }
        anyhow::Ok(())
    };
    platform.kubectl_ok(&["create", "configmap", "loaf"], "").await?;
    until("ADDED").await?;
    platform.kubectl_ok(&["label", "configmap", "loaf", "crust=dark"], "").await?;
    until("MODIFIED").await?;
    platform.kubectl_ok(&["delete", "configmap", "loaf"], "").await?;
    until("DELETED").await?;
    // The open watch does not keep the platform from ending.
    let ended = timeout(Duration::from_secs(10), platform.terminate()).await.context("the watch holds it up")??;
    anyhow::ensure!(ended == Some(0), "ended with {ended:?}: {}", platform.errors());
    Ok(())
}
