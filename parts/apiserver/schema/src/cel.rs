//! CEL rules of a schema: `x-kubernetes-validations`.
//!
//! [`check`] tells what is wrong with the rules of a CustomResourceDefinition, [`compile`] makes a program of them
//! (once a version, by the caller), and [`evaluate`] runs it over an object: rules that mention `oldSelf` only where
//! there is a counterpart of the value in the old object, matched by name and by the keys of map lists. Words are
//! those of apiextensions. Each rule has a budget, and so has each object; see `meter` for how it is spent.
//! A panic inside the cel crate (it has some for odd expressions) refuses the object instead of ending the task.
//! A rule that does not mention `oldSelf` does not run over a value that an update leaves as it is: what it would
//! refuse is tolerated, and most updates change little.
//!
//! Not as in Kubernetes: no static types but the names of fields below `self`, so that other type errors show when a
//! rule runs and not when the definition is written; `==` and `+` of sets and map lists are those of plain lists;
//! no static estimate of costs, since the budget holds while a rule runs.

mod meter;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::cel::objects::{OptionalValue, Value as Cel};
use kube_cel::cel::{Context, ExecutionError};
use serde_json::{Value, json};

use self::meter::Metered;
use crate::path::Path;
use crate::validate::{OldItems, shown};
use crate::{Cause, FieldError, ListType, Rule, RuleReason, Schema, Type};

/// Units that may be spent.
#[derive(Clone, Copy)]
struct Budget {
    /// By one rule on one value.
    call: u64,
    /// By all rules on one object.
    object: u64,
}

const BUDGET: Budget = Budget { call: 1_000_000, object: 10_000_000 };

/// The longest expression.
const MAX_EXPRESSION: usize = 10_000;

/// The longest message that an expression may yield.
const MAX_MESSAGE: usize = 5 * 1024;

/// How many refusals are gathered.
const MAX_ERRORS: usize = 100;

/// The stack on which expressions are parsed, and deep ones run: the cel crate recurses with large frames.
const LARGE_STACK: usize = 64 * 1024 * 1024;

/// The nesting that runs on the stack of the caller.
const SHALLOW: usize = 10;

/// The rules of one version's schema, compiled.
#[derive(Debug)]
pub struct CelProgram {
    root: Option<Node>,
    /// Whether a rule is nested so deeply that it needs a large stack.
    deep: bool,
}

impl CelProgram {
    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

/// A schema node that has rules, or has such nodes below it.
#[derive(Debug)]
struct Node {
    schema: Arc<Schema>,
    rules: Vec<Compiled>,
    properties: Vec<(Box<str>, Node)>,
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
}

impl Node {
    /// How deeply the deepest expression is nested.
    fn depth(&self) -> usize {
        let own = self.rules.iter().flat_map(|c| [Some(&c.program), c.message.as_ref()]).flatten().map(|m| m.depth);
        let below =
            self.properties.iter().map(|(_, node)| node).chain(self.additional.as_deref()).chain(self.items.as_deref());
        own.chain(below.map(Node::depth)).max().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    program: Metered,
    message: Option<Metered>,
    /// The path of the refused field below the value, as it is written after the value's path.
    field: Option<String>,
}

/// Compiles the rules of a schema.
pub fn compile(schema: &Schema) -> Result<CelProgram, Vec<FieldError>> {
    compile_at(schema, "")
}

/// What is wrong with the rules of a schema; `at` is the path of the schema.
pub(crate) fn check(schema: &Schema, at: &str) -> Vec<FieldError> {
    compile_at(schema, at).err().unwrap_or_default()
}

fn compile_at(schema: &Schema, at: &str) -> Result<CelProgram, Vec<FieldError>> {
    if !has_rules(schema) {
        return Ok(CelProgram { root: None, deep: false });
    }
    let compile = || {
        let mut errors = Vec::new();
        let root = Arc::new(schema.clone());
        let root = node(&root, &Path::prefix(at), None, &mut errors);
        let deep = root.as_ref().is_some_and(|root| root.depth() > SHALLOW);
        if errors.is_empty() { Ok(CelProgram { root, deep }) } else { Err(errors) }
    };
    on_large_stack(compile).unwrap_or_else(|| {
        let why = "the rules cannot be compiled, or there is no memory left to do it: simplify them";
        Err(vec![FieldError::new(at, Cause::InternalError, why)])
    })
}

/// Runs on a large stack of its own, on the thread of the caller; none where that stack cannot be had, or on a panic.
///
/// The thread stays the same since it keeps the functions and patterns that rules use, see `meter`. The stack is
/// memory that is reserved, but used only as far as rules reach.
fn on_large_stack<T>(run: impl FnOnce() -> T) -> Option<T> {
    // Nothing of ours is left half done: what a panic may have begun is dropped with `run`.
    catch_unwind(AssertUnwindSafe(|| stacker::grow(LARGE_STACK, run))).ok()
}

fn has_rules(schema: &Schema) -> bool {
    let mut below = schema.properties.values().chain(&schema.additional).chain(&schema.items);
    !schema.rules.is_empty() || below.any(|schema| has_rules(schema))
}

/// Compiles what is at and below a schema; `loose` is the list above whose items have no old counterpart.
fn node(schema: &Arc<Schema>, at: &Path<'_>, loose: Option<&Path<'_>>, errors: &mut Vec<FieldError>) -> Option<Node> {
    let rules_at = at.field("x-kubernetes-validations");
    let compiled = schema.rules.iter().enumerate();
    let rules: Vec<Compiled> =
        compiled.filter_map(|(i, r)| rule(r, schema, &rules_at.index(i), loose, errors)).collect();
    let properties_at = at.field("properties");
    let properties = schema
        .properties
        .iter()
        .filter_map(|(name, below)| Some((name.clone(), node(below, &properties_at.key(name), loose, errors)?)));
    let properties: Vec<_> = properties.collect();
    let additional = schema.additional.as_ref();
    let additional = additional.and_then(|below| node(below, &at.field("additionalProperties"), loose, errors));
    let loose_here = loose.or(if matches!(schema.list, ListType::Map(_)) { None } else { Some(at) });
    let items = schema.items.as_ref().and_then(|below| node(below, &at.field("items"), loose_here, errors));
    if rules.is_empty() && properties.is_empty() && additional.is_none() && items.is_none() {
        return None;
    }
    let (additional, items) = (additional.map(Box::new), items.map(Box::new));
    Some(Node { schema: schema.clone(), rules, properties, additional, items })
}

fn rule(
    rule: &Rule,
    schema: &Schema,
    at: &Path<'_>,
    loose: Option<&Path<'_>>,
    errors: &mut Vec<FieldError>,
) -> Option<Compiled> {
    let mut expression = |text: &str, keyword: &str| {
        let compiled = if text.len() > MAX_EXPRESSION {
            Err(format!("the expression has {} bytes and may have {MAX_EXPRESSION}", text.len()))
        } else {
            // The parser and the probing of functions are the cel crate's.
            catch_unwind(AssertUnwindSafe(|| meter::compile(text, schema)))
                .unwrap_or_else(|_| Err("the expression cannot be compiled: simplify it".to_owned()))
        };
        compiled
            .map_err(|why| errors.push(FieldError::invalid(at.field(keyword).to_string(), shown(&json!(text)), why)))
            .ok()
    };
    let program = expression(&rule.rule, "rule");
    let message = match rule.message_expression.as_deref() {
        Some(text) => Some(expression(text, "messageExpression")?),
        None => None,
    };
    let program = program?;
    if let (true, Some(loose)) = (program.uses_old, loose) {
        let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}");
        errors.push(FieldError::invalid(at.field("rule").to_string(), json!(&*rule.rule), why));
    }
    if rule.optional_old_self && !program.uses_old {
        let why = "may not be set if oldSelf is not used in rule";
        errors.push(FieldError::invalid(at.field("optionalOldSelf").to_string(), json!(true), why));
    }
    let field = match rule.field_path.as_deref() {
        None => None,
        Some(path) => {
            let field = field_path(path, schema);
            if field.is_none() {
                let why = "must be a valid path";
                errors.push(FieldError::invalid(at.field("fieldPath").to_string(), json!(path), why));
            }
            field
        }
    };
    Some(Compiled { rule: rule.clone(), program, message, field })
}

/// `.spec.x` or `.map['key']` as it is written in an error; none where the schema has no such field.
fn field_path(path: &str, schema: &Schema) -> Option<String> {
    let mut out = String::new();
    let mut schema = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix("['") {
            let (key, after) = after.split_once("']")?;
            name = key;
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            name = &after[..end];
            rest = &after[end..];
        }
        if let Some(below) = schema.properties.get(name) {
            out.push('.');
            out.push_str(name);
            schema = below;
        } else {
            schema = schema.additional.as_deref()?;
            out.push_str(&format!("[{name}]"));
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Runs the rules over an object; `old` is the stored object on an update.
pub fn evaluate(program: &CelProgram, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    evaluate_within(BUDGET, program, object, old)
}

/// Validates an object by its schema, then by its rules: these run only over an object whose types and sizes are good.
pub fn validate_with_rules(
    object: &Value,
    schema: &Schema,
    rules: &CelProgram,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = crate::validate(object, schema, old);
    let blocking = [Cause::Required, Cause::NotSupported, Cause::TooLong, Cause::TooMany, Cause::TypeInvalid];
    if rules.is_empty() {
        return errors;
    }
    if errors.iter().any(|error| blocking.contains(&error.cause)) {
        let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        errors.push(FieldError::invalid("", Value::Null, why));
    } else {
        errors.extend(evaluate(rules, object, old));
    }
    errors
}

fn evaluate_within(budget: Budget, program: &CelProgram, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(root) = &program.root else { return Vec::new() };
    let run = || {
        let mut run = Run { errors: Vec::new(), left: budget.object, call: budget.call };
        run.node(root, object, old, &Path::ROOT);
        run.errors
    };
    if !program.deep {
        return run();
    }
    on_large_stack(run).unwrap_or_else(|| {
        let why = "the validation rules cannot be run: there is no memory left for them, try again later";
        vec![FieldError::new("", Cause::InternalError, why)]
    })
}

struct Run {
    errors: Vec<FieldError>,
    /// Units left for the object; none once rules must not run any more.
    left: u64,
    /// Units that one rule may spend.
    call: u64,
}

impl Run {
    fn node(&mut self, node: &Node, value: &Value, old: Option<&Value>, at: &Path<'_>) {
        if value.is_null() || self.left == 0 || self.errors.len() >= MAX_ERRORS {
            return;
        }
        if !node.rules.is_empty() {
            self.rules(node, value, old.filter(|old| !old.is_null()), at);
        }
        match value {
            Value::Object(fields) => {
                for (name, below) in &node.properties {
                    if let Some(value) = fields.get(&**name) {
                        self.node(below, value, old.and_then(|old| old.get(&**name)), &at.field(name));
                    }
                }
                if let Some(below) = &node.additional {
                    for (key, value) in
                        fields.iter().filter(|(key, _)| !node.schema.properties.contains_key(key.as_str()))
                    {
                        self.node(below, value, old.and_then(|old| old.get(key)), &at.key(key));
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = &node.items else { return };
                let old = OldItems::of(old, &node.schema.list);
                for (i, item) in items.iter().enumerate() {
                    self.node(below, item, old.find(item), &at.index(i));
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, node: &Node, value: &Value, old: Option<&Value>, at: &Path<'_>) {
        // What was wrong before the update and has not changed is tolerated, unless the rule is about the change.
        let unchanged = old == Some(value);
        let applies = |compiled: &&Compiled| match compiled.program.uses_old {
            true => old.is_some() || compiled.rule.optional_old_self,
            false => !unchanged,
        };
        let mut applying = node.rules.iter().filter(applies).peekable();
        if applying.peek().is_none() {
            return;
        }
        let old = old.map(|old| value::to_cel(old, &node.schema));
        meter::with_base(|base| {
            // Values are converted when a scope takes them, hence one scope for all rules of the node.
            let mut scope = base.new_inner_scope();
            scope.add_variable_from_value("self", value::to_cel(value, &node.schema));
            if let Some(old) = old.clone() {
                scope.add_variable_from_value("oldSelf", old);
            }
            for compiled in applying {
                let optional = compiled.rule.optional_old_self.then(|| {
                    let old = old.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                    let mut scope = scope.new_inner_scope();
                    scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
                    scope
                });
                let refusal = self.rule(compiled, node, value, at, optional.as_ref().unwrap_or(&scope));
                self.errors.extend(refusal);
                if self.left == 0 {
                    return;
                }
            }
        });
    }

    /// Runs one rule in a scope that has `self` and `oldSelf`.
    fn rule(
        &mut self,
        compiled: &Compiled,
        node: &Node,
        value: &Value,
        at: &Path<'_>,
        scope: &Context<'_>,
    ) -> Option<FieldError> {
        match self.eval(&compiled.program, scope) {
            Ok(Cel::Bool(true)) => None,
            Ok(Cel::Bool(false)) => {
                let detail = self.message(compiled, scope);
                Some(refuse(compiled, node, value, at, detail))
            }
            Ok(_) => {
                let why = format!("must evaluate to true or false: {}", name_of(&compiled.rule));
                Some(type_error(node, at, why))
            }
            Err(Failure::Spent(why)) => {
                self.left = 0;
                Some(type_error(node, at, why.replace("{}", name_of(&compiled.rule))))
            }
            Err(Failure::Error(why)) => Some(type_error(node, at, format!("{why} rule: {}", name_of(&compiled.rule)))),
        }
    }

    /// What the user is told: the message's expression, the message, or the rule.
    fn message(&mut self, compiled: &Compiled, scope: &Context<'_>) -> String {
        if let Some(expression) = &compiled.message
            && let Ok(Cel::String(text)) = self.eval(expression, scope)
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains(['\n', '\r']) {
                return text.to_owned();
            }
        }
        match &compiled.rule.message {
            Some(message) => message.to_string(),
            None => format!("failed rule: {}", compiled.rule.rule.trim()),
        }
    }

    fn eval(&mut self, program: &Metered, scope: &Context<'_>) -> Result<Cel, Failure> {
        let budget = self.call.min(self.left);
        // The cel crate panics on some overflows and oddities; nothing of ours is left half done.
        let resolve = || catch_unwind(AssertUnwindSafe(|| Cel::resolve(&program.expr, scope)));
        let (result, left) = meter::with_budget(budget, resolve);
        let Some(left) = left else {
            let why = if self.left <= self.call {
                "validation failed due to running out of cost budget, no further validation rules will be run"
            } else {
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {}"
            };
            return Err(Failure::Spent(why.to_owned()));
        };
        self.left -= budget - left;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ExecutionError::NoSuchOverload)) => Err(Failure::Error(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for"
                    .to_owned(),
            )),
            Ok(Err(error)) => Err(Failure::Error(format!("{} evaluating", words(&error)))),
            Err(_) => Err(Failure::Error("the expression failed inside the CEL interpreter, evaluating".to_owned())),
        }
    }
}

enum Failure {
    /// The budget is spent: no further rule may run.
    Spent(String),
    Error(String),
}

/// An execution error in the words of cel-go, without the values that the crate would print.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(_) => "index out of bounds".to_owned(),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to '{name}' (in container '')"),
        ExecutionError::FunctionError { function, message } => {
            format!("{function}: {}", message.chars().take(200).collect::<String>())
        }
        _ => "no such overload".to_owned(),
    }
}

fn name_of(rule: &Rule) -> &str {
    rule.message.as_deref().unwrap_or(&rule.rule).trim()
}

fn type_name(schema: &Schema) -> &'static str {
    match schema.ty {
        Type::Any | Type::IntOrString => "",
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
    }
}

fn type_error(node: &Node, at: &Path<'_>, why: String) -> FieldError {
    FieldError::invalid(at.to_string(), json!(type_name(&node.schema)), why)
}

/// The refusal of a rule that does not hold; objects and lists are not repeated in it.
fn refuse(compiled: &Compiled, node: &Node, value: &Value, at: &Path<'_>, detail: String) -> FieldError {
    let mut path = at.to_string();
    if let Some(field) = &compiled.field {
        path.push_str(if path.is_empty() { field.trim_start_matches('.') } else { field });
    }
    let value = if matches!(node.schema.ty, Type::Object | Type::Array) { None } else { Some(shown(value)) };
    let (cause, value, detail) = match compiled.rule.reason {
        RuleReason::FieldValueInvalid => (Cause::Invalid, value, detail),
        RuleReason::FieldValueForbidden => (Cause::Forbidden, None, detail),
        RuleReason::FieldValueRequired => (Cause::Required, None, detail),
        RuleReason::FieldValueDuplicate => (Cause::Duplicate, value, String::new()),
    };
    FieldError { path, cause, value, detail }
}

#[cfg(test)]
mod tests;
