//! Manifests: files, directories or standard input, YAML or JSON, one or many documents each.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::client::catalog::{Catalog, Resource};
use crate::failure::Failure;

/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 20;
/// The most objects of one command.
const MAX_OBJECTS: usize = 100_000;
/// How deep lists of lists go.
const MAX_LISTS: usize = 8;

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    /// The object.
    pub object: Value,
    /// Where it stands, for errors.
    pub place: String,
}

/// What an object says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    /// Its `apiVersion`.
    pub api_version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its namespace, where it names one.
    pub namespace: Option<&'a str>,
}

impl Manifest {
    /// What the object says it is.
    pub(crate) fn identity(&self) -> Result<Identity<'_>, Failure> {
        let metadata = &self.object["metadata"];
        Ok(Identity {
            api_version: self.required(&self.object["apiVersion"], "apiVersion")?,
            kind: self.required(&self.object["kind"], "kind")?,
            name: self.required(&metadata["name"], "metadata.name")?,
            namespace: match &metadata["namespace"] {
                Value::Null => None,
                Value::String(text) if text.is_empty() => None,
                value => Some(self.required(value, "metadata.namespace")?),
            },
        })
    }

    fn required<'a>(&self, value: &'a Value, field: &str) -> Result<&'a str, Failure> {
        match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            // YAML reads n, no, on and the like as truth values.
            Value::Bool(_) | Value::Number(_) => {
                let message = format!("{}: {field} must be text, but YAML reads {value}", self.place);
                Err(Failure::from(anyhow::anyhow!(message)).hint("put it between quotes"))
            }
            _ => Err(Failure::from(anyhow::anyhow!("{}: {field} is missing", self.place))),
        }
    }

    /// The resource that the object belongs to.
    pub(crate) fn resource<'a>(&self, catalog: &'a Catalog) -> Result<&'a Resource, Failure> {
        let Identity { api_version, kind, .. } = self.identity()?;
        catalog.of_kind(api_version, kind).ok_or_else(|| {
            Failure::from(anyhow::anyhow!("{}: the server has no kind {kind} in {api_version}", self.place))
                .hint("is its CustomResourceDefinition applied?")
        })
    }
}

/// Reads all manifests: of a directory, the files whose names end in .yaml, .yml or .json, by name.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = text("standard input", std::io::stdin())?;
            parse(&text, "standard input", &mut manifests)?;
            continue;
        }
        for file in files(path)? {
            let name = file.display().to_string();
            let opened = File::open(&file).with_context(|| format!("cannot read {name}"))?;
            parse(&text(&name, opened)?, &name, &mut manifests)?;
        }
    }
    if manifests.is_empty() {
        return Err(Failure::from(anyhow::anyhow!("there is no object in what --filename names")));
    }
    Ok(manifests)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_manifest = |path: &PathBuf| {
        let end = path.extension().and_then(|end| end.to_str());
        path.is_file() && matches!(end, Some("yaml" | "yml" | "json"))
    };
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(is_manifest).collect();
    files.sort();
    Ok(files)
}

fn text(name: &str, source: impl std::io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    source.take(MAX_BYTES + 1).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::from(anyhow::anyhow!("{name} has more than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(text)
}

/// Appends the objects of `text` to `manifests`.
fn parse(text: &str, name: &str, manifests: &mut Vec<Manifest>) -> Result<(), Failure> {
    let yaml = || {
        let documents = serde_saphyr::from_multiple(text);
        // The snippet would name its source `<input>`, and show what may be a Secret.
        let told = |e: serde_saphyr::Error| anyhow::anyhow!("{}", e.without_snippet());
        documents.map_err(|e| Failure::from(told(e)).context(format!("{name} is no YAML")))
    };
    let json = || serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<Value>, _>>();
    let documents: Vec<Value> = if text.trim_start().starts_with('{') {
        // YAML may begin like this too; a stream of JSON objects is no YAML.
        match json() {
            Ok(documents) => documents,
            Err(error) => yaml().or(Err(error).with_context(|| format!("{name} is no JSON")))?,
        }
    } else {
        yaml()?
    };
    for (at, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null()) {
        let place = format!("{name}, document {}", at + 1);
        flatten(document, &place, MAX_LISTS, manifests)?;
    }
    Ok(())
}

/// Takes lists of objects (`kind: List` and the like) apart.
fn flatten(object: Value, place: &str, depth: usize, manifests: &mut Vec<Manifest>) -> Result<(), Failure> {
    let Value::Object(mut fields) = object else {
        return Err(Failure::from(anyhow::anyhow!("{place} is no object: it must have apiVersion, kind and metadata")));
    };
    let is_list = fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    if let (true, Some(Value::Array(items))) = (is_list, fields.get_mut("items").map(Value::take)) {
        let depth = depth.checked_sub(1).with_context(|| format!("{place}: lists within lists are too deep"))?;
        for (at, item) in items.into_iter().enumerate() {
            flatten(item, &format!("{place}, item {}", at + 1), depth, manifests)?;
        }
        return Ok(());
    }
    if manifests.len() >= MAX_OBJECTS {
        return Err(Failure::from(anyhow::anyhow!("{place}: a command takes {MAX_OBJECTS} objects at most")));
    }
    manifests.push(Manifest { object: Value::Object(fields), place: place.to_owned() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Manifest>, String> {
        let mut manifests = Vec::new();
        parse(text, "f.yaml", &mut manifests).map_err(|failure| failure.to_string())?;
        Ok(manifests)
    }

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = parsed(text).unwrap();
            let names: Vec<_> =
                found.iter().map(|m| (m.object["metadata"]["name"].as_str().unwrap(), m.place.as_str())).collect();
            assert_eq!(names, expected, "{text}");
        };
        let a = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n";
        check(
            &format!("# note\n---\n{a}---\n---\n{a}...\n"),
            &[("a", "f.yaml, document 1"), ("a", "f.yaml, document 2")],
        );
        let list = r#"{"kind": "List", "items": [{"metadata": {"name": "b"}}, {"kind": "CList", "items": [{"metadata": {"name": "c"}}]}]}"#;
        check(list, &[("b", "f.yaml, document 1, item 1"), ("c", "f.yaml, document 1, item 2, item 1")]);
        check(
            r#"{"metadata":{"name":"x"}} {"metadata":{"name":"y"}}"#,
            &[("x", "f.yaml, document 1"), ("y", "f.yaml, document 2")],
        );
        check("{metadata: {name: flow}}", &[("flow", "f.yaml, document 1")]);
        // An object whose kind ends like a list, but without items.
        check("kind: PlayList\nmetadata: {name: p}", &[("p", "f.yaml, document 1")]);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_place() {
        let check = |text: &str, expected: &str| {
            let failed = parsed(text).unwrap_err();
            assert!(failed.contains(expected), "{text}: {failed}");
            assert!(!failed.contains("<input>") && !failed.contains("secret"), "{text}: {failed}");
        };
        check("a: b\n c: d", "f.yaml is no YAML");
        check("a: [secret\nb: 1", "line 2");
        check("a: 1\na: 2", "duplicate");
        check("{\"a\": ", "f.yaml is no JSON");
        check("--- a\n--- [b]", "f.yaml, document 1 is no object");
        check(&format!("{}{}", r#"{"kind":"List","items":["#.repeat(9), "]}".repeat(9)), "too deep");
    }

    #[test]
    fn an_object_must_say_what_it_is() {
        let check = |text: &str, expected: &str| {
            let manifests = parsed(text).unwrap();
            let failed = manifests[0].identity().map(|i| format!("{i:?}")).unwrap_err();
            assert_eq!(failed.to_string(), format!("error: f.yaml, document 1: {expected}"));
        };
        check("kind: A\nmetadata: {name: a}", "apiVersion is missing");
        check("apiVersion: v1\nkind: {}\nmetadata: {name: a}", "kind is missing");
        check(
            "apiVersion: v1\nkind: A\nmetadata: {name: no}",
            "metadata.name must be text, but YAML reads false\nhint: put it between quotes",
        );
        check("apiVersion: v1\nkind: A\nmetadata: {generateName: a}", "metadata.name is missing");
        let manifests = parsed("apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: ''}").unwrap();
        let expected = Identity { api_version: "v1", kind: "A", name: "a", namespace: None };
        assert_eq!(manifests[0].identity().unwrap(), expected);
    }

    #[test]
    fn directories_are_read_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (file, name) in [("b.yml", "b"), ("a.json", "a"), ("c.yaml", "c"), ("README.md", "no")] {
            fs::write(dir.path().join(file), format!("{{\"metadata\": {{\"name\": \"{name}\"}}}}")).unwrap();
        }
        let found = read(&[dir.path().to_owned()]).unwrap();
        let names: Vec<_> = found.iter().map(|m| m.object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(read(&[dir.path().join("missing.yaml")]).unwrap_err().to_string().contains("missing.yaml"));
        assert!(read(&[dir.path().join("README.md")]).is_ok());
    }
}
