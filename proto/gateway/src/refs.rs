//! References from one object to another, as several kinds use them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{GroupName, KindName, NamespaceName, ObjectName, PortNumber, rules};

pub(crate) fn gateway_group() -> String {
    crate::GROUP.to_owned()
}

fn secret_kind() -> String {
    "Secret".to_owned()
}

pub(crate) fn service_kind() -> String {
    "Service".to_owned()
}

/// An object in the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalObjectReference {
    /// The object's API group; empty for the core group.
    #[schemars(with = "GroupName")]
    pub group: String,
    /// The object's kind.
    #[schemars(with = "KindName")]
    pub kind: String,
    /// The object's name.
    #[schemars(with = "ObjectName")]
    pub name: String,
}

/// An object in this or, where a ReferenceGrant allows it, in another namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectReference {
    /// The object's API group; empty for the core group.
    #[schemars(with = "GroupName")]
    pub group: String,
    /// The object's kind.
    #[schemars(with = "KindName")]
    pub kind: String,
    /// The object's name.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// The object's namespace; the referrer's own when absent.
    #[schemars(with = "Option<NamespaceName>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A Secret, in this or, where a ReferenceGrant allows it, in another namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretObjectReference {
    /// The object's API group; empty for the core group.
    #[schemars(with = "GroupName")]
    #[serde(default)]
    pub group: String,
    /// The object's kind.
    #[schemars(with = "KindName")]
    #[serde(default = "secret_kind")]
    pub kind: String,
    /// The object's name.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// The object's namespace; the referrer's own when absent.
    #[schemars(with = "Option<NamespaceName>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A Service cannot be reached without a port.
pub(crate) const SERVICE_HAS_PORT: &[(&str, &str)] = &[(
    "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
    "Must have port for Service reference",
)];

/// A backend, in this or, where a ReferenceGrant allows it, in another namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules(SERVICE_HAS_PORT))]
pub struct BackendObjectReference {
    /// The backend's API group; empty for the core group.
    #[schemars(with = "GroupName")]
    #[serde(default)]
    pub group: String,
    /// The backend's kind.
    #[schemars(with = "KindName")]
    #[serde(default = "service_kind")]
    pub kind: String,
    /// The backend's name.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// The backend's namespace; the route's own when absent.
    #[schemars(with = "Option<NamespaceName>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The Service's port (not the target port); needed for a Service.
    #[schemars(with = "Option<PortNumber>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}
