//! What all kinds of routes share: the reference to a parent and the status that a parent's controller writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use purlin_crd::bounds::ConditionSchema;
use purlin_crd::schema::{Rules, atomic, map_by};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::ControllerName;
use crate::refs::{gateway_group, reference};

fn gateway_kind() -> String {
    "Gateway".to_owned()
}

reference! {
    /// A Gateway, or one of its listeners, that a route attaches to.
    pub struct ParentReference {
        /// The parent's API group; empty for the core group.
        group = "gateway_group",
        /// The parent's kind.
        kind = "gateway_kind",
        /// The parent's name.
        name,
        /// The parent's namespace; the route's own when absent.
        namespace?,
        /// The port of the listeners to attach to; any port when absent.
        port?,
        /// The name of the listener to attach to; every listener that fits when absent.
        section_name?,
    }
}

/// References to the same parent have to name different sections.
pub(crate) const PARENT_RULES: Rules = &[
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

/// What one controller says about a route at one parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// How the route stands at this parent: Accepted, ResolvedRefs and more.
    #[schemars(with = "Vec<ConditionSchema>", length(min = 1, max = 8), transform = map_by("type"))]
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
