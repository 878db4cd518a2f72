//! A platform that runs nothing but the API server, and clients that ask raw requests of it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use kube::client::Body;
use purlin_auth::{Caller, Principal};
use purlin_net::pki::{Pki, ServerNames, ServingCertificate};
use purlin_resource::{ApiHandle, BodyError, Watches};
use purlin_role::{Clock, Health, Platform, Role, Supervisor};
use purlin_store::Store;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// How long anything may take that is waited for; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running API server and a client that may do everything; stop it before the test ends.
pub(crate) struct Up {
    supervisor: Option<Supervisor>,
    platform: Platform,
    config: purlin_apiserver::Config,
    panic: Arc<Notify>,
    client: Client,
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) kube::Client);

/// Starts the API server on an empty store.
pub(crate) async fn up() -> Up {
    purlin_net::crypto::install_crypto();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("db"), &[purlin_apiserver::MIGRATIONS, purlin_audit::MIGRATIONS]).unwrap();
    let pki = Arc::new(Pki::open(&dir.path().join("pki"), SystemTime::now()).unwrap());
    let api = ApiHandle::default();
    let watches = Watches::new(api.client("watches"), CancellationToken::new(), TaskTracker::new());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let names = ServerNames { dns: vec!["localhost".into()], ips: vec![[127, 0, 0, 1].into()] };
    let certificate = ServingCertificate::issue(&pki, names, SystemTime::now()).unwrap();
    let config = purlin_apiserver::Config { listener: Arc::new(listener), certificate };
    let client = user(&api, "tester", &["system:masters"]);
    let platform = Platform {
        data_dir: dir.path().to_owned(),
        store: store.clone(),
        pki,
        api,
        watches,
        health: Health::default(),
        clock: Clock::default(),
    };
    let panic = Arc::new(Notify::new());
    let mut up = Up { supervisor: None, platform, config, panic, client, store, address, _dir: dir };
    up.start().await;
    up
}

fn user(api: &ApiHandle, name: &str, groups: &[&str]) -> Client {
    let mut groups: Vec<Arc<str>> = groups.iter().map(|group| (*group).into()).collect();
    groups.push("system:authenticated".into());
    Client(api.client_of(Principal { name: name.into(), groups, ..Principal::default() }))
}

impl Deref for Up {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Up {
    /// Starts the role anew on what is stored.
    pub(crate) async fn start(&mut self) {
        let mut supervisor = Supervisor::new(self.platform.clone());
        let panic = Arc::clone(&self.panic);
        let run = move |ctx, config| {
            let panic = Arc::clone(&panic);
            async move {
                tokio::select! {
                    ended = purlin_apiserver::run(ctx, config) => ended,
                    () = panic.notified() => panic!("injected by a test"),
                }
            }
        };
        supervisor.start(Role::new("apiserver", self.config.clone(), run));
        self.supervisor = Some(supervisor);
        self.serves(true).await;
    }

    fn is_listening(&self) -> bool {
        self.platform.health.gates().iter().any(|(name, open)| name == "apiserver/listening" && *open)
    }

    async fn serves(&self, expected: bool) {
        until("the API server's listening gate", || async { self.is_listening() == expected }).await;
    }

    /// Makes the role panic, and waits until the supervisor has started it again.
    pub(crate) async fn crash(&self) {
        self.panic.notify_one();
        self.serves(false).await;
        self.serves(true).await;
    }

    /// Stops the role; the store and all else stays.
    pub(crate) async fn halt(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.stop().await;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.halt().await;
        self.store.close().await;
    }

    /// Another user.
    pub(crate) fn as_user(&self, name: &str, groups: &[&str]) -> Client {
        user(&self.platform.api, name, groups)
    }

    /// Creates an object as an administrator, with a body that comes later.
    pub(crate) async fn late(&self, path: &str, body: impl Future<Output = String> + Send + 'static) -> u16 {
        let frames = futures::stream::once(async move { Ok::<_, BodyError>(Frame::data(body.await.into())) });
        let body = http_body_util::StreamBody::new(frames).boxed_unsync();
        let groups = vec!["system:masters".into()];
        let principal = Principal { name: "late".into(), groups, ..Principal::default() };
        let caller = Caller { principal, ..Caller::default() };
        let request = Request::post(path).body(body).unwrap();
        self.platform.api.call(caller, request).await.status().as_u16()
    }

    /// A client over TLS, with a bearer token or with nothing.
    pub(crate) async fn over_tls(&self, token: Option<&str>) -> Client {
        let root = base64::engine::general_purpose::STANDARD.encode(self.platform.pki.root_pem());
        let user = token.map_or(serde_json::json!({}), |token| serde_json::json!({"token": token}));
        let kubeconfig = serde_json::json!({
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://{}", self.address), "certificate-authority-data": root,
            }}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        let kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        Client(kube::Client::try_from(config).unwrap())
    }

    /// The newest revision, once all that a start brings is there: namespaces are filled behind it.
    pub(crate) async fn settled(&self) -> i64 {
        for ns in ["default", "kube-node-lease", "kube-public", "kube-system", "purlin-system"] {
            for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
                let path = format!("/api/v1/namespaces/{ns}/{path}");
                until(&path, || async { self.get(&path).await.0 == 200 }).await;
            }
        }
        let admin = "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin";
        until("aggregated roles", || async { self.get(admin).await.1["rules"].is_array() }).await;
        let mut last = self.revision().await;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.revision().await;
            if now == last {
                return now;
            }
            last = now;
        }
    }

    /// The newest revision of all.
    pub(crate) async fn revision(&self) -> i64 {
        let (_, list) = self.get("/api/v1/namespaces?limit=1").await;
        list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }
}

impl Client {
    /// Sends a request; returns status, headers and body (JSON, or text as a JSON string).
    pub(crate) async fn full(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> (u16, HeaderMap, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.0.send(request.body(Body::from(body.into())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (parts.status.as_u16(), parts.headers, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, Value) {
        let (code, _, value) = self.full(method, path, &[("content-type", content_type)], body).await;
        (code, value)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "application/json", "").await
    }

    /// Reads in the form that `accept` asks for.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> (u16, Value) {
        let (code, _, value) = self.full("GET", path, &[("accept", accept)], "").await;
        (code, value)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, "application/json", &body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("PUT", path, "application/json", &body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, media_type: &str, body: &Value) -> (u16, Value) {
        self.send("PATCH", path, media_type, &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.send("DELETE", path, "application/json", "").await
    }

    /// Creates an object, which has to work.
    #[track_caller]
    pub(crate) fn made<'a>(&'a self, path: &'a str, body: Value) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let (code, made) = self.post(path, &body).await;
            assert_eq!(code, 201, "{caller}: POST {path}: {made}");
            made
        }
    }

    /// Waits until a path answers 404.
    pub(crate) async fn gone(&self, path: &str) {
        until(path, || async { self.get(path).await.0 == 404 }).await;
    }

    /// Begins a watch, which has to be accepted.
    pub(crate) async fn watch(&self, path: &str, accept: &str) -> Watch {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let response = self.0.send(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let frames = response.into_body().into_data_stream().map(Result::unwrap).boxed();
        Watch { frames, rest: Vec::new() }
    }
}

/// A stream of events.
pub(crate) struct Watch {
    frames: futures::stream::BoxStream<'static, Bytes>,
    rest: Vec<u8>,
}

impl Watch {
    /// The next event; None at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(PATIENCE, self.frames.next()).await.expect("no event came");
            self.rest.extend_from_slice(&frame?);
        }
    }

    /// The next events as `TYPE name`, as many as are expected.
    pub(crate) async fn check(&mut self, expected: &[&str]) {
        for expected in expected {
            let event = self.next().await.unwrap_or_else(|| panic!("ended instead of {expected}"));
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            let said = format!("{} {name}", event["type"].as_str().unwrap_or_default());
            assert_eq!(said, *expected, "{event}");
        }
    }
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
