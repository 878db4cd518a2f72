//! The writer: takes an object from what a client sent to what is stored.
//!
//! prune (unknown fields are refused, told or dropped) -> default -> carry over what the client may not decide ->
//! owners (managedFields) -> what the kind's code fills in -> validate -> compare-and-swap with its audit row.
//! The same way is taken by requests, and by the reconcilers of the API server itself.

use std::sync::Arc;

use purlin_apiserver_merge::{ApplyOptions, FieldSet, Tracked, UpdateOptions, apply as merge_applied, update as own};
use purlin_apiserver_schema::{default, drop_empty, drop_empty_metadata, prune};
use purlin_auth::Caller;
use purlin_auth::rbac::{Attributes, Target};
use serde_json::{Value, json};
use uuid::Uuid;

use super::identity::{is_finished, metadata, remove, spec_changed};
use super::patch::apply_error;
use crate::api::Api;
use crate::catalog::Served;
use crate::error::{ApiError, ApiResult};
use crate::options::FieldValidation;
use crate::special;
use crate::storage::{Change, CommitError, Key, Stored};
use crate::verbs::Part;

/// How often a change without a revision is tried again when others are faster: whoever names no revision should not
/// hear of conflicts, however many write at a time.
const TRIES: usize = 200;
/// How many generated names are tried.
const NAMES: usize = 8;

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
        let given = metadata(&object, "name").is_some_and(|name| !name.is_empty());
        let prefix = metadata(&object, "generateName").unwrap_or_default().to_owned();
        if given || prefix.is_empty() {
            return self.created(object, warnings, None).await;
        }
        for _ in 1..NAMES {
            object["metadata"]["name"] = generated(&prefix).into();
            match self.created(object.clone(), warnings.clone(), None).await {
                Err(error) if error.reason == "AlreadyExists" => {}
                done => return done,
            }
        }
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
            let warnings = self.shape(&mut new, duplicates)?;
            self.confirm_identity(key, &old, &mut new)?;
            self.carry_over(&old, &mut new, part);
            self.own(Some(&old), &mut new, part);
            if let Some(written) = self.replaced(&stored, &old, new, part, warnings).await? {
                return Ok(written);
            }
        }
        Err(ApiError::modified(self.served.def(), &key.name))
    }

    /// Merges an applied configuration; creates the object where there is none.
    pub(crate) async fn apply(&self, key: &Key, part: Part, duplicates: &[String], apply: Apply) -> ApiResult<Written> {
        let Apply { mut applied, force } = apply;
        // Defaults come after the merge: what the server fills in, the applier does not own.
        let warnings = self.pruned(&mut applied, duplicates)?;
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
                self.confirm_may_create(key)?;
                let mut object = applied.clone();
                object["metadata"]["name"] = (&*key.name).into();
                match self.created(object, warnings.clone(), Some(force)).await {
                    Err(error) if error.reason == "AlreadyExists" => continue,
                    done => return done,
                }
            };
            let old = self.served.object(&stored.body);
            let mut new = self.merged(Some(&old), &applied, part, force)?;
            self.default(&mut new);
            self.confirm_identity(key, &old, &mut new)?;
            self.carry_over(&old, &mut new, part);
            if let Some(written) = self.replaced(&stored, &old, new, part, warnings.clone()).await? {
                return Ok(written);
            }
        }
        Err(ApiError::modified(self.served.def(), &key.name))
    }

    /// Who applies what is not there yet needs the right to create it, not only to patch.
    fn confirm_may_create(&self, key: &Key) -> ApiResult<()> {
        let def = self.served.def();
        let target = Target::Resource {
            group: &def.group,
            resource: &def.names.plural,
            subresource: "",
            namespace: &key.ns,
            name: &key.name,
        };
        self.api.authorize(&self.caller, &Attributes { verb: "create", target })
    }

    /// Prunes and defaults what a client sent; the warnings, or 400 under Strict.
    fn shape(&self, object: &mut Value, duplicates: &[String]) -> ApiResult<Vec<String>> {
        let warnings = self.pruned(object, duplicates)?;
        self.default(object);
        Ok(warnings)
    }

    fn default(&self, object: &mut Value) {
        let schema = &self.served.version().schema;
        default(object, schema);
        (self.served.def().strategy.default)(object);
        if !self.served.resource.is_custom() {
            drop_empty(object, schema);
        }
        if let (Some(metadata), Some(schema)) = (object.get_mut("metadata"), schema.properties.get("metadata")) {
            drop_empty_metadata(metadata, schema);
        }
    }

    /// Drops what the schema does not know; the warnings, or 400 under Strict.
    fn pruned(&self, object: &mut Value, duplicates: &[String]) -> ApiResult<Vec<String>> {
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
        Ok(warnings)
    }

    /// Stores a new object; `applied` says that it comes of an apply, forced or not.
    async fn created(&self, mut object: Value, warnings: Vec<String>, applied: Option<bool>) -> ApiResult<Written> {
        let def = self.served.def();
        if !def.verbs.contains(&"create") {
            // Its definition is being deleted.
            return Err(ApiError::method_not_allowed());
        }
        match applied {
            None => self.own(None, &mut object, Part::Main),
            Some(force) => {
                object = self.merged(None, &object, Part::Main, force)?;
                self.default(&mut object);
            }
        }
        (def.strategy.prepare_create)(&mut object);
        let status_is_ours = self.served.resource.is_custom() && self.served.version().status;
        if status_is_ours {
            remove(&mut object, "status");
        }
        if let Some(fields) = object["metadata"].as_object_mut() {
            for field in
                ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"]
            {
                fields.shift_remove(field);
            }
            fields.insert("uid".to_owned(), Uuid::new_v4().to_string().into());
            fields.insert("creationTimestamp".to_owned(), self.api.now().into());
            if def.strategy.generation {
                fields.insert("generation".to_owned(), 1.into());
            }
        }
        let _reserved = special::prepare(self, &mut object, None)?;
        self.validate(&object, None)?;
        if status_is_ours {
            // kube-apiserver defaults what it reads back, and with it the status that it has just dropped. Here what
            // is stored is sent, so the default is stored.
            default(&mut object, &self.served.version().schema);
        }
        let name = metadata(&object, "name").unwrap_or_default().to_owned();
        let key = self.served.key(metadata(&object, "namespace"), &name);
        self.confirm_namespace_lives(&key)?;
        let draft = self.draft(&object)?;
        let body = if self.dry_run {
            self.confirm_free(&key).await?;
            self.preview(&object)
        } else {
            let stored = self.commit(key, Change::Create(draft)).await?;
            self.confirm_served(&stored).await?;
            stored.body
        };
        Ok(Written { body, created: true, deleted: false, warnings })
    }

    /// What the transaction would check of a creation, for one that is only tried.
    async fn confirm_free(&self, key: &Key) -> ApiResult<()> {
        if self.stored(key).await?.is_some() {
            return Err(self.refused(key, CommitError::Exists));
        }
        let namespace = Key { gr: "namespaces".into(), ns: "".into(), name: Arc::clone(&key.ns) };
        if !key.ns.is_empty() && self.stored(&namespace).await?.is_none() {
            return Err(self.refused(key, CommitError::NoNamespace));
        }
        Ok(())
    }

    /// Takes a custom object back that came after its definition had gone: nobody could reach it.
    async fn confirm_served(&self, stored: &Stored) -> ApiResult<()> {
        let def = self.served.def();
        let found = self.api.catalog.load().find(&def.group, &self.served.version().name, &def.names.plural);
        if !self.served.resource.is_custom() || found.is_some_and(|found| found.def().origin == def.origin) {
            return Ok(());
        }
        match self.try_commit(stored.key.clone(), Change::Delete(stored.rv)).await {
            Ok(_) | Err(CommitError::Missing | CommitError::Changed) => Err(ApiError::no_such_path()),
            Err(error) => Err(self.refused(&stored.key, error)),
        }
    }

    /// Stores what an object has become; None when somebody else was faster and no revision was named.
    async fn replaced(
        &self,
        stored: &Stored,
        old: &Value,
        mut new: Value,
        part: Part,
        warnings: Vec<String>,
    ) -> ApiResult<Option<Written>> {
        let def = self.served.def();
        if part != Part::Status {
            (def.strategy.prepare_update)(&mut new, old);
        }
        let _reserved = special::prepare(self, &mut new, Some(old))?;
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
            Ok(now) => Ok(Some(Written { body: now.body, created: false, deleted, warnings })),
            Err(CommitError::Changed) => Ok(None),
            Err(error) => Err(self.refused(&stored.key, error)),
        }
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
}

/// A name that begins with `prefix`, as kube-apiserver makes it: the whole stays within 63 characters.
fn generated(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name: String = prefix.chars().take(58).collect();
    name.extend((0..5).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])));
    name
}

fn subresource(part: Part) -> Option<&'static str> {
    match part {
        Part::Main => None,
        Part::Status => Some("status"),
        Part::Scale => Some("scale"),
    }
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
