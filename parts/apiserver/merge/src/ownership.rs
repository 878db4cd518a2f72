//! Server-side apply, and the ownership of fields after every other write.
//!
//! Follows `merge.Updater` of structured-merge-diff and the chain of managers of apimachinery's managedfields.
//! An apply merges the configuration into the live object, removes what the manager applied before and no longer
//! does (unless others own it), and refuses to change what others own unless it is forced. Any other write makes
//! its manager the owner of what it changed.
//!
//! Two deviations: an applier that comes to own fields without changing the object has a time, the current one;
//! upstream leaves the time of such an entry out. What becomes empty while somebody owns it stays empty here;
//! upstream makes it null.

use purlin_apiserver_schema::Schema;
use serde_json::{Map, Value};

use crate::check::check;
use crate::combine::combine;
use crate::compare::{Comparison, compare, same};
use crate::error::{ApplyError, Conflict};
use crate::fieldset::FieldSet;
use crate::lastapplied;
use crate::managers::{Entry, ManagedFields, ManagerId, Operation, is_reset, strip};
use crate::pathelement::Path;
use crate::shape::Node;
use crate::typed::{field_set, present, reconcile, remove, with_named_fields};

/// The most updaters of an object; the oldest beyond are merged into [`ANCIENT`].
const MAX_UPDATERS: usize = 10;

/// The manager of the updates of more than [`MAX_UPDATERS`] managers.
const ANCIENT: &str = "ancient-changes";

/// The manager of what an object without managers has when it is first applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Which fields have owners at the endpoint that is written to.
#[derive(Clone, Copy, Debug)]
pub enum Tracked<'a> {
    /// All.
    All,
    /// All but these and what lies in them: those that the endpoint resets.
    Except(&'a FieldSet),
    /// Only this field of the root: `status` at `/status`.
    Only(&'a str),
}

/// How a configuration is applied.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// Take what conflicts from its owners.
    pub force: bool,
    /// The version of the request.
    pub api_version: &'a str,
    /// The subresource of the request.
    pub subresource: Option<&'a str>,
    /// The current time in RFC 3339, to the second.
    pub now: &'a str,
    /// What has owners.
    pub tracked: Tracked<'a>,
}

/// Who created, replaced or patched an object.
#[derive(Clone, Copy, Debug)]
pub struct UpdateOptions<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The version of the request.
    pub api_version: &'a str,
    /// The subresource of the request.
    pub subresource: Option<&'a str>,
    /// The current time in RFC 3339, to the second.
    pub now: &'a str,
    /// What has owners.
    pub tracked: Tracked<'a>,
}

/// Merges an applied configuration into the live object, if any, and sets `metadata.managedFields`. An apply that
/// changes nothing returns an object equal to the live one.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    schema: &Schema,
    opts: &ApplyOptions<'_>,
) -> Result<Value, ApplyError> {
    let node = Node::Known(schema);
    check_request(node, applied, opts)?;
    let mut managed = live.map_or_else(|| Ok(ManagedFields::default()), ManagedFields::of).map_err(ApplyError::Live)?;
    let live = without_managers(live);
    if managed.0.is_empty() {
        let first = UpdateOptions {
            manager: BEFORE_FIRST_APPLY,
            api_version: opts.api_version,
            subresource: opts.subresource,
            now: opts.now,
            tracked: opts.tracked,
        };
        take_over(node, &mut managed, &Value::Object(Map::new()), &live, &first);
        cap_updaters(&mut managed);
    }
    managed.0.values_mut().for_each(|entry| entry.fields = reconcile(node, &entry.fields));

    let merge = Merge { node, live: &live, applied, opts };
    let (mut object, managed) = merge
        .run(managed.clone(), opts.force)
        .or_else(|conflicts| {
            let left = if opts.manager == lastapplied::KUBECTL {
                lastapplied::unresolved(node, &live, opts.api_version, conflicts)
            } else {
                conflicts
            };
            if left.is_empty() { merge.run(managed, true) } else { Err(left) }
        })
        .map_err(ApplyError::Conflicts)?;
    if opts.manager == lastapplied::KUBECTL {
        lastapplied::refresh(&mut object, applied);
    }
    managed.store(&mut object);
    Ok(object)
}

/// Sets `metadata.managedFields` of an object that is about to be created or to replace the live one. Managers that
/// the new object itself gives are taken where they can be read, except through a subresource; an empty list, or one
/// with one empty entry, forgets all.
pub fn update(live: Option<&Value>, new: &mut Value, schema: &Schema, opts: &UpdateOptions<'_>) {
    let mut managed = live_or_given(live, new, opts.subresource.is_some());
    strip(new);
    // The managers of an existing object that has none are told apart when it is first applied.
    if managed.0.is_empty() && live.is_some() {
        return;
    }
    let node = Node::Known(schema);
    take_over(node, &mut managed, &without_managers(live), new, opts);
    cap_updaters(&mut managed);
    managed.store(new);
}

fn check_request(node: Node<'_>, applied: &Value, opts: &ApplyOptions<'_>) -> Result<(), ApplyError> {
    let version = applied.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != opts.api_version {
        return Err(ApplyError::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, expected: {}",
            opts.api_version
        )));
    }
    if applied.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    match check(node, applied).as_slice() {
        [] => Ok(()),
        [only] => {
            Err(ApplyError::NotTyped(format!("failed to create typed patch object ({}): {only}", identity(applied))))
        }
        errors => Err(ApplyError::NotTyped(format!(
            "failed to create typed patch object ({}): errors:\n  {}",
            identity(applied),
            errors.join("\n  ")
        ))),
    }
}

/// `namespace/name; group/version, Kind=kind`.
fn identity(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let version = text("/apiVersion");
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{}/{}; {slash}{version}, Kind={}", text("/metadata/namespace"), text("/metadata/name"), text("/kind"))
}

fn without_managers(object: Option<&Value>) -> Value {
    let mut object = object.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    strip(&mut object);
    object
}

fn live_or_given(live: Option<&Value>, new: &Value, subresource: bool) -> ManagedFields {
    // Managers that cannot be read are none: a write must not fail by them.
    let of_live = || live.and_then(|live| ManagedFields::of(live).ok()).unwrap_or_default();
    if subresource {
        return of_live();
    }
    if is_reset(new) {
        return ManagedFields::default();
    }
    match ManagedFields::of(new) {
        Ok(given) if !given.0.is_empty() => given,
        _ => of_live(),
    }
}

/// What nobody owns: the server sets it, or it is the object's identity.
fn strip_identity(fields: &FieldSet) -> FieldSet {
    const METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let mut set = FieldSet::of_fields(&[&["apiVersion"], &["kind"], &["metadata"]]);
    for name in METADATA {
        set = set.union(&FieldSet::of_fields(&[&["metadata", name]]));
    }
    fields.difference(&set)
}

impl Tracked<'_> {
    fn keep(self, set: FieldSet) -> FieldSet {
        match self {
            Tracked::All => set,
            Tracked::Except(reset) => set.recursive_difference(reset),
            Tracked::Only(field) => set.only(field),
        }
    }
}

/// Makes the writer the owner of all that changed.
fn take_over(node: Node<'_>, managed: &mut ManagedFields, before: &Value, after: &Value, opts: &UpdateOptions<'_>) {
    managed.0.values_mut().for_each(|entry| entry.fields = reconcile(node, &entry.fields));
    let changes = compare(node, before, after).filter(|set| opts.tracked.keep(set));
    release(managed, &changes, None);
    let taken = strip_identity(&changes.modified.union(&changes.added));
    if taken.is_empty() {
        return;
    }
    let id = ManagerId::new(opts.manager, Operation::Update, opts.api_version, opts.subresource);
    let entry = managed.0.entry(id).or_insert_with(|| Entry {
        api_version: opts.api_version.to_owned(),
        time: None,
        fields: FieldSet::new(),
    });
    entry.fields = entry.fields.union(&taken);
    entry.time = Some(opts.now.to_owned());
}

/// Takes what changed or was removed from all managers but one; those that own nothing any more vanish.
fn release(managed: &mut ManagedFields, changes: &Comparison, except: Option<&ManagerId>) {
    managed.0.retain(|id, entry| {
        if except != Some(id) {
            for changed in [&changes.modified, &changes.added, &changes.removed] {
                entry.fields = entry.fields.difference(changed);
            }
        }
        !entry.fields.is_empty()
    });
}

/// Merges the oldest updaters, those of one version each into one, until there are no more than [`MAX_UPDATERS`].
fn cap_updaters(managed: &mut ManagedFields) {
    let mut updaters: Vec<(i64, ManagerId)> = managed
        .0
        .iter()
        .filter(|(id, _)| id.operation == Operation::Update)
        .map(|(id, entry)| (entry.seconds(), id.clone()))
        .collect();
    let mut surplus = updaters.len().saturating_sub(MAX_UPDATERS);
    updaters.sort();
    let mut first_of_version: Vec<ManagerId> = Vec::new();
    for (_, id) in updaters {
        if surplus == 0 {
            break;
        }
        let bucket = ManagerId::new(ANCIENT, Operation::Update, &id.api_version, None);
        let Some(first) = first_of_version.iter().find(|first| first.api_version == id.api_version).cloned() else {
            first_of_version.push(id);
            continue;
        };
        // The first one of a version becomes the bucket when a second one is merged into it.
        if !managed.0.contains_key(&bucket)
            && let Some(entry) = managed.0.remove(&first)
        {
            managed.0.insert(bucket.clone(), entry);
        }
        if id != bucket
            && let Some(merged) = managed.0.remove(&id)
            && let Some(entry) = managed.0.get_mut(&bucket)
        {
            entry.fields = entry.fields.union(&merged.fields);
            entry.time = merged.time;
            surplus -= 1;
        }
    }
}

/// One configuration to be merged into a live object, both without managers.
struct Merge<'a> {
    node: Node<'a>,
    live: &'a Value,
    applied: &'a Value,
    opts: &'a ApplyOptions<'a>,
}

impl Merge<'_> {
    fn run(&self, mut managed: ManagedFields, force: bool) -> Result<(Value, ManagedFields), Vec<Conflict>> {
        let Merge { node, live, applied, opts } = *self;
        let id = ManagerId::new(opts.manager, Operation::Apply, opts.api_version, opts.subresource);
        let fields = opts.tracked.keep(field_set(node, applied));
        let time = managed.0.get(&id).and_then(|entry| entry.time.clone());
        let entry = Entry { api_version: opts.api_version.to_owned(), time, fields };
        let last = managed.0.insert(id.clone(), entry);

        let object = combine(node, live, applied);
        let object = match &last {
            Some(last) => prune(node, object, &last.fields, &managed),
            None => object,
        };
        let changes = compare(node, live, &object).filter(|set| opts.tracked.keep(set));
        if !force {
            let conflicts = conflicts(&managed, &changes, &id);
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        release(&mut managed, &changes, Some(&id));
        if let Some(mut entry) = managed.0.remove(&id) {
            entry.fields = strip_identity(&entry.fields);
            let changed = !same(live, &object) || last.is_none_or(|last| last.fields != entry.fields);
            if changed {
                entry.time = Some(opts.now.to_owned());
            }
            if !entry.fields.is_empty() {
                managed.0.insert(id, entry);
            }
        }
        Ok((object, managed))
    }
}

fn conflicts(managed: &ManagedFields, changes: &Comparison, applier: &ManagerId) -> Vec<Conflict> {
    let changed = changes.modified.union(&changes.added);
    let of = |owner: &ManagerId, path: Path| Conflict { owner: owner.clone(), path };
    managed
        .0
        .iter()
        .filter(|(id, _)| *id != applier)
        .flat_map(|(id, entry)| entry.fields.intersection(&changed).paths().into_iter().map(|path| of(id, path)))
        .collect()
}

/// Removes what the applier owned and no longer applies, unless another manager owns it.
fn prune(node: Node<'_>, merged: Value, last: &FieldSet, managed: &ManagedFields) -> Value {
    if last.is_empty() {
        return merged;
    }
    let named = |set: &FieldSet| with_named_fields(node, set);
    let owned = managed.0.values().fold(FieldSet::new(), |all, entry| all.union(&entry.fields));
    let (last, owned, all) = (named(last), named(&owned), named(&field_set(node, &merged)));

    // What went with an item or object that the applier owned, but is owned by others, comes back.
    let pruned = remove(node, &merged, &last);
    let unowned = all.difference(&present(node, &pruned).union(&owned));
    let pruned = remove(node, &merged, &unowned);
    // So does what nobody owns, within what is left.
    let dangling = all.difference(&present(node, &pruned)).intersection(&last);
    remove(node, &merged, &dangling)
}

#[cfg(test)]
mod tests;
