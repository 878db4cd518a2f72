//! Writes statuses: the latest that is wanted of each object, a bounded number at a time.
//!
//! The controller hands over, after each reconciliation, all statuses that differ from what it has seen. A write
//! carries the version of the object that it was made for: when the object has changed meanwhile the API refuses it,
//! and the change itself, once seen, leads to the next write. Other failures are tried again, later each time, until
//! something newer is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, Resource};
use purlin_telemetry::metrics::{self, Counter};
use purlin_traffic::model::ObjectName;
use purlin_traffic::{ClassReport, GatewayReport, ListenerSetReport, PolicyReport, RouteReport};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Who we are in `managedFields`.
const FIELD_MANAGER: &str = "purlin-gateway";
const CONCURRENT: usize = 16;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// What is to be said in the status of an object.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    key: Key,
    api: ApiResource,
    uid: Option<String>,
    version: Option<String>,
    report: Report,
    /// The patch.
    body: Value,
}

/// What a status is made from: times are not in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    Class(ClassReport),
    Gateway(GatewayReport),
    ListenerSet(ListenerSetReport),
    Route(RouteReport),
    Policy(PolicyReport),
}

/// Kind and name.
pub(crate) type Key = (String, ObjectName);

impl Write {
    /// None where the object's status is as it should be.
    pub(crate) fn new<K, S>(object: &K, has: Option<&S>, wanted: &S, report: impl FnOnce() -> Report) -> Option<Write>
    where
        K: Resource<DynamicType = ()>,
        S: Serialize + PartialEq,
    {
        (has != Some(wanted)).then(|| Write {
            key: (K::kind(&()).into_owned(), ObjectName::of(object)),
            api: ApiResource::erase::<K>(&()),
            uid: object.meta().uid.clone(),
            version: object.meta().resource_version.clone(),
            report: report(),
            body: patch(object, has, wanted),
        })
    }

    /// Whether it says the same of the same version.
    fn same(&self, other: &Write) -> bool {
        self.uid == other.uid && self.version == other.version && self.report == other.report
    }

    async fn send(&self, client: Client) -> kube::Result<()> {
        let name = &self.key.1;
        let api = match &*name.namespace {
            "" => Api::<DynamicObject>::all_with(client, &self.api),
            namespace => Api::<DynamicObject>::namespaced_with(client, namespace, &self.api),
        };
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        api.patch_status(&name.name, &params, &Patch::Merge(&self.body)).await.map(drop)
    }
}

/// A merge patch to `wanted`, for this version of the object only. A field that goes away is said to be null.
fn patch<S: Serialize>(object: &impl Resource, has: Option<&S>, wanted: &S) -> Value {
    let mut status = json!(wanted);
    if let (Some(fields), Value::Object(old)) = (status.as_object_mut(), json!(has)) {
        for name in old.into_iter().map(|(name, _)| name) {
            fields.entry(name).or_insert(Value::Null);
        }
    }
    json!({ "metadata": { "resourceVersion": object.meta().resource_version }, "status": status })
}

/// What became of a write.
enum Outcome {
    /// Written, or nothing that trying again would change.
    Done,
    /// Try again, if nothing newer is wanted.
    Again,
}

struct Writer {
    client: Client,
    /// What is wanted and not under way.
    waiting: BTreeMap<Key, Write>,
    /// What is under way.
    sent: BTreeMap<Key, Write>,
    /// What was written and has not been seen by the controller yet.
    done: BTreeMap<Key, Write>,
    failures: BTreeMap<Key, u32>,
    running: FuturesUnordered<BoxFuture<'static, (Key, Outcome)>>,
    written: Counter,
    failed: Counter,
}

/// Writes what is wanted, until shut down.
pub(crate) async fn write_statuses(
    client: Client,
    mut wanted: watch::Receiver<Vec<Write>>,
    shutdown: CancellationToken,
) {
    const NAME: &str = "purlin_gateway_status_writes_total";
    const HELP: &str = "Statuses written to the API, and attempts that failed.";
    let mut writer = Writer {
        client,
        waiting: BTreeMap::new(),
        sent: BTreeMap::new(),
        done: BTreeMap::new(),
        failures: BTreeMap::new(),
        running: FuturesUnordered::new(),
        written: metrics::counter(NAME, HELP, &[("result", "written")]),
        failed: metrics::counter(NAME, HELP, &[("result", "failed")]),
    };
    loop {
        writer.start();
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = wanted.changed() => match changed {
                Ok(()) => writer.want(wanted.borrow_and_update().clone()),
                Err(_) => return,
            },
            Some((key, outcome)) = writer.running.next() => writer.finish(key, &outcome),
        }
    }
}

impl Writer {
    /// Takes over all that is wanted now; what is not in it is not wanted any more.
    fn want(&mut self, batch: Vec<Write>) {
        let batch: BTreeMap<Key, Write> = batch.into_iter().map(|write| (write.key.clone(), write)).collect();
        self.done.retain(|key, _| batch.contains_key(key));
        self.failures.retain(|key, _| batch.contains_key(key));
        let is_known = |key: &Key, write: &Write| {
            self.sent.get(key).or_else(|| self.done.get(key)).is_some_and(|known| known.same(write))
        };
        self.waiting = batch.into_iter().filter(|(key, write)| !is_known(key, write)).collect();
    }

    /// Starts what can be started: one write an object at a time.
    fn start(&mut self) {
        while self.running.len() < CONCURRENT {
            let Some(key) = self.waiting.keys().find(|key| !self.sent.contains_key(*key)).cloned() else { return };
            let Some(write) = self.waiting.remove(&key) else { return };
            self.sent.insert(key.clone(), write.clone());
            let failures = self.failures.get(&key).copied().unwrap_or(0);
            let counters = (self.written.clone(), self.failed.clone());
            self.running.push(Box::pin(attempt(self.client.clone(), key, write, failures, counters)));
        }
    }

    fn finish(&mut self, key: Key, outcome: &Outcome) {
        let Some(write) = self.sent.remove(&key) else { return };
        match outcome {
            Outcome::Done => {
                self.failures.remove(&key);
                self.done.insert(key, write);
            }
            Outcome::Again => {
                *self.failures.entry(key.clone()).or_default() += 1;
                self.waiting.entry(key).or_insert(write);
            }
        }
    }
}

/// One attempt; after a failure it takes as long as the next one has to wait.
async fn attempt(
    client: Client,
    key: Key,
    write: Write,
    failures: u32,
    (written, failed): (Counter, Counter),
) -> (Key, Outcome) {
    let error = match write.send(client).await {
        Ok(()) => {
            written.inc();
            return (key, Outcome::Done);
        }
        Err(error) => error,
    };
    let code = match &error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    };
    match code {
        // It has changed, or is gone: whoever sees that wants something else.
        404 | 409 => (key, Outcome::Done),
        400 | 422 => {
            failed.inc();
            tracing::error!(kind = %key.0, name = %key.1, %error, "a status is refused and not written");
            (key, Outcome::Done)
        }
        _ => {
            failed.inc();
            let wait = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LAST_BACKOFF);
            tracing::warn!(kind = %key.0, name = %key.1, %error, ?wait, "a status was not written and is tried again");
            tokio::time::sleep(wait).await;
            (key, Outcome::Again)
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use purlin_gateway_api::Gateway;
    use purlin_traffic::status;

    use super::*;

    #[test]
    fn a_patch_is_for_one_version_and_empties_what_goes_away() {
        let gateway: Gateway = serde_json::from_value(json!({
            "metadata": {"name": "gw", "namespace": "default", "resourceVersion": "7"},
            "spec": {"gatewayClassName": "purlin", "listeners": []},
            "status": {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}], "attachedListenerSets": 1, "conditions": []},
        }))
        .unwrap();
        let report = GatewayReport {
            generation: Some(1),
            conditions: vec![],
            addresses: vec![],
            attached_listener_sets: 1,
            listeners: vec![],
        };
        let now = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let wanted = status::gateway(gateway.status.as_ref(), &report, &now);
        assert_eq!(
            patch(&gateway, gateway.status.as_ref(), &wanted),
            json!({
                "metadata": {"resourceVersion": "7"},
                "status": {"attachedListenerSets": 1, "conditions": [], "addresses": null},
            })
        );
        assert_eq!(patch(&gateway, None, &wanted)["status"], json!({"attachedListenerSets": 1, "conditions": []}));
    }
}
