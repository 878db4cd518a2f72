//! Transcripts: commands with what they have to say, as text that reads like a terminal.
//!
//! ```text
//! # A comment.
//! $ kubectl apply -f -
//! | apiVersion: v1            what the command reads
//! > configmap/a created       stands in what it prints
//! - error                     does not stand in what it prints
//! ! Warning                   stands in what it says on standard error
//! ? 1                         its exit code, if not 0
//! ```
//!
//! Words are split at spaces; single quotes keep a word together.

use anyhow::Context as _;

use crate::platform::{Platform, Said};

/// One command and what is expected of it.
#[derive(Debug, Default, PartialEq)]
struct Step<'a> {
    line: usize,
    command: &'a str,
    input: String,
    code: i32,
    expected: Vec<(Expect, &'a str)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    Out,
    NotOut,
    Err,
}

/// Runs all commands of a transcript, and fails with all that did not go as it says.
pub(crate) async fn run(platform: &Platform, name: &str, text: &str) -> anyhow::Result<()> {
    let steps = parse(text)?;
    let mut failures = Vec::new();
    for step in &steps {
        let words = words(step.command);
        let [program, arguments @ ..] = words.as_slice() else { anyhow::bail!("{name}:{}: no command", step.line) };
        anyhow::ensure!(program == "kubectl", "{name}:{}: {program} is not known here", step.line);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let missed = match platform.kubectl(&arguments, &step.input).await {
            Ok(said) => missed(step, &said),
            Err(error) => vec![format!("{error:#}")],
        };
        if !missed.is_empty() {
            failures.push(format!("{name}:{}: $ {}\n    {}", step.line, step.command, missed.join("\n    ")));
        }
    }
    let count = failures.len();
    anyhow::ensure!(count == 0, "{count} of {} commands of {name} failed:\n{}", steps.len(), failures.join("\n"));
    Ok(())
}

/// What of the expectations does not hold, with what was seen instead.
fn missed(step: &Step<'_>, said: &Said) -> Vec<String> {
    let mut missed = Vec::new();
    if said.code != Some(step.code) {
        missed.push(format!("ended with {:?}, not {}", said.code, step.code));
    }
    for (expect, fragment) in &step.expected {
        match expect {
            Expect::Out if !said.out.contains(fragment) => missed.push(format!("did not print {fragment:?}")),
            Expect::NotOut if said.out.contains(fragment) => missed.push(format!("printed {fragment:?}")),
            Expect::Err if !said.err.contains(fragment) => missed.push(format!("did not complain {fragment:?}")),
            _ => {}
        }
    }
    if !missed.is_empty() {
        let shown = |text: &str| text.chars().take(400).collect::<String>();
        missed.push(format!("printed: {:?}", shown(&said.out)));
        missed.push(format!("complained: {:?}", shown(&said.err)));
    }
    missed
}

fn parse(text: &str) -> anyhow::Result<Vec<Step<'_>>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (mark, rest) = line.split_at_checked(1).with_context(|| format!("line {number} begins with no mark"))?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        if mark == "$" {
            steps.push(Step { line: number, command: rest, ..Step::default() });
            continue;
        }
        let step = steps.last_mut().with_context(|| format!("line {number} comes before any command"))?;
        match mark {
            "|" => {
                step.input.push_str(rest);
                step.input.push('\n');
            }
            ">" => step.expected.push((Expect::Out, rest)),
            "-" => step.expected.push((Expect::NotOut, rest)),
            "!" => step.expected.push((Expect::Err, rest)),
            "?" => step.code = rest.parse().with_context(|| format!("line {number} has no exit code"))?,
            _ => anyhow::bail!("line {number} begins with no mark: {line}"),
        }
    }
    Ok(steps)
}

/// Splits at spaces that are not within single quotes.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in command.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn a_transcript_is_read_as_it_is_written() {
    let text = "# about\n$ kubectl get 'a b'  c\n| x: 1\n|   y: 2\n> out\n- not\n! err\n? 1\n\n$ kubectl version\n";
    let steps = parse(text).unwrap();
    let expected = vec![(Expect::Out, "out"), (Expect::NotOut, "not"), (Expect::Err, "err")];
    let first = Step { line: 2, command: "kubectl get 'a b'  c", input: "x: 1\n  y: 2\n".into(), code: 1, expected };
    assert_eq!(steps, [first, Step { line: 10, command: "kubectl version", ..Step::default() }]);
    assert_eq!(words(steps[0].command), ["kubectl", "get", "a b", "c"]);
    for wrong in ["> no command", "$ a\n? x", "$ a\nb"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_missed_is_told() {
    let steps = parse("$ kubectl\n> a\n- b\n! c\n").unwrap();
    let said = |code, out: &str, err: &str| Said { code: Some(code), out: out.into(), err: err.into() };
    assert!(missed(&steps[0], &said(0, "xa", "cx")).is_empty());
    for (code, out, err) in [(1, "a", "c"), (0, "x", "c"), (0, "ab", "c"), (0, "a", "x")] {
        // What was missed, and both outputs.
        assert_eq!(missed(&steps[0], &said(code, out, err)).len(), 3, "{code} {out} {err}");
    }
}
