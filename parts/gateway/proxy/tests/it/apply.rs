//! Changes of the model while it is served, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use purlin_traffic::model::{Action, BackendProtocol, Cluster, PathMatch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::rig::{PATIENCE, Rig, cluster_name, free, listener, object, options, read_reply, rule, share, until};

const H1: BackendProtocol = BackendProtocol::Http1;
const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn changes_under_load_cost_no_request() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let clusters = [("one", H1, &[one.at][..]), ("two", H1, &[two.at][..])];
    let rig = Rig::with(options(2), vec![rule("/", "one")], &clusters).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (at, stop, answered) = (rig.at, Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(at).await.unwrap();
                while !stop.load(Ordering::SeqCst) {
                    if number % 2 == 0 {
                        stream = TcpStream::connect(at).await.unwrap();
                    }
                    stream.write_all(KEPT).await.unwrap();
                    assert_eq!(read_reply(&mut stream).await.status, 200);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut model = rig.model.clone();
    for change in 0..60u32 {
        let mut changed = rule("/", "one");
        changed.action = Action::Forward(vec![share(change % 3, Some("one")), share(1, Some("two"))]);
        model.binds.get_mut(&rig.at).unwrap().listeners = vec![listener("", vec![changed])];
        assert_eq!(rig.proxy.apply(&model).await, Default::default());
        let seen = answered.load(Ordering::SeqCst);
        // Each configuration serves some requests before the next one.
        while answered.load(Ordering::SeqCst) < seen + 10 {
            assert!(!clients.iter().any(tokio::task::JoinHandle::is_finished), "a client failed");
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_change_is_served_at_once() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let clusters = [("one", H1, &[one.at][..]), ("two", H1, &[two.at][..])];
    let rig = Rig::with(options(2), vec![rule("/", "one")], &clusters).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let mut model = rig.model.clone();
    for name in ["two", "one", "two"] {
        model.binds.get_mut(&rig.at).unwrap().listeners = vec![listener("", vec![rule("/", name)])];
        rig.proxy.apply(&model).await;
        stream.write_all(KEPT).await.unwrap();
        assert_eq!(read_reply(&mut stream).await.header("x-backend"), Some(name));
    }
}

#[tokio::test]
async fn endpoints_change_and_pooled_connections_of_old_ones_are_not_used() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let rig = Rig::with(options(1), vec![rule("/", "svc")], &[("svc", H1, &[one.at])]).await;
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let mut model = rig.model.clone();
    for (endpoints, expected) in
        [(vec![one.at], Some("one")), (vec![two.at], Some("two")), (vec![], None), (vec![one.at], Some("one"))]
    {
        let cluster = Cluster::new(H1, endpoints);
        model.clusters.insert(cluster_name("svc"), Arc::new(cluster));
        assert_eq!(rig.proxy.apply(&model).await, Default::default());
        for _ in 0..5 {
            stream.write_all(KEPT).await.unwrap();
            let reply = read_reply(&mut stream).await;
            assert_eq!((reply.status == 503, reply.header("x-backend")), (expected.is_none(), expected), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn binds_come_and_go() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(2), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut model = rig.model.clone();
    let second = free();
    model.binds.insert(second, model.binds[&rig.at].clone());
    assert_eq!(rig.proxy.apply(&model).await, Default::default());
    let mut idle = TcpStream::connect(second).await.unwrap();
    idle.write_all(KEPT).await.unwrap();
    assert_eq!(read_reply(&mut idle).await.status, 200);
    let mut busy = TcpStream::connect(second).await.unwrap();
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while !backend.seen.lock().iter().any(|line| line == "GET /gate") {
        tokio::task::yield_now().await;
    }
    model.binds.remove(&second);
    assert_eq!(rig.proxy.apply(&model).await, Default::default());
    // The idle connection ends; the busy one is answered, and ends then.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    backend.gate.add_permits(1);
    let reply = read_reply(&mut busy).await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(busy.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(TcpStream::connect(second).await.is_err());
    assert_eq!(rig.get("/").await.status, 200);
    // And back.
    model.binds.insert(second, model.binds[&rig.at].clone());
    assert_eq!(rig.proxy.apply(&model).await, Default::default());
    assert!(TcpStream::connect(second).await.is_ok());
}

#[tokio::test]
async fn a_taken_address_is_reported_and_does_not_stop_the_others() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(2), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut model = rig.model.clone();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let (foreign, third) = ("192.0.2.1:80".parse().unwrap(), free());
    for at in [taken, foreign, third] {
        model.binds.insert(at, model.binds[&rig.at].clone());
    }
    let report = rig.proxy.apply(&model).await;
    let failed: Vec<_> = report.binds.iter().map(|b| b.at).collect();
    assert!(failed.len() == 2 && failed.contains(&taken) && failed.contains(&foreign), "{report:?}");
    let words = &report.binds.iter().find(|b| b.at == taken).unwrap().message;
    assert!(words.contains("is in use by") && words.contains("another port"), "{words}");
    assert!(TcpStream::connect(third).await.is_ok());
    // Tried again with the next model.
    drop(holder);
    model.binds.remove(&foreign);
    assert_eq!(rig.proxy.apply(&model).await, Default::default());
    assert!(TcpStream::connect(taken).await.is_ok());
}

#[tokio::test]
async fn what_does_not_compile_is_reported_and_the_rest_is_served() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(1), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut model = rig.model.clone();
    let mut regex = rule("/", "svc");
    regex.matches.path = PathMatch::Regex("(".into());
    let rules = vec![regex, rule("/missing", "missing"), rule("/", "svc")];
    model.binds.get_mut(&rig.at).unwrap().listeners = vec![listener("", rules)];
    let report = rig.proxy.apply(&model).await;
    assert_eq!(report.errors.len(), 2, "{report:?}");
    assert_eq!(rig.get("/").await.status, 200);
    assert_eq!(rig.get("/missing").await.status, 500);
}

/// Series of `/metrics` whose route begins so.
fn series_of(route: &str) -> usize {
    purlin_telemetry::metrics::render()
        .lines()
        .filter(|line| line.contains(&format!("route=\"default/{route}")))
        .count()
}

#[tokio::test]
async fn series_of_a_route_go_with_it() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(2), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut model = rig.model.clone();
    let mut serve = async |route: Option<String>| {
        let mut named = rule("/", "svc");
        named.route.object = object(route.as_deref().unwrap_or("route"));
        model.binds.get_mut(&rig.at).unwrap().listeners = vec![listener("", vec![named])];
        assert_eq!(rig.proxy.apply(&model).await, Default::default());
    };
    serve(Some("busy".into())).await;
    let a_route = series_of("busy");
    assert!(a_route > 5, "{a_route}");
    let mut busy = TcpStream::connect(rig.at).await.unwrap();
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("it is under way", || !backend.seen.lock().is_empty()).await;
    for number in 0..60 {
        serve(Some(format!("churn-{number}"))).await;
        assert_eq!(rig.get("/").await.status, 200);
    }
    serve(None).await;
    until("the routes' series are gone", || series_of("churn-") == 0).await;
    // A route that is gone is counted until its last request has ended.
    assert_eq!(series_of("busy"), a_route);
    backend.gate.add_permits(1);
    assert_eq!(read_reply(&mut busy).await.status, 200);
    until("the last one's are gone too", || series_of("busy") == 0).await;
    // Back, it counts from zero.
    serve(Some("churn-7".into())).await;
    let count = || {
        let text = purlin_telemetry::metrics::render();
        let line = text.lines().find(|l| l.contains("route=\"default/churn-7\",class=\"2xx\"")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(count(), 0);
    assert_eq!(rig.get("/").await.status, 200);
    until("it is counted", || count() == 1).await;
}

#[tokio::test]
async fn drain_finishes_what_is_under_way_and_leaves_nothing() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(2), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut busy = TcpStream::connect(rig.at).await.unwrap();
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while backend.seen.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let (proxy, at) = (Arc::new(rig.proxy), rig.at);
    let draining = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.drain(PATIENCE).await }
    });
    while TcpStream::connect(at).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!draining.is_finished());
    backend.gate.add_permits(1);
    let reply = read_reply(&mut busy).await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    draining.await.unwrap();
    // Sockets and threads are gone: the address can be bound by another.
    assert!(std::net::TcpListener::bind(at).is_ok());
}

#[tokio::test]
async fn drain_cuts_what_does_not_end() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(2), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut busy = TcpStream::connect(rig.at).await.unwrap();
    busy.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    while backend.seen.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    rig.proxy.drain(Duration::from_millis(50)).await;
    let mut rest = Vec::new();
    let _ = busy.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}

/// Browsers open connections ahead of need: a drain does not wait for them.
#[tokio::test]
async fn drain_does_not_wait_for_connections_without_a_request() {
    let backend = Backend::start("one").await;
    let rig = Rig::with(options(1), vec![rule("/", "svc")], &[("svc", H1, &[backend.at])]).await;
    let mut silent = TcpStream::connect(rig.at).await.unwrap();
    let mut begun = TcpStream::connect(rig.at).await.unwrap();
    begun.write_all(b"GET / HT").await.unwrap();
    // A request on a third one: the others were accepted before it.
    assert_eq!(rig.get("/").await.status, 200);
    tokio::time::timeout(PATIENCE, rig.proxy.drain(PATIENCE * 60)).await.expect("the drain waits");
    for stream in [&mut silent, &mut begun] {
        assert!(!stream.read(&mut [0; 1]).await.is_ok_and(|n| n > 0));
    }
}
