//! ReferenceGrant: the owner of a namespace allows references into it.

use kube::CustomResource;
use purlin_crd::bounds::{NamespaceName, ObjectName};
use purlin_crd::schema::atomic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::refs::reference;

/// Who may refer to what in this namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1beta1",
    kind = "ReferenceGrant",
    namespaced,
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct ReferenceGrantSpec {
    /// Who may refer; each entry adds to the others.
    #[schemars(length(min = 1, max = 16), transform = atomic)]
    pub from: Vec<ReferenceGrantFrom>,
    /// What may be referred to; each entry adds to the others.
    #[schemars(length(min = 1, max = 16), transform = atomic)]
    pub to: Vec<ReferenceGrantTo>,
}

reference! {
    /// Objects of one kind in one namespace.
    pub struct ReferenceGrantFrom to "referrer" {
        group,
        kind,
        /// The referrer's namespace.
        #[schemars(with = "NamespaceName")]
        pub namespace: String,
    }
}

reference! {
    /// Objects of one kind in the grant's namespace, or one of them.
    pub struct ReferenceGrantTo to "target" {
        group,
        kind,
        /// The target's name; every object of the kind when absent.
        #[schemars(with = "Option<ObjectName>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
    }
}
