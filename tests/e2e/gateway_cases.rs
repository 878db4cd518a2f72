//! Gateway API's objects that a server has to accept, or to refuse with the reason, before the running API server.

use anyhow::Context as _;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use purlin_gateway_api::cases::{Case, Refusal, cases};
use serde_json::Value;

use crate::platform::Platform;

/// What a server says of one request: nothing, or all that is wrong.
type Verdict = Vec<Refusal>;

#[tokio::test]
async fn every_case_is_judged_as_it_says() -> anyhow::Result<()> {
    // Without the gateway, whose statuses would change the objects meanwhile.
    let platform = Platform::up_with(&["--only", "apiserver"]).await?;
    let client = platform.client().await?;
    let (mut failures, mut count) = (Vec::new(), 0);
    for case in cases() {
        count += 1;
        let said = judge(&client, &case).await.with_context(|| case.name.clone())?;
        if !agree(&case.refused, &said) {
            failures.push(format!("{}\n  expected {:?}\n  said     {said:?}", case.name, case.refused));
        }
    }
    anyhow::ensure!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

async fn judge(client: &Client, case: &Case) -> anyhow::Result<Verdict> {
    let kind = case.object["kind"].as_str().context("no kind")?;
    let kind = GroupVersionKind::gvk(purlin_gateway_api::GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, &case.plural);
    let namespace = case.object["metadata"]["namespace"].as_str();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    if let Some(old) = &case.old {
        let created = api.create(&PostParams::default(), &object(old)?).await.context("the old object")?;
        let said = verdict(api.replace("case", &dry, &at_version_of(&case.object, &created)?).await)?;
        api.delete("case", &DeleteParams::default()).await?;
        return Ok(said);
    }
    let said = verdict(api.create(&dry, &object(&case.object)?).await)?;
    if case.object.get("status").is_none() || !said.is_empty() {
        return Ok(said);
    }
    let created = api.create(&PostParams::default(), &object(&case.object)?).await?;
    let body = at_version_of(&case.object, &created)?;
    let said = verdict(api.replace_status("case", &dry, &body).await)?;
    api.delete("case", &DeleteParams::default()).await?;
    Ok(said)
}

fn object(value: &Value) -> anyhow::Result<DynamicObject> {
    Ok(serde_json::from_value(value.clone())?)
}

/// `value` as an update of `created`.
fn at_version_of(value: &Value, created: &DynamicObject) -> anyhow::Result<DynamicObject> {
    let mut object = object(value)?;
    object.metadata.resource_version.clone_from(&created.metadata.resource_version);
    Ok(object)
}

fn verdict(answer: kube::Result<DynamicObject>) -> anyhow::Result<Verdict> {
    let status = match answer {
        Ok(_) => return Ok(Vec::new()),
        Err(kube::Error::Api(status)) => status,
        Err(error) => return Err(error.into()),
    };
    anyhow::ensure!(status.code == 422, "refused with {} {}", status.code, status.message);
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    anyhow::ensure!(!causes.is_empty(), "refused without causes: {}", status.message);
    Ok(causes.into_iter().map(|cause| Refusal { at: cause.field, says: cause.message }).collect())
}

/// What is said besides when rules were not evaluated.
const UNCHECKED: &str = "some validation rules were not checked";

/// Each expected refusal is said, and no other: only of an address that fails its `oneOf` may more be said.
fn agree(expected: &[Refusal], said: &[Refusal]) -> bool {
    let fits = |expected: &Refusal, said: &Refusal| expected.at == said.at && said.says.contains(&expected.says);
    let about = |said: &Refusal| {
        let of_branch = |expected: &Refusal| expected.says.contains("oneOf") && said.at.starts_with(&expected.at);
        said.says.contains(UNCHECKED) || expected.iter().any(|expected| fits(expected, said) || of_branch(expected))
    };
    expected.iter().all(|expected| said.iter().any(|said| fits(expected, said))) && said.iter().all(about)
}

#[test]
fn refusals_agree_when_each_is_said_and_no_other() {
    let refusal = |at: &str, says: &str| Refusal { at: at.into(), says: says.into() };
    let (one, other) = (refusal("spec.a", "too long"), refusal("spec.b", "is bad"));
    assert!(agree(std::slice::from_ref(&one), &[refusal("spec.a", "Invalid value: too long")]));
    assert!(!agree(std::slice::from_ref(&one), &[]));
    assert!(!agree(&[], std::slice::from_ref(&one)));
    assert!(!agree(std::slice::from_ref(&one), &[one.clone(), other]));
    assert!(agree(
        std::slice::from_ref(&one),
        &[one.clone(), refusal("", &format!("Invalid value: null: {UNCHECKED}"))]
    ));
    let branch = refusal("spec.addresses[0]", "exactly one schema (oneOf)");
    assert!(agree(
        std::slice::from_ref(&branch),
        &[branch.clone(), refusal("spec.addresses[0].type", "is no IPAddress")]
    ));
}
