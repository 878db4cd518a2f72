//! An issuer that learns its keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Builder;

use super::*;
use crate::verifier::testkeys::{Signer, set};

/// Runs `body` beside an issuer, whose sets are those that `fetch` gives for the count of the fetch.
fn with_issuer<F: Future<Output = ()>>(
    pace: Pace,
    fetch: impl Fn(usize) -> Result<Bytes, String> + Send + Sync + 'static,
    body: impl FnOnce(Arc<Issuer>, Arc<AtomicUsize>) -> F,
) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let issuer = Arc::new(Issuer::learning(IssuerConfig::new("https://issuer"), pace));
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let fetch: Fetch = Box::new(move || {
            let result = fetch(counter.fetch_add(1, Ordering::SeqCst));
            Box::pin(async { result })
        });
        let stop = CancellationToken::new();
        let run = issuer.run(fetch, || 0.5, stop.clone());
        let body = async {
            body(Arc::clone(&issuer), count).await;
            stop.cancel();
        };
        tokio::join!(run, body);
    });
}

fn keys() -> [Signer; 2] {
    ["a", "b"].map(|kid| Signer::new(Algorithm::EdDsa, kid))
}

#[test]
fn a_new_key_is_learned_by_who_asks_for_it() {
    let [a, b] = keys();
    let fetch = move |count| Ok(Bytes::from(if count < 2 { set(&[&a]) } else { set(&[&a, &b]) }));
    with_issuer(Pace::quick(), fetch, async |issuer, _| {
        issuer.wait_for("a").await;
        assert_eq!((issuer.generation(), issuer.keys().set.knows("a")), (1, true));
        while !issuer.keys().set.knows("b") {
            issuer.wait_for("b").await;
            tokio::task::yield_now().await;
        }
        assert_eq!(issuer.generation(), 2);
    });
}

#[test]
fn a_fault_leaves_the_keys() {
    let [a, _] = keys();
    let fetch = move |count| match count {
        0 => Ok(Bytes::from(set(&[&a]))),
        1 => Ok(Bytes::from_static(b"{\"keys\":[]}")),
        _ => Err("unreachable".to_owned()),
    };
    with_issuer(Pace::quick(), fetch, async |issuer, count| {
        while count.load(Ordering::SeqCst) < 5 {
            issuer.wait_for("other").await;
            tokio::task::yield_now().await;
        }
        assert_eq!((issuer.generation(), issuer.keys().set.knows("a")), (1, true));
    });
}

#[test]
fn a_flood_of_names_costs_one_fetch() {
    let [a, _] = keys();
    with_issuer(
        Pace::default(),
        move |_| Ok(Bytes::from(set(&[&a]))),
        async |issuer, count| {
            issuer.wait_for("a").await;
            for i in 0..10_000 {
                issuer.wait_for(&i.to_string()).await;
            }
            assert_eq!(count.load(Ordering::SeqCst), 1);
        },
    );
}

#[test]
fn a_run_that_is_dropped_can_be_begun_again() {
    let [a, _] = keys();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let issuer = Issuer::learning(IssuerConfig::new("https://issuer"), Pace::quick());
        let hangs: Fetch = Box::new(|| Box::pin(std::future::pending()));
        let run = issuer.run(hangs, || 0.5, CancellationToken::new());
        assert!(timeout(Duration::from_millis(1), run).await.is_err());
        let fetch: Fetch = Box::new(move || {
            let keys = Bytes::from(set(&[&a]));
            Box::pin(async { Ok(keys) })
        });
        let stop = CancellationToken::new();
        let wait = async {
            issuer.wait_for("a").await;
            stop.cancel();
        };
        tokio::join!(issuer.run(fetch, || 0.5, stop.clone()), wait);
        assert!(issuer.keys().set.knows("a"));
    });
}

#[test]
fn fixed_keys_stay() {
    let [a, b] = keys();
    let issuer = Issuer::fixed(IssuerConfig::new("https://issuer"), &set(&[&a])).unwrap();
    assert!(issuer.keys().set.knows("a"));
    // Nothing is waited for.
    assert!(tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        issuer.wait_for(&b.kid).await;
        !issuer.keys().set.knows("b")
    }));
    assert!(Issuer::fixed(IssuerConfig::new("https://issuer"), b"{}").is_err());
}
