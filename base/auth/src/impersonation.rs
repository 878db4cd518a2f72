//! Acting as somebody else by the `Impersonate-*` headers.
//!
//! [`impersonation`] reads who is meant and lists what must be allowed first, one [`Check`] for each user, group, uid
//! and extra value, all with the verb `impersonate`. The caller authorizes every check before it uses the principal,
//! and removes the headers ([`is_impersonation_header`]) before it passes the request on.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::caller::{Principal, split_service_account};
use crate::rbac::{Attributes, Target};

const EXTRA: &str = "impersonate-extra-";
/// More checks than this are not asked for by anybody honest.
const MAX_CHECKS: usize = 128;

/// Whom a request wants to act as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// The user, complete with the groups that follow from it.
    pub principal: Principal,
    /// All of these must be allowed to the user who asks.
    pub checks: Vec<Check>,
}

/// One thing that a user must be allowed to impersonate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

impl Check {
    /// What RBAC is asked.
    pub fn attributes(&self) -> Attributes<'_> {
        let target = Target::Resource {
            group: self.group,
            resource: self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
        };
        Attributes { verb: "impersonate", target }
    }
}

/// Why impersonation headers are refused: a bad request (400).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpersonationError {
    /// Groups, a uid or extra values without a user.
    #[error("impersonation of groups, a uid or extra values needs the header Impersonate-User as well")]
    NoUser,
    /// A header that may stand once stands several times.
    #[error("the header {0} stands more than once")]
    Repeated(&'static str),
    /// A header's value is not text.
    #[error("the header {0} is not valid UTF-8")]
    NotText(String),
    /// Too many headers.
    #[error("more than {MAX_CHECKS} impersonation headers")]
    TooMany,
}

/// Whether `name` is one of the headers that ask for impersonation.
pub fn is_impersonation_header(name: &HeaderName) -> bool {
    matches!(name.as_str(), "impersonate-user" | "impersonate-group" | "impersonate-uid")
        || name.as_str().starts_with(EXTRA)
}

/// Whom `headers` ask to act as, where they do.
pub fn impersonation(headers: &HeaderMap) -> Result<Option<Impersonation>, ImpersonationError> {
    if headers.iter().filter(|(name, _)| is_impersonation_header(name)).count() > MAX_CHECKS {
        return Err(ImpersonationError::TooMany);
    }
    let user = single(headers, "impersonate-user")?;
    let uid = single(headers, "impersonate-uid")?;
    let groups = headers.get_all("impersonate-group").iter();
    let groups = groups.map(|value| text("Impersonate-Group", value)).collect::<Result<Vec<_>, _>>()?;
    let extra = extra(headers)?;
    let Some(user) = user else {
        let nothing = uid.is_none() && groups.is_empty() && extra.is_empty();
        return if nothing { Ok(None) } else { Err(ImpersonationError::NoUser) };
    };
    let mut checks = vec![match split_service_account(user) {
        Some((namespace, name)) => check("", "serviceaccounts", "", namespace, name),
        None => check("", "users", "", "", user),
    }];
    checks.extend(groups.iter().map(|group| check("", "groups", "", "", group)));
    const AUTHENTICATION: &str = "authentication.k8s.io";
    checks.extend(extra.iter().map(|(key, value)| check(AUTHENTICATION, "userextras", key, "", value)));
    checks.extend(uid.map(|uid| check(AUTHENTICATION, "uids", "", "", uid)));
    let mut principal = Principal { uid: uid.map(Arc::from), ..named(user, &groups) };
    for (key, value) in extra {
        principal.extra.entry(key).or_default().push(value);
    }
    Ok(Some(Impersonation { principal, checks }))
}

fn check(group: &'static str, resource: &'static str, subresource: &str, namespace: &str, name: &str) -> Check {
    Check { group, resource, subresource: subresource.into(), namespace: namespace.into(), name: name.into() }
}

/// `user` with `groups`, or with those of its service account when there are none, and the group that says whether it
/// is authenticated.
fn named(user: &str, groups: &[&str]) -> Principal {
    const AUTHENTICATED: &str = "system:authenticated";
    const UNAUTHENTICATED: &str = "system:unauthenticated";
    if groups.is_empty()
        && let Some((namespace, name)) = split_service_account(user)
    {
        return Principal::service_account(namespace, name);
    }
    let has = |group| groups.contains(&group);
    let implied = match user {
        "system:anonymous" => (!has(UNAUTHENTICATED)).then_some(UNAUTHENTICATED),
        _ => (!has(AUTHENTICATED) && !has(UNAUTHENTICATED)).then_some(AUTHENTICATED),
    };
    let groups = groups.iter().copied().chain(implied).map(Arc::from).collect();
    Principal { name: user.into(), groups, ..Default::default() }
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ImpersonationError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ImpersonationError::Repeated(name));
    }
    let value = first.map(|value| text(name, value)).transpose()?;
    Ok(value.filter(|value| !value.is_empty()))
}

fn extra(headers: &HeaderMap) -> Result<Vec<(String, String)>, ImpersonationError> {
    let mut extra = Vec::new();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(EXTRA) else { continue };
        // Keys may hold what header names may not. What is no text after decoding is taken as it stands.
        let key = percent_decode_str(key).decode_utf8().map_or_else(|_| key.to_owned(), |key| key.into_owned());
        extra.push((key, text(name.as_str(), value)?.to_owned()));
    }
    Ok(extra)
}

fn text<'a>(name: &str, value: &'a HeaderValue) -> Result<&'a str, ImpersonationError> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| ImpersonationError::NotText(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(headers: &[(&str, &str)]) -> Result<Option<Impersonation>, ImpersonationError> {
        let pairs = headers.iter().map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        impersonation(&map)
    }

    /// The user, its groups, and what must be allowed.
    fn check(headers: &[(&str, &str)], user: &str, groups: &[&str], checks: &[&str]) {
        let found = ask(headers).unwrap().unwrap();
        assert_eq!(&*found.principal.name, user);
        assert_eq!(found.principal.groups.iter().map(|g| &**g).collect::<Vec<_>>(), groups, "{headers:?}");
        let said =
            |check: &Check| [check.group, check.resource, &check.subresource, &check.namespace, &check.name].join("/");
        assert_eq!(found.checks.iter().map(said).collect::<Vec<_>>(), checks, "{headers:?}");
    }

    #[test]
    fn users_and_groups_follow_the_headers() {
        let user = |name| ("Impersonate-User", name);
        let group = |name| ("Impersonate-Group", name);
        check(&[user("ada")], "ada", &["system:authenticated"], &["/users///ada"]);
        let groups = ["/users///ada", "/groups///b", "/groups///a"];
        check(&[user("ada"), group("b"), group("a")], "ada", &["b", "a", "system:authenticated"], &groups);
        check(
            &[user("ada"), group("system:unauthenticated")],
            "ada",
            &["system:unauthenticated"],
            &["/users///ada", "/groups///system:unauthenticated"],
        );
        check(
            &[user("system:anonymous")],
            "system:anonymous",
            &["system:unauthenticated"],
            &["/users///system:anonymous"],
        );
        let account = "system:serviceaccount:ns:sa";
        check(
            &[user(account)],
            account,
            &["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"],
            &["/serviceaccounts//ns/sa"],
        );
        check(
            &[user(account), group("g")],
            account,
            &["g", "system:authenticated"],
            &["/serviceaccounts//ns/sa", "/groups///g"],
        );
    }

    #[test]
    fn extra_values_and_uids_are_checked_each() {
        let headers = [
            ("Impersonate-User", "ada"),
            ("Impersonate-Uid", "u1"),
            ("Impersonate-Extra-Acme.com%2Fproject", "x"),
            ("Impersonate-Extra-Acme.com%2Fproject", "y"),
        ];
        let extras = ["x", "y"].map(|value| format!("authentication.k8s.io/userextras/acme.com/project//{value}"));
        let checks = ["/users///ada", &extras[0], &extras[1], "authentication.k8s.io/uids///u1"];
        check(&headers, "ada", &["system:authenticated"], &checks);
        let principal = ask(&headers).unwrap().unwrap().principal;
        assert_eq!(principal.uid.as_deref(), Some("u1"));
        assert_eq!(principal.extra["acme.com/project"], ["x", "y"]);
    }

    #[test]
    fn incomplete_or_ambiguous_headers_are_refused() {
        assert_eq!(ask(&[("accept", "x")]), Ok(None));
        for header in ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-a"] {
            assert_eq!(ask(&[(header, "x")]), Err(ImpersonationError::NoUser), "{header}");
            assert_eq!(ask(&[(header, "x"), ("Impersonate-User", "")]), Err(ImpersonationError::NoUser), "{header}");
        }
        let twice = [("Impersonate-User", "a"), ("Impersonate-User", "b")];
        assert_eq!(ask(&twice), Err(ImpersonationError::Repeated("impersonate-user")));
        let mut many = vec![("Impersonate-User", "a")];
        many.extend([("Impersonate-Group", "g"); MAX_CHECKS]);
        assert_eq!(ask(&many), Err(ImpersonationError::TooMany));
    }
}
