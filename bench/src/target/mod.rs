//! A target whose service time is known: it answers HTTP/1.1, HTTP/2 without TLS and gRPC on one port, each request
//! after a delay that is drawn from a seed, and keeps count of how long it really took.
//!
//! It is a process of its own (`purlin-bench target`) with one thread. What it took, from a request's head to its
//! answer, `GET /truth` tells: a generator's percentiles cannot be below these, and should not be much above.

mod delay;
mod grpc;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use purlin_load_model::histogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use delay::Delay;

/// When the stall begins, counted from the first request.
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(4);
/// How long nothing is answered then.
pub(crate) const STALL: Duration = Duration::from_secs(1);

/// How the target behaves.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// Where it listens
    #[arg(long)]
    pub listen: SocketAddr,
    /// The mean of the exponentially distributed delays, in microseconds; 0 answers at once
    #[arg(long, default_value_t = 0)]
    pub mean_us: u64,
    /// Where random numbers begin
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stand still for a second, four seconds after the first request
    #[arg(long)]
    pub stall: bool,
}

/// What the target says about itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// Requests that were answered.
    pub count: u64,
    /// How long they took in seconds: 50 %.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

struct Target {
    delay: Option<Delay>,
    service: Mutex<Histogram>,
    /// Whether the stall is still to be arranged.
    stall: Mutex<bool>,
}

/// Serves until the process is ended.
pub(crate) async fn serve(args: &TargetArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen).await.context("failed to listen")?;
    let delay = (args.mean_us > 0).then(|| Delay::start(Duration::from_micros(args.mean_us), args.seed));
    let target = Target { delay, service: Mutex::default(), stall: Mutex::new(args.stall) };
    let target = Arc::new(target);
    loop {
        let (stream, _) = listener.accept().await.context("failed to accept")?;
        stream.set_nodelay(true)?;
        let target = target.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(target.clone(), request));
            // How a connection ends is the generator's affair.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(target: Arc<Target>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let came = Instant::now();
    if request.uri().path() == "/truth" {
        let truth = serde_json::to_vec(&target.truth()).unwrap_or_default();
        return Ok(Response::new(Full::new(truth.into()).boxed_unsync()));
    }
    if grpc::is_reflection(request.uri().path()) {
        return Ok(grpc::reflect(request.into_body()));
    }
    target.arrange_stall();
    let is_grpc =
        request.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let body = request.into_body().collect().await?.to_bytes();
    if let Some(delay) = &target.delay {
        delay.pass(came).await;
    }
    target.service.lock().record(came.elapsed());
    Ok(if is_grpc { grpc::echo(body) } else { Response::new(Full::new(Bytes::from_static(b"ok")).boxed_unsync()) })
}

impl Target {
    fn truth(&self) -> Truth {
        let service = self.service.lock();
        let seconds = |quantile| service.quantile(quantile).as_secs_f64();
        Truth { count: service.count(), p50: seconds(0.5), p90: seconds(0.9), p99: seconds(0.99) }
    }

    /// With the first request, when there is to be one.
    fn arrange_stall(&self) {
        if std::mem::take(&mut *self.stall.lock()) {
            tokio::spawn(async {
                tokio::time::sleep(STALL_AFTER).await;
                #[expect(clippy::disallowed_methods, reason = "to stop all that runs on the thread is what it is for")]
                std::thread::sleep(STALL);
            });
        }
    }
}
