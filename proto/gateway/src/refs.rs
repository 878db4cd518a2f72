//! References from one object to another, as several kinds use them.

/// A struct that refers to what `to` says, in words. The fields `group`, `kind`, `name` and `namespace` have their type,
/// bounds and description from here, so that no kind can differ in them; `kind = "secret_kind"` names what makes the
/// default. `backend` stands for the fields of a reference to a backend, `weight` for its
/// share. Other fields stand as they are.
macro_rules! reference {
    ($(#[$meta:meta])* pub struct $name:ident to $noun:literal { $($fields:tt)* }) => {
        $crate::refs::reference!(@ ($(#[$meta])* pub struct $name) $noun () $($fields)*);
    };
    (@ ($($head:tt)*) $noun:literal ($($done:tt)*)) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase")]
        $($head)* { $($done)* }
    };
    (@ $head:tt $noun:literal ($($done:tt)*) group $(= $default:literal)?, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun (
            $($done)*
            #[doc = concat!("The ", $noun, "'s API group; empty for the core group.")]
            #[schemars(with = "purlin_crd::bounds::GroupName")]
            $(#[serde(default = $default)])?
            pub group: String,
        ) $($rest)*);
    };
    (@ $head:tt $noun:literal ($($done:tt)*) kind $(= $default:literal)?, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun (
            $($done)*
            #[doc = concat!("The ", $noun, "'s kind.")]
            #[schemars(with = "purlin_crd::bounds::KindName")]
            $(#[serde(default = $default)])?
            pub kind: String,
        ) $($rest)*);
    };
    (@ $head:tt $noun:literal ($($done:tt)*) name, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun (
            $($done)*
            #[doc = concat!("The ", $noun, "'s name.")]
            #[schemars(with = "purlin_crd::bounds::ObjectName")]
            pub name: String,
        ) $($rest)*);
    };
    (@ $head:tt $noun:literal ($($done:tt)*) namespace, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun (
            $($done)*
            #[doc = concat!("The ", $noun, "'s namespace; the referrer's own when absent.")]
            #[schemars(with = "Option<purlin_crd::bounds::NamespaceName>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub namespace: Option<String>,
        ) $($rest)*);
    };
    (@ $head:tt $noun:literal $done:tt backend, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun $done
            group = "String::new",
            kind = "crate::backend::service_kind",
            name,
            namespace,
            /// The Service's port (not the target port); needed for a Service.
            #[schemars(with = "Option<purlin_crd::bounds::PortNumber>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub port: Option<u16>,
            $($rest)*
        );
    };
    (@ $head:tt $noun:literal $done:tt weight, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun $done
            /// The backend's share: its weight over the sum of all weights of the rule; 0 gets nothing.
            #[schemars(with = "crate::bounds::Weight")]
            #[serde(default = "crate::backend::one")]
            pub weight: i32,
            $($rest)*
        );
    };
    (@ $head:tt $noun:literal ($($done:tt)*) $(#[$meta:meta])* pub $field:ident: $type:ty, $($rest:tt)*) => {
        $crate::refs::reference!(@ $head $noun ($($done)* $(#[$meta])* pub $field: $type,) $($rest)*);
    };
}

pub(crate) use reference;

pub(crate) fn gateway_group() -> String {
    crate::GROUP.to_owned()
}

fn secret_kind() -> String {
    "Secret".to_owned()
}

reference! {
    /// An object in the same namespace.
    pub struct LocalObjectReference to "object" {
        group,
        kind,
        name,
    }
}

reference! {
    /// An object in this or, where a ReferenceGrant allows it, in another namespace.
    pub struct ObjectReference to "object" {
        group,
        kind,
        name,
        namespace,
    }
}

reference! {
    /// A Secret, in this or, where a ReferenceGrant allows it, in another namespace.
    pub struct SecretObjectReference to "object" {
        group = "String::new",
        kind = "secret_kind",
        name,
        namespace,
    }
}
