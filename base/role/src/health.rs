//! Readiness by named gates: the process is ready when every gate is.
//!
//! A role takes its gates from its context before it begins; `/readyz?verbose` shows which one is still shut.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The gates of a process; clones share them.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    gates: Mutex<BTreeMap<String, bool>>,
    all: watch::Sender<bool>,
}

impl Default for Health {
    fn default() -> Self {
        Health(Arc::new(Inner { gates: Mutex::default(), all: watch::Sender::new(true) }))
    }
}

impl Health {
    /// A gate, shut until [`Gate::open`]; the same name is the same gate.
    pub fn gate(&self, name: &str) -> Gate {
        self.set(name, false);
        Gate { health: self.clone(), name: name.to_owned() }
    }

    /// Each gate and whether it is open, by name.
    pub fn gates(&self) -> Vec<(String, bool)> {
        self.0.gates.lock().iter().map(|(name, open)| (name.clone(), *open)).collect()
    }

    /// Whether every gate is open.
    pub fn is_ready(&self) -> bool {
        *self.0.all.borrow()
    }

    /// Returns once every gate is open.
    pub async fn ready(&self) {
        let mut all = self.0.all.subscribe();
        // The sender lives as long as `self`.
        let _ = all.wait_for(|ready| *ready).await;
    }

    fn set(&self, name: &str, open: bool) {
        let mut gates = self.0.gates.lock();
        gates.insert(name.to_owned(), open);
        let all = gates.values().all(|open| *open);
        self.0.all.send_replace(all);
    }
}

/// One named condition of readiness.
#[derive(Clone)]
pub struct Gate {
    health: Health,
    name: String,
}

impl Gate {
    /// The condition holds.
    pub fn open(&self) {
        self.health.set(&self.name, true);
    }

    /// The condition holds no longer.
    pub fn shut(&self) {
        self.health.set(&self.name, false);
    }

    /// Returns once the condition holds.
    pub async fn opened(&self) {
        // Every change of any gate is signalled, after it was made.
        let mut changes = self.health.0.all.subscribe();
        while !self.is_open() {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    fn is_open(&self) -> bool {
        self.health.0.gates.lock().get(&self.name).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_all_gates() {
        let health = Health::default();
        assert!(health.is_ready());
        let (a, b) = (health.gate("a"), health.gate("b"));
        a.open();
        assert!(!health.is_ready());
        b.open();
        assert!(health.is_ready());
        a.shut();
        assert_eq!(health.gates(), [("a".to_owned(), false), ("b".to_owned(), true)]);
        assert!(!health.is_ready());
    }

    #[tokio::test]
    async fn one_gate_is_waited_for_whatever_the_others_do() {
        let health = Health::default();
        let (shut, gate) = (health.gate("shut"), health.gate("gate"));
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.opened().await }
        });
        tokio::task::yield_now().await;
        shut.shut();
        gate.open();
        waiting.await.unwrap();
        assert!(!health.is_ready());
    }
}
