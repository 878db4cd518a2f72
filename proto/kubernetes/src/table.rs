//! The descriptors of messages: `messages.txt`, read once on first use.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The type of a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    Int32,
    Int64,
    Double,
    String,
    Bytes,
    /// `meta/v1.Time`: seconds and nanoseconds; JSON has whole seconds.
    Time,
    /// `meta/v1.MicroTime`: JSON has microseconds.
    MicroTime,
    /// `resource.Quantity`: a message with one string.
    Quantity,
    /// `intstr.IntOrString`: a discriminator, a number and a string.
    IntOrString,
    /// JSON within a message of one field (`RawExtension`, `FieldsV1`, `JSON`).
    Json,
    /// A list of strings within a message of one field (`ExtraValue`).
    Strings,
    /// Another message, by its place in the table.
    Message(usize),
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A plain Go field: zero where it is not on the wire.
    Plain,
    /// A Go pointer: absent where it is not on the wire.
    Pointer,
    List,
    Map,
}

/// One field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The JSON name; none for an embedded message, whose fields are the outer one's.
    pub(crate) name: Option<&'static str>,
    pub(crate) shape: Shape,
    pub(crate) ty: Type,
    /// Written to JSON even where it is zero.
    pub(crate) keep_zero: bool,
}

/// A message, or a union: a message of which JSON shows only the first field that is there.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) union: bool,
    pub(crate) fields: Vec<Field>,
}

/// All messages, and which of them are whole bodies.
pub(crate) struct Table {
    messages: Vec<Message>,
    kinds: HashMap<(&'static str, &'static str), usize>,
}

impl Table {
    /// The table that is compiled in.
    pub(crate) fn get() -> &'static Table {
        static TABLE: LazyLock<Table> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
            Table::parse(include_str!("messages.txt")).expect("messages.txt is well-formed")
        });
        &TABLE
    }

    /// The message of a kind; kinds of meta/v1 (DeleteOptions, ...) occur in every apiVersion.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<&Message> {
        let index = self.kinds.get(&(api_version, kind)).or_else(|| self.kinds.get(&("*", kind)))?;
        Some(self.message(*index))
    }

    /// The message at a place that a [`Type::Message`] names.
    pub(crate) fn message(&self, index: usize) -> &Message {
        &self.messages[index]
    }

    fn parse(text: &'static str) -> Result<Table, String> {
        let places = places(text);
        let mut table = Table { messages: Vec::with_capacity(places.len()), kinds: HashMap::new() };
        let (mut package, mut api_version) = ("", "");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            match (word(), word()) {
                ("package", name) => (package, api_version) = (name, word()),
                (head @ ("message" | "kind" | "union"), name) => {
                    if head == "kind" {
                        table.kinds.insert((api_version, name), table.messages.len());
                    }
                    table.messages.push(Message { name, union: head == "union", fields: Vec::new() });
                }
                (number, name) => {
                    let number = number.parse().map_err(|_| format!("no field number: {line}"))?;
                    let (shape, ty) = shape(word());
                    let ty = scalar(ty)
                        .or_else(|| Some(Type::Message(*places.get(&qualified(package, ty))?)))
                        .ok_or_else(|| format!("unknown type: {line}"))?;
                    let keep_zero = match (word(), ty) {
                        ("always", _) => true,
                        ("omitzero", _) => false,
                        ("", Type::Message(_) | Type::IntOrString | Type::Quantity) => true,
                        ("", _) => false,
                        _ => return Err(format!("unknown flag: {line}")),
                    };
                    let name = (name != ".").then_some(name);
                    let message = table.messages.last_mut().ok_or_else(|| format!("outside of a message: {line}"))?;
                    message.fields.push(Field { number, name, shape, ty, keep_zero });
                }
            }
        }
        Ok(table)
    }
}

/// Each message's place, under `package.Message`.
fn places(text: &'static str) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    let mut package = "";
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("package", rest)) => package = rest.split(' ').next().unwrap_or_default(),
            Some(("message" | "kind" | "union", name)) => {
                places.insert(qualified(package, name), places.len());
            }
            _ => {}
        }
    }
    places
}

fn qualified(package: &str, name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{package}.{name}") }
}

fn shape(word: &'static str) -> (Shape, &'static str) {
    [("*", Shape::Pointer), ("[]", Shape::List), ("{}", Shape::Map)]
        .into_iter()
        .find_map(|(prefix, shape)| Some((shape, word.strip_prefix(prefix)?)))
        .unwrap_or((Shape::Plain, word))
}

fn scalar(word: &str) -> Option<Type> {
    Some(match word {
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "quantity" => Type::Quantity,
        "intorstring" => Type::IntOrString,
        "json" => Type::Json,
        "strings" => Type::Strings,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_table_is_sound() {
        let table = Table::parse(include_str!("messages.txt")).expect("well-formed");
        for message in &table.messages {
            let mut numbers: Vec<_> = message.fields.iter().map(|f| f.number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), message.fields.len(), "{} has a field number twice", message.name);
            for field in &message.fields {
                let embeds = matches!((field.shape, field.ty), (Shape::Plain, Type::Message(_)));
                assert!(field.name.is_some() || embeds, "{} embeds what is no message", message.name);
            }
        }
        assert_eq!(table.kind("v1", "Pod").expect("Pod").name, "Pod");
        assert_eq!(table.kind("apps/v1", "DeleteOptions").expect("DeleteOptions").name, "DeleteOptions");
        assert!(table.kind("v1", "ObjectMeta").is_none());
        assert!(table.kind("apps/v1", "Pod").is_none());
    }

    #[test]
    fn refuses_a_wrong_table() {
        for (text, problem) in [
            ("package a v1\nmessage M\n1 name strin", "unknown type: 1 name strin"),
            ("package a v1\nmessage M\nx name string", "no field number: x name string"),
            ("package a v1\nmessage M\n1 name string often", "unknown flag: 1 name string often"),
            ("package a v1\n1 name string", "outside of a message: 1 name string"),
        ] {
            assert_eq!(Table::parse(text).err().as_deref(), Some(problem));
        }
    }
}
