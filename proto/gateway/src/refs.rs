//! References from one object to another, as several kinds use them.

use purlin_crd::schema::{Rules, rules};

/// A struct with the fields of a reference: those that are written by their name only have their type and bounds from
/// here, so that no kind can differ in them. `kind = "service_kind"` names what makes the default. Other fields stand
/// as they are.
macro_rules! reference {
    ($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* }) => {
        $crate::refs::reference!(@ ($(#[$meta])* pub struct $name) () $($fields)*);
    };
    (@ ($($head:tt)*) ($($done:tt)*)) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase")]
        $($head)* { $($done)* }
    };
    (@ $head:tt $done:tt $(#[$meta:meta])* group $(= $default:literal)?, $($rest:tt)*) => {
        $crate::refs::reference!(
            @ $head $done @ "purlin_crd::bounds::GroupName" $(#[$meta])* group $(= $default)?, $($rest)*
        );
    };
    (@ $head:tt $done:tt $(#[$meta:meta])* kind $(= $default:literal)?, $($rest:tt)*) => {
        $crate::refs::reference!(
            @ $head $done @ "purlin_crd::bounds::KindName" $(#[$meta])* kind $(= $default)?, $($rest)*
        );
    };
    (@ $head:tt $done:tt $(#[$meta:meta])* name, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $done @ "purlin_crd::bounds::ObjectName" $(#[$meta])* name, $($rest)*);
    };
    (@ $head:tt $done:tt $(#[$meta:meta])* namespace?, $($rest:tt)*) => {
        $crate::refs::reference!(
            @ $head $done ? "Option<purlin_crd::bounds::NamespaceName>" $(#[$meta])* namespace: String, $($rest)*
        );
    };
    (@ $head:tt $done:tt $(#[$meta:meta])* port?, $($rest:tt)*) => {
        $crate::refs::reference!(
            @ $head $done ? "Option<purlin_crd::bounds::PortNumber>" $(#[$meta])* port: u16, $($rest)*
        );
    };
    (@ $head:tt $done:tt $(#[$meta:meta])* section_name?, $($rest:tt)*) => {
        $crate::refs::reference!(
            @ $head $done ? "Option<purlin_crd::bounds::SectionName>" $(#[$meta])* section_name: String, $($rest)*
        );
    };
    (@ $head:tt ($($done:tt)*) $(#[$meta:meta])* pub $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head ($($done)* $(#[$meta])* pub $field: $type,) $($rest)*);
    };
    (@ $head:tt ($($done:tt)*) @ $bounds:literal $(#[$meta:meta])* $field:ident $(= $default:literal)?,
        $($rest:tt)*) => {
        $crate::refs::reference!(@ $head (
            $($done)*
            $(#[$meta])*
            #[schemars(with = $bounds)]
            $(#[serde(default = $default)])?
            pub $field: String,
        ) $($rest)*);
    };
    (@ $head:tt ($($done:tt)*) ? $bounds:literal $(#[$meta:meta])* $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head (
            $($done)*
            $(#[$meta])*
            #[schemars(with = $bounds)]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub $field: Option<$type>,
        ) $($rest)*);
    };
}

pub(crate) use reference;

pub(crate) fn gateway_group() -> String {
    crate::GROUP.to_owned()
}

fn secret_kind() -> String {
    "Secret".to_owned()
}

pub(crate) fn service_kind() -> String {
    "Service".to_owned()
}

reference! {
    /// An object in the same namespace.
    pub struct LocalObjectReference {
        /// The object's API group; empty for the core group.
        group,
        /// The object's kind.
        kind,
        /// The object's name.
        name,
    }
}

reference! {
    /// An object in this or, where a ReferenceGrant allows it, in another namespace.
    pub struct ObjectReference {
        /// The object's API group; empty for the core group.
        group,
        /// The object's kind.
        kind,
        /// The object's name.
        name,
        /// The object's namespace; the referrer's own when absent.
        namespace?,
    }
}

reference! {
    /// A Secret, in this or, where a ReferenceGrant allows it, in another namespace.
    pub struct SecretObjectReference {
        /// The object's API group; empty for the core group.
        group = "String::new",
        /// The object's kind.
        kind = "secret_kind",
        /// The object's name.
        name,
        /// The object's namespace; the referrer's own when absent.
        namespace?,
    }
}

/// A Service cannot be reached without a port.
pub(crate) const SERVICE_HAS_PORT: Rules = &[(
    "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
    "Must have port for Service reference",
)];

reference! {
    /// A backend, in this or, where a ReferenceGrant allows it, in another namespace.
    #[schemars(transform = rules(SERVICE_HAS_PORT))]
    pub struct BackendObjectReference {
        /// The backend's API group; empty for the core group.
        group = "String::new",
        /// The backend's kind.
        kind = "service_kind",
        /// The backend's name.
        name,
        /// The backend's namespace; the route's own when absent.
        namespace?,
        /// The Service's port (not the target port); needed for a Service.
        port?,
    }
}
