//! HTML to text, straight from the tokens. No tree is built: a page of any size or nesting costs linear time, one
//! chunk of memory and no recursion, and reading stops once the text is full. What a browser would show is kept;
//! scripts and styles go.

use std::cell::RefCell;

use html5ever::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use crate::normalize::Text;

/// The tokenizer is fed in pieces of about this size, to stop early when the text is full.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) fn read(html: &str, text: &mut Text) {
    let sink =
        Sink { state: RefCell::new(State { text, hidden: false, preformatted: 0, space: false, cells: 0 }) };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = html;
    while !rest.is_empty() && !tokenizer.sink.state.borrow().text.is_full() {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK_BYTES));
        rest = after;
        queue.push_back(StrTendril::from_slice(chunk));
        while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
    }
    tokenizer.end();
}

struct Sink<'a> {
    state: RefCell<State<'a>>,
}

struct State<'a> {
    text: &'a mut Text,
    /// Inside a script or style, whose characters are not text.
    hidden: bool,
    /// How many `<pre>` are open.
    preformatted: u32,
    /// A space is due before the next word.
    space: bool,
    /// Cells already written on this table row.
    cells: u32,
}

impl TokenSink for Sink<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.state.borrow_mut();
        match token {
            Token::CharacterTokens(characters) => state.characters(&characters),
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                state.start(&tag);
                if let Some(kind) = raw_kind(&tag.name).filter(|_| !tag.self_closing) {
                    state.hidden = !matches!(&*tag.name, "title" | "textarea");
                    return TokenSinkResult::RawData(kind);
                }
            }
            Token::TagToken(tag) => {
                state.hidden = false;
                state.end(&tag.name);
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Elements whose content is not markup: it runs to their end tag whatever it looks like.
fn raw_kind(name: &str) -> Option<RawKind> {
    match name {
        "title" | "textarea" => Some(RawKind::Rcdata),
        "script" => Some(RawKind::ScriptData),
        "style" | "iframe" | "noembed" | "noframes" | "xmp" => Some(RawKind::Rawtext),
        _ => None,
    }
}

/// How an element lies in the text around it.
enum Layout {
    Inline,
    Line,
    Paragraph,
}

fn layout(name: &str) -> Layout {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "table" | "pre"
        | "blockquote" | "hr" | "title" | "figure" => Layout::Paragraph,
        "div" | "li" | "tr" | "dt" | "dd" | "section" | "article" | "header" | "footer" | "main" | "nav"
        | "aside" | "address" | "form" | "fieldset" | "legend" | "option" | "caption" | "figcaption"
        | "details" | "summary" | "body" | "head" | "textarea" | "thead" | "tbody" | "tfoot" => Layout::Line,
        _ => Layout::Inline,
    }
}

impl State<'_> {
    fn characters(&mut self, characters: &str) {
        if self.hidden {
            return;
        }
        if self.preformatted > 0 {
            self.flush_space();
            self.text.push_str(characters);
            return;
        }
        for c in characters.chars() {
            if matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}') {
                self.space = true;
            } else {
                self.flush_space();
                self.text.push(c);
            }
        }
    }

    fn flush_space(&mut self) {
        if std::mem::take(&mut self.space) && self.text.wants_space() {
            self.text.push(' ');
        }
    }

    fn start(&mut self, tag: &Tag) {
        self.lay_out(&tag.name);
        match &*tag.name {
            "br" => self.line_break(),
            "pre" => self.preformatted += 1,
            "li" => self.text.push_str("- "),
            "tr" => self.cells = 0,
            "td" | "th" => {
                if self.cells > 0 {
                    self.space = false;
                    self.text.push('\t');
                }
                self.cells += 1;
            }
            "img" => {
                if let Some(alt) = tag.attrs.iter().find(|attribute| &*attribute.name.local == "alt") {
                    self.characters(&alt.value);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
        self.lay_out(name);
    }

    fn lay_out(&mut self, name: &str) {
        let in_cell = self.cells > 0;
        match layout(name) {
            Layout::Inline => return,
            // Most cells hold one paragraph: breaking lines there would tear the row apart.
            _ if in_cell && matches!(name, "p" | "div") => self.space = true,
            Layout::Line => self.text.end_line(),
            Layout::Paragraph => self.text.end_paragraph(),
        }
        if matches!(name, "tr" | "table") {
            self.cells = 0;
        }
        if !(in_cell && matches!(name, "p" | "div")) {
            self.space = false;
        }
    }

    fn line_break(&mut self) {
        self.space = false;
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(html: &str) -> String {
        let mut text = Text::new(1 << 20);
        read(html, &mut text);
        text.finish().0
    }

    #[test]
    fn what_a_browser_shows_is_kept() {
        let html = "<html><head><title>Été &amp; œuvres</title><style>p{}</style>\
            <script>if (a < b) document.write('<p>no</p>')</script></head>\
            <body><h1>Bonjour</h1><p>Un   <b>gras</b>é,\n deux&nbsp;&euro;<br>ligne</p>\
            <ul><li>un</li><li>deux</li></ul><img alt='Photo de Zoé'></body></html>";
        assert_eq!(
            read_all(html),
            "Été & œuvres\n\nBonjour\n\nUn grasé, deux\u{a0}€\nligne\n\n- un\n- deux\n\nPhoto de Zoé"
        );
    }

    #[test]
    fn table_rows_are_lines_and_cells_are_tabs() {
        let html =
            "<table><tr><th>Nom</th><th>Prix</th></tr> <tr><td><p>Thé</p></td>\n<td>3 €</td></tr></table>fin";
        assert_eq!(read_all(html), "Nom\tPrix\nThé\t3 €\n\nfin");
    }

    #[test]
    fn preformatted_text_keeps_its_lines() {
        assert_eq!(read_all("<p>a</p><pre>  x\n    y</pre>b"), "a\n\n  x\n    y\n\nb");
    }

    #[test]
    fn broken_markup_loses_no_text() {
        assert_eq!(read_all("<p>un<div>deux</p></b>trois<script src=x />quatre"), "un\ndeux\n\ntroisquatre");
        assert_eq!(read_all("a < b <!-- c --> d <"), "a < b d <");
    }

    #[test]
    fn nesting_of_any_depth_is_read() {
        let html = format!("{}dedans{}", "<div><table><tr><td>".repeat(100_000), "</div>".repeat(100_000));
        assert!(read_all(&html).ends_with("dedans"));
    }
}
