//! What a request asks for, by method and path: the `RequestInfo` of k8s.io/apiserver.
//!
//! `/api/v1/namespaces/NS/RESOURCE/NAME/SUBRESOURCE` and `/apis/GROUP/VERSION/...` are resource requests; all
//! else is a path that RBAC knows as a non-resource URL.

use http::Method;

/// A request for a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourceRequest {
    pub(crate) verb: Verb,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// What is to be done to a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verb {
    #[default]
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As RBAC and discovery call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A request, as authorization and dispatch see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestInfo {
    /// An object, a collection, or a subresource.
    Resource(ResourceRequest),
    /// Discovery, OpenAPI, health and the like.
    Path,
}

/// Reads method, path and the query's `watch` flag; None for a method that no resource has.
pub(crate) fn parse(method: &Method, path: &str, watch: bool) -> Option<RequestInfo> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Some(RequestInfo::Path),
    };
    let (prefixed, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, rest),
    };
    let (namespace, rest) = match rest {
        // `namespaces/x/finalize` and `namespaces/x/status` are subresources of the namespace itself.
        ["namespaces", _] | ["namespaces", _, "finalize" | "status"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, None, None),
        [resource, name] => (*resource, Some(*name), None),
        [resource, name, subresource @ ..] => (*resource, Some(*name), Some(subresource.join("/"))),
        [] => return Some(RequestInfo::Path),
    };
    // Of a single namespace, requests on itself carry its name as their namespace: so RBAC sees them.
    let namespace = match (namespace, resource, name) {
        (None, "namespaces", Some(name)) if group.is_empty() => Some(name),
        (namespace, ..) => namespace,
    };
    let verb = match (method.as_str(), name) {
        ("GET" | "HEAD", None) if watch || prefixed => Verb::Watch,
        // Of a single object, only the old prefix watches; the parameter is one of lists.
        ("GET" | "HEAD", Some(_)) if prefixed && subresource.is_none() => Verb::Watch,
        ("GET" | "HEAD", None) => Verb::List,
        ("GET" | "HEAD", Some(_)) => Verb::Get,
        ("POST", _) => Verb::Create,
        ("PUT", Some(_)) => Verb::Update,
        ("PATCH", Some(_)) => Verb::Patch,
        ("DELETE", Some(_)) => Verb::Delete,
        ("DELETE", None) => Verb::DeleteCollection,
        _ => return None,
    };
    Some(RequestInfo::Resource(ResourceRequest {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.map(str::to_owned),
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        subresource,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expected: &str) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = match parse(&method, path, false) {
            None => "none".to_owned(),
            Some(RequestInfo::Path) => "path".to_owned(),
            Some(RequestInfo::Resource(r)) => format!(
                "{} {}/{} {} ns={} name={} sub={}",
                r.verb.as_str(),
                r.group,
                r.version,
                r.resource,
                r.namespace.unwrap_or_default(),
                r.name.unwrap_or_default(),
                r.subresource.unwrap_or_default(),
            ),
        };
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn paths() {
        check("GET", "/api", "path");
        check("GET", "/apis/apps/v1", "path");
        check("GET", "/api/v1/pods", "list /v1 pods ns= name= sub=");
        check("POST", "/api/v1/namespaces", "create /v1 namespaces ns= name= sub=");
        check("GET", "/api/v1/namespaces/a", "get /v1 namespaces ns=a name=a sub=");
        check("PUT", "/api/v1/namespaces/a/finalize", "update /v1 namespaces ns=a name=a sub=finalize");
        check("GET", "/api/v1/namespaces/a/configmaps", "list /v1 configmaps ns=a name= sub=");
        check("DELETE", "/api/v1/namespaces/a/configmaps", "deletecollection /v1 configmaps ns=a name= sub=");
        check("GET", "/api/v1/namespaces/a/configmaps/b/", "get /v1 configmaps ns=a name=b sub=");
        check("PATCH", "/apis/g.io/v1/namespaces/a/w/b/status", "patch g.io/v1 w ns=a name=b sub=status");
        check("GET", "/apis/g.io/v1/watch/w", "watch g.io/v1 w ns= name= sub=");
        check("GET", "/apis/g.io/v1/watch/namespaces/a/w/b", "watch g.io/v1 w ns=a name=b sub=");
        check(
            "POST",
            "/api/v1/namespaces/a/serviceaccounts/b/token",
            "create /v1 serviceaccounts ns=a name=b sub=token",
        );
        check("PUT", "/api/v1/pods", "none");
        check("TRACE", "/api/v1/pods", "none");
        check("GET", "/healthz", "path");
    }
}
