//! The role: a data plane and its controller, as long as the context lives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use purlin_gateway_proxy::{ApplyReport, Place, Proxy};
use purlin_role::Context;
use purlin_traffic::PlaneReport;
use purlin_traffic::model::RouteModel;

use crate::config::Config;
use crate::control::control;

/// How long requests in flight may take to finish when the role stops.
const DRAIN: Duration = Duration::from_secs(20);

/// Serves Gateways until the context is shut down, then drains.
pub async fn run(ctx: Context, config: Config) -> anyhow::Result<()> {
    let gate = ctx.gate("routes");
    let proxy = Arc::new(Proxy::start(config.proxy).context("the gateway's data plane cannot start")?);
    let apply = |model: Arc<RouteModel>| {
        let proxy = Arc::clone(&proxy);
        async move { plane_report(proxy.apply(&model).await) }
    };
    let watches = &ctx.platform.watches;
    control(ctx.client.clone(), watches, config.addresses, apply, ctx.shutdown.clone(), || gate.open()).await;
    gate.shut();
    proxy.drain(DRAIN).await;
    Ok(())
}

fn plane_report(applied: ApplyReport) -> PlaneReport {
    let mut report = PlaneReport::default();
    report.binds.extend(applied.binds.into_iter().map(|bind| (bind.at, bind.message)));
    for error in applied.errors {
        match error.place {
            Place::Listener { gateway, section } => drop(report.listeners.insert((gateway, section), error.message)),
            Place::Rule { route, index } => drop(report.rules.insert((route, index), error.message)),
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A role is spawned.
    #[expect(dead_code, reason = "it only has to compile")]
    fn runs_as_a_role(ctx: Context) -> impl Future<Output = anyhow::Result<()>> + Send {
        run(ctx, Config::default())
    }
}
