//! The budget of CEL: every expression is rewritten so that its evaluation pays for what it does.
//!
//! The cel crate counts nothing. So, when a rule is compiled, each operation of its tree is wrapped in a call of
//! `@pay`, which charges one unit and half the size of the operation's result, and each turn of a loop asks `@turn` first.
//! The charges follow what the interpreter copies: it clones what it selects. Functions whose work is more than
//! linear in what they are given (`replace`, `join`, `sets.*`, `distinct`, `matches`, `lists.range`) are our own,
//! and charge before they work. When the budget is spent all of these fail, and the result is void, whatever it is.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, operators};
use kube_cel::cel::extractors::{Arguments, This};
use kube_cel::cel::objects::{OptionalValue, Value};
use kube_cel::cel::parser::Parser;
use kube_cel::cel::{Context, ExecutionError};
use regex::Regex;

use super::value::escape;
use crate::{Schema, Type};

type Result<T> = std::result::Result<T, ExecutionError>;

/// How deeply the tree of a rule may be nested: evaluation recurses.
const MAX_DEPTH: usize = 64;

/// Patterns that are kept compiled, a thread.
const MAX_PATTERNS: usize = 64;

/// The longest text and list that a function may build.
const MAX_BUILT: usize = 4 * 1024 * 1024;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static PATTERNS: std::cell::RefCell<HashMap<String, Regex>> = std::cell::RefCell::new(HashMap::new());
    static BASE: Context<'static> = base();
}

/// Runs with a budget of so many units; returns what it yielded and what is left, none where all was spent.
pub(crate) fn with_budget<T>(units: u64, run: impl FnOnce() -> T) -> (T, Option<u64>) {
    LEFT.set(units.max(1));
    let out = run();
    let left = LEFT.get();
    (out, (left > 0).then_some(left))
}

/// Runs with the functions that rules know.
pub(crate) fn with_base<T>(run: impl FnOnce(&Context<'static>) -> T) -> T {
    BASE.with(run)
}

/// Charges units; an error where the budget does not have them.
fn charge(units: u64) -> Result<()> {
    let left = LEFT.get().saturating_sub(units);
    LEFT.set(left);
    if left == 0 { Err(ExecutionError::function_error("budget", "spent")) } else { Ok(()) }
}

/// What a value costs: half of its size. All that is alive at once has been paid for, so memory is bounded as well.
fn weigh(value: &Value) -> u64 {
    1 + measure(value) / 2
}

/// The nodes of a value and 16 bytes each of its texts.
fn measure(value: &Value) -> u64 {
    match value {
        Value::List(items) => 1 + items.iter().map(measure).sum::<u64>(),
        Value::Map(map) => 1 + map.map.values().map(|v| 2 + measure(v)).sum::<u64>(),
        Value::String(text) => 1 + text.len() as u64 / 16,
        Value::Bytes(bytes) => 1 + bytes.len() as u64 / 16,
        Value::Opaque(opaque) => {
            opaque.downcast_ref::<OptionalValue>().and_then(OptionalValue::value).map_or(1, measure)
        }
        _ => 1,
    }
}

/// An expression that pays for itself.
#[derive(Debug)]
pub(crate) struct Metered {
    pub(crate) expr: IdedExpr,
    /// Whether it mentions `oldSelf`.
    pub(crate) uses_old: bool,
    /// How deeply it is nested.
    pub(crate) depth: usize,
}

/// Compiles an expression over `self` and `oldSelf`, values of this schema, and rewrites it.
pub(crate) fn compile(text: &str, schema: &Schema) -> std::result::Result<Metered, String> {
    // Deep brackets cost the parser time before it refuses them.
    let nested = text.bytes().scan(0usize, |open, byte| {
        match byte {
            b'(' | b'[' | b'{' => *open += 1,
            b')' | b']' | b'}' => *open = open.saturating_sub(1),
            _ => {}
        }
        Some(*open)
    });
    if nested.max().unwrap_or_default() > MAX_DEPTH {
        return Err(too_deep());
    }
    let parsed = Parser::default().enable_optional_syntax(true).parse(text).map_err(|errors| {
        let words = errors.to_string();
        format!("compilation failed: {}", words.lines().next().unwrap_or("syntax error"))
    })?;
    let scope = vec!["self".to_owned(), "oldSelf".to_owned()];
    let mut meter = Meter { schema, scope, lists: Vec::new(), uses_old: false, deepest: 0 };
    let expr = meter.walk(parsed, 0)?;
    Ok(Metered { expr, uses_old: meter.uses_old, depth: meter.deepest })
}

fn too_deep() -> String {
    format!("the expression is nested more than {MAX_DEPTH} levels deep: split it into several rules")
}

/// Rewrites one expression.
struct Meter<'s> {
    /// What `self` is.
    schema: &'s Schema,
    scope: Vec<String>,
    /// The lists that loops around build.
    lists: Vec<String>,
    uses_old: bool,
    deepest: usize,
}

impl Meter<'_> {
    fn walk(&mut self, expr: IdedExpr, depth: usize) -> std::result::Result<IdedExpr, String> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        self.deepest = self.deepest.max(depth);
        let id = expr.id;
        let depth = depth + 1;
        let (expr, pays) = match expr.expr {
            Expr::Unspecified | Expr::Struct(_) => {
                return Err("message literals are not supported: compare fields instead".to_owned());
            }
            Expr::Literal(literal) => (Expr::Literal(literal), false),
            Expr::Ident(name) => {
                if !self.scope.contains(&name) && !TYPE_NAMES.contains(&name.as_str()) {
                    return Err(format!("undeclared reference to '{name}' (in container '')"));
                }
                self.uses_old |= name == "oldSelf";
                (Expr::Ident(name), false)
            }
            Expr::Call(call) => self.call(call, depth)?,
            Expr::Select(mut select) => {
                let test = select.test;
                self.known_field(&select.operand, &select.field)?;
                *select.operand = self.walk(*select.operand, depth)?;
                (Expr::Select(select), !test)
            }
            Expr::List(mut list) => {
                list.elements = self.operands(list.elements, depth)?;
                (Expr::List(list), true)
            }
            Expr::Map(mut map) => {
                map.entries =
                    map.entries.into_iter().map(|e| self.entry(e, depth)).collect::<std::result::Result<_, _>>()?;
                (Expr::Map(map), true)
            }
            Expr::Comprehension(loop_) => (Expr::Comprehension(Box::new(self.comprehension(*loop_, depth)?)), true),
        };
        let expr = IdedExpr { id, expr };
        Ok(if pays { pay(expr) } else { expr })
    }

    /// Refuses a field that the schema of its object does not have, where both are known.
    fn known_field(&self, operand: &IdedExpr, field: &str) -> std::result::Result<(), String> {
        let Some(schema) = self.schema_of(operand) else { return Ok(()) };
        let open = schema.ty != Type::Object || schema.preserve_unknown || schema.additional.is_some();
        let implied = matches!(field, "apiVersion" | "kind" | "metadata");
        if open || implied || schema.properties.keys().any(|name| escape(name) == field) {
            return Ok(());
        }
        Err(format!("undefined field '{field}'"))
    }

    /// The schema of a plain chain of fields that begins with `self`.
    fn schema_of(&self, expr: &IdedExpr) -> Option<&Schema> {
        match &expr.expr {
            Expr::Ident(name) if name == "self" && self.scope.iter().filter(|v| *v == "self").count() == 1 => {
                Some(self.schema)
            }
            Expr::Select(select) if !select.test => {
                let schema = self.schema_of(&select.operand)?;
                let (_, below) = schema.properties.iter().find(|(name, _)| escape(name) == select.field)?;
                Some(below)
            }
            _ => None,
        }
    }

    /// Operands that are copied or compared whole: names pay too.
    fn operands(&mut self, operands: Vec<IdedExpr>, depth: usize) -> std::result::Result<Vec<IdedExpr>, String> {
        operands.into_iter().map(|operand| self.operand(operand, depth)).collect()
    }

    fn operand(&mut self, operand: IdedExpr, depth: usize) -> std::result::Result<IdedExpr, String> {
        let named = matches!(operand.expr, Expr::Ident(_));
        let walked = self.walk(operand, depth)?;
        Ok(if named { pay(walked) } else { walked })
    }

    fn call(&mut self, mut call: CallExpr, depth: usize) -> std::result::Result<(Expr, bool), String> {
        let lazy = [
            operators::CONDITIONAL,
            operators::LOGICAL_AND,
            operators::LOGICAL_OR,
            operators::LOGICAL_NOT,
            operators::NOT_STRICTLY_FALSE,
        ];
        if lazy.contains(&call.func_name.as_str()) {
            let args = std::mem::take(&mut call.args);
            call.args = args.into_iter().map(|arg| self.walk(arg, depth)).collect::<std::result::Result<_, _>>()?;
            return Ok((Expr::Call(call), false));
        }
        if call.func_name == operators::ADD
            && let [IdedExpr { expr: Expr::Ident(list), .. }, _] = call.args.as_slice()
            && self.lists.contains(list)
        {
            let args = std::mem::take(&mut call.args);
            call.args = args.into_iter().map(|arg| self.walk(arg, depth)).collect::<std::result::Result<_, _>>()?;
            let grown = IdedExpr { id: 0, expr: Expr::Call(call) };
            return Ok((self::call("@grow", vec![grown]).expr, false));
        }
        let indexed =
            [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT].contains(&call.func_name.as_str());
        let mut qualified = None;
        if let Some(target) = call.target.take() {
            let library = match &target.expr {
                Expr::Ident(name) if !self.scope.contains(name) => Some(name.clone()),
                _ => None,
            };
            call.target = Some(Box::new(match library {
                Some(name) => {
                    qualified = Some(format!("{name}.{}", call.func_name));
                    *target
                }
                None => self.operand(*target, depth)?,
            }));
        }
        let name = qualified.unwrap_or_else(|| call.func_name.clone());
        if call.func_name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !exists(&name) {
            return Err(format!("undeclared reference to '{name}' (in container '')"));
        }
        let args = std::mem::take(&mut call.args);
        call.args = if indexed {
            args.into_iter().map(|arg| self.walk(arg, depth)).collect::<std::result::Result<_, _>>()?
        } else {
            self.operands(args, depth)?
        };
        Ok((Expr::Call(call), true))
    }

    fn entry(&mut self, mut entry: IdedEntryExpr, depth: usize) -> std::result::Result<IdedEntryExpr, String> {
        match &mut entry.expr {
            EntryExpr::StructField(_) => return Err("message literals are not supported".to_owned()),
            EntryExpr::MapEntry(pair) => {
                pair.key = self.walk(std::mem::take(&mut pair.key), depth)?;
                pair.value = self.operand(std::mem::take(&mut pair.value), depth)?;
            }
        }
        Ok(entry)
    }

    fn comprehension(
        &mut self,
        mut loop_: ComprehensionExpr,
        depth: usize,
    ) -> std::result::Result<ComprehensionExpr, String> {
        loop_.iter_range = self.operand(loop_.iter_range, depth)?;
        loop_.accu_init = self.walk(loop_.accu_init, depth)?;
        let outer = self.scope.len();
        self.scope.push(loop_.accu_var.clone());
        self.scope.push(loop_.iter_var.clone());
        self.lists.push(loop_.accu_var.clone());
        let condition = self.walk(loop_.loop_cond, depth)?;
        let turn = call("@turn", vec![]);
        loop_.loop_cond = call(operators::LOGICAL_AND, vec![turn, condition]);
        loop_.loop_step = self.walk(loop_.loop_step, depth)?;
        self.lists.pop();
        self.scope.truncate(outer + 1);
        loop_.result = self.walk(loop_.result, depth)?;
        self.scope.truncate(outer);
        Ok(loop_)
    }
}

const TYPE_NAMES: [&str; 9] = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type"];

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::UInt(_) => "uint",
        Value::Float(_) => "double",
        Value::String(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Null => "null_type",
        Value::Timestamp(_) => "timestamp",
        Value::Duration(_) => "duration",
        _ => "dyn",
    }
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

fn pay(expr: IdedExpr) -> IdedExpr {
    call("@pay", vec![expr])
}

/// Whether a function of this name is registered: called with nothing, it fails in another way than an unknown one.
fn exists(name: &str) -> bool {
    let (target, func_name) = match name.split_once('.') {
        Some((library, func_name)) => {
            (Some(Box::new(IdedExpr { id: 0, expr: Expr::Ident(library.to_owned()) })), func_name)
        }
        None => (None, name),
    };
    let probe =
        IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: func_name.to_owned(), target, args: vec![] }) };
    let (result, _) = with_budget(1000, || with_base(|base| Value::resolve(&probe, base)));
    !matches!(result, Err(ExecutionError::UndeclaredReference(_)))
}

/// The functions of Kubernetes, with ours in place of those whose work has to be charged before it is done.
fn base() -> Context<'static> {
    let mut base = Context::default();
    base.register_all();
    base.add_function("@pay", |value: Value| -> Result<Value> {
        charge(weigh(&value))?;
        Ok(value)
    });
    // The crate knows no types as values: each is a text that no other value is likely to be.
    for name in TYPE_NAMES {
        base.add_variable_from_value(name, format!("type {name}"));
    }
    base.add_function("type", |value: Value| -> Result<Value> {
        Ok(Value::String(Arc::new(format!("type {}", type_name(&value)))))
    });
    // A loop that makes its list longer copies it each time, and keeps only the last.
    base.add_function("@grow", |value: Value| -> Result<Value> {
        charge(1 + measure(&value) / 16)?;
        Ok(value)
    });
    base.add_function("@turn", || -> Result<Value> {
        charge(1)?;
        Ok(Value::Bool(true))
    });
    base.add_function("matches", matches);
    base.add_function("find", |This(text): This<Arc<String>>, pattern: Arc<String>| -> Result<Value> {
        let found = with_regex(&pattern, text.len(), |regex| regex.find(&text).map(|m| m.as_str().to_owned()))?;
        Ok(Value::String(Arc::new(found.unwrap_or_default())))
    });
    base.add_function("replace", replace);
    base.add_function("join", join);
    base.add_function("lists.range", |count: i64| -> Result<Value> {
        let count = built(count.max(0) as u64)?;
        Ok(Value::List(Arc::new((0..count as i64).map(Value::Int).collect())))
    });
    base.add_function("distinct", |This(items): This<Arc<Vec<Value>>>| -> Result<Value> {
        let mut out: Vec<Value> = Vec::new();
        for item in items.iter() {
            charge(out.len() as u64 / 2 + weigh(item))?;
            if !out.contains(item) {
                out.push(item.clone());
            }
        }
        Ok(Value::List(Arc::new(out)))
    });
    base.add_function("sets.contains", |all: Arc<Vec<Value>>, some: Arc<Vec<Value>>| -> Result<Value> {
        Ok(Value::Bool(within(&some, &all)?))
    });
    base.add_function("sets.equivalent", |a: Arc<Vec<Value>>, b: Arc<Vec<Value>>| -> Result<Value> {
        Ok(Value::Bool(within(&a, &b)? && within(&b, &a)?))
    });
    base.add_function("sets.intersects", |a: Arc<Vec<Value>>, b: Arc<Vec<Value>>| -> Result<Value> {
        for item in a.iter() {
            charge(b.len() as u64 / 2 + weigh(item))?;
            if b.contains(item) {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    });
    base
}

fn within(some: &[Value], all: &[Value]) -> Result<bool> {
    for item in some {
        charge(all.len() as u64 / 2 + weigh(item))?;
        if !all.contains(item) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Charges for something of this size before it is built.
fn built(size: u64) -> Result<u64> {
    charge(1 + size / 2)?;
    if size > MAX_BUILT as u64 {
        return Err(ExecutionError::function_error("budget", "the result would be too large"));
    }
    Ok(size)
}

fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<bool> {
    with_regex(&pattern, text.len(), |regex| regex.is_match(&text))
}

/// Runs a compiled pattern over a text of this length; patterns are kept, since rules repeat them.
fn with_regex<T>(pattern: &str, length: usize, run: impl FnOnce(&Regex) -> T) -> Result<T> {
    charge(1 + length as u64 / 64)?;
    PATTERNS.with_borrow_mut(|patterns| {
        if !patterns.contains_key(pattern) {
            // Some milliseconds at most, by the bound on a compiled pattern.
            charge(5_000)?;
            let regex = crate::pattern::compile(pattern).map_err(|why| {
                ExecutionError::function_error("matches", format!("'{pattern}' not a valid regex: {why}"))
            })?;
            if patterns.len() >= MAX_PATTERNS {
                patterns.clear();
            }
            patterns.insert(pattern.to_owned(), regex);
        }
        Ok(run(&patterns[pattern]))
    })
}

fn replace(This(text): This<Arc<String>>, from: Arc<String>, Arguments(args): Arguments) -> Result<Value> {
    // Arguments holds all that was given: the old text, the new one and how many times.
    let to = match args.get(1) {
        Some(Value::String(to)) => to.clone(),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    let times = match args.get(2) {
        None => usize::MAX,
        Some(Value::Int(n)) if *n < 0 => usize::MAX,
        Some(Value::Int(n)) => *n as usize,
        Some(_) => return Err(ExecutionError::NoSuchOverload),
    };
    let hits = text.matches(from.as_str()).count().min(times);
    built((hits as u64).saturating_mul(to.len() as u64).saturating_add(text.len() as u64) / 16)?;
    Ok(Value::String(Arc::new(text.replacen(from.as_str(), &to, times))))
}

fn join(This(items): This<Arc<Vec<Value>>>, Arguments(args): Arguments) -> Result<Value> {
    let separator = match args.first() {
        None => "",
        Some(Value::String(separator)) => separator.as_str(),
        Some(_) => return Err(ExecutionError::NoSuchOverload),
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items.iter() {
        let Value::String(text) = item else { return Err(ExecutionError::NoSuchOverload) };
        texts.push(text.as_str());
    }
    let length =
        texts.iter().map(|t| t.len() as u64).sum::<u64>() + (items.len() as u64).saturating_mul(separator.len() as u64);
    built(length / 16)?;
    Ok(Value::String(Arc::new(texts.join(separator))))
}
