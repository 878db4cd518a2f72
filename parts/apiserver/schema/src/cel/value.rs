//! JSON values as CEL sees them, by their schema.
//!
//! Names of fields that CEL cannot write are escaped (`__dot__`, `__namespace__`), keys of maps are not; strings
//! with the formats date-time, date, duration and byte become timestamps, durations and bytes.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use kube_cel::cel::objects::{Key, Map, Value as Cel};
use serde_json::Value;

use crate::format::duration_nanos;
use crate::{Format, Schema, Type};

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name by which an expression reads a field.
pub(crate) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return name.to_owned();
    }
    name.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}

/// A value for CEL.
pub(crate) fn to_cel(value: &Value, schema: &Schema) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (_, Some(float)) if schema.ty == Type::Number => Cel::Float(float),
            (Some(int), _) => Cel::Int(int),
            (None, Some(float)) if schema.ty == Type::Integer && float.fract() == 0.0 && float.abs() < 9.2e18 => {
                Cel::Int(float as i64)
            }
            (None, Some(float)) => Cel::Float(float),
            (None, None) => Cel::Null,
        },
        Value::String(text) => string(text, schema),
        Value::Array(items) => {
            let below = schema.items.as_deref().unwrap_or(any());
            Cel::List(Arc::new(items.iter().map(|item| to_cel(item, below)).collect()))
        }
        Value::Object(fields) => {
            let map: HashMap<Key, Cel> = fields.iter().map(|(name, value)| entry(name, value, schema)).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn entry(name: &str, value: &Value, schema: &Schema) -> (Key, Cel) {
    let (key, below) = match (schema.properties.get(name), &schema.additional) {
        (Some(below), _) => (escape(name), &**below),
        (None, Some(below)) => (name.to_owned(), &**below),
        (None, None) if schema.ty == Type::Object => (escape(name), any()),
        (None, None) => (name.to_owned(), any()),
    };
    (Key::String(Arc::new(key)), to_cel(value, below))
}

/// The schema of what nothing is known about.
fn any() -> &'static Schema {
    static ANY: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(Schema::default);
    &ANY
}

fn string(text: &str, schema: &Schema) -> Cel {
    let format = schema.checks.as_ref().and_then(|checks| checks.format);
    let special = match format {
        Some(Format::DateTime) => text.parse().ok().map(Cel::Timestamp),
        Some(Format::Date) => format!("{text}T00:00:00Z").parse().ok().map(Cel::Timestamp),
        Some(Format::Duration) => duration_nanos(text).and_then(duration),
        Some(Format::Byte) => {
            base64::engine::general_purpose::STANDARD.decode(text).ok().map(|b| Cel::Bytes(Arc::new(b)))
        }
        _ => None,
    };
    special.unwrap_or_else(|| Cel::String(Arc::new(text.to_owned())))
}

/// A duration, taken from the library's own reader: its type is not ours to name.
fn duration(nanos: i64) -> Option<Cel> {
    let program = kube_cel::cel::Program::compile(&format!("duration('{nanos}ns')")).ok()?;
    program.execute(&kube_cel::cel::Context::default()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_kubernetes_does() {
        for (name, escaped) in [
            ("size", "size"),
            ("a_b", "a_b"),
            ("namespace", "__namespace__"),
            ("x-prop", "x__dash__prop"),
            ("a.b/c", "a__dot__b__slash__c"),
            ("redact__d", "redact__underscores__d"),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }
}
