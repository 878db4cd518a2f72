//! The role: opens the storage, learns what is in it, fills in what is missing, serves.
//!
//! open -> learn (RBAC, catalog, addresses, namespaces in termination) -> follow the store -> bootstrap -> register in
//! process and listen -> serve until shutdown: watches end, requests in flight finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use http_body_util::BodyExt as _;
use parking_lot::RwLock;
use purlin_apiserver_builtin as builtin;
use purlin_apiserver_schema::ResourceDef;
use purlin_auth::rbac::Rules;
use purlin_auth::token::TokenSigner;
use purlin_net::serve::{ServeOptions, serve};
use purlin_resource::BodyError;
use purlin_role::Context;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::api::{Api, InProcess, Metrics, ROOM};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::special::crd;
use crate::storage::{Compactor, EventKind, Storage};
use crate::{bootstrap, reconcile};

/// The issuer of service-account tokens, as in every cluster.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Runs the API server until the context's shutdown.
///
/// # Errors
/// When the store cannot be read, or the first objects cannot be created.
pub async fn run(ctx: Context, config: Config) -> anyhow::Result<()> {
    let listening = ctx.gate("listening");
    let api = Arc::new(open(&ctx, &config).await?);
    learn(&api).await?;
    reconcile::start(&api, &ctx.tasks);
    bootstrap::run(&api).await?;
    ctx.platform.api.register(Box::new(InProcess(Arc::clone(&api))));
    let _at_the_end = Retire(&ctx, Arc::clone(&api));
    ctx.tasks.spawn(Compactor(api.storage.clone()).run(ctx.shutdown.clone()));

    let listener = config.listener.try_clone().context("failed to take the API's listener")?;
    let listener = tokio::net::TcpListener::from_std(listener).context("failed to take the API's listener")?;
    let tls = ctx.platform.pki.api_server_config(config.certificate).context("failed to set up TLS")?;
    let service = move |request: http::Request<hyper::body::Incoming>| {
        let request = request.map(|body| body.map_err(BodyError::new).boxed_unsync());
        Arc::clone(&api).handle(request)
    };
    let options = ServeOptions { name: "apiserver", ..ServeOptions::default() };
    listening.open();
    serve(listener, Some(tls), service, options, ctx.shutdown.clone()).await;
    listening.shut();
    Ok(())
}

/// However the role ends: takes the API off the in-process handle, and lets it write no more. The next run has a hub
/// of its own, which would not hear of writes through this one.
struct Retire<'a>(&'a Context, Arc<Api>);

impl Drop for Retire<'_> {
    fn drop(&mut self) {
        self.1.retired.store(true, Ordering::Release);
        self.0.platform.api.clear();
    }
}

async fn open(ctx: &Context, config: &Config) -> anyhow::Result<Api> {
    let platform = &ctx.platform;
    let storage = Storage::open(platform.store.clone()).await.context("failed to read the API server's tables")?;
    let tokens = TokenSigner::new(platform.pki.token_key(), ISSUER).context("failed to load the token key")?;
    Ok(Api {
        storage,
        catalog: ArcSwap::from_pointee(Catalog::new(builtin::resources(), builtin::reviews())),
        catalog_changed: tokio::sync::watch::Sender::new(0),
        rbac: RwLock::new(Rules::default()),
        addresses: Arc::default(),
        pending_names: Arc::default(),
        terminating: RwLock::default(),
        tokens,
        clock: platform.clock.clone(),
        listen: config.listener.local_addr().context("failed to read where the API listens")?,
        root_pem: platform.pki.root_pem().to_owned(),
        shutdown: ctx.shutdown.clone(),
        metrics: Metrics::register(),
        room: ROOM.map(Semaphore::new),
        retired: AtomicBool::new(false),
    })
}

/// Takes in what is stored, before anything can change.
async fn learn(api: &Arc<Api>) -> anyhow::Result<()> {
    let read = |gr: &'static str| async move {
        let stored = reconcile::all(api, &gr.into(), None).await;
        let stored = stored.map_err(|e| anyhow::anyhow!("failed to read the stored {gr}: {e:?}"))?;
        anyhow::Ok(stored.into_iter().map(|item| serde_json::from_slice::<Value>(&item.body).unwrap_or_default()))
    };
    for definition in read("customresourcedefinitions.apiextensions.k8s.io").await? {
        if let (Some(def), Some(name)) = (crd::served(&definition), definition["metadata"]["name"].as_str()) {
            // The revision of its last change is the best that is known of that of its spec.
            let since = definition["metadata"]["resourceVersion"].as_str().and_then(|rv| rv.parse().ok());
            let since = since.unwrap_or(i64::MAX);
            api.change_catalog(|catalog| catalog.with(name, ResourceDef::clone(&def), since));
        }
    }
    for kind in ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] {
        let gr = format!("{kind}.rbac.authorization.k8s.io");
        let Some(kind) = reconcile::rbac_kind(&gr) else { continue };
        let stored = reconcile::all(api, &gr.as_str().into(), None).await;
        for item in stored.map_err(|e| anyhow::anyhow!("failed to read the stored {gr}: {e:?}"))? {
            let object: Value = serde_json::from_slice(&item.body).unwrap_or_default();
            reconcile::follow_rbac(api, kind, EventKind::Added, &object);
        }
    }
    for service in read("services").await? {
        api.addresses.learn(&service);
    }
    for namespace in read("namespaces").await? {
        if let Some(name) = namespace["metadata"]["name"].as_str().filter(|_| reconcile::is_terminating(&namespace)) {
            api.terminating.write().insert(name.into());
        }
    }
    Ok(())
}
