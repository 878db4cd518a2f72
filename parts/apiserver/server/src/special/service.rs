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

/// The addresses that are taken, by Services that are stored or about to be.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashSet<Ipv4Addr>>);

impl Addresses {
    /// Follows a change of a Service.
    pub(crate) fn observe(&self, event: &Event) {
        let mut taken = self.0.lock();
        if let Some(address) = event.previous().and_then(address_of) {
            taken.remove(&address);
        }
        if event.kind != EventKind::Deleted
            && let Some(address) = address_of(event.object())
        {
            taken.insert(address);
        }
    }

    /// Takes the address of a stored Service.
    pub(crate) fn learn(&self, service: &Value) {
        self.0.lock().extend(address_of(service));
    }
}

/// An address that is set aside; given back when dropped, unless it is kept.
pub(crate) struct Address {
    pool: Arc<Addresses>,
    address: Ipv4Addr,
    kept: bool,
}

impl Address {
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if !self.kept {
            self.pool.0.lock().remove(&self.address);
        }
    }
}

fn address_of(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

pub(super) fn prepare(writer: &Writer, new: &mut Value, old: Option<&Value>) -> ApiResult<Option<Address>> {
    let pool = &writer.api.addresses;
    let had = old.and_then(address_of);
    if needs_cluster_ip(new) {
        let mut taken = pool.0.lock();
        let Some(address) = cluster_ip(rand::random(), &|ip| taken.contains(&ip)) else {
            return Err(ApiError::internal("no cluster IP is left in 10.96.0.0/12"));
        };
        set_cluster_ip(new, address);
        return Ok((!writer.dry_run && taken.insert(address)).then(|| reserve(writer, address)));
    }
    let Some(address) = address_of(new).filter(|address| Some(*address) != had) else { return Ok(None) };
    set_cluster_ip(new, address);
    if !pool.0.lock().insert(address) {
        let words = "failed to allocate IP: provided IP is already allocated";
        let error = FieldError::invalid("spec.clusterIPs", vec![address.to_string()].into(), words);
        let name = metadata(new, "name").unwrap_or_default();
        return Err(ApiError::invalid(writer.served.def(), name, &[error]));
    }
    let reserved = reserve(writer, address);
    Ok((!writer.dry_run).then_some(reserved))
}

fn reserve(writer: &Writer, address: Ipv4Addr) -> Address {
    Address { pool: Arc::clone(&writer.api.addresses), address, kept: false }
}
