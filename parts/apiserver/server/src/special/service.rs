//! Service: its cluster IP, taken from a pool that follows the stored Services.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use purlin_apiserver_builtin::{cluster_ip, needs_cluster_ip, set_cluster_ip};
use purlin_apiserver_schema::FieldError;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::storage::{Event, EventKind};
use crate::write::{Writer, metadata};

/// The addresses that are taken.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// By Services that are stored.
    stored: HashSet<Ipv4Addr>,
    /// By Services that are about to be.
    reserved: HashSet<Ipv4Addr>,
}

impl Taken {
    fn contains(&self, address: &Ipv4Addr) -> bool {
        self.stored.contains(address) || self.reserved.contains(address)
    }
}

impl Addresses {
    /// Follows a change of a Service.
    pub(crate) fn observe(&self, event: &Event) {
        let mut taken = self.0.lock();
        if let Some(address) = event.previous().and_then(address_of) {
            taken.stored.remove(&address);
        }
        if event.kind != EventKind::Deleted
            && let Some(address) = address_of(event.object())
        {
            taken.stored.insert(address);
        }
    }

    /// Takes the address of a stored Service.
    pub(crate) fn learn(&self, service: &Value) {
        self.0.lock().stored.extend(address_of(service));
    }
}

/// An address that is set aside until it is dropped.
pub(crate) struct Address {
    pool: Arc<Addresses>,
    address: Ipv4Addr,
}

impl Drop for Address {
    fn drop(&mut self) {
        self.pool.0.lock().reserved.remove(&self.address);
    }
}

fn address_of(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

pub(super) fn prepare(writer: &Writer, new: &mut Value, old: Option<&Value>) -> ApiResult<Option<Address>> {
    let pool = &writer.api.addresses;
    let had = old.and_then(address_of);
    let mut taken = pool.0.lock();
    let address = if needs_cluster_ip(new) {
        let Some(address) = cluster_ip(rand::random(), &|ip| taken.contains(&ip)) else {
            return Err(ApiError::internal("no cluster IP is left in 10.96.0.0/12"));
        };
        address
    } else {
        let Some(address) = address_of(new).filter(|address| Some(*address) != had) else { return Ok(None) };
        if taken.contains(&address) {
            let words = "failed to allocate IP: provided IP is already allocated";
            let error = FieldError::invalid("spec.clusterIPs", vec![address.to_string()].into(), words);
            let name = metadata(new, "name").unwrap_or_default();
            return Err(ApiError::invalid(writer.served.def(), name, &[error]));
        }
        address
    };
    set_cluster_ip(new, address);
    taken.reserved.insert(address);
    Ok(Some(Address { pool: Arc::clone(pool), address }))
}
