//! `purlin up` as a process: what it says, what it refuses, how it ends.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use purlin_testkit::{PATIENCE, process::Launch, temp_dir};
use serde_json::Value;

const PURLIN: &str = env!("CARGO_BIN_EXE_purlin");

fn up_arguments(data: &Path, api: &str) -> Vec<String> {
    let data = data.to_str().unwrap();
    let fixed = ["--admin-listen", "127.0.0.1:0", "--gateway-addresses", "127.0.77.0/24", "--json"];
    ["up", "--data-dir", data, "--api-listen", api].iter().chain(&fixed).map(|word| (*word).to_owned()).collect()
}

/// A command in a home of its own.
fn command(home: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    Command::new(PURLIN).args(arguments).env_clear().env("HOME", home).output().unwrap()
}

fn refused(home: &Path, arguments: &[impl AsRef<OsStr>], code: i32) -> String {
    let output = command(home, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{error}");
    error
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn it_is_ready_refuses_a_second_one_and_ends_cleanly() {
    let dir = temp_dir().unwrap();
    let (home, data) = (dir.path().join("home"), dir.path().join("data"));
    fs::create_dir(&home).unwrap();
    let launch = Launch::new(PURLIN, up_arguments(&data, "127.0.0.1:0")).env("HOME", &home);
    let process = launch.start(PATIENCE).await.unwrap();
    let ready = process.ready.clone();
    assert_eq!((&ready["event"], &ready["version"]), (&"ready".into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!(ready["data_dir"], data.to_str().unwrap());
    assert!(ready["api_ms"].as_u64().unwrap() <= ready["ready_ms"].as_u64().unwrap());

    let kubeconfig = data.join("kubeconfig");
    assert_eq!(ready["kubeconfig"], kubeconfig.to_str().unwrap());
    assert_eq!((mode(&data), mode(&kubeconfig)), (0o700, 0o600));
    let config = fs::read_to_string(&kubeconfig).unwrap();
    assert!(config.contains(ready["api"].as_str().unwrap()), "{config}");

    let admin = ready["admin"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let gates = ["[+]apiserver/listening", "[+]apiserver/running", "[+]gateway/routes", "[+]gateway/running"];
    let verbose = get(&admin, "/readyz?verbose").await;
    assert!(gates.iter().all(|gate| verbose.contains(gate)), "{verbose}");
    assert!(get(&admin, "/readyz").await.ends_with("ok\n"));
    assert!(get(&admin, "/metrics").await.contains("process_resident_memory_bytes"));

    let second = refused(&home, &up_arguments(&data, "127.0.0.1:0"), 1);
    assert!(second.contains(data.to_str().unwrap()) && second.contains("--data-dir"), "{second}");
    let address = ready["api"].as_str().unwrap().strip_prefix("https://").unwrap();
    let taken = refused(&home, &up_arguments(&dir.path().join("other"), address), 1);
    assert!(taken.contains(address) && taken.contains("--api-listen"), "{taken}");

    let unused = dir.path().join("unused");
    let mut unlogged = up_arguments(&unused, "127.0.0.1:0");
    unlogged.extend(["--access-log", "/nowhere/x.log"].map(str::to_owned));
    let unlogged = refused(&home, &unlogged, 1);
    assert!(unlogged.contains("/nowhere/x.log") && unlogged.contains("--access-log"), "{unlogged}");
    assert!(!unused.exists());

    assert_eq!(process.terminate(PATIENCE).await.unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);

    let get = ["get", "namespaces", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let unreachable = refused(&home, &get, 3);
    assert!(unreachable.starts_with("error: cannot reach the API server at https://127.0.0.1:"), "{unreachable}");
}

/// A reader that goes away, as `head` does, leaves pipes that fail.
#[test]
fn nobody_reading_is_no_panic() {
    let dir = temp_dir().unwrap();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let data = dir.path().join("data");
    let check = |arguments: &[String], code: i32| {
        let mut command = Command::new(PURLIN);
        let status = command.args(arguments).env_clear().env("HOME", dir.path()).stdout(closed()).stderr(closed());
        assert_eq!(status.status().unwrap().code(), Some(code), "{arguments:?}");
    };
    check(&["version".to_owned()], 1);
    check(&["dance".to_owned()], 2);
    // It ends, with events of the roles in between, since it cannot say that it is ready.
    check(&up_arguments(&data, "127.0.0.1:0"), 1);
}

#[test]
fn without_a_kubeconfig_there_is_a_hint() {
    let home = temp_dir().unwrap();
    let nowhere = refused(home.path(), &["get", "namespaces"], 3);
    assert!(nowhere.contains("there is no kubeconfig\nhint: start the platform with `purlin up`"), "{nowhere}");
    let missing = refused(home.path(), &["get", "namespaces", "--kubeconfig", "/nowhere/config"], 1);
    assert!(missing.contains("cannot use the kubeconfig /nowhere/config"), "{missing}");
}

/// The body of an answer.
async fn get(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn objects_are_applied_shown_and_deleted() {
    let dir = temp_dir().unwrap();
    let process = Launch::new(PURLIN, up_arguments(dir.path(), "127.0.0.1:0")).start(PATIENCE).await.unwrap();
    let kubeconfig = process.ready["kubeconfig"].as_str().unwrap().to_owned();
    let said = |arguments: &[&str]| {
        let output = command(dir.path(), &[arguments, &["--kubeconfig", &kubeconfig]].concat());
        let [data, notes] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!((output.status.code(), notes.as_str()), (Some(0), ""), "{arguments:?}");
        data
    };
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello");
    let lines = said(&["apply", "--dry-run", "-f", examples]);
    assert_eq!(lines.lines().filter(|line| line.ends_with(" created (server dry run)")).count(), 7, "{lines}");

    let manifest = dir.path().join("m.yaml");
    let apply = ["apply", "-f", manifest.to_str().unwrap()];
    let write = |value: &str| {
        let text =
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: x, namespace: ns}}, data: {{k: {value}}}}}");
        let namespace = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: ns}}";
        fs::write(&manifest, format!("---\n{text}\n{namespace}\n")).unwrap();
    };
    write("one");
    assert_eq!(said(&apply), "namespace/ns created\nconfigmap/x created\n");
    assert_eq!(said(&apply).lines().last(), Some("configmap/x unchanged"));
    write("two");
    assert_eq!(said(&apply).lines().last(), Some("configmap/x configured"));

    let object: Value = serde_json::from_str(&said(&["get", "cm", "x", "-n", "ns", "-o", "json"])).unwrap();
    assert_eq!((&object["kind"], &object["data"]["k"]), (&"ConfigMap".into(), &"two".into()));
    let table = said(&["get", "configmaps", "-A"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAMESPACE", "NAME", "DATA", "AGE"]);
    assert!(rows.iter().any(|row| row[..3] == ["ns", "x", "1"]), "{table}");
    assert_eq!(said(&["get", "cm/x", "namespace/ns", "-n", "ns", "-o", "name"]), "configmap/x\nnamespace/ns\n");
    assert!(said(&["get", "ns,cm", "-n", "ns"]).contains("\n\nNAME"));
    assert_eq!(said(&["delete", "cm/x", "-n", "ns"]), "configmap/x deleted\n");
    assert_eq!(said(&["delete", "cm", "x", "-n", "ns", "--ignore-not-found"]), "");
    assert_eq!(process.terminate(PATIENCE).await.unwrap().code(), Some(0));
}
