//! The definitions against the facts of the specification, and against cases that touch each of them.

mod facts;

use purlin_gateway_api::cases::cases;
use purlin_gateway_api::crds;

#[test]
fn cases_are_judged_as_they_say_and_touch_every_fact() {
    let findings = purlin_crd::findings(&crds(), &cases());
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
