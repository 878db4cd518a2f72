//! A transaction as closures see it: SQL text, parameters, rows, and what is to happen after the commit.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

use crate::StoreError;

/// A parameter `?1`, `?2`, ... of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Param::Int(value)
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Param::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Param::Blob(value)
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Param::Null => ValueRef::Null,
            Param::Int(i) => ValueRef::Integer(i),
            Param::Text(t) => ValueRef::Text(t.as_bytes()),
            Param::Blob(b) => ValueRef::Blob(b),
        }))
    }
}

/// One row of a result; columns count from 0.
pub struct Row<'r>(&'r rusqlite::Row<'r>);

impl Row<'_> {
    /// An integer column.
    ///
    /// # Errors
    /// When the column is no integer.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        Ok(self.0.get(column)?)
    }

    /// A text column.
    ///
    /// # Errors
    /// When the column is no text.
    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.0.get_ref(column)?.as_str().map_err(|e| StoreError::Sql(e.to_string()))
    }

    /// A column of bytes.
    ///
    /// # Errors
    /// When the column holds no bytes.
    pub fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        self.0.get_ref(column)?.as_blob().map_err(|e| StoreError::Sql(e.to_string()))
    }
}

/// A transaction; statements are prepared once per connection.
pub struct Tx<'c> {
    conn: &'c Connection,
    pub(crate) after: Vec<Box<dyn FnOnce() + Send>>,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Tx { conn, after: Vec::new() }
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'c>, StoreError> {
        // After some errors SQLite rolls back the whole transaction: what follows must not commit by itself.
        if self.conn.is_autocommit() {
            return Err(StoreError::Sql("the transaction was rolled back by an earlier error".into()));
        }
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// What the database says.
    pub fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<usize, StoreError> {
        Ok(self.prepare(sql)?.execute(rusqlite::params_from_iter(params))?)
    }

    /// Calls `f` for each row.
    ///
    /// # Errors
    /// What the database or `f` says.
    pub fn query<E: From<StoreError>>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut f: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            f(&Row(row))?;
        }
        Ok(())
    }

    /// The first row, where there is one.
    ///
    /// # Errors
    /// What the database or `f` says.
    pub fn query_one<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        f: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        rows.next()?.map(|row| f(&Row(row))).transpose()
    }

    /// Leaves something to be done once this write is on disk, before it is acknowledged, in commit order.
    /// It runs on the writer's thread: it must not block. In a read it never runs.
    pub fn on_commit(&mut self, f: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(f));
    }
}
