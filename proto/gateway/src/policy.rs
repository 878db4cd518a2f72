//! Policies, which say something about other objects of their namespace: what they are attached to, and how they stand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use purlin_crd::bounds::{Conditions, SectionName};
use purlin_crd::schema::{Rules, atomic, rules};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::bounds::ControllerName;
use crate::refs::reference;
use crate::route::ParentReference;

reference! {
    /// An object in the policy's namespace, or a part of one, that a policy is attached to.
    pub struct PolicyTargetReference to "target" {
        group,
        kind,
        name,
        /// The part of the target that is meant: a port of a Service, a listener of a Gateway, a rule of a route; all of
        /// the target when absent.
        #[schemars(with = "Option<SectionName>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub section_name: Option<String>,
    }
}

/// References to the same target have to name different sections.
const TARGET_RULES: Rules = &[
    (
        "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name ? \
         ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))",
        "sectionName must be specified when targetRefs includes 2 or more references to the same target",
    ),
    (
        "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && \
         (((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || \
         (has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName))))",
        "sectionName must be unique when targetRefs includes 2 or more references to the same target",
    ),
];

/// The list of a policy's targets, for the schemas of policies: `#[schemars(transform = policy_targets)]`.
pub fn policy_targets(schema: &mut Schema) {
    schema.insert("minItems".into(), 1.into());
    schema.insert("maxItems".into(), 16.into());
    atomic(schema);
    rules(TARGET_RULES).transform(schema);
}

/// What one controller says about a policy at one ancestor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// The object that the policy takes effect at, mostly the Gateway above the target.
    pub ancestor_ref: ParentReference,
    /// How the policy stands at this ancestor: Accepted and more.
    #[schemars(with = "Conditions", length(min = 1))]
    pub conditions: Vec<Condition>,
    /// The controller that wrote this entry, as in its GatewayClass.
    #[schemars(with = "ControllerName")]
    pub controller_name: String,
}

/// How a policy stands at each of its ancestors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyStatus {
    /// One entry for each ancestor and controller; a controller leaves the entries of others alone.
    #[schemars(length(max = 16), transform = atomic)]
    pub ancestors: Vec<PolicyAncestorStatus>,
}
