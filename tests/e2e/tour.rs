//! The README's tour, pasted: the blocks that are marked `sh tour`, with ports that are free here.

use std::process::Stdio;

use anyhow::Context as _;
use purlin_testkit::free_ports;
use tokio::process::Command;

use crate::platform::{PURLIN, Platform, said};

const README: &str = include_str!("../../README.md");
const HELLO: [(&str, &str); 2] = [
    ("hello.yaml", include_str!("../../examples/hello/hello.yaml")),
    ("weights.yaml", include_str!("../../examples/hello/weights.yaml")),
];

/// The counts of `uniq -c`, by the name that was counted.
fn counts(out: &str, name: &str) -> Vec<u32> {
    let wanted = format!("\"name\":\"{name}\"");
    let lines = out.lines().filter_map(|line| line.trim().split_once(' '));
    lines.filter(|(_, what)| *what == wanted).filter_map(|(count, _)| count.parse().ok()).collect()
}

#[tokio::test]
async fn the_tour_works_when_it_is_pasted() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let home = platform.root().join("client");
    let [a, b, gateway] = free_ports()?;
    let here = |text: &str| {
        let ports = [("9001", a), ("9002", b), ("8080", gateway)];
        ports.iter().fold(text.to_owned(), |text, (port, free)| text.replace(port, &free.to_string()))
    };
    std::fs::create_dir_all(home.join("examples/hello"))?;
    for (name, text) in HELLO {
        std::fs::write(home.join("examples/hello").join(name), here(text))?;
    }
    let built = home.join(".cache/purlin/target/debug");
    std::fs::create_dir_all(&built)?;
    std::os::unix::fs::symlink(PURLIN, built.join("purlin"))?;

    let blocks = README.split("```sh tour\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script = here(&blocks.collect::<String>());
    let mut command = Command::new("bash");
    // What it has started ends with it, also when it fails.
    command.args(["-e", "-c", &format!("trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{script}")]);
    command.current_dir(&home).env("HOME", &home).env("KUBECONFIG", platform.kubeconfig()?);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let said = said(command.spawn()?).await?;
    anyhow::ensure!(said.code == Some(0), "{script}\n{said:?}");
    for (name, turned) in [("a", false), ("b", true)] {
        let [first, second] = counts(&said.out, name)[..] else { anyhow::bail!("{name}: {said:?}") };
        anyhow::ensure!((first < second) == turned, "{name} got {first} of 100, then {second}");
    }
    anyhow::ensure!(said.out.contains("\"path\":\"/hello\""), "{said:?}");
    said.out.find("127.0.0.1").context("no address is shown")?;
    Ok(())
}
