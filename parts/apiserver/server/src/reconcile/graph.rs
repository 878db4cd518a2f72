//! Who owns whom: the garbage collector's index, and what each event gives it to do.
//!
//! A pure state machine: events in, tasks out. It remembers only what events said; before a task acts, the worker
//! reads the objects again, so a task that is no longer due does nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::storage::{EventKind, Key};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Task {
    /// An object with owners: does one of them still exist?
    Verify(Key),
    /// An object that is to go after those that it owns.
    Foreground(Key),
    /// An object that is to go and leave those that it owns behind.
    Orphan(Key),
}

type Uid = Arc<str>;

/// The index.
#[derive(Default)]
pub(super) struct Graph {
    /// The owners of each object that has some, and whether it blocks their deletion.
    owners: HashMap<Key, Vec<(Uid, bool)>>,
    dependents: HashMap<Uid, BTreeSet<Key>>,
    /// Objects that wait for those that they own.
    waiting: HashMap<Uid, Key>,
}

impl Graph {
    /// Takes in an event; `object` is the object after it, or as it was deleted.
    pub(super) fn observe(&mut self, key: &Key, kind: EventKind, object: &Value) -> Vec<Task> {
        if kind == EventKind::Deleted { self.deleted(key, object) } else { self.written(key, object) }
    }

    fn written(&mut self, key: &Key, object: &Value) -> Vec<Task> {
        let mut tasks = Vec::new();
        let owner = |r: &Value| Some((r["uid"].as_str()?.into(), r["blockOwnerDeletion"] == true));
        let owners: Vec<(Uid, bool)> = references(object).filter_map(owner).collect();
        if self.owners.get(key).map_or(!owners.is_empty(), |before| *before != owners) {
            // An owner may have waited for just this one.
            tasks.extend(self.waiting_owners(key));
            if !owners.is_empty() {
                tasks.push(Task::Verify(key.clone()));
            }
            self.set_owners(key, owners);
        }
        if !super::is_terminating(object) {
            return tasks;
        }
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        self.waiting.remove(uid);
        let held =
            |name: &str| object["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|f| f == name));
        if held(ORPHAN) {
            tasks.push(Task::Orphan(key.clone()));
        } else if held(FOREGROUND) {
            self.waiting.insert(uid.into(), key.clone());
            tasks.push(Task::Foreground(key.clone()));
        }
        tasks
    }

    fn deleted(&mut self, key: &Key, object: &Value) -> Vec<Task> {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        self.waiting.remove(uid);
        let waiting = self.waiting_owners(key);
        self.set_owners(key, Vec::new());
        let left = self.dependents(uid).into_iter().map(Task::Verify);
        left.chain(waiting).collect()
    }

    /// To look at the owners that wait for this object.
    fn waiting_owners(&self, key: &Key) -> Vec<Task> {
        let owners = self.owners.get(key).into_iter().flatten();
        owners.filter_map(|(owner, _)| self.waiting.get(owner)).cloned().map(Task::Foreground).collect()
    }

    fn set_owners(&mut self, key: &Key, owners: Vec<(Uid, bool)>) {
        for (owner, _) in self.owners.remove(key).unwrap_or_default() {
            if let Some(dependents) = self.dependents.get_mut(&owner) {
                dependents.remove(key);
                if dependents.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
        for (owner, _) in &owners {
            self.dependents.entry(Arc::clone(owner)).or_default().insert(key.clone());
        }
        if !owners.is_empty() {
            self.owners.insert(key.clone(), owners);
        }
    }

    /// The objects that name `uid` as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Whether the object of this uid waits for those that it owns.
    pub(super) fn is_waiting(&self, uid: &str) -> bool {
        self.waiting.contains_key(uid)
    }

    /// Whether something owned by `uid` would itself have to wait for objects that wait for nothing yet: in a circle,
    /// somebody has to go first.
    pub(super) fn should_wait(&self, uid: &str) -> bool {
        let waiting: BTreeSet<&Key> = self.waiting.values().collect();
        self.dependents.get(uid).is_some_and(|dependents| dependents.iter().any(|key| !waiting.contains(key)))
    }
}

/// The owner references of an object.
pub(super) fn references(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        Key { gr: "x".into(), ns: "n".into(), name: name.into() }
    }

    fn object(uid: &str, owners: &[&str], finalizers: &[&str]) -> Value {
        let owners: Vec<Value> = owners.iter().map(|uid| json!({"uid": uid})).collect();
        let mut metadata = json!({"uid": uid, "ownerReferences": owners, "finalizers": finalizers});
        if !finalizers.is_empty() {
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        json!({"metadata": metadata})
    }

    #[test]
    fn dependents_are_verified_when_their_owner_goes() {
        let mut graph = Graph::default();
        assert_eq!(graph.observe(&key("a"), EventKind::Added, &object("A", &[], &[])), []);
        assert_eq!(graph.observe(&key("b"), EventKind::Added, &object("B", &["A"], &[])), [Task::Verify(key("b"))]);
        assert_eq!(graph.observe(&key("b"), EventKind::Modified, &object("B", &["A"], &[])), []);
        assert_eq!(graph.observe(&key("a"), EventKind::Deleted, &object("A", &[], &[])), [Task::Verify(key("b"))]);
        graph.observe(&key("b"), EventKind::Deleted, &object("B", &["A"], &[]));
        assert!(graph.owners.is_empty() && graph.dependents.is_empty());
    }

    #[test]
    fn a_waiting_owner_is_looked_at_when_a_dependent_goes() {
        let mut graph = Graph::default();
        graph.observe(&key("b"), EventKind::Added, &object("B", &["A"], &[]));
        let marked = object("A", &[], &[FOREGROUND]);
        assert_eq!(graph.observe(&key("a"), EventKind::Modified, &marked), [Task::Foreground(key("a"))]);
        let gone = graph.observe(&key("b"), EventKind::Deleted, &object("B", &["A"], &[]));
        assert_eq!(gone, [Task::Foreground(key("a"))]);
        graph.observe(&key("a"), EventKind::Deleted, &marked);
        assert!(graph.waiting.is_empty());
    }

    #[test]
    fn a_waiting_owner_is_looked_at_when_a_dependent_leaves_it() {
        let mut graph = Graph::default();
        graph.observe(&key("b"), EventKind::Added, &object("B", &["A"], &[]));
        graph.observe(&key("a"), EventKind::Modified, &object("A", &[], &[FOREGROUND]));
        let left = graph.observe(&key("b"), EventKind::Modified, &object("B", &[], &[]));
        assert_eq!(left, [Task::Foreground(key("a"))]);
        // Whoever no longer has the finalizer waits for nothing.
        graph.observe(&key("a"), EventKind::Modified, &object("A", &[], &["x/y"]));
        assert!(graph.waiting.is_empty());
    }

    #[test]
    fn in_a_circle_somebody_goes_first() {
        let mut graph = Graph::default();
        graph.observe(&key("a"), EventKind::Added, &object("A", &["B"], &[]));
        graph.observe(&key("b"), EventKind::Added, &object("B", &["A"], &[]));
        assert!(graph.should_wait("B"));
        graph.observe(&key("a"), EventKind::Modified, &object("A", &["B"], &[FOREGROUND]));
        assert!(!graph.should_wait("B"));
    }
}
