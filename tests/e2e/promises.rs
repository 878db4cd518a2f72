//! What `purlin up` promises of itself: where it writes, whom it refuses, how it ends.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use http::StatusCode;
use purlin_testkit::PATIENCE;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::http1;
use crate::platform::{PURLIN, Platform, Said, said};

/// All that is below `path`.
fn walk(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(walk(&path)?);
        }
        found.push(path);
    }
    Ok(found)
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(std::fs::symlink_metadata(path)?.permissions().mode() & 0o777)
}

async fn purlin(home: &Path, arguments: &[&str]) -> anyhow::Result<Said> {
    let mut command = Command::new(PURLIN);
    command.args(arguments).env_clear().env("HOME", home).kill_on_drop(true);
    said(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?).await
}

#[tokio::test]
async fn it_writes_only_below_its_data_directory_for_its_user_alone() -> anyhow::Result<()> {
    let mut platform = Platform::up().await?;
    platform.kubectl_ok(&["create", "configmap", "a"], "").await?;
    let root = platform.root().to_owned();
    let outside = [walk(&root.join("home"))?, walk(&root.join("work"))?].concat();
    anyhow::ensure!(outside.is_empty(), "it wrote {outside:?}");
    let top: BTreeSet<_> =
        std::fs::read_dir(&root)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    let expected = ["client", "data", "errors", "home", "work"].map(Into::into);
    anyhow::ensure!(top == BTreeSet::from(expected), "{top:?}");

    let data = root.join("data");
    anyhow::ensure!(*platform.ready("data_dir")? == serde_json::json!(data), "{}", platform.ready("data_dir")?);
    anyhow::ensure!(platform.kubeconfig()?.starts_with(&data), "{}", platform.kubeconfig()?.display());
    let mut all = walk(&data)?;
    all.push(data);
    for path in &all {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        anyhow::ensure!(mode(path)? == expected, "{} has mode {:o}", path.display(), mode(path)?);
    }
    anyhow::ensure!(platform.terminate().await? == Some(0), "{}", platform.errors());
    Ok(())
}

#[tokio::test]
async fn the_admin_listener_tells_how_it_is() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let admin = platform.address("admin")?;
    for path in ["/livez", "/readyz"] {
        let (status, body) = http1::get(admin, "localhost", path).await?;
        anyhow::ensure!(status == StatusCode::OK, "{path}: {status} {body:?}");
    }
    let (status, metrics) = http1::get(admin, "localhost", "/metrics").await?;
    let text = String::from_utf8(metrics.into())?;
    anyhow::ensure!(status == StatusCode::OK && text.contains("process_resident_memory_bytes"), "{status} {text}");
    anyhow::ensure!(http1::get(admin, "localhost", "/none").await?.0 == StatusCode::NOT_FOUND, "/none is there");
    Ok(())
}

#[tokio::test]
async fn a_second_one_and_a_taken_port_are_refused_in_words() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let root = platform.root();
    let data = root.join("data").display().to_string();
    let other = root.join("client/other").display().to_string();
    let taken = platform.address("api")?.to_string();
    let admin = platform.address("admin")?.to_string();
    let any = "127.0.0.1:0";
    let cases = [
        (["--data-dir", &data, "--api-listen", any, "--admin-listen", any], vec![data.as_str(), "--data-dir"]),
        (["--data-dir", &other, "--api-listen", &taken, "--admin-listen", any], vec![&taken, "--api-listen"]),
        (["--data-dir", &other, "--api-listen", any, "--admin-listen", &admin], vec![&admin, "--admin-listen"]),
    ];
    for (arguments, words) in cases {
        let refused = purlin(&root.join("home"), &[&["up", "--json"], arguments.as_slice()].concat()).await?;
        anyhow::ensure!(refused.code == Some(1) && refused.out.is_empty(), "{arguments:?}: {refused:?}");
        for word in words {
            anyhow::ensure!(refused.err.contains(word), "{arguments:?}: no {word} in {}", refused.err);
        }
        anyhow::ensure!(!refused.err.contains("panicked"), "{}", refused.err);
    }
    // The first one is none the worse for it.
    platform.kubectl_ok(&["get", "namespaces"], "").await?;
    Ok(())
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let home = platform.root().join("client");
    let config = platform.kubeconfig()?.display().to_string();
    let nowhere = home.join("nowhere").display().to_string();
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&nowhere, text.replace(&platform.address("api")?.to_string(), "127.0.0.1:1"))?;
    let cases = [
        (vec!["version"], 0, "purlin"),
        (vec!["get", "namespaces", "--kubeconfig", &config], 0, "default"),
        (vec!["get", "namespaces", "default", "-o", "name", "--kubeconfig", &config], 0, "namespace/default"),
        (vec!["get", "namespaces", "none", "--kubeconfig", &config], 1, "none"),
        (vec!["get", "pastries", "--kubeconfig", &config], 1, "pastries"),
        (vec!["fly"], 2, "fly"),
        (vec!["up", "--wings"], 2, "--wings"),
        (vec!["get", "namespaces", "--kubeconfig", &nowhere], 3, "127.0.0.1:1"),
    ];
    for (arguments, code, word) in cases {
        let said = purlin(&home, &arguments).await?;
        anyhow::ensure!(said.code == Some(code), "{arguments:?}: {said:?}");
        let (speaks, silent) = if code == 0 { (&said.out, &said.err) } else { (&said.err, &said.out) };
        anyhow::ensure!(speaks.contains(word) && silent.is_empty(), "{arguments:?}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_second_sigterm_ends_it_at_once_and_the_first_finishes_requests() -> anyhow::Result<()> {
    let [port] = purlin_testkit::free_ports()?;
    let listen = format!("127.0.0.1:{port}");
    let mut backend = Command::new(PURLIN);
    let mut backend = backend
        .args(["demo-backend", "--listen", &listen, "--json"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = backend.stdout.take().context("no output")?;
    let line = timeout(PATIENCE, BufReader::new(output).lines().next_line()).await??;
    anyhow::ensure!(line.as_ref().is_some_and(|line| line.contains(&listen)), "{line:?}");

    let mut platform = Platform::up().await?;
    let gateway = crate::traffic::serve_one(&platform, port).await?;
    // A request is in flight when it is told to end.
    let asked = tokio::spawn(async move { http1::get(gateway, "one.test", "/delay/1500").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    anyhow::ensure!(platform.terminate().await? == Some(0), "{}", platform.errors());
    let (status, _) = asked.await??;
    anyhow::ensure!(status == StatusCode::OK, "{status}");

    platform.start().await?;
    let asked = tokio::spawn(async move { http1::get(gateway, "one.test", "/delay/20000").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let id = platform.id()?.to_string();
    let ended = tokio::spawn(async move { platform.terminate().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    anyhow::ensure!(Command::new("kill").arg(&id).status().await?.success(), "it is gone already");
    timeout(Duration::from_secs(5), ended).await.context("it goes on after the second signal")???;
    anyhow::ensure!(asked.await?.is_err(), "a request outlived the process");
    Ok(())
}
