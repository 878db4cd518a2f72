//! What is served, compiled: bind -> listener (by host) -> host -> rule.
//!
//! A [`Snapshot`] never changes; a new one replaces it as a whole, and each request looks at one only. Hostnames are
//! tried from the most specific one on: exact, then the longest suffix, then the catch-all. Among a bind's listeners
//! the first that fits is taken and no other is tried (listeners are isolated from each other); among a listener's
//! hosts a rule of the next one may serve what no rule of the first one matches.

mod clusters;
mod compile;
mod hosts;
mod rules;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use purlin_traffic::model::Protocol;
use rustls::sign::CertifiedKey;

pub(crate) use clusters::{Cluster, Wire};
pub(crate) use compile::{Legacy, compile};
pub(crate) use hosts::HostMap;
pub(crate) use rules::{Act, HostRules, Rule, Share, parameter};

use crate::client::Client;
use crate::head::Target;

/// Index of a rule in its snapshot.
pub(crate) type RuleId = u32;

#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) binds: HashMap<SocketAddr, BindPlan>,
    pub(crate) rules: Vec<Rule>,
}

impl Snapshot {
    pub(crate) fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id as usize)
    }

    /// All endpoints that may still be used, to forget the others.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (SocketAddr, Wire)> {
        let clusters = self.rules.iter().flat_map(Rule::clusters);
        clusters.flat_map(|cluster| cluster.endpoints.iter().map(|at| (*at, cluster.protocol)))
    }
}

#[derive(Debug)]
pub(crate) struct BindPlan {
    pub(crate) protocol: Protocol,
    /// None: as the proxy does by itself.
    pub(crate) client: Option<Client>,
    pub(crate) listeners: Vec<ListenerPlan>,
    /// Indices into `listeners`.
    pub(crate) by_host: HostMap<usize>,
}

#[derive(Debug)]
pub(crate) struct ListenerPlan {
    pub(crate) certificates: Vec<Arc<CertifiedKey>>,
    pub(crate) hosts: HostMap<HostRules>,
}

impl ListenerPlan {
    /// The rule that serves a request. A more specific hostname takes precedence, no more: where none of its rules
    /// match, those of the next one may (Gateway API, `HTTPRouteSpec.hostnames`).
    pub(crate) fn rule(&self, rules: &[Rule], head: &Parts, target: &Target) -> Option<RuleId> {
        let (path, query) = (target.path.path(), target.path.query());
        self.hosts.all(target.host()).find_map(|host| host.find(rules, head, path, query))
    }
}

/// Why no listener of a bind takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoListener {
    /// None is for the host.
    Unknown,
    /// Another one than the TLS handshake was for.
    Misdirected,
}

impl BindPlan {
    /// The listener for a host; `sni` is what the TLS handshake named, `Some(None)` where it named nothing.
    pub(crate) fn listener(&self, host: &str, sni: Option<Option<&str>>) -> Result<&ListenerPlan, NoListener> {
        let by_host = self.by_host.find(host).copied();
        if let Some(sni) = sni {
            let by_sni = self.by_sni(sni);
            if by_host.is_some() && by_host != by_sni {
                return Err(NoListener::Misdirected);
            }
        }
        by_host.and_then(|at| self.listeners.get(at)).ok_or(NoListener::Unknown)
    }

    /// The certificates for a TLS handshake.
    pub(crate) fn certificates(&self, sni: Option<&str>) -> &[Arc<CertifiedKey>] {
        let listener = self.by_sni(sni).and_then(|at| self.listeners.get(at));
        listener.map_or(&[], |listener| &listener.certificates)
    }

    fn by_sni(&self, sni: Option<&str>) -> Option<usize> {
        match sni {
            Some(name) => self.by_host.find(name).copied(),
            None => self.by_host.any().copied(),
        }
    }
}

#[cfg(test)]
mod tests;
