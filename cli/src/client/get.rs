//! `purlin get`: objects as a table of the server's, as JSON or YAML, or by name.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::args::{Format, GetArgs};
use crate::client::catalog::{Catalog, Resource};
use crate::client::connect::Connection;
use crate::client::request::{Ask, TABLE, segment};
use crate::client::table::Table;
use crate::failure::Failure;
use crate::output::Output;

/// Objects of a page.
const PAGE: usize = 500;

/// Shows what the command line names.
pub(crate) async fn run(args: &GetArgs, output: &mut Output) -> Result<(), Failure> {
    let connection = super::connection(&args.client).await?;
    let namespace = (!args.all_namespaces).then_some(connection.namespace.as_str());
    let wanted = Wanted { kind: &args.kind, name: args.name.as_deref(), namespace, format: args.output };
    get(&connection, wanted, output).await
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    kind: &'a str,
    /// All where none is given.
    name: Option<&'a str>,
    /// All where none is given.
    namespace: Option<&'a str>,
    format: Format,
}

async fn get(connection: &Connection, wanted: Wanted<'_>, output: &mut Output) -> Result<(), Failure> {
    let catalog = Catalog::fetch(connection).await?;
    let resource = catalog.called(wanted.kind)?;
    let pages = pages(connection, resource, wanted).await?;
    if wanted.format == Format::Text {
        return text(&pages, resource, wanted, output);
    }
    let mut objects: Vec<Value> = match wanted.name {
        Some(_) => pages,
        None => pages.into_iter().flat_map(items).collect(),
    };
    for object in &mut objects {
        complete(object, resource);
    }
    match wanted.format {
        Format::Name => {
            for object in &objects {
                output.data(&resource.label(object["metadata"]["name"].as_str().unwrap_or_default()))?;
            }
        }
        Format::Yaml => output.data(yaml(&one(objects, wanted))?.trim_end())?,
        Format::Json | Format::Text => output.data(&serde_json::to_string_pretty(&one(objects, wanted))?)?,
    }
    Ok(())
}

/// All pages of the answer.
async fn pages(connection: &Connection, resource: &Resource, wanted: Wanted<'_>) -> Result<Vec<Value>, Failure> {
    let path = resource.path(wanted.namespace, wanted.name);
    let ask = |path: String| match wanted.format {
        Format::Text => Ask { accept: TABLE, ..Ask::get(path) },
        _ => Ask::get(path),
    };
    if wanted.name.is_some() {
        return Ok(vec![connection.ask(ask(path)).await?.body]);
    }
    let mut pages = Vec::new();
    let mut query = format!("{path}?limit={PAGE}");
    loop {
        let page = connection.ask(ask(query)).await?.body;
        let next = page["metadata"]["continue"].as_str().filter(|token| !token.is_empty());
        query = match next {
            Some(token) => format!("{path}?limit={PAGE}&continue={}", segment(token)),
            None => {
                pages.push(page);
                return Ok(pages);
            }
        };
        pages.push(page);
    }
}

fn text(pages: &[Value], resource: &Resource, wanted: Wanted<'_>, output: &mut Output) -> Result<(), Failure> {
    let with_namespace = resource.namespaced && wanted.namespace.is_none();
    let mut table = Table::default();
    if !pages.iter().all(|page| table.add(page, with_namespace)) {
        return Err(Failure::from(anyhow::anyhow!("the server shows {} in no table", resource.plural))
            .hint("try --output yaml"));
    }
    if table.is_empty() {
        let place = match wanted.namespace {
            Some(namespace) if resource.namespaced => format!(" in namespace {namespace}"),
            _ => String::new(),
        };
        return Ok(output.note(&format!("there are no {}{place}", resource.plural))?);
    }
    Ok(output.data(&table.render())?)
}

fn items(mut page: Value) -> Vec<Value> {
    match page["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Items of lists do not say what they are, and who manages which field is for machines.
fn complete(object: &mut Value, resource: &Resource) {
    let Value::Object(fields) = object else { return };
    for (at, (field, value)) in
        [("apiVersion", resource.api_version()), ("kind", resource.kind.clone())].into_iter().enumerate()
    {
        if !fields.contains_key(field) {
            fields.shift_insert(at, field.to_owned(), Value::String(value));
        }
    }
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        metadata.shift_remove("managedFields");
    }
}

/// The object that was named, or a list of all.
fn one(mut objects: Vec<Value>, wanted: Wanted<'_>) -> Value {
    match (wanted.name, objects.pop()) {
        (Some(_), Some(object)) => object,
        (_, last) => {
            objects.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
        }
    }
}

fn yaml(value: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("the object cannot be written as YAML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::Server;
    use crate::tests::{captured, text_of};

    async fn got(server: &Server, name: Option<&str>, namespace: Option<&str>, format: Format) -> (String, String) {
        let (mut output, data, notes) = captured();
        let wanted = Wanted { kind: "cm", name, namespace, format };
        let result = get(&server.connection(), wanted, &mut output).await;
        let failure = result.err().map(|failure| format!("[{}] {failure}\n", failure.code));
        (text_of(&data), text_of(&notes) + &failure.unwrap_or_default())
    }

    fn object(name: &str) -> Value {
        json!({"metadata": {"name": name, "managedFields": [{}]}, "data": {"a": "true", "b": "two\nlines\n", "c": "0x1f"}})
    }

    #[tokio::test]
    async fn lists_are_read_page_by_page() {
        let path = "/api/v1/configmaps";
        let server = Server::new()
            .on("GET", path, 200, json!({"metadata": {"continue": "a/b"}, "items": [object("x")]}))
            .on("GET", path, 200, json!({"metadata": {}, "items": [object("y")]}));
        assert_eq!(got(&server, None, None, Format::Name).await, ("configmap/x\nconfigmap/y\n".into(), String::new()));
        let asked: Vec<String> = server.asked().into_iter().map(|(asked, _)| asked).collect();
        assert_eq!(asked, [format!("GET {path}?limit=500"), format!("GET {path}?limit=500&continue=a%2Fb")]);
    }

    #[tokio::test]
    async fn yaml_keeps_text_text() {
        let server = Server::new().on("GET", "/api/v1/namespaces/n/configmaps/x", 200, object("x"));
        let (data, _) = got(&server, Some("x"), Some("n"), Format::Yaml).await;
        insta::assert_snapshot!(data, @r#"
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: x
        data:
          a: "true"
          b: |
            two
            lines
          c: "0x1f"
        "#);
        let back: Value = serde_saphyr::from_str(&data).unwrap();
        assert_eq!(back["data"], object("x")["data"]);
        assert_eq!(back.as_object().unwrap().keys().collect::<Vec<_>>(), ["apiVersion", "kind", "metadata", "data"]);
    }

    #[tokio::test]
    async fn nothing_and_refusals_are_told_apart() {
        let empty = json!({"kind": "Table", "metadata": {}, "columnDefinitions": [{"name": "Name"}], "rows": []});
        let server = Server::new().on("GET", "/api/v1/namespaces/n/configmaps", 200, empty);
        let expected = (String::new(), "there are no configmaps in namespace n\n".to_owned());
        assert_eq!(got(&server, None, Some("n"), Format::Text).await, expected);
        let expected = (String::new(), "[1] error: not there (NotFound)\n".to_owned());
        assert_eq!(got(&server, Some("x"), Some("n"), Format::Json).await, expected);
    }
}
