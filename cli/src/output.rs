//! Where a command writes: data to standard output, all else to standard error.

use std::io::{self, Write};

/// The two streams of a command. Every line is flushed, since a reader may wait for it.
pub struct Output {
    data: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
}

impl Output {
    /// The process's own streams.
    pub fn standard() -> Output {
        Output::new(io::stdout(), io::stderr())
    }

    /// Writes elsewhere: `data` is what the command was asked for, `notes` is all else.
    pub fn new(data: impl Write + Send + 'static, notes: impl Write + Send + 'static) -> Output {
        Output { data: Box::new(data), notes: Box::new(notes) }
    }

    /// Writes a line, or several, of data.
    pub fn data(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.data, "{text}")?;
        self.data.flush()
    }

    /// Draws on the person's terminal: as it is, without an end of line.
    pub fn raw_note(&mut self, text: &str) -> io::Result<()> {
        self.notes.write_all(text.as_bytes())?;
        self.notes.flush()
    }

    /// Tells the person something.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.notes, "{text}")?;
        self.notes.flush()
    }
}
