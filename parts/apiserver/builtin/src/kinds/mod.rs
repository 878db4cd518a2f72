//! What each kind needs beyond its schema: defaults, what a writer may not decide, validation.
//!
//! Rules and messages are those of kube-apiserver (`pkg/apis/*/validation`, `pkg/registry/*/strategy.go`).

pub(crate) mod config;
pub(crate) mod crd;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod lease;
pub(crate) mod namespace;
pub(crate) mod rbac;
pub(crate) mod service;

/// Values of `protocol`.
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// What is wrong with a port's number.
fn port_number(port: i64) -> Option<String> {
    (!(1..=65535).contains(&port)).then(|| "must be between 1 and 65535, inclusive".to_owned())
}

/// Runs a kind's defaults and validation over a table of cases; shared by the kinds' tests.
#[cfg(test)]
mod testing {
    use purlin_apiserver_schema::Strategy;
    use serde_json::Value;

    /// The errors of creating an object, one a line.
    pub(crate) fn create(strategy: &Strategy, mut object: Value) -> String {
        (strategy.default)(&mut object);
        (strategy.prepare_create)(&mut object);
        lines(&(strategy.validate)(&object, None))
    }

    /// The errors of updating an object, one a line.
    pub(crate) fn update(strategy: &Strategy, mut old: Value, mut new: Value) -> String {
        (strategy.default)(&mut old);
        (strategy.prepare_create)(&mut old);
        (strategy.default)(&mut new);
        (strategy.prepare_update)(&mut new, &old);
        lines(&(strategy.validate)(&new, Some(&old)))
    }

    fn lines(errors: &[purlin_apiserver_schema::FieldError]) -> String {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}
