//! Leader election by a Lease: of all replicas of a part, one writes.
//!
//! Whoever holds the Lease renews it every few seconds; the others watch it and take it over once it was not renewed for
//! its whole duration, by their own clock. The identity is that of the installation (host and data directory), so a
//! process that starts again after a crash is the holder that it was, and need not wait for itself.
//! Follows the leases of client-go's `leaderelection` (coordination.k8s.io/v1), so both can share one.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::names;

/// How long a Lease is good after it was renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed, or looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How long giving it up may take at the end.
const RELEASE: Duration = Duration::from_secs(1);

/// A candidate for a Lease in the namespace of purlin.
pub struct Candidate {
    leases: Api<Lease>,
    lease: String,
    identity: String,
    leads: watch::Sender<bool>,
    /// When the Lease was last seen to change, and what it was then.
    seen: Option<(Instant, Option<LeaseSpec>)>,
    renewed: Option<Instant>,
}

impl Candidate {
    /// A candidate for the Lease `lease` under `identity`.
    pub fn new(client: kube::Client, lease: &str, identity: &str) -> Self {
        Candidate {
            leases: Api::namespaced(client, names::NAMESPACE),
            lease: lease.to_owned(),
            identity: identity.to_owned(),
            leads: watch::Sender::new(false),
            seen: None,
            renewed: None,
        }
    }

    /// Whether the candidate leads; fires when that changes.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Stands for election until `shutdown`, then gives the Lease up.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let leads = match self.turn(Instant::now()).await {
                Ok(leads) => leads,
                Err(error) => {
                    tracing::debug!(lease = self.lease, %error, "the lease cannot be reached");
                    self.renewed.is_some_and(|at| at.elapsed() < DURATION)
                }
            };
            let changed = self.leads.send_if_modified(|before| std::mem::replace(before, leads) != leads);
            if changed {
                tracing::info!(lease = self.lease, leads, "leadership has changed");
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                break;
            }
        }
        if *self.leads.borrow() {
            let _ = tokio::time::timeout(RELEASE, self.release()).await;
        }
    }

    /// Takes or renews the Lease where that is due; says whether it is held.
    async fn turn(&mut self, now: Instant) -> kube::Result<bool> {
        let Some(found) = self.leases.get_opt(&self.lease).await? else {
            let metadata = ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.held(None)) };
            return self.won(now, self.leases.create(&PostParams::default(), &lease).await);
        };
        let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if !holder.is_empty() && holder != self.identity && !self.has_lapsed(now, found.spec.as_ref()) {
            return Ok(false);
        }
        let spec = self.held(found.spec.as_ref());
        let lease = Lease { spec: Some(spec), ..found };
        self.won(now, self.leases.replace(&self.lease, &PostParams::default(), &lease).await)
    }

    /// Whether another's Lease has not changed for its whole duration.
    fn has_lapsed(&mut self, now: Instant, spec: Option<&LeaseSpec>) -> bool {
        match &self.seen {
            Some((since, before)) if before.as_ref() == spec => {
                let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
                now.duration_since(*since) >= seconds.map_or(DURATION, Duration::from_secs)
            }
            _ => {
                self.seen = Some((now, spec.cloned()));
                false
            }
        }
    }

    /// The Lease as held by this candidate from now on.
    fn held(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mine = before.filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let changes = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: mine.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if mine.is_some() { changes } else { changes.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    /// Somebody else may have been faster: that is no error.
    fn won(&mut self, now: Instant, written: kube::Result<Lease>) -> kube::Result<bool> {
        match written {
            Ok(_) => {
                self.renewed = Some(now);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn release(&self) -> kube::Result<()> {
        let Some(found) = self.leases.get_opt(&self.lease).await? else { return Ok(()) };
        let Some(mut spec) = found.spec.clone() else { return Ok(()) };
        if spec.holder_identity.as_deref() == Some(&self.identity) {
            spec.holder_identity = Some(String::new());
            let lease = Lease { spec: Some(spec), ..found };
            self.leases.replace(&self.lease, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
