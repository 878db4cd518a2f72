//! Events live for an hour after they were last seen.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;

use super::writer;
use crate::api::Api;
use crate::delete::DeleteOptions;

const LIFE: i64 = 3600;
const EVERY: Duration = Duration::from_secs(60);
/// Deletes under way at a time: enough to fill a group commit, few enough to leave room for others.
const AT_A_TIME: usize = 32;

pub(super) async fn run(api: Arc<Api>) {
    while api.shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let Some(served) = api.catalog.load().stored("events") else { return };
        let Ok(events) = super::all(&api, &served.resource.gr, None).await else { continue };
        let now = api.clock.unix();
        let writer = writer(&api, &served, "event-expiry", "delete");
        let due = events.into_iter().filter(|item| expired(&served.object(&item.body), now));
        let each = due.map(|item| {
            let writer = &writer;
            async move { writer.delete(&item.key, &DeleteOptions::default()).await }
        });
        let done: Vec<_> = futures::stream::iter(each).buffer_unordered(AT_A_TIME).collect().await;
        for error in done.into_iter().filter_map(Result::err).filter(|error| error.reason != "NotFound") {
            tracing::warn!(error = error.message, "failed to expire an event; tried again in a minute");
        }
    }
}

fn expired(event: &Value, now: i64) -> bool {
    let times = [
        &event["lastTimestamp"],
        &event["series"]["lastObservedTime"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    let times = times.into_iter().filter_map(|t| Some(t.as_str()?.parse::<jiff::Timestamp>().ok()?.as_second()));
    // A time to come would keep it for ever.
    times.filter(|seen| *seen <= now).max().is_none_or(|seen| now - seen > LIFE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_sighting_counts() {
        let event =
            |last: &str| json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "lastTimestamp": last});
        let now = "2026-01-01T02:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
        assert!(expired(&event("2026-01-01T00:30:00Z"), now));
        assert!(!expired(&event("2026-01-01T01:30:00Z"), now));
        assert!(expired(&json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}), now));
        assert!(expired(&event("9999-01-01T00:00:00Z"), now));
    }
}
