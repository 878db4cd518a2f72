//! The types of gRPC messages: of `.proto` files, else what the server tells by reflection.

use std::collections::BTreeSet;

use anyhow::Context as _;
use base64::Engine as _;
use purlin_load_model::plan::{Action, Plan, Protocol};

use crate::failure::Failure;
use crate::load::args::RequestArgs;
use crate::load::failure::of as failure;

/// The types that `plan` needs: a serialized `FileDescriptorSet` in base64.
pub(crate) async fn of(plan: &Plan, request: &RequestArgs, allowed: &[String]) -> Result<Option<String>, Failure> {
    if plan.protocol != Protocol::Grpc {
        return match request.proto.is_empty() {
            true => Ok(None),
            false => Err(Failure::usage("--proto has no effect: the load is not of gRPC").hint("leave it out")),
        };
    }
    let types = if request.proto.is_empty() {
        let services = services(plan);
        let services: Vec<&str> = services.iter().map(String::as_str).collect();
        purlin_load::reflect(plan, allowed, &services).await.map_err(failure)?
    } else {
        let (files, include) = (request.proto.clone(), request.proto_path.clone());
        let compiling = tokio::task::spawn_blocking(move || purlin_load::compile_protos(&files, &include));
        compiling.await.context("compiling .proto files panicked")?.map_err(failure)?
    };
    Ok(Some(base64::engine::general_purpose::STANDARD.encode(types)))
}

/// The services of all calls: what stands between the slashes of their paths.
fn services(plan: &Plan) -> BTreeSet<String> {
    let steps = plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
    let paths = steps.filter_map(|step| match &step.action {
        Action::Grpc(action) => Some(action.path.trim_start_matches('/')),
        Action::Http(_) | Action::Message(_) => None,
    });
    paths.map(|path| path.split('/').next().unwrap_or_default().to_owned()).collect()
}
