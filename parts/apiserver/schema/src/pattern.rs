//! Patterns of schemas: regular expressions of Go (RE2) run by the regex crate, in linear time.
//!
//! The two dialects differ in a few places that real CRDs meet: `\d`, `\w`, `\s` and `\b` are ASCII in Go, a `[`
//! inside a class and a `{` that repeats nothing are literals there. [`compile`] rewrites these.

use regex::{Regex, RegexBuilder};

/// The compiled size that one pattern may have.
const MAX_COMPILED: usize = 1024 * 1024;

/// The length that one pattern may have.
const MAX_LENGTH: usize = 16 * 1024;

/// Compiles a pattern of a schema; the error is one line of words.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_LENGTH {
        return Err(format!("a pattern may have {MAX_LENGTH} bytes, this one has {}", pattern.len()));
    }
    RegexBuilder::new(&from_go(pattern))
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(100)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("it compiles to more than {limit} bytes: use smaller repetitions")
            }
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })
}

/// Rewrites what Go reads differently.
fn from_go(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => escape(after, in_class, &mut out),
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                // A `]` right at the start of a class is a literal in both dialects.
                let after = after.strip_prefix('^').inspect(|_| out.push('^')).unwrap_or(after);
                after.strip_prefix(']').inspect(|_| out.push_str("\\]")).unwrap_or(after)
            }
            '[' if after.starts_with(':') => match after.find(":]") {
                Some(end) => {
                    out.push('[');
                    out.push_str(&after[..end + 2]);
                    &after[end + 2..]
                }
                None => literal(c, after, &mut out),
            },
            '[' => literal(c, after, &mut out),
            '&' | '~' if in_class => literal(c, after, &mut out),
            '-' if in_class && after.starts_with('-') => literal(c, after, &mut out),
            ']' => {
                in_class = false;
                out.push(c);
                after
            }
            '{' if !in_class && !is_repetition(after) => literal(c, after, &mut out),
            _ => {
                out.push(c);
                after
            }
        };
    }
    out
}

fn literal<'a>(c: char, after: &'a str, out: &mut String) -> &'a str {
    out.push('\\');
    out.push(c);
    after
}

/// Writes what a backslash introduces; returns the rest.
fn escape<'a>(after: &'a str, in_class: bool, out: &mut String) -> &'a str {
    let Some(c) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str("[\\t\\n\\f\\r ]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'B' if !in_class => out.push_str("(?-u:\\B)"),
        'Q' if !in_class => {
            let quoted = &after[1..];
            let (text, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(text));
            return rest;
        }
        _ => {
            out.push('\\');
            out.push(c);
        }
    }
    &after[c.len_utf8()..]
}

/// Whether the text after a `{` is that of a repetition: `3}`, `3,}`, `3,5}`.
fn is_repetition(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else { return false };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let regex = compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        for text in yes {
            assert!(regex.is_match(text), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!regex.is_match(text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        check("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", &["a", "a-b"], &["", "-a", "a-"]);
        check(r"^\d+$", &["12"], &["١٢", "a"]);
        check(r"^[\w.]+$", &["a_1."], &["é"]);
        check(r"^[[a]$", &["[", "a"], &["b"]);
        check(r"^[^]]$", &["a"], &["]"]);
        check(r"^[[:alpha:]]$", &["a"], &["1", ":"]);
        check(r"^[a&&b]+$", &["a&b"], &["c"]);
        check(r"^{a}$", &["{a}"], &["a"]);
        check(r"^a{2,3}$", &["aa"], &["a"]);
        check(r"^\Qa.b\E$", &["a.b"], &["axb"]);
        check(r"^(([0-9]{1,5})(h|m|s|ms)){1,4}$", &["1h30m"], &["1d"]);
    }

    #[test]
    fn bad_and_huge_patterns_are_refused() {
        assert_eq!(compile("(").unwrap_err(), "unclosed group");
        assert!(compile("(?=a)").is_err());
        assert!(compile("((a{1000}){1000}){1000}").unwrap_err().contains("smaller repetitions"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_pattern_can_panic(pattern in "[\\[\\](){}^$*+?.a0dQE:\\\\,&~|é-]{0,30}") {
            let _ = compile(&pattern);
        }
    }
}
