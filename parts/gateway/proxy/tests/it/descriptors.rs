//! A process that runs out of descriptors: connections wait until some return.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use purlin_telemetry::metrics::counter;

use crate::rig::{Rig, until};

const CHILD: &str = "PURLIN_TEST_FEW_DESCRIPTORS";

/// The limit is one of the process, so the test runs itself in another one.
#[tokio::test]
async fn accepting_goes_on_when_descriptors_return() {
    if std::env::var_os(CHILD).is_some() {
        return run_out().await;
    }
    const NAME: &str = "descriptors::accepting_goes_on_when_descriptors_return";
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n 64 && exec \"$0\" --exact {NAME} --nocapture")]);
    let output = shell.arg(std::env::current_exe().unwrap()).env(CHILD, "1").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

async fn run_out() {
    let rig = Rig::new(Vec::new(), &[]).await;
    let errors = counter("purlin_gateway_accept_errors_total", "", &[]);
    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.pop().is_some());
    // The last descriptor is the client's; the kernel takes the connection, the proxy cannot.
    let mut client = TcpStream::connect(rig.at).unwrap();
    until("accepting fails", || errors.get() > 0).await;
    drop(taken);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
