//! What a role runs with.

use std::path::PathBuf;
use std::sync::Arc;

use purlin_net::pki::Pki;
use purlin_resource::{ApiHandle, Watches};
use purlin_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{Clock, Gate, Health, Tasks};

/// What the roles of one process share; built once, before the first role.
#[derive(Clone)]
pub struct Platform {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The control database.
    pub store: Store,
    /// The platform root and its intermediates.
    pub pki: Arc<Pki>,
    /// Where the API server of this process registers itself and its clients come from.
    pub api: ApiHandle,
    /// One reflector a kind.
    pub watches: Watches,
    /// The gates of readiness.
    pub health: Health,
    /// What time it is.
    pub clock: Clock,
}

/// What one run of one role is given.
#[derive(Clone)]
pub struct Context {
    /// The role's name.
    pub role: &'static str,
    /// What it shares with the others.
    pub platform: Platform,
    /// A client of the Kubernetes API that asks as this role's service account.
    pub client: kube::Client,
    /// Cancelled when the role is to stop: accept nothing new, end watches, finish, return.
    pub shutdown: CancellationToken,
    /// What the role spawns runs in here; the supervisor waits for it after `run` has returned, and restarts the role
    /// when it panics.
    pub tasks: Tasks,
}

impl Context {
    /// A gate of this role, `ROLE/NAME`.
    pub fn gate(&self, name: &str) -> Gate {
        self.platform.health.gate(&format!("{}/{name}", self.role))
    }
}
