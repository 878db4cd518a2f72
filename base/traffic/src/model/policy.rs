//! What policies ask for: of clients of a listener ([`ClientSettings`]), and of the requests of a rule ([`RulePolicy`]).
//!
//! Policies attach to Gateways, listeners, routes and rules; which of them holds where was decided before: a rule has the
//! settings of each policy that holds for it, and [`RulePolicy::from`] says which policy each of them comes from.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{ClusterName, ObjectName};

/// A policy that something comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PolicyName {
    pub kind: PolicyKind,
    pub object: ObjectName,
}

/// The kinds of policies. The order is that of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum PolicyKind {
    AccessPolicy,
    BackendPolicy,
    BackendTlsPolicy,
    ClientPolicy,
    RoutePolicy,
}

impl PolicyKind {
    /// The kind as the API has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessPolicy => "AccessPolicy",
            Self::BackendPolicy => "BackendPolicy",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::ClientPolicy => "ClientPolicy",
            Self::RoutePolicy => "RoutePolicy",
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.object)
    }
}

/// A range of addresses, in its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

/// How clients may connect to a bind (ClientPolicy). None leaves the proxy's own default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientSettings {
    /// Whether connections begin with a PROXY header (version 1 or 2).
    pub proxy_protocol: ProxyProtocol,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and request ids are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Whether the application is told of the client's certificate (XFCC), and which fields.
    pub forward_certificate: Vec<CertificateField>,
    /// TLS 1.3 only.
    pub tls13_only: bool,
    /// Bounds of what a client may take.
    pub limits: ClientLimits,
    /// Which trace headers are read and written; empty is W3C.
    pub propagation: Vec<Propagation>,
    /// What is written of each request.
    pub access_log: Option<Arc<AccessLogFormat>>,
    /// Requests that took longer are written to the log.
    pub slow_request: Option<Duration>,
    /// The policy that it comes from.
    pub from: Option<PolicyName>,
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not: such bytes are a bad request.
    #[default]
    Off,
    /// They may.
    Accepted,
    /// They do: without it the connection is closed.
    Required,
}

/// A field of `X-Forwarded-Client-Cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Envoy's")]
pub enum CertificateField {
    Hash,
    Subject,
    Uri,
    Dns,
    Cert,
    Chain,
}

/// Bounds of what a client may take; see the proxy's own limits for what each means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the proxy's limits")]
pub struct ClientLimits {
    pub connections: Option<u32>,
    pub streams: Option<u32>,
    pub head_bytes: Option<u32>,
    pub headers: Option<u32>,
    pub handshake: Option<Duration>,
    pub head: Option<Duration>,
    pub idle: Option<Duration>,
    pub body_idle: Option<Duration>,
}

/// A family of trace headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// `traceparent`, `tracestate`.
    W3c,
    /// `b3`.
    B3,
    /// `x-b3-traceid` and its like.
    B3Multi,
}

/// How a line of the access log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// A JSON object: name and template of each member.
    Json(Vec<(Arc<str>, Arc<str>)>),
    /// Text with `%...%` commands as Envoy has them.
    Template(Arc<str>),
}

/// What policies ask for of the requests of a rule; nothing, where it is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulePolicy {
    /// Who may ask.
    pub access: Option<Arc<Access>>,
    /// `Access-Control-*`, and answers to preflights.
    pub cors: Option<Arc<Cors>>,
    /// How much may be asked.
    pub rate_limits: Vec<Arc<RateLimit>>,
    /// How large a request may be.
    pub limits: RequestLimits,
    /// Failures on purpose.
    pub fault: Option<Fault>,
    /// What is tried again.
    pub retry: Option<Retry>,
    /// Which requests of a client go to the same endpoint.
    pub persistence: Option<Arc<Persistence>>,
    /// Which requests of a client go to the same of the rule's backends.
    pub sticky_split: Option<HashKey>,
    /// Bodies of responses are compressed.
    pub compression: Option<Arc<Compression>>,
    /// Which policies this comes from, the most specific first.
    pub from: Vec<PolicyName>,
}

/// What of a request is hashed or counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The client's address.
    ClientAddress,
    /// A header, in lower case.
    Header(Arc<str>),
    /// A cookie; made and set where a request has none, to last this long (zero: for the session).
    Cookie(Arc<str>, Duration),
    /// A query parameter.
    Query(Arc<str>),
    /// A claim of the token.
    Claim(ClaimPath),
}

/// Where a claim stands in a token: the names of members from the outside in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath(pub Arc<[Arc<str>]>);

/// `CORS` of HTTPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `*`, or scheme, host (perhaps with `*.`) and port.
    pub origins: Vec<Arc<str>>,
    /// Whether credentials are allowed.
    pub credentials: bool,
    /// Methods, or `*`.
    pub methods: Vec<Arc<str>>,
    /// Request headers, or `*`.
    pub headers: Vec<Arc<str>>,
    /// Response headers that pages may see, or `*`.
    pub expose: Vec<Arc<str>>,
    /// How long a preflight is remembered.
    pub max_age: Duration,
}

/// Requests in a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Names its counters: `namespace/name/rule` of the policy.
    pub name: Arc<str>,
    /// Where it is counted.
    pub scope: RateScope,
    /// So many...
    pub requests: u32,
    /// ... in this time...
    pub window: Duration,
    /// ... and so many at once.
    pub burst: u32,
    /// Counted apart for each combination of these; empty counts all together.
    pub keys: Vec<HashKey>,
}

/// Where a limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateScope {
    /// In this process.
    Local,
    /// In the store that the proxies share.
    Global {
        /// Whether requests pass while the store cannot be asked.
        fail_open: bool,
    },
}

/// How large a request may be; None is without a limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RequestLimits {
    pub body_bytes: Option<u64>,
    pub header_bytes: Option<u32>,
    pub target_bytes: Option<u32>,
}

/// Failures on purpose; parts are in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How long, and how many.
    pub delay: Option<(Duration, u32)>,
    /// With which status, and how many.
    pub abort: Option<(AbortStatus, u32)>,
}

/// What an aborted request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AbortStatus {
    Http(u16),
    Grpc(u32),
}

/// What is tried again: never after bytes of an answer, nor with a body that is not there any more, each time at another
/// endpoint, within the budget of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// How often, besides the first time.
    pub attempts: u32,
    /// Between two attempts, at least; doubles, with jitter, up to ten times as much.
    pub backoff: Duration,
    /// Answers that are tried again.
    pub statuses: Vec<u16>,
    /// The same of gRPC, where the answer has no body.
    pub grpc_statuses: Vec<u32>,
    /// An endpoint that cannot be connected to.
    pub connect: bool,
    /// A connection that broke off before an answer; for methods that are idempotent, or whatever was asked.
    pub reset: bool,
    /// An attempt that took longer than `backend_timeout`.
    pub timeout: bool,
    /// Also for methods that are not idempotent (RFC 9110, section 9.2.2).
    pub all_methods: bool,
}

/// Which requests of a client go to the same endpoint (GEP-1619).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Of the cookie or header.
    pub name: Arc<str>,
    /// How the session travels.
    pub by: PersistenceBy,
    /// After it the session is forgotten.
    pub absolute_timeout: Option<Duration>,
    /// Without a request for so long it is forgotten too.
    pub idle_timeout: Option<Duration>,
}

/// How a session travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum PersistenceBy {
    /// `permanent`: it has a Max-Age.
    Cookie {
        permanent: bool,
    },
    Header,
}

/// Bodies of responses are compressed, where the client accepts it and the backend has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The one that stands first is preferred.
    pub codings: Vec<Coding>,
    /// Shorter bodies are left as they are.
    pub min_bytes: u32,
    /// Media types; `text/*` is one.
    pub types: Vec<Arc<str>>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are IANA's")]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

/// Who may ask (AccessPolicy).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Addresses that may; empty is all.
    pub allow: Vec<Cidr>,
    /// Addresses that may not, whatever else says so.
    pub deny: Vec<Cidr>,
    /// How it is known who asks; None asks nobody.
    pub authentication: Option<Arc<Authentication>>,
    /// What they must be allowed.
    pub authorization: Authorization,
    /// Who is asked besides.
    pub external: Option<Arc<External>>,
    /// The policy that it comes from.
    pub from: Option<PolicyName>,
}

/// How it is known who asks. Any of these will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authentication {
    /// Tokens of these issuers.
    pub issuers: Vec<Arc<TokenIssuer>>,
    /// Where tokens are looked for, in order.
    pub token_from: Vec<TokenSource>,
    /// Names and hashed passwords (htpasswd), one entry a Secret.
    pub basic: Vec<Arc<[u8]>>,
    /// The realm of challenges.
    pub realm: Arc<str>,
    /// API keys: client and SHA-256 of its key.
    pub api_keys: Vec<(Arc<str>, [u8; 32])>,
    /// Where API keys are looked for.
    pub key_from: Vec<TokenSource>,
    /// A client certificate that verified will do.
    pub client_certificate: bool,
    /// Who shows nothing may ask; who shows what is wrong may not.
    pub optional: bool,
}

/// Where a token or key is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A header, and what stands before the token (`Bearer `).
    Header(Arc<str>, Arc<str>),
    /// A cookie.
    Cookie(Arc<str>),
    /// A query parameter.
    Query(Arc<str>),
}

/// Whose tokens are believed.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenIssuer {
    /// `iss`, exactly.
    pub issuer: Arc<str>,
    /// Where its keys come from; None for an issuer of opaque tokens only.
    pub keys: Option<KeySource>,
    /// Algorithms that are allowed; empty is all that the verifier has.
    pub algorithms: Vec<Arc<str>>,
    /// Clocks may differ by so much.
    pub leeway: Duration,
    /// Audiences, of which a token must have one; empty asks for none.
    pub audiences: Vec<Arc<str>>,
    /// How opaque tokens are asked about.
    pub introspection: Option<Introspection>,
    /// Claims that the application is told in headers: path and header.
    pub claims_to_headers: Vec<(ClaimPath, Arc<str>)>,
    /// The token is passed on to the application.
    pub forward: bool,
    /// `Basic` by OAuth: how a name and password are taken for a token.
    pub basic: BasicMode,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWK set, as it is.
    Inline(Arc<[u8]>),
    /// Fetched, and again after this time.
    Remote(Arc<str>, Duration),
}

/// RFC 7662.
#[derive(Clone, PartialEq, Eq)]
pub struct Introspection {
    /// The endpoint.
    pub uri: Arc<str>,
    /// Who asks.
    pub client_id: Arc<str>,
    /// Its secret; never shown.
    pub client_secret: Arc<str>,
    /// An answer is believed for so long at most.
    pub cache: Duration,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("uri", &self.uri)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What a `Basic` name and password are to an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BasicMode {
    /// Nothing.
    #[default]
    Off,
    /// The password is a token and is introspected.
    Token,
    /// Id and secret of a client: exchanged for a token at this endpoint by `client_credentials`.
    ClientCredentials(Arc<str>),
}

/// What those who ask must be allowed. The first entry whose methods and paths hold counts; none: whoever is
/// authenticated may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// In order.
    pub rules: Vec<AuthorizationRule>,
    /// Scopes that hold where no rule does.
    pub default_scopes: Vec<Arc<str>>,
}

/// One entry of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationRule {
    /// Of HTTP; empty is all.
    pub methods: Vec<Arc<str>>,
    /// Path prefixes of whole elements; empty is all. For gRPC these are `/service` or `/service/method`.
    pub paths: Vec<Arc<str>>,
    /// All of them.
    pub scopes: Vec<Arc<str>>,
    /// Path of a claim and its values, of which it must have one.
    pub claims: Vec<(ClaimPath, Vec<Arc<str>>)>,
    /// Nobody has to be known.
    pub public: bool,
}

/// External authorization (`envoy.service.auth.v3`, or plain HTTP).
#[derive(Clone, Debug, PartialEq)]
pub struct External {
    /// Who is asked.
    pub cluster: ClusterName,
    /// How.
    pub protocol: ExternalProtocol,
    /// For an answer.
    pub timeout: Duration,
    /// Requests pass while nobody answers.
    pub fail_open: bool,
    /// The first bytes of the body are shown.
    pub body_bytes: u32,
}

/// How an authorizer is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc,
    /// The request's head with another path; 200 allows.
    Http {
        /// Put before the path.
        path_prefix: Arc<str>,
        /// Headers of the request that are shown, besides `Authorization`, in lower case.
        request_headers: Vec<Arc<str>>,
        /// Headers of an allowing answer that the backend gets.
        backend_headers: Vec<Arc<str>>,
    },
}
