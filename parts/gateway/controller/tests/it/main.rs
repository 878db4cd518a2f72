//! The controller against an API in memory and a data plane that only takes notes.

mod api;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use purlin_gateway::{AddressPool, control};
use purlin_resource::{ApiHandle, Watches};
use purlin_traffic::PlaneReport;
use purlin_traffic::model::RouteModel;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use api::Api;

/// A controller that runs, and what its data plane has been told.
struct Running {
    plane: Arc<Mutex<Plane>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    task: tokio::task::JoinHandle<()>,
    is_ready: oneshot::Receiver<()>,
    leads: watch::Sender<bool>,
}

#[derive(Default)]
struct Plane {
    models: Vec<Arc<RouteModel>>,
    report: PlaneReport,
}

fn start(api: &Api, addresses: &str) -> Running {
    let running = follow(api, addresses);
    running.leads.send_replace(true);
    running
}

/// Starts a controller that does not lead.
fn follow(api: &Api, addresses: &str) -> Running {
    let (leads, leading) = watch::channel(false);
    let handle = ApiHandle::default();
    handle.register(Box::new(api.clone()));
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let client = handle.client("gateway");
    let watches = Watches::new(client.clone(), shutdown.clone(), tasks.clone());
    let plane = Arc::new(Mutex::new(Plane::default()));
    let (ready, is_ready) = oneshot::channel();
    let addresses: AddressPool = addresses.parse().unwrap();
    let (stop, notes) = (shutdown.clone(), Arc::clone(&plane));
    let task = tokio::spawn(async move {
        let apply = |model: Arc<RouteModel>| {
            let mut plane = notes.lock().unwrap();
            plane.models.push(model);
            std::future::ready(plane.report.clone())
        };
        control(client, &watches, addresses, apply, leading, stop, || ready.send(()).unwrap_or(())).await;
    });
    Running { plane, shutdown, tasks, task, is_ready, leads }
}

impl Running {
    fn sockets(&self) -> Vec<SocketAddr> {
        self.plane.lock().unwrap().models.last().map(|m| m.binds.keys().copied().collect()).unwrap_or_default()
    }

    /// Returns once the data plane has been told a model like this.
    async fn told(&self, like: impl Fn(&RouteModel) -> bool) {
        while !self.plane.lock().unwrap().models.last().is_some_and(|model| like(model)) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn gateway(name: &str, port: u16) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"gatewayClassName": "purlin", "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}]},
    })
}

fn route(name: &str, gateway: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"parentRefs": [{"name": gateway}]}})
}

/// `STATUS/REASON` of a condition in `conditions`.
fn verdict(conditions: &Value, kind: &str) -> Option<String> {
    let condition = conditions.as_array()?.iter().find(|c| c["type"] == kind)?;
    Some(format!("{}/{}", condition["status"].as_str()?, condition["reason"].as_str()?))
}

fn programmed(api: &Api, gateway: &str) -> Option<String> {
    verdict(&api.get("gateways", "default", gateway)?["status"]["conditions"], "Programmed")
}

fn accepted(api: &Api, route: &str) -> Option<String> {
    verdict(&api.get("httproutes", "default", route)?["status"]["parents"][0]["conditions"], "Accepted")
}

fn address(api: &Api, gateway: &str) -> Option<String> {
    let gateway = api.get("gateways", "default", gateway)?;
    gateway["status"]["addresses"][0]["value"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn objects_are_served_and_their_statuses_written_once() {
    let api = Api::new();
    api.put("gateways", gateway("gw", 80));
    let running = start(&api, "10.0.0.0/24");
    api.until("the class is accepted", |api| {
        let class = api.get("gatewayclasses", "", "purlin");
        class.and_then(|c| verdict(&c["status"]["conditions"], "Accepted")).as_deref() == Some("True/Accepted")
    })
    .await;
    api.until("the Gateway is programmed", |api| programmed(api, "gw").as_deref() == Some("True/Programmed")).await;
    assert_eq!(address(&api, "gw").as_deref(), Some("10.0.0.1"));
    assert_eq!(running.sockets(), ["10.0.0.1:80".parse().unwrap()]);

    api.put("httproutes", route("r", "gw"));
    api.until("the route is accepted", |api| accepted(api, "r").as_deref() == Some("True/Accepted")).await;
    api.until("the listener counts it", |api| {
        api.get("gateways", "default", "gw").is_some_and(|g| g["status"]["listeners"][0]["attachedRoutes"] == 1)
    })
    .await;
    // What is served is served before it is said.
    assert_eq!(running.plane.lock().unwrap().models.last().unwrap().binds.len(), 1);

    // A marker that passes through all of it: after it nothing else is to be written.
    api.take_patches();
    api.put("httproutes", route("marker", "absent"));
    api.put("httproutes", route("last", "gw"));
    api.until("the last route is accepted", |api| accepted(api, "last").is_some()).await;
    api.until("the listener counts it", |api| {
        api.get("gateways", "default", "gw").is_some_and(|g| g["status"]["listeners"][0]["attachedRoutes"] == 2)
    })
    .await;
    running.stop().await;
    let mut patches = api.take_patches();
    patches.sort();
    assert_eq!(patches, ["gateways gw", "httproutes last"]);
}

#[tokio::test]
async fn a_gateway_keeps_its_address_over_restarts() {
    let api = Api::new();
    api.put("gateways", gateway("b", 80));
    let running = start(&api, "10.0.0.0/24");
    api.until("b has an address", |api| address(api, "b").is_some()).await;
    running.stop().await;
    // It would go before b if the addresses were given out anew.
    api.put("gateways", gateway("a", 80));
    let running = start(&api, "10.0.0.0/24");
    api.until("a has an address", |api| address(api, "a").is_some()).await;
    assert_eq!(address(&api, "b").as_deref(), Some("10.0.0.1"));
    assert_eq!(address(&api, "a").as_deref(), Some("10.0.0.2"));
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_applied_before_all_is_known_and_one_model_has_it_all() {
    let api = Api::new();
    for i in 0..20u16 {
        api.put("gateways", gateway(&format!("g{i}"), 80));
    }
    let mut running = start(&api, "10.0.0.0/24");
    api.until("the statuses are written", |api| programmed(api, "g19").is_some()).await;
    assert!(running.is_ready.try_recv().is_ok());
    // The class was made before the kinds were listed, so the first model has all Gateways.
    assert_eq!(running.plane.lock().unwrap().models[0].binds.len(), 20);
    running.stop().await;
}

#[tokio::test]
async fn refused_writes_are_tried_again() {
    let api = Api::new();
    api.refuse(&[500, 409, 503, 500]);
    api.put("gateways", gateway("gw", 80));
    let running = start(&api, "10.0.0.0/24");
    api.until("the first statuses are there", |api| api.get("gatewayclasses", "", "purlin").is_some()).await;
    // A conflict is given up: the change that caused it, here this one, leads to the next write.
    api.put("httproutes", route("r", "gw"));
    api.until("the Gateway is programmed", |api| programmed(api, "gw").as_deref() == Some("True/Programmed")).await;
    api.until("the route is accepted", |api| accepted(api, "r").as_deref() == Some("True/Accepted")).await;
    running.stop().await;
}

#[tokio::test]
async fn what_the_data_plane_cannot_do_is_said_until_it_can() {
    let api = Api::new();
    let running = start(&api, "10.0.0.0/24");
    let socket: SocketAddr = "10.0.0.1:80".parse().unwrap();
    running.plane.lock().unwrap().report.binds.insert(socket, "permission denied".to_owned());
    api.put("gateways", gateway("gw", 80));
    api.until("it is said", |api| programmed(api, "gw").as_deref() == Some("False/Invalid")).await;
    let status = &api.get("gateways", "default", "gw").unwrap()["status"];
    assert_eq!(verdict(&status["listeners"][0]["conditions"], "Accepted").as_deref(), Some("False/PortUnavailable"));
    running.plane.lock().unwrap().report.binds.clear();
    api.until("it is retried", |api| programmed(api, "gw").as_deref() == Some("True/Programmed")).await;
    running.stop().await;
}

#[tokio::test]
async fn only_the_leader_writes_statuses_but_each_serves() {
    let api = Api::new();
    api.put("gateways", gateway("gw", 80));
    let running = follow(&api, "10.0.0.0/24");
    running.told(|model| model.binds.len() == 1).await;
    assert_eq!(api.take_patches(), Vec::<String>::new());
    running.leads.send_replace(true);
    api.until("the Gateway is programmed", |api| programmed(api, "gw").as_deref() == Some("True/Programmed")).await;
    running.leads.send_replace(false);
    let mut served = route("r", "gw");
    served["spec"]["rules"] = json!([{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]);
    api.put("httproutes", served);
    running.told(|model| model.binds.values().any(|bind| !bind.listeners[0].hosts().is_empty())).await;
    assert_eq!(accepted(&api, "r"), None);
    running.stop().await;
}

/// No change waits for another one: a grant that is given or taken is served by the very next model.
#[tokio::test]
async fn a_reference_grant_counts_at_once() {
    let api = Api::new();
    api.put("gateways", gateway("gw", 80));
    let mut route = route("r", "gw");
    route["spec"]["rules"] = json!([{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": "web", "namespace": "other", "port": 80}]}]);
    api.put("httproutes", route);
    let of_other = |name: &str| json!({"name": name, "namespace": "other"});
    api.put("services", json!({"metadata": of_other("web"), "spec": {"ports": [{"port": 80}]}}));
    let running = start(&api, "10.0.0.0/24");
    api.until("the route is accepted", |api| accepted(api, "r").is_some()).await;
    let serves = |model: &RouteModel| !model.clusters.is_empty();
    let told = || running.plane.lock().unwrap().models.len();
    for (from, granted) in [("default", true), ("elsewhere", false), ("default", true)] {
        let before = told();
        let grant = json!({"metadata": of_other("grant"), "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": from}],
            "to": [{"group": "", "kind": "Service"}]}});
        api.put("referencegrants", grant);
        running.told(|model| serves(model) == granted).await;
        assert_eq!(told(), before + 1, "{from}");
    }
    running.stop().await;
}

/// Each kind is watched, and told how it stands, once.
#[tokio::test]
async fn every_kind_is_watched_and_told() {
    let api = Api::new();
    let mut gateway = gateway("gw", 80);
    gateway["spec"]["allowedListeners"] = json!({"namespaces": {"from": "Same"}});
    gateway["spec"]["listeners"] = json!([
        {"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "tls", "port": 81, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
        {"name": "tcp", "port": 82, "protocol": "TCP"},
        {"name": "udp", "port": 83, "protocol": "UDP"},
    ]);
    api.put("gateways", gateway);
    let running = start(&api, "10.0.0.0/24");
    let named = |name: &str| json!({"name": name, "namespace": "default"});
    api.put(
        "listenersets",
        json!({"metadata": named("set"), "spec": {"parentRef": {"name": "gw"},
        "listeners": [{"name": "more", "port": 84, "protocol": "HTTP"}]}}),
    );
    api.put("services", json!({"metadata": named("web"), "spec": {"ports": [{"port": 80}]}}));
    let backends = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let kinds = ["grpcroutes", "tlsroutes", "tcproutes", "udproutes"];
    for kind in kinds {
        let spec = json!({"parentRefs": [{"name": "gw"}], "hostnames": ["a.test"], "rules": backends});
        api.put(kind, json!({"metadata": named("r"), "spec": spec}));
    }
    api.put("configmaps", json!({"metadata": named("ca"), "data": {"ca.crt": "-----BEGIN CERTIFICATE-----"}}));
    api.put("backendtlspolicies", json!({"metadata": named("p"), "spec": {
        "targetRefs": [{"group": "", "kind": "Service", "name": "web"}],
        "validation": {"hostname": "a.test", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}}}));
    let told = |api: &Api, kind: &str, name: &str, path: &str| {
        let object = api.get(kind, "default", name)?;
        verdict(object.pointer(path)?, "Accepted")
    };
    for kind in kinds {
        let accepted =
            |api: &Api| told(api, kind, "r", "/status/parents/0/conditions").as_deref() == Some("True/Accepted");
        api.until("the route is accepted", accepted).await;
    }
    let of_set = |api: &Api| told(api, "listenersets", "set", "/status/conditions").as_deref() == Some("True/Accepted");
    api.until("the set is accepted", of_set).await;
    let of_policy = |api: &Api| {
        told(api, "backendtlspolicies", "p", "/status/ancestors/0/conditions").as_deref() == Some("True/Accepted")
    };
    api.until("the policy is accepted", of_policy).await;
    running.told(|model| model.clusters.values().any(|c| c.tls.is_some()) && model.binds.len() == 4).await;
    assert_eq!(running.plane.lock().unwrap().models.last().unwrap().datagrams.len(), 1);
    running.stop().await;
}
