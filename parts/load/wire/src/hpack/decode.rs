//! Reading header blocks (RFC 7541, sections 5 and 6).

use super::table::Table;
use super::{Error, huffman};

/// How many changes of the table's size a block may begin with (section 4.2).
const MAX_RESIZES: usize = 2;

/// Decodes the header blocks of one connection, in the order in which they came.
///
/// Limits: the dynamic table is never larger than agreed, a string never longer than 8/5 of its block. What a block
/// stands for can be far larger, since an octet can refer to a long entry: whoever stores fields has to count.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
}

impl Decoder {
    /// One whose dynamic table counts at most `limit`, the `SETTINGS_HEADER_TABLE_SIZE` that the peer was told.
    pub fn new(limit: usize) -> Decoder {
        Decoder { table: Table::new(limit) }
    }

    /// Another number whenever the dynamic table has changed. A block that leaves it as it was stands for the same
    /// fields as long as the number is the same.
    pub fn version(&self) -> u64 {
        self.table.version()
    }

    /// Calls `field` with each name and value of `block`. After an error the decoder is of no further use.
    pub fn decode(&mut self, mut block: &[u8], mut field: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
        let mut resizes = 0;
        while let Some(0x20..=0x3f) = block.first() {
            resizes += 1;
            if resizes > MAX_RESIZES {
                return Err(Error::TableSize);
            }
            let size = integer(&mut block, 5)?;
            self.table.resize(size)?;
        }
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let (name, value) = self.table.get(integer(&mut block, 7)?)?;
                    field(name, value);
                }
                0x40.. => {
                    let (start, name) = self.literal(&mut block, 6, &mut field)?;
                    self.table.enter(start, name);
                }
                0x20.. => return Err(Error::TableSizeLate),
                _ => {
                    let (start, _) = self.literal(&mut block, 4, &mut field)?;
                    self.table.text().truncate(start);
                }
            }
        }
        Ok(())
    }

    /// Decodes a literal to the end of the table's buffer; returns where it begins and how long its name is.
    fn literal(
        &mut self,
        block: &mut &[u8],
        prefix: u32,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(usize, usize), Error> {
        let start = self.table.text().len();
        match integer(block, prefix)? {
            0 => string(block, self.table.text())?,
            index => self.table.append_name(index)?,
        }
        let text = self.table.text();
        let name = text.len() - start;
        string(block, text)?;
        let (name_text, value) = text[start..].split_at(name);
        field(name_text, value);
        Ok((start, name))
    }
}

/// Takes an integer, which begins in the lowest `prefix` bits of the first octet.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Error> {
    let mut next = || {
        let (&octet, rest) = block.split_first().ok_or(Error::Truncated)?;
        *block = rest;
        Ok(usize::from(octet))
    };
    let mask = (1 << prefix) - 1;
    let mut value = next()? & mask;
    if value < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let octet = next()?;
        value += (octet & 0x7f) << shift;
        if octet < 0x80 {
            return Ok(value);
        }
    }
    Err(Error::Integer)
}

/// Takes a string and appends it to `out`.
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Error::Truncated)?;
    *block = rest;
    if coded {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
impl Decoder {
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}
