//! The writer: takes an object from what a client sent to what is stored.
//!
//! prune (unknown fields are refused, told or dropped) -> default -> carry over what the client may not decide ->
//! owners (managedFields) -> what the kind's code fills in -> validate -> compare-and-swap with its audit row.
//! The same way is taken by requests, and by the reconcilers of the API server itself.

use std::sync::Arc;

use purlin_apiserver_merge::{ApplyOptions, FieldSet, Tracked, UpdateOptions, apply as merge_applied, update as own};
use purlin_apiserver_schema::{default, prune};
use purlin_auth::Caller;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::patch::apply_error;
use crate::api::Api;
use crate::catalog::Served;
use crate::error::{ApiError, ApiResult};
use crate::options::FieldValidation;
use crate::special;
use crate::storage::{Change, CommitError, Draft, Key, Stored};
use crate::verbs::Part;

/// How often a change without a revision is tried again when others are faster, as kube-apiserver does.
const TRIES: usize = 5;
/// The largest object that is stored.
const MAX_OBJECT: usize = 3 << 20;

/// Who writes what in which way.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) api: Arc<Api>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) served: Served,
    /// For the audit.
    pub(crate) verb: &'static str,
    /// The field manager.
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) dry_run: bool,
}

/// What a write came to.
pub(crate) struct Written {
    /// The object as it is stored now; in a dry run, as it would be.
    pub(crate) body: Arc<[u8]>,
    pub(crate) created: bool,
    /// The object is gone: its last finalizer was.
    pub(crate) deleted: bool,
    pub(crate) warnings: Vec<String>,
}

/// A configuration that is applied.
pub(crate) struct Apply {
    pub(crate) applied: Value,
    pub(crate) force: bool,
}

impl Writer {
    /// Creates an object; `metadata.generateName` is honoured.
    pub(crate) async fn create(&self, mut object: Value, duplicates: &[String]) -> ApiResult<Written> {
        let warnings = self.shape(&mut object, duplicates)?;
        if metadata(&object, "resourceVersion").is_some_and(|rv| !rv.is_empty()) {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.name(&mut object);
        self.created(object, warnings, None).await
    }

    /// Replaces an object by what `f` makes of it; without a revision, tried again when others are faster.
    pub(crate) async fn change(
        &self,
        key: &Key,
        part: Part,
        duplicates: &[String],
        f: impl Fn(&Value) -> ApiResult<Value>,
    ) -> ApiResult<Written> {
        for _ in 0..TRIES {
            let stored = self.stored(key).await?.ok_or_else(|| self.not_found(key))?;
            let old = self.served.object(&stored.body);
            let mut new = f(&old)?;
            let mut warnings = self.shape(&mut new, duplicates)?;
            self.confirm_identity(key, &old, &mut new)?;
            self.carry_over(&old, &mut new, part);
            self.own(Some(&old), &mut new, part);
            if let Some(written) = self.replaced(&stored, &old, new, part, &mut warnings).await? {
                return Ok(written);
            }
        }
        Err(ApiError::modified(self.served.def(), &key.name))
    }

    /// Merges an applied configuration; creates the object where there is none.
    pub(crate) async fn apply(&self, key: &Key, part: Part, duplicates: &[String], apply: Apply) -> ApiResult<Written> {
        let Apply { mut applied, force } = apply;
        let shaped = self.shape(&mut applied, duplicates)?;
        for _ in 0..TRIES {
            let stored = self.stored(key).await?;
            let Some(stored) = stored else {
                if part != Part::Main {
                    return Err(self.not_found(key));
                }
                if metadata(&applied, "uid").is_some_and(|uid| !uid.is_empty()) {
                    return Err(ApiError::conflict(
                        self.served.def(),
                        &key.name,
                        "uid mismatch: the provided object specified uid, and no existing object was found",
                    ));
                }
                let mut object = applied.clone();
                object["metadata"]["name"] = (&*key.name).into();
                return self.created(object, shaped, Some(force)).await;
            };
            let old = self.served.object(&stored.body);
            let mut new = self.merged(Some(&old), &applied, part, force)?;
            let mut warnings = shaped.clone();
            default(&mut new, &self.served.version().schema);
            self.confirm_identity(key, &old, &mut new)?;
            self.carry_over(&old, &mut new, part);
            if let Some(written) = self.replaced(&stored, &old, new, part, &mut warnings).await? {
                return Ok(written);
            }
        }
        Err(ApiError::modified(self.served.def(), &key.name))
    }

    /// Prunes and defaults what a client sent; the warnings, or 400 under Strict.
    fn shape(&self, object: &mut Value, duplicates: &[String]) -> ApiResult<Vec<String>> {
        let version = self.served.version();
        let unknown = prune(object, &version.schema);
        let said = unknown.iter().map(|path| format!("unknown field {path:?}"));
        let said: Vec<String> = said.chain(duplicates.iter().map(|path| format!("duplicate field {path:?}"))).collect();
        let mut warnings = match self.validation {
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Warn => said,
            FieldValidation::Strict if said.is_empty() => Vec::new(),
            FieldValidation::Strict => {
                return Err(ApiError::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                    self.served.def().names.kind,
                    version.name,
                    self.served.def().names.kind,
                    said.join(", ")
                )));
            }
        };
        if let Some(deprecated) = &version.deprecated {
            warnings.push(deprecated.clone());
        }
        default(object, &version.schema);
        (self.served.def().strategy.default)(object);
        Ok(warnings)
    }

    fn name(&self, object: &mut Value) {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let given = metadata(object, "name").is_some_and(|name| !name.is_empty());
        let prefix = metadata(object, "generateName").unwrap_or_default().to_owned();
        if given || prefix.is_empty() {
            return;
        }
        // As kube-apiserver: the whole name stays within 63 characters.
        let mut name: String = prefix.chars().take(58).collect();
        for _ in 0..5 {
            name.push(char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]));
        }
        object["metadata"]["name"] = name.into();
    }

    /// Stores a new object; `applied` says that it comes of an apply, forced or not.
    async fn created(&self, mut object: Value, warnings: Vec<String>, applied: Option<bool>) -> ApiResult<Written> {
        let def = self.served.def();
        let now = self.api.now();
        (def.strategy.prepare_create)(&mut object);
        if def.strategy.alias.is_none() && self.served.resource.is_custom() && self.served.version().status {
            remove(&mut object, "status");
        }
        if let Some(fields) = object["metadata"].as_object_mut() {
            for field in
                ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"]
            {
                fields.shift_remove(field);
            }
            fields.insert("uid".to_owned(), Uuid::new_v4().to_string().into());
            fields.insert("creationTimestamp".to_owned(), now.clone().into());
            if def.strategy.generation {
                fields.insert("generation".to_owned(), 1.into());
            }
        }
        match applied {
            None => self.own(None, &mut object, Part::Main),
            Some(force) => {
                object = self.merged(None, &object, Part::Main, force)?;
                default(&mut object, &self.served.version().schema);
            }
        }
        let reserved = special::prepare(self, &mut object, None)?;
        self.validate(&object, None)?;
        let name = metadata(&object, "name").unwrap_or_default().to_owned();
        let key = self.served.key(metadata(&object, "namespace"), &name);
        self.confirm_namespace_lives(&key)?;
        let draft = self.draft(&object)?;
        let body =
            if self.dry_run { self.preview(&object) } else { self.commit(key, Change::Create(draft)).await?.body };
        reserved.keep();
        Ok(Written { body, created: true, deleted: false, warnings })
    }

    /// Stores what an object has become; None when somebody else was faster and no revision was named.
    async fn replaced(
        &self,
        stored: &Stored,
        old: &Value,
        mut new: Value,
        part: Part,
        warnings: &mut Vec<String>,
    ) -> ApiResult<Option<Written>> {
        let def = self.served.def();
        if part != Part::Status {
            (def.strategy.prepare_update)(&mut new, old);
        }
        let reserved = special::prepare(self, &mut new, Some(old))?;
        let warnings = std::mem::take(warnings);
        if new == *old {
            let body = Arc::clone(&stored.body);
            return Ok(Some(Written { body, created: false, deleted: false, warnings }));
        }
        if def.strategy.generation && spec_changed(old, &new) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
        }
        self.validate(&new, Some(old))?;
        let draft = self.draft(&new)?;
        if self.dry_run {
            let body = self.preview(&new);
            return Ok(Some(Written { body, created: false, deleted: false, warnings }));
        }
        let deleted = is_finished(&new);
        let change = if deleted { Change::Delete(stored.rv) } else { Change::Replace(stored.rv, draft) };
        match self.try_commit(stored.key.clone(), change).await {
            Ok(now) => {
                reserved.keep();
                Ok(Some(Written { body: now.body, created: false, deleted, warnings }))
            }
            Err(CommitError::Changed) => Ok(None),
            Err(error) => Err(self.refused(&stored.key, error)),
        }
    }

    /// Takes over what only the server decides, and what this part of the object may not change.
    fn carry_over(&self, old: &Value, new: &mut Value, part: Part) {
        if part == Part::Status {
            let status = new.get("status").cloned();
            let owners = new["metadata"].get("managedFields").cloned();
            *new = old.clone();
            set(new, "status", status);
            if let Some(metadata) = new["metadata"].as_object_mut() {
                set_field(metadata, "managedFields", owners);
            }
        } else if self.served.version().status {
            set(new, "status", old.get("status").cloned());
        }
        let Some(metadata) = new["metadata"].as_object_mut() else { return };
        for field in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "selfLink",
            "generateName",
            "resourceVersion",
        ] {
            set_field(metadata, field, old["metadata"].get(field).cloned());
        }
    }

    /// Name, namespace, uid and revision of the new object, where it has them, must be those of the old one.
    fn confirm_identity(&self, key: &Key, old: &Value, new: &mut Value) -> ApiResult<()> {
        let def = self.served.def();
        if !new["metadata"].is_object() {
            return Err(ApiError::bad_request("metadata: expected an object"));
        }
        let uid = metadata(old, "uid").unwrap_or_default();
        match metadata(new, "uid") {
            Some(given) if !given.is_empty() && given != uid => {
                let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
                return Err(ApiError::conflict(def, &key.name, &why));
            }
            _ => {}
        }
        let rv = metadata(old, "resourceVersion").unwrap_or_default();
        match metadata(new, "resourceVersion") {
            Some(given) if !given.is_empty() && given != rv => return Err(ApiError::modified(def, &key.name)),
            None | Some("") if self.verb == "update" && self.served.resource.is_custom() => {
                let error = purlin_apiserver_schema::FieldError::invalid(
                    "metadata.resourceVersion",
                    0.into(),
                    "must be specified for an update",
                );
                return Err(ApiError::invalid(def, &key.name, &[error]));
            }
            _ => {}
        }
        for (field, is) in [("name", &*key.name), ("namespace", &*key.ns)] {
            let given = metadata(new, field).unwrap_or_default();
            if !given.is_empty() && given != is {
                let why = format!("metadata.{field}: Invalid value: {given:?}: field is immutable");
                return Err(ApiError::bad_request(why));
            }
            if !is.is_empty() {
                new["metadata"][field] = is.into();
            }
        }
        Ok(())
    }

    fn own(&self, old: Option<&Value>, new: &mut Value, part: Part) {
        let (now, version) = (self.api.now(), self.served.api_version());
        let status = FieldSet::of_fields(&[&["status"]]);
        let options = UpdateOptions {
            manager: &self.manager,
            api_version: &version,
            subresource: subresource(part),
            now: &now,
            tracked: self.tracked(part, &status),
        };
        own(old, new, &self.served.version().schema, &options);
    }

    /// What is there with an applied configuration merged in.
    fn merged(&self, live: Option<&Value>, applied: &Value, part: Part, force: bool) -> ApiResult<Value> {
        let (now, version) = (self.api.now(), self.served.api_version());
        let status = FieldSet::of_fields(&[&["status"]]);
        let options = ApplyOptions {
            manager: &self.manager,
            force,
            api_version: &version,
            subresource: subresource(part),
            now: &now,
            tracked: self.tracked(part, &status),
        };
        merge_applied(live, applied, &self.served.version().schema, &options).map_err(apply_error)
    }

    fn tracked<'a>(&self, part: Part, status: &'a FieldSet) -> Tracked<'a> {
        match part {
            Part::Status => Tracked::Only("status"),
            _ if self.served.version().status => Tracked::Except(status),
            _ => Tracked::All,
        }
    }

    fn confirm_namespace_lives(&self, key: &Key) -> ApiResult<()> {
        if !self.api.terminating.read().contains(&key.ns) {
            return Ok(());
        }
        let def = self.served.def();
        let why = format!("unable to create new content in namespace {} because it is being terminated", key.ns);
        let cause = format!("namespace {} is being terminated", key.ns);
        let error = ApiError::forbidden(&def.names.plural, &def.group, &key.name, &why);
        Err(error.with_cause("NamespaceTerminating", &cause, "metadata.namespace"))
    }

    /// The object in its stored form.
    fn in_storage(&self, object: &Value) -> Value {
        let def = self.served.def();
        let mut object = object.clone();
        match def.strategy.alias {
            Some(alias) => (alias.to_stored)(&mut object),
            None => object["apiVersion"] = def.api_version(&def.stored().name).into(),
        }
        object
    }

    fn draft(&self, object: &Value) -> ApiResult<Draft> {
        let draft = Draft::new(&self.in_storage(object));
        if draft.len() > MAX_OBJECT {
            let message = format!("the object has {} bytes, at most {MAX_OBJECT} are stored", draft.len());
            return Err(ApiError::too_large(message));
        }
        Ok(draft)
    }

    fn preview(&self, object: &Value) -> Arc<[u8]> {
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

/// Whether an object that is being deleted has nothing left that holds it.
pub(crate) fn is_finished(object: &Value) -> bool {
    let held = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    let namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    object["metadata"].get("deletionTimestamp").is_some_and(|at| !at.is_null())
        && !held(&object["metadata"]["finalizers"])
        && !(namespace && held(&object["spec"]["finalizers"]))
}

/// Whether anything but metadata and status differs.
fn spec_changed(old: &Value, new: &Value) -> bool {
    let empty = Map::new();
    let fields = |v: &Value| {
        let fields = v.as_object().unwrap_or(&empty).iter();
        let kept = fields.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status" | "apiVersion"));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
    };
    fields(old) != fields(new)
}

fn subresource(part: Part) -> Option<&'static str> {
    match part {
        Part::Main => None,
        Part::Status => Some("status"),
        Part::Scale => Some("scale"),
    }
}

/// A text field of the metadata.
pub(crate) fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove(field);
    }
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(fields) = object.as_object_mut() {
        set_field(fields, field, value);
    }
}

fn set_field(fields: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.shift_remove(field),
    };
}

/// An internal caller: the API server's own reconcilers.
pub(crate) fn controller(name: &str) -> Arc<Caller> {
    let mut principal = purlin_auth::Principal::service_account("kube-system", name);
    principal.groups.push(purlin_auth::rbac::MASTERS.into());
    Arc::new(Caller { principal, ..Caller::default() })
}

/// The `details` of a success.
pub(crate) fn details(served: &Served, key: &Key, uid: &str) -> Value {
    let def = served.def();
    let mut details = json!({"name": &*key.name, "kind": def.names.plural, "uid": uid});
    if !def.group.is_empty() {
        details["group"] = def.group.clone().into();
    }
    details
}
