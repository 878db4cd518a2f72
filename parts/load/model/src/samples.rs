//! What tests of several files begin with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::figures::Figures;
use crate::plan::{
    Action, Expect, HttpAction, Pace, Plan, Protocol, Scenario, Spacing, Stage, Step, Target, Template, Tls,
};
use crate::summary::{FORMAT, Generator, Summary};
use crate::tally::Tally;

/// A plan of one GET, 100 a second for a minute.
pub(crate) fn plan() -> Plan {
    let step = Step {
        name: "GET /".into(),
        action: Action::Http(HttpAction {
            method: "GET".into(),
            path: Template::constant("/"),
            headers: Vec::new(),
            body: None,
        }),
        expect: Expect::default(),
        extract: BTreeMap::new(),
        think: Duration::ZERO,
    };
    let target = Target { secure: false, host: "127.0.0.1".into(), port: 80, authority: "127.0.0.1".into() };
    let stages = vec![Stage { duration: Duration::from_secs(60), from: 100.0, to: 100.0 }];
    Plan {
        target,
        protocol: Protocol::Http1,
        pace: Pace::Open { stages, spacing: Spacing::Constant },
        warm_up: Duration::ZERO,
        connections: 50,
        streams: 1,
        timeout: Duration::from_secs(10),
        workers: 1,
        seed: 1,
        scenarios: vec![Scenario { name: "scenario 1".into(), weight: 1, steps: vec![step] }],
        data: None,
        trace_share: 0.0,
        tls: Tls::default(),
        descriptors: None,
    }
}

/// A result of [`plan`] in which nothing has happened yet.
pub(crate) fn summary(lasted: Duration) -> Summary {
    Summary {
        format: FORMAT,
        purlin: "0.1.0".into(),
        started: "2026-01-01T00:00:00Z".into(),
        plan: plan(),
        requests: String::new(),
        lasted,
        figures: Figures::default(),
        tally: Tally::new(1),
        series: Vec::new(),
        step: 1,
        generator: Generator::default(),
        missing: Vec::new(),
        interrupted: false,
        verdicts: Vec::new(),
    }
}
