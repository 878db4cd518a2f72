//! `delete` and `deletecollection`.
//!
//! An object without finalizers is gone at once. Otherwise it is marked (`deletionTimestamp`) and goes when its
//! last finalizer does. Propagation is a finalizer too: `orphan` and `foregroundDeletion` are worked off by the
//! garbage collector. Namespaces and definitions of custom resources are held until they are empty.

use futures::StreamExt as _;
use http::{Response, StatusCode};
use purlin_apiserver_schema::FieldError;
use purlin_resource::ApiBody;
use serde_json::{Value, json};

use crate::api::{Call, success};
use crate::catalog::Served;
use crate::content;
use crate::error::{ApiError, ApiResult};
use crate::options;
use crate::read::{self, read_error};
use crate::select::Selection;
use crate::special::crd;
use crate::storage::{Change, CommitError, Key, PageQuery, Stored};
use crate::write::{Writer, details, is_finished};

/// `DeleteOptions` (meta/v1), of the body and the query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

/// What happens to the objects that an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// What a delete came to.
pub(crate) struct Deleted {
    pub(crate) stored: Stored,
    /// False while finalizers hold it.
    pub(crate) gone: bool,
}

/// Namespaces that nothing works without.
const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

fn delete_options(call: &Call, body: &[u8]) -> ApiResult<DeleteOptions> {
    let given = if body.is_empty() { json!({}) } else { content::decode(&call.media_type, body)?.value };
    if !given.is_object() {
        return Err(ApiError::bad_request("the body is not a DeleteOptions object"));
    }
    if given["kind"].as_str().is_some_and(|kind| !matches!(kind, "" | "DeleteOptions")) {
        return Err(ApiError::bad_request(format!("the body is a {}, not a DeleteOptions object", given["kind"])));
    }
    let invalid = |error: FieldError| ApiError::invalid_options("DeleteOptions", &[error]);
    let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
    let policy = text(&given["propagationPolicy"]).or_else(|| call.options.propagation.clone());
    let orphan = given["orphanDependents"].as_bool().or(call.options.orphan_dependents);
    let propagation = match (policy.as_deref(), orphan) {
        (Some(_), Some(_)) => {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let given = policy.as_deref().unwrap_or_default();
            return Err(invalid(FieldError::invalid("propagationPolicy", given.into(), why)));
        }
        (Some("Orphan"), None) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some("Background"), None) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), None) => Some(Propagation::Foreground),
        (Some(other), None) => {
            let known = "\"Background\", \"Foreground\", \"Orphan\"";
            return Err(invalid(options::unsupported("propagationPolicy", other, known)));
        }
        (None, None) => None,
    };
    let dry_run = given["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let dry_run =
        dry_run.map(options::dry_run).collect::<Result<Vec<bool>, _>>().map_err(|e| invalid(*e))?.contains(&true);
    Ok(DeleteOptions {
        uid: text(&given["preconditions"]["uid"]),
        resource_version: text(&given["preconditions"]["resourceVersion"]),
        propagation,
        dry_run: dry_run || call.options.dry_run,
    })
}

pub(crate) async fn one(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let options = delete_options(call, body)?;
    let key = served.key(call.request.namespace.as_deref(), call.request.name.as_deref().unwrap_or_default());
    if &*key.gr == "namespaces" && IMMORTAL.contains(&&*key.name) {
        return Err(ApiError::forbidden("namespaces", "", &key.name, "this namespace may not be deleted"));
    }
    let deleted = call.writer(served)?.delete(&key, &options).await?;
    if !deleted.gone {
        return Ok(read::one(call, served, StatusCode::OK, &deleted.stored.body));
    }
    let object = served.object(&deleted.stored.body);
    Ok(success(details(served, &key, object["metadata"]["uid"].as_str().unwrap_or_default())))
}

pub(crate) async fn collection(call: &Call, served: &Served, body: &[u8]) -> ApiResult<Response<ApiBody>> {
    let options = delete_options(call, body)?;
    let selection = Selection::of(call, served)?;
    let writer = call.writer(served)?;
    let deleted = writer.delete_all(&selection, &options).await?;
    let metadata = json!({"resourceVersion": call.api.storage.hub().revision().to_string()});
    Ok(content::json(StatusCode::OK, read::plain_list(served, &metadata, &deleted)))
}

impl Writer {
    /// Deletes what a selection means; what others delete meanwhile is no error.
    pub(crate) async fn delete_all(&self, selection: &Selection, options: &DeleteOptions) -> ApiResult<Vec<Stored>> {
        /// Deletes under way at a time: enough to fill a group commit.
        const AT_A_TIME: usize = 64;
        let query = PageQuery {
            gr: self.served.resource.gr.clone(),
            ns: selection.namespace.as_deref().map(Into::into),
            after: None,
            limit: 0,
            at: None,
        };
        let filter = read::filter(selection, &self.served);
        let page = self.api.storage.page(query, filter).await.map_err(read_error)?;
        let each = page.items.into_iter().map(|item| async move { self.delete(&item.key, options).await });
        let mut deletes = futures::stream::iter(each).buffered(AT_A_TIME);
        let mut deleted = Vec::new();
        while let Some(result) = deletes.next().await {
            match result {
                Ok(done) => deleted.push(done.stored),
                Err(error) if error.code == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// Deletes one object, or marks it where something holds it.
    pub(crate) async fn delete(&self, key: &Key, options: &DeleteOptions) -> ApiResult<Deleted> {
        loop {
            let stored = self.stored(key).await?.ok_or_else(|| self.not_found(key))?;
            let old = self.served.object(&stored.body);
            self.check_preconditions(key, &old, options)?;
            let mut new = old.clone();
            self.mark(&mut new, options);
            let gone = is_finished(&new);
            if options.dry_run || (!gone && new == old) {
                let stored = Stored { body: self.preview(&new), ..stored };
                return Ok(Deleted { stored, gone });
            }
            let change = if gone { Change::Delete(stored.rv) } else { Change::Replace(stored.rv, self.draft(&new)?) };
            match self.try_commit(key.clone(), change).await {
                Ok(stored) => return Ok(Deleted { stored, gone }),
                Err(CommitError::Changed) => {}
                Err(error) => return Err(self.refused(key, error)),
            }
        }
    }

    fn check_preconditions(&self, key: &Key, old: &Value, options: &DeleteOptions) -> ApiResult<()> {
        for (given, field, word) in
            [(&options.uid, "uid", "UID"), (&options.resource_version, "resourceVersion", "ResourceVersion")]
        {
            let is = old["metadata"][field].as_str().unwrap_or_default();
            if let Some(given) = given.as_deref().filter(|given| *given != is) {
                let why = format!("Precondition failed: {word} in precondition: {given}, {word} in object meta: {is}");
                return Err(ApiError::conflict(self.served.def(), &key.name, &why));
            }
        }
        Ok(())
    }

    /// Sets what holds the object, and that it is being deleted.
    fn mark(&self, object: &mut Value, options: &DeleteOptions) {
        let gr = &*self.served.resource.gr;
        let Some(metadata) = object["metadata"].as_object_mut() else { return };
        let given = metadata.get("finalizers").and_then(Value::as_array);
        let mut finalizers: Vec<Value> = given.cloned().unwrap_or_default();
        let fresh = metadata.get("deletionTimestamp").is_none_or(Value::is_null);
        let wanted = match options.propagation {
            Some(Propagation::Orphan) => Some(ORPHAN),
            Some(Propagation::Foreground) => Some(FOREGROUND),
            Some(Propagation::Background) => None,
            None => finalizers
                .iter()
                .filter_map(Value::as_str)
                .find_map(|f| [ORPHAN, FOREGROUND].into_iter().find(|w| *w == f)),
        };
        // A later delete may still ask for another propagation.
        if fresh || options.propagation.is_some() {
            finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
            finalizers.extend(wanted.map(Value::from));
        }
        if fresh {
            if gr == "customresourcedefinitions.apiextensions.k8s.io" && !finalizers.iter().any(|f| f == crd::CLEANUP) {
                finalizers.push(crd::CLEANUP.into());
            }
            metadata.insert("deletionTimestamp".to_owned(), self.api.now().into());
            metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
            if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
                metadata.insert("generation".to_owned(), (generation + 1).into());
            }
        }
        if finalizers.is_empty() {
            metadata.shift_remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), finalizers.into());
        }
        if gr == "namespaces" {
            object["status"]["phase"] = "Terminating".into();
            let held = object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
            if fresh && !held {
                // Somebody took it off the living namespace; without it, nothing would empty it.
                object["spec"]["finalizers"] = json!(["kubernetes"]);
            }
        }
    }
}
