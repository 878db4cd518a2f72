//! Telemetry: events by `tracing`, metrics by handles that are registered once, W3C trace context.
//!
//! A metric is registered at start-up and then touched through its handle: no look-up by string on a hot path.
//! `metrics::render` writes the Prometheus text format for the admin listener's `/metrics`.
//! What must never stand in a log is wrapped in a [`secret::Secret`] where it comes in.

pub mod log;
pub mod metrics;
mod process;
pub mod secret;
pub mod trace;
