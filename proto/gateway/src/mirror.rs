//! Copies of requests for a second backend.

use purlin_crd::bounds::{Percent, Positive, Whole};
use purlin_crd::schema::{Rules, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::BackendObjectReference;

const MIRROR_RULES: Rules = &[(
    "!(has(self.percent) && has(self.fraction))",
    "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
)];

/// A second backend that gets a copy of requests; its responses are dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules(MIRROR_RULES))]
pub struct HttpRequestMirrorFilter {
    /// The backend that gets the copies.
    pub backend_ref: BackendObjectReference,
    /// The share of requests that are copied, as a fraction; all when neither this nor percent is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
    /// The share of requests that are copied, in percent.
    #[schemars(with = "Option<Percent>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
}

const FRACTION_RULES: Rules =
    &[("self.numerator <= self.denominator", "numerator must be less than or equal to denominator")];

fn hundred() -> i64 {
    100
}

/// A share between 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules(FRACTION_RULES))]
pub struct Fraction {
    /// The lower part.
    #[schemars(with = "Positive")]
    #[serde(default = "hundred")]
    pub denominator: i64,
    /// The upper part.
    #[schemars(with = "Whole")]
    pub numerator: i64,
}
