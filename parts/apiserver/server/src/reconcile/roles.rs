//! ClusterRoles with an `aggregationRule`: their rules are those of the roles that it selects.

use std::sync::Arc;

use purlin_apiserver_builtin::aggregate;
use serde_json::Value;
use tokio::sync::Notify;

use super::writer;
use crate::api::Api;
use crate::error::ApiResult;
use crate::verbs::Part;

pub(super) async fn run(api: Arc<Api>, wake: Arc<Notify>) {
    loop {
        if let Err(error) = all(&api).await {
            tracing::error!(error = error.message, "failed to aggregate ClusterRoles; tried again at the next change");
        }
        if api.shutdown.run_until_cancelled(wake.notified()).await.is_none() {
            return;
        }
    }
}

async fn all(api: &Arc<Api>) -> ApiResult<()> {
    let Some(served) = api.catalog.load().stored("clusterroles.rbac.authorization.k8s.io") else { return Ok(()) };
    let stored = super::all(api, &served.resource.gr, None).await.map_err(crate::read::read_error)?;
    let roles: Vec<Value> = stored.iter().map(|item| served.object(&item.body)).collect();
    for (item, role) in stored.iter().zip(&roles) {
        if role.get("aggregationRule").is_none_or(Value::is_null) {
            continue;
        }
        let rules = Value::from(aggregate(role, &roles));
        if role["rules"] == rules {
            continue;
        }
        let aggregated = |old: &Value| {
            let mut new = old.clone();
            new["rules"] = rules.clone();
            Ok(new)
        };
        writer(api, &served, "clusterrole-aggregation-controller", "update")
            .change(&item.key, Part::Main, &[], aggregated)
            .await?;
    }
    Ok(())
}
