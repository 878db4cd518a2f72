//! A limit for what the library that reads types would follow without one: options in text form.
//!
//! A `.proto` file, and a server that sends what a parser left, may hold options as protobuf's text format, nested in
//! each other. Those are read by recursion, so a file with too many levels is refused before.

use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

/// How deep the text of an option may be nested.
const MAX_DEPTH: usize = 64;

/// Whether an option of `file` is nested too deeply to be read.
pub(super) fn are_too_deep(file: &FileDescriptorProto) -> bool {
    any_too_deep(&file.transcode_to_dynamic())
}

/// Messages within each other are limited by the decoder, and in a file by its parser.
fn any_too_deep(message: &DynamicMessage) -> bool {
    let is_option = message.descriptor().full_name() == "google.protobuf.UninterpretedOption";
    message.fields().any(|(field, value)| match value {
        Value::String(text) => is_option && field.name() == "aggregate_value" && depth(text) > MAX_DEPTH,
        Value::Message(inner) => any_too_deep(inner),
        Value::List(items) => items.iter().any(|item| item.as_message().is_some_and(any_too_deep)),
        _ => false,
    })
}

/// How deep brackets are nested in protobuf's text format, outside of its strings and comments.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest) = (0usize, 0);
    let mut characters = text.bytes();
    while let Some(character) = characters.next() {
        match character {
            b'{' | b'<' | b'[' => now += 1,
            b'}' | b'>' | b']' => now = now.saturating_sub(1),
            b'#' => drop(characters.find(|c| *c == b'\n')),
            quote @ (b'"' | b'\'') => {
                while let Some(c) = characters.next().filter(|c| *c != quote) {
                    if c == b'\\' {
                        characters.next();
                    }
                }
            }
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_where_they_mean_something() {
        let check = |text: &str, expected| assert_eq!(depth(text), expected, "{text}");
        check("", 0);
        check("a: 1", 0);
        check("a { b: [<c: 1>] } d {}", 3);
        check("}}} a {", 1);
        check(r#"a { b: "}\"}" c { d: '{{{\'{' } }"#, 2);
        check("a { # }}}\n b { }", 2);
        check("a { # }}}", 1);
        check("\"unfinished {", 0);
    }
}
