//! What holds for filters of every kind of route: their rules, made from the names of fields and types.

/// A filter has the settings of its type, which stand in a field of that name, and no others.
macro_rules! settings_of_type {
    ($($field:literal for $type:literal,)+) => {
        &[$(
            (
                concat!("!(has(self.", $field, ") && self.type != '", $type, "')"),
                concat!("filter.", $field, " must be nil if the filter.type is not ", $type),
            ),
            (
                concat!("!(!has(self.", $field, ") && self.type == '", $type, "')"),
                concat!("filter.", $field, " must be specified for ", $type, " filter.type"),
            ),
        )+]
    };
}

/// A list has at most one filter of each of these types.
macro_rules! at_most_once {
    ($($type:literal),+) => {
        &[$(
            (
                concat!("self.filter(f, f.type == '", $type, "').size() <= 1"),
                concat!($type, " filter cannot be repeated"),
            ),
        )+]
    };
}

pub(crate) use at_most_once;
pub(crate) use settings_of_type;
