//! What comes from outside: few packages, under licences that fit, with one TLS stack.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::Value;

use super::{cargo, none, output, read};

/// More packages than this are too many to build, and to look after.
const MOST: usize = 450;

/// Licences under which a dependency can be shipped in a binary under Apache-2.0.
const LICENCES: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One crypto provider, one TLS stack: aws-lc-rs and rustls.
const BANNED: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "boring"];

/// Whether an SPDX expression can be fulfilled by the licences of the list.
fn fits(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) && rest.is_empty()
}

fn either(rest: &mut &[&str]) -> bool {
    let mut fits = both(rest);
    while let ["OR", after @ ..] = rest {
        *rest = after;
        fits |= both(rest);
    }
    fits
}

fn both(rest: &mut &[&str]) -> bool {
    let mut fits = licence(rest);
    while let ["AND", after @ ..] = rest {
        *rest = after;
        fits &= licence(rest);
    }
    fits
}

fn licence(rest: &mut &[&str]) -> bool {
    let (name, after) = match rest {
        ["(", after @ ..] => {
            *rest = after;
            let fits = either(rest);
            *rest = rest.strip_prefix(&[")"]).unwrap_or_default();
            return fits;
        }
        [name, "WITH", exception, after @ ..] => (format!("{name} WITH {exception}"), after),
        [name, after @ ..] => ((*name).to_owned(), after),
        [] => return false,
    };
    *rest = after;
    LICENCES.contains(&name.as_str())
}

fn host() -> anyhow::Result<String> {
    let about = output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell its host")?.to_owned())
}

#[test]
fn licences_are_on_the_list() -> anyhow::Result<()> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--filter-platform", &host()?])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    anyhow::ensure!(packages.len() > 100, "only {} packages were found", packages.len());
    let wrong = packages.iter().filter(|package| !package["license"].as_str().is_some_and(fits));
    none(&wrong.map(|package| format!("{}: {}", package["name"], package["license"])).collect::<Vec<_>>())
}

#[test]
fn packages_are_few() -> anyhow::Result<()> {
    let count = read("Cargo.lock")?.lines().filter(|line| *line == "[[package]]").count();
    anyhow::ensure!((100..=MOST).contains(&count), "{count} packages are locked, {MOST} are the most");
    Ok(())
}

#[test]
fn there_is_one_tls_stack() -> anyhow::Result<()> {
    let tree = cargo(&["tree", "--workspace", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])?;
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    anyhow::ensure!(names.contains("rustls") && names.contains("aws-lc-rs"), "the tree is not read as it is");
    let found: Vec<String> =
        BANNED.iter().filter(|name| names.contains(*name)).map(|name| (*name).to_owned()).collect();
    none(&found)
}

#[test]
fn expressions_are_read_as_they_mean() {
    for good in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "ISC AND (GPL-3.0 OR MIT)"]
    {
        assert!(fits(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "", "MIT MIT", "Apache-2.0 WITH other"] {
        assert!(!fits(bad), "{bad}");
    }
}
