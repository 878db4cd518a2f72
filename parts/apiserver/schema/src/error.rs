//! What is wrong with one field of an object, in the words of `field.Error` of k8s.io/apimachinery.

use std::fmt;

/// The kinds of a field's error; the name is the `reason` of a cause in `Status.details.causes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum Cause {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    InternalError,
}

impl Cause {
    /// The `reason` of the cause in a Status (`FieldValueInvalid`, ...).
    pub fn reason(self) -> &'static str {
        match self {
            Cause::NotFound => "FieldValueNotFound",
            Cause::Required => "FieldValueRequired",
            Cause::Duplicate => "FieldValueDuplicate",
            Cause::Invalid => "FieldValueInvalid",
            Cause::NotSupported => "FieldValueNotSupported",
            Cause::Forbidden => "FieldValueForbidden",
            Cause::TooLong => "FieldValueTooLong",
            Cause::TooMany => "FieldValueTooMany",
            Cause::TypeInvalid => "FieldValueTypeInvalid",
            Cause::InternalError => "InternalError",
        }
    }

    /// The words that begin the message (`Invalid value`, ...).
    pub fn words(self) -> &'static str {
        match self {
            Cause::NotFound => "Not found",
            Cause::Required => "Required value",
            Cause::Duplicate => "Duplicate value",
            Cause::Invalid | Cause::TypeInvalid => "Invalid value",
            Cause::NotSupported => "Unsupported value",
            Cause::Forbidden => "Forbidden",
            Cause::TooLong => "Too long",
            Cause::TooMany => "Too many",
            Cause::InternalError => "Internal error",
        }
    }
}

/// One wrong field: displayed as `spec.size: Invalid value: 11: should be less than or equal to 10`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The field's path: `spec.ports[0].name`, `metadata.labels[app.kubernetes.io/name]`.
    pub path: String,
    /// What kind of error it is.
    pub cause: Cause,
    /// The offending value as JSON; none for `Required`, `Forbidden`, `TooLong`, `TooMany`.
    pub value: Option<serde_json::Value>,
    /// What was expected, and what to do.
    pub detail: String,
}

impl FieldError {
    /// An error that shows no value.
    pub fn new(path: impl Into<String>, cause: Cause, detail: impl Into<String>) -> Self {
        FieldError { path: path.into(), cause, value: None, detail: detail.into() }
    }

    /// `Invalid value`, with the value.
    pub fn invalid(path: impl Into<String>, value: serde_json::Value, detail: impl Into<String>) -> Self {
        FieldError { path: path.into(), cause: Cause::Invalid, value: Some(value), detail: detail.into() }
    }

    /// `Required value`.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(path, Cause::Required, detail)
    }

    /// The message of a cause: all but the path.
    pub fn message(&self) -> String {
        let mut out = String::from(self.cause.words());
        if let Some(value) = &self.value {
            out.push_str(": ");
            out.push_str(&value.to_string());
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.message())
        } else {
            write!(f, "{}: {}", self.path, self.message())
        }
    }
}

impl std::error::Error for FieldError {}
