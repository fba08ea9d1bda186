//! Tables without borders, fitted to the terminal; unfitted where no person looks.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, presets};

use crate::output::text::printable;

/// How a column behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Shortened when the terminal is narrow.
    Text,
    /// Always whole: something that people copy.
    Whole,
    /// Always whole, to the right.
    Number,
}

/// A column of a list.
#[derive(Clone, Copy)]
pub struct Column {
    title: &'static str,
    kind: Kind,
}

impl Column {
    /// Words, shortened when the terminal is narrow.
    pub const fn text(title: &'static str) -> Self {
        Self { title, kind: Kind::Text }
    }

    /// Something that people copy, never shortened.
    pub const fn whole(title: &'static str) -> Self {
        Self { title, kind: Kind::Whole }
    }

    /// A number, to the right.
    pub const fn number(title: &'static str) -> Self {
        Self { title, kind: Kind::Number }
    }
}

/// A list with a line per thing, or the fields of one thing.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    header: bool,
    /// Lists keep one line per row; fields may take several.
    one_line: bool,
}

impl Table {
    /// A list with these columns.
    pub fn list(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), header: true, one_line: true }
    }

    /// The fields of one thing: a name and a value a line.
    pub fn fields() -> Self {
        let columns = vec![Column::whole(""), Column::text("")];
        Self { columns, rows: Vec::new(), header: false, one_line: false }
    }

    /// Leaves the titles out: it goes on with a list whose titles were printed already.
    #[must_use]
    pub fn without_header(mut self, leave_out: bool) -> Self {
        self.header = self.header && !leave_out;
        self
    }

    /// Lets lines of a list take as many lines of the terminal as they need.
    #[must_use]
    pub fn wrapped(mut self) -> Self {
        self.one_line = false;
        self
    }

    /// Adds a line.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: impl Into<String>) {
        self.row([name.to_owned(), value.into()]);
    }

    /// Adds a field where there is something to say.
    pub fn field_if(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.field(name, value);
        }
    }

    /// The table as text, each line ended. `width` is that of the terminal; `None`: as wide as it needs.
    pub fn render(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_truncation_indicator("…");
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        if self.header {
            table.set_header(self.columns.iter().map(|column| column.title));
        }
        for row in &self.rows {
            let mut line = comfy_table::Row::from(row.iter().map(Cell::new));
            if self.one_line {
                line.max_height(1);
            }
            table.add_row(line);
        }
        for (column, kind) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((0, 2));
            if kind.kind != Kind::Text {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            if kind.kind == Kind::Number {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::list(&[Column::text("NAME"), Column::number("DOCS"), Column::whole("ID")]);
        table.row(["a very long name of a connection".into(), "1,204".into(), "0123456789".into()]);
        table.row(["b\u{1b}[2J".into(), "3".into(), "x".into()]);
        table
    }

    #[test]
    fn a_program_gets_every_character() {
        assert_eq!(
            sample().render(None),
            "NAME                               DOCS  ID\n\
             a very long name of a connection  1,204  0123456789\n\
             b\u{fffd}[2J                                 3  x\n"
        );
    }

    #[test]
    fn a_narrow_terminal_keeps_what_people_copy() {
        let text = sample().render(Some(36));
        assert!(text.contains("0123456789"), "{text}");
        assert!(text.contains('…'), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 36), "{text}");
    }

    #[test]
    fn an_empty_field_is_left_out() {
        let mut table = Table::fields();
        table.field("state", "healthy");
        table.field_if("message", "");
        assert_eq!(table.render(None), "state  healthy\n");
    }
}
