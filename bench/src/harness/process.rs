//! Programs that are measured: started with an environment that does not depend on who starts them, on one core, and
//! watched while they run.
//!
//! What a program has used in CPU time is told twice: by getrusage(2) when it has ended, which leaves nothing out, and
//! by its threads' `/proc/PID/task/*/schedstat`, which also tells how long it waited for a core. Targets of a load are
//! alive while it is measured, so that theirs is read from schedstat alone.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A program that is not ready to serve by then never will be.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// More output than this is no result of a measurement.
const MAX_OUTPUT: usize = 256 << 20;

/// What is started, and where.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    core: Option<usize>,
}

impl Launch {
    /// The program with its arguments.
    pub(crate) fn new<A: Into<OsString>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Launch {
        Launch { program: program.to_owned(), arguments: arguments.into_iter().map(Into::into).collect(), core: None }
    }

    /// Only on this core.
    pub(crate) fn on(mut self, core: usize) -> Launch {
        self.core = Some(core);
        self
    }

    fn command(&self) -> Command {
        let mut command = match self.core {
            // It becomes the program, so that the process is the program's.
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("--cpu-list").arg(core.to_string()).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(&self.arguments).env_clear().envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            ("LANG", "C"),
            ("GOMAXPROCS", "1"),
            ("TOKIO_WORKER_THREADS", "1"),
        ]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// What a program has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time by getrusage(2); zero where it has not ended.
    pub cpu: Duration,
    /// CPU time by schedstat, up to the last look.
    pub scheduled: Duration,
    /// How long it was ready to run and waited for a core.
    pub waited: Duration,
    /// The largest resident memory, in bytes.
    pub max_rss: u64,
    /// The most open descriptors.
    pub descriptors: u64,
}

/// A program that has ended by itself.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// Its exit code.
    pub code: Option<i32>,
    /// What it used.
    pub usage: Usage,
}

/// Runs a program to its end, which must come within `limit`.
pub(crate) async fn run(launch: &Launch, limit: Duration) -> anyhow::Result<Finished> {
    let name = launch.program.display();
    let before = children();
    let mut command = launch.command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("failed to start {name}"))?;
    let mut watch = Watch::new(child.id().context("it has no id")?);
    let ended = tokio::time::timeout(limit, child.wait_with_output());
    tokio::pin!(ended);
    let output = loop {
        tokio::select! {
            output = &mut ended => break output,
            () = tokio::time::sleep(LOOK) => watch.look(),
        }
    };
    let output = output.with_context(|| format!("{name} did not end within {limit:?}"))??;
    anyhow::ensure!(output.stdout.len() <= MAX_OUTPUT, "{name} printed {} bytes", output.stdout.len());
    let usage = Usage { cpu: children().saturating_sub(before), ..watch.usage() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Finished { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code(), usage })
}

impl Finished {
    /// Fails with the end of what it complained about, unless it ended with one of `codes`.
    pub(crate) fn expect(self, codes: &[i32]) -> anyhow::Result<Finished> {
        if self.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(self);
        }
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" / ");
        anyhow::bail!("ended with {:?}: {last}", self.code)
    }
}

/// The CPU time of all children that have ended and were waited for. One is waited for at a time.
fn children() -> Duration {
    let microseconds = |time: TimeVal| Duration::from_micros(time.num_microseconds().try_into().unwrap_or(0));
    getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_or(Duration::ZERO, |usage| microseconds(usage.user_time()) + microseconds(usage.system_time()))
}

/// A program that serves until it is stopped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    watch: Watch,
}

impl Server {
    /// Starts it and waits until something listens at `address`.
    pub(crate) async fn start(launch: &Launch, address: SocketAddr) -> anyhow::Result<Server> {
        let name = launch.program.display();
        let mut command = launch.command();
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("failed to start {name}"))?;
        let watch = Watch::new(child.id().context("it has no id")?);
        let end = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(child.try_wait()?.is_none(), "{name} ended before it served");
            anyhow::ensure!(Instant::now() < end, "{name} does not serve at {address}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Server { child, watch })
    }

    /// What it has used so far.
    pub(crate) fn usage(&mut self) -> Usage {
        self.watch.look();
        self.watch.usage()
    }

    /// Stops it at once and waits until it is gone, so that its CPU time is not taken for another's.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("failed to stop a server")
    }
}

/// An address of this machine that was free a moment ago.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(listener.local_addr()?)
}

/// Looks at a running process from time to time.
#[derive(Debug)]
struct Watch {
    folder: PathBuf,
    threads: HashMap<OsString, Schedstat>,
    max_rss: u64,
    descriptors: u64,
}

impl Watch {
    fn new(id: u32) -> Watch {
        Watch { folder: format!("/proc/{id}").into(), threads: HashMap::new(), max_rss: 0, descriptors: 0 }
    }

    /// What cannot be read is of a thread or process that has just ended; its last state stays.
    fn look(&mut self) {
        for thread in std::fs::read_dir(self.folder.join("task")).into_iter().flatten().flatten() {
            if let Some(stat) = read(&thread.path().join("schedstat")).as_deref().and_then(Schedstat::parse) {
                self.threads.insert(thread.file_name(), stat);
            }
        }
        if let Some(bytes) = read(&self.folder.join("status")).as_deref().and_then(high_water) {
            self.max_rss = bytes;
        }
        // Its size is the number of descriptors (Linux 6.2), which need not be listed then.
        let open = std::fs::metadata(self.folder.join("fd")).map_or(0, |metadata| metadata.len());
        self.descriptors = self.descriptors.max(open);
    }

    fn usage(&self) -> Usage {
        let sum = |of: fn(&Schedstat) -> Duration| self.threads.values().map(of).sum();
        Usage {
            cpu: Duration::ZERO,
            scheduled: sum(|stat| stat.ran),
            waited: sum(|stat| stat.waited),
            max_rss: self.max_rss,
            descriptors: self.descriptors,
        }
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A thread's time on a core, and in the queue for one (Documentation/scheduler/sched-stats.rst).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Schedstat {
    ran: Duration,
    waited: Duration,
}

impl Schedstat {
    fn parse(text: &str) -> Option<Schedstat> {
        let mut nanoseconds = text.split_whitespace().map(|word| word.parse().ok().map(Duration::from_nanos));
        Some(Schedstat { ran: nanoseconds.next()??, waited: nanoseconds.next()?? })
    }
}

/// The largest resident memory of a `/proc/PID/status`, in bytes.
fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        let stat = Schedstat { ran: Duration::from_nanos(12), waited: Duration::from_nanos(7) };
        assert_eq!(Schedstat::parse("12 7 3\n"), Some(stat));
        assert_eq!(Schedstat::parse("12\n"), None);
        assert_eq!(high_water("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(high_water("Name:\tx\n"), None);
    }

    #[tokio::test]
    async fn cpu_time_is_of_the_program_alone() {
        // A shell that counts uses CPU time, one that sleeps does not: both clocks have to tell them apart.
        let shell = |script: &str| Launch::new(Path::new("/bin/sh"), ["-c", script]);
        let limit = Duration::from_secs(60);
        let busy = run(&shell("i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; echo $i"), limit).await.unwrap();
        let idle = run(&shell("sleep 0.2; exit 3"), limit).await.unwrap();
        assert_eq!((busy.stdout.trim(), busy.code, idle.code), ("400000", Some(0), Some(3)));
        assert!(busy.usage.cpu > idle.usage.cpu * 5, "{busy:?} {idle:?}");
        assert!(busy.usage.scheduled > idle.usage.scheduled, "{busy:?} {idle:?}");
        assert!(busy.usage.max_rss > 100_000, "{busy:?}");
        assert!(idle.expect(&[0]).is_err());
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_an_error() {
        let forever = Launch::new(Path::new("/bin/sh"), ["-c", "exec sleep 60"]);
        let error = run(&forever, Duration::from_millis(20)).await.unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }
}
