//! The embedded Kubernetes API server.
//!
//! Protocol: the Kubernetes API v1.36 over TLS (HTTP/1.1 and HTTP/2), and in process. Port: 6443. Resources: the
//! built-in kinds of `purlin-apiserver-builtin`, and whatever CustomResourceDefinitions define.
//!
//! The data's way: a request is authenticated and authorized ([`api`]), understood ([`request`], [`options`],
//! [`content`]), and answered by its verb ([`read`], [`watch`], [`write`], [`delete`]) or from a document
//! ([`paths`]). Writes end in one compare-and-swap of [`storage`], which publishes them in commit order to watchers
//! and to what every request reads: the [`catalog`], RBAC, addresses ([`reconcile`]).
//!
//! Invariants: what is acknowledged is on disk and published; revisions only grow; one writer; no object kind has a
//! code path of its own but what stands in [`special`] and in its `Strategy`.

mod api;
mod authenticate;
mod bootstrap;
mod catalog;
mod config;
mod content;
mod delete;
mod error;
mod health;
mod options;
mod paths;
mod read;
mod reconcile;
mod request;
mod run;
mod select;
mod special;
mod storage;
mod verbs;
mod watch;
mod write;

pub use config::Config;
pub use run::run;

/// The API server's tables.
pub const MIGRATIONS: purlin_store::Migrations = storage::MIGRATIONS;
