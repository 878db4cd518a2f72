//! The generated definitions hold exactly the facts of the published ones (`facts/<kind>.<version>.txt`).
//!
//! A fact is one line: a path, a keyword, a value as JSON with sorted keys. `[]` are a list's items, `{}` a map's
//! values, `|oneOf0` a branch; lines that begin with `@` concern the definition rather than its schema. Descriptions
//! are not facts. The files were made from the published definitions of v1.6.3 (`config/crd/standard`), not from ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use purlin_gateway_api::crds;
use serde_json::Value;

#[test]
fn definitions_equal_the_specification() {
    let mut files = BTreeSet::new();
    for crd in crds() {
        let singular = crd["spec"]["names"]["singular"].as_str().unwrap();
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let file = format!("{singular}.{}.txt", version["name"].as_str().unwrap());
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("facts").join(&file);
            let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            check(&file, &expected, &facts(&crd, version));
            files.insert(file);
        }
    }
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("facts")).unwrap();
    let there: BTreeSet<String> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, there, "each version of each kind");
}

/// Fails with the lines that are missing and those that are too many.
fn check(file: &str, expected: &str, actual: &[String]) {
    let mut count: BTreeMap<&str, i32> = BTreeMap::new();
    expected.lines().for_each(|line| *count.entry(line).or_default() -= 1);
    actual.iter().for_each(|line| *count.entry(line).or_default() += 1);
    let diff: Vec<String> = count
        .iter()
        .filter(|(_, n)| **n != 0)
        .map(|(line, n)| format!("{} {line}", if *n < 0 { "missing" } else { "too many" }))
        .collect();
    assert!(diff.is_empty(), "{file} differs in {} lines:\n{}", diff.len(), diff.join("\n"));
}

/// All facts of one version of a definition.
fn facts(crd: &Value, version: &Value) -> Vec<String> {
    let mut out = vec![format!("@name {}", json(&crd["metadata"]["name"]))];
    for (field, fact) in [("annotations", "annotation"), ("labels", "label")] {
        let pairs = crd["metadata"][field].as_object().into_iter().flatten();
        out.extend(pairs.map(|(key, value)| format!("@{fact} {key} {}", json(value))));
    }
    for (key, value) in crd["spec"].as_object().unwrap() {
        match key.as_str() {
            "versions" => {}
            "names" => out.extend(value.as_object().unwrap().iter().map(|(k, v)| format!("@names {k} {}", json(v)))),
            _ => out.push(format!("@{key} {}", json(value))),
        }
    }
    for (key, value) in version.as_object().unwrap() {
        match key.as_str() {
            "name" => {}
            "schema" => schema_facts(&value["openAPIV3Schema"], "", &mut out),
            "additionalPrinterColumns" => out.extend(
                value.as_array().unwrap().iter().enumerate().map(|(i, column)| format!("@column {i} {}", json(column))),
            ),
            _ => out.push(format!("@{key} {}", json(value))),
        }
    }
    out
}

fn schema_facts(schema: &Value, path: &str, out: &mut Vec<String>) {
    let here = if path.is_empty() { "." } else { path };
    for (key, value) in schema.as_object().unwrap_or_else(|| panic!("{path} has no schema: {schema}")) {
        match (key.as_str(), value) {
            ("description", _) => {}
            ("properties", Value::Object(fields)) => {
                fields.iter().for_each(|(name, schema)| schema_facts(schema, &format!("{path}.{name}"), out));
            }
            ("items", _) => schema_facts(value, &format!("{path}[]"), out),
            ("additionalProperties", Value::Object(_)) => schema_facts(value, &format!("{path}{{}}"), out),
            ("not", _) => schema_facts(value, &format!("{path}|not"), out),
            ("oneOf" | "anyOf" | "allOf", Value::Array(branches)) => {
                branches.iter().enumerate().for_each(|(i, s)| schema_facts(s, &format!("{path}|{key}{i}"), out));
            }
            ("required" | "enum", Value::Array(values)) => {
                out.extend(values.iter().map(|value| format!("{here} {key} {}", json(value))));
            }
            ("x-kubernetes-validations", Value::Array(rules)) => {
                out.extend(rules.iter().map(|rule| format!("{here} rule {}", json(rule))));
            }
            _ => out.push(format!("{here} {key} {}", json(value))),
        }
    }
}

/// Compact JSON with sorted keys.
fn json(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}
