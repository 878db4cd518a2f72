use proptest::prelude::*;

use super::*;
use crate::fixture::{schema, widget};
use crate::{default_definition, definition};

/// A schema with one field `f` that has a rule.
fn ruled(mut node: Value, rule: Value) -> Schema {
    node["x-kubernetes-validations"] = json!([rule]);
    schema(json!({"type": "object", "properties": {"f": node}}))
}

fn errors(schema: &Schema, new: Value, old: Option<Value>) -> Vec<String> {
    let program = compile(schema).unwrap_or_else(|e| panic!("{e:?}"));
    let (new, old) = (json!({"f": new}), old.map(|old| json!({"f": old})));
    evaluate(&program, &new, old.as_ref()).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_rule(node: Value, rule: &str, good: Value, bad: Value) {
    let schema = ruled(node, json!({"rule": rule, "message": "no"}));
    assert_eq!(errors(&schema, good, None), Vec::<String>::new(), "{rule}");
    let refused = errors(&schema, bad, None);
    assert!(refused.len() == 1 && refused[0].ends_with(": no"), "{rule}: {refused:?}");
}

#[test]
fn the_widgets_rules_hold() {
    let mut crd = widget();
    default_definition(&mut crd);
    let def = definition(&crd).unwrap();
    let program = compile(&def.stored().schema).unwrap();
    let run = |new: Value, old: Option<Value>| -> Vec<String> {
        evaluate(&program, &new, old.as_ref()).iter().map(ToString::to_string).collect()
    };
    let of = |size: i64, color: &str| json!({"metadata": {"name": "a"}, "spec": {"size": size, "color": color}});
    assert_eq!(run(of(2, "red"), None), Vec::<String>::new());
    assert_eq!(run(of(2, "green"), None), ["spec: Invalid value: green widgets must be large"]);
    assert_eq!(run(of(1, "red"), Some(of(2, "red"))), ["spec: Invalid value: size may only grow"]);
    assert_eq!(run(of(3, "red"), Some(of(2, "red"))), Vec::<String>::new());
}

#[test]
fn rules_see_values_by_their_schema() {
    check_rule(json!({"type": "integer"}), "self > 3", json!(4), json!(3));
    check_rule(json!({"type": "number"}), "self > 3.5", json!(4), json!(3));
    check_rule(
        json!({"x-kubernetes-int-or-string": true}),
        "type(self) == string ? self == 'a' : self == 1",
        json!(1),
        json!("b"),
    );
    check_rule(
        json!({"type": "object", "properties": {"x-y": {"type": "integer"}, "namespace": {"type": "string"}, "a_b": {"type": "string"}}}),
        "self.x__dash__y == 1 && self.__namespace__ == 'n' && self.a_b == 'c'",
        json!({"x-y": 1, "namespace": "n", "a_b": "c"}),
        json!({"x-y": 2, "namespace": "n", "a_b": "c"}),
    );
    check_rule(
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        "self.all(k, k.startsWith('x-') && self[k] != '')",
        json!({"x-a": "b"}),
        json!({"y": "b"}),
    );
    check_rule(
        json!({"type": "string", "format": "date-time"}),
        "self > timestamp('2024-01-01T00:00:00Z')",
        json!("2024-01-01T00:00:01Z"),
        json!("2023-01-01T00:00:01Z"),
    );
    check_rule(json!({"type": "string", "format": "duration"}), "self > duration('1h')", json!("61m"), json!("59m"));
    check_rule(json!({"type": "string"}), r"self.matches('^\\d+$')", json!("12"), json!("a"));
    check_rule(
        json!({"type": "array", "items": {"type": "string"}}),
        "self.map(x, x + '!').join(',') == 'a!,b!' && sets.contains(self, ['a']) && self.exists_one(x, x == 'a')",
        json!(["a", "b"]),
        json!(["a", "c"]),
    );
    check_rule(
        json!({"type": "object", "properties": {"a": {"type": "string"}}}),
        "has(self.a) && self.?a.orValue('z') == 'b'",
        json!({"a": "b"}),
        json!({}),
    );
    check_rule(
        json!({"type": "string"}),
        "self.replace('a', 'b') == 'bbb' && quantity('1Ki').isGreaterThan(quantity('1'))",
        json!("aba"),
        json!("c"),
    );
}

#[test]
fn old_values_are_found_by_name_and_key() {
    let item = json!({"type": "object", "required": ["n"],
        "properties": {"n": {"type": "string"}, "v": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}});
    let list =
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": item});
    let schema = schema(json!({"type": "object", "properties": {"f": list}}));
    let old = json!([{"n": "a", "v": 1}, {"n": "b", "v": 5}]);
    assert_eq!(
        errors(&schema, json!([{"n": "b", "v": 5}, {"n": "c", "v": 0}]), Some(old.clone())),
        Vec::<String>::new()
    );
    assert_eq!(
        errors(&schema, json!([{"n": "b", "v": 4}]), Some(old)),
        ["f[0].v: Invalid value: 4: failed rule: self >= oldSelf"],
    );
    let immutable = ruled(
        json!({"type": "string"}),
        json!({"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": true}),
    );
    assert_eq!(errors(&immutable, json!("first"), None), Vec::<String>::new());
    assert_eq!(errors(&immutable, json!("x"), Some(json!("y"))), Vec::<String>::new());
    assert_eq!(errors(&immutable, json!("x"), None).len(), 1);
}

#[test]
fn rules_wait_for_good_types() {
    let schema = ruled(json!({"type": "integer", "maximum": 9}), json!({"rule": "self < 3", "message": "m"}));
    let program = compile(&schema).unwrap();
    let of = |value: Value| -> Vec<String> {
        validate_with_rules(&json!({"f": value}), &schema, &program, None).iter().map(ToString::to_string).collect()
    };
    assert_eq!(of(json!(2)), Vec::<String>::new());
    assert_eq!(of(json!(10)).len(), 2);
    let wrong = of(json!("x"));
    assert!(wrong.len() == 2 && wrong[1].contains("some validation rules were not checked"), "{wrong:?}");
}

#[test]
fn what_did_not_change_is_tolerated() {
    let schema = ruled(json!({"type": "integer"}), json!({"rule": "self < 3"}));
    assert_eq!(errors(&schema, json!(5), Some(json!(5))), Vec::<String>::new());
    assert_eq!(errors(&schema, json!(6), Some(json!(5))).len(), 1);
}

#[test]
fn refusals_name_the_field_the_reason_and_the_message() {
    let node = json!({"type": "object", "properties": {"a": {"type": "integer"}, "m": {"type": "object", "additionalProperties": {"type": "string"}}}});
    let rule = |extra: Value| {
        let mut rule = json!({"rule": "self.a < 3"});
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        ruled(node.clone(), rule)
    };
    for (extra, expected) in [
        (json!({}), "f: Invalid value: failed rule: self.a < 3"),
        (json!({"message": "m", "fieldPath": ".a"}), "f.a: Invalid value: m"),
        (json!({"message": "m", "fieldPath": ".m['x.y']"}), "f.m[x.y]: Invalid value: m"),
        (json!({"message": "m", "reason": "FieldValueForbidden"}), "f: Forbidden: m"),
        (json!({"message": "m", "reason": "FieldValueRequired"}), "f: Required value: m"),
        (json!({"message": "m", "messageExpression": "'got ' + string(self.a)"}), "f: Invalid value: got 7"),
        (json!({"message": "m", "messageExpression": "self.m['nothing']"}), "f: Invalid value: m"),
    ] {
        assert_eq!(errors(&rule(extra), json!({"a": 7}), None), [expected]);
    }
    let missing = rule(json!({"message": "m"}));
    assert_eq!(errors(&missing, json!({}), None), ["f: Invalid value: \"object\": no such key: a evaluating rule: m"]);
}

#[track_caller]
fn refused(node: Value, rule: Value, expected: &str) {
    let schema = ruled(node, rule);
    let errors: Vec<String> = check(&schema, "").iter().map(ToString::to_string).collect();
    assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
}

#[test]
fn broken_rules_are_refused_with_the_definition() {
    let text = json!({"type": "string"});
    refused(
        text.clone(),
        json!({"rule": "self =="}),
        "properties[f].x-kubernetes-validations[0].rule: Invalid value: \"self ==\": compilation failed",
    );
    refused(text.clone(), json!({"rule": "slef == 'a'"}), "undeclared reference to 'slef'");
    refused(
        json!({"type": "object", "properties": {"a-b": {"type": "object", "properties": {"c": {"type": "string"}}}}}),
        json!({"rule": "has(self.a__dash__b.c) && self.a__dash__b.d == 'x'"}),
        "undefined field 'd'",
    );
    refused(text.clone(), json!({"rule": "self.nofunc()"}), "undeclared reference to 'nofunc'");
    refused(text.clone(), json!({"rule": "Foo{a: 1} == self"}), "literals are not supported");
    refused(text.clone(), json!({"rule": "true", "messageExpression": "1 +"}), "messageExpression");
    refused(text.clone(), json!({"rule": "true", "fieldPath": ".x"}), "must be a valid path");
    refused(text.clone(), json!({"rule": "true", "optionalOldSelf": true}), "may not be set if oldSelf is not used");
    refused(
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"rule": format!("{}1 == 1", "1+".repeat(4900))}),
        "nested more than",
    );
    refused(text.clone(), json!({"rule": format!("self{} == ''", ".trim()".repeat(1400))}), "nested more than");
    refused(text, json!({"rule": "a".repeat(20_000)}), "may have 10000");
    let list = schema(json!({"type": "object", "properties": {"f": {"type": "array", "items": {"type": "string",
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}}));
    assert!(check(&list, "")[0].detail.contains("uncorrelatable portion of the schema within properties[f]"));
}

#[test]
fn no_nesting_overflows_the_parser() {
    for rule in [
        format!("{}true{}", "(".repeat(4900), ")".repeat(4900)),
        format!("{}1{} == 1", "[".repeat(4900), "]".repeat(4900)),
        format!("{}true", "!".repeat(9000)),
        format!("{}1 == 1", "-".repeat(9000)),
        format!("{}true", "true?true:".repeat(900)),
        format!("{}true", "true&&".repeat(1600)),
        format!("self{} == 1", "[0]".repeat(3000)),
        format!("{}true{}", "[1].all(x,".repeat(900), ")".repeat(900)),
    ] {
        // What matters is that there is an answer.
        let _ = check(&ruled(json!({"type": "array", "items": {"type": "string"}}), json!({"rule": rule})), "");
    }
}

#[test]
fn any_rule_fits_a_worker_stack() {
    // Chains around the bound up to which the caller's stack is used, and the deepest there is.
    for n in [SHALLOW - 2, SHALLOW, 60] {
        let schema = ruled(json!({"type": "string"}), json!({"rule": format!("self{} == 'a'", ".trim()".repeat(n))}));
        let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let run = thread.spawn(move || errors(&schema, json!("a"), None)).unwrap();
        assert_eq!(run.join().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn the_large_stack_is_the_callers_thread_and_outlives_a_panic() {
    let here = std::thread::current().id();
    assert_eq!(on_large_stack(|| -> u8 { panic!("a rule that panics") }), None);
    assert_eq!(on_large_stack(|| std::thread::current().id()), Some(here));
}

#[test]
fn expensive_rules_run_out_of_budget() {
    let list = json!({"type": "array", "items": {"type": "string"}});
    let many = json!(vec!["x"; 2000]);
    for rule in [
        "self.all(a, self.all(b, self.all(c, a == b)))",
        "self.map(a, self.map(b, a + b)).size() > 0 || true",
        "[self].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).size() == 1",
        "self.join('').replace('', self.join('').replace('', self.join('').replace('', self.join('')))).size() > 0",
        "lists.range(1000000000).size() > 0",
        "self.exists(a, self.exists(b, sets.contains(self, self) && false))",
    ] {
        let program = compile(&ruled(list.clone(), json!({"rule": rule, "message": "m"}))).unwrap();
        // A twentieth of the real budget: the interpreter is not optimised in tests.
        let budget = Budget { call: BUDGET.call / 20, object: BUDGET.object / 20 };
        let refused = evaluate_within(budget, &program, &json!({"f": many.clone()}), None);
        assert!(refused.len() == 1 && refused[0].detail.contains("cost"), "{rule}: {refused:?}");
    }
    let fine = ruled(list, json!({"rule": "self.all(a, a == 'x') && self.filter(a, a == 'x').size() == 2000"}));
    assert_eq!(errors(&fine, many, None), Vec::<String>::new());
}

#[test]
fn a_panic_of_the_interpreter_refuses() {
    let schema = ruled(json!({"type": "integer"}), json!({"rule": "-self > 0 || self % -1 == 0 || self / -1 > 0"}));
    let _ = errors(&schema, json!(i64::MIN), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_expression_can_end_the_process(rule in "(self|oldSelf|[a-c]|[0-9]|'x'|\\.|[-+*/%!<>=?:&|()\\[\\]{}, ]|all|map|has|size|matches|in){0,14}") {
        let schema = ruled(json!({"type": "string"}), json!({"rule": format!("true || {rule}")}));
        if let Ok(program) = compile(&schema) {
            evaluate(&program, &json!({"f": "x"}), Some(&json!({"f": "y"})));
        }
    }
}
