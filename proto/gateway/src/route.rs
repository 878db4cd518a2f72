//! What all kinds of routes share: the references to parents and the status that a parent's controller writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use purlin_crd::bounds::{Conditions, PortNumber, SectionName};
use purlin_crd::schema::{Rules, atomic, rule, rules};
use schemars::transform::Transform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::bounds::ControllerName;
use crate::refs::{gateway_group, reference};

pub(crate) fn gateway_kind() -> String {
    "Gateway".to_owned()
}

reference! {
    /// A Gateway, or one of its listeners, that a route attaches to.
    pub struct ParentReference to "parent" {
        group = "gateway_group",
        kind = "gateway_kind",
        name,
        namespace,
        /// The port of the listeners to attach to; any port when absent.
        #[schemars(with = "Option<PortNumber>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub port: Option<u16>,
        /// The name of the listener to attach to; every listener that fits when absent.
        #[schemars(with = "Option<SectionName>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub section_name: Option<String>,
    }
}

/// References to the same parent have to name different sections.
const PARENT_RULES: Rules = &[
    (
        "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && \
         (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || \
         (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) ? \
         ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))",
        "sectionName must be specified when parentRefs includes 2 or more references to the same parent",
    ),
    (
        "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && \
         (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || \
         (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) && \
         (((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || \
         (has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName))))",
        "sectionName must be unique when parentRefs includes 2 or more references to the same parent",
    ),
];

/// The list of a route's parents.
pub(crate) fn parent_refs(schema: &mut Schema) {
    schema.insert("maxItems".into(), 32.into());
    atomic(schema);
    rules(PARENT_RULES).transform(schema);
}

/// All rules of a list together have at most 128 matches; `count` is the CEL expression for the matches of one rule.
pub(crate) fn matches_total(count: fn(usize) -> String) -> impl Transform {
    move |schema: &mut Schema| {
        let counts: Vec<String> = (0..16).map(|i| format!("(self.size() > {i} ? {} : 0)", count(i))).collect();
        let message = "While 16 rules and 64 matches per rule are allowed, the total number of matches across all \
                       rules in a route must be less than 128";
        rule(schema, &format!("{} <= 128", counts.join(" + ")), message);
    }
}

/// What one controller says about a route at one parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// How the route stands at this parent: Accepted, ResolvedRefs and more.
    #[schemars(with = "Conditions", length(min = 1))]
    pub conditions: Vec<Condition>,
    /// The controller that wrote this entry, as in its GatewayClass.
    #[schemars(with = "ControllerName")]
    pub controller_name: String,
    /// The parent, as the route's parentRefs name it.
    pub parent_ref: ParentReference,
}

/// How a route stands at each of its parents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteStatus {
    /// One entry for each parent and controller; a controller leaves the entries of others alone.
    #[schemars(length(max = 32), transform = atomic)]
    pub parents: Vec<RouteParentStatus>,
}
