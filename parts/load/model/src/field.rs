//! Taking values out of a document: what is missing, wrong or unknown is told with its path and its line.

use std::fmt;
use std::time::Duration;

use crate::node::{Entry, Node, Value};
use crate::words;

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, where it stands in the file.
    pub line: Option<u64>,
    /// The field, as in `scenarios[0].steps[1].http.path`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScriptError {}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Field<'n> {
    node: &'n Node,
    path: String,
}

impl<'n> Field<'n> {
    /// The document itself.
    pub(crate) fn root(node: &'n Node) -> Self {
        Field { node, path: String::new() }
    }

    pub(crate) fn error(&self, message: impl fmt::Display) -> ScriptError {
        ScriptError { line: Some(self.node.line), path: self.path.clone(), message: message.to_string() }
    }

    /// What `parse` makes of the text.
    pub(crate) fn parsed<T, E: fmt::Display>(
        &self,
        parse: impl FnOnce(&'n str) -> Result<T, E>,
    ) -> Result<T, ScriptError> {
        parse(self.text()?).map_err(|error| self.error(error))
    }

    /// The fields of a map, of which only `known` may be there.
    pub(crate) fn fields(&self, known: &[&str]) -> Result<Fields<'n>, ScriptError> {
        let entries = self.map()?;
        if let Some(entry) = entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
            let message = format!("there is no such field here: the fields are {}", known.join(", "));
            return Err(ScriptError { line: Some(entry.line), path: self.below(&entry.key), message });
        }
        Ok(Fields { of: self.clone(), entries })
    }

    /// All fields of a map whose names are free, at most `max`.
    pub(crate) fn entries(&self, max: usize) -> Result<Vec<(&'n str, Field<'n>)>, ScriptError> {
        let entries = self.map()?;
        if entries.len() > max {
            return Err(self.error(format!("it has {} fields; {max} are taken at most", entries.len())));
        }
        Ok(entries.iter().map(|entry| (entry.key.as_str(), self.child(entry))).collect())
    }

    /// The items of a list, at least one and at most `max`.
    pub(crate) fn items(&self, max: usize) -> Result<Vec<Field<'n>>, ScriptError> {
        let Value::List(items) = &self.node.value else { return Err(self.error("a list is needed")) };
        if items.is_empty() {
            return Err(self.error("the list must not be empty"));
        }
        if items.len() > max {
            return Err(self.error(format!("it has {} items; {max} are taken at most", items.len())));
        }
        let item = |(at, node)| Field { node, path: format!("{}[{at}]", self.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list, or the one value that stands there in its place.
    pub(crate) fn one_or_more(&self, max: usize) -> Result<Vec<Field<'n>>, ScriptError> {
        if matches!(self.node.value, Value::List(_)) { self.items(max) } else { Ok(vec![self.clone()]) }
    }

    pub(crate) fn text(&self) -> Result<&'n str, ScriptError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                Err(self.error("text is needed, but YAML reads this otherwise: put it between quotes"))
            }
            _ => Err(self.error("text is needed")),
        }
    }

    /// A name that people read: not empty, not long, on one line.
    pub(crate) fn name(&self) -> Result<&'n str, ScriptError> {
        let name = self.text()?;
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(self.error("a name has 1 to 100 bytes and no control characters"));
        }
        Ok(name)
    }

    pub(crate) fn bool(&self) -> Result<bool, ScriptError> {
        match self.node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.error("true or false is needed")),
        }
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn number<T: TryFrom<i128> + Copy + Into<i128>>(&self, min: T, max: T) -> Result<T, ScriptError> {
        let (low, high) = (min.into(), max.into());
        match self.node.value {
            Value::Integer(value) if (low..=high).contains(&value) => T::try_from(value).ok(),
            _ => None,
        }
        .ok_or_else(|| self.error(format!("a whole number from {low} to {high} is needed")))
    }

    /// A share: 0 to 1, or `5%`.
    pub(crate) fn share(&self) -> Result<f64, ScriptError> {
        let share = match &self.node.value {
            Value::Integer(value @ 0..=1) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Text(text) => words::share(text).ok(),
            _ => None,
        };
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        share.ok_or_else(|| self.error("a share is needed: a number from 0 to 1, or 0% to 100%"))
    }

    /// A duration from `min` to `max`.
    pub(crate) fn duration(&self, min: Duration, max: Duration) -> Result<Duration, ScriptError> {
        let found = match &self.node.value {
            Value::Integer(value) => return Err(self.error(format!("a duration needs a unit, as in {value}s"))),
            _ => self.parsed(words::duration)?,
        };
        if (min..=max).contains(&found) {
            return Ok(found);
        }
        let (min, max) = (words::shown_duration(min), words::shown_duration(max));
        Err(self.error(format!("it must be from {min} to {max}")))
    }

    /// A rate: a number, or text with a unit.
    pub(crate) fn rate(&self) -> Result<words::Rate, ScriptError> {
        match &self.node.value {
            Value::Integer(value) => words::rate(&value.to_string()).map_err(|error| self.error(error)),
            Value::Float(value) => words::rate(&value.to_string()).map_err(|error| self.error(error)),
            _ => self.parsed(words::rate),
        }
    }

    /// Whatever stands there, as JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value, ScriptError> {
        let of = |number: f64| serde_json::Number::from_f64(number).map(serde_json::Value::Number);
        Ok(match &self.node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Text(text) => text.as_str().into(),
            Value::Float(value) => of(*value).ok_or_else(|| self.error("a number must be finite"))?,
            Value::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => value.into(),
                (_, Ok(value)) => value.into(),
                _ => return Err(self.error("the number is too large for JSON")),
            },
            Value::List(items) => {
                let item = |node| Field { node, path: self.path.clone() }.json();
                serde_json::Value::Array(items.iter().map(item).collect::<Result<_, _>>()?)
            }
            Value::Map(entries) => {
                let field = |entry: &'n Entry| Ok((entry.key.clone(), self.child(entry).json()?));
                serde_json::Value::Object(entries.iter().map(field).collect::<Result<_, ScriptError>>()?)
            }
        })
    }

    fn map(&self) -> Result<&'n [Entry], ScriptError> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.error("fields are needed, as in name: value")),
        }
    }

    fn child(&self, entry: &'n Entry) -> Field<'n> {
        Field { node: &entry.node, path: self.below(&entry.key) }
    }

    fn below(&self, key: &str) -> String {
        let key: String = key.chars().take(100).collect();
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

/// The fields of a map.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'n> {
    of: Field<'n>,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// A field, where it is there.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'n>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| self.of.child(entry))
    }

    /// What `read` makes of a field, where it is there.
    pub(crate) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(Field<'n>) -> Result<T, ScriptError>,
    ) -> Result<Option<T>, ScriptError> {
        self.get(key).map(read).transpose()
    }

    /// A field that must be there.
    pub(crate) fn need(&self, key: &str) -> Result<Field<'n>, ScriptError> {
        self.get(key).ok_or_else(|| self.of.error(format!("{key} is missing")))
    }

    /// Refuses that more than one of `keys` is there; the one that is.
    pub(crate) fn one_of<'k>(&self, keys: &[&'k str]) -> Result<Option<(&'k str, Field<'n>)>, ScriptError> {
        let mut found = keys.iter().filter_map(|key| Some((*key, self.get(key)?)));
        let first = found.next();
        if let (Some((one, _)), Some((two, second))) = (&first, found.next()) {
            return Err(second.error(format!("there is {one} already; either {one} or {two} can be said")));
        }
        Ok(first)
    }
}
