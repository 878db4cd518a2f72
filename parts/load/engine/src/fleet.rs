//! Other processes that send parts of one load.
//!
//! An agent is `purlin load agent`, started by a command: this program itself, `ssh host purlin load agent`,
//! `kubectl exec -i pod -- purlin load agent`. Orders go to its standard input and reports come from its standard
//! output, one JSON value a line. So who may command an agent, and whether anybody listens, is settled by what starts
//! it: there is no port, no password and no certificate of our own. An agent whose input ends gives up at once; of one
//! that ends early, the reports so far count and the result says that it is missing.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use purlin_load_model::plan::Plan;
use purlin_load_model::summary::FORMAT;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::crew::{Crew, Part, deal};
use crate::options::Options;
use crate::report::Report;

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
}

struct Agent {
    input: Option<ChildStdin>,
    reader: JoinHandle<()>,
}

impl Fleet {
    /// Starts the agents and hands out the parts of `plan`.
    pub(crate) async fn assemble(
        plan: &Plan,
        options: &Options,
        reports: UnboundedSender<Report>,
    ) -> Result<Fleet, Error> {
        let count = u32::try_from(options.agents.len()).unwrap_or(u32::MAX);
        let given_up = CancellationToken::new();
        // It reports once a second, but not while connections are opened, its own and the others', and not in warm-up.
        let silence = PATIENCE + plan.timeout + plan.warm_up;
        let mut agents = Vec::new();
        for (index, command) in (0..count).zip(&options.agents) {
            let name = format!("agent {} of {count} ({})", index + 1, command.join(" "));
            let mut child = spawn(command).map_err(|source| Error::Agent { name: name.clone(), source })?;
            let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else { continue };
            let part = Part { first: index * plan.workers, workers: plan.workers, of: plan.workers * count };
            let own = Plan { connections: deal(plan.connections, index, count), ..plan.clone() };
            let order = Order::Assemble { plan: Box::new(own), part, allowed: options.allowed.clone() };
            // One that has ended already is found by its reader.
            let _ = say(&mut input, &order).await;
            let follow = Follow { name, part, silence, given_up: given_up.clone(), reports: reports.clone() };
            let reader = tokio::spawn(follow.run(child, BufReader::new(output)));
            agents.push(Agent { input: Some(input), reader });
        }
        Ok(Fleet { agents, given_up })
    }

    async fn tell(&mut self, order: &Order) {
        for input in self.agents.iter_mut().filter_map(|agent| agent.input.as_mut()) {
            let _ = timeout(PATIENCE, say(input, order)).await;
        }
    }

    /// Begins the load after `notice`.
    pub(crate) async fn start(&mut self, notice: Duration) {
        self.tell(&Order::Start(notice)).await;
    }

    /// Sends nothing new.
    pub(crate) async fn stop(&mut self) {
        self.tell(&Order::Stop).await;
    }

    /// Gives up what is in flight.
    pub(crate) async fn abort(&mut self) {
        self.given_up.cancel();
        self.tell(&Order::Abort).await;
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

fn spawn(command: &[String]) -> std::io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C on a terminal is for whoever gives the orders.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn say<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), word: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// The next line; none at the end of the stream.
async fn hear<T: for<'de> Deserialize<'de>>(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<T>> {
    let mut line = Vec::new();
    let read = from.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        _ if read as u64 == MAX_LINE => Err(std::io::Error::other("a line is too long")),
        // Whoever was killed may have ended within a line.
        _ => Ok(None),
    }
}

/// Follows one agent to its end.
struct Follow {
    name: String,
    part: Part,
    /// How long it may say nothing.
    silence: Duration,
    given_up: CancellationToken,
    reports: UnboundedSender<Report>,
}

impl Follow {
    async fn run(self, mut child: Child, mut output: impl AsyncBufRead + Unpin) {
        let late = async {
            self.given_up.cancelled().await;
            sleep(LAST_WORDS).await;
        };
        let ended = tokio::select! {
            ended = self.listen(&mut output) => ended,
            () = late => Err("it did not report what it gave up".to_owned()),
        };
        if ended.is_err() {
            // It is of no use, and must not go on.
            let _ = child.start_kill();
        }
        let status = timeout(PATIENCE, child.wait()).await;
        let reason = match (ended, status) {
            (Ok(true), _) => return,
            (Err(reason), _) => format!("{}: {reason}", self.name),
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

    /// Passes reports on; true when the last one came.
    async fn listen(&self, output: &mut (impl AsyncBufRead + Unpin)) -> Result<bool, String> {
        match timeout(PATIENCE, hear(output)).await {
            Ok(Ok(Some(Word::Hello { format: FORMAT, .. }))) => {}
            Ok(Ok(Some(Word::Hello { purlin, .. }))) => {
                return Err(format!(
                    "it is purlin {purlin}, which reports in another form; use the same version everywhere"
                ));
            }
            Ok(Ok(None)) => return Ok(false),
            Ok(Ok(Some(_)) | Err(_)) => {
                return Err("it is no `purlin load agent`: it does not say hello as one".to_owned());
            }
            Err(_) => return Err("it did not say hello in time".to_owned()),
        }
        loop {
            let Ok(heard) = timeout(self.silence, hear(output)).await else {
                return Err("it fell silent: what it had still to send and to report is missing".to_owned());
            };
            match heard {
                Ok(Some(Word::Report(report))) => {
                    let last = matches!(report, Report::Process { .. });
                    let _ = self.reports.send(report);
                    if last {
                        return Ok(true);
                    }
                }
                Ok(Some(Word::Refused(reason))) => return Err(reason),
                Ok(Some(Word::Hello { .. })) => return Err("it says hello twice".to_owned()),
                Ok(None) => return Ok(false),
                Err(error) => return Err(format!("its report cannot be read: {error}")),
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
    let Some(Order::Assemble { plan, part, allowed }) = hear(&mut input).await? else { return Ok(()) };
    let (reports, mut outgoing) = unbounded_channel();
    let mut crew = match Crew::assemble(*plan, part, &allowed, reports).await {
        Ok(crew) => crew,
        Err(error) => return say(output, &Word::Refused(with_causes(&error))).await,
    };
    // A task of its own, since a line that is half read must not be forgotten when a report comes first.
    let (orders, mut ordered) = unbounded_channel();
    let listening = tokio::spawn(async move {
        while let Ok(Some(order)) = hear(&mut input).await {
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
