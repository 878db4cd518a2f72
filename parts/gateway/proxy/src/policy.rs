//! What policies do to the requests of a rule, on their way in and to their answers.
//!
//! ```text
//! preflight? -> (who asks) -> how large -> how often -> failures on purpose -> the rule's action
//! answer     <- CORS headers <- what is left of the limits <- compression
//! ```
//!
//! A rule that no policy holds for has no [`Plan`], and its requests pay for the look at that. Answers that policies give
//! are given the same headers as those of backends, so that a page is let see that it was refused.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use purlin_gateway_policy::{Compression, Cors, Preflight, grpc_to_http, inject};
use purlin_traffic::model::{AbortStatus, Coding, Fault, RequestLimits, RulePolicy};
use tokio::time::sleep;

use crate::answer::{self, Failure, failure};
use crate::body::{Out, Upload};
use crate::coded;
use crate::metrics::PolicyMetrics;
use crate::rates::{Rates, Registry, Told};
use crate::record::Record;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: &[u8] = b"application/grpc";
/// What a header line has besides name and value: a colon, a blank, the line's end.
const HEADER_EXTRA: usize = 4;
const ON_PURPOSE: &str = "a policy of this route fails requests on purpose";

impl Failure {
    /// The client's fault, and the rest of the body is not wanted.
    pub(crate) const BODY_TOO_LARGE: Self = Self {
        close: true,
        ..failure(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is larger than the route allows")
    };
    const HEADERS_TOO_LARGE: Self = failure(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "the headers are larger than the route allows",
    );
    const TARGET_TOO_LONG: Self =
        failure(StatusCode::URI_TOO_LONG, "target_too_long", "the path and query are longer than the route allows");
    const ORIGIN_REFUSED: Self =
        failure(StatusCode::FORBIDDEN, "origin_refused", "the route does not allow requests of this origin");
}

/// What the policies of a rule ask for, ready to use.
#[derive(Debug)]
pub(crate) struct Plan {
    cors: Option<Cors>,
    limits: RequestLimits,
    rates: Option<Rates>,
    fault: Option<Fault>,
    compression: Option<Compression>,
}

impl Plan {
    /// None where nothing is asked for.
    pub(crate) fn compile(policy: &RulePolicy, registry: &mut Registry) -> Result<Option<Box<Self>>, String> {
        if *policy == (RulePolicy { from: policy.from.clone(), ..RulePolicy::default() }) {
            return Ok(None);
        }
        let cors = policy.cors.as_deref().map(Cors::compile).transpose()?;
        if let Some((AbortStatus::Http(status), _)) = policy.fault.and_then(|fault| fault.abort)
            && !(200..=599).contains(&status)
        {
            return Err(format!("an aborted request cannot be answered with {status}: it must be from 200 to 599"));
        }
        let compression = policy.compression.as_deref().map(Compression::compile).transpose()?;
        let rates = Rates::compile(&policy.rate_limits, registry)?;
        Ok(Some(Box::new(Self { cors, limits: policy.limits, rates, fault: policy.fault, compression })))
    }

    /// What the answer to a request will be given.
    pub(crate) fn after<'a>(&'a self, head: &Parts) -> After<'a> {
        let cors = self.cors.as_ref().map(|cors| {
            let preflight = cors.preflight(&head.method, &head.headers);
            (cors, preflight.is_none(), head.headers.get(ORIGIN).and_then(|origin| cors.allowed(origin)))
        });
        let compression = self.compression.as_ref().map(|c| (c, c.wanted(&head.method, &head.headers)));
        After {
            rates: None,
            compression,
            cors: cors.and_then(|(cors, actual, allowed)| actual.then_some((cors, allowed))),
        }
    }

    /// Lets a request on, or says how it is answered.
    pub(crate) async fn admit<'a>(
        &'a self,
        head: &Parts,
        upload: &mut Upload,
        record: &mut Record,
        after: &mut After<'a>,
    ) -> Result<(), Refusal> {
        let worker = Rc::clone(&record.downstream.worker);
        let metrics = &worker.shared.metrics.policies;
        self.preflight(head, metrics)?;
        self.measure(head, upload, record).inspect_err(|_| metrics.too_large.inc())?;
        if let Some(rates) = &self.rates {
            let (admitted, told) = rates.admit(head, record.origin.client);
            after.rates = Some(told);
            if !admitted {
                return Err(Failure::RATE_LIMITED.into());
            }
        }
        match &self.fault {
            Some(fault) => fail_on_purpose(fault, head, record, metrics).await,
            None => Ok(()),
        }
    }

    fn preflight(&self, head: &Parts, metrics: &PolicyMetrics) -> Result<(), Refusal> {
        match self.cors.as_ref().and_then(|cors| cors.preflight(&head.method, &head.headers)) {
            None => Ok(()),
            Some(Preflight::Allowed(headers)) => {
                metrics.preflights.inc();
                Err(Refusal::Bare(StatusCode::NO_CONTENT, Box::new(headers)))
            }
            Some(Preflight::Refused) => {
                metrics.preflights_refused.inc();
                Err(Failure::ORIGIN_REFUSED.into())
            }
        }
    }

    fn measure(&self, head: &Parts, upload: &mut Upload, record: &Record) -> Result<(), Refusal> {
        let RequestLimits { body_bytes, header_bytes, target_bytes } = self.limits;
        let over = |limit: Option<u32>, size: usize| limit.is_some_and(|limit| size > limit as usize);
        let target = record.path.path_and_query().map_or(0, |target| target.as_str().len());
        if over(target_bytes, target) {
            return Err(Failure::TARGET_TOO_LONG.into());
        }
        if header_bytes.is_some() && over(header_bytes, size_of(&head.headers)) {
            return Err(Failure::HEADERS_TOO_LARGE.into());
        }
        let Some(limit) = body_bytes else { return Ok(()) };
        if length(&head.headers) > limit {
            return Err(Failure::BODY_TOO_LARGE.into());
        }
        upload.limit(limit);
        Ok(())
    }
}

/// How a request is answered that is not let on.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// In words.
    Failed(Failure),
    /// By its head alone.
    Bare(StatusCode, Box<HeaderMap>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Refusal {
    pub(crate) fn answer(self, record: Box<Record>) -> Response<Out> {
        match self {
            Self::Failed(failure) => answer::fail(failure, record),
            Self::Bare(status, headers) => answer::bare(status, *headers, record),
        }
    }
}

/// What the body will be long, as far as the head says.
fn length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // Digits only, as they were judged: what does not fit is too much.
    length.map_or(0, |digits| digits.parse().unwrap_or(u64::MAX))
}

/// Headers as they stand in a message of HTTP/1.1.
fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_EXTRA).sum()
}

async fn fail_on_purpose(
    fault: &Fault,
    head: &Parts,
    record: &mut Record,
    metrics: &PolicyMetrics,
) -> Result<(), Refusal> {
    let injected = inject(fault, &mut rand::rng());
    if let Some(delay) = injected.delay {
        metrics.faults_delayed.inc();
        sleep(delay).await;
    }
    let Some(abort) = injected.abort else { return Ok(()) };
    metrics.faults_aborted.inc();
    let status = match abort {
        AbortStatus::Http(status) => status,
        AbortStatus::Grpc(status) if is_grpc(&head.headers) => {
            record.flag = "fault_abort";
            let headers = HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
                (GRPC_STATUS, HeaderValue::from(status)),
                (GRPC_MESSAGE, HeaderValue::from_static(ON_PURPOSE)),
            ]);
            return Err(Refusal::Bare(StatusCode::OK, Box::new(headers)));
        }
        AbortStatus::Grpc(status) => grpc_to_http(status),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Err(failure(status, "fault_abort", ON_PURPOSE).into())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(GRPC))
}

/// What the answer to a request is given.
#[derive(Debug)]
pub(crate) struct After<'a> {
    /// And what its origin is allowed.
    cors: Option<(&'a Cors, Option<HeaderValue>)>,
    rates: Option<Told<'a>>,
    /// And the coding that its client wants.
    compression: Option<(&'a Compression, Option<Coding>)>,
}

impl After<'_> {
    pub(crate) fn finish(self, mut answer: Response<Out>) -> Response<Out> {
        if let Some((compression, wanted)) = self.compression
            && matches!(answer.body(), Out::Stream(_))
            && compression.suits(answer.status(), answer.headers())
        {
            answer.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
            if let Some(coding) = wanted {
                answer = coded::code(answer, coding);
            }
        }
        if let Some(told) = self.rates {
            told.put(answer.headers_mut());
        }
        if let Some((cors, allowed)) = self.cors {
            cors.respond(allowed, answer.headers_mut());
        }
        answer
    }
}
