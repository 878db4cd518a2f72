//! `purlin delete`: objects by name, or those of manifests, the last first.

use http::{Method, StatusCode};
use serde_json::json;

use crate::args::DeleteArgs;
use crate::client::Failures;
use crate::client::catalog::{Catalog, Resource};
use crate::client::connect::Connection;
use crate::client::manifest;
use crate::client::named;
use crate::client::request::{Ask, JSON};
use crate::failure::Failure;
use crate::output::Output;

/// Deletes what the command line names.
pub(crate) async fn run(args: &DeleteArgs, output: &mut Output) -> Result<(), Failure> {
    let named = match &args.kind {
        Some(kind) => named::parse(kind, &args.names)?,
        None => Vec::new(),
    };
    if let Some(all) = named.iter().find(|named| named.name.is_none()) {
        return Err(Failure::usage(format!("no object of kind {} is named", all.kind))
            .hint("objects are named as in `purlin delete KIND NAME` or `purlin delete KIND/NAME`"));
    }
    let manifests = if args.filename.is_empty() { Vec::new() } else { manifest::read(&args.filename)? };
    let connection = super::connection(&args.client).await?;
    let catalog = Catalog::fetch(&connection).await?;
    let mut targets = Vec::new();
    for manifest in manifests.iter().rev() {
        let identity = manifest.identity()?;
        let namespace = identity.namespace.unwrap_or(&connection.namespace);
        targets.push(Target { resource: manifest.resource(&catalog)?, namespace, name: identity.name });
    }
    for object in &named {
        let (resource, namespace) = (object.resource(&catalog)?, connection.namespace.as_str());
        targets.extend(object.name.map(|name| Target { resource, namespace, name }));
    }
    delete(&connection, &targets, Options { dry_run: args.dry_run, ignore_not_found: args.ignore_not_found }, output)
        .await
}

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    dry_run: bool,
    ignore_not_found: bool,
}

struct Target<'a> {
    resource: &'a Resource,
    namespace: &'a str,
    name: &'a str,
}

async fn delete(
    connection: &Connection,
    targets: &[Target<'_>],
    options: Options,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut failures = Failures::of(targets.len());
    for target in targets {
        match one(connection, target, options).await {
            Ok(Some(line)) => output.data(&line)?,
            Ok(None) => {}
            Err(failure) => failures.add(failure, output)?,
        }
    }
    failures.end("objects could not be deleted")
}

/// Deletes an object; what depends on it is deleted by the server afterwards.
async fn one(connection: &Connection, target: &Target<'_>, options: Options) -> Result<Option<String>, Failure> {
    let label = target.resource.label(target.name);
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    if options.dry_run {
        body["dryRun"] = json!(["All"]);
    }
    let path = target.resource.path(Some(target.namespace), Some(target.name));
    let ask = Ask { method: Method::DELETE, path, accept: JSON, body: Some((JSON, &body)) };
    let failed = |failure: Failure| failure.context(format!("{label} cannot be deleted"));
    let what = if options.ignore_not_found {
        match connection.find(ask).await.map_err(failed)? {
            Some(answer) => answer,
            None => return Ok(None),
        }
    } else {
        connection.ask(ask).await.map_err(failed)?
    };
    // An object with finalizers goes when these are done.
    let waits = what.status == StatusCode::ACCEPTED || !what.body["metadata"]["deletionTimestamp"].is_null();
    let what = if waits { "is being deleted" } else { "deleted" };
    Ok(Some(format!("{label} {what}{}", if options.dry_run { " (server dry run)" } else { "" })))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::client::fake::Server;
    use crate::tests::{captured, text_of};

    async fn deleted(server: &Server, names: &[&str], options: Options) -> (String, String) {
        let (mut output, data, notes) = captured();
        let connection = server.connection();
        let catalog = Catalog::fetch(&connection).await.unwrap();
        let resource = catalog.called("cm").unwrap();
        let targets: Vec<_> = names.iter().map(|name| Target { resource, namespace: "n", name }).collect();
        let result = delete(&connection, &targets, options, &mut output).await;
        let failure = result.err().map(|failure| format!("[{}] {failure}\n", failure.code));
        (text_of(&data), text_of(&notes) + &failure.unwrap_or_default())
    }

    fn server() -> Server {
        let finalized: Value = json!({"kind": "ConfigMap", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        Server::new()
            .on("DELETE", "/api/v1/namespaces/n/configmaps/a", 200, json!({"kind": "Status", "status": "Success"}))
            .on("DELETE", "/api/v1/namespaces/n/configmaps/held", 200, finalized)
    }

    #[tokio::test]
    async fn a_line_says_what_became_of_an_object() {
        let server = server();
        let (data, notes) = deleted(&server, &["a", "held"], Options { dry_run: true, ..Options::default() }).await;
        assert_eq!(
            (data.as_str(), notes.as_str()),
            ("configmap/a deleted (server dry run)\nconfigmap/held is being deleted (server dry run)\n", "")
        );
        assert_eq!(server.asked()[0].1["dryRun"], json!(["All"]));
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_failure_unless_it_may_be() {
        let (data, notes) = deleted(&server(), &["missing", "a"], Options::default()).await;
        assert_eq!(data, "configmap/a deleted\n");
        insta::assert_snapshot!(notes, @r"
        error: configmap/missing cannot be deleted
          caused by: not there (NotFound)
        [1] error: 1 of 2 objects could not be deleted
        ");
        let ignoring = Options { ignore_not_found: true, ..Options::default() };
        assert_eq!(deleted(&server(), &["missing"], ignoring).await, (String::new(), String::new()));
    }
}
