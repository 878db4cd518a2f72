//! A program that says in a line of JSON when it is ready, and that can be killed and started again.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How a program is started: the same way each time.
#[derive(Clone, Debug)]
pub struct Launch {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    errors: Option<PathBuf>,
}

impl Launch {
    /// Starts `program` with `arguments`.
    pub fn new<A: Into<OsString>>(program: impl Into<OsString>, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Launch { program: program.into(), arguments, environment: Vec::new(), directory: None, errors: None }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it in `directory` with nothing of this process's environment but `PATH`, and appends what it says on
    /// standard error to the file `errors`.
    #[must_use]
    pub fn apart(mut self, directory: impl Into<PathBuf>, errors: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self.errors = Some(errors.into());
        self
    }

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if let Some(directory) = &self.directory {
            command.current_dir(directory).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        }
        if let Some(errors) = &self.errors {
            let file = File::options().create(true).append(true).open(errors);
            command.stderr(file.with_context(|| format!("failed to open {}", errors.display()))?);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }

    /// Starts it and waits for a line of JSON on its standard output, for `limit` at most.
    pub async fn start(&self, limit: Duration) -> anyhow::Result<Process> {
        let child = self.command()?.spawn();
        let mut child = child.with_context(|| format!("failed to start {:?}", self.program))?;
        let output = child.stdout.take().context("its output is not piped")?;
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if let Ok(ready @ Value::Object(_)) = serde_json::from_str(&line) {
                    return Ok(ready);
                }
            }
            anyhow::bail!("it ended its output without a line of JSON")
        };
        let ready = timeout(limit, ready).await.with_context(|| format!("it was not ready within {limit:?}"));
        let ready = ready.and_then(|ready| ready).with_context(|| format!("failed to start {:?}", self.program))?;
        // Read to the end, so that it never waits for room in the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Process { child, ready })
    }
}

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The line that it said when it was ready.
    pub ready: Value,
}

impl Process {
    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it without a chance to clean up (SIGKILL), and waits until it is gone.
    pub async fn kill_9(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("failed to kill it")
    }

    /// Asks it to end (SIGTERM), and waits for that, for `limit` at most.
    pub async fn terminate(mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let id = self.child.id().context("it has ended by itself")?;
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM).context("failed to ask it to end")?;
        let status = timeout(limit, self.child.wait()).await;
        Ok(status.with_context(|| format!("it did not end within {limit:?}"))??)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::Path;

    use super::*;
    use crate::PATIENCE;

    fn shell(script: &str) -> Launch {
        Launch::new("sh", ["-c", script])
    }

    #[tokio::test]
    async fn a_program_is_started_killed_and_started_again() {
        let launch =
            shell("echo starting; echo \"{\\\"pid\\\": $$, \\\"x\\\": \\\"$X\\\"}\"; exec sleep 1000").env("X", "y");
        let first = launch.start(PATIENCE).await.unwrap();
        let id = first.id().unwrap();
        assert_eq!((first.ready["pid"].as_u64(), &first.ready["x"]), (Some(id.into()), &"y".into()));
        first.kill_9().await.unwrap();
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        let second = launch.start(PATIENCE).await.unwrap();
        assert_ne!(second.id(), Some(id));
        assert_eq!(second.terminate(PATIENCE).await.unwrap().signal(), Some(15));
    }

    #[tokio::test]
    async fn a_program_apart_sees_its_own_directory_and_environment() {
        let dir = crate::temp_dir().unwrap();
        let errors = dir.path().join("errors");
        let script = "echo oh no >&2; echo \"{\\\"at\\\": \\\"$PWD\\\", \\\"x\\\": \\\"$X$CARGO_PKG_NAME\\\"}\"; exec sleep 1000";
        let process = shell(script).env("X", "y").apart(dir.path(), &errors).start(PATIENCE).await.unwrap();
        assert_eq!(process.ready, serde_json::json!({ "at": dir.path(), "x": "y" }));
        assert_eq!(std::fs::read_to_string(errors).unwrap(), "oh no\n");
    }

    #[tokio::test]
    async fn a_program_that_never_gets_ready_is_an_error() {
        for script in ["echo hello", "exit 1", "echo '[]'"] {
            let failed = format!("{:#}", shell(script).start(PATIENCE).await.unwrap_err());
            assert_eq!(failed, "failed to start \"sh\": it ended its output without a line of JSON", "{script}");
        }
        let failed = format!("{:#}", shell("exec sleep 1000").start(Duration::from_millis(10)).await.unwrap_err());
        assert!(failed.contains("it was not ready within 10ms"), "{failed}");
        assert!(Launch::new("/nowhere", [""; 0]).start(PATIENCE).await.is_err());
    }
}
