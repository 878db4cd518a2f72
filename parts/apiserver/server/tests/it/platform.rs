//! A platform that runs nothing but the API server, and a client that asks raw requests of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Request;
use kube::client::Body;
use purlin_net::pki::{Pki, ServerNames, ServingCertificate};
use purlin_resource::{ApiHandle, Watches};
use purlin_role::{Clock, Health, Platform, Role, Supervisor};
use purlin_store::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running API server; stop it before the test ends.
pub(crate) struct Up {
    supervisor: Supervisor,
    store: Store,
    client: kube::Client,
    _dir: tempfile::TempDir,
}

/// Starts the API server on an empty store.
pub(crate) async fn up() -> Up {
    purlin_net::crypto::install_crypto();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("db"), &[purlin_apiserver::MIGRATIONS, purlin_audit::MIGRATIONS]).unwrap();
    let pki = Arc::new(Pki::open(&dir.path().join("pki"), SystemTime::now()).unwrap());
    let api = ApiHandle::default();
    let health = Health::default();
    let watches = Watches::new(api.client("watches"), CancellationToken::new(), TaskTracker::new());
    let platform = Platform {
        data_dir: dir.path().to_owned(),
        store: store.clone(),
        pki: Arc::clone(&pki),
        api: api.clone(),
        watches,
        health: health.clone(),
        clock: Clock::default(),
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let names = ServerNames { dns: vec!["localhost".into()], ips: vec![[127, 0, 0, 1].into()] };
    let certificate = ServingCertificate::issue(&pki, names, SystemTime::now()).unwrap();
    let config = purlin_apiserver::Config { listener: Arc::new(listener), certificate };
    let mut supervisor = Supervisor::new(platform);
    supervisor.start(Role::new("apiserver", config, purlin_apiserver::run));
    let gate = || health.gates().iter().any(|(name, open)| name == "apiserver/listening" && *open);
    for _ in 0..1000 {
        if gate() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gate(), "the API server did not start: {:?}", health.gates());
    let client = admin(&api);
    Up { supervisor, store, client, _dir: dir }
}

/// A client that may do everything.
fn admin(api: &ApiHandle) -> kube::Client {
    // The gateway's account is bound by the bootstrap; tests ask as a member of system:masters.
    api.client_of(purlin_auth::Principal {
        name: "tester".into(),
        groups: vec!["system:masters".into(), "system:authenticated".into()],
        ..purlin_auth::Principal::default()
    })
}

impl Up {
    /// Sends a request; returns status and body (JSON, or text as a JSON string).
    pub(crate) async fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, Value) {
        self.send_with(method, path, &[("content-type", content_type)], body).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.send(request.body(Body::from(body.as_bytes().to_vec())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "application/json", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, "application/json", &body.to_string()).await
    }

    pub(crate) async fn stop(self) {
        self.supervisor.stop().await;
        self.store.close().await;
    }
}
