//! The objects that decide of the routes, kept as the input of a translation.
//!
//! Shared watches hold the objects; [`Objects::refresh`] takes over the kinds that have changed and says whether that
//! can change the model. A status alone cannot: most changes of our own kinds are our own statuses coming back.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Resource, ResourceExt as _};
use purlin_gateway_api::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, ReferenceGrant, TcpRoute, TlsRoute,
    UdpRoute,
};
use purlin_resource::{Watched, Watches};
use purlin_traffic::Input;
use purlin_traffic::model::ObjectName;

/// Secrets of other types are none of our business.
const TLS_SECRETS: &str = "type=kubernetes.io/tls";

/// The watches of the kinds.
pub(crate) struct Objects {
    classes: Kind<GatewayClass>,
    gateways: Kind<Gateway>,
    sets: Kind<ListenerSet>,
    http_routes: Kind<HttpRoute>,
    grpc_routes: Kind<GrpcRoute>,
    tls_routes: Kind<TlsRoute>,
    tcp_routes: Kind<TcpRoute>,
    udp_routes: Kind<UdpRoute>,
    policies: Kind<BackendTlsPolicy>,
    grants: Kind<ReferenceGrant>,
    services: Kind<Service>,
    slices: Kind<EndpointSlice>,
    secrets: Kind<Secret>,
    config_maps: Kind<ConfigMap>,
    namespaces: Kind<Namespace>,
}

struct Kind<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    watched: Watched<K>,
    changed: bool,
}

impl Objects {
    pub(crate) fn new(watches: &Watches) -> Self {
        Objects {
            classes: Kind::new(watches.of(None)),
            gateways: Kind::new(watches.of(None)),
            sets: Kind::new(watches.of(None)),
            http_routes: Kind::new(watches.of(None)),
            grpc_routes: Kind::new(watches.of(None)),
            tls_routes: Kind::new(watches.of(None)),
            tcp_routes: Kind::new(watches.of(None)),
            udp_routes: Kind::new(watches.of(None)),
            policies: Kind::new(watches.of(None)),
            grants: Kind::new(watches.of(None)),
            services: Kind::new(watches.of(None)),
            slices: Kind::new(watches.of(None)),
            secrets: Kind::new(watches.of(Some(TLS_SECRETS))),
            config_maps: Kind::new(watches.of(None)),
            namespaces: Kind::new(watches.of(None)),
        }
    }

    /// Returns once every kind was listed; false when the process shuts down before.
    pub(crate) async fn synced(&self) -> bool {
        self.classes.watched.synced().await
            && self.gateways.watched.synced().await
            && self.sets.watched.synced().await
            && self.http_routes.watched.synced().await
            && self.grpc_routes.watched.synced().await
            && self.tls_routes.watched.synced().await
            && self.tcp_routes.watched.synced().await
            && self.udp_routes.watched.synced().await
            && self.policies.watched.synced().await
            && self.grants.watched.synced().await
            && self.services.watched.synced().await
            && self.slices.watched.synced().await
            && self.secrets.watched.synced().await
            && self.config_maps.watched.synced().await
            && self.namespaces.watched.synced().await
    }

    /// Returns after a change of any kind; false when a watch has ended.
    pub(crate) async fn changed(&mut self) -> bool {
        tokio::select! {
            alive = self.classes.wait() => alive,
            alive = self.gateways.wait() => alive,
            alive = self.sets.wait() => alive,
            alive = self.http_routes.wait() => alive,
            alive = self.grpc_routes.wait() => alive,
            alive = self.tls_routes.wait() => alive,
            alive = self.tcp_routes.wait() => alive,
            alive = self.udp_routes.wait() => alive,
            alive = self.policies.wait() => alive,
            alive = self.grants.wait() => alive,
            alive = self.services.wait() => alive,
            alive = self.slices.wait() => alive,
            alive = self.secrets.wait() => alive,
            alive = self.config_maps.wait() => alive,
            alive = self.namespaces.wait() => alive,
        }
    }

    /// Takes over what has changed; whether the model can differ.
    pub(crate) fn refresh(&mut self, input: &mut Input) -> bool {
        let cluster_wide = |name: ObjectName| name.name.to_string();
        // Each kind is asked, whatever the others said.
        [
            self.classes.refresh(&mut input.gateway_classes, cluster_wide, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.gateways.refresh(&mut input.gateways, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.sets.refresh(&mut input.listener_sets, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.http_routes.refresh(&mut input.http_routes, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.grpc_routes.refresh(&mut input.grpc_routes, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.tls_routes.refresh(&mut input.tls_routes, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.tcp_routes.refresh(&mut input.tcp_routes, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.udp_routes.refresh(&mut input.udp_routes, |name| name, |a, b| a.spec == b.spec && same_meta(a, b)),
            self.policies.refresh(
                &mut input.backend_tls_policies,
                |name| name,
                |a, b| a.spec == b.spec && same_meta(a, b),
            ),
            self.grants.refresh(&mut input.reference_grants, |name| name, |a, b| a.spec == b.spec),
            self.services.refresh(&mut input.services, |name| name, |a, b| a.spec == b.spec),
            self.slices.refresh(&mut input.endpoint_slices, |name| name, |_, _| false),
            self.secrets.refresh(&mut input.secrets, |name| name, |a, b| a.data == b.data && a.type_ == b.type_),
            self.config_maps.refresh(&mut input.config_maps, |name| name, |a, b| a.data == b.data),
            self.namespaces.refresh(&mut input.namespaces, cluster_wide, |a, b| a.metadata.labels == b.metadata.labels),
        ]
        .contains(&true)
    }
}

/// Reports carry the generation, so it counts even where the spec is the same.
fn same_meta<K: Resource>(a: &K, b: &K) -> bool {
    a.meta().generation == b.meta().generation
        && a.meta().uid == b.meta().uid
        && a.creation_timestamp() == b.creation_timestamp()
}

impl<K> Kind<K>
where
    K: Resource + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    /// What was there before the first change is news too.
    fn new(watched: Watched<K>) -> Self {
        Kind { watched, changed: true }
    }

    async fn wait(&mut self) -> bool {
        let alive = self.watched.changed().await;
        self.changed = true;
        alive
    }

    fn refresh<N: Ord>(
        &mut self,
        objects: &mut BTreeMap<N, Arc<K>>,
        key: impl Fn(ObjectName) -> N,
        same: impl Fn(&K, &K) -> bool,
    ) -> bool {
        // The mark goes before the objects are read: what changes meanwhile is seen now or next time, never lost.
        if self.watched.changed().now_or_never().is_some() {
            self.changed = true;
        }
        if !std::mem::take(&mut self.changed) {
            return false;
        }
        let state = self.watched.store.state().into_iter().map(|object| (key(ObjectName::of(&*object)), object));
        let new: BTreeMap<N, Arc<K>> = state.collect();
        let differs = new.len() != objects.len()
            || new.iter().zip(&*objects).any(|((a, x), (b, y))| a != b || !(Arc::ptr_eq(x, y) || same(x, y)));
        *objects = new;
        differs
    }
}
