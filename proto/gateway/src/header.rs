//! HTTP headers, which gRPC has too: how routes compare and change them.

use purlin_crd::bounds::{HeaderName, HeaderValue};
use purlin_crd::open_enum;
use purlin_crd::schema::{map_by, set};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

open_enum! {
    /// How a header or a query parameter is compared.
    pub enum ValueMatchType {
        Exact = "Exact",
        RegularExpression = "RegularExpression",
    }
}

pub(crate) fn exact() -> ValueMatchType {
    ValueMatchType::Exact
}

/// A header that has to be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpHeaderMatch {
    /// The header's name, in any case; of entries with the same name the first counts.
    #[schemars(with = "HeaderName")]
    pub name: String,
    /// Exact or RegularExpression.
    #[serde(rename = "type", default = "exact")]
    pub type_: ValueMatchType,
    /// What the header's value is compared with.
    #[schemars(with = "HeaderValue")]
    pub value: String,
}

/// Changes to headers; names are in any case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpHeaderFilter {
    /// Headers that get one more value.
    #[schemars(length(max = 16), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HttpHeader>,
    /// Names of headers that are taken away.
    #[schemars(length(max = 16), transform = set)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Headers that get this value in place of all others.
    #[schemars(length(max = 16), transform = map_by("name"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HttpHeader>,
}

/// A header with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpHeader {
    /// The header's name.
    #[schemars(with = "HeaderName")]
    pub name: String,
    /// The header's value.
    #[schemars(with = "HeaderValue")]
    pub value: String,
}
