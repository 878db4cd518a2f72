//! `purlin get`: objects as a table of the server's, as JSON or YAML, or by name.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::args::{Format, GetArgs};
use crate::client::Failures;
use crate::client::catalog::{Catalog, Resource};
use crate::client::connect::Connection;
use crate::client::named::{self, Named};
use crate::client::request::{Ask, TABLE, segment};
use crate::client::table::Table;
use crate::failure::Failure;
use crate::output::Output;

/// Objects of a page.
const PAGE: usize = 500;

/// Shows what the command line names.
pub(crate) async fn run(args: &GetArgs, output: &mut Output) -> Result<(), Failure> {
    let objects = named::parse(&args.kind, &args.names)?;
    if args.all_namespaces && objects.iter().any(|object| object.name.is_some()) {
        return Err(Failure::usage("an object that is named is not looked for in all namespaces")
            .hint("name its namespace with --namespace"));
    }
    let connection = super::connection(&args.client).await?;
    let namespace = (!args.all_namespaces).then_some(connection.namespace.as_str());
    get(&connection, &objects, View { namespace, format: args.output }, output).await
}

#[derive(Clone, Copy)]
struct View<'a> {
    /// All where none is given.
    namespace: Option<&'a str>,
    format: Format,
}

/// Objects of one kind.
struct Section<'a> {
    resource: &'a Resource,
    /// Objects; as text, tables of them.
    answers: Vec<Value>,
}

async fn get(
    connection: &Connection,
    objects: &[Named<'_>],
    view: View<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    let catalog = Catalog::fetch(connection).await?;
    let resources: Vec<&Resource> = objects.iter().map(|object| object.resource(&catalog)).collect::<Result<_, _>>()?;
    let mut failures = Failures::of(objects.len());
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (object, resource) in objects.iter().zip(resources) {
        let mut answers = match answers(connection, resource, object.name, view).await {
            Ok(answers) => answers,
            Err(failure) => {
                failures.add(failure, output)?;
                continue;
            }
        };
        if object.name.is_none() && view.format != Format::Text {
            answers = answers.into_iter().flat_map(items).collect();
        }
        match sections.last_mut().filter(|section| section.resource == resource) {
            Some(section) => section.answers.append(&mut answers),
            None => sections.push(Section { resource, answers }),
        }
    }
    match view.format {
        // A failure has been told: there is nothing else to tell where nothing is left.
        Format::Text if !sections.is_empty() => text(&sections, view, output)?,
        Format::Text => {}
        _ => whole(sections, matches!(objects, [Named { name: Some(_), .. }]), view.format, output)?,
    }
    failures.end("could not be shown")
}

/// The object that is named, or all pages of the list.
async fn answers(
    connection: &Connection,
    resource: &Resource,
    name: Option<&str>,
    view: View<'_>,
) -> Result<Vec<Value>, Failure> {
    let path = resource.path(view.namespace, name);
    let ask = |path: String| match view.format {
        Format::Text => Ask { accept: TABLE, ..Ask::get(path) },
        _ => Ask::get(path),
    };
    if name.is_some() {
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

/// A table a kind; where there are several, names say their kind.
fn text(sections: &[Section<'_>], view: View<'_>, output: &mut Output) -> Result<(), Failure> {
    let mut tables = Vec::new();
    for Section { resource, answers } in sections {
        let with_namespace = resource.namespaced && view.namespace.is_none();
        let prefix = if sections.len() > 1 { resource.label("") } else { String::new() };
        let mut table = Table::default();
        if !answers.iter().all(|page| table.add(page, with_namespace, &prefix)) {
            return Err(Failure::from(anyhow::anyhow!("the server shows {} in no table", resource.plural))
                .hint("try --output yaml"));
        }
        if !table.is_empty() {
            tables.push(table.render());
        }
    }
    if tables.is_empty() {
        let place = match view.namespace {
            Some(namespace) if sections.iter().any(|section| section.resource.namespaced) => {
                format!(" in namespace {namespace}")
            }
            _ => String::new(),
        };
        let kinds: Vec<&str> = sections.iter().map(|section| section.resource.plural.as_str()).collect();
        return Ok(output.note(&format!("there are no {}{place}", kinds.join(", ")))?);
    }
    Ok(output.data(&tables.join("\n\n"))?)
}

/// Objects as they are, or their names: the one object that was named, or a list.
fn whole(sections: Vec<Section<'_>>, alone: bool, format: Format, output: &mut Output) -> Result<(), Failure> {
    let mut objects: Vec<Value> = Vec::new();
    for Section { resource, answers } in sections {
        for mut object in answers {
            if format == Format::Name {
                output.data(&resource.label(object["metadata"]["name"].as_str().unwrap_or_default()))?;
            } else {
                complete(&mut object, resource);
                objects.push(object);
            }
        }
    }
    let document = match objects.pop() {
        Some(object) if alone => object,
        last => {
            objects.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
        }
    };
    match format {
        Format::Name => Ok(()),
        Format::Yaml => Ok(output.data(yaml(&document)?.trim_end())?),
        Format::Json | Format::Text => Ok(output.data(&serde_json::to_string_pretty(&document)?)?),
    }
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

fn yaml(value: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(value).context("the object cannot be written as YAML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::Server;
    use crate::tests::{captured, text_of};

    async fn got(server: &Server, name: Option<&str>, namespace: Option<&str>, format: Format) -> (String, String) {
        got_all(server, &[Named { kind: "cm", name }], View { namespace, format }).await
    }

    async fn got_all(server: &Server, objects: &[Named<'_>], view: View<'_>) -> (String, String) {
        let (mut output, data, notes) = captured();
        let result = get(&server.connection(), objects, view, &mut output).await;
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

    fn table(name: &str) -> Value {
        json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}], "rows": [{"cells": [name]}]})
    }

    const MAPS: &str = "/api/v1/namespaces/n/configmaps";
    const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/n/httproutes";

    #[tokio::test]
    async fn several_kinds_are_several_tables_or_one_list() {
        let objects = [Named { kind: "cm", name: None }, Named { kind: "httproutes", name: None }];
        let view = |format| View { namespace: Some("n"), format };
        let server = Server::new().on("GET", MAPS, 200, table("x")).on("GET", ROUTES, 200, table("y"));
        let (data, notes) = got_all(&server, &objects, view(Format::Text)).await;
        assert_eq!(notes, "");
        insta::assert_snapshot!(data, @r"
        NAME
        configmap/x

        NAME
        httproute.gateway.networking.k8s.io/y
        ");
        let list = |name: &str| json!({"metadata": {}, "items": [object(name)]});
        let server = Server::new().on("GET", MAPS, 200, list("x")).on("GET", ROUTES, 200, list("y"));
        let (data, _) = got_all(&server, &objects, view(Format::Json)).await;
        let data: Value = serde_json::from_str(&data).unwrap();
        let kinds: Vec<&Value> = data["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
        assert_eq!((&data["kind"], kinds), (&"List".into(), vec![&"ConfigMap".into(), &"HTTPRoute".into()]));
        let empty = json!({"kind": "Table", "columnDefinitions": [], "rows": []});
        let server = Server::new().on("GET", MAPS, 200, empty.clone()).on("GET", ROUTES, 200, empty);
        let expected = (String::new(), "there are no configmaps, httproutes in namespace n\n".to_owned());
        assert_eq!(got_all(&server, &objects, view(Format::Text)).await, expected);
    }

    #[tokio::test]
    async fn objects_that_are_named_make_one_table_a_kind_and_one_that_is_missing_does_not_hide_the_rest() {
        let objects = ["x", "missing", "y"].map(|name| Named { kind: "cm", name: Some(name) });
        let at = |name: &str| format!("{MAPS}/{name}");
        let server = Server::new().on("GET", &at("x"), 200, table("x")).on("GET", &at("y"), 200, table("y"));
        let (data, notes) = got_all(&server, &objects, View { namespace: Some("n"), format: Format::Text }).await;
        assert_eq!(data, "NAME\nx\ny\n");
        assert_eq!(notes, "error: not there (NotFound)\n[1] error: 1 of 3 could not be shown\n");
    }
}
