//! Reading objects: one, or a page of a collection, now or at an earlier revision.

use std::sync::Arc;

use purlin_store::{Param, StoreError, Tx};

use super::{Key, Storage, Stored, meta};

/// A page of a collection.
pub(crate) struct Page {
    /// In order of namespace and name.
    pub(crate) items: Vec<Stored>,
    /// The revision at which the page is true.
    pub(crate) rv: i64,
    /// There is more after the last item.
    pub(crate) more: bool,
    /// How much more, where no filter makes that unknown.
    pub(crate) remaining: Option<i64>,
}

/// Which page.
pub(crate) struct PageQuery {
    pub(crate) gr: Arc<str>,
    /// None for all namespaces.
    pub(crate) ns: Option<Arc<str>>,
    /// Only what comes after this (namespace, name).
    pub(crate) after: Option<(String, String)>,
    /// 0 for no limit.
    pub(crate) limit: usize,
    /// None for the newest revision.
    pub(crate) at: Option<i64>,
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The log no longer reaches the revision.
    Compacted,
    /// The revision is not committed yet; this is the newest.
    Future(i64),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        ReadError::Store(error)
    }
}

/// Whether an object belongs to the page, by its body.
pub(crate) type Filter = Box<dyn Fn(&Stored) -> bool + Send>;

impl Storage {
    /// The newest state of one object.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let key = key.clone();
        self.store
            .read(move |tx| {
                let sql = "SELECT rv, body FROM obj WHERE gr = ?1 AND ns = ?2 AND name = ?3";
                let at = [(&*key.gr).into(), (&*key.ns).into(), (&*key.name).into()];
                let found = tx.query_one(sql, &at, |row| Ok((row.int(0)?, row.blob(1)?.into())))?;
                Ok(found.map(|(rv, body)| Stored { key, rv, body }))
            })
            .await
    }

    /// Whether anything can be read.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        self.store.read(|tx| meta(tx, "revision").map(drop)).await
    }

    /// One page of a collection.
    pub(crate) async fn page(&self, query: PageQuery, filter: Option<Filter>) -> Result<Page, ReadError> {
        self.store.read(move |tx| page(tx, &query, filter.as_ref())).await
    }
}

fn page(tx: &mut Tx<'_>, query: &PageQuery, filter: Option<&Filter>) -> Result<Page, ReadError> {
    let now = meta(tx, "revision")?;
    let rv = query.at.unwrap_or(now);
    if rv > now {
        return Err(ReadError::Future(now));
    }
    if rv < meta(tx, "compacted")? {
        return Err(ReadError::Compacted);
    }
    let mut items = live(tx, query, filter, rv)?;
    if rv < now {
        items.extend(past(tx, query, filter, rv)?);
        items.sort_by(|a, b| a.key.cmp(&b.key));
    }
    let more = query.limit > 0 && items.len() > query.limit;
    if more {
        items.truncate(query.limit);
    }
    let remaining = match items.last() {
        Some(last) if more && filter.is_none() => Some(count_after(tx, query, &last.key)?),
        _ => None,
    };
    Ok(Page { items, rv, more, remaining })
}

/// The WHERE clause of a page's key range and its parameters, in the order `?1` gr, `?2` ns, `?3` name.
fn range(query: &PageQuery) -> (&'static str, [Param<'_>; 3]) {
    let gr = Param::Text(&query.gr);
    match (&query.ns, &query.after) {
        (Some(ns), None) => ("gr = ?1 AND ns = ?2 AND name > ?3", [gr, Param::Text(ns), Param::Text("")]),
        (Some(ns), Some((_, name))) => ("gr = ?1 AND ns = ?2 AND name > ?3", [gr, Param::Text(ns), Param::Text(name)]),
        (None, None) => ("gr = ?1 AND (ns, name) > (?2, ?3)", [gr, Param::Text(""), Param::Text("")]),
        (None, Some((ns, name))) => ("gr = ?1 AND (ns, name) > (?2, ?3)", [gr, Param::Text(ns), Param::Text(name)]),
    }
}

/// What the newest state has of the page: all that was not written after `rv`.
fn live(tx: &mut Tx<'_>, query: &PageQuery, filter: Option<&Filter>, rv: i64) -> Result<Vec<Stored>, ReadError> {
    let (clause, [gr, ns, name]) = range(query);
    let sql = format!("SELECT ns, name, rv, body FROM obj WHERE {clause} AND rv <= ?4 ORDER BY ns, name");
    collect(tx, query, filter, &sql, &[gr, ns, name, rv.into()])
}

/// What the log has of it: objects that were written after `rv`, as they were.
fn past(tx: &mut Tx<'_>, query: &PageQuery, filter: Option<&Filter>, rv: i64) -> Result<Vec<Stored>, ReadError> {
    let (clause, [gr, ns, name]) = range(query);
    let sql = format!(
        "SELECT ns, name, prev_rv, prev FROM log WHERE {clause} AND rv > ?4 AND prev IS NOT NULL
         AND prev_rv <= ?4 ORDER BY ns, name"
    );
    collect(tx, query, filter, &sql, &[gr, ns, name, rv.into()])
}

/// Runs a query of (ns, name, rv, body) until the page is full and one more tells that there is more.
fn collect(
    tx: &mut Tx<'_>,
    query: &PageQuery,
    filter: Option<&Filter>,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<Stored>, ReadError> {
    let enough = if query.limit == 0 { usize::MAX } else { query.limit + 1 };
    let sql = if filter.is_none() && query.limit > 0 { format!("{sql} LIMIT {enough}") } else { sql.to_owned() };
    let mut items = Vec::new();
    tx.query(&sql, params, |row| {
        if items.len() >= enough {
            return Ok(());
        }
        let key = Key { gr: Arc::clone(&query.gr), ns: row.text(0)?.into(), name: row.text(1)?.into() };
        let stored = Stored { key, rv: row.int(2)?, body: row.blob(3)?.into() };
        if filter.is_none_or(|matches| matches(&stored)) {
            items.push(stored);
        }
        Ok::<(), ReadError>(())
    })?;
    Ok(items)
}

fn count_after(tx: &mut Tx<'_>, query: &PageQuery, last: &Key) -> Result<i64, StoreError> {
    let rest = PageQuery {
        gr: Arc::clone(&query.gr),
        ns: query.ns.clone(),
        after: Some((last.ns.to_string(), last.name.to_string())),
        limit: 0,
        at: None,
    };
    let (clause, params) = range(&rest);
    let count = tx.query_one(&format!("SELECT count(*) FROM obj WHERE {clause}"), &params, |row| row.int(0))?;
    Ok(count.unwrap_or_default())
}
