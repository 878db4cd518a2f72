//! The API itself: what all requests share, and each request's way through it.
//!
//! request -> who asks (certificate, token, impersonation) -> what is asked ([`crate::request`]) -> RBAC -> the verb
//! ([`crate::read`], [`crate::watch`], [`crate::write`]) or a document ([`crate::paths`]) -> response.
//! In process and over TLS it is the same way; only the first step differs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use parking_lot::RwLock;
use purlin_apiserver_schema::{FieldSelector, path_segment};
use purlin_auth::Caller;
use purlin_auth::rbac::{Attributes, Decision, Rules, Target};
use purlin_auth::token::TokenSigner;
use purlin_resource::{ApiBody, InProcessApi};
use purlin_role::Clock;
use purlin_telemetry::metrics::{Counter, Histogram, counter, histogram};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::content::{self, Form};
use crate::error::{ApiError, ApiResult};
use crate::options::Options;
use crate::request::{self, RequestInfo, ResourceRequest, Verb};
use crate::special::crd::PendingNames;
use crate::special::service::Addresses;
use crate::storage::Storage;
use crate::{authenticate, paths, verbs};

/// How long a request that is no watch may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Reads and writes that are in flight at most.
pub(crate) const ROOM: [usize; 2] = [400, 200];

/// What all requests share.
pub(crate) struct Api {
    pub(crate) storage: Storage,
    pub(crate) catalog: ArcSwap<Catalog>,
    /// Counts catalogs: watches of custom resources end when theirs is gone.
    pub(crate) catalog_changed: tokio::sync::watch::Sender<u64>,
    pub(crate) rbac: RwLock<Rules>,
    /// Cluster IPs that are taken.
    pub(crate) addresses: Arc<Addresses>,
    /// Names of definitions that are being written.
    pub(crate) pending_names: Arc<PendingNames>,
    /// Namespaces that are being deleted: nothing new comes into them.
    pub(crate) terminating: RwLock<HashSet<Arc<str>>>,
    pub(crate) tokens: TokenSigner,
    pub(crate) clock: Clock,
    /// Where the API listens.
    pub(crate) listen: SocketAddr,
    /// PEM of the platform root, as `kube-root-ca.crt` has it.
    pub(crate) root_pem: String,
    /// Ends watches.
    pub(crate) shutdown: CancellationToken,
    pub(crate) metrics: Metrics,
    /// Room for requests in flight: reads, and writes. Watches need none.
    pub(crate) room: [Semaphore; 2],
    /// The role has ended: its hub tells nobody any more, so nothing may be written through it.
    pub(crate) retired: AtomicBool,
}

/// Handles that requests touch.
pub(crate) struct Metrics {
    requests: [(Verb, Histogram); 8],
    refused: Counter,
    denied: Counter,
    panics: Counter,
    shed: Counter,
}

impl Metrics {
    pub(crate) fn register() -> Metrics {
        let verbs = [
            Verb::Get,
            Verb::List,
            Verb::Watch,
            Verb::Create,
            Verb::Update,
            Verb::Patch,
            Verb::Delete,
            Verb::DeleteCollection,
        ];
        let took = |verb: Verb| {
            let help = "Time until a request's response began.";
            (verb, histogram("purlin_apiserver_request_seconds", help, &[("verb", verb.as_str())]))
        };
        Metrics {
            requests: verbs.map(took),
            refused: counter("purlin_apiserver_refused_total", "Requests answered with an error status.", &[]),
            denied: counter("purlin_apiserver_denied_total", "Requests that RBAC denied.", &[]),
            panics: counter("purlin_apiserver_panics_total", "Requests whose handler panicked.", &[]),
            shed: counter("purlin_apiserver_shed_total", "Requests refused since too many were in flight.", &[]),
        }
    }

    fn record(&self, verb: Verb, took: Duration) {
        if let Some((_, histogram)) = self.requests.iter().find(|(v, _)| *v == verb) {
            histogram.record(took);
        }
    }
}

/// The API as other parts of this process reach it.
pub(crate) struct InProcess(pub(crate) Arc<Api>);

impl InProcessApi for InProcess {
    fn call(&self, request: Request<ApiBody>) -> BoxFuture<'static, Response<ApiBody>> {
        Arc::clone(&self.0).handle(request).boxed()
    }
}

/// A request for a resource, understood and allowed.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) api: Arc<Api>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) request: ResourceRequest,
    pub(crate) options: Options,
    pub(crate) form: Form,
    pub(crate) user_agent: String,
    pub(crate) media_type: String,
}

impl Api {
    /// Answers any request; a panic on the way is a 500.
    pub(crate) async fn handle(self: Arc<Self>, request: Request<ApiBody>) -> Response<ApiBody> {
        let panics = self.metrics.panics.clone();
        let refused = self.metrics.refused.clone();
        let answer = AssertUnwindSafe(self.route(request)).catch_unwind().await;
        let error = match answer {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => error,
            Err(_) => {
                panics.inc();
                ApiError::internal("the request's handler panicked")
            }
        };
        refused.inc();
        content::refusal(&error)
    }

    async fn route(self: Arc<Self>, mut request: Request<ApiBody>) -> ApiResult<Response<ApiBody>> {
        let caller = authenticate::caller(&self, &mut request).await?;
        let options = Options::parse(request.method(), request.uri().query().unwrap_or_default())?;
        let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8();
        let path = path.map_err(|_| ApiError::bad_request("the path is not UTF-8"))?.into_owned();
        let info = request::parse(request.method(), &path, options.watch).ok_or_else(ApiError::method_not_allowed)?;
        match info {
            RequestInfo::Path => {
                let verb = request.method().as_str().to_ascii_lowercase();
                self.authorize(&caller, &Attributes { verb: &verb, target: Target::Path(&path) })?;
                paths::answer(&self, &path, &request.into_parts().0).await
            }
            RequestInfo::Resource(resource) => {
                self.authorize(&caller, &attributes(&resource, named(&resource, &options).as_deref()))?;
                let _in_flight = self.admit(resource.verb)?;
                let started = std::time::Instant::now();
                let verb = resource.verb;
                let call = Call {
                    api: Arc::clone(&self),
                    caller: Arc::new(caller),
                    request: resource,
                    options,
                    form: content::negotiate(request.headers())?,
                    user_agent: header(&request, http::header::USER_AGENT),
                    media_type: content::media_type(request.headers()),
                };
                let answer = tokio::time::timeout(TIME_LIMIT, verbs::answer(call, request.into_body())).await;
                self.metrics.record(verb, started.elapsed());
                answer.map_err(|_| ApiError::timeout())?
            }
        }
    }

    /// Room for one more request, held as long as the answer is; 429 where there is none.
    fn admit(&self, verb: Verb) -> ApiResult<Option<SemaphorePermit<'_>>> {
        let [reads, writes] = &self.room;
        let room = match verb {
            Verb::Watch => return Ok(None),
            Verb::Get | Verb::List => reads,
            _ => writes,
        };
        room.try_acquire().map(Some).map_err(|_| {
            self.metrics.shed.inc();
            ApiError::too_many_requests()
        })
    }

    /// 403 unless the rules allow it.
    pub(crate) fn authorize(&self, caller: &Caller, attributes: &Attributes<'_>) -> ApiResult<()> {
        let Decision::Denied { reason } = self.rbac.read().authorize(&caller.principal, attributes) else {
            return Ok(());
        };
        self.metrics.denied.inc();
        let mut why = attributes.forbidden(&caller.principal);
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        Err(match attributes.target {
            Target::Path(_) => ApiError::forbidden_path(&why),
            Target::Resource { group, resource, name, .. } => ApiError::forbidden(resource, group, name, &why),
        })
    }

    /// Puts the catalog that `change` makes of the present one in its place.
    pub(crate) fn change_catalog(&self, change: impl Fn(&Catalog) -> Catalog) {
        self.catalog.rcu(|catalog| Arc::new(change(catalog)));
        self.catalog_changed.send_modify(|n| *n += 1);
    }

    /// The time now as RFC 3339 in whole seconds.
    pub(crate) fn now(&self) -> String {
        let now = self.clock.now();
        jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
    }
}

/// The one name that a list or watch can yield by its field selector: roles may be bound to names.
fn named(request: &ResourceRequest, options: &Options) -> Option<String> {
    if !matches!(request.verb, Verb::List | Verb::Watch) || options.field_selector.is_empty() {
        return None;
    }
    let fields = FieldSelector::parse(&options.field_selector).ok()?;
    fields.exact("metadata.name").filter(|name| path_segment(name, false).is_empty()).map(str::to_owned)
}

fn attributes<'a>(request: &'a ResourceRequest, named: Option<&'a str>) -> Attributes<'a> {
    let target = Target::Resource {
        group: &request.group,
        resource: &request.resource,
        subresource: request.subresource.as_deref().unwrap_or_default(),
        namespace: request.namespace.as_deref().unwrap_or_default(),
        name: request.name.as_deref().or(named).unwrap_or_default(),
    };
    Attributes { verb: request.verb.as_str(), target }
}

fn header(request: &Request<ApiBody>, name: http::header::HeaderName) -> String {
    request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

/// A success `Status`, with the details of what was done to what.
pub(crate) fn success(details: serde_json::Value) -> Response<ApiBody> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    });
    content::value(StatusCode::OK, &status)
}
