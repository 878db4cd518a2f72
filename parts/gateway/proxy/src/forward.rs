//! Sending a request to an endpoint and its response back.
//!
//! An endpoint is chosen by the lesser load of two random ones. Where it cannot be connected to, another one is tried,
//! once. A request that was written is never sent again.

use std::cmp::Ordering;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use rand::RngExt;
use tokio::time::{Instant, sleep_until};

use crate::answer::{self, Failure};
use crate::body::{Download, Out, Silence, Upload, UploadState};
use crate::head::{framing, padding};
use crate::headers;
use crate::pool::{Lease, NotSent, Upstream};
use crate::record::Record;
use crate::snapshot::{Cluster, Rule, Share, Wire};
use crate::worker::Worker;
use crate::{tunnel, websocket};

/// A request as it is sent on, but for what depends on the endpoint's protocol.
pub(crate) struct Onward {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) authority: HeaderValue,
    pub(crate) path: PathAndQuery,
    pub(crate) upload: Upload,
    pub(crate) upgrade: Option<(HeaderValue, OnUpgrade)>,
}

/// Sends it, and makes the client's answer of what comes back.
pub(crate) async fn forward(rule: &Rule, share: &Share, mut onward: Onward, mut record: Box<Record>) -> Response<Out> {
    let Some(cluster) = &share.cluster else { return answer::fail(Failure::NO_BACKEND, record) };
    let asked = match cluster.protocol {
        Wire::Http1 => onward.upgrade.take(),
        // An extended CONNECT has no meaning without its tunnel; an Upgrade may be ignored.
        Wire::Http2 if onward.upgrade.is_some() && record.version == Version::HTTP_2 => {
            return answer::fail(Failure::NO_TUNNEL, record);
        }
        Wire::Http2 => None,
    };
    let (protocol, on_client) = asked.unzip();
    let request = match request(onward, record.version, cluster.protocol, protocol) {
        Some(request) => request,
        None => return answer::fail(Failure::BROKEN, record),
    };
    let limits = Timing::of(rule, &record);
    let worker = Rc::clone(&record.downstream.worker);
    let upload = Rc::clone(&record.upload);
    let sent = in_time(send(&worker, cluster, request, &mut record), &limits, &upload).await;
    let (mut response, lease) = match sent.unwrap_or(Err(Failure::TIMEOUT)) {
        Ok(sent) => sent,
        Err(failure) => return answer::fail(failure, record),
    };
    if let Err(failure) = judge(&response, on_client.is_some()) {
        return answer::fail(failure, record);
    }
    if on_client.is_some() && record.version == Version::HTTP_2 && response.status().is_success() {
        return answer::fail(Failure::NO_TUNNEL, record);
    }
    record.status = response.status().as_u16();
    let switched =
        headers::upgrade(response.headers()).filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
    let on_upstream = switched.is_some().then(|| hyper::upgrade::on(&mut response));
    let (mut head, body) = response.into_parts();
    let h2 = head.version == Version::HTTP_2;
    head.version = Version::HTTP_11;
    head.extensions.clear();
    headers::strip_response(&mut head.headers);
    headers::canonical_length(&mut head.headers);
    for change in share.response_filters.iter().chain(&rule.response_filters) {
        change.apply(&mut head.headers);
    }
    if let (Some(client), Some(upstream), Some(protocol)) = (on_client, on_upstream, switched) {
        match record.version {
            Version::HTTP_2 => head.status = websocket::accepted(&mut head.headers),
            _ => headers::set_upgrade(&mut head.headers, protocol),
        }
        tunnel::start(client, upstream, lease, record);
        return Response::from_parts(head, Out::Local { data: None, record: None });
    }
    let silence = Silence::new(worker.shared.limits.body_idle);
    let deadline = limits.deadline.map(|at| Box::pin(sleep_until(at)));
    let download = Download { inner: body, h2, lease: Some(lease), record, silence, deadline };
    Response::from_parts(head, Out::Stream(Box::new(download)))
}

/// The request in the endpoint's protocol; None where filters have left no valid one.
pub(crate) fn request(
    onward: Onward,
    from: Version,
    protocol: Wire,
    upgrade: Option<HeaderValue>,
) -> Option<Request<Upload>> {
    let Onward { method, mut headers, authority, path, upload, .. } = onward;
    let chunked = !upload.is_end_stream() && !headers.contains_key(CONTENT_LENGTH);
    if !carries_trailers(&upload, chunked, from, protocol) {
        headers.remove(TRAILER);
    }
    let mut request = Request::new(upload);
    match protocol {
        Wire::Http1 => {
            headers.insert(HOST, authority);
            if chunked {
                // Said here, as hyper would send a GET without its body.
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            if let Some(protocol) = upgrade {
                headers::set_upgrade(&mut headers, protocol);
            }
            *request.uri_mut() = Uri::from(path);
        }
        Wire::Http2 => {
            headers.remove(HOST);
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(Authority::try_from(authority.as_bytes()).ok()?);
            parts.path_and_query = Some(path);
            *request.uri_mut() = Uri::from_parts(parts).ok()?;
            *request.version_mut() = Version::HTTP_2;
        }
    }
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    Some(request)
}

/// Whether trailers can reach the endpoint: HTTP/1.1 has them behind chunks only, on either side.
fn carries_trailers(upload: &Upload, chunked: bool, from: Version, to: Wire) -> bool {
    chunked || (!upload.is_end_stream() && from == Version::HTTP_2 && to == Wire::Http2)
}

async fn send(
    worker: &Worker,
    cluster: &Cluster,
    request: Request<Upload>,
    record: &mut Record,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let mut lease = connect(worker, cluster, record).await?;
    let mut request = request;
    loop {
        match lease.send(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(NotSent::Unwritten(unwritten)) if lease.reused => {
                // The endpoint closed the pooled connection meanwhile: nothing of the request was written.
                request = *unwritten;
                let (limits, metrics) = (&worker.shared.limits, &worker.shared.metrics);
                let upstream = Rc::clone(&lease.upstream);
                lease = upstream.lease(limits, metrics, true).await.map_err(|_| Failure::CONNECT)?;
            }
            Err(_) if let Some(failure) = record.upload.failed.get() => return Err(failure),
            Err(NotSent::Failed(error)) if error.is_parse() => return Err(Failure::BAD_RESPONSE),
            Err(_) => return Err(Failure::UPSTREAM),
        }
    }
}

async fn connect(worker: &Worker, cluster: &Cluster, record: &mut Record) -> Result<Lease, Failure> {
    let (limits, metrics) = (&worker.shared.limits, &worker.shared.metrics);
    let mut failed = None;
    while let Some(upstream) = choose(worker, cluster, failed.as_deref()) {
        record.upstream = Some(upstream.at);
        match Rc::clone(&upstream).lease(limits, metrics, false).await {
            Ok(lease) => return Ok(lease),
            Err(error) => {
                metrics.connect_errors.inc();
                tracing::debug!(endpoint = %upstream.at, %error, "an endpoint cannot be connected to");
                if failed.replace(upstream).is_some() {
                    return Err(Failure::CONNECT);
                }
            }
        }
    }
    Err(if failed.is_some() { Failure::CONNECT } else { Failure::NO_ENDPOINT })
}

/// The endpoint with fewer requests of two random ones, other than the one that failed.
pub(crate) fn choose(worker: &Worker, cluster: &Cluster, failed: Option<&Upstream>) -> Option<Rc<Upstream>> {
    let state = |at: &SocketAddr| worker.pool.upstream(*at, cluster.protocol);
    let mut random = rand::rng();
    let (first, second) = match (cluster.endpoints.as_slice(), failed) {
        ([], _) => return None,
        ([only], None) => return Some(state(only)),
        (all, None) => two_of(all, &mut random),
        (all, Some(failed)) => {
            let mut others = all.iter().filter(|at| **at != failed.at);
            let first = others.next()?;
            (Some(first), others.next())
        }
    };
    let (first, second) = (state(first?), second.map(state));
    let Some(second) = second else { return Some(first) };
    let swap = match first.load().cmp(&second.load()) {
        Ordering::Less => false,
        Ordering::Equal => random.random(),
        Ordering::Greater => true,
    };
    Some(if swap { second } else { first })
}

/// Two different elements of two or more.
fn two_of<'a, T>(all: &'a [T], random: &mut impl RngExt) -> (Option<&'a T>, Option<&'a T>) {
    let first = random.random_range(0..all.len());
    let second = (first + random.random_range(1..all.len())) % all.len();
    (all.get(first), all.get(second))
}

/// Judges a response's head as strictly as a request's.
fn judge(response: &Response<Incoming>, upgrade_asked: bool) -> Result<(), Failure> {
    let version = response.version();
    framing(response.headers(), version).map_err(|_| Failure::BAD_RESPONSE)?;
    padding(response.headers(), version).map_err(|_| Failure::BAD_RESPONSE)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let named = headers::upgrade(response.headers()).is_some();
        return if upgrade_asked && named { Ok(()) } else { Err(Failure::BAD_RESPONSE) };
    }
    if response.status().is_informational() || response.status().as_u16() > 599 {
        return Err(Failure::BAD_RESPONSE);
    }
    Ok(())
}

/// How long an exchange may take.
struct Timing {
    /// The end of the whole response.
    deadline: Option<Instant>,
    /// Without it: from the last byte of the request to the head of the response.
    head: Option<Duration>,
}

impl Timing {
    fn of(rule: &Rule, record: &Record) -> Self {
        let whole = rule.request_timeout.map(|limit| record.started + limit);
        let attempt = rule.backend_timeout.flatten().map(|limit| Instant::now() + limit);
        let deadline = whole.into_iter().chain(attempt).min();
        let default = rule.backend_timeout.is_none() && rule.request_timeout.is_none();
        let head = default.then(|| record.downstream.worker.shared.limits.response);
        Self { deadline, head }
    }
}

/// None when time is up.
async fn in_time<T>(work: impl Future<Output = T>, limits: &Timing, upload: &UploadState) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let head = limits.head.map(|head| upload.moved.get() + head);
        let Some(until) = limits.deadline.into_iter().chain(head).min() else { return Some(work.await) };
        tokio::select! {
            done = work.as_mut() => return Some(done),
            () = sleep_until(until) => {
                // The upload may have gone on meanwhile.
                let now = Instant::now();
                let late = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                if late(limits.deadline) || late(limits.head.map(|head| upload.moved.get() + head)) {
                    return None;
                }
            }
        }
    }
}
