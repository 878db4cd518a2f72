//! The generators as contestants: what each is to be asked for the same load.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::{self, Seen};
use crate::harness::peers::{self, Found, Peer};
use crate::harness::process::{self, Launch, Usage};

/// The core of the target, and that of the generator: neither disturbs the other, and each has one.
pub(crate) const TARGET_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
/// How much longer than asked for a generator may run.
const PATIENCE: Duration = Duration::from_secs(60);

/// A generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Ours.
    Purlin,
    /// wrk.
    Wrk,
    /// h2load.
    H2load,
    /// oha.
    Oha,
    /// vegeta.
    Vegeta,
    /// ghz.
    Ghz,
}

/// What is spoken with the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 with kept connections.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
    /// gRPC: `bench.Echo/Say`, its types by reflection.
    Grpc,
}

/// When requests begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When the last one on the connection has ended: as fast as it goes.
    Closed,
    /// So many a second.
    Rate(u64),
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// What is spoken.
    pub protocol: Protocol,
    /// When requests begin.
    pub pace: Pace,
    /// How many connections there are, with one request at a time on each.
    pub connections: u32,
    /// For how long.
    pub seconds: u64,
}

/// What came of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// What the generator said.
    pub seen: Seen,
    /// What the generator used.
    pub usage: Usage,
}

/// The generators of this machine.
#[derive(Debug)]
pub(crate) struct Tools {
    purlin: PathBuf,
    found: Vec<(Tool, Found)>,
    /// Files that come and go.
    scratch: tempfile::TempDir,
}

impl Tool {
    fn peer(self) -> Option<&'static Peer> {
        match self {
            Tool::Purlin => None,
            Tool::Wrk => Some(&peers::WRK),
            Tool::H2load => Some(&peers::H2LOAD),
            Tool::Oha => Some(&peers::OHA),
            Tool::Vegeta => Some(&peers::VEGETA),
            Tool::Ghz => Some(&peers::GHZ),
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.peer().map_or("purlin", |peer| peer.program)
    }

    /// When it starts the clock of a request that it sends at a rate; all stop it with the last byte of the answer.
    pub(crate) fn clock(self) -> &'static str {
        match self {
            Tool::Purlin => "purlin at the intended start, which is known before the run",
            Tool::Wrk => "wrk, which knows no rate, when it writes the request",
            Tool::H2load => {
                "h2load when it hands the request to a connection; each connection has its part of the rate and a timer \
                 that ticks every 10 ms at most, with one request after the other for what is due then"
            }
            Tool::Oha => {
                "oha (with --latency-correction) when its pacer, whose timer has a granularity of 1 ms, wakes up and \
                 queues the request"
            }
            Tool::Vegeta => {
                "vegeta when a worker takes up the request, of which it starts another one when none is free"
            }
            Tool::Ghz => "ghz when a worker begins the call, whatever its pacer intended",
        }
    }

    /// The exit codes of a run with a result. vegeta and oha end well whatever the target answers, as does purlin
    /// without a threshold.
    const SUCCESS: [i32; 1] = [0];

    /// What it is started with to send `offer` to `address`; files of its own go into `scratch`.
    fn arguments(self, offer: &Offer, address: SocketAddr, scratch: &Path) -> Vec<String> {
        let Offer { protocol, pace, connections, seconds } = *offer;
        let url = format!("http://{address}/");
        let mut words = Vec::new();
        let mut say = |text: &str| words.extend(text.split(' ').map(str::to_owned));
        match self {
            Tool::Purlin => {
                say(&format!("load {url} --duration {seconds}s --connections {connections} --workers 1 --timeout 30s"));
                say("--quiet -o json --seed 1");
                match pace {
                    Pace::Closed => say("--closed"),
                    Pace::Rate(rate) => say(&format!("--rate {rate}/s")),
                }
                match protocol {
                    Protocol::Http1 => {}
                    Protocol::Http2 => say("--protocol http2 --streams 1"),
                    Protocol::Grpc => say("--protocol grpc --call bench.Echo/Say --message {\"text\":\"hello\"}"),
                }
            }
            Tool::Wrk => say(&format!("-t1 -c{connections} -d{seconds}s --latency --timeout 30s {url}")),
            Tool::H2load => {
                say(&format!("-t1 -c{connections} -m1 -D{seconds}"));
                if protocol == Protocol::Http1 {
                    say("--h1");
                }
                if let Pace::Rate(rate) = pace {
                    // Its rate is that of one connection.
                    say(&format!("--rps={:.4}", rate as f64 / f64::from(connections)));
                    say(&format!("--log-file={}", scratch.join("h2load.log").display()));
                }
                say(&url);
            }
            Tool::Oha => {
                say(&format!("-c {connections} -z {seconds}s --no-tui --output-format json --worker-threads 1"));
                if let Pace::Rate(rate) = pace {
                    say(&format!("-q {rate} --latency-correction"));
                }
                if protocol == Protocol::Http2 {
                    say("--http2");
                }
                say(&url);
            }
            Tool::Vegeta => {
                say(&format!("-cpus 1 attack -duration={seconds}s -workers={connections}"));
                // With fewer idle than open connections it would close and open them all the time.
                say(&format!("-connections={connections} -max-connections={connections}"));
                match pace {
                    Pace::Closed => say(&format!("-rate=0 -max-workers={connections}")),
                    Pace::Rate(rate) => say(&format!("-rate={rate}/1s")),
                }
                if protocol == Protocol::Http2 {
                    say("-h2c");
                }
                say(&format!("-targets={}", scratch.join("targets").display()));
                say(&format!("-output={}", scratch.join("vegeta.bin").display()));
            }
            Tool::Ghz => {
                say(
                    "--insecure --call bench.Echo.Say -d {\"text\":\"hello\"} --disable-template-data --cpus 1 -O json",
                );
                say(&format!("-c {connections} --connections {connections} -z {seconds}s --duration-stop=wait"));
                if let Pace::Rate(rate) = pace {
                    say(&format!("-r {rate}"));
                }
                say(&address.to_string());
            }
        }
        words
    }
}

impl Tools {
    /// Those that are there or can be installed, and what is wrong with the others.
    pub(crate) fn find(purlin: &Path) -> anyhow::Result<(Tools, Vec<String>)> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for tool in [Tool::Wrk, Tool::H2load, Tool::Oha, Tool::Vegeta, Tool::Ghz] {
            match tool.peer().map(Peer::find) {
                Some(Ok(peer)) => found.push((tool, peer)),
                Some(Err(error)) => missing.push(format!("{}: {error:#}", tool.name())),
                None => {}
            }
        }
        Ok((Tools { purlin: purlin.to_owned(), found, scratch: tempfile::tempdir()? }, missing))
    }

    /// Their names and versions.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.found.iter().map(|(tool, found)| (tool.name().to_owned(), found.version.clone()))
    }

    /// A place for files.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Ours.
    pub(crate) fn purlin(&self) -> &Path {
        &self.purlin
    }

    fn path(&self, tool: Tool) -> anyhow::Result<&Path> {
        if tool == Tool::Purlin {
            return Ok(&self.purlin);
        }
        let found = self.found.iter().find(|(known, _)| *known == tool);
        found.map(|(_, found)| found.path.as_path()).ok_or_else(|| anyhow::anyhow!("it is not installed"))
    }

    /// Sends `offer` to `address` with `tool`.
    pub(crate) async fn send(&self, tool: Tool, offer: &Offer, address: SocketAddr) -> anyhow::Result<Measured> {
        let (program, scratch) = (self.path(tool)?, self.scratch());
        for file in ["h2load.log", "vegeta.bin"] {
            // h2load appends to it. It is not there before the first run.
            let _ = std::fs::remove_file(scratch.join(file));
        }
        std::fs::write(scratch.join("targets"), format!("GET http://{address}/\n"))?;
        let launch = Launch::new(program, tool.arguments(offer, address, scratch)).on(GENERATOR_CORE);
        let limit = Duration::from_secs(offer.seconds) + PATIENCE;
        let finished = process::run(&launch, limit).await?.expect(&Tool::SUCCESS)?;
        let seen = match tool {
            Tool::Purlin => read::purlin(&finished.stdout),
            Tool::Wrk => read::wrk(&finished.stdout),
            Tool::H2load => {
                let log =
                    matches!(offer.pace, Pace::Rate(_)).then(|| std::fs::read_to_string(scratch.join("h2load.log")));
                read::h2load(&finished.stdout, log.transpose()?.as_deref())
            }
            Tool::Oha => read::oha(&finished.stdout),
            Tool::Vegeta => {
                let file = scratch.join("vegeta.bin");
                let report = Launch::new(program, ["report".into(), "-type=json".into(), file.into_os_string()]);
                read::vegeta(&process::run(&report, PATIENCE).await?.expect(&[0])?.stdout)
            }
            Tool::Ghz => read::ghz(&finished.stdout),
        }?;
        anyhow::ensure!(seen.completed > 0, "no request was answered");
        Ok(Measured { seen, usage: finished.usage })
    }
}

impl Measured {
    /// CPU time of a request in microseconds, by getrusage and by schedstat.
    pub(crate) fn cpu(&self) -> (f64, f64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.seen.completed as f64;
        (each(self.usage.cpu), each(self.usage.scheduled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tool: Tool, protocol: Protocol, pace: Pace, expected: &str) {
        let offer = Offer { protocol, pace, connections: 50, seconds: 5 };
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(tool.arguments(&offer, address, Path::new("/s")).join(" "), expected);
    }

    #[test]
    fn all_are_asked_for_the_same() {
        use {Pace::*, Protocol::*, Tool::*};
        check(Wrk, Http1, Closed, "-t1 -c50 -d5s --latency --timeout 30s http://127.0.0.1:80/");
        check(H2load, Http2, Closed, "-t1 -c50 -m1 -D5 http://127.0.0.1:80/");
        check(
            H2load,
            Http1,
            Rate(125),
            "-t1 -c50 -m1 -D5 --h1 --rps=2.5000 --log-file=/s/h2load.log http://127.0.0.1:80/",
        );
        check(
            Oha,
            Http1,
            Rate(125),
            "-c 50 -z 5s --no-tui --output-format json --worker-threads 1 -q 125 --latency-correction http://127.0.0.1:80/",
        );
        check(
            Purlin,
            Grpc,
            Closed,
            "load http://127.0.0.1:80/ --duration 5s --connections 50 --workers 1 --timeout 30s --quiet -o json --seed 1 --closed --protocol grpc --call bench.Echo/Say --message {\"text\":\"hello\"}",
        );
        check(
            Vegeta,
            Http1,
            Closed,
            "-cpus 1 attack -duration=5s -workers=50 -connections=50 -max-connections=50 -rate=0 -max-workers=50 -targets=/s/targets -output=/s/vegeta.bin",
        );
        check(
            Ghz,
            Grpc,
            Rate(125),
            "--insecure --call bench.Echo.Say -d {\"text\":\"hello\"} --disable-template-data --cpus 1 -O json -c 50 --connections 50 -z 5s --duration-stop=wait -r 125 127.0.0.1:80",
        );
    }
}
