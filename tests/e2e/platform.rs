//! A platform in an empty home, and the clients that talk to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use purlin_testkit::PATIENCE;
use purlin_testkit::process::{Launch, Process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The platform's binary.
pub(crate) const PURLIN: &str = env!("CARGO_BIN_EXE_purlin-tests");

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `purlin up`, running. Killed and its files removed when dropped.
pub(crate) struct Platform {
    root: TempDir,
    launch: Launch,
    process: Option<Process>,
}

impl Platform {
    /// Starts a platform in a new and empty home.
    pub(crate) async fn up() -> anyhow::Result<Self> {
        Self::up_with(&[]).await
    }

    /// Starts one with more arguments.
    pub(crate) async fn up_with(more: &[&str]) -> anyhow::Result<Self> {
        let root = purlin_testkit::temp_dir()?;
        for folder in ["home", "work", "client"] {
            std::fs::create_dir(root.path().join(folder))?;
        }
        let listen = ["up", "--json", "--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let launch = Launch::new(PURLIN, listen.iter().chain(more).copied())
            .env("HOME", root.path().join("home"))
            .env("PURLIN_DATA_DIR", root.path().join("data"))
            .apart(root.path().join("work"), root.path().join("errors"));
        let mut platform = Platform { root, launch, process: None };
        platform.start().await?;
        Ok(platform)
    }

    /// Starts it again, with the data that is there.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let started = self.launch.start(PATIENCE).await;
        self.process = Some(started.with_context(|| format!("it said: {}", self.errors()))?);
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill_9(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it does not run")?.kill_9().await
    }

    /// Ends it with SIGTERM and returns its exit code.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.process.take().context("it does not run")?.terminate(PATIENCE).await?.code())
    }

    /// A field of the line that it said when it was ready.
    pub(crate) fn ready(&self, field: &str) -> anyhow::Result<&serde_json::Value> {
        let process = self.process.as_ref().context("it does not run")?;
        process.ready.get(field).with_context(|| format!("no {field} in {}", process.ready))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.as_ref().and_then(Process::id).context("it does not run")
    }

    /// The directory that holds everything of this platform: `home`, `data`, `work`, and `client` for its clients.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where the API server (`api`) or the admin listener (`admin`) listens.
    pub(crate) fn address(&self, of: &str) -> anyhow::Result<SocketAddr> {
        let url = self.ready(of)?.as_str().unwrap_or_default();
        let address = url.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        address.and_then(|address| address.parse().ok()).with_context(|| format!("{of} is no URL: {url:?}"))
    }

    /// The file that clients log in with.
    pub(crate) fn kubeconfig(&self) -> anyhow::Result<PathBuf> {
        Ok(self.ready("kubeconfig")?.as_str().context("no path")?.into())
    }

    /// A kube-rs client, as the administrator.
    pub(crate) async fn client(&self) -> anyhow::Result<kube::Client> {
        let file = Kubeconfig::read_from(self.kubeconfig()?)?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Runs kubectl and waits for it.
    pub(crate) async fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<Said> {
        let mut child = self.spawn_kubectl(arguments)?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        // kubectl may end before it has read all.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        said(child).await.with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// Runs kubectl, which has to succeed, and returns what it printed.
    pub(crate) async fn kubectl_ok(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let said = self.kubectl(arguments, input).await?;
        anyhow::ensure!(said.code == Some(0), "kubectl {}: {}", arguments.join(" "), said.err);
        Ok(said.out)
    }

    /// Starts kubectl with pipes.
    pub(crate) fn spawn_kubectl(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        self.spawn(&peer("kubectl")?, arguments)
    }

    /// Runs a script of `clients/`, which may use the official Python client.
    pub(crate) async fn python(&self, script: &str, arguments: &[&str]) -> anyhow::Result<Said> {
        let script = format!("{}/clients/{script}", env!("CARGO_MANIFEST_DIR"));
        said(self.spawn(&peer("python")?, &[&[script.as_str()], arguments].concat())?).await
    }

    fn spawn(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.root().join("client"));
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", self.root().join("client")).env("KUBECONFIG", self.kubeconfig()?);
        // What `kubectl edit` edits with.
        command.env("KUBE_EDITOR", "sed -i s/edit-me/edited/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().with_context(|| format!("failed to start {}", program.display()))
    }

    /// The last that it has said on standard error.
    pub(crate) fn errors(&self) -> String {
        let all = std::fs::read_to_string(self.root().join("errors")).unwrap_or_default();
        let last = all.char_indices().rev().nth(2_000).map_or(0, |(start, _)| start);
        all[last..].to_owned()
    }
}

/// Waits for a program's end.
pub(crate) async fn said(child: Child) -> anyhow::Result<Said> {
    let output = timeout(PATIENCE, child.wait_with_output()).await.context("it did not end")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// A program that `make peers` has installed.
pub(crate) fn peer(name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("PURLIN_PEERS").map(PathBuf::from);
    let cached = || std::env::home_dir().map(|home| home.join(".cache/purlin/peers"));
    let path = folder.or_else(cached).context("there is no home directory")?.join("bin").join(name);
    anyhow::ensure!(path.exists(), "{} is missing: run `make peers`", path.display());
    Ok(path)
}

/// True when the full counts are asked for (`make soak`).
pub(crate) fn soak() -> bool {
    std::env::var_os("PURLIN_SOAK").is_some()
}
