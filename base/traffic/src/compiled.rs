//! Compiled routes: what a route of any kind means, independent of the listeners that it attaches to.
//!
//! Compiling is what a translation spends its time on, so a compiled route is taken over while the route is the same
//! and each of its references leads where it led.

use std::collections::HashSet;
use std::sync::Arc;

use purlin_gateway_api::BackendObjectReference;

use crate::backends::{Backends, RefProblem};
use crate::grants::Referrer;
use crate::listeners::Refusal;
use crate::model::{ClusterName, Hostname, RouteKind, RouteName, StreamRoute, Usage};
use crate::precedence::Candidate;
use crate::route::Route;
use crate::{grpc, rules, streams};

/// What a reference to a backend leads to.
pub(crate) type Resolved = Result<ClusterName, RefProblem>;

/// A route, compiled.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    /// What it was compiled from.
    route: Route,
    /// All references to backends, in the order of the route.
    references: Vec<(BackendObjectReference, Resolved)>,
    pub hostnames: Vec<Hostname>,
    pub serves: Serves,
    /// Rules that are refused: index and why.
    pub refused: Vec<(usize, Refusal)>,
}

/// What a route does with what it gets.
#[derive(Debug)]
pub(crate) enum Serves {
    /// HTTP, by rules in the order of the route.
    Rules(Vec<Candidate>),
    /// Whatever comes.
    Stream(Arc<StreamRoute>),
}

/// The references of one route, resolved as they are met.
pub(crate) struct References<'a> {
    backends: &'a Backends<'a>,
    from: Referrer<'a>,
    usage: Usage,
    resolved: Vec<(BackendObjectReference, Resolved)>,
}

impl References<'_> {
    /// The cluster that is meant; None where there is none, which the route's status says.
    pub(crate) fn resolve(&mut self, reference: BackendObjectReference) -> Option<ClusterName> {
        let resolved = self.backends.resolve(self.from, self.usage, &reference);
        let cluster = resolved.as_ref().ok().cloned();
        self.resolved.push((reference, resolved));
        cluster
    }
}

/// How a route of this kind uses its backends.
fn usage(kind: RouteKind) -> Usage {
    match kind {
        RouteKind::HttpRoute => Usage::Http,
        RouteKind::GrpcRoute => Usage::Grpc,
        RouteKind::TcpRoute | RouteKind::TlsRoute => Usage::Stream,
        RouteKind::UdpRoute => Usage::Datagrams,
    }
}

impl CompiledRoute {
    /// Compiles, or takes what is already there.
    pub(crate) fn new(
        name: &RouteName,
        route: &Route,
        backends: &Backends<'_>,
        previous: Option<&Arc<CompiledRoute>>,
    ) -> Arc<CompiledRoute> {
        let (from, usage) = (Referrer { kind: name.kind.name(), namespace: &name.object.namespace }, usage(name.kind));
        if let Some(previous) = previous
            && previous.route.is_same(route)
            && previous.references.iter().all(|(to, resolved)| backends.resolve(from, usage, to) == *resolved)
        {
            return Arc::clone(previous);
        }
        let mut references = References { backends, from, usage, resolved: Vec::new() };
        let (serves, refused) = match route {
            Route::Http(http) => {
                let (candidates, refused) = rules::compile(name, http, &mut references);
                (Serves::Rules(candidates), refused)
            }
            Route::Grpc(grpc) => {
                let (candidates, refused) = grpc::compile(name, grpc, &mut references);
                (Serves::Rules(candidates), refused)
            }
            Route::Tcp(_) | Route::Tls(_) | Route::Udp(_) => {
                let (stream, refused) = streams::compile(name, route.forward_rules(), &mut references);
                (Serves::Stream(Arc::new(stream)), refused)
            }
        };
        Arc::new(CompiledRoute {
            route: route.clone(),
            references: references.resolved,
            hostnames: route.hostnames().iter().map(|h| Hostname::parse(h)).collect(),
            serves,
            refused,
        })
    }

    /// Why no rule of the route can be served.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refused.first().filter(|_| self.refused.len() == self.rules()).map(|(_, refusal)| refusal)
    }

    /// How many rules it has.
    pub(crate) fn rules(&self) -> usize {
        self.route.rules()
    }

    /// References that do not resolve, each said once.
    pub(crate) fn ref_problems(&self) -> Vec<&RefProblem> {
        let mut said = HashSet::new();
        let problems = self.references.iter().filter_map(|(_, resolved)| resolved.as_ref().err());
        problems.filter(|p| said.insert(&p.message)).collect()
    }

    /// What it sends to.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        self.references.iter().filter_map(|(_, resolved)| resolved.as_ref().ok())
    }
}
