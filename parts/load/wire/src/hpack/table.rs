//! The tables that fields refer to by number: the static one of RFC 7541, appendix A, and the dynamic one.
//!
//! The dynamic table's texts stand one behind the other in a single buffer, so that an entry is two slices of it and
//! entering one copies nothing twice: the decoder writes a literal to the buffer's end and the table then keeps it or
//! cuts it off. The space of entries that went is taken back when it has become as large as the table.

use std::collections::VecDeque;

use super::Error;

/// What an entry counts beyond its texts.
const OVERHEAD: usize = 32;

/// The static table; its first entry has the number 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    /// Texts of entries that went, of those that are there, and at last what is being decoded.
    text: Vec<u8>,
    /// How much has been cut off from the beginning of `text`.
    cut: usize,
    /// The oldest first.
    entries: VecDeque<Entry>,
    /// What the entries count together.
    size: usize,
    /// What they may count; the peer sets it up to `limit`.
    max: usize,
    limit: usize,
    version: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its name begins, from the beginning of all that `text` ever held.
    start: usize,
    name: usize,
    value: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.name + self.value + OVERHEAD
    }
}

impl Table {
    pub(super) fn new(limit: usize) -> Table {
        Table {
            text: Vec::with_capacity(2 * limit),
            cut: 0,
            entries: VecDeque::with_capacity(limit / OVERHEAD),
            size: 0,
            max: limit,
            limit,
            version: 0,
        }
    }

    /// Another number whenever the entries have changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The name and value with the number `index` of both tables.
    pub(super) fn get(&self, index: usize) -> Result<(&[u8], &[u8]), Error> {
        if let Some(&(name, value)) = STATIC.get(index.wrapping_sub(1)) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        // The newest entry has the lowest number.
        let nth = self.entries.len().checked_sub(index.saturating_sub(STATIC.len())).ok_or(Error::Index)?;
        let entry = self.entries.get(nth).ok_or(Error::Index)?;
        let text = &self.text[entry.start - self.cut..][..entry.name + entry.value];
        Ok(text.split_at(entry.name))
    }

    /// Sets what the entries may count together.
    pub(super) fn resize(&mut self, max: usize) -> Result<(), Error> {
        if max > self.limit {
            return Err(Error::TableSize);
        }
        self.max = max;
        self.version += 1;
        self.evict(0);
        Ok(())
    }

    /// The buffer, to whose end texts can be decoded.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Appends the name with the number `index` to the buffer.
    pub(super) fn append_name(&mut self, index: usize) -> Result<(), Error> {
        if let Some((name, _)) = STATIC.get(index.wrapping_sub(1)) {
            self.text.extend_from_slice(name.as_bytes());
            return Ok(());
        }
        let nth = self.entries.len().checked_sub(index.saturating_sub(STATIC.len())).ok_or(Error::Index)?;
        let entry = self.entries.get(nth).ok_or(Error::Index)?;
        let start = entry.start - self.cut;
        self.text.extend_from_within(start..start + entry.name);
        Ok(())
    }

    /// Enters what the buffer holds from `start` on, a name of `name` bytes and a value.
    pub(super) fn enter(&mut self, start: usize, name: usize) {
        let entry = Entry { start: self.cut + start, name, value: self.text.len() - start - name };
        self.version += 1;
        self.evict(entry.size());
        if entry.size() > self.max {
            // It empties the table, and that is not an error (section 4.4).
            self.text.clear();
            return;
        }
        self.size += entry.size();
        self.entries.push_back(entry);
        let gone = self.entries[0].start - self.cut;
        if gone > self.limit {
            self.text.drain(..gone);
            self.cut += gone;
        }
    }

    /// Lets the oldest entries go until there is room for `size` more, or none is left.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.max
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.size();
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}
