//! What a listener's settings say of its clients.

use std::sync::Arc;
use std::time::Duration;

use purlin_gateway_proxy::{AccessLog, Place};
use purlin_traffic::model::{
    AccessLogFormat, BackendProtocol, Cidr, ClientLimits, ClientSettings, Propagation, ProxyProtocol, RateLimit,
    RateScope, Rule, RulePolicy,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::rig::{PATIENCE, Reply, Rig, options, rule};

/// A rig whose clients are dealt with so.
async fn rig(log: AccessLog, client: ClientSettings, rules: Vec<Rule>) -> (Rig, Backend) {
    let backend = Backend::start("one").await;
    let mut options = options(1);
    options.access_log = log;
    let mut rig = Rig::with(options, rules, &[("svc", BackendProtocol::Http1, &[backend.at])]).await;
    rig.model.binds.values_mut().for_each(|bind| bind.client = Arc::new(client.clone()));
    assert_eq!(rig.proxy.apply(&rig.model).await, Default::default());
    (rig, backend)
}

fn trusting(address: &str) -> ClientSettings {
    let range = Cidr { address: address.parse().unwrap(), prefix: 8 };
    ClientSettings { trusted_proxies: vec![range], ..ClientSettings::default() }
}

async fn send(rig: &Rig, headers: &str) -> Reply {
    rig.send(&format!("GET /x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")).await
}

const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n\
                      X-Forwarded-Port: 443\r\nX-Request-Id: theirs\r\n";

#[tokio::test]
async fn trusted_proxies_are_believed() {
    let lines = |reply: &Reply, lines: &[&str]| {
        for line in lines {
            assert!(reply.body.contains(&format!("\n{line}\n")), "{line}: {}", reply.body);
        }
    };
    let (rig_of_friends, _b) = rig(AccessLog::Off, trusting("127.0.0.0"), vec![rule("/", "svc")]).await;
    let friend = ["x-forwarded-for: 6.6.6.6, 1.1.1.1, 127.0.0.1", "x-forwarded-proto: https", "x-forwarded-host: b"];
    let reply = send(&rig_of_friends, CLAIMS).await;
    lines(&reply, &friend);
    lines(&reply, &["x-forwarded-port: 443", "x-request-id: theirs"]);
    let (rig_of_strangers, _b) = rig(AccessLog::Off, trusting("10.0.0.0"), vec![rule("/", "svc")]).await;
    let reply = send(&rig_of_strangers, CLAIMS).await;
    lines(&reply, &["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: a"]);
    assert!(!reply.body.contains("theirs") && !reply.body.contains("443"), "{}", reply.body);
}

#[tokio::test]
async fn limits_count_the_client_behind_a_trusted_proxy() {
    let (window, keys) = (Duration::from_secs(3600), vec![purlin_traffic::model::HashKey::ClientAddress]);
    let limit = RateLimit { name: "ns/p/r".into(), scope: RateScope::Local, requests: 1, window, burst: 1, keys };
    let policy = RulePolicy { rate_limits: vec![Arc::new(limit)], ..RulePolicy::default() };
    let rule = Rule { policy: Arc::new(policy), ..rule("/", "svc") };
    let (rig, _b) = rig(AccessLog::Off, trusting("127.0.0.0"), vec![rule]).await;
    for (from, status) in [("1.1.1.1", 200), ("1.1.1.2", 200), ("6.6.6.6, 1.1.1.1", 429)] {
        assert_eq!(send(&rig, &format!("X-Forwarded-For: {from}\r\n")).await.status, status, "{from}");
    }
}

#[tokio::test]
async fn traces_are_spoken_as_asked() {
    let settings =
        ClientSettings { propagation: vec![Propagation::B3Multi, Propagation::B3], ..ClientSettings::default() };
    let (rig, _b) = rig(AccessLog::Off, settings, vec![rule("/", "svc")]).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let reply =
        send(&rig, &format!("b3: {trace}-b7ad6b7169203331-1\r\ntraceparent: 00-{trace}-b7ad6b7169203331-00\r\n")).await;
    for line in [&format!("\nb3: {trace}-"), &format!("\nx-b3-traceid: {trace}\n"), "\nx-b3-sampled: 1\n"] {
        assert!(reply.body.contains(line), "{line}: {}", reply.body);
    }
    assert!(!reply.body.contains("traceparent"), "{}", reply.body);
}

#[tokio::test]
async fn the_log_is_written_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    let template = "%REQ(:METHOD)% %REQ(:PATH)% %REQ(X-NONE?USER-AGENT)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESP(X-BACKEND)% \
                    %DOWNSTREAM_REMOTE_ADDRESS% %ROUTE_NAME% %UPSTREAM_HOST% %START_TIME(%Y)%";
    let log = Some(Arc::new(AccessLogFormat::Template(template.into())));
    let settings = ClientSettings { access_log: log, slow_request: Some(Duration::ZERO), ..trusting("127.0.0.0") };
    let (rig, backend) = rig(AccessLog::File(file.clone()), settings, vec![rule("/x", "svc")]).await;
    send(&rig, "User-Agent: \"me\"\r\nX-Forwarded-For: 1.1.1.1\r\n").await;
    rig.get("/none").await;
    rig.proxy.drain(PATIENCE).await;
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2, "{text}");
    let (none, found) = (lines[0], lines[1]);
    assert!(none.starts_with("GET /none - 404 NR - 127.0.0.1:"), "{text}");
    let expected = format!("GET /x?y \\x22me\\x22 200 - one 1.1.1.1 default/route/0 {} 20", backend.at);
    assert!(found.starts_with(&expected), "{found} is not {expected}");
}

#[tokio::test]
async fn a_listener_has_limits_of_its_own() {
    let limits = ClientLimits { connections: Some(2), headers: Some(5), ..ClientLimits::default() };
    let (rig, _b) =
        rig(AccessLog::Off, ClientSettings { limits, ..ClientSettings::default() }, vec![rule("/", "svc")]).await;
    assert_eq!(send(&rig, "A: 1\r\nB: 2\r\nC: 3\r\n").await.status, 200);
    assert_eq!(send(&rig, "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n").await.status, 431);
    let open = async || {
        let mut stream = TcpStream::connect(rig.at).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let served = stream.read(&mut [0; 64]).await.is_ok_and(|n| n > 0);
        (stream, served)
    };
    let mut held = Vec::new();
    while held.len() < 2 {
        // The connections before may not be gone yet.
        let (stream, served) = open().await;
        held.extend(served.then_some(stream));
    }
    assert!(!open().await.1, "a third connection is served");
    held.pop();
    let served = async { while !open().await.1 {} };
    tokio::time::timeout(PATIENCE, served).await.expect("the place of a closed connection is not free");
}

#[tokio::test]
async fn settings_that_are_not_understood_fail_closed() {
    let (mut rig, _b) = rig(AccessLog::Off, ClientSettings::default(), vec![rule("/", "svc")]).await;
    let template = |text: &str| Some(Arc::new(AccessLogFormat::Template(text.into())));
    for (settings, named) in [
        (ClientSettings { access_log: template("%NOPE%"), ..ClientSettings::default() }, "%NOPE%"),
        (ClientSettings { access_log: template("%START_TIME(%Q%!)%"), ..ClientSettings::default() }, "%Q"),
        (ClientSettings { proxy_protocol: ProxyProtocol::Required, ..ClientSettings::default() }, "PROXY"),
    ] {
        rig.model.binds.values_mut().for_each(|bind| bind.client = Arc::new(settings.clone()));
        let report = rig.proxy.apply(&rig.model).await;
        let [error] = report.errors.as_slice() else { panic!("{report:?}") };
        assert!(matches!(error.place, Place::Listener { .. }) && error.message.contains(named), "{error}");
        assert_eq!(send(&rig, "").await.status, 404, "{named}");
    }
}
