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
}
