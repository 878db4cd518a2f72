//! Text with variables: how it is written, and how it becomes bytes.
//!
//! `${name}` stands for the value of a variable, `$$` for a dollar sign; a dollar sign before anything else is a mistake,
//! so that a typing error is found before the load and not in the target's logs. `${name|url}` and `${name|json}` write a
//! value so that it cannot end the path or the JSON string that it stands in. Whether a value may stand in a header or a
//! request line at all (no line ends, no spaces) is judged by the protocol's codec when the request is made.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::plan::{Escape, Piece, Template};

/// The longest name of a variable.
pub const MAX_NAME: usize = 64;
/// The most pieces of a template.
const MAX_PIECES: usize = 10_000;
/// What RFC 3986 calls unreserved stays as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A dollar sign that begins nothing.
    #[error("a $ must be followed by {{NAME}} for a variable, or by another $ for a dollar sign")]
    Dollar,
    /// No closing brace.
    #[error("a variable that begins with ${{ does not end: a }} is missing")]
    Open,
    /// A name that no variable can have.
    #[error("{0:?} cannot be the name of a variable: it is 1 to 64 letters, digits and _, and begins with no digit")]
    Name(String),
    /// An unknown way of writing a value.
    #[error("{0:?} is no way to write a value: url and json are, as in ${{name|url}}")]
    Escape(String),
    /// Too many pieces.
    #[error("a template has 10000 pieces at most")]
    Pieces,
}

/// A variable that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the variable {0} has no value")]
pub struct Undefined(pub String);

/// Whether `name` can be the name of a variable.
pub fn is_name(name: &str) -> bool {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins_well && name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::parse_with(text, None)
    }

    /// Reads a template that is to become JSON: variables are written as within a string unless they say otherwise.
    pub fn parse_json(text: &str) -> Result<Template, TemplateError> {
        Template::parse_with(text, Some(Escape::Json))
    }

    fn parse_with(text: &str, otherwise: Option<Escape>) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let inner = after.strip_prefix('{').ok_or(TemplateError::Dollar)?;
            let (inner, after) = inner.split_once('}').ok_or(TemplateError::Open)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(variable(inner, otherwise)?);
            rest = after;
            if pieces.len() > MAX_PIECES {
                return Err(TemplateError::Pieces);
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Template(pieces))
    }

    /// A template that always is `text`; dollar signs in it mean nothing.
    pub fn constant(text: impl Into<String>) -> Template {
        let text = text.into();
        Template(if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] })
    }

    /// Whether it has no variables.
    pub fn is_constant(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The names of its variables, each as often as it stands there.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(name) | Piece::Escaped(name, _) => Some(name.as_str()),
        })
    }

    /// The parts of it that are as they stand.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Variable(_) | Piece::Escaped(..) => None,
        })
    }

    /// Appends the text to `out`, with the values that `value` knows. On an error `out` has a part of it.
    pub fn render<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>, out: &mut Vec<u8>) -> Result<(), Undefined> {
        let known = |name: &String| value(name).ok_or_else(|| Undefined(name.clone()));
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(name) => out.extend_from_slice(known(name)?.as_bytes()),
                Piece::Escaped(name, Escape::Url) => {
                    let value = known(name)?;
                    utf8_percent_encode(&value, RESERVED).for_each(|part| out.extend_from_slice(part.as_bytes()));
                }
                Piece::Escaped(name, Escape::Json) => push_json(&known(name)?, out),
            }
        }
        Ok(())
    }
}

/// As it is written, so that parsing it gives the same template.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('$', "$$")),
            Piece::Variable(name) => write!(f, "${{{name}}}"),
            Piece::Escaped(name, Escape::Url) => write!(f, "${{{name}|url}}"),
            Piece::Escaped(name, Escape::Json) => write!(f, "${{{name}|json}}"),
        })
    }
}

fn variable(inner: &str, otherwise: Option<Escape>) -> Result<Piece, TemplateError> {
    let (name, escape) = match inner.split_once('|') {
        None => (inner, otherwise),
        Some((name, "url")) => (name, Some(Escape::Url)),
        Some((name, "json")) => (name, Some(Escape::Json)),
        Some((_, other)) => return Err(TemplateError::Escape(other.to_owned())),
    };
    if !is_name(name) {
        return Err(TemplateError::Name(name.chars().take(MAX_NAME + 1).collect()));
    }
    Ok(match escape {
        None => Piece::Variable(name.to_owned()),
        Some(escape) => Piece::Escaped(name.to_owned(), escape),
    })
}

fn push_json(value: &str, out: &mut Vec<u8>) {
    let quoted = serde_json::Value::String(value.to_owned()).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    out.extend_from_slice(inner.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(template: &Template, values: &[(&str, &str)]) -> Result<String, Undefined> {
        let mut out = Vec::new();
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, v)| Cow::Borrowed(*v));
        template.render(value, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_stand_where_their_names_stood() {
        let values = [("id", "7"), ("q", "a b/ü&\"\n"), ("_x1", "$${id}"), ("none", "")];
        let check = |text: &str, expected: &str| {
            let template = Template::parse(text).unwrap();
            assert_eq!(render(&template, &values).unwrap(), expected, "{text}");
            assert_eq!(template.to_string(), text);
        };
        check("", "");
        check("/plain?a=1", "/plain?a=1");
        check("/items/${id}?q=${q|url}", "/items/7?q=a%20b%2F%C3%BC%26%22%0A");
        check("{\"q\": \"${q|json}\"}", "{\"q\": \"a b/ü&\\\"\\n\"}");
        check("${id}${id}${none}", "77");
        check("costs 5$$, $${id}, $$$$", "costs 5$, ${id}, $$");
        // A value is text, never a template again.
        check("${_x1}", "$${id}");
        check("}{", "}{");
    }

    #[test]
    fn json_is_escaped_unless_asked_otherwise() {
        let template = Template::parse_json(r#"{"a":"${q}","b":"${q|url}"}"#).unwrap();
        assert_eq!(render(&template, &[("q", "\"")]).unwrap(), r#"{"a":"\"","b":"%22"}"#);
    }

    #[test]
    fn what_is_constant_is_told() {
        let check = |text: &str, constant: bool, names: &[&str]| {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.is_constant(), constant, "{text}");
            assert_eq!(template.variables().collect::<Vec<_>>(), names);
        };
        check("", true, &[]);
        check("a$$b", true, &[]);
        check("a${b}c${d|url}", false, &["b", "d"]);
        assert_eq!(Template::parse("a$$b").unwrap(), Template::constant("a$b"));
    }

    #[test]
    fn mistakes_are_found() {
        let check = |text: &str, expected: TemplateError| assert_eq!(Template::parse(text), Err(expected), "{text}");
        check("5$", TemplateError::Dollar);
        check("$id", TemplateError::Dollar);
        check("${id", TemplateError::Open);
        check("${}", TemplateError::Name(String::new()));
        check("${1a}", TemplateError::Name("1a".into()));
        check("${a b}", TemplateError::Name("a b".into()));
        check("${a${b}}", TemplateError::Name("a${b".into()));
        check("${a|html}", TemplateError::Escape("html".into()));
        check(&"${a}".repeat(10_001), TemplateError::Pieces);
        assert_eq!(render(&Template::parse("${a}").unwrap(), &[]), Err(Undefined("a".into())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_is_its_own_template_once_dollars_are_doubled(text in ".{0,40}") {
            let template = Template::parse(&text.replace('$', "$$")).unwrap();
            prop_assert_eq!(render(&template, &[]).unwrap(), text);
        }

        #[test]
        fn escaped_values_come_back(value in ".{0,40}") {
            let json = render(&Template::parse("\"${v|json}\"").unwrap(), &[("v", &value)]).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value.clone());
            let url = render(&Template::parse("${v|url}").unwrap(), &[("v", &value)]).unwrap();
            prop_assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            prop_assert_eq!(percent_encoding::percent_decode_str(&url).decode_utf8().unwrap(), value);
        }
    }
}
