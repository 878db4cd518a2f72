//! Whether rules contain others: nobody may grant what they do not hold.
//!
//! A requested rule is a product of verbs, groups, resources and names (or of verbs and paths). It is taken apart into
//! single grants, each of which one held rule must contain.

use super::object::{PolicyRule, has, resource_matches, url_matches};

/// A requested rule that stands for more single grants than this counts as not held, unless one held rule contains
/// it as a whole: to compare them one by one would take too long.
const MAX_GRANTS: usize = 50_000;

/// The grants of `requested` that `held` does not contain; all is well when there are none.
pub fn covers(held: &[PolicyRule], requested: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut missing = Vec::new();
    for rule in requested {
        if held.iter().any(|own| contains(own, rule)) {
            continue;
        }
        if grants(rule).is_none_or(|count| count > MAX_GRANTS) {
            missing.push(rule.clone());
            continue;
        }
        let lacking = singles(rule).filter(|single| !held.iter().any(|own| contains(own, single)));
        missing.extend(lacking);
    }
    missing
}

/// How many single grants a rule stands for.
fn grants(rule: &PolicyRule) -> Option<usize> {
    let resources = rule.api_groups.len().checked_mul(rule.resources.len())?;
    let named = resources.checked_mul(rule.resource_names.len().max(1))?;
    named.checked_add(rule.non_resource_urls.len())?.checked_mul(rule.verbs.len())
}

fn singles(rule: &PolicyRule) -> impl Iterator<Item = PolicyRule> {
    let one = |value: &String| vec![value.clone()];
    rule.verbs.iter().flat_map(move |verb| {
        let on_resources = rule.api_groups.iter().flat_map(move |group| {
            rule.resources.iter().flat_map(move |resource| {
                let names: Vec<Vec<String>> = match rule.resource_names.is_empty() {
                    true => vec![Vec::new()],
                    false => rule.resource_names.iter().map(one).collect(),
                };
                names.into_iter().map(move |resource_names| PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names,
                    non_resource_urls: Vec::new(),
                })
            })
        });
        let on_paths = rule.non_resource_urls.iter().map(move |url| PolicyRule {
            verbs: one(verb),
            non_resource_urls: one(url),
            ..Default::default()
        });
        on_resources.chain(on_paths)
    })
}

/// Whether `held` allows everything that `rule` allows.
fn contains(held: &PolicyRule, rule: &PolicyRule) -> bool {
    let all = |own: &[String], wanted: &[String]| wanted.iter().all(|wanted| has(own, wanted));
    let resource = |wanted: &String| {
        let (of, part) = wanted.split_once('/').unwrap_or((wanted, ""));
        held.resources.iter().any(|own| own == wanted || resource_matches(own, of, part))
    };
    let path = |wanted: &String| held.non_resource_urls.iter().any(|own| url_matches(own, wanted));
    let names = match (held.resource_names.is_empty(), rule.resource_names.is_empty()) {
        (true, _) => true,
        (false, true) => rule.resources.is_empty(),
        (false, false) => rule.resource_names.iter().all(|name| held.resource_names.contains(name)),
    };
    all(&held.verbs, &rule.verbs)
        && all(&held.api_groups, &rule.api_groups)
        && rule.resources.iter().all(resource)
        && names
        && rule.non_resource_urls.iter().all(path)
}
