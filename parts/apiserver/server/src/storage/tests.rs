mod model;
mod watchers;

use purlin_testkit::memory_dir;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::history::Compactor;
use super::read::ReadError;
use super::*;

async fn open(dir: &std::path::Path) -> Storage {
    let store = Store::open(&dir.join("db"), &[MIGRATIONS, purlin_audit::MIGRATIONS]).unwrap();
    Storage::open(store).await.unwrap()
}

fn key(name: &str) -> Key {
    Key { gr: "namespaces".into(), ns: "".into(), name: name.into() }
}

fn draft(name: &str, value: i64) -> Draft {
    Draft::new(&json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": name}, "v": value}))
}

async fn create(storage: &Storage, name: &str, value: i64) -> i64 {
    storage.commit(key(name), Change::Create(draft(name, value)), None).await.unwrap().rv
}

async fn replace(storage: &Storage, name: &str, rv: i64, value: i64) -> i64 {
    storage.commit(key(name), Change::Replace(rv, draft(name, value)), None).await.unwrap().rv
}

/// `name=value` of each object on the page, then `rv` and whether there is more.
async fn list(storage: &Storage, at: Option<i64>, after: Option<&str>, limit: usize) -> String {
    let after = after.map(|name| (String::new(), name.to_owned()));
    let query = PageQuery { gr: "namespaces".into(), ns: None, after, limit, at };
    match storage.page(query, None).await {
        Ok(page) => {
            let items = page.items.iter().map(|item| {
                let object: Value = serde_json::from_slice(&item.body).unwrap();
                assert_eq!(object["metadata"]["resourceVersion"], item.rv.to_string());
                format!("{}={} ", item.key.name, object["v"])
            });
            format!("{}@{}{}", items.collect::<String>(), page.rv, if page.more { "+" } else { "" })
        }
        Err(ReadError::Compacted) => "compacted".into(),
        Err(ReadError::Future(now)) => format!("future {now}"),
        Err(ReadError::Store(error)) => panic!("{error}"),
    }
}

async fn events(storage: &Storage, seen: i64) -> String {
    match storage.events_after("namespaces".into(), seen, 100).await {
        Ok((events, _)) => events
            .iter()
            .map(|e| {
                assert_eq!(e.object()["metadata"]["resourceVersion"], e.rv.to_string());
                let before = e.previous().map_or(String::new(), |p| format!("{}->", p["v"]));
                format!("{:?} {} {before}{};", e.kind, e.key.name, e.object()["v"])
            })
            .collect(),
        Err(ReadError::Compacted) => "compacted".into(),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn compare_and_swap() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let rv = create(&storage, "a", 1).await;
    let commit = |change| storage.commit(key("a"), change, None);
    assert!(matches!(commit(Change::Create(draft("a", 2))).await, Err(CommitError::Exists)));
    assert!(matches!(commit(Change::Replace(rv - 1, draft("a", 2))).await, Err(CommitError::Changed)));
    assert!(matches!(commit(Change::Delete(rv + 1)).await, Err(CommitError::Changed)));
    let missing = storage.commit(key("b"), Change::Delete(rv), None).await;
    assert!(matches!(missing, Err(CommitError::Missing)));
    assert_eq!(storage.hub().revision(), rv, "a refused write takes no revision");
}

#[tokio::test]
async fn the_past_can_be_read_until_it_is_compacted() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let a1 = create(&storage, "a", 1).await;
    let b1 = create(&storage, "b", 1).await;
    let a2 = replace(&storage, "a", a1, 2).await;
    let a3 = replace(&storage, "a", a2, 3).await;
    storage.commit(key("b"), Change::Delete(b1), None).await.unwrap();
    let c1 = create(&storage, "c", 1).await;
    assert_eq!(list(&storage, None, None, 0).await, format!("a=3 c=1 @{c1}"));
    assert_eq!(list(&storage, Some(a1), None, 0).await, format!("a=1 @{a1}"));
    assert_eq!(list(&storage, Some(a2), None, 0).await, format!("a=2 b=1 @{a2}"));
    assert_eq!(list(&storage, Some(a3), None, 1).await, format!("a=3 @{a3}+"));
    assert_eq!(list(&storage, Some(a3), Some("a"), 1).await, format!("b=1 @{a3}"));
    assert_eq!(list(&storage, Some(c1 + 1), None, 0).await, format!("future {c1}"));
    assert_eq!(
        events(&storage, 1).await,
        "Added a 1;Added b 1;Modified a 1->2;Modified a 2->3;Deleted b 1->1;Added c 1;"
    );
    Compactor(storage.clone()).compact(2, i64::MAX).await.unwrap();
    assert_eq!(events(&storage, a3).await, "Deleted b 1->1;Added c 1;");
    assert_eq!(events(&storage, a2).await, "compacted");
    assert_eq!(list(&storage, Some(a2), None, 0).await, "compacted");
    assert_eq!(list(&storage, Some(a3), None, 0).await, format!("a=3 b=1 @{a3}"));
}

#[tokio::test]
async fn a_namespace_outlives_what_is_in_it() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let inner = Key { gr: "configmaps".into(), ns: "a".into(), name: "x".into() };
    let create_inner = || storage.commit(inner.clone(), Change::Create(draft("x", 1)), None);
    assert!(matches!(create_inner().await, Err(CommitError::NoNamespace)));
    let rv = create(&storage, "a", 1).await;
    let x = create_inner().await.unwrap().rv;
    let delete = || storage.commit(key("a"), Change::Delete(rv), None);
    assert!(matches!(delete().await, Err(CommitError::NotEmpty)));
    storage.commit(inner.clone(), Change::Delete(x), None).await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn rings_say_when_a_watcher_fell_behind() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let start = storage.hub().revision();
    let mut rv = create(&storage, "a", 0).await;
    let ring = storage.hub().ring(&"namespaces".into());
    assert!(matches!(ring.after(start, 10), Next::Events(events) if events.len() == 1));
    for i in 0..600 {
        rv = replace(&storage, "a", rv, i).await;
    }
    assert!(matches!(ring.after(start, 10), Next::Behind));
    assert!(matches!(ring.after(rv, 10), Next::Events(events) if events.is_empty()));
    drop((ring, storage));
    let storage = open(dir.path()).await;
    assert_eq!(storage.hub().revision(), rv);
    assert!(matches!(storage.hub().ring(&"namespaces".into()).after(rv - 1, 1), Next::Behind));
    assert_eq!(events(&storage, rv - 1).await, "Modified a 598->599;");
}

#[tokio::test]
async fn the_log_is_kept_short_by_what_is_written() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let shutdown = CancellationToken::new();
    let compactor = Compactor(storage.clone());
    let (stop, run) = (shutdown.clone(), tokio::spawn(async move { compactor.keep(40, i64::MAX, shutdown).await }));
    let mut rv = create(&storage, "a", 0).await;
    let rows = || async {
        let rows = storage.store.read(|tx| tx.query_one("SELECT count(*) FROM log", &[], |row| row.int(0))).await;
        rows.unwrap_or_else(|e: StoreError| panic!("{e}")).unwrap()
    };
    for i in 1..=200 {
        rv = replace(&storage, "a", rv, i).await;
    }
    purlin_testkit::wait_until("the log is short", purlin_testkit::PATIENCE, async || rows().await <= 50)
        .await
        .unwrap();
    assert!(rows().await >= 40);
    stop.cancel();
    run.await.unwrap();
}

#[tokio::test]
async fn an_observer_that_panics_hides_nothing() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    storage.hub().observe(|_| panic!("an observer's fault"));
    storage.hub().observe(move |event| told.lock().push(event.rv));
    let start = storage.hub().revision();
    let rv = create(&storage, "a", 1).await;
    assert_eq!((storage.hub().revision(), &*seen.lock()), (rv, &vec![rv]));
    let ring = storage.hub().ring(&"namespaces".into());
    assert!(matches!(ring.after(start, 10), Next::Events(events) if events.len() == 1));
}

#[tokio::test]
async fn what_an_earlier_run_left_in_the_queue_comes_before_the_next_run() {
    let dir = memory_dir().unwrap();
    let storage = open(dir.path()).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let mut hold = Box::pin(storage.store.write(move |_| {
        let _ = held.lock().recv();
        Ok::<_, StoreError>(())
    }));
    assert!(futures::poll!(&mut hold).is_pending());
    let mut left = Box::pin(storage.commit(key("a"), Change::Create(draft("a", 1)), None));
    assert!(futures::poll!(&mut left).is_pending());
    drop(left);
    let mut next = Box::pin(Storage::open(storage.store.clone()));
    assert!(futures::poll!(&mut next).is_pending());
    drop(release);
    let next = next.await.unwrap();
    assert_eq!(next.hub().revision(), next.get(&key("a")).await.unwrap().unwrap().rv);
}
