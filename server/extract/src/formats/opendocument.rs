//! OpenDocument text, spreadsheets and presentations: the paragraphs of `content.xml`, and the page headers and
//! footers of `styles.xml`. Read as a stream of XML events, so nesting costs nothing.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{Source, container};
use crate::normalize::Text;
use crate::{ExtractError, charset};

/// One element may ask for this many spaces in a row; the format sets no bound.
const MAX_SPACES: usize = 256;

pub(super) fn read(source: &Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    let mut archive = container::open(source)?;
    if archive.index_for_name("encrypted-package").is_some() {
        return Err(ExtractError::Encrypted);
    }
    if let Some(manifest) = container::entry(&mut archive, "META-INF/manifest.xml")?
        && charset::decode(&manifest, None).contains("encryption-data")
    {
        return Err(ExtractError::Encrypted);
    }
    let content = container::entry(&mut archive, "content.xml")?
        .ok_or_else(|| ExtractError::damaged("its content is missing"))?;
    write(&charset::decode(&content, None), text)?;
    if let Some(styles) = container::entry(&mut archive, "styles.xml")? {
        text.end_paragraph();
        write(&charset::decode(&styles, None), text)?;
    }
    Ok(())
}

/// Where the walk through the XML is.
#[derive(Default)]
struct Walk {
    /// Depth of open paragraphs: characters outside of one are layout.
    paragraphs: u32,
    /// Depth inside an element to leave out, such as deleted text kept for change tracking.
    hidden: u32,
    /// Cells seen on this row, and the tabs due before the next one that holds something.
    cells: u32,
    tabs: u32,
}

fn write(xml: &str, text: &mut Text) -> Result<(), ExtractError> {
    let mut reader = Reader::from_str(xml);
    // Elements are matched by their names alone; a parser that remembers all open ones gains nothing here.
    reader.config_mut().check_end_names = false;
    let mut walk = Walk::default();
    loop {
        let event =
            reader.read_event().map_err(|_| ExtractError::damaged("a part of it is not well-formed XML"))?;
        match event {
            Event::Eof => return Ok(()),
            _ if text.is_full() => return Ok(()),
            Event::Start(element) => walk.start(&element, text),
            Event::Empty(element) => {
                walk.start(&element, text);
                walk.end(element.name().into_inner(), text);
            }
            Event::End(element) => walk.end(element.name().into_inner(), text),
            Event::Text(characters) if walk.shows() => push_collapsed(&characters, text),
            Event::CData(characters) if walk.shows() => push_collapsed(&characters, text),
            Event::GeneralRef(reference) if walk.shows() => push_reference(&reference, text),
            _ => {}
        }
    }
}

impl Walk {
    fn shows(&self) -> bool {
        self.paragraphs > 0 && self.hidden == 0
    }

    fn start(&mut self, element: &BytesStart<'_>, text: &mut Text) {
        match element.name().into_inner() {
            name if is_hidden(name) => self.hidden += 1,
            _ if self.hidden > 0 => {}
            "text:p" | "text:h" => {
                for _ in 0..std::mem::take(&mut self.tabs) {
                    text.push('\t');
                }
                if self.cells == 0 {
                    text.end_line();
                } else if text.wants_space() {
                    text.push(' ');
                }
                self.paragraphs += 1;
            }
            "table:table-row" => (self.cells, self.tabs) = (0, 0),
            "table:table-cell" | "table:covered-table-cell" => {
                self.tabs += u32::from(self.cells > 0);
                self.cells += 1;
            }
            "table:table" => {
                text.end_paragraph();
                if let Some(name) = attribute(element, "table:name") {
                    text.push_str(&name);
                    text.end_line();
                }
            }
            "text:s" if self.paragraphs > 0 => {
                let count = attribute(element, "text:c").and_then(|count| count.parse().ok()).unwrap_or(1);
                for _ in 0..usize::min(count, MAX_SPACES) {
                    text.push(' ');
                }
            }
            "text:tab" if self.paragraphs > 0 => text.push('\t'),
            "text:line-break" if self.paragraphs > 0 => text.push(if self.cells > 0 { ' ' } else { '\n' }),
            _ => {}
        }
    }

    fn end(&mut self, name: &str, text: &mut Text) {
        match name {
            _ if is_hidden(name) => self.hidden = self.hidden.saturating_sub(1),
            _ if self.hidden > 0 => {}
            "text:p" | "text:h" => {
                self.paragraphs = self.paragraphs.saturating_sub(1);
                match name {
                    _ if self.cells > 0 => {}
                    "text:h" => text.end_paragraph(),
                    _ => text.end_line(),
                }
            }
            "table:table-row" => {
                (self.cells, self.tabs) = (0, 0);
                text.end_line();
            }
            "table:table" | "draw:page" => text.end_paragraph(),
            _ => {}
        }
    }
}

fn is_hidden(name: &str) -> bool {
    matches!(name, "text:tracked-changes" | "table:tracked-changes" | "office:scripts" | "office:binary-data")
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.attributes().flatten().find(|attribute| attribute.key.into_inner() == name)?;
    found.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}

/// White space in a paragraph counts as one space; more of it is written as `text:s` elements.
fn push_collapsed(characters: &str, text: &mut Text) {
    let mut after_space = false;
    for c in characters.chars() {
        let space = matches!(c, ' ' | '\t' | '\n' | '\r');
        if !(space && after_space) {
            text.push(if space { ' ' } else { c });
        }
        after_space = space;
    }
}

/// The five entities of XML and numeric references; others would need a DTD, which these documents never have.
fn push_reference(reference: &BytesRef<'_>, text: &mut Text) {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        text.push(c);
    } else if let Some(known) = quick_xml::escape::resolve_xml_entity(reference) {
        text.push_str(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(xml: &str) -> String {
        let mut text = Text::new(1 << 20);
        write(xml, &mut text).unwrap();
        text.finish().0
    }

    #[test]
    fn paragraphs_spaces_and_entities() {
        let xml = "<office:text><text:h>Été</text:h><text:p>R&amp;D &#339;uvre<text:s text:c=\"2\"/>«&#xA0;ici&#xA0;»\
                   <text:line-break/>suite<text:tab/>fin</text:p><text:p><text:span>deux</text:span></text:p></office:text>";
        assert_eq!(read_all(xml), "Été\n\nR&D œuvre  «\u{a0}ici\u{a0}»\nsuite\tfin\ndeux");
    }

    #[test]
    fn rows_are_lines_and_repeated_empty_cells_cost_nothing() {
        let xml = "<table:table table:name=\"Prix\"><table:table-row>\
            <table:table-cell><text:p>Thé</text:p></table:table-cell>\
            <table:table-cell><text:p>3 €</text:p></table:table-cell>\
            <table:table-cell table:number-columns-repeated=\"16382\"/></table:table-row>\
            <table:table-row table:number-rows-repeated=\"1048575\"><table:table-cell/></table:table-row></table:table>";
        assert_eq!(read_all(xml), "Prix\nThé\t3 €");
    }

    #[test]
    fn deleted_text_stays_deleted() {
        let xml =
            "<text:tracked-changes><text:p>ancien</text:p></text:tracked-changes><text:p>nouveau</text:p>";
        assert_eq!(read_all(xml), "nouveau");
    }

    #[test]
    fn nesting_of_any_depth_is_read() {
        let xml = format!("{}<text:p>dedans</text:p>", "<text:section>".repeat(200_000));
        assert_eq!(read_all(&xml), "dedans");
    }
}
