//! Label and field selectors of list, watch and deletecollection.
//!
//! Labels: `a=b,c in (x,y),d notin (z),e,!f,g>1` (labels.Parse of apimachinery), and the object form
//! `{matchLabels, matchExpressions}`. Fields: `metadata.name=x,status.phase!=Running`. A selector's length and the
//! number of its terms are bounded.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::names;

const MAX_LENGTH: usize = 64 * 1024;
const MAX_TERMS: usize = 500;

/// Why a selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct SelectorError(String);

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// Conditions on labels that all have to hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    terms: Vec<(String, Term)>,
}

impl LabelSelector {
    /// Reads the text of `labelSelector=`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_LENGTH {
            return Err(SelectorError(format!("the selector has {} bytes and may have {MAX_LENGTH}", text.len())));
        }
        let mut terms = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if terms.len() == MAX_TERMS {
                return Err(SelectorError(format!("a selector may have {MAX_TERMS} terms")));
            }
            let (term, after) = term(rest)?;
            terms.push(term);
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(next) if next.trim().is_empty() => {
                    return Err(SelectorError("found '', expected: identifier after ','".to_owned()));
                }
                Some(next) => next.trim_start(),
                None if after.is_empty() => after,
                None => return Err(SelectorError(format!("found '{after}', expected: ',' or end of selector"))),
            };
        }
        Ok(LabelSelector { terms })
    }

    /// Reads the object form: `matchLabels` and `matchExpressions`. An empty object selects everything.
    pub fn from_value(value: &Value) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for (key, value) in value.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            terms.push(checked(key, Term::In(BTreeSet::from([value.as_str().unwrap_or_default().to_owned()])))?);
        }
        for expression in value.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |field| expression.get(field).and_then(Value::as_str).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values: BTreeSet<String> = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let term = match (text("operator"), values.is_empty()) {
                ("In", false) => Term::In(values),
                ("NotIn", false) => Term::NotIn(values),
                ("In" | "NotIn", true) => {
                    return Err(SelectorError("for 'in', 'notin' operators, values set can't be empty".to_owned()));
                }
                ("Exists", true) => Term::Exists,
                ("DoesNotExist", true) => Term::Absent,
                ("Exists" | "DoesNotExist", false) => {
                    return Err(SelectorError("values set must be empty for exists and does not exist".to_owned()));
                }
                (other, _) => return Err(SelectorError(format!("{other:?} is not a valid label selector operator"))),
            };
            terms.push(checked(text("key"), term)?);
        }
        Ok(LabelSelector { terms })
    }

    /// Whether labels (the map `metadata.labels`, where there is one) are selected.
    pub fn matches(&self, labels: Option<&Value>) -> bool {
        self.terms.iter().all(|(key, term)| {
            let value = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
            let number = || value.and_then(|v| v.parse::<i64>().ok());
            match term {
                Term::In(values) => value.is_some_and(|v| values.contains(v)),
                Term::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
                Term::Exists => value.is_some(),
                Term::Absent => value.is_none(),
                Term::Greater(bound) => number().is_some_and(|n| n > *bound),
                Term::Less(bound) => number().is_some_and(|n| n < *bound),
            }
        })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

/// A term with a good key and good values.
fn checked(key: &str, term: Term) -> Result<(String, Term), SelectorError> {
    if let Some(why) = names::qualified_name(key).first() {
        return Err(SelectorError(format!("key: Invalid value: {key:?}: {why}")));
    }
    if let Term::In(values) | Term::NotIn(values) = &term {
        for value in values {
            if let Some(why) = names::label_value(value).first() {
                return Err(SelectorError(format!("values[0][{key}]: Invalid value: {value:?}: {why}")));
            }
        }
    }
    Ok((key.to_owned(), term))
}

/// Reads one term; returns the rest.
fn term(text: &str) -> Result<((String, Term), &str), SelectorError> {
    if let Some(after) = text.strip_prefix('!') {
        let (key, rest) = word(after.trim_start());
        return Ok((checked(key, Term::Absent)?, rest));
    }
    let (key, rest) = word(text);
    if key.is_empty() {
        return Err(SelectorError(format!("found '{rest}', expected: !, identifier, or ','")));
    }
    let rest = rest.trim_start();
    for operator in ["==", "=", "!=", ">", "<"] {
        let Some(after) = rest.strip_prefix(operator) else { continue };
        let (value, rest) = word(after.trim_start());
        let bound = || {
            let why = || {
                SelectorError(format!(
                    "values[0][{key}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                ))
            };
            value.parse::<i64>().map_err(|_| why())
        };
        let one = || BTreeSet::from([value.to_owned()]);
        let term = match operator {
            ">" => Term::Greater(bound()?),
            "<" => Term::Less(bound()?),
            "!=" => Term::NotIn(one()),
            _ => Term::In(one()),
        };
        return Ok((checked(key, term)?, rest));
    }
    if rest.is_empty() || rest.starts_with(',') {
        return Ok((checked(key, Term::Exists)?, rest));
    }
    let (operator, after) = word(rest);
    if operator != "in" && operator != "notin" {
        let found = if operator.is_empty() { rest } else { operator };
        return Err(SelectorError(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")));
    }
    let inside = after.trim_start().strip_prefix('(');
    let inside = inside.ok_or_else(|| SelectorError(format!("found '{after}', expected: '('")))?;
    let (inside, rest) =
        inside.split_once(')').ok_or_else(|| SelectorError(format!("found '{inside}', expected: ',' or ')'")))?;
    let values: BTreeSet<String> = inside.split(',').map(|v| v.trim().to_owned()).collect();
    let term = if operator == "in" { Term::In(values) } else { Term::NotIn(values) };
    Ok((checked(key, term)?, rest))
}

/// The characters up to the next operator or blank.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<'));
    text.split_at(end.unwrap_or(text.len()))
}

/// Conditions on fields that all have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// Dotted path, whether it has to be equal, and the value.
    terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Reads the text of `fieldSelector=`; values escape `\`, `,` and `=` with a backslash.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_LENGTH {
            return Err(SelectorError(format!("the selector has {} bytes and may have {MAX_LENGTH}", text.len())));
        }
        let mut terms = Vec::new();
        for term in split_unescaped(text) {
            if term.is_empty() {
                continue;
            }
            if terms.len() == MAX_TERMS {
                return Err(SelectorError(format!("a selector may have {MAX_TERMS} terms")));
            }
            let wrong = || SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'"));
            let at = term.find('=').filter(|&i| i > 0).ok_or_else(wrong)?;
            let (field, equal) = match term[..at].strip_suffix('!') {
                Some(field) => (field, false),
                None => (&term[..at], true),
            };
            let value = &term[at + 1..];
            let value = if equal { value.strip_prefix('=').unwrap_or(value) } else { value };
            terms.push((field.to_owned(), equal, unescape(value).ok_or_else(wrong)?));
        }
        Ok(FieldSelector { terms })
    }

    /// The paths that the selector names: each has to be one that the resource can be selected by.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|(field, ..)| field.as_str())
    }

    /// The value that a field has to be equal to, where the selector says so: `metadata.name` narrows a list to a get.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|(name, equal, _)| name == field && *equal).map(|(.., value)| value.as_str())
    }

    /// Whether an object is selected; a field that is absent is the empty string. `special` yields the value of a
    /// field that is no path of the object (`Strategy::select`).
    pub fn matches(&self, object: &Value, special: fn(&Value, &str) -> Option<String>) -> bool {
        self.terms.iter().all(|(field, equal, wanted)| {
            if let Some(value) = special(object, field) {
                return (value == *wanted) == *equal;
            }
            let value = field.split('.').try_fold(object, |value, name| value.get(name));
            let is = match value {
                Some(Value::String(text)) => text == wanted,
                Some(Value::Bool(set)) => *wanted == if *set { "true" } else { "false" },
                Some(Value::Number(number)) => *wanted == number.to_string(),
                _ => wanted.is_empty(),
            };
            is == *equal
        })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            '=' | ',' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(selector: &str, yes: &[Value], no: &[Value]) {
        let parsed = LabelSelector::parse(selector).unwrap_or_else(|e| panic!("{selector}: {e}"));
        for labels in yes {
            assert!(parsed.matches(Some(labels)), "{selector} {labels}");
        }
        for labels in no {
            assert!(!parsed.matches(Some(labels)), "{selector} {labels}");
        }
    }

    #[test]
    fn labels_are_selected() {
        check("", &[json!({})], &[]);
        check("a=b", &[json!({"a": "b"})], &[json!({"a": "c"}), json!({})]);
        check("a == b , c", &[json!({"a": "b", "c": ""})], &[json!({"a": "b"})]);
        check("a!=b", &[json!({}), json!({"a": "c"})], &[json!({"a": "b"})]);
        check("a in (x, y),!d", &[json!({"a": "y"})], &[json!({"a": "z"}), json!({"a": "x", "d": ""})]);
        check("x.io/a notin (x)", &[json!({})], &[json!({"x.io/a": "x"})]);
        check("a>3,a<9", &[json!({"a": "5"})], &[json!({"a": "3"}), json!({"a": "x"}), json!({})]);
        check("a=", &[json!({"a": ""})], &[json!({})]);
        check("in in (in)", &[json!({"in": "in"})], &[json!({})]);
        assert!(LabelSelector::parse("a").unwrap().matches(Some(&json!({"a": "1"}))));
        assert!(!LabelSelector::parse("a").unwrap().matches(None));
    }

    #[test]
    fn broken_label_selectors_are_refused() {
        for text in ["a in x", "a in (x", "a b", "=b", "a=b,", "a=b c", "-=x", "a=/", "a>x", "a,,b", "!", "a in (x) y"]
        {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_object_form_selects_the_same() {
        let selector = LabelSelector::from_value(&json!({
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["x"]}, {"key": "d", "operator": "Exists"}],
        }))
        .unwrap();
        assert_eq!(selector, LabelSelector::parse("a=b,c notin (x),d").unwrap());
        assert!(LabelSelector::from_value(&json!({"matchExpressions": [{"key": "c", "operator": "In"}]})).is_err());
    }

    #[test]
    fn fields_are_selected() {
        let pod = json!({"metadata": {"name": "x"}, "status": {"phase": "Running", "n": 3}});
        for (text, expected) in [
            ("", true),
            ("metadata.name=x", true),
            ("metadata.name==x,status.phase!=Running", false),
            ("metadata.name!=x", false),
            ("status.n=3", true),
            ("spec.nodeName=", true),
            ("spec.nodeName!=", false),
            ("metadata.name=a\\,b", false),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(&pod, |_, _| None), expected, "{text}");
        }
        assert_eq!(FieldSelector::parse("metadata.name=x").unwrap().exact("metadata.name"), Some("x"));
        for text in ["a", "=b", "a=b=c", "a=\\x"] {
            assert!(FieldSelector::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_selector_can_panic(text in "[a-c=!,()<> inot\\\\/é]{0,30}") {
            let _ = LabelSelector::parse(&text);
            let _ = FieldSelector::parse(&text);
        }
    }
}
