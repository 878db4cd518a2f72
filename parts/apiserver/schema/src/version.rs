//! The order of a group's versions: the one that is preferred comes first.
//!
//! It is that of apimachinery's `CompareKubeAwareVersionStrings`, turned around so that a sort puts the preferred
//! version first, as discovery lists them and as CustomResourceDefinitions keep them.

use std::cmp::{Ordering, Reverse};

/// Stable before beta before alpha, then the greater number: `v10`, `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`; then
/// all names of another form, by their letters: `foo1`, `foo10`.
///
/// Equal only for equal names: `v1` and `v01`, which mean the same, are told apart by their letters.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let by_form = match (kube_version(a), kube_version(b)) {
        (Some(a), Some(b)) => Reverse(a).cmp(&Reverse(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    by_form.then_with(|| a.cmp(b))
}

/// How stable a version is; later is more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Alpha,
    Beta,
    Stable,
}

/// `v1beta2` as (beta, 1, 2); none for a name of another form, or with a number that is too large for one.
fn kube_version(name: &str) -> Option<(Stability, i64, i64)> {
    let rest = name.strip_prefix('v')?;
    let (major, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let major = number(major)?;
    if rest.is_empty() {
        return Some((Stability::Stable, major, 0));
    }
    let (stability, minor) = match rest.strip_prefix("beta") {
        Some(minor) => (Stability::Beta, minor),
        None => (Stability::Alpha, rest.strip_prefix("alpha")?),
    };
    Some((stability, major, number(minor)?))
}

/// Digits and nothing else: `parse` would take a sign.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &[&str]) {
        let mut versions = expected.to_vec();
        versions.reverse();
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, expected);
    }

    #[test]
    fn stable_then_beta_then_alpha_then_the_rest() {
        check(&["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]);
        check(&["v2", "v1", "v0", "v1beta10", "v1beta2", "v1alpha0"]);
    }

    #[test]
    fn what_only_looks_like_a_version_comes_last() {
        check(&["v1alpha1", "1", "V1", "v", "v+1", "v-1", "v1Beta1", "v1beta", "v1beta+2", "v1gamma1", "vbeta1"]);
        // Numbers that fit no integer are no numbers.
        check(&["v9223372036854775807", "v1", "v9223372036854775808"]);
    }

    #[test]
    fn only_equal_names_are_equal() {
        check(&["v01", "v1"]);
        assert_eq!(compare_versions("v1beta1", "v1beta1"), Ordering::Equal);
    }
}
