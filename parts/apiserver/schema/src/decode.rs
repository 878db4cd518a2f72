//! Bytes of a request to a [`Value`]: JSON or YAML, in one pass, within limits.
//!
//! A key that is given twice is not lost in silence: the last one wins and its path is reported, so that strict
//! field validation can refuse it (`duplicate field "spec.size"`). Integers stay exact (i64, u64), other numbers
//! are f64. Depth, size and the expansion of YAML aliases are bounded before anything is built.
//! Follows RFC 8259 for JSON; YAML is read as sigs.k8s.io/yaml does: one document, its JSON subset as JSON.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::path::Path;

/// How many duplicate keys are named; more would only make the answer long.
const MAX_DUPLICATES: usize = 32;

/// The deepest document that serde_json reads without unbounded recursion.
const PARSER_DEPTH: usize = 127;

/// What a document may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document, and of the text that YAML aliases may expand to.
    pub bytes: usize,
    /// Objects and lists inside one another; at most 127 are ever read.
    pub depth: usize,
}

impl Default for Limits {
    /// 3 MiB, as the API server of Kubernetes accepts, and 100 levels.
    fn default() -> Self {
        Limits { bytes: 3 * 1024 * 1024, depth: 100 }
    }
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The document.
    pub value: Value,
    /// Paths of keys that were given more than once: `spec.size`.
    pub duplicates: Vec<String>,
}

/// Why a document could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message says what the variant means")]
pub enum DecodeError {
    #[error("the document has {size} bytes and may have {limit}: send less")]
    TooLarge { size: usize, limit: usize },
    #[error("the document is not UTF-8: the byte at offset {offset} does not belong to a character")]
    NotUtf8 { offset: usize },
    #[error("line {line} column {column}: {message}")]
    Syntax { line: usize, column: usize, message: String },
}

/// Reads JSON.
pub fn decode_json(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    check_size(bytes, limits)?;
    let state = RefCell::new(State::new(limits));
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed { state: &state, at: &Path::ROOT, depth: 0 };
    let value = seed.deserialize(&mut parser).and_then(|value| parser.end().map(|()| value)).map_err(|error| {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        DecodeError::Syntax { line: error.line(), column: error.column(), message }
    })?;
    Ok(Decoded { value, duplicates: state.into_inner().duplicates })
}

/// Reads one YAML document.
pub fn decode_yaml(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    check_size(bytes, limits)?;
    let text = std::str::from_utf8(bytes).map_err(|e| DecodeError::NotUtf8 { offset: e.valid_up_to() })?;
    let state = RefCell::new(State::new(limits));
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, yaml_options(limits), |parser| {
        Seed { state: &state, at: &Path::ROOT, depth: 0 }.deserialize(parser)
    })
    .map_err(|error| {
        let place = error.location();
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        DecodeError::Syntax {
            line: place.map_or(0, |p| number(p.line())),
            column: place.map_or(0, |p| number(p.column())),
            message: yaml_message(error.without_snippet(), limits),
        }
    })?;
    Ok(Decoded { value, duplicates: state.into_inner().duplicates })
}

/// What the parser found wrong; where it met a limit, which one and what to do.
fn yaml_message(error: &serde_saphyr::Error, limits: &Limits) -> String {
    use serde_saphyr::{Error, budget::BudgetBreach};
    match error {
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            "there is more than one document: send one object at a time".to_owned()
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            let limit = limits.depth.min(PARSER_DEPTH);
            format!("nested more than {limit} levels deep: make the object flatter")
        }
        Error::Budget { .. } => {
            "the document has more values, anchors or aliases than are read: write less, or send JSON".to_owned()
        }
        other => {
            let text = other.to_string();
            let end = text.rfind(" at line ").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    if bytes.len() > limits.bytes {
        return Err(DecodeError::TooLarge { size: bytes.len(), limit: limits.bytes });
    }
    Ok(())
}

fn yaml_options(limits: &Limits) -> serde_saphyr::Options {
    let depth = limits.depth.min(PARSER_DEPTH);
    serde_saphyr::options! {
        // Ours sees each key, and reports the second one.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: depth + 1,
            flow_nesting_limit: depth + 1,
            max_documents: 1,
            max_nodes: 500_000,
            max_events: 1_000_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: limits.bytes,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: depth,
            max_alias_expansions_per_anchor: 1_000,
        },
    }
}

/// What a pass gathers beside the value.
struct State {
    duplicates: Vec<String>,
    depth: usize,
    /// Bytes of text that may still be built; only aliases can use up more than the document has.
    text: usize,
}

impl State {
    fn new(limits: &Limits) -> Self {
        State { duplicates: Vec::new(), depth: limits.depth.min(PARSER_DEPTH), text: limits.bytes.saturating_mul(2) }
    }
}

/// Builds the value at one path.
#[derive(Clone, Copy)]
struct Seed<'a> {
    state: &'a RefCell<State>,
    at: &'a Path<'a>,
    depth: usize,
}

impl Seed<'_> {
    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        let limit = self.state.borrow().depth;
        if self.depth >= limit {
            let at = clip(&self.at.to_string(), 200).to_owned();
            return Err(E::custom(format!("{at} is nested more than {limit} levels deep: make the object flatter")));
        }
        Ok(())
    }

    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let mut state = self.state.borrow_mut();
        state.text = state.text.checked_sub(bytes).ok_or_else(|| {
            E::custom("aliases expand to more text than an object may have: write the values out or use fewer")
        })?;
        Ok(())
    }
}

/// At most so many bytes of a text, cut between characters.
fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    &text[..end]
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        let number = Number::from_f64(v).ok_or_else(|| E::custom("a number must be finite: JSON has no .nan or .inf"));
        number.map(Value::Number)
    }

    fn visit_i128<E: serde::de::Error>(self, v: i128) -> Result<Value, E> {
        self.visit_f64(v as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, v: u128) -> Result<Value, E> {
        self.visit_f64(v as f64)
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Value, E> {
        self.spend(v.len())?;
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, v: String) -> Result<Value, E> {
        self.spend(v.len())?;
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut items = Vec::new();
        loop {
            let at = self.at.index(items.len());
            let Some(item) = seq.next_element_seed(Seed { at: &at, depth: self.depth + 1, ..self })? else { break };
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.spend(key.len())?;
            let at = self.at.field(&key);
            let value = map.next_value_seed(Seed { at: &at, depth: self.depth + 1, ..self })?;
            if fields.contains_key(&key) {
                let mut state = self.state.borrow_mut();
                if state.duplicates.len() < MAX_DUPLICATES {
                    state.duplicates.push(at.to_string());
                }
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(E::custom("binary data is not JSON: write it as a base64 string"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_of(text: &str) -> Result<Decoded, DecodeError> {
        decode_json(text.as_bytes(), &Limits::default())
    }

    fn yaml_of(text: &str) -> Result<Decoded, DecodeError> {
        decode_yaml(text.as_bytes(), &Limits::default())
    }

    #[track_caller]
    fn check_yaml(text: &str, expected: Value) {
        assert_eq!(yaml_of(text).unwrap().value, expected, "{text}");
    }

    #[test]
    fn numbers_keep_their_kind() {
        let value = json_of(r#"[1, -9223372036854775808, 18446744073709551615, 1.0, 1e3]"#).unwrap().value;
        assert_eq!(value.to_string(), "[1,-9223372036854775808,18446744073709551615,1.0,1000.0]");
        assert!(value[3].is_f64() && value[0].is_i64() && value[2].is_u64());
    }

    #[test]
    fn the_last_of_two_keys_wins_and_is_reported() {
        let text = r#"{"spec":{"size":1,"size":2,"ports":[{"a":1},{"a":1,"a":3}]}}"#;
        let decoded = json_of(text).unwrap();
        assert_eq!(decoded.value, json!({"spec": {"size": 2, "ports": [{"a": 1}, {"a": 3}]}}));
        assert_eq!(decoded.duplicates, ["spec.size", "spec.ports[1].a"]);
        let decoded = yaml_of("spec:\n  size: 1\n  size: 2\n").unwrap();
        assert_eq!(decoded.value, json!({"spec": {"size": 2}}));
        assert_eq!(decoded.duplicates, ["spec.size"]);
    }

    #[test]
    fn broken_json_says_where() {
        let error = json_of("{\n  \"a\": }").unwrap_err().to_string();
        assert_eq!(error, "line 2 column 8: expected value");
        let error = json_of("{} {}").unwrap_err().to_string();
        assert_eq!(error, "line 1 column 4: trailing characters");
        assert!(json_of("").is_err());
    }

    #[test]
    fn depth_is_refused_by_name() {
        for decode in [decode_json, decode_yaml] {
            let text = format!("{{\"data\":{}1{}}}", "[".repeat(99), "]".repeat(99));
            assert!(decode(text.as_bytes(), &Limits::default()).is_ok());
            let text = format!("{{\"data\":{}1{}}}", "[".repeat(100), "]".repeat(100));
            assert!(decode(text.as_bytes(), &Limits::default()).is_err());
            let text = format!("{{\"data\":{}", "[".repeat(100_000));
            assert!(decode(text.as_bytes(), &Limits::default()).is_err());
        }
        let text = format!("{{\"data\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        let error = json_of(&text).unwrap_err().to_string();
        assert!(error.contains("data[0][0]") && error.contains("more than 100 levels"), "{error}");
    }

    #[test]
    fn size_is_bounded() {
        let limits = Limits { bytes: 4, depth: 5 };
        assert_eq!(decode_json(b"[1, 2]", &limits), Err(DecodeError::TooLarge { size: 6, limit: 4 }));
    }

    #[test]
    fn yaml_is_read_as_json() {
        check_yaml(
            "a: 1\nb: \"1\"\nc: 1.5\nd: true\ne: null\nf: ~\ng: text",
            json!({
                "a": 1, "b": "1", "c": 1.5, "d": true, "e": null, "f": null, "g": "text"
            }),
        );
        check_yaml("a: &x {n: 1}\nb: *x", json!({"a": {"n": 1}, "b": {"n": 1}}));
        check_yaml("a: |\n  x\n  y\n", json!({"a": "x\ny\n"}));
        check_yaml("{\"a\": [1, {\"b\": \"c\"}]}", json!({"a": [1, {"b": "c"}]}));
        check_yaml("80: x", json!({"80": "x"}));
        check_yaml("v: 1.10.2\nm: 0644", json!({"v": "1.10.2", "m": 420}));
    }

    #[test]
    fn yaml_is_one_document_with_a_place_for_errors() {
        let error = yaml_of("a: 1\n---\nb: 2\n").unwrap_err().to_string();
        assert!(error.ends_with("there is more than one document: send one object at a time"), "{error}");
        let error = yaml_of("a: 1\nb: [1\n").unwrap_err();
        assert!(matches!(error, DecodeError::Syntax { line: 2 | 3, .. }), "{error:?}");
        assert!(matches!(decode_yaml(&[0xff], &Limits::default()), Err(DecodeError::NotUtf8 { offset: 0 })));
    }

    #[test]
    fn yaml_bombs_are_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let item = format!("*a{}", i - 1);
            text += &format!("a{i}: &a{i} [{}]\n", [item.as_str(); 9].join(","));
        }
        assert!(yaml_of(&text).is_err());
        let big = format!("a: &a {}\nb: [{}]\n", "y".repeat(1_000_000), ["*a"; 500].join(","));
        assert!(yaml_of(&big).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn nothing_that_is_sent_can_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_json(&bytes, &Limits::default());
            let _ = decode_yaml(&bytes, &Limits::default());
        }

        #[test]
        fn yaml_like_text_cannot_panic(text in "[\\[\\]{}:,&*!|>a0\\-\"' \n#?%@.]{0,80}") {
            let _ = decode_yaml(text.as_bytes(), &Limits::default());
            let _ = decode_json(text.as_bytes(), &Limits::default());
        }
    }
}
