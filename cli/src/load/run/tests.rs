//! Where a result goes, whatever becomes of standard output, and with which exit code.

use std::ffi::OsString;
use std::io::{self, Read as _, Write};
use std::net::TcpListener;
use std::time::Instant;

use clap::Parser as _;

use super::*;
use crate::tests::{captured, text_of};

/// A command line of options alone.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: RunArgs,
}

/// Standard output whose reader is gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A target that answers everything, and its URL.
fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                }
            });
        }
    });
    url
}

/// The exit code and the notes of a short load whose standard output is gone, and the names of the files that it left.
fn load(url: &str) -> (u8, String, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (_, _, notes) = captured();
    let mut output = Output::new(Gone, notes.clone());
    let pace = ["purlin", "load", url, "-r", "50", "-d", "100ms", "-c", "2", "-w", "1", "-q"];
    let files = ["--save", &path("a.json"), "--html", &path("a.html")];
    let arguments = pace.iter().chain(&files).map(OsString::from);
    let code = crate::run(arguments, Instant::now(), &mut output);
    let mut left: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().display().to_string())
        .collect();
    left.sort();
    (code, text_of(&notes), left)
}

#[test]
fn what_was_measured_is_kept_when_nobody_reads_it() {
    let url = target();
    let (code, notes, left) = load(&url);
    assert_eq!((code, left), (exit::FAILED, vec!["a.html".to_owned(), "a.json".to_owned()]), "{notes}");
    let told = notes.contains("cannot write the result to standard output") && notes.contains("hint: the result is in");
    assert!(told, "{notes}");
    // What the result says decides, and all is told.
    let (code, notes, left) = load("http://127.0.0.1:1/");
    assert_eq!((code, left.len()), (exit::UNREACHABLE, 2), "{notes}");
    assert!(notes.contains("standard output") && notes.contains("no request reached 127.0.0.1:1"), "{notes}");
}

#[test]
fn one_file_for_two_things_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::create_dir(directory.path().join("in")).unwrap();
    for (save, html) in [("a", "a"), ("a", "./a"), ("a", "in/../a")] {
        let (mut output, data, notes) = captured();
        let (save, html) = (path(save), path(html));
        let arguments = ["purlin", "load", "http://127.0.0.1:1/", "--save", &save, "--html", &html];
        let code = crate::run(arguments.iter().map(OsString::from), Instant::now(), &mut output);
        let (data, notes) = (text_of(&data), text_of(&notes));
        assert_eq!((code, data.as_str()), (exit::USAGE, ""), "{notes}");
        assert!(notes.contains("--save and --html are the same file"), "{notes}");
    }
    let script = path("script.yaml");
    std::fs::write(&script, "target: http://127.0.0.1:1/").unwrap();
    let (mut output, _, notes) = captured();
    let arguments = ["purlin", "load", "-f", &script, "--save", &script];
    let code = crate::run(arguments.iter().map(OsString::from), Instant::now(), &mut output);
    assert_eq!(code, exit::USAGE);
    assert!(text_of(&notes).contains("--file and --save are the same file"), "{}", text_of(&notes));
}

#[test]
fn an_interruption_has_its_own_exit_code() {
    let (mut output, data, _) = captured();
    let arguments = ["purlin", "load", &target(), "-r", "50", "-d", "100ms", "-c", "2", "-w", "1", "-q", "-o", "json"];
    assert_eq!(crate::run(arguments.iter().map(OsString::from), Instant::now(), &mut output), exit::OK);
    let summary: Summary = serde_json::from_str(&text_of(&data)).unwrap();
    assert!(!summary.interrupted);
    let args = Line::try_parse_from(["load", "http://127.0.0.1/"]).unwrap().args;
    let told = |summary: &Summary, interrupted| {
        let ran = Ran { summary: summary.clone(), interrupted };
        tell(&ran, &args, &mut captured().0).err().map_or(exit::OK, |failure| failure.code)
    };
    assert_eq!(told(&summary, None), exit::OK);
    assert_eq!(told(&summary, Some(130)), 130);
    // What must not be is no better for having been interrupted.
    let mut bad = summary.clone();
    bad.verdicts = threshold::judge(&[threshold::Threshold::parse("throughput<1000000/s").unwrap()], &bad);
    assert_eq!(told(&bad, Some(130)), exit::FAILED);
}

#[test]
fn secrets_are_nowhere_in_what_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (mut output, data, _) = captured();
    let (url, save, html) = (target() + "a?token=s3cret", path("a.json"), path("a.html"));
    let request = ["-H", "cookie: s3cret", "-b", "password=s3cret", "--save", &save, "--html", &html, "-o", "json"];
    let pace = ["purlin", "load", &url, "-r", "50", "-d", "100ms", "-c", "2", "-w", "1", "-q"];
    let arguments = pace.iter().chain(&request).map(OsString::from);
    assert_eq!(crate::run(arguments, Instant::now(), &mut output), exit::OK);
    for text in [std::fs::read_to_string(save).unwrap(), std::fs::read_to_string(html).unwrap(), text_of(&data)] {
        assert!(!text.contains("s3cret") && text.contains("[15 bytes]") && text.contains("/a?token=…"), "{text}");
    }
}
