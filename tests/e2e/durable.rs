//! `kill -9` while many write: what was acknowledged is there afterwards, and versions only grow.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use purlin_testkit::{PATIENCE, wait_until};
use serde_json::json;
use tokio::task::JoinSet;

use crate::platform::{Platform, soak};

const WRITERS: usize = 8;

/// Name -> what was last acknowledged of it: `v` and the version.
type Acknowledged = Arc<Mutex<HashMap<String, (String, u64)>>>;

fn version(object: &ConfigMap) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Creates and patches until the server is gone.
async fn write(client: Client, prefix: String, acknowledged: Acknowledged) {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    let note = |object: &ConfigMap, value: &str| {
        let mut all = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(object.name_any(), (value.to_owned(), version(object)));
    };
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        let data = Some(BTreeMap::from([("v".into(), "0".into())]));
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let object = ConfigMap { metadata, data, ..ConfigMap::default() };
        let Ok(created) = api.create(&PostParams::default(), &object).await else { return };
        note(&created, "0");
        let change = Patch::Merge(json!({"data": {"v": "1"}}));
        let Ok(changed) = api.patch(&name, &PatchParams::default(), &change).await else { return };
        note(&changed, "1");
    }
}

/// What of `acknowledged` is not there.
async fn lost(client: &Client, acknowledged: &HashMap<String, (String, u64)>) -> anyhow::Result<Vec<String>> {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let list = api.list(&ListParams::default()).await?;
    let there: HashMap<String, ConfigMap> = list.items.into_iter().map(|object| (object.name_any(), object)).collect();
    let mut lost = Vec::new();
    for (name, (value, acknowledged)) in acknowledged {
        let seen = there.get(name).map(|object| (object.data.as_ref().and_then(|data| data.get("v")), version(object)));
        // A patch can have been made without its acknowledgement having come through.
        if !seen.is_some_and(|(seen, version)| seen.is_some_and(|seen| seen >= value) && version >= *acknowledged) {
            lost.push(format!("{name} with v={value} at {acknowledged}: {seen:?}"));
        }
    }
    let top = acknowledged.values().map(|(_, version)| *version).max().unwrap_or_default();
    let listed: u64 = list.metadata.resource_version.unwrap_or_default().parse()?;
    if listed < top {
        lost.push(format!("the version went back from {top} to {listed}"));
    }
    Ok(lost)
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() -> anyhow::Result<()> {
    let (rounds, before_kill) = if soak() { (1_000, 200) } else { (3, 100) };
    let mut platform = Platform::up().await?;
    let mut total = 0;
    for round in 0..rounds {
        let acknowledged = Acknowledged::default();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let client = platform.client().await?;
            writers.spawn(write(client, format!("r{round}-{writer}"), Arc::clone(&acknowledged)));
        }
        let count = || acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len();
        wait_until("enough is acknowledged", PATIENCE, async || count() >= before_kill + round % 17).await?;
        platform.kill_9().await?;
        while writers.join_next().await.is_some() {}
        platform.start().await?;

        let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        let client = platform.client().await?;
        let lost = lost(&client, &acknowledged).await?;
        anyhow::ensure!(lost.is_empty(), "round {round}, {} of {}: {lost:#?}", lost.len(), acknowledged.len());
        total += acknowledged.len();
        let api: Api<ConfigMap> = Api::default_namespaced(client);
        api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    }
    anyhow::ensure!(total >= rounds * before_kill, "only {total} were acknowledged");
    Ok(())
}
