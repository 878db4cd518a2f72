//! What unit tests of several files begin with.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use purlin_load_model::arrivals::Shard;
use purlin_load_model::plan::{
    Action, Expect, HttpAction, Pace, Plan, Protocol, Scenario, Spacing, Stage, Step, Target, Template, Tls,
};

use crate::connect::Dialer;
use crate::prepare::Prepared;
use crate::worker::Worker;

/// Evenly, at one rate.
pub(crate) fn constant(rate: f64, seconds: u64) -> Pace {
    let stages = vec![Stage { duration: Duration::from_secs(seconds), from: rate, to: rate }];
    Pace::Open { stages, spacing: Spacing::Constant }
}

/// A scenario of one GET.
pub(crate) fn scenario(name: &str, path: &str) -> Scenario {
    let step = Step {
        name: name.into(),
        action: Action::Http(HttpAction {
            method: "GET".into(),
            path: Template::parse(path).unwrap(),
            headers: Vec::new(),
            body: None,
        }),
        expect: Expect::default(),
        extract: BTreeMap::new(),
        think: Duration::ZERO,
    };
    Scenario { name: name.into(), weight: 1, steps: vec![step] }
}

/// A plan of one GET, 100 a second for 10 s.
pub(crate) fn plan() -> Plan {
    Plan {
        target: Target { secure: false, host: "127.0.0.1".into(), port: 9, authority: "127.0.0.1:9".into() },
        protocol: Protocol::Http1,
        pace: constant(100.0, 10),
        warm_up: Duration::ZERO,
        connections: 4,
        streams: 1,
        timeout: Duration::from_millis(500),
        workers: 2,
        seed: 1,
        scenarios: vec![scenario("get", "/")],
        data: None,
        trace_share: 0.0,
        tls: Tls::default(),
        descriptors: None,
    }
}

/// One of two threads that send `plan`.
pub(crate) async fn worker(plan: &Plan, index: u32) -> Rc<Worker> {
    let dialer = Dialer::new(&plan.target, plan.protocol, &plan.tls, plan.timeout).await.unwrap();
    let prepared = Prepared::new(plan).unwrap();
    let shard = Shard { index, count: 2 };
    Rc::new(Worker::new(Arc::new(plan.clone()), Arc::new(prepared), Arc::new(dialer), shard))
}
