//! Readers: a few connections, each read one snapshot on a blocking thread.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::tx::Tx;
use crate::writer::{Deadline, panic_text};
use crate::{Location, StoreError};

/// More readers than this gain nothing on the machines we know, and each keeps a page cache.
const READERS: usize = 4;

pub(crate) struct Readers {
    location: Location,
    idle: Mutex<Vec<(rusqlite::Connection, Deadline)>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(location: Location) -> Self {
        Readers { location, idle: Mutex::new(Vec::new()), turns: Arc::new(Semaphore::new(READERS)) }
    }

    pub(crate) fn close(&self) {
        self.turns.close();
        self.idle.lock().clear();
    }

    fn connect(&self) -> Result<(rusqlite::Connection, Deadline), StoreError> {
        let mut conn = self.location.connect()?;
        conn.pragma_update(None, "query_only", true)?;
        conn.pragma_update(None, "cache_size", -1024)?;
        let deadline = Deadline::install(&mut conn, self.location.limit)?;
        Ok((conn, deadline))
    }

    /// Keeps a connection for the next read, unless its snapshot could not be ended or the store was closed.
    fn put_back(&self, conn: rusqlite::Connection, deadline: Deadline) {
        let mut idle = self.idle.lock();
        if conn.is_autocommit() && !self.turns.is_closed() {
            idle.push((conn, deadline));
        }
    }

    pub(crate) async fn read<T, E, F>(this: &Arc<Self>, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let turn = Arc::clone(&this.turns).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(this);
        let task = tokio::task::spawn_blocking(move || {
            // The work holds its turn, not the caller, who may go away before it ends.
            let _turn = turn;
            let idle = readers.idle.lock().pop();
            let (conn, deadline) = match idle {
                Some(idle) => idle,
                None => readers.connect()?,
            };
            let result = snapshot(&conn, &deadline, f);
            readers.put_back(conn, deadline);
            result
        });
        match task.await {
            Ok(result) => result,
            Err(e) if e.is_panic() => Err(StoreError::Panicked(panic_text(&*e.into_panic())).into()),
            Err(_) => Err(StoreError::Closed.into()),
        }
    }
}

fn snapshot<T, E: From<StoreError>>(
    conn: &rusqlite::Connection,
    deadline: &Deadline,
    f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    deadline.start();
    conn.execute_batch("BEGIN").map_err(StoreError::from)?;
    let result = f(&mut Tx::new(conn));
    deadline.stop();
    conn.execute_batch("ROLLBACK").map_err(StoreError::from)?;
    result
}
