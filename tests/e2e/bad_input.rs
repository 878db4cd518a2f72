//! Input that is meant to hurt: it is refused with words, the server goes on, and its memory stays bounded.

use anyhow::Context as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::platform::Platform;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const MERGE: &str = "application/merge-patch+json";

struct Case {
    name: &'static str,
    method: &'static str,
    path: String,
    kind: &'static str,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

fn post(name: &'static str, kind: &'static str, body: impl Into<Vec<u8>>, status: u16, says: &'static str) -> Case {
    Case { name, method: "POST", path: MAPS.into(), kind, body: body.into(), status, says }
}

fn patch(name: &'static str, kind: &'static str, body: impl Into<Vec<u8>>, status: u16, says: &'static str) -> Case {
    Case { name, method: "PATCH", path: format!("{MAPS}/target"), kind, body: body.into(), status, says }
}

/// The case with `query` added to its path.
fn with(query: &str, mut case: Case) -> Case {
    case.path = format!("{}?{query}", case.path);
    case
}

fn config_map(data: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"bad"}},"data":{data}}}"#)
}

/// Aliases of aliases: ten to the power of `levels` when spelled out.
fn bomb(levels: usize) -> String {
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\nl0: &l0 lol\n");
    for level in 1..=levels {
        let last = level - 1;
        text.push_str(&format!("l{level}: &l{level} [{}]\n", vec![format!("*l{last}"); 10].join(",")));
    }
    text
}

fn cases() -> Vec<Case> {
    let deep = |open: &str, close: &str| config_map(&format!("{}{}", open.repeat(100_000), close.repeat(100_000)));
    let operations = vec![r#"{"op":"add","path":"/data/a","value":"1"}"#; 10_001].join(",");
    let long = "x".repeat(1_100_000);
    vec![
        post("nothing", JSON, "", 400, ""),
        post("an open brace", JSON, "{", 400, ""),
        post("half an object", JSON, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"#, 400, ""),
        post("more after the object", JSON, format!("{} true", config_map("{}")), 400, ""),
        post("a list", JSON, "[]", 400, ""),
        post("a number", JSON, "1e999", 400, ""),
        post("no UTF-8", JSON, [config_map("{}").as_bytes(), b"\xff\xfe"].concat(), 400, ""),
        post("deep lists", JSON, deep("[", "]"), 400, ""),
        post("deep objects", JSON, deep(r#"{"a":"#, "}"), 400, ""),
        post("deep lists in YAML", YAML, format!("data: {}", "[".repeat(100_000)), 400, ""),
        post("deep blocks in YAML", YAML, "- ".repeat(50_000), 400, ""),
        post("broken YAML", YAML, "apiVersion: v1\nkind: [ConfigMap\n", 400, ""),
        post("tabs in YAML", YAML, "apiVersion: v1\n\tkind: ConfigMap\n", 400, ""),
        post("an unknown alias", YAML, "apiVersion: v1\nkind: *nothing\n", 400, ""),
        post("a YAML bomb", YAML, bomb(9), 400, ""),
        post("an alias of itself", YAML, "a: &a [*a]\n", 400, ""),
        post("another kind", JSON, r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bad"}}"#, 400, "Secret"),
        post("a media type of another world", "text/html", config_map("{}"), 415, "application/json"),
        post("protobuf that is none", "application/vnd.kubernetes.protobuf", "k8s\0\x0a\x05", 400, ""),
        post("a field of another type", JSON, config_map(r#"{"a":1}"#), 422, "data.a"),
        post("a bad name", JSON, config_map("{}").replace("bad", "../bad"), 422, "metadata.name"),
        post("more than 1 MiB of data", JSON, config_map(&format!(r#"{{"a":"{long}"}}"#)), 422, "1048576"),
        post("more than 3 MiB", JSON, config_map(&format!(r#"{{"a":"{}"}}"#, "x".repeat(3_200_000))), 413, ""),
        with("fieldValidation=Strict", post("unknown", JSON, config_map(r#"{}, "dada": {}"#), 400, "dada")),
        with("fieldValidation=Strict", post("twice", JSON, config_map(r#"{"a":"1","a":"2"}"#), 400, "duplicate")),
        with("fieldValidation=Maybe", post("no such validation", JSON, config_map("{}"), 422, "fieldValidation")),
        with("dryRun=Some", post("no such dry run", JSON, config_map("{}"), 422, "dryRun")),
        patch("a patch that is no object", MERGE, "[1]", 400, ""),
        patch("a patch of nothing", MERGE, "", 400, ""),
        patch("a deep patch", MERGE, format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000)), 400, ""),
        patch("a patch of a wrong type", MERGE, r#"{"data":"x"}"#, 422, "data"),
        patch("a patch of metadata", MERGE, r#"{"metadata":[]}"#, 400, "metadata"),
        patch("no list of operations", "application/json-patch+json", r#"{"op":"add"}"#, 400, ""),
        patch("an unknown operation", "application/json-patch+json", r#"[{"op":"fly","path":"/data"}]"#, 400, "fly"),
        patch("a path to nowhere", "application/json-patch+json", r#"[{"op":"remove","path":"/x/y"}]"#, 422, ""),
        patch("too many operations", "application/json-patch+json", format!("[{operations}]"), 413, "10000"),
        patch("a patch of an unknown kind", "application/magic-patch", "{}", 415, "json-patch"),
        patch("an apply by nobody", "application/apply-patch+yaml", config_map("{}").replace("bad", "target"), 422, ""),
        with(
            "fieldManager=me",
            patch("an apply of another", "application/apply-patch+yaml", config_map("{}"), 400, ""),
        ),
        with("fieldManager=me", patch("an apply of a bomb", "application/apply-patch+yaml", bomb(9), 400, "")),
    ]
}

async fn ask(client: &Client, case: Case) -> anyhow::Result<Response<Value>> {
    let request = Request::builder().method(case.method).uri(&case.path).header("content-type", case.kind);
    let (head, body) = client.send(request.body(Body::from(case.body))?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = || format!("no JSON: {}", String::from_utf8_lossy(&body));
    Ok(Response::from_parts(head, serde_json::from_slice(&body).with_context(text)?))
}

/// The most memory that the process has had.
fn peak_megabytes(id: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

#[tokio::test]
async fn hostile_input_is_refused_in_words_and_the_server_goes_on() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let client = platform.client().await?;
    platform.kubectl_ok(&["create", "configmap", "target"], "").await?;
    let before = peak_megabytes(platform.id()?)?;
    let mut failures = Vec::new();
    for case in cases() {
        let (name, status, says) = (case.name, case.status, case.says);
        match ask(&client, case).await {
            Ok(answer) => {
                let body = answer.body();
                let message = body["message"].as_str().unwrap_or_default();
                let fits = answer.status().as_u16() == status && body["kind"] == "Status" && body["code"] == status;
                if !fits || message.is_empty() || !body.to_string().contains(says) {
                    let seen: String = body.to_string().chars().take(300).collect();
                    failures.push(format!("{name}: expected {status} {says:?}, seen {} {seen}", answer.status()));
                }
            }
            Err(error) => failures.push(format!("{name}: expected {status}, seen {error:#}")),
        }
    }
    let names = platform.kubectl_ok(&["get", "configmap", "-o", "name"], "").await?;
    if names.contains("bad") {
        failures.push(format!("something of it was kept: {names}"));
    }
    let after = peak_megabytes(platform.id()?)?;
    if after > before + 100 {
        failures.push(format!("memory went from {before} to {after} MiB"));
    }
    anyhow::ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn fields_that_are_unknown_or_doubled_are_warned_of() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let client = platform.client().await?;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"odd"},"data":{"a":"1","a":"2"},"dada":{}}"#;
    let answer = ask(&client, post("odd", JSON, body, 201, "")).await?;
    anyhow::ensure!(answer.status() == 201, "{answer:?}");
    let warnings: Vec<_> =
        answer.headers().get_all("warning").iter().map(|value| value.to_str()).collect::<Result<_, _>>()?;
    let told = |word: &str| warnings.iter().any(|warning| warning.contains(word));
    anyhow::ensure!(told(r#"unknown field \"dada\""#) && told("duplicate field"), "{warnings:?}");
    anyhow::ensure!(answer.body().get("dada").is_none(), "{}", answer.body());
    let quiet = with("fieldValidation=Ignore", post("odd", JSON, body.replace("odd", "odder"), 201, ""));
    let answer = ask(&client, quiet).await?;
    anyhow::ensure!(answer.status() == 201 && !answer.headers().contains_key("warning"), "{answer:?}");
    Ok(())
}
