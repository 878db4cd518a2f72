//! The OpenAPI v2 document in protobuf, the only form in which kubectl takes it.
//!
//! The messages are those of gnostic's `openapiv2/OpenAPIv2.proto`, written as tables here: which key of the JSON
//! document goes into which field. What the schema wraps in a message of one field (`ItemsItem`, `ResponseValue` and
//! so on) is a chain of numbers. Keys that begin with `x-` go into the field of extensions, as YAML, of which JSON is
//! a part.

use serde_json::Value;

/// A message that has a table.
#[derive(Clone, Copy)]
enum Message {
    Document,
    Info,
    PathItem,
    Operation,
    Parameter,
    Response,
    Schema,
    ApiKey,
}

use Message::{ApiKey, Document, Info, Operation, Parameter, PathItem, Response, Schema};

/// How a value is written.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Texts,
    Bool,
    Int,
    Double,
    /// Any value, as YAML.
    Any,
    Anys,
    /// A text in the one field of a message.
    WrappedText,
    /// One message, in a chain of messages of one field.
    One(&'static [u32], Message),
    /// A list of messages.
    Many(Message),
    /// A map, as a message that has this field for each entry: its name, and the message in a chain.
    Map(u32, &'static [u32], Message),
    Parameters,
    /// Names that each have no scopes.
    Security,
}

use Shape::{Any, Anys, Bool, Double, Int, Many, Map, One, Parameters, Security, Text, Texts, WrappedText};

type Field = (&'static str, u32, Shape);

/// The fields of a message by their keys, and the number of its extensions.
fn table(message: Message) -> (&'static [Field], u32) {
    match message {
        Document => (
            &[
                ("swagger", 1, Text),
                ("info", 2, One(&[], Info)),
                ("paths", 8, Map(2, &[], PathItem)),
                ("definitions", 9, Map(1, &[], Schema)),
                ("security", 12, Security),
                ("securityDefinitions", 13, Map(1, &[2], ApiKey)),
            ],
            16,
        ),
        Info => (&[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], 7),
        PathItem => (
            &[
                ("get", 2, One(&[], Operation)),
                ("put", 3, One(&[], Operation)),
                ("post", 4, One(&[], Operation)),
                ("delete", 5, One(&[], Operation)),
                ("options", 6, One(&[], Operation)),
                ("head", 7, One(&[], Operation)),
                ("patch", 8, One(&[], Operation)),
                ("parameters", 9, Parameters),
            ],
            10,
        ),
        Operation => (
            &[
                ("tags", 1, Texts),
                ("summary", 2, Text),
                ("description", 3, Text),
                ("operationId", 5, Text),
                ("produces", 6, Texts),
                ("consumes", 7, Texts),
                ("parameters", 8, Parameters),
                ("responses", 9, Map(1, &[1], Response)),
                ("schemes", 10, Texts),
                ("deprecated", 11, Bool),
            ],
            13,
        ),
        // In the body, it has a message of its own; in the path, numbers from `type` on are smaller: see `parameter`.
        Parameter => (
            &[
                ("required", 1, Bool),
                ("in", 2, Text),
                ("description", 3, Text),
                ("name", 4, Text),
                ("allowEmptyValue", 5, Bool),
                ("type", 6, Text),
                ("format", 7, Text),
                ("uniqueItems", 20, Bool),
            ],
            23,
        ),
        Response => (&[("description", 1, Text), ("schema", 2, One(&[1], Schema))], 5),
        Schema => (
            &[
                ("$ref", 1, Text),
                ("format", 2, Text),
                ("title", 3, Text),
                ("description", 4, Text),
                ("default", 5, Any),
                ("multipleOf", 6, Double),
                ("maximum", 7, Double),
                ("exclusiveMaximum", 8, Bool),
                ("minimum", 9, Double),
                ("exclusiveMinimum", 10, Bool),
                ("maxLength", 11, Int),
                ("minLength", 12, Int),
                ("pattern", 13, Text),
                ("maxItems", 14, Int),
                ("minItems", 15, Int),
                ("uniqueItems", 16, Bool),
                ("maxProperties", 17, Int),
                ("minProperties", 18, Int),
                ("required", 19, Texts),
                ("enum", 20, Anys),
                ("additionalProperties", 21, One(&[1], Schema)),
                ("type", 22, WrappedText),
                ("items", 23, One(&[1], Schema)),
                ("allOf", 24, Many(Schema)),
                ("properties", 25, Map(1, &[], Schema)),
                ("example", 30, Any),
            ],
            31,
        ),
        ApiKey => (&[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)], 5),
    }
}

/// The document of [`crate::openapi_v2`] as `openapi.v2.Document`.
pub fn encode(document: &Value) -> Vec<u8> {
    message(document, Document)
}

fn message(value: &Value, kind: Message) -> Vec<u8> {
    let (fields, extensions) = table(kind);
    let mut out = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        if key.starts_with("x-") {
            put(&mut out, extensions, &named(key, &yaml(value)));
        } else if let Some((_, number, shape)) = fields.iter().find(|(name, ..)| name == key) {
            field(&mut out, *number, *shape, value);
        }
    }
    out
}

fn field(out: &mut Vec<u8>, number: u32, shape: Shape, value: &Value) {
    let items = || value.as_array().into_iter().flatten();
    let entries = || value.as_object().into_iter().flatten();
    match shape {
        Text => put(out, number, text(value)),
        Texts => items().for_each(|item| put(out, number, text(item))),
        Bool => put_number(out, number, value.as_bool().unwrap_or_default().into()),
        // Negative numbers are none that a length can have.
        Int => put_number(out, number, value.as_u64().unwrap_or_default()),
        Double => {
            varint(out, u64::from(number) << 3 | 1);
            out.extend(value.as_f64().unwrap_or_default().to_le_bytes());
        }
        Any => put(out, number, &yaml(value)),
        Anys => items().for_each(|item| put(out, number, &yaml(item))),
        WrappedText => put(out, number, &wrapped(&[1], text(value).to_vec())),
        One(chain, kind) => put(out, number, &wrapped(chain, message(value, kind))),
        Many(kind) => items().for_each(|item| put(out, number, &message(item, kind))),
        Map(entry, chain, kind) => {
            let mut all = Vec::new();
            entries()
                .for_each(|(name, value)| put(&mut all, entry, &named(name, &wrapped(chain, message(value, kind)))));
            put(out, number, &all);
        }
        Parameters => items().for_each(|item| put(out, number, &parameter(item))),
        Security => {
            for (name, _) in items().filter_map(Value::as_object).flatten() {
                put(out, number, &wrapped(&[1], named(name, &[])));
            }
        }
    }
}

/// A `ParametersItem`: the parameter in messages that say where it is.
fn parameter(value: &Value) -> Vec<u8> {
    match value["in"].as_str() {
        Some("body") => {
            let mut body = Vec::new();
            for (key, number, shape) in
                [("description", 1, Text), ("name", 2, Text), ("in", 3, Text), ("required", 4, Bool)]
            {
                value.get(key).into_iter().for_each(|value| field(&mut body, number, shape, value));
            }
            field(&mut body, 5, One(&[], Schema), &value["schema"]);
            wrapped(&[1, 1], body)
        }
        Some("path") => {
            let (fields, _) = table(Parameter);
            let mut path = Vec::new();
            for (key, number, shape) in fields.iter().filter(|(key, ..)| *key != "allowEmptyValue") {
                let number = if *number > 5 { number - 1 } else { *number };
                value.get(key).into_iter().for_each(|value| field(&mut path, number, *shape, value));
            }
            wrapped(&[1, 2, 4], path)
        }
        _ => wrapped(&[1, 2, 3], message(value, Parameter)),
    }
}

fn named(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, 1, name.as_bytes());
    put(&mut out, 2, value);
    out
}

/// `Any`: a text of YAML.
fn yaml(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, 2, value.to_string().as_bytes());
    out
}

/// The bytes in messages of one field, the outermost first.
fn wrapped(chain: &[u32], bytes: Vec<u8>) -> Vec<u8> {
    chain.iter().rev().fold(bytes, |inner, number| {
        let mut out = Vec::with_capacity(inner.len() + 6);
        put(&mut out, *number, &inner);
        out
    })
}

fn text(value: &Value) -> &[u8] {
    value.as_str().unwrap_or_default().as_bytes()
}

fn put(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    varint(out, u64::from(number) << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The bytes as protoc's `--decode_raw` writes them: numbers, texts, and messages where a text would not be printed.
    fn raw(mut bytes: &[u8]) -> Option<String> {
        let mut out = String::new();
        let take = |bytes: &mut &[u8]| -> Option<u64> {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let (byte, rest) = bytes.split_first()?;
                *bytes = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return Some(value);
                }
            }
            None
        };
        while !bytes.is_empty() {
            let tag = take(&mut bytes)?;
            out.push_str(&format!("{}", tag >> 3));
            match tag & 7 {
                0 => out.push_str(&format!(":{} ", take(&mut bytes)?)),
                1 => {
                    let (double, rest) = bytes.split_first_chunk::<8>()?;
                    bytes = rest;
                    out.push_str(&format!(":{:?} ", f64::from_le_bytes(*double)));
                }
                2 => {
                    let length = take(&mut bytes)? as usize;
                    let (inner, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    match std::str::from_utf8(inner) {
                        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => {
                            out.push_str(&format!("={text} "));
                        }
                        _ => out.push_str(&format!("{{{}}} ", raw(inner)?.trim_end())),
                    }
                }
                _ => return None,
            }
        }
        Some(out)
    }

    #[track_caller]
    fn check(kind: Message, value: Value, expected: &str) {
        assert_eq!(raw(&message(&value, kind)).unwrap().trim_end(), expected, "{value}");
    }

    #[test]
    fn messages() {
        check(Info, json!({"title": "Kubernetes", "version": "unversioned"}), "1=Kubernetes 2=unversioned");
        let schema = json!({
            "type": "object", "required": ["a", "b"], "minimum": 0.5, "maxLength": 300, "nobody": 1,
            "properties": {"a": {"$ref": "#/definitions/A"}, "b": {"type": "array", "items": {"enum": ["x", 1]}}},
            "additionalProperties": {"default": {}, "uniqueItems": true},
            "x-list": ["k"],
        });
        check(
            Schema,
            schema,
            "22{1=object} 19=a 19=b 9:0.5 11:300 \
             25{1{1=a 2{1=#/definitions/A}} 1{1=b 2{22{1=array} 23{1{20{2=\"x\"} 20{2=1}}}}}} \
             21{1{5{2={}} 16:1}} 31{1=x-list 2{2=[\"k\"]}}",
        );
        let operation = json!({
            "operationId": "read",
            "parameters": [
                {"in": "body", "name": "body", "required": true, "schema": {"type": "object"}},
                {"in": "path", "name": "name", "type": "string", "uniqueItems": true, "required": true},
                {"in": "query", "name": "limit", "type": "integer", "uniqueItems": true},
            ],
            "responses": {"200": {"description": "OK", "schema": {"type": "object"}}},
        });
        check(
            Operation,
            operation,
            "5=read 8{1{1{2=body 3=body 4:1 5{22{1=object}}}}} \
             8{1{2{4{1:1 2=path 4=name 5=string 19:1}}}} 8{1{2{3{2=query 4=limit 6=integer 20:1}}}} \
             9{1{1=200 2{1{1=OK 2{1{22{1=object}}}}}}}",
        );
        let document = json!({
            "swagger": "2.0",
            "paths": {"/api": {"get": {"operationId": "x"}}},
            "definitions": {"A": {"type": "object"}},
            "securityDefinitions": {"Token": {"type": "apiKey", "in": "header"}},
            "security": [{"Token": []}],
        });
        check(
            Document,
            document,
            "1=2.0 8{2{1=/api 2{2{5=x}}}} 9{1{1=A 2{22{1=object}}}} 13{1{1=Token 2{2{1=apiKey 3=header}}}} \
             12{1{1=Token 2{}}}",
        );
    }
}
