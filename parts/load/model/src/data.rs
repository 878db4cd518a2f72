//! Rows from a CSV file (RFC 4180), whose first line names the columns.

use crate::plan::{Data, Order};
use crate::{iteration, template};

/// The largest file.
pub const MAX_BYTES: usize = 64 << 20;
/// The most rows.
pub const MAX_ROWS: usize = 1_000_000;
/// The most columns.
pub const MAX_COLUMNS: usize = 100;

/// Why a CSV file is no data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Larger than [`MAX_BYTES`].
    #[error("it has {0} bytes; 67108864 (64 MiB) are read at most")]
    Bytes(usize),
    /// More than [`MAX_ROWS`].
    #[error("line {0}: it has more than 1000000 rows")]
    Rows(u64),
    /// More than [`MAX_COLUMNS`].
    #[error("line 1: it has {0} columns; 100 are read at most")]
    Columns(usize),
    /// A first line that names no variable.
    #[error(
        "line 1: {0:?} cannot be the name of a column: the first line must name the columns, each with letters, digits and _{1}"
    )]
    Name(String, &'static str),
    /// A name that something else has.
    #[error(
        "line 1: there is another {0:?}: the names of columns must differ, and iteration, uuid and random are taken"
    )]
    Taken(String),
    /// Nothing below the first line.
    #[error("it has no rows: values are expected below the first line, which names the columns")]
    Empty,
    /// A row that is longer or shorter than the first line.
    #[error("line {line}: it has {found} values, but the first line names {expected} columns")]
    Length {
        /// Where.
        line: u64,
        /// Values in it.
        found: u64,
        /// Columns.
        expected: u64,
    },
    /// Not UTF-8.
    #[error("line {0}: it is not UTF-8")]
    Utf8(u64),
    /// Anything else.
    #[error("it is no CSV: {0}")]
    Csv(csv::Error),
}

/// Reads the rows of a CSV file.
pub fn parse(bytes: &[u8], order: Order) -> Result<Data, DataError> {
    if bytes.len() > MAX_BYTES {
        return Err(DataError::Bytes(bytes.len()));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let columns = columns(reader.headers().map_err(|error| explain(bytes, error))?)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| explain(bytes, error))?;
        if rows.len() == MAX_ROWS {
            return Err(DataError::Rows(line(bytes, record.position())));
        }
        rows.push(record.iter().map(str::to_owned).collect());
    }
    if rows.is_empty() { Err(DataError::Empty) } else { Ok(Data { columns, rows, order }) }
}

fn explain(bytes: &[u8], error: csv::Error) -> DataError {
    let line = line(bytes, error.position());
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => DataError::Utf8(line),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            DataError::Length { line, found: *len, expected: *expected_len }
        }
        _ => DataError::Csv(error),
    }
}

/// The line of a record. The library's is where the one before it ended, which empty lines may follow.
fn line(bytes: &[u8], position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 1 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n').count();
    position.line() + empty as u64
}

fn columns(record: &csv::StringRecord) -> Result<Vec<String>, DataError> {
    if record.len() > MAX_COLUMNS {
        return Err(DataError::Columns(record.len()));
    }
    let mut columns: Vec<String> = Vec::new();
    for name in record {
        if !template::is_name(name) {
            let hint =
                if record.len() == 1 && name.contains([';', '\t']) { "; values are parted by commas" } else { "" };
            return Err(DataError::Name(name.chars().take(100).collect(), hint));
        }
        if columns.iter().any(|known| known == name) || iteration::BUILT_IN.contains(&name) {
            return Err(DataError::Taken(name.to_owned()));
        }
        columns.push(name.to_owned());
    }
    if columns.is_empty() { Err(DataError::Empty) } else { Ok(columns) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_read() {
        let check = |text: &str, expected: &[&[&str]]| {
            let data = parse(text.as_bytes(), Order::Random).unwrap();
            assert_eq!((data.columns.len(), data.order), (2, Order::Random));
            assert_eq!(data.rows, expected, "{text}");
        };
        check("id,name\n1,a\n2,b\n", &[&["1", "a"], &["2", "b"]]);
        check("id,name\r\n1,\"a,\"\"b\"\"\n\"\r\n\r\n2,", &[&["1", "a,\"b\"\n"], &["2", ""]]);
        check("\u{FEFF}id,_n\n ü , $${x}\n", &[&[" ü ", " $${x}"]]);
    }

    #[test]
    fn errors_say_the_line() {
        let check = |text: &[u8], expected: &str| {
            let failed = parse(text, Order::Sequential).unwrap_err().to_string();
            assert!(failed.contains(expected), "{failed}");
        };
        check(b"", "no rows");
        check(b"id,name\n", "no rows");
        check(b"a,b\n1,2\n1,2,3\n", "line 3: it has 3 values, but the first line names 2 columns");
        check(b"a,b\n1,2\n\n\n1\n", "line 5: it has 1 values");
        check(b"a\n1\n\xff\n", "line 3: it is not UTF-8");
        check(b"\xff\n1\n", "line 1: it is not UTF-8");
        check(b"a;b\n1;2\n", "values are parted by commas");
        check(b"a,first name\n1,2\n", "line 1: \"first name\" cannot be the name");
        check(b"1,2\n3,4\n", "line 1: \"1\" cannot be the name");
        check(b"a,a\n1,2\n", "there is another \"a\"");
        check(b"uuid\n1\n", "uuid and random are taken");
        check(vec!["a"; 101].join(",").as_bytes(), "it has 101 columns");
        check(&vec![b'a'; MAX_BYTES + 1], "64 MiB");
        check("a\n".repeat(MAX_ROWS + 2).as_bytes(), "line 1000002: it has more than 1000000 rows");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(prop::sample::select(b"ab_1,\"\n\r\xff ".to_vec()), 0..30)) {
            if let Ok(data) = parse(&bytes, Order::Sequential) {
                prop_assert!(!data.rows.is_empty() && data.rows.iter().all(|row| row.len() == data.columns.len()));
            }
        }
    }
}
