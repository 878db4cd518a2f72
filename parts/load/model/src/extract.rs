//! Taking values out of answers for the steps that follow.
//!
//! A JSONPath (RFC 9535) takes the first match: text as it is, numbers and truth values as JSON writes them, arrays and
//! objects as JSON without spaces. `null` is no value. Paths that go straight down (`$.items[0].id`), as most do, are
//! walked here; the others go to the library, whose cost grows with the number of nodes times the length of their paths,
//! which is why an answer that would make that product absurd is refused before.

use std::collections::BTreeMap;

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use crate::plan::Extract;

/// The longest value that is taken.
pub const MAX_VALUE: usize = 64 << 10;
/// The longest JSONPath.
const MAX_PATH: usize = 1000;
/// The most bytes of paths to nodes that the library may make.
const MAX_COST: usize = 256 << 20;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// Not a JSONPath.
    #[error("{0:?} is no JSONPath (RFC 9535): {1}")]
    Path(String, String),
    /// The body is not JSON.
    #[error("the body is no JSON")]
    NoJson,
    /// Nothing, or null.
    #[error("there is no value for {0}")]
    Missing(String),
    /// Longer than [`MAX_VALUE`], or an answer whose matches cannot be held.
    #[error("the value for {0}, or the answer that it stands in, is too large")]
    TooLarge(String),
}

/// The values that one step takes, ready to be looked for.
#[derive(Clone, Debug)]
pub struct Extraction {
    from_body: Vec<(String, JsonPath)>,
    from_headers: Vec<(String, String)>,
}

/// A JSONPath, ready to be looked for.
#[derive(Clone, Debug)]
pub struct JsonPath(Walk);

#[derive(Clone, Debug)]
enum Walk {
    /// Down to one place.
    Straight(Vec<Down>),
    /// Anything else.
    Query(JpQuery),
}

#[derive(Clone, Debug)]
enum Down {
    Name(String),
    Index(usize),
}

impl Extraction {
    /// Gets the values of a step ready.
    pub fn compile(extract: &BTreeMap<String, Extract>) -> Result<Extraction, ExtractError> {
        let mut extraction = Extraction { from_body: Vec::new(), from_headers: Vec::new() };
        for (variable, place) in extract {
            match place {
                Extract::Json(path) => extraction.from_body.push((variable.clone(), JsonPath::parse(path)?)),
                Extract::Header(name) => extraction.from_headers.push((variable.clone(), name.clone())),
            }
        }
        Ok(extraction)
    }

    /// Whether any value stands in the body.
    pub fn wants_body(&self) -> bool {
        !self.from_body.is_empty()
    }

    /// The values of an answer by variable; all of them, or what is wrong with the first that is not there.
    pub fn read<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h [u8]>,
        body: &[u8],
    ) -> Result<Vec<(&str, String)>, ExtractError> {
        let mut values = Vec::with_capacity(self.from_body.len() + self.from_headers.len());
        for (variable, name) in &self.from_headers {
            let value = header(name).and_then(|value| std::str::from_utf8(value).ok());
            let value = value.ok_or_else(|| ExtractError::Missing(variable.clone()))?;
            values.push((variable.as_str(), value.to_owned()));
        }
        if self.wants_body() {
            let body: Value = serde_json::from_slice(body).map_err(|_| ExtractError::NoJson)?;
            for (variable, path) in &self.from_body {
                values.push((variable.as_str(), path.first(&body, variable)?));
            }
        }
        match values.iter().find(|(_, value)| value.len() > MAX_VALUE) {
            Some((variable, _)) => Err(ExtractError::TooLarge((*variable).to_owned())),
            None => Ok(values),
        }
    }
}

impl JsonPath {
    /// Reads a JSONPath.
    pub fn parse(text: &str) -> Result<JsonPath, ExtractError> {
        let wrong = |why: &str| ExtractError::Path(text.chars().take(100).collect(), why.to_owned());
        if text.len() > MAX_PATH {
            return Err(wrong("it is longer than 1000 bytes"));
        }
        if !text.starts_with('$') {
            return Err(wrong("it must begin with $, as in $.items[0].id"));
        }
        if text.matches("..").count() > 1 {
            return Err(wrong("it has more than one .."));
        }
        let query = parse_json_path(text).map_err(|error| wrong(&cause(&error)))?;
        Ok(JsonPath(straight(&query).map_or(Walk::Query(query), Walk::Straight)))
    }

    fn first(&self, body: &Value, variable: &str) -> Result<String, ExtractError> {
        let missing = || ExtractError::Missing(variable.to_owned());
        let value = match &self.0 {
            Walk::Straight(way) => way.iter().try_fold(body, |value, down| match down {
                Down::Name(name) => value.as_object()?.get(name),
                Down::Index(index) => value.as_array()?.get(*index),
            }),
            Walk::Query(query) => {
                let (nodes, longest) = size(body);
                if nodes.saturating_mul(longest) > MAX_COST {
                    return Err(ExtractError::TooLarge(variable.to_owned()));
                }
                js_path_process(query, body).map_err(|_| missing())?.into_iter().next().map(|found| found.val)
            }
        };
        match value {
            None | Some(Value::Null) => Err(missing()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Ok(other.to_string()),
        }
    }
}

/// The way down, where the query has one node at most and no names that need quotes.
fn straight(query: &JpQuery) -> Option<Vec<Down>> {
    let down = |segment: &Segment| match segment {
        Segment::Selector(Selector::Name(name)) if !name.contains(['\'', '"', '\\']) => Some(Down::Name(name.clone())),
        Segment::Selector(Selector::Index(index)) => usize::try_from(*index).ok().map(Down::Index),
        _ => None,
    };
    query.segments.iter().map(down).collect()
}

/// How many nodes a value has, and how long the longest path to one can be. JSON is nested 128 deep at most.
fn size(value: &Value) -> (usize, usize) {
    let add = |(nodes, longest): (usize, usize), (key, value): (usize, &Value)| {
        let (more, length) = size(value);
        (nodes + more, longest.max(length + key))
    };
    match value {
        // 24: the digits of an index and the brackets; a key may be written with escapes.
        Value::Array(items) => items.iter().map(|item| (24, item)).fold((1, 1), add),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.len() * 2 + 8, value)).fold((1, 1), add),
        _ => (1, 1),
    }
}

/// The library's words without its drawing of several lines.
fn cause(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    match text.split_once("--> 1:").and_then(|(_, rest)| rest.lines().next()) {
        Some(column) => format!("it is not understood from character {column} on"),
        None => text.lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extract(path: &str, body: &str) -> Result<String, ExtractError> {
        let map = BTreeMap::from([("v".to_owned(), Extract::Json(path.to_owned()))]);
        let extraction = Extraction::compile(&map)?;
        Ok(extraction.read(|_| None, body.as_bytes())?.remove(0).1)
    }

    #[test]
    fn the_first_match_becomes_text() {
        let body = r#"{"token": "a\"b", "id": 12, "f": 1.50, "big": 18446744073709551615, "ok": true,
            "items": [{"id": "x", "n": 1}, {"id": "y", "n": 2}], "odd key": {"a.b": ["deep"]}, "none": null}"#;
        let check = |path: &str, expected: &str| assert_eq!(extract(path, body).unwrap(), expected, "{path}");
        check("$.token", "a\"b");
        check("$.id", "12");
        check("$.f", "1.5");
        check("$.big", "18446744073709551615");
        check("$.ok", "true");
        check("$.items[0].id", "x");
        check("$['items'][1]['id']", "y");
        check("$.items[-1].id", "y");
        check("$.items[*].id", "x");
        check("$..id", "12");
        check("$.items[?@.n > 1].id", "y");
        check("$.items[?@.id == 'y'].n", "2");
        check("$['odd key']['a.b'][0]", "deep");
        check("$.items[0]", r#"{"id":"x","n":1}"#);
        check("$.items[1:].n", "2");
        assert_eq!(extract("$", "\"all\"").unwrap(), "all");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let missing = Err(ExtractError::Missing("v".into()));
        for (path, body) in [("$.a", "{}"), ("$.a", "[]"), ("$[0]", "{}"), ("$.a", r#"{"a": null}"#), ("$..a", "[1]")] {
            assert_eq!(extract(path, body), missing, "{path} {body}");
        }
        assert_eq!(extract("$.a", "{"), Err(ExtractError::NoJson));
        assert_eq!(extract("$", &"[".repeat(1000)), Err(ExtractError::NoJson));
        let long = format!("\"{}\"", "x".repeat(MAX_VALUE + 1));
        assert_eq!(extract("$", &long), Err(ExtractError::TooLarge("v".into())));
    }

    #[test]
    fn a_hostile_answer_cannot_take_all_memory() {
        // Half a megabyte of key before 100,000 elements: 50 GB of paths.
        let body = format!("{{\"{}\": [{}1]}}", "k".repeat(500_000), "1,".repeat(100_000));
        assert_eq!(extract("$..id", &body), Err(ExtractError::TooLarge("v".into())));
        assert_eq!(extract("$.id", &body), Err(ExtractError::Missing("v".into())));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let check = |path: &str, expected: &str| {
            let failed = JsonPath::parse(path).unwrap_err().to_string();
            assert!(failed.contains(expected) && !failed.contains('\n'), "{path}: {failed}");
        };
        check("token", "must begin with $");
        check("", "must begin with $");
        check("$.", "not understood from character");
        check("$.a[", "not understood from character");
        check("$.a]", "not understood from character");
        check("$[-9223372036854775808]", "is no JSONPath");
        check("$..a..b", "more than one ..");
        check(&format!("$.{}", "a".repeat(1000)), "longer than 1000");
        check(&format!("${}", "[?(".repeat(200)), "is no JSONPath");
    }

    #[test]
    fn headers_are_text() {
        let map = BTreeMap::from([("id".to_owned(), Extract::Header("location".to_owned()))]);
        let extraction = Extraction::compile(&map).unwrap();
        assert!(!extraction.wants_body());
        let of = |value: &'static [u8]| extraction.read(move |name| (name == "location").then_some(value), b"no JSON");
        assert_eq!(of(b"/items/7"), Ok(vec![("id", "/items/7".to_owned())]));
        assert_eq!(of(b"\xff"), Err(ExtractError::Missing("id".into())));
        assert_eq!(extraction.read(|_| None, b""), Err(ExtractError::Missing("id".into())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_path_is_judged_without_a_panic(path in "\\$[.a*\\[\\]0-9:,?@'()<>=&|! -]{0,14}") {
            if let Ok(path) = JsonPath::parse(&path) {
                let body = serde_json::json!({"a": [[1, 2], {"a": "b"}, 3]});
                let _ = path.first(&body, "v");
            }
        }

        #[test]
        fn walking_is_what_the_library_does(way in prop::collection::vec(prop::sample::select(vec![".a", ".b", "[0]", "[1]"]), 1..4)) {
            let body = serde_json::json!({"a": [{"b": 1}, [2, {"a": 3}]], "b": {"a": {"b": [4]}}});
            let text = format!("${}", way.concat());
            let path = JsonPath::parse(&text).unwrap();
            prop_assert!(matches!(path.0, Walk::Straight(_)));
            let library = JsonPath(Walk::Query(parse_json_path(&text).unwrap()));
            prop_assert_eq!(path.first(&body, "v"), library.first(&body, "v"));
        }
    }
}
