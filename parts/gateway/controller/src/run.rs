//! The role: a data plane and its controller, as long as the context lives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use purlin_gateway_proxy::{ApplyReport, Place, Proxy};
use purlin_resource::election::Candidate;
use purlin_role::Context;
use purlin_traffic::model::RouteModel;
use purlin_traffic::{PlaneReport, Unusable};

use crate::config::Config;
use crate::control::control;

/// The Lease of the controller that writes statuses.
const LEASE: &str = "purlin-gateway";
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
    let candidate = Candidate::new(ctx.client.clone(), LEASE, &identity(&ctx));
    let leads = candidate.leads();
    ctx.tasks.spawn(candidate.run(ctx.shutdown.clone()));
    control(ctx.client.clone(), watches, config.addresses, apply, leads, ctx.shutdown.clone(), || gate.open()).await;
    gate.shut();
    proxy.drain(DRAIN).await;
    Ok(())
}

/// Who this gateway is in its Lease: the installation, not the process.
fn identity(ctx: &Context) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), ctx.platform.data_dir.display())
}

fn plane_report(applied: ApplyReport) -> PlaneReport {
    let mut report = PlaneReport::default();
    report.binds.extend(applied.binds.into_iter().map(|bind| (bind.at, bind.message)));
    for error in applied.errors {
        match error.place {
            Place::Listener(listener) => drop(report.refused.insert(listener, error.message)),
            Place::Certificates(listener) => {
                let unusable = Unusable { message: error.message, served: error.served };
                report.listeners.insert(listener, unusable);
            }
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
