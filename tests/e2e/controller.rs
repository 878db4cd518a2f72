//! A controller of kube-rs: it watches, applies what it makes, and owns it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Client, Resource as _, ResourceExt as _};
use purlin_testkit::{PATIENCE, wait_until};
use serde_json::json;

use crate::platform::Platform;

const ORDER: &str = "app=order";

/// Makes of each order a receipt with its total.
async fn write_receipt(order: Arc<ConfigMap>, client: Arc<Client>) -> kube::Result<Action> {
    let name = format!("{}-receipt", order.name_any());
    let receipt = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "receipt"}, "ownerReferences": [order.controller_owner_ref(&())]},
        "data": {"total": order.data.as_ref().and_then(|data| data.get("total"))},
    });
    let api: Api<ConfigMap> = Api::default_namespaced(client.as_ref().clone());
    api.patch(&name, &PatchParams::apply("receipts").force(), &Patch::Apply(receipt)).await?;
    Ok(Action::await_change())
}

fn order(name: &str, total: &str) -> ConfigMap {
    let labels = Some(BTreeMap::from([("app".into(), "order".into())]));
    let metadata = ObjectMeta { name: Some(name.into()), labels, ..ObjectMeta::default() };
    let data = Some(BTreeMap::from([("total".into(), total.into())]));
    ConfigMap { metadata, data, ..ConfigMap::default() }
}

#[tokio::test]
async fn a_controller_keeps_what_it_makes_as_it_should_be() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let client = platform.client().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let total = async |of: &str| {
        let receipt = api.get_opt(&format!("{of}-receipt")).await.ok().flatten();
        receipt.and_then(|receipt| receipt.data?.remove("total"))
    };

    let controller = Controller::new(api.clone(), watcher::Config::default().labels(ORDER));
    let store = controller.store();
    let running = tokio::spawn(
        controller
            .owns(api.clone(), watcher::Config::default().labels("app=receipt"))
            .run(write_receipt, |_, _, _| Action::requeue(std::time::Duration::from_secs(1)), Arc::new(client))
            .for_each(async |_| {}),
    );

    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &order(name, "1")).await?;
    }
    for name in ["a", "b", "c"] {
        wait_until("each order has a receipt", PATIENCE, async || total(name).await.is_some()).await?;
    }
    api.patch("b", &PatchParams::default(), &Patch::Merge(json!({"data": {"total": "2"}}))).await?;
    wait_until("a changed order changes its receipt", PATIENCE, async || total("b").await.as_deref() == Some("2"))
        .await?;
    let uid = api.get("c-receipt").await?.uid();
    api.delete("c-receipt", &DeleteParams::default()).await?;
    let replaced = async || api.get_opt("c-receipt").await.is_ok_and(|new| new.is_some_and(|new| new.uid() != uid));
    wait_until("a lost receipt is written again", PATIENCE, replaced).await?;
    api.delete("a", &DeleteParams::background()).await?;
    wait_until("the receipt goes with its order", PATIENCE, async || {
        store.state().len() == 2 && total("a").await.is_none()
    })
    .await?;

    // What an apply owns is told apart from what others own.
    let receipt = api.get("b-receipt").await?;
    let managers: Vec<_> = receipt.managed_fields().iter().map(|entry| (&entry.manager, &entry.operation)).collect();
    anyhow::ensure!(managers == [(&Some("receipts".into()), &Some("Apply".into()))], "{managers:?}");
    let mine = Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"total": "9"}}));
    let refused = api.patch("b-receipt", &PatchParams::apply("me"), &mine).await;
    anyhow::ensure!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 409), "{refused:?}");
    running.abort();

    let left = api.list(&ListParams::default().labels("app in (order, receipt)")).await?;
    let names: Vec<String> = left.iter().map(ConfigMap::name_any).collect();
    anyhow::ensure!(names == ["b", "b-receipt", "c", "c-receipt"], "{names:?}");
    Ok(())
}
