//! The Service `default/kubernetes`, by which clients find the API, and where it leads.
//!
//! Its EndpointSlice, and its Endpoints for older clients, name the address at which the API listens. As with
//! kube-apiserver, all three are put back where somebody deletes or changes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::api::Api;
use crate::bootstrap;
use crate::error::ApiResult;
use crate::storage::{Event, EventKind};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// How long until what failed is tried again: the period in which kube-apiserver looks after its Service.
const RETRY: Duration = Duration::from_secs(10);

/// The Service, its EndpointSlice and its Endpoints, for an API that listens at `listen`.
pub(crate) fn objects(listen: SocketAddr) -> [Value; 3] {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let metadata = |labels: Value| json!({"name": NAME, "namespace": NAMESPACE, "labels": labels});
    let ports = json!([{"name": "https", "port": listen.port(), "protocol": "TCP"}]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(json!({"component": "apiserver", "provider": "kubernetes"})),
        "spec": {
            "clusterIP": "10.96.0.1",
            "ports": [{"name": "https", "port": 443, "targetPort": listen.port(), "protocol": "TCP"}],
        },
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": metadata(json!({"kubernetes.io/service-name": NAME})),
        "addressType": family,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
        "ports": ports,
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        // The slice is there already: nobody has to make one of these.
        "metadata": metadata(json!({"endpointslice.kubernetes.io/skip-mirror": "true"})),
        "subsets": [{"addresses": [{"ip": ip}], "ports": ports}],
    });
    [service, slice, endpoints]
}

/// Whether the event may have taken away or spoiled one of them.
pub(super) fn concerns(event: &Event) -> bool {
    let key = &event.key;
    event.kind != EventKind::Added
        && (&*key.ns, &*key.name) == (NAMESPACE, NAME)
        && matches!(&*key.gr, "services" | "endpointslices.discovery.k8s.io" | "endpoints")
}

pub(super) async fn run(api: Arc<Api>, wake: Arc<Notify>) {
    while api.shutdown.run_until_cancelled(wake.notified()).await.is_some() {
        while let Err(error) = restore(&api).await {
            tracing::warn!(error = error.message, "failed to put the Service {NAMESPACE}/{NAME} right; tried again");
            if api.shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                return;
            }
        }
    }
}

async fn restore(api: &Arc<Api>) -> ApiResult<()> {
    for object in objects(api.listen) {
        bootstrap::one(api, object).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_led_to_an_address_that_they_reach() {
        let check = |listen: &str, family: &str, expected: &str| {
            let [service, slice, endpoints] = objects(listen.parse().unwrap());
            assert_eq!(slice["addressType"], family, "{listen}");
            assert_eq!(slice["endpoints"][0]["addresses"], json!([expected]), "{listen}");
            assert_eq!(endpoints["subsets"][0]["addresses"], json!([{"ip": expected}]), "{listen}");
            let ports = [&service["spec"]["ports"][0]["targetPort"], &slice["ports"][0]["port"]];
            assert_eq!(ports, [&json!(7443), &json!(7443)], "{listen}");
        };
        check("127.0.0.1:7443", "IPv4", "127.0.0.1");
        check("0.0.0.0:7443", "IPv4", "127.0.0.1");
        check("192.0.2.7:7443", "IPv4", "192.0.2.7");
        check("[::]:7443", "IPv6", "::1");
        check("[2001:db8::7]:7443", "IPv6", "2001:db8::7");
    }
}
