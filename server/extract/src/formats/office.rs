//! Word, Excel and PowerPoint, old and new. The library's own plain text leaves out headers, footers, sheet names
//! and speaker notes, and its rendered text draws tables as wide as their widest cell; so the text is written from the
//! model here.

use undoc::model::{Block, ListType, Paragraph, Section, Table};
use undoc::{Error, ErrorKind};

use super::Source;
use crate::ExtractError;
use crate::normalize::Text;

/// Tables in cells of tables are read down to this depth.
const MAX_TABLE_DEPTH: u32 = 32;

pub(super) fn read(source: &Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    let document = undoc::parse_file(source.path).map_err(verdict)?;
    for section in &document.sections {
        write_section(section, text);
        text.end_paragraph();
        if text.is_full() {
            break;
        }
    }
    Ok(())
}

fn write_section(section: &Section, text: &mut Text) {
    if let Some(name) = &section.name {
        text.push_str(name);
        text.end_paragraph();
    }
    write_paragraphs(section.header.as_deref().unwrap_or_default(), text);
    for block in &section.content {
        match block {
            Block::Paragraph(paragraph) => write_paragraph(paragraph, text),
            Block::Table(table) => {
                text.end_line();
                write_table(table, text, 0);
            }
            Block::Note { content, .. } => write_paragraphs(content, text),
            Block::Image { alt_text: Some(alt_text), .. } => {
                text.push_str(alt_text);
                text.end_line();
            }
            Block::PageBreak | Block::SectionBreak | Block::Image { .. } => text.end_paragraph(),
        }
    }
    write_paragraphs(section.notes.as_deref().unwrap_or_default(), text);
    write_paragraphs(section.footer.as_deref().unwrap_or_default(), text);
}

fn write_paragraphs(paragraphs: &[Paragraph], text: &mut Text) {
    for paragraph in paragraphs {
        write_paragraph(paragraph, text);
    }
}

fn write_paragraph(paragraph: &Paragraph, text: &mut Text) {
    match &paragraph.list_info {
        Some(list) if list.list_type == ListType::Numbered => {
            text.push_str(&format!("{}. ", list.number.unwrap_or(1)));
        }
        Some(list) if list.list_type == ListType::Bullet => text.push_str("- "),
        _ => {}
    }
    write_runs(paragraph, text, '\n');
    if paragraph.heading.is_heading() { text.end_paragraph() } else { text.end_line() }
}

fn write_runs(paragraph: &Paragraph, text: &mut Text, line_break: char) {
    for run in &paragraph.runs {
        text.push_str(&run.text);
        if run.line_break || run.page_break {
            text.push(line_break);
        }
    }
    for alt_text in paragraph.images.iter().filter_map(|image| image.alt_text.as_deref()) {
        text.push(' ');
        text.push_str(alt_text);
    }
}

/// A row is a line, its cells are separated by tabs, the paragraphs of a cell by spaces.
fn write_table(table: &Table, text: &mut Text, depth: u32) {
    if let Some(caption) = &table.caption {
        text.push_str(caption);
        text.end_line();
    }
    for row in &table.rows {
        for (index, cell) in row.cells.iter().enumerate() {
            if index > 0 {
                text.push('\t');
            }
            for (index, paragraph) in cell.content.iter().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                write_runs(paragraph, text, ' ');
            }
        }
        text.end_line();
        if depth < MAX_TABLE_DEPTH {
            for nested in row.cells.iter().flat_map(|cell| &cell.nested_tables) {
                write_table(nested, text, depth + 1);
            }
        }
    }
    text.end_paragraph();
}

fn verdict(error: Error) -> ExtractError {
    if let Error::Io(error) = &error {
        return ExtractError::of_read(error, ExtractError::damaged("the container cannot be read"));
    }
    match error.kind() {
        ErrorKind::Encrypted => ExtractError::Encrypted,
        ErrorKind::ZipArchive => ExtractError::damaged("the container cannot be read"),
        ErrorKind::XmlParse => ExtractError::damaged("a part of it is not well-formed XML"),
        ErrorKind::MissingComponent => ExtractError::damaged("a part that it needs is missing"),
        _ => ExtractError::damaged("its structure cannot be read"),
    }
}
