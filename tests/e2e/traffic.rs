//! Traffic through the gateway, as applied objects say: weights, changes under load, conditions, restarts.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::StatusCode;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use purlin_testkit::{PATIENCE, free_ports, wait_until};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::http1::{self, Connection};
use crate::platform::{PURLIN, Platform, soak};

/// A gateway with two demo backends, `a` and `b`, behind it.
pub(crate) struct Scene {
    pub(crate) platform: Platform,
    pub(crate) gateway: SocketAddr,
    client: Client,
    port: u16,
    // Killed when dropped.
    _backends: Vec<Child>,
}

impl Scene {
    /// Sets it up, and waits until the gateway is programmed.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let platform = Platform::up().await?;
        let [port, a, b] = free_ports()?;
        let mut backends = Vec::new();
        let mut objects = vec![gateway(port)];
        for (name, port) in [("a", a), ("b", b)] {
            let listen = format!("127.0.0.1:{port}");
            let mut command = Command::new(PURLIN);
            command.args(["demo-backend", "--listen", &listen, "--name", name]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            backends.push(command.spawn()?);
            objects.extend(service(name, &[port]));
            let answers = async || http1::get(([127, 0, 0, 1], port).into(), "localhost", "/").await.is_ok();
            wait_until("the backend answers", PATIENCE, answers).await?;
        }
        apply(&platform, &objects).await?;
        let client = platform.client().await?;
        let gateway = programmed(&platform, port).await?;
        Ok(Scene { platform, gateway, client, port, _backends: backends })
    }

    pub(crate) fn routes(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(purlin_gateway_api::GROUP, "v1", "HTTPRoute");
        let resource = ApiResource::from_gvk_with_plural(&kind, "httproutes");
        Api::default_namespaced_with(self.client.clone(), &resource)
    }

    /// The gateway, with other listeners.
    pub(crate) fn gateway_with(&self, listeners: Value) -> Value {
        let mut gateway = gateway(self.port);
        gateway["spec"]["listeners"] = listeners;
        gateway
    }

    /// Applies objects with kubectl.
    pub(crate) async fn apply(&self, objects: &[Value]) -> anyhow::Result<()> {
        apply(&self.platform, objects).await
    }

    pub(crate) async fn add(&self, route: Value) -> anyhow::Result<()> {
        self.routes().create(&PostParams::default(), &serde_json::from_value(route)?).await?;
        Ok(())
    }

    /// Asks until the answer is `status`.
    pub(crate) async fn answers(&self, host: &str, path: &str, status: u16) -> anyhow::Result<Bytes> {
        let mut answer = None;
        let asked = wait_until("the gateway answers as it should", Duration::from_secs(10), async || {
            answer = http1::get(self.gateway, host, path).await.ok();
            answer.as_ref().is_some_and(|(seen, _)| seen.as_u16() == status)
        });
        let end = asked.await;
        end.with_context(|| format!("{host}{path} should answer {status}, but: {answer:?}"))?;
        Ok(answer.context("no answer")?.1)
    }

    /// Waits until the route's conditions have these statuses and reasons at its current generation.
    async fn conditions(&self, route: &str, expected: &[(&str, &str, &str)]) -> anyhow::Result<()> {
        let mut seen = Value::Null;
        let waited = wait_until("conditions are as they should be", Duration::from_secs(10), async || {
            let Ok(object) = self.routes().get(route).await else { return false };
            let generation = object.metadata.generation;
            seen = object.data["status"]["parents"][0]["conditions"].clone();
            let holds = |(kind, status, reason): &(&str, &str, &str)| {
                seen.as_array().into_iter().flatten().any(|condition| {
                    condition["type"] == *kind
                        && condition["status"] == *status
                        && condition["reason"] == *reason
                        && condition["observedGeneration"].as_i64() == generation
                })
            };
            expected.iter().all(holds)
        });
        let end = waited.await;
        end.with_context(|| format!("{route} should have {expected:?}, but: {seen}"))
    }
}

fn gateway(port: u16) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "front"},
        "spec": {"gatewayClassName": "purlin", "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}]},
    })
}

/// A Service and its endpoints on this machine.
fn service(name: &str, ports: &[u16]) -> Vec<Value> {
    let target = ports.first().copied().unwrap_or(1);
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80, "targetPort": target}]},
    })];
    objects.extend(ports.iter().map(|port| {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-{port}"), "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        })
    }));
    objects
}

/// A route of the gateway with the rules of `spec`.
pub(crate) fn route(name: &str, host: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"parentRefs": [{"name": "front"}], "hostnames": [host], "rules": rules},
    })
}

/// A rule that splits what it gets.
pub(crate) fn split(weights: &[(&str, u32)]) -> Value {
    let refs = weights.iter().map(|(name, weight)| json!({"name": name, "port": 80, "weight": weight}));
    json!([{"backendRefs": refs.collect::<Vec<_>>()}])
}

async fn apply(platform: &Platform, objects: &[Value]) -> anyhow::Result<()> {
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    platform.kubectl_ok(&["apply", "-f", "-"], &documents.join("\n---\n")).await?;
    Ok(())
}

/// Waits until the gateway is programmed, and returns where it listens.
async fn programmed(platform: &Platform, port: u16) -> anyhow::Result<SocketAddr> {
    platform.kubectl_ok(&["wait", "--for=condition=Programmed", "gateway/front", "--timeout=10s"], "").await?;
    let path = "jsonpath={.status.addresses[0].value}";
    let address = platform.kubectl_ok(&["get", "gateway", "front", "-o", path], "").await?;
    Ok(SocketAddr::new(address.parse().with_context(|| format!("no address: {address:?}"))?, port))
}

/// A gateway that serves the backend on `backend` as `one.test`.
pub(crate) async fn serve_one(platform: &Platform, backend: u16) -> anyhow::Result<SocketAddr> {
    let [port] = free_ports()?;
    let mut objects = service("one", &[backend]);
    objects.extend([gateway(port), route("one", "one.test", split(&[("one", 1)]))]);
    apply(platform, &objects).await?;
    let address = programmed(platform, port).await?;
    let served = async || http1::get(address, "one.test", "/").await.is_ok_and(|(status, _)| status == StatusCode::OK);
    wait_until("the route is served", PATIENCE, served).await?;
    Ok(address)
}

fn name_in(body: &Bytes) -> Option<String> {
    Some(serde_json::from_slice::<Value>(body).ok()?["name"].as_str()?.to_owned())
}

/// Requests that go on until it is told to stop; one that fails is kept.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) count: Arc<AtomicU64>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    /// Four clients, each on one connection that is kept alive.
    pub(crate) fn on(gateway: SocketAddr, host: &'static str) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            clients.spawn(async move {
                let mut connection = Connection::open(gateway).await.map_err(|error| format!("{error:#}"))?;
                while !stop.load(Ordering::Relaxed) {
                    let answer = connection.get(host, "/").await;
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    match answer {
                        Ok(answer) if answer.status() == StatusCode::OK => {}
                        Ok(answer) => return Err(format!("request {number}: {answer:?}")),
                        Err(error) => return Err(format!("request {number}: {error:#}")),
                    }
                }
                Ok(())
            });
        }
        Load { stop, count, clients }
    }

    /// Stops, and returns how many requests there were; none of them failed.
    pub(crate) async fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let failed: Vec<String> = self.clients.join_all().await.into_iter().filter_map(Result::err).collect();
        anyhow::ensure!(failed.is_empty(), "under load: {failed:?}");
        Ok(self.count.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn weights_are_kept_and_change_under_load_without_a_failed_request() -> anyhow::Result<()> {
    let scene = Scene::set().await?;
    scene.add(route("main", "m.test", split(&[("a", 80), ("b", 20)]))).await?;
    scene.answers("m.test", "/", 200).await?;

    let mut connection = Connection::open(scene.gateway).await?;
    let mut to_b = 0;
    for _ in 0..1_000 {
        let answer = connection.get("m.test", "/").await?;
        anyhow::ensure!(answer.status() == StatusCode::OK, "{answer:?}");
        to_b += u32::from(name_in(answer.body()).as_deref() == Some("b"));
    }
    // 200 are expected; six standard deviations are 76.
    anyhow::ensure!((124..=276).contains(&to_b), "of 1,000 requests {to_b} went to b instead of some 200");

    let load = Load::on(scene.gateway, "m.test");
    for change in 0..if soak() { 1_000 } else { 10 } {
        let (weights, only) = if change % 2 == 0 { ([("a", 0), ("b", 1)], "b") } else { ([("a", 1), ("b", 0)], "a") };
        let patch = Patch::Merge(json!({"spec": {"rules": split(&weights)}}));
        scene.routes().patch("main", &PatchParams::default(), &patch).await?;
        // A new route, so that others change too.
        scene.add(route(&format!("r{change}"), &format!("r{change}.test"), split(&[("a", 1)]))).await?;
        scene.answers(&format!("r{change}.test"), "/", 200).await?;
        let moved = async || {
            let mut names = Vec::new();
            for _ in 0..10 {
                names.extend(connection.get("m.test", "/").await.ok().and_then(|answer| name_in(answer.body())));
            }
            names.len() == 10 && names.iter().all(|name| name == only)
        };
        wait_until("all goes where the weights say", PATIENCE, moved).await?;
    }
    let count = load.stop().await?;
    anyhow::ensure!(count > 100, "only {count} requests were made");
    scene.conditions("main", &[("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs")]).await
}

#[tokio::test]
async fn what_cannot_be_served_is_said_in_status_and_answered() -> anyhow::Result<()> {
    let scene = Scene::set().await?;
    scene.apply(&service("idle", &[])).await?;
    let extended = json!([{
        "filters": [{"type": "ExtensionRef", "extensionRef": {"group": "example.com", "kind": "Filter", "name": "f"}}],
        "backendRefs": [{"name": "a", "port": 80}],
    }]);
    let mut elsewhere = route("elsewhere", "e.test", split(&[("a", 1)]));
    elsewhere["spec"]["parentRefs"][0]["sectionName"] = json!("nothing");
    for added in [
        route("good", "good.test", split(&[("a", 1)])),
        route("lost", "lost.test", split(&[("nowhere", 1)])),
        route("half", "half.test", split(&[("a", 1), ("nowhere", 1)])),
        route("idle", "idle.test", split(&[("idle", 1)])),
        route("extended", "extended.test", extended),
        elsewhere,
    ] {
        scene.add(added).await?;
    }
    let (accepted, resolved) = (("Accepted", "True", "Accepted"), ("ResolvedRefs", "True", "ResolvedRefs"));
    let missing = ("ResolvedRefs", "False", "BackendNotFound");
    scene.conditions("good", &[accepted, resolved]).await?;
    scene.conditions("lost", &[accepted, missing]).await?;
    scene.conditions("half", &[accepted, missing]).await?;
    scene.conditions("idle", &[accepted, resolved]).await?;
    scene.conditions("extended", &[("Accepted", "False", "UnsupportedValue")]).await?;
    scene.conditions("elsewhere", &[("Accepted", "False", "NoMatchingParent")]).await?;

    scene.answers("good.test", "/", 200).await?;
    scene.answers("lost.test", "/", 500).await?;
    scene.answers("idle.test", "/", 503).await?;
    scene.answers("extended.test", "/", 404).await?;
    scene.answers("e.test", "/", 404).await?;
    scene.answers("unheard-of.test", "/", 404).await?;
    // The share of the backend that is missing fails, the other does not.
    scene.answers("half.test", "/", 500).await?;
    scene.answers("half.test", "/", 200).await?;

    // Only what is accepted counts.
    let attached = ["get", "gateway", "front", "-o", "jsonpath={.status.listeners[0].attachedRoutes}"];
    let counted = async || scene.platform.kubectl_ok(&attached, "").await.is_ok_and(|count| count == "4");
    wait_until("four routes are attached", PATIENCE, counted).await?;

    // A protocol that is not built.
    let mut other = gateway(scene.port);
    other["metadata"]["name"] = json!("other");
    other["spec"]["listeners"][0]["protocol"] = json!("example.com/other");
    scene.apply(&[other]).await?;
    let path = "jsonpath={.status.listeners[0].conditions[?(@.type==\"Accepted\")].reason}";
    let reason = ["get", "gateway", "other", "-o", path];
    let told =
        async || scene.platform.kubectl_ok(&reason, "").await.is_ok_and(|reason| reason == "UnsupportedProtocol");
    wait_until("the protocol is refused", PATIENCE, told).await
}

#[tokio::test]
async fn routes_match_and_change_requests_as_they_say() -> anyhow::Result<()> {
    let scene = Scene::set().await?;
    let to = |name: &str| json!([{"name": name, "port": 80}]);
    let rules = json!([
        {"matches": [{"path": {"type": "Exact", "value": "/exact"}}], "backendRefs": to("b")},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}], "backendRefs": to("b"),
         "filters": [
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}}},
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-who", "value": "purlin"}]}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-by", "value": "gateway"}]}},
        ]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
         "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "new.test", "statusCode": 301}}]},
        {"matches": [{"queryParams": [{"name": "to", "value": "b"}]}], "backendRefs": to("b")},
        {"backendRefs": to("a")},
    ]);
    scene.add(route("rules", "*.rules.test", rules)).await?;
    scene.answers("x.rules.test", "/", 200).await?;

    let mut connection = Connection::open(scene.gateway).await?;
    for (path, backend) in [
        ("/", "a"),
        ("/exact", "b"),
        ("/exact/not", "a"),
        ("/api", "b"),
        ("/apis", "a"),
        ("/?to=b", "b"),
        ("/?to=c", "a"),
    ] {
        let answer = connection.get("x.rules.test", path).await?;
        anyhow::ensure!(name_in(answer.body()).as_deref() == Some(backend), "{path}: {answer:?}");
    }
    let answer = connection.get("x.rules.test", "/api/loaf?a=1").await?;
    let seen: Value = serde_json::from_slice(answer.body())?;
    anyhow::ensure!(seen["path"] == "/v2/loaf?a=1", "{seen}");
    anyhow::ensure!(answer.headers().get("x-by").is_some_and(|value| value == "gateway"), "{answer:?}");
    let headers = seen["headers"].to_string().to_lowercase();
    for header in ["x-who", "x-forwarded-for", "x-request-id", "traceparent"] {
        anyhow::ensure!(headers.contains(header), "no {header} in {headers}");
    }
    let answer = connection.get("x.rules.test", "/old/page").await?;
    anyhow::ensure!(answer.status() == StatusCode::MOVED_PERMANENTLY, "{answer:?}");
    let location = answer.headers().get(http::header::LOCATION).context("no Location")?.to_str()?;
    anyhow::ensure!(location.starts_with("http://new.test") && location.ends_with("/old/page"), "{location}");
    anyhow::ensure!(connection.get("rules.test", "/").await?.status() == StatusCode::NOT_FOUND, "no label is a label");
    Ok(())
}

#[tokio::test]
async fn a_gateway_serves_again_where_it_did_after_kill_9() -> anyhow::Result<()> {
    let mut scene = Scene::set().await?;
    scene.add(route("main", "m.test", split(&[("a", 1)]))).await?;
    scene.answers("m.test", "/", 200).await?;
    scene.platform.kill_9().await?;
    anyhow::ensure!(http1::get(scene.gateway, "m.test", "/").await.is_err(), "something else serves");
    scene.platform.start().await?;
    // Ready means ready: there is no waiting here.
    let (status, _) = http1::get(scene.gateway, "m.test", "/").await?;
    anyhow::ensure!(status == StatusCode::OK, "{status}");
    let again = programmed(&scene.platform, scene.port).await?;
    anyhow::ensure!(again == scene.gateway, "it moved from {} to {again}", scene.gateway);
    Ok(())
}

/// How long a new route takes until it is served, `count` times, sorted.
pub(crate) async fn served_after(scene: &Scene, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(count);
    let mut connection = Connection::open(scene.gateway).await?;
    for number in 0..count {
        let host = format!("n{number}.test");
        scene.add(route(&format!("n{number}"), &host, split(&[("a", 1)]))).await?;
        let acknowledged = Instant::now();
        while connection.get(&host, "/").await?.status() != StatusCode::OK {
            anyhow::ensure!(acknowledged.elapsed() < PATIENCE, "{host} is not served");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took.push(acknowledged.elapsed());
    }
    took.sort();
    Ok(took)
}
