//! gRPC load against the official Python server, unmodified: its health service, a stream, and its reflection, which
//! is of version `v1alpha` only.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use purlin_load::{Options, compile_protos, reflect, run};
use purlin_load_model::plan::{
    Action, Expect, Extract, GrpcAction, Pace, Plan, Protocol, Scenario, Spacing, Stage, Step, Target, Template, Tls,
};
use purlin_load_model::summary::Summary;
use purlin_load_model::tally::ErrorKind;
use purlin_testkit::PATIENCE;
use purlin_testkit::process::{Launch, Process};

use crate::platform::peer;

const HEALTH: &str = "grpc.health.v1.Health";

/// A server, killed when dropped.
struct Server(Process);

impl Server {
    async fn start(arguments: &[&str]) -> anyhow::Result<Server> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/grpc_server.py");
        let launch = Launch::new(peer("python")?, [script].iter().chain(arguments).copied());
        Ok(Server(launch.start(PATIENCE).await?))
    }

    /// 50 iterations of `steps` within half a second.
    fn plan(&self, steps: Vec<Step>) -> anyhow::Result<Plan> {
        let port = self.0.ready["port"].as_u64().context("no port")?.try_into()?;
        let stage = Stage { duration: Duration::from_millis(500), from: 100.0, to: 100.0 };
        Ok(Plan {
            target: Target { secure: false, host: "127.0.0.1".into(), port, authority: format!("127.0.0.1:{port}") },
            protocol: Protocol::Grpc,
            pace: Pace::Open { stages: vec![stage], spacing: Spacing::Constant },
            warm_up: Duration::ZERO,
            connections: 2,
            streams: 20,
            timeout: PATIENCE,
            workers: 1,
            seed: 1,
            scenarios: vec![Scenario { name: "calls".into(), weight: 1, steps }],
            data: None,
            trace_share: 0.0,
            tls: Tls::default(),
            descriptors: None,
        })
    }

    /// Asks it for the types of `services` and runs the plan.
    async fn load(&self, steps: Vec<Step>, services: &[&str]) -> anyhow::Result<Summary> {
        let plan = self.plan(steps)?;
        let types = reflect(&plan, &[], services).await?;
        run_with(plan, &types).await
    }
}

async fn run_with(mut plan: Plan, types: &[u8]) -> anyhow::Result<Summary> {
    plan.descriptors = Some(base64::engine::general_purpose::STANDARD.encode(types));
    Ok(run(plan, &Options::default(), &mut |_| {}).await?)
}

/// A call whose answer contains `expected`.
fn call(path: &str, message: &str, expected: &str) -> anyhow::Result<Step> {
    let message = Template::parse(message)?;
    Ok(Step {
        name: format!("{path} {message}"),
        action: Action::Grpc(GrpcAction { path: path.into(), metadata: Vec::new(), message }),
        expect: Expect { status: Vec::new(), contains: Some(expected.to_owned()).filter(|text| !text.is_empty()) },
        extract: Default::default(),
        think: Duration::ZERO,
    })
}

#[tokio::test]
async fn calls_and_streams_are_answered() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let mut shop = call("/grpc.health.v1.Health/Check", r#"{"service": "shop"}"#, r#"{"status":"NOT_SERVING"}"#)?;
    shop.extract = [("status".to_owned(), Extract::Json("$.status".into()))].into();
    let steps = vec![
        call("/grpc.health.v1.Health/Check", "{}", r#"{"status":"SERVING"}"#)?,
        shop,
        call("/test.Counter/Up", "5", "1")?,
        call("/test.Counter/Up", "0", "")?,
    ];
    let summary = server.load(steps, &[HEALTH, "test.Counter"]).await?;
    let succeeded: Vec<u64> = summary.tally.steps.iter().map(|step| step.succeeded).collect();
    anyhow::ensure!(succeeded == [50, 50, 50, 50], "{succeeded:?}: {:?}", summary.total());
    Ok(())
}

#[tokio::test]
async fn what_fails_has_the_status_that_the_server_gave() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let unknown = call("/grpc.health.v1.Health/Check", r#"{"service": "none"}"#, "")?;
    let total = server.load(vec![unknown], &[HEALTH]).await?.total();
    anyhow::ensure!(total.status.get(&5) == Some(&50), "NOT_FOUND: {total:?}");
    anyhow::ensure!(total.errors.get(&ErrorKind::Status) == Some(&50), "{total:?}");

    // A stream that does not end is over when its time is: whoever sees that first says so.
    let mut plan = server.plan(vec![call("/grpc.health.v1.Health/Watch", "{}", "")?])?;
    plan.timeout = Duration::from_millis(200);
    let types = reflect(&plan, &[], &[HEALTH]).await?;
    let total = run_with(plan, &types).await?.total();
    let timed_out = total.errors.get(&ErrorKind::Timeout).copied().unwrap_or_default();
    let by_server = total.status.get(&4).copied().unwrap_or_default();
    anyhow::ensure!(total.sent > 0 && timed_out + by_server == total.sent, "{total:?}");
    Ok(())
}

#[tokio::test]
async fn types_come_from_files_where_the_server_does_not_tell_them() -> anyhow::Result<()> {
    let server = Server::start(&["--no-reflection"]).await?;
    let plan = server.plan(vec![call("/grpc.health.v1.Health/Check", "{}", r#""SERVING""#)?])?;
    let refused = reflect(&plan, &[], &[HEALTH]).await.err().context("there is no reflection")?.to_string();
    anyhow::ensure!(refused.contains("--proto"), "{refused}");

    let directory = purlin_testkit::temp_dir()?;
    let file = directory.path().join("health.proto");
    let text = "syntax = \"proto3\"; package grpc.health.v1;
        service Health { rpc Check(Asked) returns (Told); }
        message Asked { string service = 1; }
        message Told { enum Status { UNKNOWN = 0; SERVING = 1; } Status status = 1; }";
    std::fs::write(&file, text)?;
    let total = run_with(plan, &compile_protos(&[file], &[])?).await?.total();
    anyhow::ensure!(total.succeeded == 50, "{total:?}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_with_those_that_are() -> anyhow::Result<()> {
    let server = Server::start(&[]).await?;
    let plan = server.plan(vec![])?;
    let failed = reflect(&plan, &[], &["grpc.health.v1.Helth"]).await.err().context("it is not there")?.to_string();
    anyhow::ensure!(failed.contains("it has: grpc.health.v1.Health, test.Counter"), "{failed}");
    Ok(())
}
