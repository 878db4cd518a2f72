//! ConfigMap and Secret: keys, sizes, the content that a Secret's type asks for, immutability.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use purlin_apiserver_schema::{FieldError, Strategy};
use serde_json::{Map, Value};

use crate::value::{at, default_text, drop_nulls, entries, forbidden, immutable, invalid_if, object, text, too_long};

/// How many bytes of data an object may hold.
const MAX_DATA: usize = 1024 * 1024;

const IMMUTABLE: &str = "field is immutable when `immutable` is set";

pub(crate) fn config_map() -> Strategy {
    Strategy { default: default_config_map, validate: validate_config_map, ..Strategy::default() }
}

pub(crate) fn secret() -> Strategy {
    Strategy { default: default_secret, validate: validate_secret, ..Strategy::default() }
}

fn default_config_map(config_map: &mut Value) {
    fill_nulls(config_map, &["data", "binaryData"]);
    drop_nulls(config_map);
}

/// A key without a value (`key:` in YAML) is a key with an empty value, not an absent one.
fn fill_nulls(object: &mut Value, fields: &[&str]) {
    for field in fields {
        let values = object.get_mut(field).and_then(Value::as_object_mut);
        for value in values.into_iter().flat_map(Map::values_mut).filter(|v| v.is_null()) {
            *value = "".into();
        }
    }
}

fn validate_config_map(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old.filter(|old| at(old, "immutable") == Some(&Value::Bool(true))) {
        stays(&mut errors, new, old, &["data", "binaryData"]);
    }
    let mut size = 0;
    for (key, value) in entries(new, "data") {
        let path = format!("data[{key}]");
        invalid_if(&mut errors, &path, key, config_key(key));
        if new.get("binaryData").and_then(|b| b.get(key)).is_some() {
            errors.push(FieldError::invalid(path, key.as_str().into(), "duplicate of key present in binaryData"));
        }
        size += value.as_str().map_or(0, str::len);
    }
    size += check_bytes(&mut errors, new, "binaryData");
    if size > MAX_DATA {
        // The path of the whole object.
        errors.push(too_long("[]", MAX_DATA));
    }
    errors
}

/// `stringData` is written only: it is folded into `data`.
fn default_secret(secret: &mut Value) {
    fill_nulls(secret, &["data", "stringData"]);
    drop_nulls(secret);
    let Some(map) = secret.as_object_mut() else { return };
    default_text(map, "type", "Opaque");
    // Another type is left for the schema to refuse.
    if !map.get("stringData").is_some_and(Value::is_object) {
        return;
    }
    let Some(Value::Object(strings)) = map.shift_remove("stringData") else { return };
    if !strings.is_empty()
        && let Some(data) = object(secret, "data")
    {
        data.extend(strings.into_iter().map(|(key, value)| match value {
            Value::String(text) => (key, STANDARD.encode(text).into()),
            other => (key, other),
        }));
    }
}

fn validate_secret(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        immutable(&mut errors, new, old, "type");
        if at(old, "immutable") == Some(&Value::Bool(true)) {
            stays(&mut errors, new, old, &["data"]);
        }
    }
    if check_bytes(&mut errors, new, "data") > MAX_DATA {
        errors.push(too_long("data", MAX_DATA));
    }
    check_type(&mut errors, new);
    errors
}

/// The keys that a Secret's type asks for.
fn check_type(errors: &mut Vec<FieldError>, secret: &Value) {
    let no_data = Map::new();
    let data = at(secret, "data").and_then(Value::as_object).unwrap_or(&no_data);
    let mut needs = |key: &str| {
        let there = data.contains_key(key);
        if !there {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
        there
    };
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let name = secret.pointer("/metadata/annotations").and_then(|a| a.get(key)).and_then(Value::as_str);
            if name.is_none_or(str::is_empty) {
                errors.push(FieldError::required(format!("metadata.annotations[{key}]"), ""));
            }
        }
        "kubernetes.io/tls" => {
            needs("tls.crt");
            needs("tls.key");
        }
        "kubernetes.io/basic-auth" if !data.contains_key("username") && !data.contains_key("password") => {
            needs("username");
            needs("password");
        }
        "kubernetes.io/ssh-auth" => {
            let key = "ssh-privatekey";
            if data.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
                errors.push(FieldError::required(format!("data[{key}]"), ""));
            }
        }
        "kubernetes.io/dockercfg" if needs(".dockercfg") => check_json(errors, data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" if needs(".dockerconfigjson") => {
            check_json(errors, data, ".dockerconfigjson");
        }
        _ => {}
    }
}

/// Credentials of a registry are a JSON object; the message does not show them.
fn check_json(errors: &mut Vec<FieldError>, data: &Map<String, Value>, key: &str) {
    let Some(bytes) = data.get(key).and_then(decode) else { return };
    if let Err(error) = serde_json::from_slice::<Map<String, Value>>(&bytes) {
        errors.push(FieldError::invalid(
            format!("data[{key}]"),
            "<secret contents redacted>".into(),
            format!("must be a JSON object: {:?} at line {} column {}", error.classify(), error.line(), error.column()),
        ));
    }
}

/// Checks keys and base64 of a map of bytes; yields how many bytes it holds.
fn check_bytes(errors: &mut Vec<FieldError>, object: &Value, field: &str) -> usize {
    let mut size = 0;
    for (key, value) in entries(object, field) {
        let path = format!("{field}[{key}]");
        invalid_if(errors, &path, key, config_key(key));
        match decode(value) {
            Some(bytes) => size += bytes.len(),
            None => errors.push(FieldError::invalid(path, key.as_str().into(), "the value must be base64 (RFC 4648)")),
        }
    }
    size
}

fn decode(value: &Value) -> Option<Vec<u8>> {
    // Go's decoder skips line ends.
    let text = value.as_str()?;
    if text.contains(['\r', '\n']) {
        return STANDARD.decode(text.replace(['\r', '\n'], "")).ok();
    }
    STANDARD.decode(text).ok()
}

/// What is wrong with a key of `data`.
fn config_key(key: &str) -> Option<String> {
    if key.len() > 253 {
        return Some("must be no more than 253 bytes".to_owned());
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return Some(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
             'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    }
    match key {
        "." | ".." => Some(format!("must not be '{key}'")),
        _ => key.starts_with("..").then(|| "must not start with '..'".to_owned()),
    }
}

/// What may not change once `immutable` was set, the flag included.
fn stays(errors: &mut Vec<FieldError>, new: &Value, old: &Value, fields: &[&str]) {
    if at(new, "immutable") != Some(&Value::Bool(true)) {
        errors.push(forbidden("immutable", IMMUTABLE));
    }
    let empty = Value::Object(Map::new());
    for field in fields {
        if at(new, field).unwrap_or(&empty) != at(old, field).unwrap_or(&empty) {
            errors.push(forbidden(field, IMMUTABLE));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{create, update};

    #[test]
    fn config_maps() {
        let check = |object, expected: &str| assert_eq!(create(&config_map(), object), expected);
        check(json!({"data": {"a.b_C-1": "x"}, "binaryData": {"b": "/w==\n"}}), "");
        check(json!({"data": null, "metadata": {"creationTimestamp": null}}), "");
        check(
            json!({"data": {"a b": "x"}}),
            "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' \
             or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
             '[-._a-zA-Z0-9]+')",
        );
        check(json!({"data": {"..": "x"}}), "data[..]: Invalid value: \"..\": must not be '..'");
        check(json!({"data": {"..a": "x"}}), "data[..a]: Invalid value: \"..a\": must not start with '..'");
        check(
            json!({"data": {"a": "x"}, "binaryData": {"a": "/w=="}}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        );
        check(
            json!({"binaryData": {"a": "?"}}),
            "binaryData[a]: Invalid value: \"a\": the value must be base64 (RFC 4648)",
        );
        check(json!({"data": {"a": "x".repeat(MAX_DATA)}}), "");
        check(
            json!({"data": {"a": "x".repeat(MAX_DATA), "b": "y"}}),
            "[]: Too long: may not be more than 1048576 bytes",
        );
    }

    #[test]
    fn immutability() {
        let old = json!({"data": {"a": "x"}, "immutable": true});
        let check = |new, expected: &str| assert_eq!(update(&config_map(), old.clone(), new), expected);
        check(json!({"data": {"a": "x"}, "immutable": true, "metadata": {"labels": {"a": "b"}}}), "");
        check(json!({"data": {"a": "x"}, "immutable": true, "binaryData": {}}), "");
        check(
            json!({"data": {"a": "y"}}),
            "immutable: Forbidden: field is immutable when `immutable` is set\n\
             data: Forbidden: field is immutable when `immutable` is set",
        );
        assert_eq!(
            update(&secret(), json!({"data": {"a": "eA=="}}), json!({"data": {"a": "eA=="}, "type": "example.com/x"})),
            "type: Invalid value: \"example.com/x\": field is immutable"
        );
        assert_eq!(
            update(&secret(), json!({"immutable": true}), json!({"stringData": {"a": "x"}, "immutable": true})),
            "data: Forbidden: field is immutable when `immutable` is set"
        );
    }

    #[test]
    fn string_data_is_folded() {
        let mut object = json!({"data": {"a": "eA==", "b": "eQ==", "c": null}, "stringData": {"b": "z"}});
        default_secret(&mut object);
        assert_eq!(object, json!({"data": {"a": "eA==", "b": "eg==", "c": ""}, "type": "Opaque"}));
    }

    #[test]
    fn secrets() {
        let check = |object, expected: &str| assert_eq!(create(&secret(), object), expected);
        check(json!({}), "");
        check(json!({"data": {"a": "%"}}), "data[a]: Invalid value: \"a\": the value must be base64 (RFC 4648)");
        check(
            json!({"stringData": {"a": "x".repeat(MAX_DATA + 1)}}),
            "data: Too long: may not be more than 1048576 bytes",
        );
        check(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}), "");
        check(json!({"type": "kubernetes.io/tls"}), "data[tls.crt]: Required value\ndata[tls.key]: Required value");
        check(json!({"type": "kubernetes.io/basic-auth", "stringData": {"password": ""}}), "");
        check(
            json!({"type": "kubernetes.io/basic-auth"}),
            "data[username]: Required value\ndata[password]: Required value",
        );
        check(
            json!({"type": "kubernetes.io/ssh-auth", "stringData": {"ssh-privatekey": ""}}),
            "data[ssh-privatekey]: Required value",
        );
        check(json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}), "");
        check(json!({"type": "kubernetes.io/dockercfg"}), "data[.dockercfg]: Required value");
        check(
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "hidden"}}),
            "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": must be a JSON object: Syntax \
             at line 1 column 1",
        );
        check(
            json!({"type": "kubernetes.io/service-account-token"}),
            "metadata.annotations[kubernetes.io/service-account.name]: Required value",
        );
    }
}
