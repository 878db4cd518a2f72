//! The controller: keeps the data plane at what the objects say, then says in their statuses how that went.
//!
//! One loop owns all state. It sleeps until an object changes, takes over all that has changed by then (what arrives
//! while it works is coalesced), translates, applies, and hands the statuses that differ to their writer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};
use purlin_gateway_api::{GatewayClass, GatewayClassSpec};
use purlin_resource::{Watches, names};
use purlin_telemetry::metrics::{self, Histogram};
use purlin_traffic::model::{ObjectName, RouteKind, RouteModel};
use purlin_traffic::{GatewayAddresses, Input, Output, PlaneReport, status, translate};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::address::{AddressPool, Claim};
use crate::objects::Objects;
use crate::write::{Report, Write, write_statuses};

/// How long until a socket that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(2);
const FIRST_RETRY_CLASS: Duration = Duration::from_millis(200);
const LAST_RETRY_CLASS: Duration = Duration::from_secs(30);

/// Which definition tells the version of them all, and by which annotation.
const DEFINITION: &str = "gatewayclasses.gateway.networking.k8s.io";
const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// What one loop owns.
struct Controller<F> {
    /// Makes the data plane serve a model, and says what of it could not be done.
    apply: F,
    addresses: AddressPool,
    input: Input,
    output: Output,
    applied: bool,
    took: Histogram,
    lag: Histogram,
}

/// Runs until shut down; `ready` is called when the first model is served. Of several controllers on one API each
/// serves, and the one that `leads` writes statuses.
pub async fn control<F, A>(
    client: Client,
    watches: &Watches,
    addresses: AddressPool,
    apply: F,
    mut leads: watch::Receiver<bool>,
    shutdown: CancellationToken,
    ready: impl FnOnce(),
) where
    F: Fn(Arc<RouteModel>) -> A,
    A: Future<Output = PlaneReport>,
{
    let (wanted, batches) = watch::channel(Vec::new());
    let work = async {
        ensure_class(&client).await;
        let mut objects = Objects::new(watches);
        if !objects.synced().await {
            return;
        }
        let mut controller = Controller::new(addresses, apply);
        controller.input.bundle_version = bundle_version(&client).await;
        objects.refresh(&mut controller.input);
        let hand_over = |writes, leads: &watch::Receiver<bool>| {
            wanted.send_replace(if *leads.borrow() { writes } else { Vec::new() });
        };
        hand_over(controller.reconcile(Instant::now()).await, &leads);
        ready();
        loop {
            let unbound = !controller.input.plane.binds.is_empty();
            let changed = tokio::select! {
                alive = objects.changed() => match alive {
                    true => true,
                    false => return,
                },
                Ok(()) = leads.changed() => true,
                () = tokio::time::sleep(RETRY), if unbound => false,
            };
            let since = Instant::now();
            let differs = objects.refresh(&mut controller.input);
            let writes = match differs || !changed {
                true => controller.reconcile(since).await,
                false => controller.writes(),
            };
            hand_over(writes, &leads);
        }
    };
    let writer = write_statuses(client.clone(), batches, shutdown.clone());
    tokio::select! {
        () = shutdown.cancelled() => {}
        ((), ()) = futures::future::join(work, writer) => {}
    }
}

impl<F, A> Controller<F>
where
    F: Fn(Arc<RouteModel>) -> A,
    A: Future<Output = PlaneReport>,
{
    fn new(addresses: AddressPool, apply: F) -> Self {
        Controller {
            apply,
            addresses,
            input: Input::default(),
            output: Output::default(),
            applied: false,
            took: metrics::histogram(
                "purlin_gateway_reconcile_seconds",
                "One reconciliation: translate, apply, compare statuses.",
                &[],
            ),
            lag: metrics::histogram(
                "purlin_gateway_applied_seconds",
                "From the moment that a change is seen until the data plane serves it.",
                &[],
            ),
        }
    }

    /// Translates and applies; the statuses that are to be written.
    async fn reconcile(&mut self, since: Instant) -> Vec<Write> {
        let started = Instant::now();
        self.input.addresses = self.assign();
        let mut output = translate(&self.input, Some(&self.output));
        let retry = !self.input.plane.binds.is_empty();
        if !self.applied || retry || output.model != self.output.model {
            let plane = (self.apply)(Arc::clone(&output.model)).await;
            self.applied = true;
            self.lag.record(since.elapsed());
            if plane != self.input.plane {
                for (socket, error) in &plane.binds {
                    tracing::warn!(%socket, error, "a listener is not bound");
                }
                self.input.plane = plane;
                output = translate(&self.input, Some(&output));
            }
        }
        self.output = output;
        let writes = self.writes();
        self.took.record(started.elapsed());
        writes
    }

    /// The statuses that are not as they should be.
    fn writes(&self) -> Vec<Write> {
        let (now, input) = (Time(Timestamp::now()), &self.input);
        let classes = self.output.classes.iter().filter_map(|(name, report)| {
            let class = input.gateway_classes.get(name)?;
            let wanted = status::class(class.status.as_ref(), report, &now);
            Write::new(&**class, class.status.as_ref(), &wanted, || Report::Class(report.clone()))
        });
        let gateways = self.output.gateways.iter().filter_map(|(name, report)| {
            let gateway = input.gateways.get(name)?;
            let wanted = status::gateway(gateway.status.as_ref(), report, &now);
            Write::new(&**gateway, gateway.status.as_ref(), &wanted, || Report::Gateway(report.clone()))
        });
        let sets = self.output.listener_sets.iter().filter_map(|(name, report)| {
            let set = input.listener_sets.get(name)?;
            let wanted = status::listener_set(set.status.as_ref(), report, &now);
            Write::new(&**set, set.status.as_ref(), &wanted, || Report::ListenerSet(report.clone()))
        });
        let routes = self.output.routes.iter().filter_map(|(name, report)| {
            // The same of each kind.
            macro_rules! of {
                ($routes:expr) => {{
                    let route = $routes.get(&name.object)?;
                    let wanted = status::route(route.status.as_ref(), report, &now);
                    Write::new(&**route, route.status.as_ref(), &wanted, || Report::Route(report.clone()))
                }};
            }
            match name.kind {
                RouteKind::GrpcRoute => of!(input.grpc_routes),
                RouteKind::HttpRoute => of!(input.http_routes),
                RouteKind::TcpRoute => of!(input.tcp_routes),
                RouteKind::TlsRoute => of!(input.tls_routes),
                RouteKind::UdpRoute => of!(input.udp_routes),
            }
        });
        let policies = self.output.backend_tls_policies.iter().filter_map(|(name, report)| {
            let policy = input.backend_tls_policies.get(name)?;
            let wanted = status::policy(policy.status.as_ref(), report, &now);
            Write::new(&**policy, policy.status.as_ref(), &wanted, || Report::Policy(report.clone()))
        });
        classes.chain(gateways).chain(sets).chain(routes).chain(policies).collect()
    }

    /// The addresses of our Gateways: what they have they keep.
    fn assign(&self) -> BTreeMap<ObjectName, GatewayAddresses> {
        let input = &self.input;
        let is_ours = |class: &String| {
            input.gateway_classes.get(class).is_some_and(|c| c.spec.controller_name == names::GATEWAY_CONTROLLER)
        };
        let gateways = input.gateways.iter().filter(|(_, gateway)| is_ours(&gateway.spec.gateway_class_name));
        let mut sets: BTreeMap<ObjectName, Vec<u16>> = BTreeMap::new();
        for (name, set) in &input.listener_sets {
            let parent = &set.spec.parent_ref;
            let gateway = ObjectName::new(parent.namespace.as_deref().unwrap_or(&name.namespace), &parent.name);
            sets.entry(gateway).or_default().extend(set.spec.listeners.iter().map(|l| l.port));
        }
        let of_sets = |gateway: &ObjectName| sets.get(gateway).into_iter().flatten().copied();
        let claims = gateways.map(|(name, gateway)| {
            let said = gateway.status.iter().flat_map(|s| &s.addresses).filter_map(|a| a.value.parse().ok());
            Claim {
                name: name.clone(),
                created: gateway.creation_timestamp().map(|t| t.0),
                wanted: gateway.spec.addresses.iter().map(|a| a.value.clone().filter(|v| !v.is_empty())).collect(),
                held: match input.addresses.get(name) {
                    Some(addresses) => addresses.assigned.clone(),
                    None => said.collect(),
                },
                ports: gateway.spec.listeners.iter().map(|l| l.port).chain(of_sets(name)).collect(),
            }
        });
        self.addresses.assign(claims.collect())
    }
}

/// The version of the Gateway API's definitions, as they say it.
async fn bundle_version(client: &Client) -> Option<String> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    match definitions.get_metadata_opt(DEFINITION).await {
        Ok(found) => found?.annotations().get(BUNDLE_VERSION).cloned(),
        Err(error) => {
            tracing::warn!(%error, "the version of the Gateway API's definitions cannot be read");
            None
        }
    }
}

/// Makes the GatewayClass if it is not there; waits for the API as long as it takes.
async fn ensure_class(client: &Client) {
    let api = Api::<GatewayClass>::all(client.clone());
    let spec = GatewayClassSpec {
        controller_name: names::GATEWAY_CONTROLLER.to_owned(),
        description: Some("Served by purlin's own gateway".to_owned()),
        parameters_ref: None,
    };
    let class = GatewayClass::new(names::GATEWAY_CLASS, spec);
    let mut backoff = FIRST_RETRY_CLASS;
    loop {
        let error = match api.get_opt(names::GATEWAY_CLASS).await {
            Ok(Some(_)) => return,
            Ok(None) => match api.create(&PostParams::default(), &class).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 409 => return,
                Err(error) => error,
            },
            Err(error) => error,
        };
        let error = match &error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        tracing::warn!(error, "the GatewayClass {} cannot be made yet; tried again", names::GATEWAY_CLASS);
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(LAST_RETRY_CLASS);
    }
}
