//! How source files look: each says at its top what it holds, and none has grown past what one idea needs.

use super::{files, none, read};

/// No file is longer.
const LONGEST: usize = 1_000;
/// A file that is longer than this has to stand in [`LONG`], with the reason.
const LONG_FROM: usize = 800;
const LONG: [(&str, &str); 1] = [(
    "parts/apiserver/schema/src/openapi.rs",
    "one walk parses and checks; the half of it would need the other's context",
)];

/// What stands in no file, in pieces so that it does not stand in this one.
const FORBIDDEN: [([&str; 2], &str); 6] = [
    (["todo", "!("], "is not built"),
    (["unimplemented", "!("], "is not built"),
    (["dbg", "!("], "was left behind"),
    (["/wo", "rk/"], "is a path of somebody's machine"),
    (["/ro", "ot/"], "is a path of somebody's machine"),
    (["../sha", "red"], "is a path of somebody's machine"),
];

fn is_text(path: &str) -> bool {
    [".rs", ".md", ".toml", ".yaml", ".yml", ".py", ".txt", "Makefile", ".ci/run"].iter().any(|end| path.ends_with(end))
}

/// What is wrong with the file.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (pieces, reason) in FORBIDDEN {
        let what = pieces.concat();
        if let Some(line) = text.lines().position(|line| line.contains(&what)) {
            findings.push(format!("{path}:{}: {what} {reason}", line + 1));
        }
    }
    if !path.ends_with(".rs") {
        return findings;
    }
    // What `tests.rs` holds, its module's doc says.
    if !text.starts_with("//! ") && !path.ends_with("/tests.rs") {
        findings.push(format!("{path}: does not begin with `//!` and what it holds"));
    }
    let lines = text.lines().count();
    let listed = LONG.iter().any(|(long, _)| *long == path);
    if lines > LONGEST || (lines > LONG_FROM && !listed) {
        findings.push(format!("{path}: has {lines} lines; it usually holds two ideas then: split it"));
    }
    if listed && lines <= LONG_FROM {
        findings.push(format!("{path}: is not long any more; take it off the list"));
    }
    findings
}

#[test]
fn files_are_short_and_say_what_they_hold() -> anyhow::Result<()> {
    let mut findings = Vec::new();
    let mut sources = 0;
    for path in files()?.iter().filter(|path| is_text(path)) {
        sources += usize::from(path.ends_with(".rs"));
        findings.extend(check(path, &read(path)?));
    }
    anyhow::ensure!(sources > 50, "only {sources} source files were found");
    none(&findings)
}

#[test]
fn what_is_wrong_with_a_file_is_found() {
    assert!(check("a.rs", "//! Says it.\n").is_empty());
    assert_eq!(check("a.rs", "fn a() {}\n").len(), 1);
    assert_eq!(check("a.rs", &format!("//! Says it.\n{}", "\n".repeat(LONG_FROM))).len(), 1);
    assert!(check("a.md", &"\n".repeat(LONGEST * 2)).is_empty());
    for (pieces, _) in FORBIDDEN {
        assert_eq!(check("a.md", &format!("x\n{}", pieces.concat())).len(), 1, "{pieces:?}");
    }
}
