//! The last step of a write: the stored form, and the compare-and-swap with its audit row.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use purlin_store::StoreError;
use serde_json::Value;
use uuid::Uuid;

use super::writer::Writer;
use crate::error::{ApiError, ApiResult};
use crate::storage::{Change, CommitError, Draft, Key, Stored};

/// The largest object that is stored.
const MAX_OBJECT: usize = 3 << 20;

impl Writer {
    /// The object in its stored form.
    fn in_storage<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        let def = self.served.def();
        let mut object = Cow::Borrowed(object);
        match def.strategy.alias {
            Some(alias) => (alias.to_stored)(object.to_mut()),
            None if self.served.index == def.storage => {}
            None => object.to_mut()["apiVersion"] = def.api_version(&def.stored().name).into(),
        }
        object
    }

    pub(crate) fn draft(&self, object: &Value) -> ApiResult<Draft> {
        let draft = Draft::new(&self.in_storage(object));
        if draft.len() > MAX_OBJECT {
            let message = format!("the object has {} bytes, at most {MAX_OBJECT} are stored", draft.len());
            return Err(ApiError::too_large(message));
        }
        Ok(draft)
    }

    /// What would be stored.
    pub(crate) fn preview(&self, object: &Value) -> Arc<[u8]> {
        self.in_storage(object).to_string().into_bytes().into()
    }

    pub(crate) async fn stored(&self, key: &Key) -> ApiResult<Option<Stored>> {
        Ok(self.api.storage.get(key).await?)
    }

    pub(crate) fn not_found(&self, key: &Key) -> ApiError {
        ApiError::not_found(self.served.def(), &key.name)
    }

    pub(crate) async fn commit(&self, key: Key, change: Change) -> ApiResult<Stored> {
        self.try_commit(key.clone(), change).await.map_err(|error| self.refused(&key, error))
    }

    pub(crate) async fn try_commit(&self, key: Key, change: Change) -> Result<Stored, CommitError> {
        if self.api.retired.load(Ordering::Acquire) {
            return Err(CommitError::Store(StoreError::Closed));
        }
        let entry = self.audit(&key);
        self.api.storage.commit(key, change, entry).await
    }

    pub(crate) fn refused(&self, key: &Key, error: CommitError) -> ApiError {
        let def = self.served.def();
        match error {
            CommitError::Exists => ApiError::already_exists(def, &key.name),
            CommitError::Missing => ApiError::not_found(def, &key.name),
            CommitError::Changed => ApiError::modified(def, &key.name),
            CommitError::NotEmpty => ApiError::conflict(def, &key.name, "the namespace still has objects in it"),
            CommitError::NoNamespace => match self.api.catalog.load().stored("namespaces") {
                Some(namespaces) => ApiError::not_found(namespaces.def(), &key.ns),
                None => ApiError::no_such_path(),
            },
            CommitError::Store(error) => error.into(),
        }
    }

    /// The audit row of a change; heartbeats and events have none.
    fn audit(&self, key: &Key) -> Option<purlin_audit::Entry> {
        if matches!(&*key.gr, "leases.coordination.k8s.io" | "events") {
            return None;
        }
        let object = if key.ns.is_empty() {
            format!("{}/{}", key.gr, key.name)
        } else {
            format!("{}/{}/{}", key.gr, key.ns, key.name)
        };
        Some(purlin_audit::Entry {
            at: self.api.clock.now().as_millisecond(),
            change: Uuid::now_v7().to_string(),
            cause: self.caller.cause.as_deref().map(str::to_owned),
            actor: self.caller.principal.name.to_string(),
            impersonator: self.caller.impersonator.as_ref().map(|p| p.name.to_string()),
            verb: self.verb,
            object,
        })
    }
}
