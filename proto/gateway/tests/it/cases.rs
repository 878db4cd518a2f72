//! Every case is judged as it says, and no fact is left that no case touches.

use std::collections::{BTreeMap, BTreeSet};

use purlin_gateway_api::cases::{Refusal, cases};
use purlin_gateway_api::crds;
use serde_json::Value;

use crate::judge::{Judge, facts};

/// The judge of each kind.
fn judges() -> BTreeMap<String, Judge> {
    let judge = |crd: &Value| Judge::new(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone());
    crds().iter().map(|crd| (crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(), judge(crd))).collect()
}

#[test]
fn cases_are_judged_as_they_say_and_touch_every_fact() {
    let judges = judges();
    let mut untouched: BTreeSet<String> = judges
        .iter()
        .flat_map(|(kind, judge)| facts(&judge.schema).into_iter().map(move |fact| format!("{kind}: {fact}")))
        .collect();
    let mut failures = Vec::new();
    for case in cases() {
        let kind = case.object["kind"].as_str().unwrap();
        let verdict = judges[kind].judge(&case.object, case.old.as_ref());
        for wrong in verdict.schema.iter().chain(&verdict.rules) {
            untouched.remove(&format!("{kind}: {}", wrong.fact));
        }
        check(&case.name, case.refused, verdict.said(), &mut failures);
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
    let list: Vec<String> = untouched.into_iter().collect();
    assert!(list.is_empty(), "{} facts are touched by no case:\n{}", list.len(), list.join("\n"));
}

fn check(name: &str, mut expected: Vec<Refusal>, mut said: Vec<Refusal>, failures: &mut Vec<String>) {
    expected.sort();
    said.sort();
    let fits = |(said, expected): (&Refusal, &Refusal)| said.at == expected.at && said.says.contains(&expected.says);
    if said.len() != expected.len() || !said.iter().zip(&expected).all(fits) {
        failures.push(format!("{name}\n  expected {expected:?}\n  said     {said:?}"));
    }
}

#[test]
fn names_are_unique_and_both_verdicts_are_there_for_each_kind() {
    let mut names = BTreeSet::new();
    let mut verdicts = BTreeSet::new();
    for case in cases() {
        verdicts.insert((case.object["kind"].to_string(), case.refused.is_empty()));
        assert!(names.insert(case.name.clone()), "twice: {}", case.name);
    }
    assert_eq!(verdicts.len(), 8);
}
