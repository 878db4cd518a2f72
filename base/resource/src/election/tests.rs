use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::{ApiBody, ApiHandle, InProcessApi, boxed};

/// An API that holds one Lease.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Option<Value>>>);

impl InProcessApi for Api {
    fn call(&self, request: Request<ApiBody>) -> BoxFuture<'static, Response<ApiBody>> {
        let lease = Arc::clone(&self.0);
        async move {
            let method = request.method().clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut lease = lease.lock();
            let version = |lease: &Value| lease["metadata"]["resourceVersion"].as_str().map(str::to_owned);
            let code = match (method, lease.as_ref()) {
                (Method::GET, None) => StatusCode::NOT_FOUND,
                (Method::GET, Some(_)) => StatusCode::OK,
                (Method::POST, Some(_)) => StatusCode::CONFLICT,
                (_, before) => {
                    let mut new: Value = serde_json::from_slice(&body).unwrap();
                    if before.is_some_and(|before| version(before) != version(&new)) {
                        StatusCode::CONFLICT
                    } else {
                        let next = version(&new).map_or(1, |v| v.parse::<u32>().unwrap() + 1);
                        new["metadata"]["resourceVersion"] = next.to_string().into();
                        *lease = Some(new);
                        StatusCode::OK
                    }
                }
            };
            let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Conflict" };
            let refusal = json!({
                "kind": "Status", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": reason,
            });
            let answer = lease.clone().filter(|_| code.is_success()).unwrap_or(refusal);
            let mut response = Response::new(boxed(answer.to_string()));
            *response.status_mut() = code;
            response
        }
        .boxed()
    }
}

fn candidate(api: &Api, identity: &str) -> Candidate {
    let handle = ApiHandle::default();
    handle.register(Box::new(api.clone()));
    Candidate::new(handle.client("gateway"), "lease", identity)
}

#[tokio::test]
async fn a_lease_changes_hands_when_it_lapses() {
    let api = Api::default();
    let (mut a, mut b) = (candidate(&api, "a"), candidate(&api, "b"));
    let start = Instant::now();
    assert!(a.turn(start).await.unwrap(), "nobody held it");
    assert!(!b.turn(start).await.unwrap());
    let later = start + DURATION - EVERY;
    assert!(a.turn(later).await.unwrap(), "renewed");
    assert!(!b.turn(start + DURATION).await.unwrap(), "it was renewed");
    assert!(b.turn(start + 2 * DURATION).await.unwrap(), "it has lapsed");
    assert!(!a.turn(start + 2 * DURATION).await.unwrap());
    let spec = api.0.lock().clone().unwrap()["spec"].clone();
    assert_eq!((spec["holderIdentity"].as_str(), spec["leaseTransitions"].as_i64()), (Some("b"), Some(2)));
}

#[tokio::test]
async fn a_process_that_starts_again_is_the_holder_that_it_was() {
    let api = Api::default();
    assert!(candidate(&api, "a").turn(Instant::now()).await.unwrap());
    assert!(candidate(&api, "a").turn(Instant::now()).await.unwrap());
}

#[tokio::test]
async fn a_candidate_that_ends_gives_the_lease_up() {
    let api = Api::default();
    let (a, shutdown) = (candidate(&api, "a"), CancellationToken::new());
    let mut leads = a.leads();
    let running = tokio::spawn(a.run(shutdown.clone()));
    leads.wait_for(|leads| *leads).await.unwrap();
    shutdown.cancel();
    running.await.unwrap();
    assert!(candidate(&api, "b").turn(Instant::now()).await.unwrap());
}
