//! BackendTLSPolicies: which backends are spoken to under TLS, and how their certificates are verified.
//!
//! A policy is attached to Services, or to ports of them by name; the port's own policy goes before that of its Service.
//! Of two for the same target the older one counts, then the first by name. One that is not valid counts all the same,
//! and its backends trust nobody: without it they would be spoken to in the clear.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt as _;
use purlin_gateway_api::{
    BackendTlsPolicy, GROUP, ParentReference, PolicyTargetReference, SubjectAltName, SubjectAltNameType,
};
use purlin_resource::names::GATEWAY_CONTROLLER;

use crate::authorities;
use crate::condition::Condition;
use crate::input::Input;
use crate::listeners::Refusal;
use crate::model::{BackendTls, ClusterName, ObjectName, SubjectName, Trust};
use crate::precedence::compare_names;
use crate::reasons::{self, condition};
use crate::report::{ParentReport, PolicyReport};

/// All policies, the oldest first.
pub(crate) struct Policies<'a> {
    input: &'a Input,
    policies: Vec<Policy<'a>>,
    /// Service, and name of the port or empty, to the place of the policy that counts there.
    targets: HashMap<ObjectName, HashMap<&'a str, usize>>,
}

struct Policy<'a> {
    name: &'a ObjectName,
    object: &'a BackendTlsPolicy,
    tls: Arc<BackendTls>,
    /// Why it trusts nobody.
    invalid: Option<Refusal>,
    /// What it refers to and is not there.
    unresolved: Option<Refusal>,
}

/// The Service that a target is.
fn service(policy: &ObjectName, target: &PolicyTargetReference) -> Option<ObjectName> {
    let is_service = target.group.is_empty() && target.kind == "Service";
    is_service.then(|| ObjectName::new(&policy.namespace, &target.name))
}

fn section(target: &PolicyTargetReference) -> Option<&str> {
    target.section_name.as_deref().filter(|section| !section.is_empty())
}

impl<'a> Policies<'a> {
    pub(crate) fn new(input: &'a Input) -> Self {
        let mut policies: Vec<Policy<'a>> =
            input.backend_tls_policies.iter().map(|(name, object)| read(input, name, object)).collect();
        let age = |p: &Policy<'_>| p.object.creation_timestamp().map(|t| t.0);
        policies.sort_by(|a, b| age(a).cmp(&age(b)).then_with(|| compare_names(a.name, b.name)));
        let mut targets: HashMap<ObjectName, HashMap<&str, usize>> = HashMap::new();
        for (i, policy) in policies.iter().enumerate() {
            let object: &'a BackendTlsPolicy = policy.object;
            for target in &object.spec.target_refs {
                if let Some(service) = service(policy.name, target) {
                    targets.entry(service).or_default().entry(section(target).unwrap_or_default()).or_insert(i);
                }
            }
        }
        Policies { input, policies, targets }
    }

    /// Whether a policy is attached to the Service or to one of its ports.
    pub(crate) fn has(&self, service: &ObjectName) -> bool {
        self.targets.contains_key(service)
    }

    /// How the port of a Service is spoken to under TLS.
    pub(crate) fn of(&self, service: &ObjectName, port: &ServicePort) -> Option<&Arc<BackendTls>> {
        let sections = self.targets.get(service)?;
        let own = port.name.as_deref().and_then(|name| sections.get(name));
        let place = own.or_else(|| sections.get(""))?;
        self.policies.get(*place).map(|policy| &policy.tls)
    }

    /// What is to be said of the policies: at each Gateway (by name) that sends to these clusters.
    pub(crate) fn reports(
        &self,
        used: &BTreeMap<&ObjectName, BTreeSet<&ClusterName>>,
    ) -> BTreeMap<ObjectName, PolicyReport> {
        let mut reports = BTreeMap::new();
        for (i, policy) in self.policies.iter().enumerate() {
            let at = |(gateway, clusters): (&&ObjectName, &BTreeSet<&ClusterName>)| {
                let meant = clusters.iter().any(|cluster| self.is_meant(policy, cluster));
                meant.then(|| ParentReport { parent: ancestor(gateway), conditions: self.conditions(i, policy) })
            };
            let ancestors: Vec<ParentReport> = used.iter().filter_map(at).collect();
            let said = policy.object.status.iter().flat_map(|s| &s.ancestors);
            if !ancestors.is_empty() || said.clone().any(|entry| entry.controller_name == GATEWAY_CONTROLLER) {
                let generation = policy.object.metadata.generation;
                reports.insert(policy.name.clone(), PolicyReport { generation, ancestors });
            }
        }
        reports
    }

    /// Whether one of the policy's targets is the cluster, or was meant to be a port of its Service.
    fn is_meant(&self, policy: &Policy<'_>, cluster: &ClusterName) -> bool {
        policy.object.spec.target_refs.iter().any(|target| {
            service(policy.name, target).is_some_and(|service| service == cluster.object)
                && section(target).is_none_or(|section| match self.port_of(&cluster.object, section) {
                    Some(port) => port.port == i32::from(cluster.port),
                    None => true,
                })
        })
    }

    fn port_of(&self, service: &ObjectName, section: &str) -> Option<&'a ServicePort> {
        let service: &'a Service = self.input.services.get(service)?;
        service.spec.as_ref()?.ports.as_ref()?.iter().find(|port| port.name.as_deref() == Some(section))
    }

    fn conditions(&self, place: usize, policy: &Policy<'_>) -> Vec<Condition> {
        let accepted = match self.refusal(place, policy) {
            Some((reason, message)) => Condition::no(condition::ACCEPTED, reason, message),
            None => Condition::yes(condition::ACCEPTED, reasons::ACCEPTED, self.lost(place, policy).join("; ")),
        };
        let resolved = match &policy.unresolved {
            Some((reason, message)) => Condition::no(condition::RESOLVED_REFS, reason, message),
            None => Condition::yes(condition::RESOLVED_REFS, reasons::RESOLVED_REFS, "all references resolve"),
        };
        let mut conditions = vec![accepted, resolved];
        for condition in conditions.iter_mut().filter(|c| c.message.is_empty()) {
            condition.message.push_str("its backends are spoken to under TLS");
        }
        conditions
    }

    fn refusal(&self, place: usize, policy: &Policy<'_>) -> Option<Refusal> {
        let targets = &policy.object.spec.target_refs;
        let lost = self.lost(place, policy);
        if lost.len() == targets.len() {
            return Some((reasons::CONFLICTED, lost.join("; ")));
        }
        let absent = targets.iter().find(|target| match (service(policy.name, target), section(target)) {
            (Some(service), Some(section)) => self.port_of(&service, section).is_none(),
            _ => false,
        });
        if let Some(target) = absent {
            let section = section(target).unwrap_or_default();
            let message = format!("Service {}/{} has no port named {section}", policy.name.namespace, target.name);
            return Some((reasons::TARGET_NOT_FOUND, message));
        }
        policy.invalid.clone()
    }

    /// The targets at which another policy counts.
    fn lost(&self, place: usize, policy: &Policy<'_>) -> Vec<String> {
        let winner = |target: &PolicyTargetReference| {
            let sections = self.targets.get(&service(policy.name, target)?)?;
            let won = *sections.get(section(target).unwrap_or_default())?;
            let winner = self.policies.get(won).filter(|_| won != place)?;
            Some(format!(
                "Service {}/{} has BackendTLSPolicy {}, which is older, or first by name",
                policy.name.namespace, target.name, winner.name
            ))
        };
        policy.object.spec.target_refs.iter().filter_map(winner).collect()
    }
}

fn ancestor(gateway: &ObjectName) -> ParentReference {
    ParentReference {
        group: GROUP.to_owned(),
        kind: "Gateway".to_owned(),
        name: gateway.name.to_string(),
        namespace: Some(gateway.namespace.to_string()),
        port: None,
        section_name: None,
    }
}

fn read<'a>(input: &Input, name: &'a ObjectName, object: &'a BackendTlsPolicy) -> Policy<'a> {
    let validation = &object.spec.validation;
    let (found, unresolved) = authorities_of(input, name, object);
    let mut invalid = None;
    let trust = match validation.well_known_ca_certificates.as_deref().filter(|set| !set.is_empty()) {
        Some("System") if validation.ca_certificate_refs.is_empty() => Trust::System,
        Some(other) => {
            let message = format!("validation.wellKnownCACertificates: {other} is not supported; System, alone, is");
            invalid = Some((reasons::INVALID, message));
            Trust::Authorities(Vec::new())
        }
        None => Trust::Authorities(found),
    };
    if trust == Trust::Authorities(Vec::new()) && invalid.is_none() {
        let why = unresolved.as_ref().map_or("validation names no authority", |(_, message): &Refusal| message);
        invalid = Some((reasons::NO_VALID_CA_CERTIFICATE, why.to_owned()));
    }
    if let Some(option) = object.spec.options.keys().next() {
        invalid = Some((reasons::INVALID, format!("options: {option} is not supported; no option is")));
    }
    let mut names = Vec::new();
    for (i, spec) in validation.subject_alt_names.iter().enumerate() {
        match subject_name(spec) {
            Some(name) => names.push(name),
            None => {
                let message =
                    format!("validation.subjectAltNames[{i}]: {} is not a name that is supported", spec.type_);
                invalid = Some((reasons::INVALID, message));
            }
        }
    }
    let trust = if invalid.is_some() { Trust::Authorities(Vec::new()) } else { trust };
    let hostname = validation.hostname.to_ascii_lowercase().into();
    let tls = Arc::new(BackendTls { hostname, trust, names, certificate: None });
    Policy { name, object, tls, invalid, unresolved }
}

fn subject_name(spec: &SubjectAltName) -> Option<SubjectName> {
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    match spec.type_ {
        SubjectAltNameType::Hostname => {
            given(&spec.hostname).map(|name| SubjectName::Dns(name.to_ascii_lowercase().into()))
        }
        SubjectAltNameType::Uri => given(&spec.uri).map(|uri| SubjectName::Uri(uri.into())),
        SubjectAltNameType::Other(_) => None,
    }
}

/// The bundles that are there, and what is wrong with the first of the other references.
fn authorities_of(input: &Input, name: &ObjectName, object: &BackendTlsPolicy) -> (Vec<Arc<[u8]>>, Option<Refusal>) {
    let (mut found, mut problem) = (Vec::new(), None);
    for reference in &object.spec.validation.ca_certificate_refs {
        let bundle = match reference.group.is_empty() && reference.kind == "ConfigMap" {
            true => authorities::read(input, &ObjectName::new(&name.namespace, &reference.name))
                .map_err(|message| (reasons::INVALID_CA_CERTIFICATE_REF, message)),
            false => {
                let message = format!("caCertificateRefs: kind {} is not supported, only ConfigMap", reference.kind);
                Err((reasons::INVALID_KIND, message))
            }
        };
        match bundle {
            Ok(bundle) => found.push(bundle),
            Err(refusal) => problem = problem.or(Some(refusal)),
        }
    }
    (found, problem)
}
