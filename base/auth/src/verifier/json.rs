//! JSON as tokens and key sets have it, read strictly: RFC 8259 with limits of depth and count, no member twice.
//!
//! A parser that takes the first of two equal members and one that takes the last see different tokens, which is an
//! attack; so a document with any is refused, however deep it stands. An object is a list in the order of the text: it
//! is small, read once and searched a few times, so a map would only cost.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A name of a member; those that most tokens have take no memory.
pub type Name = Cow<'static, str>;
/// The members of an object.
pub type Members = Vec<(Name, Json)>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Box<str>),
    /// An array.
    List(Vec<Json>),
    /// An object, without duplicate names.
    Object(Members),
}

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON, or no object.
    #[error("it is not a JSON object")]
    Syntax,
    /// A member stands there twice.
    #[error("an object has a member twice")]
    Duplicate,
    /// It is nested too deeply.
    #[error("it is nested too deeply")]
    Deep,
    /// It has too many values.
    #[error("it has too many values")]
    Long,
}

/// How much a document may hold. Its size is checked before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Objects and arrays within each other.
    pub(crate) depth: u8,
    /// Values of all kinds together.
    pub(crate) values: u16,
}

/// Reads an object.
pub(crate) fn parse(text: &[u8], limits: Limits) -> Result<Members, JsonError> {
    let document = Document { values: Cell::new(limits.values), fault: Cell::new(JsonError::Syntax) };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let seed = Seed { document: &document, depth: limits.depth };
    let read = reader.deserialize_map(seed).and_then(|json| reader.end().map(|()| json));
    match read {
        Ok(Json::Object(members)) => Ok(members),
        _ => Err(document.fault.get()),
    }
}

/// The member of that name.
pub(crate) fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Json> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

impl Json {
    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The strings, if it is one or a list of nothing else.
    pub fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Json::Text(text) => Some(vec![text]),
            Json::List(list) => list.iter().map(Json::text).collect(),
            _ => None,
        }
    }

    /// Compact JSON.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            // To write into a string cannot fail.
            Json::Number(number) => drop(write!(out, "{number}")),
            Json::Text(text) => quote(text, out),
            Json::List(list) => {
                out.push('[');
                for (i, value) in list.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    value.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// Bytes that it takes beyond its own size, about.
    pub(crate) fn heap(&self) -> usize {
        match self {
            Json::Null | Json::Bool(_) | Json::Number(_) => 0,
            Json::Text(text) => text.len(),
            Json::List(list) => list.capacity() * size_of::<Json>() + list.iter().map(Json::heap).sum::<usize>(),
            Json::Object(members) => heap(members),
        }
    }
}

/// Bytes that the members take.
pub(crate) fn heap(members: &Members) -> usize {
    let inner = members.iter().map(|(name, value)| name.len() + value.heap());
    members.capacity() * size_of::<(Name, Json)>() + inner.sum::<usize>()
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What a reading has used up, and what went wrong: serde's errors are texts, which say too much.
struct Document {
    values: Cell<u16>,
    fault: Cell<JsonError>,
}

impl Document {
    fn fail<E: serde::de::Error>(&self, fault: JsonError) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    document: &'a Document,
    depth: u8,
}

impl Seed<'_> {
    /// For what stands inside of an object or array.
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Seed { depth, ..self }),
            None => Err(self.document.fail(JsonError::Deep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        match self.document.values.get().checked_sub(1) {
            Some(left) => self.document.values.set(left),
            None => return Err(self.document.fail(JsonError::Long)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom(JsonError::Syntax))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut members = Vec::new();
        while let Some(name) = items.next_key_seed(NameSeed)? {
            // Most objects of tokens have about this many.
            if members.is_empty() {
                members.reserve(10);
            }
            members.push((name, items.next_value_seed(inner)?));
        }
        if has_duplicates(&members) { Err(self.document.fail(JsonError::Duplicate)) } else { Ok(Json::Object(members)) }
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(common(name).map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed))
    }
}

/// The names that most tokens have.
fn common(name: &str) -> Option<&'static str> {
    Some(match name {
        "iss" => "iss",
        "sub" => "sub",
        "aud" => "aud",
        "exp" => "exp",
        "iat" => "iat",
        "nbf" => "nbf",
        "jti" => "jti",
        "alg" => "alg",
        "kid" => "kid",
        "typ" => "typ",
        "azp" => "azp",
        "scp" => "scp",
        "cnf" => "cnf",
        "sid" => "sid",
        "scope" => "scope",
        "email" => "email",
        "roles" => "roles",
        "client_id" => "client_id",
        _ => return None,
    })
}

fn has_duplicates(members: &Members) -> bool {
    if members.len() <= 12 {
        return members.iter().enumerate().any(|(i, (name, _))| members.iter().take(i).any(|(other, _)| other == name));
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { depth: 4, values: 40 };

    fn check(text: &str, expected: Result<(), JsonError>) {
        assert_eq!(parse(text.as_bytes(), LIMITS).map(|_| ()), expected, "{text}");
    }

    #[test]
    fn a_document_is_an_object_without_duplicates() {
        check(r#"{"a":1,"b":[true,null,"x",1.5,-3]} "#, Ok(()));
        check("{}", Ok(()));
        for text in
            ["", "[]", "1", "null", "{", "{}{}", "{} x", r#"{"a":}"#, r#"{a:1}"#, r#"{"a":"\ud800"}"#, "{\"a\":\"\n\"}"]
        {
            check(text, Err(JsonError::Syntax));
        }
        check(r#"{"a":1e999}"#, Err(JsonError::Syntax));
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":3}"#, r#"{"x":[{"y":{"a":1,"a":2}}]}"#] {
            check(text, Err(JsonError::Duplicate));
        }
        let many = |last: usize| {
            let names: Vec<String> = (0..20).chain([last]).map(|i| format!("\"n{i}\":0")).collect();
            format!("{{{}}}", names.join(","))
        };
        check(&many(20), Ok(()));
        check(&many(7), Err(JsonError::Duplicate));
        assert_eq!(parse(b"{\"a\":\"\xff\"}", LIMITS), Err(JsonError::Syntax));
    }

    #[test]
    fn depth_and_count_are_limited() {
        check(r#"{"a":[[[1]]]}"#, Ok(()));
        check(r#"{"a":[[[[1]]]]}"#, Err(JsonError::Deep));
        check(&format!("{{\"a\":{}", "[".repeat(100_000)), Err(JsonError::Deep));
        let list = |n: usize| format!("{{\"a\":[{}]}}", vec!["1"; n].join(","));
        check(&list(39), Ok(()));
        check(&list(40), Err(JsonError::Long));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// What is written is what serde_json reads, and what is read here again.
        #[test]
        fn it_agrees_with_serde_json(text in r#"\{"[a-z\\\\"é]{0,3}":(\[|1|"\\\\u00e9"|-0\.5|true|,|\]|\{\}){0,6}\}"#) {
            let ours = parse(text.as_bytes(), LIMITS);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok());
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                let mut written = String::new();
                Json::Object(ours.clone()).write(&mut written);
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written).ok(), Some(theirs));
                prop_assert_eq!(parse(written.as_bytes(), LIMITS), Ok(ours));
            }
        }
    }
}
