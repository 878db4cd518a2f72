//! Documents tell of what is there: links, paths, `make` targets, and the ports in ARCHITECTURE.md.

use std::path::Path;

use super::{files, none, read, root};

/// Folders of the root: a word in backticks that begins with one is a path.
const FOLDERS: [&str; 10] =
    ["cli/", "parts/", "base/", "proto/", "tests/", "docs/", "examples/", "bench/", "deploy/", ".ci/"];

/// What stands in backticks, in text that is not a block of code.
fn quoted(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The targets of the links that lead to files, without their `#` parts.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.map(|target| target.split('#').next().unwrap_or(target)).collect()
}

/// The path that `word` means, without a line's number.
fn path_in(word: &str) -> Option<&str> {
    let path = word.split([' ', ':']).next().unwrap_or(word);
    let plain = !path.contains(['*', '<', '{', '…']) && path.chars().all(|c| c.is_ascii() && c != '$');
    (plain && FOLDERS.iter().any(|folder| path.starts_with(folder))).then_some(path)
}

/// The port that `word` means: a number of four or five digits, alone or after an address.
fn port_in(word: &str) -> Option<u16> {
    let digits = word.rsplit(':').next().unwrap_or(word);
    let number = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| number)
}

/// Each `make TARGET` that the text tells to type.
fn make_targets(text: &str) -> Vec<&str> {
    let words = text.split("make ").skip(1).zip(text.split("make "));
    let typed = words.filter(|(_, before)| before.ends_with('`') || before.ends_with('\n'));
    typed
        .filter_map(|(after, _)| after.split(|c: char| !c.is_ascii_lowercase()).next())
        .filter(|t| !t.is_empty())
        .collect()
}

#[test]
fn links_paths_and_commands_lead_somewhere() -> anyhow::Result<()> {
    let makefile = read("Makefile")?;
    let mut findings = Vec::new();
    for document in files()?.iter().filter(|path| path.ends_with(".md")) {
        let text = read(document)?;
        let folder = Path::new(document).parent().unwrap_or(Path::new(""));
        for link in links(&text).into_iter().filter(|link| !root().join(folder).join(link).exists()) {
            findings.push(format!("{document}: the link to {link} leads nowhere"));
        }
        for path in quoted(&text).into_iter().filter_map(path_in).filter(|path| !root().join(path).exists()) {
            findings.push(format!("{document}: there is no {path}"));
        }
        for target in make_targets(&text).into_iter().filter(|name| !makefile.contains(&format!("\n{name}: "))) {
            findings.push(format!("{document}: there is no `make {target}`"));
        }
    }
    none(&findings)
}

#[test]
fn the_ports_of_the_architecture_are_in_the_code() -> anyhow::Result<()> {
    let mut code = String::new();
    for path in files()?.iter().filter(|path| path.ends_with(".rs") && !path.starts_with("tests/")) {
        code.push_str(&read(path)?);
    }
    let architecture = read("ARCHITECTURE.md")?;
    let cells = architecture.lines().filter(|line| line.starts_with('|')).flat_map(|row| row.split('|').map(str::trim));
    let ports = quoted(&architecture).into_iter().chain(cells).filter_map(port_in);
    let missing = ports.filter(|port| !code.contains(&port.to_string()));
    none(&missing.map(|port| format!("ARCHITECTURE.md names port {port}, the code does not")).collect::<Vec<_>>())
}

#[test]
fn words_are_told_apart() {
    let text = "See `cli/src` and [that](a/b.md#c), [not](https://x.test/y).\n```\n`base/x`\nmake up\n```\n`make test`, make do\n";
    assert_eq!(quoted(text), ["cli/src", "make test"]);
    assert_eq!(links(text), ["a/b.md"]);
    assert_eq!(make_targets(text), ["up", "test"]);
    assert_eq!(path_in("base/net/src/pki.rs:12"), Some("base/net/src/pki.rs"));
    assert!(path_in("parts/*/src").is_none() && path_in("kubectl get").is_none());
    assert_eq!(
        (port_in("127.0.0.1:6443"), port_in("7070"), port_in("404"), port_in("v1")),
        (Some(6443), Some(7070), None, None)
    );
}
