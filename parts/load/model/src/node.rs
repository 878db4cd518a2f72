//! A YAML document as a tree whose nodes know their lines.
//!
//! Script files are small and written by hand, so what counts is that a mistake is found and named. The document is read
//! into a tree within narrow limits; [`Field`](crate::field::Field) then takes values out of it.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, budget::BudgetBreach};

/// The largest script.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// How deep values are nested.
const MAX_DEPTH: usize = 32;

/// A value and its line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub line: u64,
    /// What it is.
    pub value: Value,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Fields in their order, with the lines of their names.
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Its name.
    pub key: String,
    /// The line of its name.
    pub line: u64,
    /// Its value.
    pub node: Node,
}

/// What is wrong with a document, and in which line.
#[derive(Debug)]
pub(crate) struct NodeError {
    pub line: Option<u64>,
    pub message: String,
}

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Node, NodeError> {
    if text.len() > MAX_BYTES {
        return Err(NodeError {
            line: None,
            message: format!("it has {} bytes; {MAX_BYTES} are read at most", text.len()),
        });
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let line = error.location().map(|place| place.line()).filter(|line| *line > 0);
        NodeError { line, message: message(error.without_snippet()) }
    })
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
            max_nodes: 50_000,
            max_events: 200_000,
            max_aliases: 1_000,
            max_anchors: 100,
            max_total_scalar_bytes: MAX_BYTES,
        },
        // Aliases may use a block of headers again, not grow a file.
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 50_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 1_000,
        },
    }
}

fn message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            "there is more than one document".to_owned()
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            format!("values are nested more than {MAX_DEPTH} deep")
        }
        Error::Budget { .. } => "there are more values, anchors or aliases than are read".to_owned(),
        other => {
            let text = other.to_string();
            let end = text.find(" at line ").or(text.find('\n')).unwrap_or(text.len());
            text.get(..end).unwrap_or_default().to_owned()
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("text, a number, true, false, a list or fields")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = map.next_key::<Node>()? {
            let name = match key.value {
                Value::Text(name) => name,
                // As JSON would have it.
                Value::Integer(number) => number.to_string(),
                _ => return Err(A::Error::custom("the name of a field must be text: put it between quotes")),
            };
            entries.push(Entry { key: name, line: key.line, node: map.next_value()? });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(node: &Node) -> String {
        let value = match &node.value {
            Value::List(items) => format!("[{}]", items.iter().map(dump).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let all = entries.iter().map(|e| format!("{}@{}={}", e.key, e.line, dump(&e.node)));
                format!("{{{}}}", all.collect::<Vec<_>>().join(" "))
            }
            other => format!("{other:?}"),
        };
        format!("{value}@{}", node.line)
    }

    #[test]
    fn nodes_know_their_lines() {
        let text = "a: 1\n# note\nb:\n  - x\n  - {c: no, d: 1.5}\ne: |\n  two\n  lines\nf:\n";
        let expected = "{a@1=Integer(1)@1 b@3=[Text(\"x\")@4 {c@5=Text(\"no\")@5 d@5=Float(1.5)@5}@5]@4 \
                        e@6=Text(\"two\\nlines\\n\")@7 f@9=Null@9}@1";
        assert_eq!(dump(&parse(text).unwrap()), expected);
        let text = "a: &h\n  b: 1\nc: *h\nd:\n  <<: *h\n  e: true\n";
        let found = dump(&parse(text).unwrap());
        assert!(found.contains("c@3={b@3=Integer(1)@3}@3 "), "{found}");
        assert!(found.contains("e@6=Bool(true)@6"), "{found}");
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_line() {
        let check = |text: &str, line: Option<u64>, expected: &str| {
            let failed = parse(text).unwrap_err();
            assert!(failed.message.contains(expected) && !failed.message.contains('\n'), "{failed:?}");
            assert_eq!(failed.line, line, "{failed:?}");
        };
        check("a: 1\na: 2\n", Some(2), "duplicate");
        check("a: [1\nb: 2\n", Some(2), "");
        check("a: 1\n---\nb: 1\n", Some(2), "more than one document");
        check("[a]: a\n", None, "must be text");
        check(&"[".repeat(40), Some(1), "");
        check(&"- ".repeat(40), Some(1), "nested more than 32 deep");
        check(&"[".repeat(10_000), Some(1), "recursion limit");
        check(&"x".repeat(MAX_BYTES + 1), None, "1048576 are read at most");
        let bomb = format!(
            "a: &a [x,x,x,x,x,x,x,x,x]\n{}",
            (b'b'..=b'h')
                .map(|c| {
                    let (c, p) = (c as char, (c - 1) as char);
                    format!("{c}: &{c} [{}]\n", vec![format!("*{p}"); 9].join(","))
                })
                .collect::<String>()
        );
        assert!(parse(&bomb).is_err());
    }
}
