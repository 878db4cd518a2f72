//! `purlin apply`: server-side apply of each object of the manifests, definitions and namespaces first.
//!
//! An object that is refused does not keep the others from being applied; the command fails at the end.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::args::ApplyArgs;
use crate::client::Failures;
use crate::client::catalog::{Catalog, Resource};
use crate::client::connect::Connection;
use crate::client::manifest::{self, Identity, Manifest};
use crate::client::request::{APPLY_PATCH, Ask, JSON};
use crate::failure::Failure;
use crate::output::Output;

/// The field manager that owns what `purlin apply` sets.
const MANAGER: &str = "purlin";
/// How long the server may take to serve a kind whose definition was applied just now.
const NEW_KIND: Duration = Duration::from_secs(10);

/// Applies what the command line names.
pub(crate) async fn run(args: &ApplyArgs, output: &mut Output) -> Result<(), Failure> {
    let manifests = manifest::read(&args.filename)?;
    let connection = super::connection(&args.client).await?;
    let namespace = args.client.namespace.as_deref();
    let options = Options { dry_run: args.dry_run, force: args.force_conflicts, namespace };
    apply(&connection, manifests, options, output).await
}

#[derive(Clone, Copy, Debug, Default)]
struct Options<'a> {
    dry_run: bool,
    force: bool,
    /// The namespace that the command line insists on.
    namespace: Option<&'a str>,
}

async fn apply(
    connection: &Connection,
    mut manifests: Vec<Manifest>,
    options: Options<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    manifests.sort_by_key(|manifest| rank(&manifest.object));
    let defines = manifests.iter().any(|manifest| rank(&manifest.object) == 0) && !options.dry_run;
    let mut catalog = Catalog::fetch(connection).await?;
    let mut failures = Failures::of(manifests.len());
    for manifest in &manifests {
        if defines && manifest.resource(&catalog).is_err() {
            catalog = with_new_kind(connection, manifest).await?;
        }
        match one(connection, &catalog, manifest, options, output).await {
            Ok(line) => output.data(&line)?,
            Err(failure) => failures.add(failure, output)?,
        }
    }
    failures.end("objects could not be applied")
}

/// What others need goes first: definitions, then namespaces.
fn rank(object: &Value) -> u8 {
    match object["kind"].as_str() {
        Some("CustomResourceDefinition") => 0,
        Some("Namespace") => 1,
        _ => 2,
    }
}

/// The catalog once it has the kind of `manifest`, or as it is when that takes too long.
async fn with_new_kind(connection: &Connection, manifest: &Manifest) -> Result<Catalog, Failure> {
    let end = Instant::now() + NEW_KIND;
    loop {
        let catalog = Catalog::fetch(connection).await?;
        if manifest.resource(&catalog).is_ok() || Instant::now() >= end {
            return Ok(catalog);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn one(
    connection: &Connection,
    catalog: &Catalog,
    manifest: &Manifest,
    options: Options<'_>,
    output: &mut Output,
) -> Result<String, Failure> {
    let identity = manifest.identity()?;
    let resource = manifest.resource(catalog)?;
    let namespace = namespace_of(manifest, identity, resource, connection, options)?;
    let path = resource.path(Some(namespace), Some(identity.name));
    let label = resource.label(identity.name);
    let failed = |failure: Failure| failure.context(format!("{label} ({}) cannot be applied", manifest.place));
    let before = connection.find(Ask::get(path.clone())).await.map_err(failed)?.map(|answer| answer.body);
    let mut query = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict&force={}", options.force);
    if options.dry_run {
        query.push_str("&dryRun=All");
    }
    let body = Some((APPLY_PATCH, &manifest.object));
    let answer = connection.ask(Ask { method: Method::PATCH, path: query, accept: JSON, body }).await;
    let answer = answer.map_err(failed).map_err(with_conflict_hint)?;
    for warning in &answer.warnings {
        output.note(&format!("warning: {label}: {warning}"))?;
    }
    let what = match before {
        _ if answer.status == StatusCode::CREATED => "created",
        Some(before) if is_same(&before, &answer.body, options.dry_run) => "unchanged",
        _ => "configured",
    };
    Ok(format!("{label} {what}{}", if options.dry_run { " (server dry run)" } else { "" }))
}

fn with_conflict_hint(failure: Failure) -> Failure {
    if failure.error.root_cause().to_string().ends_with("(Conflict)") {
        return failure.hint("leave these fields out of the manifest, or take them over with --force-conflicts");
    }
    failure
}

/// The namespace of an object: its own, else the command line's, else the context's.
fn namespace_of<'a>(
    manifest: &Manifest,
    identity: Identity<'a>,
    resource: &Resource,
    connection: &'a Connection,
    options: Options<'a>,
) -> Result<&'a str, Failure> {
    match (identity.namespace, options.namespace) {
        (Some(own), Some(wanted)) if resource.namespaced && own != wanted => {
            Err(Failure::usage(format!("{}: its namespace is {own}, but --namespace says {wanted}", manifest.place)))
        }
        (Some(own), _) => Ok(own),
        (None, Some(wanted)) => Ok(wanted),
        (None, None) => Ok(&connection.namespace),
    }
}

/// Whether applying changed nothing. A dry run keeps the old revision whatever it would change, so objects are compared.
fn is_same(before: &Value, after: &Value, dry_run: bool) -> bool {
    if !dry_run {
        return before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
    }
    let content = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for bookkeeping in ["managedFields", "resourceVersion", "generation"] {
                metadata.shift_remove(bookkeeping);
            }
        }
        object
    };
    content(before) == content(after)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::fake::Server;
    use crate::tests::{captured, text_of};

    const PATH: &str = "/api/v1/namespaces/default/configmaps/a";

    fn manifest(object: Value) -> Manifest {
        Manifest { object, place: "f.yaml, document 1".to_owned() }
    }

    fn config_map() -> Manifest {
        manifest(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}))
    }

    fn at(revision: &str, value: &str) -> Value {
        json!({"metadata": {"name": "a", "resourceVersion": revision}, "data": {"k": value}})
    }

    async fn applied(server: &Server, manifests: Vec<Manifest>, options: Options<'_>) -> (String, String) {
        let (mut output, data, notes) = captured();
        let result = apply(&server.connection(), manifests, options, &mut output).await;
        let failure = result.err().map(|failure| format!("[{}] {failure}\n", failure.code));
        (text_of(&data), text_of(&notes) + &failure.unwrap_or_default())
    }

    #[tokio::test]
    async fn a_line_says_what_became_of_an_object() {
        let dry = Options { dry_run: true, ..Options::default() };
        let check = async |server: Server, options, expected: &str| {
            assert_eq!(applied(&server, vec![config_map()], options).await, (expected.to_owned(), String::new()));
        };
        let none = Options::default();
        check(Server::new().on("PATCH", PATH, 201, at("5", "v")), none, "configmap/a created\n").await;
        let server = Server::new().on("GET", PATH, 200, at("5", "v"));
        check(server.on("PATCH", PATH, 200, at("5", "v")), none, "configmap/a unchanged\n").await;
        let server = Server::new().on("GET", PATH, 200, at("5", "u"));
        check(server.on("PATCH", PATH, 200, at("6", "v")), none, "configmap/a configured\n").await;
        let server = Server::new().on("GET", PATH, 200, at("5", "u"));
        check(server.on("PATCH", PATH, 200, at("5", "v")), dry, "configmap/a configured (server dry run)\n").await;
        let server = Server::new().on("GET", PATH, 200, at("5", "v"));
        check(server.on("PATCH", PATH, 200, at("5", "v")), dry, "configmap/a unchanged (server dry run)\n").await;
    }

    #[tokio::test]
    async fn the_object_goes_to_the_server_as_it_is() {
        let server = Server::new().on("PATCH", PATH, 201, at("5", "v"));
        applied(&server, vec![config_map()], Options { dry_run: true, force: true, namespace: None }).await;
        let (asked, body) = server.asked().pop().unwrap();
        assert_eq!(asked, format!("PATCH {PATH}?fieldManager=purlin&fieldValidation=Strict&force=true&dryRun=All"));
        assert_eq!(body, config_map().object);
    }

    #[tokio::test]
    async fn definitions_and_namespaces_go_first_and_new_kinds_are_waited_for() {
        let of = |api: &str, kind: &str, name: &str| {
            manifest(json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}}))
        };
        let made = json!({"metadata": {"resourceVersion": "1"}});
        let pizza = json!({"resource": "pizzas", "singularResource": "pizza", "responseKind": {"kind": "Pizza"}, "scope": "Cluster"});
        let served =
            json!({"items": [{"metadata": {"name": "x.dev"}, "versions": [{"version": "v1", "resources": [pizza]}]}]});
        let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pizzas.x.dev";
        let server = Server::new()
            .on("PATCH", definition, 201, made.clone())
            .on("PATCH", "/api/v1/namespaces/n", 201, made.clone())
            .on("PATCH", "/apis/x.dev/v1/pizzas/p", 201, made)
            .on("GET", "/apis", 200, json!({"items": []}))
            .on("GET", "/apis", 200, served);
        let manifests = vec![
            of("x.dev/v1", "Pizza", "p"),
            of("v1", "Namespace", "n"),
            of("apiextensions.k8s.io/v1", "CustomResourceDefinition", "pizzas.x.dev"),
        ];
        let (data, notes) = applied(&server, manifests, Options::default()).await;
        assert_eq!(
            data,
            "customresourcedefinition.apiextensions.k8s.io/pizzas.x.dev created\nnamespace/n created\npizza.x.dev/p created\n"
        );
        assert_eq!(notes, "");
    }

    #[tokio::test]
    async fn what_is_refused_is_told_and_the_rest_is_applied() {
        let conflict = json!({"message": "conflict with \"helm\": .data.k", "reason": "Conflict", "code": 409});
        let other = "/api/v1/namespaces/other/configmaps/b";
        let server = Server::new().on("PATCH", PATH, 409, conflict).on("PATCH", other, 201, at("1", "v"));
        let mut second = config_map();
        second.object["metadata"] = json!({"name": "b", "namespace": "other"});
        let unknown = manifest(json!({"apiVersion": "v2", "kind": "Pizza", "metadata": {"name": "p"}}));
        let (data, notes) = applied(&server, vec![config_map(), second, unknown], Options::default()).await;
        assert_eq!(data, "configmap/b created\n");
        insta::assert_snapshot!(notes, @r#"
        error: configmap/a (f.yaml, document 1) cannot be applied
          caused by: conflict with "helm": .data.k (Conflict)
        hint: leave these fields out of the manifest, or take them over with --force-conflicts
        error: f.yaml, document 1: the server has no kind Pizza in v2
        hint: is its CustomResourceDefinition applied?
        [1] error: 2 of 3 objects could not be applied
        "#);
    }

    #[tokio::test]
    async fn a_namespace_that_contradicts_the_manifest_is_refused() {
        let mut object = config_map();
        object.object["metadata"]["namespace"] = "a".into();
        let options = Options { namespace: Some("b"), ..Options::default() };
        let (data, notes) = applied(&Server::new(), vec![object], options).await;
        assert_eq!(data, "");
        assert_eq!(notes, "[2] error: f.yaml, document 1: its namespace is a, but --namespace says b\n");
    }
}
