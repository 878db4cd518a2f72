//! The caller of a request: established once at the door, carried in the request's extensions, audited at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A user as Kubernetes knows one (`UserInfo` of authentication.k8s.io/v1).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Principal {
    /// `system:serviceaccount:ns:name`, or a user's name.
    pub name: Arc<str>,
    /// Unique over time, where the authenticator knows it.
    pub uid: Option<Arc<str>>,
    /// `system:authenticated` and others.
    pub groups: Vec<Arc<str>>,
    /// What the authenticator adds.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Who sends a request, and in what circumstances.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// On whose behalf it is done.
    pub principal: Principal,
    /// Who really asks, where `principal` is impersonated.
    pub impersonator: Option<Principal>,
    /// Where the request comes from; none in process.
    pub address: Option<SocketAddr>,
    /// The W3C trace id, 32 hex digits, where the request carries one.
    pub trace: Option<Arc<str>>,
    /// `change` that led to this request (UUIDv7), where it says so.
    pub cause: Option<Arc<str>>,
}

impl Principal {
    /// The service account `system:serviceaccount:NAMESPACE:NAME` with its groups.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Principal {
            name: format!("system:serviceaccount:{namespace}:{name}").into(),
            uid: None,
            groups: vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}").into(),
                "system:authenticated".into(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// A part of purlin that asks in process: `system:serviceaccount:purlin-system:PART`.
    pub fn part(part: &str) -> Self {
        Self::service_account("purlin-system", part)
    }

    /// A user who shows no credentials.
    pub fn anonymous() -> Self {
        Principal {
            name: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            ..Default::default()
        }
    }

    /// Namespace and name, where this is a service account.
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        split_service_account(&self.name)
    }

    /// Whether the principal is a member of `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| **own == *group)
    }
}

/// Namespace and name of the service account that the user's name `name` stands for, where both are valid.
pub(crate) fn split_service_account(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let valid = is_label(namespace) && name.len() <= 253 && name.split('.').all(is_label_of_any_length);
    valid.then_some((namespace, name))
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_of_any_length(text)
}

fn is_label_of_any_length(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_service_accounts_are_taken_apart() {
        let check = |name: &str, expected| assert_eq!(split_service_account(name), expected, "{name}");
        check("system:serviceaccount:ns:name.with-dots", Some(("ns", "name.with-dots")));
        for name in ["ada", "system:serviceaccount:ns", "system:serviceaccount::a", "system:serviceaccount:n.s:a"] {
            check(name, None);
        }
        for name in ["system:serviceaccount:ns:a:b", "system:serviceaccount:ns:A", "system:serviceaccount:ns:a..b"] {
            check(name, None);
        }
        assert_eq!(Principal::part("gateway").as_service_account(), Some(("purlin-system", "gateway")));
    }
}
