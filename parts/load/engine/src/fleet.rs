//! Other processes that send parts of one load.
//!
//! An agent is `purlin load agent`, started by a command: this program itself, `ssh host purlin load agent`,
//! `kubectl exec -i pod -- purlin load agent`. Orders go to its standard input and reports come from its standard
//! output, one JSON value a line. So who may command an agent, and whether anybody listens, is settled by what starts
//! it: there is no port, no password and no certificate of our own. An agent whose input ends gives up at once; of one
//! that ends early, or says what cannot be ([`Vet`]), the reports so far count and the result says that it is missing.
//! Each command leads a process group of its own, which is killed with it: `sh -c` leaves nobody behind.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use purlin_load_model::plan::Plan;
use purlin_load_model::summary::FORMAT;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::crew::{Crew, Part};
use crate::options::Options;
use crate::report::Report;
use crate::vet::{self, Vet};

/// What an agent is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// What to send; the connections are those of this agent alone.
    Assemble {
        /// The plan of this agent.
        plan: Box<Plan>,
        /// Its part of the whole.
        part: Part,
        /// Far hosts that may be loaded.
        allowed: Vec<String>,
    },
    /// To begin after this time.
    Start(#[serde(with = "purlin_load_model::seconds")] Duration),
    /// To send nothing new.
    Stop,
    /// To give up what is in flight.
    Abort,
}

/// What an agent says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// First of all: its version, and the form of its reports.
    Hello { purlin: String, format: u32 },
    /// What its threads report.
    Report(Report),
    /// It cannot do what it was told.
    Refused(String),
}

/// The longest line that is read: a tally of many steps with full histograms.
const MAX_LINE: u64 = 64 << 20;
/// How long an agent has to say hello, to end after its last report, and to report in time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an agent has to report what it gave up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The agents of a run.
pub(crate) struct Fleet {
    agents: Vec<Agent>,
    given_up: CancellationToken,
    began: Arc<OnceLock<Instant>>,
}

/// An agent. Its input ends when this is dropped, and whoever is left of its group is killed.
struct Agent {
    orders: UnboundedSender<Order>,
    reader: JoinHandle<()>,
    group: Arc<Group>,
}

/// The process group of an agent, until it has been killed.
struct Group(Mutex<Option<Pid>>);

impl Fleet {
    /// Starts the agents and hands out the `parts` of `plan`, with the connections of each.
    pub(crate) fn assemble(
        plan: &Plan,
        parts: &[(Part, u32)],
        options: &Options,
        reports: UnboundedSender<Report>,
    ) -> Result<Fleet, Error> {
        let count = options.agents.len();
        let mut fleet = Fleet { agents: Vec::new(), given_up: CancellationToken::new(), began: Arc::default() };
        // It reports once a second, but not while connections are opened, its own and the others', and not in warm-up.
        let silence = PATIENCE + plan.timeout + plan.warm_up;
        for (index, ((part, connections), command)) in parts.iter().zip(&options.agents).enumerate() {
            let name = format!("agent {} of {count} ({})", index + 1, vet::shown(&command.join(" ")));
            let failed = |source| Error::Agent { name: name.clone(), source };
            let mut child = spawn(command).map_err(failed)?;
            let group = Arc::new(Group::of(&child));
            let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
            };
            let own = Plan { connections: *connections, ..plan.clone() };
            let (orders, ordered) = unbounded_channel();
            let assemble = Order::Assemble { plan: Box::new(own), part: *part, allowed: options.allowed.clone() };
            let _ = orders.send(assemble);
            tokio::spawn(command_it(input, ordered));
            let follow = Follow {
                name,
                part: *part,
                vet: Vet::new(plan, *part, fleet.began.clone()),
                silence,
                given_up: fleet.given_up.clone(),
                group: group.clone(),
                reports: reports.clone(),
            };
            let reader = tokio::spawn(follow.run(child, BufReader::new(output)));
            fleet.agents.push(Agent { orders, reader, group });
        }
        Ok(fleet)
    }

    fn tell(&self, order: &Order) {
        for agent in &self.agents {
            // One that has ended already is found by its reader.
            let _ = agent.orders.send(order.clone());
        }
    }

    /// Begins the load at `began`, which comes after `notice`.
    pub(crate) fn start(&self, began: Instant, notice: Duration) {
        let _ = self.began.set(began);
        self.tell(&Order::Start(notice));
    }

    /// Sends nothing new.
    pub(crate) fn stop(&self) {
        self.tell(&Order::Stop);
    }

    /// Gives up what is in flight.
    pub(crate) fn abort(&self) {
        self.given_up.cancel();
        self.tell(&Order::Abort);
    }

    /// Waits until all agents have said their last word.
    pub(crate) async fn end(self) {
        for mut agent in self.agents {
            if timeout(PATIENCE, &mut agent.reader).await.is_err() {
                // The child is killed with the task that holds it.
                agent.reader.abort();
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.group.kill();
    }
}

impl Group {
    fn of(leader: &Child) -> Group {
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        Group(Mutex::new(id.map(Pid::from_raw)))
    }

    /// Kills whoever is left of it. Once only, since the number may belong to another group afterwards.
    fn kill(&self) {
        if let Some(group) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Usually, nobody is left.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

fn spawn(command: &[String]) -> std::io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C on a terminal is for whoever gives the orders; and a group can be killed as a whole.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Hands orders on, however slowly an agent takes them.
async fn command_it(mut input: ChildStdin, mut orders: UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        if say(&mut input, &order).await.is_err() {
            return;
        }
    }
}

async fn say<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), word: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// The next line; none at the end of the stream.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = from.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(Some(line)),
        _ if read as u64 == MAX_LINE => Err(std::io::Error::other("a line is too long")),
        // Whoever was killed may have ended within a line.
        _ => Ok(None),
    }
}

/// The next order.
async fn order(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Order>> {
    Ok(line(from).await?.map(|line| serde_json::from_slice(&line)).transpose()?)
}

/// Follows one agent to its end.
struct Follow {
    name: String,
    part: Part,
    vet: Vet,
    /// How long it may say nothing.
    silence: Duration,
    given_up: CancellationToken,
    group: Arc<Group>,
    reports: UnboundedSender<Report>,
}

impl Follow {
    async fn run(mut self, mut child: Child, mut output: impl AsyncBufRead + Unpin) {
        let ended = self.hear_out(&mut child, &mut output).await;
        if ended.is_err() {
            // It is of no use, and must not go on.
            self.group.kill();
        }
        let status = timeout(PATIENCE, child.wait()).await;
        self.group.kill();
        let reason = match (ended, status) {
            (Ok(true), _) => return,
            (Err(reason), _) => format!("{}: {}", self.name, vet::shown(&reason)),
            (Ok(false), Ok(Ok(status))) => format!(
                "{} ended early ({}): what it had still to send and to report is missing",
                self.name,
                told(status)
            ),
            (Ok(false), _) => {
                format!("{} closed its output: what it had still to send and to report is missing", self.name)
            }
        };
        for worker in self.part.first..self.part.first + self.part.workers {
            let _ = self.reports.send(Report::Lost { worker, reason: reason.clone() });
        }
    }

    /// Listens until there is nothing more to hear; true when the last report came.
    async fn hear_out(&mut self, child: &mut Child, output: &mut (impl AsyncBufRead + Unpin)) -> Result<bool, String> {
        let (given_up, group) = (self.given_up.clone(), self.group.clone());
        let late = async {
            given_up.cancelled().await;
            sleep(LAST_WORDS).await;
        };
        let (mut late, mut listening) = (std::pin::pin!(late), std::pin::pin!(self.listen(output)));
        let mut led = true;
        loop {
            tokio::select! {
                ended = &mut listening => return ended,
                () = &mut late => return Err("it did not report what it gave up".to_owned()),
                // Whom its leader has left behind would keep the output open. What was said can still be read.
                _ = child.wait(), if led => {
                    led = false;
                    group.kill();
                }
            }
        }
    }

    /// Passes reports on; true when the last one came.
    async fn listen(&mut self, output: &mut (impl AsyncBufRead + Unpin)) -> Result<bool, String> {
        let said = timeout(PATIENCE, line(output)).await.map_err(|_| "it did not say hello in time".to_owned())?;
        let no_agent = "it is no `purlin load agent`: it does not say hello as one";
        let Some(hello) = said.map_err(|_| no_agent.to_owned())? else { return Ok(false) };
        match self.vet.read(&hello) {
            Ok(Word::Hello { format: FORMAT, .. }) => {}
            Ok(Word::Hello { purlin, .. }) => {
                return Err(format!(
                    "it is purlin {purlin}, which reports in another form; use the same version everywhere"
                ));
            }
            Ok(_) | Err(_) => return Err(no_agent.to_owned()),
        }
        loop {
            let Ok(heard) = timeout(self.silence, line(output)).await else {
                return Err("it fell silent: what it had still to send and to report is missing".to_owned());
            };
            let Some(heard) = heard.map_err(|error| format!("its report cannot be read: {error}"))? else {
                return Ok(false);
            };
            let report = match self.vet.read(&heard) {
                Ok(Word::Report(report)) => self.vet.check(report),
                Ok(Word::Refused(reason)) => return Err(reason),
                Ok(Word::Hello { .. }) => Err("it says hello twice".to_owned()),
                Err(error) => Err(error),
            };
            let report = report.map_err(|wrong| format!("its report is wrong: {wrong}"))?;
            let last = matches!(report, Report::Process { .. });
            let _ = self.reports.send(report);
            if last {
                return Ok(true);
            }
        }
    }
}

fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "nobody knows how".to_owned(),
    }
}

/// Serves as an agent: takes orders from `input` and reports to `output`, until the load has ended or nobody orders.
pub async fn serve_agent(
    mut input: impl AsyncBufRead + Unpin + Send + 'static,
    output: &mut (impl AsyncWrite + Unpin),
) -> std::io::Result<()> {
    say(output, &Word::Hello { purlin: env!("CARGO_PKG_VERSION").to_owned(), format: FORMAT }).await?;
    let Some(Order::Assemble { plan, part, allowed }) = order(&mut input).await? else { return Ok(()) };
    if !part.fits(plan.connections) {
        let reason = format!("it has {} connections, of which {part:?} cannot be dealt out", plan.connections);
        return say(output, &Word::Refused(reason)).await;
    }
    let (reports, mut outgoing) = unbounded_channel();
    let mut crew = match Crew::assemble(*plan, part, &allowed, reports).await {
        Ok(crew) => crew,
        Err(error) => return say(output, &Word::Refused(with_causes(&error))).await,
    };
    // A task of its own, since a line that is half read must not be forgotten when a report comes first.
    let (orders, mut ordered) = unbounded_channel();
    let listening = tokio::spawn(async move {
        while let Ok(Some(order)) = order(&mut input).await {
            if orders.send(order).is_err() {
                return;
            }
        }
    });
    let mut running = part.workers;
    while running > 0 {
        tokio::select! {
            Some(report) = outgoing.recv() => {
                running -= u32::from(matches!(report, Report::Ended { .. } | Report::Lost { .. }));
                say(output, &Word::Report(report)).await?;
            }
            order = ordered.recv() => match order {
                Some(Order::Start(notice)) => crew.start(Instant::now() + notice),
                Some(Order::Stop) => crew.stop(),
                // To give up; or nobody is left to report to.
                _ => {
                    crew.abort();
                    break;
                }
            },
        }
    }
    listening.abort();
    crew.end().await;
    while let Some(report) = outgoing.recv().await {
        say(output, &Word::Report(report)).await?;
    }
    Ok(())
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
