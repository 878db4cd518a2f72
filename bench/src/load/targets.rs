//! What the generators are aimed at: a fresh process for every run, on a core of its own, so that no contestant meets
//! what another one left behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tools::{Protocol, TARGET_CORE};
use crate::harness::process::{Launch, Server, Usage, free_address};
use crate::target::Truth;

/// A target.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// nginx with one process that answers at once.
    Nginx {
        /// The program.
        program: PathBuf,
        /// A place for its configuration.
        scratch: PathBuf,
        /// HTTP/2 without TLS, else HTTP/1.1: this nginx has no port for both.
        http2: bool,
    },
    /// Our own, in this binary.
    Known {
        /// The mean of its exponentially distributed delays.
        mean: Duration,
        /// Where its random numbers begin.
        seed: u64,
        /// Whether it stalls.
        stall: bool,
    },
}

/// A target that serves.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where.
    pub address: SocketAddr,
    server: Server,
}

impl Target {
    /// nginx for `protocol`.
    pub(crate) fn nginx(program: &Path, scratch: &Path, protocol: Protocol) -> Target {
        let http2 = protocol == Protocol::Http2;
        Target::Nginx { program: program.to_owned(), scratch: scratch.to_owned(), http2 }
    }

    /// Starts it.
    pub(crate) async fn start(&self) -> anyhow::Result<Serving> {
        let address = free_address()?;
        let launch = match self {
            Target::Nginx { program, scratch, http2 } => {
                let file = scratch.join("nginx.conf");
                std::fs::write(&file, configuration(address, *http2))?;
                let arguments = ["-p".into(), scratch.as_os_str().to_owned(), "-c".into(), file.into_os_string()];
                Launch::new(program, arguments)
            }
            Target::Known { mean, seed, stall } => {
                let this = std::env::current_exe().context("failed to find this program")?;
                let mut arguments = vec!["target".to_owned(), format!("--listen={address}")];
                arguments.push(format!("--mean-us={}", mean.as_micros()));
                arguments.push(format!("--seed={seed}"));
                arguments.extend(stall.then(|| "--stall".to_owned()));
                Launch::new(&this, arguments)
            }
        };
        Ok(Serving { address, server: Server::start(&launch.on(TARGET_CORE), address).await? })
    }
}

/// One process without a log. Everything it writes is relative to its scratch folder.
fn configuration(address: SocketAddr, http2: bool) -> String {
    let protocol = if http2 { " http2" } else { "" };
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};"));
    format!(
        "daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; {}
  server {{ listen {address}{protocol} backlog=16384; location / {{ return 200 'ok'; }} }}
}}
",
        paths.join(" ")
    )
}

impl Serving {
    /// What it has used so far.
    pub(crate) fn usage(&mut self) -> Usage {
        self.server.usage()
    }

    /// What our own target says about the time it took.
    pub(crate) async fn truth(&self) -> anyhow::Result<Truth> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(b"GET /truth HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.take(64 << 10).read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the target's answer has no body")?;
        serde_json::from_str(body).context("failed to read what the target says about itself")
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_listens_for_one_protocol() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert!(configuration(address, true).contains("listen 127.0.0.1:8080 http2 backlog"));
        assert!(configuration(address, false).contains("listen 127.0.0.1:8080 backlog"));
    }
}
