//! Where data goes: stdout, as tables or as proto JSON. Everything that is not data goes to stderr by [`note`].

pub mod entry;
pub mod human;
pub mod json;
pub mod table;
pub mod text;

use std::io::{self, BufWriter, Stdout, Write};

use crate::error::Result;
use crate::output::json::ProtoJson;
use crate::output::table::Table;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables, for people.
    #[default]
    Table,
    /// Proto JSON, for programs.
    Json,
}

/// Prints to stdout. Every error of it is told by `io::Error`, which a broken pipe makes a quiet end of.
pub struct Output {
    format: Format,
    out: BufWriter<Stdout>,
    width: Option<u16>,
}

impl Output {
    /// Prints to stdout, fitting tables to the terminal where stdout is one.
    pub fn stdout(format: Format) -> Self {
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0);
        Self { format, out: BufWriter::new(io::stdout()), width }
    }

    /// Whether a program reads.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person looks at stdout.
    pub fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Prints a message as one line of proto JSON.
    pub fn message<M: ProtoJson>(&mut self, message: &M) -> Result<()> {
        let line = json::to_string(message)?;
        self.line(&line)
    }

    /// Prints a table.
    pub fn table(&mut self, table: &Table) -> Result<()> {
        let text = table.render(self.width);
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Prints a line as it is.
    pub fn line(&mut self, line: &str) -> Result<()> {
        self.out.write_all(line.as_bytes())?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Prints a part of a document's text. A terminal gets no control characters: a document must not be able to
    /// steer it.
    pub fn text(&mut self, part: &str) -> Result<()> {
        if self.is_terminal() {
            let shown = text::printable_lines(part);
            return Ok(self.out.write_all(shown.as_bytes())?);
        }
        Ok(self.out.write_all(part.as_bytes())?)
    }

    /// Prints what is meant for a program as it is.
    pub fn script(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Hands everything printed so far to whoever reads.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
}

/// Says something on stderr that is not data.
pub fn note(message: &str) {
    // Where stderr is gone, nobody is left to be told.
    let _ = writeln!(io::stderr(), "{}", text::printable(message));
}
