//! JSONPath as Kubernetes' printer columns use it: the expressions of `k8s.io/client-go/util/jsonpath` without
//! templates (`{range}`, text).
//!
//! `.spec.size`, `['a.b']`, `.a\.b`, `[0]`, `[-1]`, `[1:5:2]`, `[*]`, `.*`, `..name`, `['a','b']`,
//! `[?(@.type=="Ready")].status`, `[?(@.ready)]`.
//!
//! An expression is limited in length, an evaluation in the number of values that it visits.

use std::cmp::Ordering;

use serde_json::Value;

/// The longest expression.
pub const MAX_LENGTH: usize = 1024;

/// How deeply filters may be nested.
const MAX_FILTERS: usize = 4;

/// How many values one evaluation may visit.
const MAX_VISITS: usize = 50_000;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(Box<str>),
    Wildcard,
    Descend,
    Index(i64),
    Slice { start: i64, end: Option<i64>, step: usize },
    Union(Vec<Step>),
    Filter { left: Vec<Step>, test: Option<(Operator, Operand)> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

/// Parses an expression; the error says what is wrong with it, and where.
pub fn parse(path: &str) -> Result<JsonPath, String> {
    if path.len() > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} bytes"));
    }
    Ok(JsonPath { steps: Parser { text: path, at: 0 }.steps(0)? })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// Everything up to `end`, which is consumed too; quoted text does not end it.
    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let rest = self.rest();
        let mut quote = None;
        let mut escaped = false;
        for (at, c) in rest.char_indices() {
            match quote {
                None if rest.get(at..).is_some_and(|rest| rest.starts_with(end)) => {
                    self.at += at + end.len();
                    return Ok(rest.get(..at).unwrap_or_default());
                }
                None if c == '"' || c == '\'' => quote = Some(c),
                Some(open) if c == open && !escaped => quote = None,
                _ => {}
            }
            escaped = c == '\\' && !escaped;
        }
        Err(format!("misses {end:?} after position {}", self.at))
    }

    fn steps(&mut self, filters: usize) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        while !self.rest().is_empty() {
            if self.eat("[?(") {
                let inner = self.until(")]")?;
                steps.push(filter(inner, filters)?);
            } else if self.eat("[") {
                let inner = self.until("]")?;
                steps.push(bracket(inner)?);
            } else if self.eat("..") {
                if steps.last() == Some(&Step::Descend) {
                    return Err("descends twice in a row".to_owned());
                }
                steps.push(Step::Descend);
                if self.rest().starts_with(|c: char| c == '_' || c == '*' || c.is_alphanumeric()) {
                    steps.push(self.name());
                }
            } else if self.eat(".") {
                // A dot alone is the whole object, and `.['a']` is `['a']`.
                if !self.rest().is_empty() && !self.rest().starts_with('[') {
                    steps.push(self.name());
                }
            } else if !(self.eat("@") || self.eat("$") || self.eat(" ")) {
                return Err(format!("has an unexpected character at position {}: {:?}", self.at, self.rest()));
            }
        }
        Ok(steps)
    }

    /// A name after a dot: a backslash keeps the next character from ending it.
    fn name(&mut self) -> Step {
        let mut name = String::new();
        let mut chars = self.rest().char_indices();
        let mut end = self.rest().len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | ' ' | '\t' | '\r' | '\n' => {
                    end = at;
                    break;
                }
                _ => name.push(c),
            }
        }
        self.at += end;
        if name == "*" { Step::Wildcard } else { Step::Field(name.into()) }
    }
}

/// What stands in brackets: `*`, a quoted name, an index, a slice, or several of them.
fn bracket(text: &str) -> Result<Step, String> {
    let mut parts = Vec::new();
    let mut parser = Parser { text, at: 0 };
    loop {
        match parser.until(",") {
            Ok(part) => parts.push(selector(part.trim())?),
            Err(_) => {
                let last = selector(parser.rest().trim())?;
                if parts.is_empty() {
                    return Ok(last);
                }
                parts.push(last);
                return Ok(Step::Union(parts));
            }
        }
    }
}

fn selector(text: &str) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::Wildcard);
    }
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name.into()));
    }
    let number = |text: &str| -> Result<Option<i64>, String> {
        match text {
            "" => Ok(None),
            _ => text.parse().map(Some).map_err(|_| format!("has the invalid array index [{text}]")),
        }
    };
    let mut parts = text.split(':');
    let start = number(parts.next().unwrap_or_default())?;
    let Some(end) = parts.next() else {
        return start.map(Step::Index).ok_or_else(|| "has the invalid array index []".to_owned());
    };
    let step = match number(parts.next().unwrap_or_default())? {
        None => 1,
        Some(step) => usize::try_from(step).ok().filter(|step| *step > 0).ok_or("has a step below 1")?,
    };
    match parts.next() {
        None => Ok(Step::Slice { start: start.unwrap_or(0), end: number(end)?, step }),
        Some(_) => Err(format!("has the invalid array index [{text}]")),
    }
}

/// The text within quotes, without its backslashes.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    Some(out)
}

/// `@.type=="Ready"`, or `@.ready`: that there is such a value.
fn filter(text: &str, filters: usize) -> Result<Step, String> {
    if filters >= MAX_FILTERS {
        return Err(format!("nests more than {MAX_FILTERS} filters"));
    }
    let is_operator = |c: char| matches!(c, '=' | '!' | '<' | '>');
    let path = |text: &str| Parser { text: text.trim(), at: 0 }.steps(filters + 1);
    let Some(at) = text.find(is_operator) else {
        return Ok(Step::Filter { left: path(text)?, test: None });
    };
    let (left, rest) = text.split_at(at);
    let (operator, right) = rest.split_at(rest.find(|c| !is_operator(c)).unwrap_or(rest.len()));
    let operator = match operator {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        other => return Err(format!("has the unknown operator {other:?}")),
    };
    let right = right.trim();
    let operand = match (quoted(right), right) {
        (Some(text), _) => Operand::Literal(Value::from(text)),
        (None, "true") => Operand::Literal(Value::Bool(true)),
        (None, "false") => Operand::Literal(Value::Bool(false)),
        (None, text) if text.starts_with(['@', '$', '.']) => Operand::Path(path(text)?),
        (None, text) => match text.parse::<serde_json::Number>() {
            Ok(number) => Operand::Literal(Value::Number(number)),
            Err(_) => return Err(format!("compares with {text:?}, which is no literal and no path")),
        },
    };
    Ok(Step::Filter { left: path(left)?, test: Some((operator, operand)) })
}

impl JsonPath {
    /// All values that the expression selects; none where it does not fit the object (an index out of bounds, a
    /// filter of what is no list) or visits too much of it.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        walk(&self.steps, root, &mut 0).unwrap_or_default()
    }
}

/// Follows the steps; none on what Kubernetes treats as an error.
fn walk<'a>(steps: &[Step], root: &'a Value, visits: &mut usize) -> Option<Vec<&'a Value>> {
    let mut current = vec![root];
    for step in steps {
        let mut next = Vec::new();
        for value in current {
            select(step, value, &mut next, visits)?;
        }
        current = next;
    }
    Some(current)
}

fn select<'a>(step: &Step, value: &'a Value, out: &mut Vec<&'a Value>, visits: &mut usize) -> Option<()> {
    let before = out.len();
    match (step, value) {
        (Step::Field(name), value) => out.extend(value.as_object().and_then(|map| map.get(&**name))),
        (Step::Wildcard, Value::Array(items)) => out.extend(items),
        (Step::Wildcard, Value::Object(map)) => out.extend(map.values()),
        (Step::Descend, value) => descend(value, out, visits)?,
        (Step::Union(steps), value) => steps.iter().try_for_each(|step| select(step, value, out, visits))?,
        (Step::Wildcard, _) | (Step::Index(_) | Step::Slice { .. }, Value::Null) => {}
        (Step::Index(index), Value::Array(items)) => out.push(items.get(position(*index, items.len())?)?),
        (Step::Slice { start, end, step }, Value::Array(items)) => {
            let start = position(*start, items.len())?;
            let end = end.map_or(Some(items.len()), |end| position(end, items.len()))?;
            if start != end {
                out.extend(items.get(start..end)?.iter().step_by(*step));
            }
        }
        (Step::Filter { left, test }, Value::Array(items)) => {
            for item in items {
                *visits += 1;
                if passes(left, test.as_ref(), item, visits)? {
                    out.push(item);
                }
            }
        }
        (Step::Index(_) | Step::Slice { .. } | Step::Filter { .. }, _) => return None,
    }
    *visits += 1 + out.len().saturating_sub(before);
    (*visits <= MAX_VISITS).then_some(())
}

/// An index from the front, or from the end where it is negative.
fn position(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    }
}

/// The value and all below it that hold others, each before what it holds.
fn descend<'a>(value: &'a Value, out: &mut Vec<&'a Value>, visits: &mut usize) -> Option<()> {
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        *visits += 1;
        if *visits > MAX_VISITS {
            return None;
        }
        let below: Vec<_> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => continue,
        };
        if !below.is_empty() {
            out.push(value);
            stack.extend(below.into_iter().rev());
        }
    }
    Some(())
}

fn passes(left: &[Step], test: Option<&(Operator, Operand)>, item: &Value, visits: &mut usize) -> Option<bool> {
    let Some((operator, operand)) = test else {
        return Some(walk(left, item, visits).is_some_and(|found| !found.is_empty()));
    };
    let found = walk(left, item, visits)?;
    let right = match operand {
        Operand::Literal(value) => vec![value],
        Operand::Path(steps) => walk(steps, item, visits)?,
    };
    match (found.as_slice(), right.as_slice()) {
        ([], _) | (_, []) => Some(false),
        ([left], [right]) => compare(*operator, left, right),
        _ => None,
    }
}

/// Compares scalars of one type; none for others.
fn compare(operator: Operator, left: &Value, right: &Value) -> Option<bool> {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?)?,
        (Value::Bool(left), Value::Bool(right)) if matches!(operator, Operator::Equal | Operator::NotEqual) => {
            left.cmp(right)
        }
        _ => return None,
    };
    Some(match operator {
        Operator::Equal => ordering == Ordering::Equal,
        Operator::NotEqual => ordering != Ordering::Equal,
        Operator::Less => ordering == Ordering::Less,
        Operator::LessOrEqual => ordering != Ordering::Greater,
        Operator::Greater => ordering == Ordering::Greater,
        Operator::GreaterOrEqual => ordering != Ordering::Less,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"size": 3, "ports": [{"port": 80}, {"port": 443}, {"port": 8080}], "none": null},
            "status": {"conditions": [
                {"type": "Accepted", "status": "True", "n": 1},
                {"type": "Ready", "status": "False", "n": 2, "ok": true},
            ]},
        })
    }

    fn check(path: &str, expected: Value) {
        let path = parse(path).unwrap_or_else(|error| panic!("{path} {error}"));
        assert_eq!(json!(path.find(&object())), expected, "{path:?}");
    }

    #[test]
    fn selects() {
        check(".spec.size", json!([3]));
        check("$.spec.size", json!([3]));
        check(".spec['size']", json!([3]));
        check(".spec.[\"size\"]", json!([3]));
        check(".spec.none", json!([null]));
        check(".spec.missing.deeper", json!([]));
        check(r".metadata.labels.app\.kubernetes\.io/name", json!(["web"]));
        check(".metadata.labels['app.kubernetes.io/name']", json!(["web"]));
        check(".metadata.labels['app\\.kubernetes\\.io/name']", json!(["web"]));
        check(".spec.ports[0].port", json!([80]));
        check(".spec.ports[-1].port", json!([8080]));
        check(".spec.ports[3].port", json!([]));
        check(".spec.ports[-4].port", json!([]));
        check(".spec.ports[*].port", json!([80, 443, 8080]));
        check(".spec.ports.*.port", json!([80, 443, 8080]));
        check(".spec.ports[1:].port", json!([443, 8080]));
        check(".spec.ports[0:-1].port", json!([80, 443]));
        check(".spec.ports[::2].port", json!([80, 8080]));
        check(".spec.ports[0,2].port", json!([80, 8080]));
        check(".spec['size','none']", json!([3, null]));
        check(".spec.size[0]", json!([]));
        check("..port", json!([80, 443, 8080]));
        check(".", json!([object()]));
    }

    #[test]
    fn filters() {
        check(r#".status.conditions[?(@.type=="Ready")].status"#, json!(["False"]));
        check(".status.conditions[?(@.type == 'Ready')].status", json!(["False"]));
        check(r#".status.conditions[?(@.type!="Ready")].type"#, json!(["Accepted"]));
        check(r#".status.conditions[?(@.type==")]")].type"#, json!([]));
        check(".status.conditions[?(@.n>1)].type", json!(["Ready"]));
        check(".status.conditions[?(@.n<=1)].type", json!(["Accepted"]));
        check(".status.conditions[?(@.ok)].type", json!(["Ready"]));
        check(".status.conditions[?(@.ok==true)].type", json!(["Ready"]));
        check(".status.conditions[?(@.type==@.type)].n", json!([1, 2]));
        check(".status.conditions[?(@.n==\"1\")].type", json!([]));
        check(".spec[?(@.size==1)]", json!([]));
    }

    #[test]
    fn refusals() {
        for (path, error) in [
            (".a[", "misses \"]\" after position 3"),
            (".a[x]", "has the invalid array index [x]"),
            (".a[]", "has the invalid array index []"),
            (".a[1:2:0]", "has a step below 1"),
            (".a[1:2:3:4]", "has the invalid array index [1:2:3:4]"),
            ("a", "has an unexpected character at position 0: \"a\""),
            (".a{.b}", "has an unexpected character at position 2: \"{.b}\""),
            (".a[?(@.b===1)]", "has the unknown operator \"===\""),
            (".a[?(@.b==x)]", "compares with \"x\", which is no literal and no path"),
            (".a[?(@.b", "misses \")]\" after position 5"),
            ("....a", "descends twice in a row"),
        ] {
            assert_eq!(parse(path), Err(error.to_owned()), "{path}");
        }
        assert_eq!(parse(&".a".repeat(600)), Err("is longer than 1024 bytes".to_owned()));
    }

    #[test]
    fn an_evaluation_is_bounded() {
        let mut value = json!({"a": 1});
        for _ in 0..60 {
            value = json!({"a": value, "b": [1, 2, 3]});
        }
        let path = parse(&"..*".repeat(100)).expect("parses");
        assert_eq!(path.find(&value), Vec::<&Value>::new());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_text_panics(path in r#"[.\[\]\*?()@$'"=<>!:,\\a-c0-9 é{}-]{0,40}"#) {
            if let Ok(path) = parse(&path) {
                path.find(&object());
            }
        }

        #[test]
        fn every_name_can_be_quoted(name in "[^'\\\\]{1,12}") {
            let value = json!({"x": {name.clone(): 1}});
            let path = parse(&format!(".x['{name}']")).expect("parses");
            prop_assert_eq!(json!(path.find(&value)), json!([1]));
        }
    }
}
