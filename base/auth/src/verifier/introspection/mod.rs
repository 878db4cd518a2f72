//! Opaque tokens: their issuer is asked whether they are active (RFC 7662).
//!
//! A token -> its hash -> what is known of it, or a question in flight that others join, or a new question where
//! [`lanes`] allows one. An answer is believed for a minute at most, and not beyond the token's `exp`; when the issuer
//! cannot be asked after that, the token is refused: nobody could say whether it was withdrawn. The question itself is
//! sent by a closure of the caller's, in a task, so that it outlives the request that has caused it.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Reject;
use super::cache::{TokenHash, Valid, token_hash};
use super::claims::Claims;
use super::client::Client;
use super::json::Json;
use super::jws::{JwsError, MAX_TOKEN_BYTES, Typ};
use super::secret::Secret;
use super::{Verified, check_times};

mod lanes;
#[cfg(test)]
mod tests;

use lanes::{Begin, End, Lanes};

/// An answer may have this many bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// An answer is believed this long at most.
pub const MAX_LIFE: Duration = Duration::from_secs(60);
/// A question may take this long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub struct IntrospectionConfig {
    /// The issuer's name: that of its tokens, and what `iss` has to be where an answer has it.
    pub issuer: Arc<str>,
    /// How the issuer knows who asks.
    pub auth: ClientAuth,
    /// How long an answer is believed, [`MAX_LIFE`] at most.
    pub life: Duration,
    /// By how much its clock and ours may differ.
    pub leeway: Duration,
    /// Questions at once for clients that have brought an active token before; strangers have half of it, and tokens that
    /// were active before eight times as many.
    pub concurrency: usize,
    /// Bytes of answers that are remembered.
    pub cache_bytes: usize,
}

impl IntrospectionConfig {
    /// What fits to most issuers.
    pub fn new(issuer: &str, auth: ClientAuth) -> Self {
        let leeway = Duration::from_secs(60);
        IntrospectionConfig {
            issuer: issuer.into(),
            auth,
            life: MAX_LIFE,
            leeway,
            concurrency: 64,
            cache_bytes: 16 << 20,
        }
    }
}

/// How who asks proves who it is.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// By the connection, or not at all.
    Connection,
    /// By `Authorization: Basic` (RFC 6749 section 2.3.1).
    Basic {
        /// The client's name.
        id: Box<str>,
        /// Its secret.
        secret: Secret,
    },
    /// In the body.
    Post {
        /// The client's name.
        id: Box<str>,
        /// Its secret.
        secret: Secret,
    },
    /// By a token of its own.
    Bearer(Secret),
}

/// A question, to be sent by POST as `application/x-www-form-urlencoded`, with `Accept: application/json`.
#[derive(Clone, Debug)]
pub struct Question {
    /// The body.
    pub body: Secret,
    /// `Authorization`; it is marked as sensitive.
    pub authorization: Option<HeaderValue>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The body; more than [`MAX_ANSWER_BYTES`] need not be read.
    pub body: Bytes,
}

/// Sends a question. How long it takes is limited by who calls it.
pub type SendQuestion =
    Box<dyn Fn(Question) -> Pin<Box<dyn Future<Output = Result<Response, String>> + Send>> + Send + Sync>;

/// Asks an issuer about its tokens.
pub struct Introspector {
    config: IntrospectionConfig,
    send: SendQuestion,
    state: Mutex<State>,
    /// The point that the times of `state` count from.
    since: Instant,
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Outcome = Option<Result<Arc<Valid>, Reject>>;

struct State {
    lanes: Lanes,
    flights: HashMap<TokenHash, watch::Receiver<Outcome>>,
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspector").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Introspector {
    /// Asks by `send`.
    pub fn new(config: IntrospectionConfig, send: SendQuestion) -> Arc<Self> {
        let lanes = Lanes::new(config.concurrency, config.cache_bytes);
        Arc::new(Introspector {
            config,
            send,
            state: Mutex::new(State { lanes, flights: HashMap::new() }),
            since: Instant::now(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Whose token this is, which `client` has brought.
    pub async fn authenticate(
        self: &Arc<Self>,
        token: &str,
        client: IpAddr,
        now: Timestamp,
    ) -> Result<Verified, Reject> {
        check_form(token)?;
        let hash = token_hash(token.as_bytes());
        let mut flight = match self.begin(token, hash, Client::new(client), now) {
            Ok(flight) => flight,
            Err(known) => return checked(known?, now),
        };
        // The task has ended without a word: it was stopped.
        let outcome = flight.wait_for(Option::is_some).await.map_err(|_| Reject::Unavailable)?.clone();
        checked(outcome.unwrap_or(Err(Reject::Unavailable))?, now)
    }

    /// Stops asking, and waits until no question is in flight. Whoever waits for an answer is refused.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The question about the token that is in flight, or what is known without one.
    fn begin(
        self: &Arc<Self>,
        token: &str,
        hash: TokenHash,
        client: Client,
        now: Timestamp,
    ) -> Result<watch::Receiver<Outcome>, Result<Arc<Valid>, Reject>> {
        let mut state = self.state.lock();
        match state.lanes.begin(&hash, client, self.since.elapsed()) {
            Begin::Active(valid) => return Err(Ok(valid)),
            Begin::Inactive => return Err(Err(Reject::Inactive)),
            Begin::Busy => return Err(Err(Reject::Busy)),
            Begin::Join => return state.flights.get(&hash).cloned().ok_or(Err(Reject::Unavailable)),
            Begin::Ask => {}
        }
        let (sender, receiver) = watch::channel(None);
        state.flights.insert(hash, receiver.clone());
        drop(state);
        let flight = Flight { asker: Arc::clone(self), hash, sender, end: End::Failed };
        self.tasks.spawn(flight.run(question(token, &self.config.auth), now));
        Ok(receiver)
    }

    /// What the issuer's answer means.
    fn read(&self, response: &Response, now: Timestamp) -> Result<End, &'static str> {
        if response.status != StatusCode::OK {
            return Err("the status is not 200");
        }
        if response.body.len() > MAX_ANSWER_BYTES {
            return Err("the answer is too long");
        }
        let claims = Claims::parse(&response.body).map_err(|_| "the answer cannot be read")?;
        match claims.at(&["active"]) {
            Some(Json::Bool(true)) => {}
            Some(Json::Bool(false)) => return Ok(End::Inactive),
            _ => return Err("the answer does not say whether the token is active"),
        }
        if claims.issuer().is_some_and(|issuer| *issuer != *self.config.issuer) {
            return Err("the answer is about a token of another issuer");
        }
        let leeway = self.config.leeway.as_secs().min(600).cast_signed();
        let left = claims.expires().map(|expires| expires.saturating_add(leeway).saturating_sub(now.as_second()));
        let left = left.map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or(0)));
        let life = self.config.life.min(MAX_LIFE).min(left.unwrap_or(MAX_LIFE));
        let issuer = Arc::clone(&self.config.issuer);
        let valid = Valid { claims, typ: Typ::AccessToken, issuer, leeway };
        Ok(if life.is_zero() { End::Inactive } else { End::Active(Arc::new(valid), life) })
    }
}

/// A question in flight. It has ended when this is dropped, be it by a panic or because all is stopped.
struct Flight {
    asker: Arc<Introspector>,
    hash: TokenHash,
    sender: watch::Sender<Outcome>,
    end: End,
}

impl Flight {
    async fn run(mut self, question: Question, now: Timestamp) {
        let asker = Arc::clone(&self.asker);
        let answer = tokio::select! {
            () = asker.stop.cancelled() => return,
            answer = timeout(TIMEOUT, (asker.send)(question)) => answer,
        };
        let response = answer.unwrap_or_else(|_| Err("it took too long".to_owned()));
        let end = response.and_then(|response| asker.read(&response, now).map_err(str::to_owned));
        match end {
            Ok(end) => self.end = end,
            Err(error) => tracing::warn!(issuer = &*asker.config.issuer, error, "a token could not be introspected"),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let end = std::mem::replace(&mut self.end, End::Failed);
        let outcome = match &end {
            End::Active(valid, _) => Ok(Arc::clone(valid)),
            End::Inactive => Err(Reject::Inactive),
            End::Failed => Err(Reject::Unavailable),
        };
        let mut state = self.asker.state.lock();
        state.lanes.finish(&self.hash, end, self.asker.since.elapsed());
        state.flights.remove(&self.hash);
        drop(state);
        self.sender.send_replace(Some(outcome));
    }
}

fn checked(valid: Arc<Valid>, now: Timestamp) -> Result<Verified, Reject> {
    check_times(&valid.claims, valid.leeway, now)?;
    Ok(Verified(valid))
}

/// Whether it can be a token at all: `b64token` of RFC 6750.
fn check_form(token: &str) -> Result<(), Reject> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(JwsError::TooLong.into());
    }
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(allowed) { Err(JwsError::Form.into()) } else { Ok(()) }
}

/// What `application/x-www-form-urlencoded` leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

fn question(token: &str, auth: &ClientAuth) -> Question {
    let encode = |text: &str| utf8_percent_encode(text, FORM).to_string();
    let mut body = format!("token={}&token_type_hint=access_token", encode(token));
    let authorization = match auth {
        ClientAuth::Connection => None,
        ClientAuth::Basic { id, secret } => {
            Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret.expose())))))
        }
        ClientAuth::Post { id, secret } => {
            body.push_str(&format!("&client_id={}&client_secret={}", encode(id), encode(secret.expose())));
            None
        }
        ClientAuth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
    };
    let authorization = authorization.and_then(|text| HeaderValue::try_from(text).ok()).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    Question { body: Secret::new(body), authorization }
}
