//! How the clients of a bind are dealt with (ClientPolicy): whom they are believed to speak for, which trace headers are
//! spoken, what is written of their requests.
//!
//! A bind without such settings has no [`Client`]. There, as with an empty list of trusted proxies, what clients say of
//! where they come from is passed on, with their own address appended, and a request id of theirs is kept. With a list,
//! what a trusted proxy says is believed: the client's address, `X-Forwarded-Proto`, `-Host` and `-Port`, the request id.
//! What anybody else says of it is dropped, and the request id replaced.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use purlin_gateway_policy::{self as policy, CidrSet, Decision, Field, LogFormat, Quota, Value, ticks};
use purlin_telemetry::trace::Format;
use purlin_traffic::model::{ClientLimits, ClientSettings, Propagation};
use tokio::time::Instant;

use crate::config::Limits;
use crate::connection::Downstream;
use crate::headers::FORWARDED_PROTO;
use crate::record::Record;

/// Slow requests that are told of in a second.
const SLOW_TOLD: u32 = 10;

/// The settings of a bind, ready to use.
#[derive(Debug)]
pub(crate) struct Client {
    trusted: CidrSet,
    /// In order; none for W3C.
    propagation: [Option<Format>; 3],
    pub(crate) log: Option<LogFormat>,
    slow: Option<Slow>,
    limits: ClientLimits,
}

#[derive(Debug)]
struct Slow {
    limit: Duration,
    started: Instant,
    told: AtomicU64,
}

/// Whether what a peer says of where a request comes from is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It was not said who is: as it comes, and nothing is made of it.
    Unsaid,
    Believed,
    Stranger,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Who asks.
    pub(crate) client: IpAddr,
    /// Whether by https, as the client sees it.
    pub(crate) https: bool,
    pub(crate) trust: Trust,
    /// The trace headers that are spoken; none for W3C.
    pub(crate) propagation: [Option<Format>; 3],
}

impl Client {
    /// None where nothing is asked for.
    pub(crate) fn compile(settings: &ClientSettings) -> Result<Option<Self>, String> {
        if *settings == (ClientSettings { from: settings.from.clone(), ..ClientSettings::default() }) {
            return Ok(None);
        }
        let ClientSettings { access_log, slow_request, propagation: spoken, trusted_proxies, .. } = settings;
        let log = access_log.as_deref().map(LogFormat::compile).transpose()?;
        for format in log.iter().flat_map(LogFormat::time_formats) {
            time(Some(format)).map_err(|why| format!("access log: the time format {format:?}: {why}"))?;
        }
        let mut propagation = [None; 3];
        for (slot, family) in propagation.iter_mut().zip(spoken) {
            *slot = Some(match family {
                Propagation::W3c => Format::W3c,
                Propagation::B3 => Format::B3,
                Propagation::B3Multi => Format::B3Multi,
            });
        }
        let slow = slow_request.map(|limit| Slow { limit, started: Instant::now(), told: AtomicU64::new(0) });
        let (trusted, limits) = (CidrSet::new(trusted_proxies), settings.limits.clone());
        Ok(Some(Self { trusted, propagation, log, slow, limits }))
    }

    /// Connections that the bind may have, over all workers.
    pub(crate) fn connections(&self) -> Option<usize> {
        self.limits.connections.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// The limits of a connection: what is not said is as the proxy has it.
    pub(crate) fn limits(&self, own: &Limits) -> Limits {
        let ClientLimits { connections: _, streams, head_bytes, headers, handshake, head, idle, body_idle } =
            self.limits;
        let size = |theirs: Option<u32>, own: usize| theirs.map_or(own, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Limits {
            streams: streams.unwrap_or(own.streams),
            head_bytes: size(head_bytes, own.head_bytes),
            headers: size(headers, own.headers),
            handshake: handshake.unwrap_or(own.handshake),
            head: head.unwrap_or(own.head),
            idle: idle.unwrap_or(own.idle),
            body_idle: body_idle.unwrap_or(own.body_idle),
            ..own.clone()
        }
    }

    /// The headers of a request that its log line shows.
    pub(crate) fn note(&self, headers: &HeaderMap) -> Option<Box<Noted>> {
        let log = self.log.as_ref()?;
        Some(Box::new(Noted { request: pick(&log.request_headers, headers), response: Vec::new() }))
    }

    /// Tells of a request that took too long.
    pub(crate) fn judge_slowness(&self, record: &Record, status: u16, took: Duration) {
        let Some(slow) = self.slow.as_ref().filter(|slow| took > slow.limit && status != 101) else { return };
        record.downstream.worker.shared.metrics.policies.slow.inc();
        let now = ticks(slow.started.elapsed());
        let quota = Quota::new(SLOW_TOLD, Duration::from_secs(1), SLOW_TOLD);
        if quota.is_some_and(|quota| matches!(quota.admit(&slow.told, now), Decision::Admitted { .. })) {
            let rule = record.rule.and_then(|id| record.snapshot.rule(id));
            tracing::warn!(
                method = %record.method,
                path = record.path.path(),
                status,
                duration_ms = took.as_secs_f64() * 1e3,
                route = rule.map(|rule| &*rule.label),
                upstream = record.upstream.map(tracing::field::display),
                request_id = ?record.ids.request,
                client = %record.origin.client,
                "a request was slow"
            );
        }
    }
}

impl Origin {
    pub(crate) fn of(client: Option<&Client>, headers: &HeaderMap, downstream: &Downstream) -> Self {
        let (peer, https) = (downstream.client.ip(), downstream.tls.is_some());
        let Some(settings) = client else {
            return Self { client: peer.to_canonical(), https, trust: Trust::Unsaid, propagation: [None; 3] };
        };
        let trust = match () {
            () if settings.trusted.is_empty() => Trust::Unsaid,
            () if settings.trusted.contains(peer) => Trust::Believed,
            () => Trust::Stranger,
        };
        let https = match headers.get(FORWARDED_PROTO).filter(|_| trust == Trust::Believed).map(HeaderValue::as_bytes) {
            Some(b"https") => true,
            Some(b"http") => false,
            _ => https,
        };
        let client = policy::client(headers, peer, &settings.trusted);
        Self { client, https, trust, propagation: settings.propagation }
    }
}

/// Headers for the log, in the order of the format's lists.
#[derive(Debug)]
pub(crate) struct Noted {
    request: Vec<Option<HeaderValue>>,
    pub(crate) response: Vec<Option<HeaderValue>>,
}

pub(crate) fn pick(names: &[HeaderName], headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    names.iter().map(|name| headers.get(name).cloned()).collect()
}

/// Now, in a format of strftime or RFC 3339.
fn time(format: Option<&str>) -> Result<String, jiff::Error> {
    let now = jiff::Timestamp::now();
    match format {
        None => Ok(format!("{now:.3}")),
        Some(format) => jiff::fmt::strtime::format(format, &now.to_zoned(jiff::tz::TimeZone::UTC)),
    }
}

/// What a request's log line says in a field.
pub(crate) fn value<'a>(record: &'a Record, ended: Ended<'a>, field: &Field) -> Option<Value<'a>> {
    let text = |text: String| Value::Text(text.into());
    let lossy = |value: &'a HeaderValue| Value::Text(String::from_utf8_lossy(value.as_bytes()));
    let noted = |list: fn(&Noted) -> &Vec<Option<HeaderValue>>, at: usize| {
        list(record.noted.as_deref()?).get(at)?.as_ref().map(lossy)
    };
    let (peer, bind) = (record.downstream.client, record.downstream.bind);
    let client = record.origin.client;
    Some(match field {
        Field::StartTime(format) => text(time(format.as_deref()).ok()?),
        Field::Duration => Value::Number(u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX)),
        Field::BytesSent => Value::Number(record.bytes_out),
        Field::BytesReceived => Value::Number(record.upload.bytes.get()),
        Field::Protocol => Value::Text(record.protocol().into()),
        Field::ResponseCode => Value::Number(ended.status.into()),
        Field::ResponseCodeDetails if ended.flag.is_empty() => Value::Text("via_upstream".into()),
        Field::ResponseCodeDetails => Value::Text(ended.flag.into()),
        Field::ResponseFlags => Value::Text(letters(ended.flag)?.into()),
        Field::RouteName => Value::Text((&*record.snapshot.rule(record.rule?)?.label).into()),
        Field::UpstreamHost => text(record.upstream?.to_string()),
        // Behind a trusted proxy nobody knows the client's port.
        Field::RemoteAddress if client == peer.ip().to_canonical() => text(peer.to_string()),
        Field::RemoteAddress | Field::RemoteAddressWithoutPort => text(client.to_string()),
        Field::DirectRemoteAddress => text(peer.to_string()),
        Field::DirectRemoteAddressWithoutPort => text(peer.ip().to_string()),
        Field::LocalAddress => text(bind.to_string()),
        Field::LocalAddressWithoutPort => text(bind.ip().to_string()),
        Field::LocalPort => Value::Number(bind.port().into()),
        Field::RequestedServerName => Value::Text(record.downstream.tls.as_ref()?.as_deref()?.into()),
        Field::TraceId => text(record.ids.trace.trace.to_string()),
        Field::Method => Value::Text(record.method.as_str().into()),
        Field::Path => Value::Text(record.path.path_and_query()?.as_str().into()),
        Field::Authority => lossy(record.authority.as_ref()?),
        Field::Scheme => Value::Text(if record.origin.https { "https" } else { "http" }.into()),
        Field::RequestHeader(at) => noted(|noted| &noted.request, *at)?,
        Field::ResponseHeader(at) => noted(|noted| &noted.response, *at)?,
    })
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) status: u16,
    pub(crate) flag: &'a str,
    pub(crate) took: Duration,
}

/// Envoy's letters for a flag of ours, where it has any.
fn letters(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "no_listener" | "no_route" => "NR",
        "no_backend" => "NC",
        "no_endpoint" => "UH",
        "connect_failed" => "UF",
        "upstream_broke_off" => "UC",
        "bad_response" => "UPE",
        "response_timeout" => "UT",
        "client_left" | "upload_broke_off" => "DC",
        "refused" => "DPE",
        "rate_limited" => "RL",
        "fault_abort" => "FI",
        _ => return None,
    })
}
