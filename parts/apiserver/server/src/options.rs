//! The query parameters of a request: `ListOptions`, `CreateOptions` and their kin of meta/v1.

use std::time::Duration;

use purlin_apiserver_merge::check_manager_name;
use purlin_apiserver_schema::{Cause, FieldError};

use crate::error::{ApiError, ApiResult};

/// More than this is not asked for in earnest, and no arithmetic overflows by it.
const MOST: i64 = 1 << 31;

/// What to do with fields that the schema does not know, and with doubled ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so in a Warning header.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// All parameters that any verb reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    pub(crate) limit: usize,
    pub(crate) resume: Option<String>,
    pub(crate) resource_version: String,
    pub(crate) resource_version_match: String,
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dry_run: bool,
    pub(crate) field_manager: String,
    pub(crate) field_validation: FieldValidation,
    pub(crate) force: bool,
    pub(crate) propagation: Option<String>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) include_object: String,
}

impl Options {
    /// Reads a query string; parameters that nobody knows are ignored, as kube-apiserver does.
    pub(crate) fn parse(method: &http::Method, query: &str) -> ApiResult<Options> {
        let mut options = Options::default();
        let mut errors = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(&decode(name)?, decode(value)?, &mut errors)?;
        }
        if let Err(why) = check_manager_name(&options.field_manager) {
            let shown: String = options.field_manager.chars().take(128).collect();
            errors.push(FieldError::invalid("fieldManager", shown.into(), why.to_string()));
        }
        // Reads have none of the parameters that are checked.
        match options_kind(method) {
            Some(kind) if !errors.is_empty() => Err(ApiError::invalid_options(kind, &errors)),
            _ => Ok(options),
        }
    }

    fn set(&mut self, name: &str, value: String, errors: &mut Vec<FieldError>) -> ApiResult<()> {
        let mut or_default = |result: Result<bool, Box<FieldError>>| {
            result.unwrap_or_else(|error| {
                errors.push(*error);
                false
            })
        };
        match name {
            "labelSelector" => self.label_selector = value,
            "fieldSelector" => self.field_selector = value,
            "limit" => self.limit = number(name, &value)?,
            "continue" => self.resume = Some(value).filter(|token| !token.is_empty()),
            "resourceVersion" => self.resource_version = value,
            "resourceVersionMatch" => self.resource_version_match = value,
            "watch" => self.watch = flag(name, &value)?,
            "allowWatchBookmarks" => self.bookmarks = flag(name, &value)?,
            "sendInitialEvents" => self.send_initial_events = Some(flag(name, &value)?),
            "timeoutSeconds" => self.timeout = Some(Duration::from_secs(number(name, &value)? as u64)),
            "dryRun" => self.dry_run |= or_default(dry_run(&value)),
            "fieldManager" => self.field_manager = value,
            "fieldValidation" => match field_validation(&value) {
                Ok(known) => self.field_validation = known,
                Err(error) => errors.push(*error),
            },
            "force" => self.force = flag(name, &value)?,
            "propagationPolicy" => self.propagation = Some(value),
            "orphanDependents" => self.orphan_dependents = Some(flag(name, &value)?),
            "includeObject" => self.include_object = value,
            _ => {}
        }
        Ok(())
    }
}

pub(crate) fn decode(text: &str) -> ApiResult<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| ApiError::bad_request(format!("query parameter {text:?} is not UTF-8")))
}

fn number(name: &str, value: &str) -> ApiResult<usize> {
    let refused = || ApiError::bad_request(format!("query parameter {name}: {value:?} is no whole number"));
    // Go clients send -1 for "no timeout" and the like.
    value.parse::<i64>().map(|n| usize::try_from(n.min(MOST)).unwrap_or(0)).map_err(|_| refused())
}

/// Flags as `conversion.Convert_Slice_string_To_bool` reads them: present means true, but for `false` and `0`.
fn flag(name: &str, value: &str) -> ApiResult<bool> {
    match value.to_ascii_lowercase().as_str() {
        "false" | "0" => Ok(false),
        "true" | "1" | "" => Ok(true),
        _ => Err(ApiError::bad_request(format!("query parameter {name}: {value:?} is neither true nor false"))),
    }
}

/// How the options of a write are called.
pub(crate) fn options_kind(method: &http::Method) -> Option<&'static str> {
    match method.as_str() {
        "POST" => Some("CreateOptions"),
        "PUT" => Some("UpdateOptions"),
        "PATCH" => Some("PatchOptions"),
        "DELETE" => Some("DeleteOptions"),
        _ => None,
    }
}

pub(crate) fn unsupported(field: &str, value: &str, supported: &str) -> FieldError {
    let detail = format!("supported values: {supported}");
    FieldError { value: Some(value.into()), ..FieldError::new(field, Cause::NotSupported, detail) }
}

pub(crate) fn dry_run(value: &str) -> Result<bool, Box<FieldError>> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(Box::new(unsupported("dryRun", other, "\"All\""))),
    }
}

fn field_validation(value: &str) -> Result<FieldValidation, Box<FieldError>> {
    match value {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(Box::new(unsupported("fieldValidation", other, "\"Ignore\", \"Strict\", \"Warn\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let options = Options::parse(
            &http::Method::GET,
            "labelSelector=a%3Db%2Cc+in+%28d%29&limit=500&watch=1&fieldValidation=Strict&x=y",
        );
        let options = options.unwrap();
        assert_eq!(options.label_selector, "a=b,c in (d)");
        assert_eq!((options.limit, options.watch), (500, true));
        assert_eq!(options.field_validation, FieldValidation::Strict);
        let options = Options::parse(&http::Method::GET, "limit=9223372036854775807&timeoutSeconds=-1").unwrap();
        assert_eq!((options.limit as i64, options.timeout), (MOST, Some(Duration::ZERO)));
    }

    #[test]
    fn bad_values_name_their_parameter() {
        for (query, word) in [
            ("limit=x", "limit"),
            ("watch=maybe", "watch"),
            ("dryRun=Some", "dryRun"),
            ("fieldValidation=x", "fieldValidation"),
            ("labelSelector=%ff", "UTF-8"),
            ("fieldManager=%07", "fieldManager"),
        ] {
            let error = Options::parse(&http::Method::POST, query).unwrap_err();
            assert!(error.message.contains(word), "{query}: {}", error.message);
        }
    }
}
