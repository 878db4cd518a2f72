//! What can be done with a result: keep it, show it again, compare it, look at its page in a browser.

use serde_json::{Value, json};

use super::{SOON, adds_up, command, count, load};
use crate::load::target::Target;
use crate::platform::{peer, said};

#[tokio::test]
async fn a_result_is_kept_and_shown_again() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let directory = purlin_testkit::temp_dir()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (url, saved, page, again) = (target.url(), path("a.json"), path("a.html"), path("b.html"));
    let secret = "authorization: Bearer very-secret";
    let kept = ["--save", &saved, "--html", &page, "-H", secret, "--fail-if", "errors>99%"];
    let first = load(&[&SOON[..], &[&url], &kept[..]].concat()).await?;
    anyhow::ensure!(first.code == Some(0) && first.out.contains("errors>99%"), "{first:?}");
    let json = std::fs::read_to_string(&saved)?;
    adds_up(&serde_json::from_str(&json)?)?;
    anyhow::ensure!(!json.contains("very-secret"), "a secret is kept: {json}");

    let shown = load(&["report", &saved]).await?;
    anyhow::ensure!(shown.code == Some(0) && shown.out == first.out, "{first:?}\n{shown:?}");
    let written = load(&["report", &saved, "--html", &again]).await?;
    anyhow::ensure!(written.code == Some(0) && written.out.is_empty(), "{written:?}");
    anyhow::ensure!(std::fs::read(&page)? == std::fs::read(&again)?, "the pages differ");

    std::fs::write(path("no.json"), "{}")?;
    let refused = load(&["report", &path("no.json")]).await?;
    anyhow::ensure!(refused.code == Some(1) && refused.err.contains("is no result of"), "{refused:?}");
    std::fs::write(path("new.json"), json.replacen("\"format\":", "\"format\":9", 1))?;
    let refused = load(&["report", &path("new.json")]).await?;
    anyhow::ensure!(refused.code == Some(1) && refused.err.contains("this purlin knows"), "{refused:?}");
    Ok(())
}

/// `result` as it were of 20 s in which all 20,000 answers took `milliseconds`.
fn steady(result: &Value, milliseconds: u64) -> Value {
    let (mut result, seconds) = (result.clone(), milliseconds as f64 / 1e3);
    let second = |at: u64| {
        let mut second = json!({"at": at, "offered": 1000, "succeeded": 1000, "failed": 0, "in_flight": 1});
        for figure in ["p50", "p90", "p99", "max"] {
            second[figure] = json!(seconds);
        }
        second
    };
    result["lasted"] = json!(20.0);
    result["series"] = (0..20).map(second).collect();
    let step = &mut result["tally"]["steps"][0];
    for (field, value) in [("sent", json!(20_000)), ("succeeded", json!(20_000)), ("status", json!({"200": 20_000}))] {
        step[field] = value;
    }
    step["latency"] = json!([[milliseconds * 1_000_000, 20_000]]);
    result
}

#[tokio::test]
async fn two_results_are_compared() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let directory = purlin_testkit::temp_dir()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (url, real) = (target.url(), path("real.json"));
    let said = load(&[&SOON[..], &[&url, "--save", &real]].concat()).await?;
    anyhow::ensure!(said.code == Some(0), "{said:?}");
    let result: Value = serde_json::from_slice(&std::fs::read(&real)?)?;
    for (name, milliseconds) in [("fast", 10), ("slow", 15)] {
        std::fs::write(path(name), steady(&result, milliseconds).to_string())?;
    }
    let check = async |baseline: &str, candidate: &str, code: i32, out: &str, err: &str| {
        let said = load(&["compare", &path(baseline), &path(candidate)]).await?;
        let right = said.code == Some(code) && said.out.contains(out) && said.err.contains(err);
        anyhow::ensure!(right, "{baseline} and {candidate} should end with {code}, {out:?} and {err:?}: {said:?}");
        anyhow::Ok(())
    };
    check("real.json", "real.json", 0, "throughput", "").await?;
    check("fast", "fast", 0, "no difference that these runs can show", "").await?;
    check("fast", "slow", 1, "worse", "the candidate is worse in mean, p50").await?;
    check("slow", "fast", 0, "better", "").await?;
    let other = load(&["-r", "100", "-d", "100ms", "-q", &url, "--save", &path("other")]).await?;
    anyhow::ensure!(other.code == Some(0), "{other:?}");
    check("real.json", "other", 2, "", "differ in pace").await?;

    let told = load(&["compare", "-o", "json", &path("fast"), &path("slow")]).await?;
    let told: Value = serde_json::from_str(&told.out)?;
    let p50 = told["figures"].as_array().into_iter().flatten().find(|figure| figure["figure"] == "p50");
    anyhow::ensure!(p50.is_some_and(|p50| p50["verdict"] == "worse"), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_self_test_loses_nothing() -> anyhow::Result<()> {
    let said = load(&["self-test", "-o", "json"]).await?;
    let told: Value = serde_json::from_str(&said.out)?;
    anyhow::ensure!(
        said.code == Some(0) && count(&told, "/tasks") == 10_000 && count(&told, "/workers") == 5,
        "{told}"
    );
    Ok(())
}

/// With what makes a page long: several steps, failures, thresholds, traces, a process that is missing.
#[tokio::test]
async fn the_page_stands_on_its_own_in_a_browser() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let directory = purlin_testkit::temp_dir()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (plan, page) = (path("plan.yaml"), path("page.html"));
    let steps = "
target: TARGET
rate: 50..150
duration: 1500ms
trace_share: 1
scenarios:
  - name: a user with a rather long name, who does several things one after the other
    weight: 9
    steps:
      - {name: look at all the things that there are, http: {path: /a/rather/long/path/that/goes/on/and/on?with=more}}
      - {name: buy, http: {method: PUT, path: /b, headers: {x-session: \"${uuid}\"}}}
  - steps:
      - {name: <b>fail</b>, http: {path: /c}, expect: {status: 404}}
fail_if: [p99>1us, errors>90%]
";
    std::fs::write(&plan, steps.replace("TARGET", &target.url()))?;
    let agent = format!("'{}' load agent", crate::platform::PURLIN);
    let loaded = load(&["-f", &plan, "-q", "--html", &page, "--agent", &agent, "--agent", "exit 7"]).await?;
    anyhow::ensure!(loaded.code == Some(1) && loaded.err.contains("p99>1us"), "{loaded:?}");

    let script = format!("{}/clients/page.py", env!("CARGO_MANIFEST_DIR"));
    let python = peer("python")?.display().to_string();
    let looked = said(command(&python, &[&script, &page]).spawn()?).await?;
    anyhow::ensure!(looked.code == Some(0), "{}{}", looked.out, looked.err);
    Ok(())
}
