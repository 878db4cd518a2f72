//! What was asked for, so that it can be repeated.
//!
//! The secrets in it have been hidden before: of bodies and messages there are sizes and the names of variables.

use std::time::Duration;

use purlin_load_model::plan::{Action, Expect, Order, Pace, Plan, Scenario, Step};
use purlin_load_model::summary::Summary;

use crate::facts;
use crate::format;

use super::Html;
use super::tables::pairs;

/// Characters of a path or a text that are shown.
const SHOWN: usize = 300;

/// The plan.
pub(super) fn write(page: &mut Html, summary: &Summary) {
    let plan = &summary.plan;
    page.raw("<section aria-labelledby=\"plan\"><h2 id=\"plan\">Plan</h2>\n<div class=\"tables\">\n");
    pairs(page, "Settings", &settings(summary));
    page.raw("<div class=\"card\"><h3>Requests</h3>\n");
    let several = plan.scenarios.len() > 1;
    let weights: u64 = plan.scenarios.iter().map(|scenario| u64::from(scenario.weight)).sum();
    let mut left = super::STEPS;
    for scenario in &plan.scenarios {
        if several {
            let share = format::percent_of(scenario.weight.into(), weights);
            page.raw("<h4>").text(&scenario.name).text(format!(": {share} of the iterations")).raw("</h4>\n");
        }
        requests(page, scenario, &mut left);
    }
    page.raw("</div>\n</div></section>\n");
}

fn settings(summary: &Summary) -> Vec<(&'static str, String)> {
    let plan = &summary.plan;
    let mut rows = vec![
        ("Target", facts::target(plan)),
        ("Load", facts::pace(plan)),
        ("Sent over", facts::setup(summary)),
        ("Timeout", format::span(plan.timeout)),
        ("Seed", plan.seed.to_string()),
        ("Traced", format!("{} of the requests", format::percent(plan.trace_share))),
    ];
    if let Pace::Open { stages, .. } = &plan.pace
        && stages.len() > 1
    {
        let whole = stages.iter().fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.duration));
        rows.push(("Whole load", format::span(whole)));
    }
    if let Some(data) = &plan.data {
        let order = match data.order {
            Order::Sequential => "one after the other",
            Order::Random => "in random order",
        };
        rows.push(("Data", format!("rows of {}, {order}", data.columns.join(", "))));
    }
    if plan.target.secure {
        rows.push(("Certificate", certificate(plan)));
    }
    rows
}

fn certificate(plan: &Plan) -> String {
    let judged = match (plan.tls.insecure, &plan.tls.roots_pem) {
        (true, _) => "any is taken",
        (false, Some(_)) => "judged by given authorities",
        (false, None) => "judged by the system's authorities",
    };
    match &plan.tls.server_name {
        Some(name) => format!("{judged}, for the name {name}"),
        None => judged.to_owned(),
    }
}

fn requests(page: &mut Html, scenario: &Scenario, left: &mut usize) {
    page.raw("<ol class=\"requests\">\n");
    for step in scenario.steps.iter().take(*left) {
        page.raw("<li><strong>").text(&step.name).raw("</strong> <code>").text(line(&step.action)).raw("</code>");
        for detail in details(step) {
            page.raw("<small>").text(detail).raw("</small>");
        }
        page.raw("</li>\n");
    }
    page.raw("</ol>\n");
    let hidden = scenario.steps.len().saturating_sub(*left);
    if hidden > 0 {
        page.raw("<p>").text(format!("and {}", format::counted(hidden as u64, "more step"))).raw("</p>\n");
    }
    *left = left.saturating_sub(scenario.steps.len());
}

/// What is requested, in a line.
fn line(action: &Action) -> String {
    match action {
        Action::Http(http) => format!("{} {}", http.method, shown(&http.path.to_string())),
        Action::Grpc(grpc) => grpc.path.clone(),
        Action::Message(message) => shown(&message.path),
    }
}

fn details(step: &Step) -> Vec<String> {
    let mut said = Vec::new();
    let names: Vec<&str> = match &step.action {
        Action::Http(http) => http.headers.iter().map(|(name, _)| name.as_str()).collect(),
        Action::Grpc(grpc) => grpc.metadata.iter().map(|(name, _)| name.as_str()).collect(),
        Action::Message(message) => message.headers.iter().map(|(name, _)| name.as_str()).collect(),
    };
    if !names.is_empty() {
        said.push(format!("headers {}", names.join(", ")));
    }
    match &step.action {
        Action::Http(http) => said.extend(http.body.as_ref().map(|body| format!("body {}", shown(&body.to_string())))),
        Action::Grpc(grpc) => said.push(format!("message {}", shown(&grpc.message.to_string()))),
        Action::Message(message) => {
            said.push(format!("text {}", shown(&message.text.to_string())));
            said.push(format::counted(message.answers.into(), "message") + " in answer");
        }
    }
    said.extend(expected(&step.expect));
    if !step.extract.is_empty() {
        said.push(format!("takes {}", step.extract.keys().map(String::as_str).collect::<Vec<_>>().join(", ")));
    }
    if !step.think.is_zero() {
        said.push(format!("then waits {}", format::span(step.think)));
    }
    said
}

fn expected(expect: &Expect) -> Option<String> {
    let status: Vec<String> = expect.status.iter().map(u16::to_string).collect();
    match (status.is_empty(), &expect.contains) {
        (true, None) => None,
        (false, None) => Some(format!("expects {}", status.join(" or "))),
        (true, Some(text)) => Some(format!("expects a body with {}", shown(text))),
        (false, Some(text)) => Some(format!("expects {} and a body with {}", status.join(" or "), shown(text))),
    }
}

/// The beginning of what may be very long.
fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN { text.to_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}
