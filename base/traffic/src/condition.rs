//! Conditions: what is to be said of an object, and how that is merged into the conditions that it has.
//!
//! Merging keeps conditions of other controllers and the time of the last transition; it never goes back behind a
//! newer generation that somebody has already observed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

/// The schema's limit of a condition's message, in bytes (of characters there, so this is the stricter one).
const MESSAGE_LIMIT: usize = 32_768;

/// One condition that we want on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The type, see [`crate::reasons::condition`].
    pub kind: &'static str,
    /// True or False; we never say Unknown.
    pub status: bool,
    /// See [`crate::reasons`].
    pub reason: &'static str,
    /// What is so, and what to do about it.
    pub message: String,
}

impl Condition {
    pub(crate) fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Condition { kind, status: true, reason, message: message.into() }
    }

    pub(crate) fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Condition { kind, status: false, reason, message: message.into() }
    }
}

/// The conditions that an object has after `wanted` is said of it.
///
/// `ours` are the types that we are responsible for: those that are not wanted are removed.
pub(crate) fn merge(
    existing: &[meta::Condition],
    wanted: &[Condition],
    ours: &[&str],
    generation: Option<i64>,
    now: &meta::Time,
) -> Vec<meta::Condition> {
    let is_wanted = |kind: &str| wanted.iter().any(|w| w.kind == kind);
    let mut merged: Vec<meta::Condition> =
        existing.iter().filter(|c| is_wanted(&c.type_) || !ours.contains(&c.type_.as_str())).cloned().collect();
    for want in wanted {
        match merged.iter_mut().find(|c| c.type_ == want.kind) {
            Some(have) if have.observed_generation > generation => {}
            Some(have) => {
                let since = (have.status == status_text(want.status)).then(|| have.last_transition_time.clone());
                *have = to_meta(want, generation, since.unwrap_or_else(|| now.clone()));
            }
            None => merged.push(to_meta(want, generation, now.clone())),
        }
    }
    merged
}

fn status_text(status: bool) -> &'static str {
    if status { "True" } else { "False" }
}

fn to_meta(want: &Condition, generation: Option<i64>, since: meta::Time) -> meta::Condition {
    meta::Condition {
        type_: want.kind.to_owned(),
        status: status_text(want.status).to_owned(),
        reason: want.reason.to_owned(),
        message: want.message[..want.message.floor_char_boundary(MESSAGE_LIMIT)].to_owned(),
        observed_generation: generation,
        last_transition_time: since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> meta::Time {
        meta::Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    fn has(kind: &str, status: &str, generation: i64) -> meta::Condition {
        meta::Condition {
            type_: kind.into(),
            status: status.into(),
            reason: "Old".into(),
            message: String::new(),
            observed_generation: Some(generation),
            last_transition_time: time(1),
        }
    }

    #[track_caller]
    fn check(existing: &[meta::Condition], wanted: &[Condition], expected: &[&str]) {
        let merged = merge(existing, wanted, &["Accepted", "PartiallyInvalid"], Some(5), &time(9));
        let shown: Vec<String> = merged
            .iter()
            .map(|c| {
                let (generation, since) = (c.observed_generation.unwrap_or(0), c.last_transition_time.0.as_second());
                format!("{}={} {} gen {generation} since {since}", c.type_, c.status, c.reason)
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn merging_keeps_times_and_what_others_say() {
        let accepted = Condition::yes("Accepted", "Accepted", "");
        check(&[], std::slice::from_ref(&accepted), &["Accepted=True Accepted gen 5 since 9"]);
        check(
            &[has("Other", "True", 1), has("Accepted", "True", 4)],
            std::slice::from_ref(&accepted),
            &["Other=True Old gen 1 since 1", "Accepted=True Accepted gen 5 since 1"],
        );
        check(
            &[has("Accepted", "Unknown", 0)],
            std::slice::from_ref(&accepted),
            &["Accepted=True Accepted gen 5 since 9"],
        );
        check(
            &[has("PartiallyInvalid", "True", 4)],
            std::slice::from_ref(&accepted),
            &["Accepted=True Accepted gen 5 since 9"],
        );
        check(&[has("Accepted", "False", 6)], &[accepted], &["Accepted=False Old gen 6 since 1"]);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let long = Condition::no("Accepted", "Invalid", "é".repeat(MESSAGE_LIMIT));
        let merged = merge(&[], &[long], &[], None, &time(0));
        assert_eq!(merged[0].message.len(), MESSAGE_LIMIT);
    }
}
