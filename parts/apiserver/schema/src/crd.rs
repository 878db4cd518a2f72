//! A CustomResourceDefinition to a [`ResourceDef`]: defaulting, validation, update rules.
//!
//! [`default_definition`] fills in what the server fills in, [`definition`] validates and builds, and
//! [`definition_update`] adds what may not change. Paths and words are those of apiextensions v1. `apiVersion`,
//! `kind` and `metadata` are implied by every resource and are put into each version's schema here.
//! Conversion between versions is `None` only: a webhook strategy is refused with words.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::meta_schema::{object_meta_schema, string};
use crate::names::{dns1035_label, dns1123_subdomain};
use crate::path::Path;
use crate::validate::{not_supported, too_many};
use crate::{
    Cause, Column, ColumnSource, FieldError, Names, Origin, ResourceDef, ScaleDef, Schema, Scope, Strategy, Type,
    VersionDef, cel, compare_versions,
};

/// What can be done with custom resources.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

const MAX_SELECTABLE: usize = 8;

/// How many versions a definition may have.
const MAX_VERSIONS: usize = 100;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// Keywords that the root schema may have where `status` is a subresource, as apiextensions lists them.
const ROOT_KEYWORDS: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Fills in what the server fills in: singular, listKind, the conversion strategy and the first stored version.
pub fn default_definition(crd: &mut Value) {
    let stored = versions(crd).iter().find(|v| flag(v, "storage")).map(|v| text(v, "name").to_owned());
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        for (field, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
            let given = names.get(field).and_then(Value::as_str).unwrap_or_default();
            if given.is_empty() && !kind.is_empty() {
                names.insert(field.to_owned(), json!(value));
            }
        }
    }
    if spec.get("conversion").is_none_or(Value::is_null) {
        spec.insert("conversion".to_owned(), json!({"strategy": "None"}));
    }
    let Some(crd) = crd.as_object_mut() else { return };
    let status = crd.entry("status").or_insert_with(|| json!({}));
    if let (Some(status), Some(stored)) = (status.as_object_mut(), stored)
        && status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty)
    {
        status.insert("storedVersions".to_owned(), json!([stored]));
    }
}

/// Validates a CustomResourceDefinition (v1, defaulted) and builds what serves its resource.
pub fn definition(crd: &Value) -> Result<ResourceDef, Vec<FieldError>> {
    build(crd, cel::check)
}

/// As [`definition`], for one that was accepted: its rules are not compiled, which is most of the work.
pub fn stored_definition(crd: &Value) -> Result<ResourceDef, Vec<FieldError>> {
    build(crd, |_, _| Vec::new())
}

/// Says what is wrong with the rules of a schema; the path is that of the schema.
type CheckRules = fn(&Schema, &str) -> Vec<FieldError>;

fn build(crd: &Value, rules: CheckRules) -> Result<ResourceDef, Vec<FieldError>> {
    let mut errors = Vec::new();
    let spec = crd.get("spec").unwrap_or(&Value::Null);
    let group = text(spec, "group");
    let names = names(spec.get("names").unwrap_or(&Value::Null), &mut errors);
    check_identity(crd, group, &names, &mut errors);
    let scope = match text(spec, "scope") {
        "Namespaced" => Scope::Namespaced,
        "Cluster" => Scope::Cluster,
        other => {
            if other.is_empty() {
                errors.push(FieldError::required("spec.scope", ""));
            } else {
                let allowed = [json!("Cluster"), json!("Namespaced")];
                errors.push(not_supported(&Path::prefix("spec.scope"), &json!(other), &allowed));
            }
            Scope::Cluster
        }
    };
    check_conversion(spec, &mut errors);
    let (versions, storage) = read_versions(spec, group, &names.kind, rules, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(ResourceDef {
        group: group.to_owned(),
        names,
        scope,
        versions,
        storage,
        verbs: &VERBS,
        strategy: Strategy { generation: true, ..Strategy::default() },
        origin: Origin::Custom {
            uid: crd.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
        },
    })
}

/// Validates an update: as [`definition`], and what may not change has not changed.
pub fn definition_update(crd: &Value, old: &Value) -> Result<ResourceDef, Vec<FieldError>> {
    let built = definition(crd);
    let mut errors = Vec::new();
    let established = old.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let established = established.into_iter().any(|c| text(c, "type") == "Established" && text(c, "status") == "True");
    let always = [("/spec/group", "spec.group"), ("/spec/names/plural", "spec.names.plural")];
    let once_established = [("/spec/scope", "spec.scope"), ("/spec/names/kind", "spec.names.kind")];
    for (pointer, at) in always.into_iter().chain(once_established.into_iter().filter(|_| established)) {
        let (new, old) = (crd.pointer(pointer), old.pointer(pointer));
        if new != old {
            let value = new.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(at, value, "field is immutable"));
        }
    }
    let names: Vec<&str> = versions(crd).iter().map(|v| text(v, "name")).collect();
    let stored = crd.pointer("/status/storedVersions").or(old.pointer("/status/storedVersions"));
    for (i, version) in stored.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let version = version.as_str().unwrap_or_default();
        if !names.contains(&version) {
            let why = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {version} and removes {version} from \
                 status.storedVersions"
            );
            errors.push(FieldError::invalid(format!("status.storedVersions[{i}]"), json!(version), why));
        }
    }
    match built {
        Ok(built) if errors.is_empty() => Ok(built),
        Ok(_) => Err(errors),
        Err(mut wrong) => {
            wrong.extend(errors);
            Err(wrong)
        }
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn flag(value: &Value, field: &str) -> bool {
    value.get(field) == Some(&Value::Bool(true))
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn versions(crd: &Value) -> &[Value] {
    crd.get("spec").map(|spec| list(spec, "versions")).unwrap_or_default()
}

fn invalid_name(errors: &mut Vec<FieldError>, at: &str, value: &str, prefix: &str, wrong: Vec<String>) {
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(at, json!(value), format!("{prefix}{}", wrong.join(","))));
    }
}

/// `spec.names`.
fn names(value: &Value, errors: &mut Vec<FieldError>) -> Names {
    let strings = |field| list(value, field).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let names = Names {
        plural: text(value, "plural").to_owned(),
        singular: text(value, "singular").to_owned(),
        kind: text(value, "kind").to_owned(),
        list_kind: text(value, "listKind").to_owned(),
        short_names: strings("shortNames"),
        categories: strings("categories"),
    };
    let mixed = "may have mixed case, but should otherwise match: ";
    for (field, name, prefix) in [
        ("plural", &names.plural, ""),
        ("singular", &names.singular, ""),
        ("kind", &names.kind, mixed),
        ("listKind", &names.list_kind, mixed),
    ] {
        let at = format!("spec.names.{field}");
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if prefix.is_empty() {
            invalid_name(errors, &at, name, prefix, dns1035_label(name));
        } else {
            invalid_name(errors, &at, name, prefix, dns1035_label(&name.to_lowercase()));
        }
    }
    for (field, list) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        for (i, name) in list.iter().enumerate() {
            invalid_name(errors, &format!("spec.names.{field}[{i}]"), name, "", dns1035_label(name));
        }
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", json!(names.list_kind), why));
    }
    names
}

/// The name of the definition, its group, and what groups of the Kubernetes project need.
fn check_identity(crd: &Value, group: &str, names: &Names, errors: &mut Vec<FieldError>) {
    let name = crd.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name != format!("{}.{group}", names.plural) {
        let why = r#"must be spec.names.plural+"."+spec.group"#;
        errors.push(FieldError::invalid("metadata.name", json!(name), why));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
        return;
    }
    let wrong = dns1123_subdomain(group);
    if wrong.is_empty() && !group.contains('.') {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", json!(group), why));
    }
    invalid_name(errors, "spec.group", group, "", wrong);
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|p| group == *p || group.ends_with(&format!(".{p}")));
    if !protected {
        return;
    }
    let annotation = "api-approved.kubernetes.io";
    let at = format!("metadata.annotations[{annotation}]");
    match crd.pointer("/metadata/annotations").and_then(|a| a.get(annotation)).and_then(Value::as_str) {
        None | Some("") => {
            let why = format!(
                "protected groups must have approval annotation {annotation:?}, see https://github.com/kubernetes/enhancements/pull/1111"
            );
            errors.push(FieldError::required(at, why));
        }
        Some(value) if value.starts_with("unapproved") || value.contains("://") => {}
        Some(value) => {
            let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
            errors.push(FieldError::invalid(at, json!(value), why));
        }
    }
}

fn check_conversion(spec: &Value, errors: &mut Vec<FieldError>) {
    if flag(spec, "preserveUnknownFields") {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", json!(true), why));
    }
    let Some(conversion) = spec.get("conversion").filter(|c| !c.is_null()) else { return };
    let at = Path::prefix("spec.conversion.strategy");
    match text(conversion, "strategy") {
        "None" => {
            if conversion.get("webhook").is_some_and(|w| !w.is_null()) {
                let why = "should not be set when strategy is not set to Webhook";
                errors.push(FieldError::new("spec.conversion.webhook", Cause::Forbidden, why));
            }
        }
        "Webhook" => {
            let why = "conversion by webhook is not served here yet: use None and give the versions compatible schemas";
            errors.push(FieldError::new(at.to_string(), Cause::Forbidden, why));
        }
        "" => errors.push(FieldError::required(at.to_string(), "")),
        other => errors.push(not_supported(&at, &json!(other), &[json!("None"), json!("Webhook")])),
    }
}

/// All versions in the order of discovery, and the index of the one that is stored.
fn read_versions(
    spec: &Value,
    group: &str,
    kind: &str,
    rules: CheckRules,
    errors: &mut Vec<FieldError>,
) -> (Vec<VersionDef>, usize) {
    let given = list(spec, "versions");
    if given.len() > MAX_VERSIONS {
        errors.push(too_many(&Path::prefix("spec.versions"), given.len() as u64, MAX_VERSIONS as u64));
        return (Vec::new(), 0);
    }
    let mut stored = Vec::new();
    let mut all: Vec<VersionDef> = Vec::with_capacity(given.len());
    for (i, value) in given.iter().enumerate() {
        let version = read_version(value, &format!("spec.versions[{i}]"), (group, kind), rules, errors);
        if flag(value, "storage") {
            stored.push(version.name.clone());
        }
        if all.iter().any(|other| other.name == version.name) {
            let why = "must contain unique version names";
            errors.push(FieldError::invalid("spec.versions", json!(version.name), why));
        }
        all.push(version);
    }
    all.sort_by(|a, b| compare_versions(&a.name, &b.name));
    let storage = match stored.as_slice() {
        [name] => all.iter().position(|v| v.name == *name).unwrap_or_default(),
        _ => {
            let why = "must have exactly one version marked as storage version";
            errors.push(FieldError::invalid("spec.versions", json!(stored), why));
            0
        }
    };
    (all, storage)
}

/// One version; `at` is its path.
fn read_version(
    value: &Value,
    at: &str,
    (group, kind): (&str, &str),
    rules: CheckRules,
    errors: &mut Vec<FieldError>,
) -> VersionDef {
    let name = text(value, "name");
    invalid_name(errors, &format!("{at}.name"), name, "", dns1035_label(name));
    let deprecated = flag(value, "deprecated");
    let warning = value.get("deprecationWarning").and_then(Value::as_str);
    if let Some(warning) = warning {
        check_warning(warning, deprecated, at, errors);
    }
    let fallback = || format!("{group}/{name} {kind} is deprecated");
    let subresources = value.get("subresources").unwrap_or(&Value::Null);
    let status = subresources.get("status").is_some_and(|s| !s.is_null());
    let schema = read_schema(value, at, status, rules, errors);
    let selectable = read_selectable(list(value, "selectableFields"), &schema, at, errors);
    let root = implied(schema, &reference(group, name, kind));
    VersionDef {
        name: name.to_owned(),
        served: flag(value, "served"),
        deprecated: deprecated.then(|| warning.map_or_else(fallback, str::to_owned)),
        schema: Arc::new(root),
        columns: read_columns(list(value, "additionalPrinterColumns"), at, errors),
        status,
        scale: read_scale(subresources, at, errors),
        selectable,
        subresources: Vec::new(),
    }
}

fn check_warning(warning: &str, deprecated: bool, at: &str, errors: &mut Vec<FieldError>) {
    let why = if !deprecated {
        "can only be set for deprecated versions"
    } else if warning.is_empty() {
        "must not be an empty string"
    } else if warning.len() > 256 {
        "must be <= 256 characters long"
    } else if warning.contains(char::is_control) {
        "must only contain printable UTF-8 characters"
    } else {
        return;
    };
    errors.push(FieldError::invalid(format!("{at}.deprecationWarning"), json!(warning), why));
}

/// `schema.openAPIV3Schema`, with its rules checked.
fn read_schema(version: &Value, at: &str, status: bool, rules: CheckRules, errors: &mut Vec<FieldError>) -> Schema {
    let at = format!("{at}.schema.openAPIV3Schema");
    let Some(openapi) = version.pointer("/schema/openAPIV3Schema").filter(|s| !s.is_null()) else {
        errors.push(FieldError::required(at, "schemas are required"));
        return Schema::default();
    };
    if status {
        let known = |keyword: &String| ROOT_KEYWORDS.iter().any(|(name, _)| name == keyword);
        let unknown = openapi.as_object().into_iter().flatten().find(|(keyword, value)| {
            !known(keyword) && !value.is_null() && **value != json!(false) && **value != json!("")
        });
        if unknown.is_some() {
            let names: Vec<&str> = ROOT_KEYWORDS.iter().map(|(_, name)| *name).collect();
            let why = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            );
            errors.push(FieldError::new(at.clone(), Cause::Invalid, why));
        }
    }
    match Schema::from_openapi(openapi, &at) {
        Ok(schema) => {
            errors.extend(rules(&schema, &at));
            schema
        }
        Err(wrong) => {
            errors.extend(wrong);
            Schema::default()
        }
    }
}

/// Puts `apiVersion`, `kind` and `metadata` into the schema of a version.
fn implied(mut schema: Schema, reference: &str) -> Schema {
    let mut meta = object_meta_schema();
    if let Some(given) = schema.properties.get("metadata")
        && !given.properties.is_empty()
    {
        let mut restricted = (*meta).clone();
        for (name, property) in &given.properties {
            restricted.properties.insert(name.clone(), property.clone());
        }
        // It is no longer the schema that is published under the name of ObjectMeta.
        restricted.reference = None;
        meta = Arc::new(restricted);
    }
    let mut properties = indexmap::IndexMap::with_capacity(schema.properties.len() + 3);
    for (name, words) in [
        ("apiVersion", "The group and version of this schema: the server refuses or converts others."),
        ("kind", "The kind of this object, in CamelCase; it cannot be changed."),
    ] {
        let given = schema.properties.get(name).cloned();
        properties.insert(name.into(), given.unwrap_or_else(|| Arc::new(string().doc(words))));
    }
    properties.insert("metadata".into(), meta);
    for (name, property) in std::mem::take(&mut schema.properties) {
        properties.entry(name).or_insert(property);
    }
    schema.properties = properties;
    schema.ty = Type::Object;
    schema.reference = Some(reference.into());
    schema
}

/// The name under which OpenAPI publishes a kind: the group backwards, the version, the kind.
fn reference(group: &str, version: &str, kind: &str) -> String {
    let group: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", group.join("."))
}

fn read_columns(given: &[Value], at: &str, errors: &mut Vec<FieldError>) -> Vec<Column> {
    let mut columns = Vec::new();
    for (i, value) in given.iter().enumerate() {
        let at = format!("{at}.additionalPrinterColumns[{i}]");
        let (name, ty, format) = (text(value, "name"), text(value, "type"), text(value, "format"));
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        }
        let words = format!("must be one of {}", COLUMN_TYPES.join(","));
        if ty.is_empty() {
            errors.push(FieldError::required(format!("{at}.type"), words));
        } else if !COLUMN_TYPES.contains(&ty) {
            errors.push(FieldError::invalid(format!("{at}.type"), json!(ty), words));
        }
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let words = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(format!("{at}.format"), json!(format), words));
        }
        let path = text(value, "jsonPath");
        if path.is_empty() {
            errors.push(FieldError::required(format!("{at}.JSONPath"), ""));
        } else if !path.starts_with('.') {
            let why = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(format!("{at}.JSONPath"), json!(path), why));
        }
        columns.push(Column {
            name: name.to_owned(),
            ty: ty.to_owned(),
            format: format.to_owned(),
            description: text(value, "description").to_owned(),
            priority: value.get("priority").and_then(Value::as_i64).and_then(|p| p.try_into().ok()).unwrap_or_default(),
            source: ColumnSource::JsonPath(path.to_owned()),
        });
    }
    if columns.is_empty() {
        columns.push(Column {
            name: "Age".to_owned(),
            ty: "date".to_owned(),
            format: String::new(),
            description: "How long ago the object was created.".to_owned(),
            priority: 0,
            source: ColumnSource::JsonPath(".metadata.creationTimestamp".to_owned()),
        });
    }
    columns
}

fn read_scale(subresources: &Value, at: &str, errors: &mut Vec<FieldError>) -> Option<ScaleDef> {
    let scale = subresources.get("scale").filter(|s| !s.is_null())?;
    let selector = text(scale, "labelSelectorPath");
    let mut check = |field: &str, path: &str, below: &[&str], words: &str| {
        let at = format!("{at}.subresources.scale.{field}");
        if path.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !path.starts_with('.') {
            let why = "must be a simple json path starting with .";
            errors.push(FieldError::invalid(at, json!(path), why));
        } else if !below.iter().any(|prefix| path.starts_with(prefix)) {
            errors.push(FieldError::invalid(at, json!(path), format!("should be a json path under {words}")));
        }
    };
    check("specReplicasPath", text(scale, "specReplicasPath"), &[".spec."], ".spec");
    check("statusReplicasPath", text(scale, "statusReplicasPath"), &[".status."], ".status");
    if !selector.is_empty() {
        check("labelSelectorPath", selector, &[".spec.", ".status."], "either .spec or .status");
    }
    Some(ScaleDef {
        spec_replicas_path: text(scale, "specReplicasPath").to_owned(),
        status_replicas_path: text(scale, "statusReplicasPath").to_owned(),
        label_selector_path: (!selector.is_empty()).then(|| selector.to_owned()),
    })
}

fn read_selectable(given: &[Value], schema: &Schema, at: &str, errors: &mut Vec<FieldError>) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for (i, value) in given.iter().enumerate() {
        let at = format!("{at}.selectableFields[{i}].jsonPath");
        let path = text(value, "jsonPath");
        if path.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let dotted = path.strip_prefix('.').unwrap_or(path);
        let invalid = |why: &str| FieldError::invalid(at.clone(), json!(path), why);
        if dotted.split('.').next() == Some("metadata") {
            errors.push(invalid("must not point to fields in metadata"));
            continue;
        }
        match dotted.split('.').try_fold(schema, |schema, name| schema.properties.get(name).map(|below| &**below)) {
            None => errors.push(invalid("is an invalid path: does not refer to a valid field")),
            Some(found) if !matches!(found.ty, Type::String | Type::Boolean | Type::Integer) => {
                errors.push(invalid(
                    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                ));
            }
            Some(_) if fields.iter().any(|f| f == dotted) => {
                errors.push(FieldError {
                    path: at.clone(),
                    cause: Cause::Duplicate,
                    value: Some(json!(path)),
                    detail: String::new(),
                });
            }
            Some(_) => fields.push(dotted.to_owned()),
        }
    }
    if fields.len() > MAX_SELECTABLE {
        let at = format!("{at}.selectableFields");
        errors.push(too_many(&Path::prefix(&at), fields.len() as u64, MAX_SELECTABLE as u64));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::widget;
    use crate::{default, prune, validate};

    fn defaulted(mut crd: Value) -> Value {
        default_definition(&mut crd);
        crd
    }

    /// Changes the widget's definition at a pointer and tells what is refused.
    #[track_caller]
    fn refused(pointer: &str, value: Value, expected: &[&str]) {
        let mut crd = defaulted(widget());
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        crd.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
        let errors: Vec<String> = definition(&crd).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{pointer}");
    }

    #[test]
    fn a_definition_is_filled_in() {
        let crd = defaulted(
            json!({"spec": {"names": {"plural": "foos", "kind": "Foo"}, "versions": [{"name": "v1", "storage": true}]}}),
        );
        assert_eq!(
            crd["spec"]["names"],
            json!({"plural": "foos", "kind": "Foo", "singular": "foo", "listKind": "FooList"})
        );
        assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
        assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
    }

    #[test]
    fn the_widget_is_defined() {
        let def = definition(&defaulted(widget())).unwrap();
        assert_eq!((def.key().as_str(), def.scope), ("widgets.bar.example.com", Scope::Namespaced));
        assert_eq!(def.origin, Origin::Custom { uid: "u1".to_owned() });
        let v1 = def.version("v1").unwrap();
        assert!(v1.status);
        assert_eq!(v1.scale.as_ref().unwrap().spec_replicas_path, ".spec.replicas");
        assert_eq!(v1.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["Size", "Age"]);
        let names: Vec<&str> = v1.schema.properties.keys().map(|k| &**k).collect();
        assert_eq!(names, ["apiVersion", "kind", "metadata", "spec", "status"]);
        assert_eq!(v1.schema.reference.as_deref(), Some("com.example.bar.v1.Widget"));
    }

    #[test]
    fn a_widget_goes_the_whole_way() {
        let def = definition(&defaulted(widget())).unwrap();
        let schema = &def.stored().schema;
        let mut object = json!({
            "apiVersion": "bar.example.com/v1", "kind": "Widget",
            "metadata": {"name": "a", "namespace": "t", "labels": {"x": "y"}, "creationTimestamp": null, "odd": 1},
            "spec": {"size": 2, "colour": "x"},
        });
        assert_eq!(prune(&mut object, schema), ["metadata.odd", "spec.colour"]);
        default(&mut object, schema);
        assert_eq!(object["spec"], json!({"size": 2, "color": "red", "replicas": 1}));
        assert_eq!(object["metadata"], json!({"name": "a", "namespace": "t", "labels": {"x": "y"}}));
        assert_eq!(validate(&object, schema, None), []);
        object["spec"]["size"] = json!("x");
        object["metadata"]["labels"]["x"] = json!(1);
        let errors: Vec<String> = validate(&object, schema, None).iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].starts_with("metadata.labels.x: Invalid value: \"integer\""), "{errors:?}");
    }

    #[test]
    fn names_and_groups_are_checked() {
        refused(
            "/metadata/name",
            json!("x"),
            &["metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"],
        );
        refused(
            "/spec/scope",
            json!("x"),
            &["spec.scope: Unsupported value: \"x\": supported values: \"Cluster\", \"Namespaced\""],
        );
        refused(
            "/spec/names/listKind",
            json!("Widget"),
            &["spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same"],
        );
        let mut crd = defaulted(widget());
        crd["spec"]["group"] = json!("x.k8s.io");
        crd["metadata"]["name"] = json!("widgets.x.k8s.io");
        let errors = definition(&crd).unwrap_err();
        assert_eq!(errors[0].path, "metadata.annotations[api-approved.kubernetes.io]");
        crd["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a test"});
        assert!(definition(&crd).is_ok());
    }

    #[test]
    fn versions_are_checked() {
        refused(
            "/spec/versions/0/storage",
            json!(false),
            &["spec.versions: Invalid value: []: must have exactly one version marked as storage version"],
        );
        refused(
            "/spec/versions/0/schema",
            json!(null),
            &["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
        );
        refused(
            "/spec/versions/0/subresources/scale",
            json!({"specReplicasPath": ".x", "statusReplicasPath": ""}),
            &[
                "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".x\": should be a json path under .spec",
                "spec.versions[0].subresources.scale.statusReplicasPath: Required value",
            ],
        );
        refused(
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.ports"}, {"jsonPath": ".spec.x"}, {"jsonPath": ".spec.color"}]),
            &[
                "spec.versions[0].selectableFields[1].jsonPath: Invalid value: \".spec.ports\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                "spec.versions[0].selectableFields[2].jsonPath: Invalid value: \".spec.x\": is an invalid path: does not refer to a valid field",
                "spec.versions[0].selectableFields[3].jsonPath: Duplicate value: \".spec.color\"",
            ],
        );
        refused(
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            &[
                "spec.conversion.strategy: Forbidden: conversion by webhook is not served here yet: use None and give the versions compatible schemas",
            ],
        );
    }

    #[test]
    fn updates_keep_what_identifies_a_resource() {
        let mut old = defaulted(widget());
        old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        assert!(definition_update(&old, &old).is_ok());
        let mut new = old.clone();
        new["spec"]["scope"] = json!("Cluster");
        new["spec"]["versions"][0]["name"] = json!("v2");
        let errors: Vec<String> = definition_update(&new, &old).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert_eq!(errors[0], "spec.scope: Invalid value: \"Cluster\": field is immutable");
        assert!(
            errors[1].starts_with("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1")
        );
    }
}
