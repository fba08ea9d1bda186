//! The text as it leaves the extractor: one kind of line ending, no control characters, no heaps of blank lines,
//! and never more bytes than the cap. All extractors write through [`Text`], so none of them builds a text larger than
//! the cap on its way.

/// At most this many blank lines stay between two paragraphs.
const MAX_BLANK_LINES: usize = 2;

/// A text under construction.
#[derive(Debug)]
pub(crate) struct Text {
    out: String,
    max_bytes: usize,
    /// Line ends and then spaces that are written only once a visible character follows, so that blank lines
    /// fold and both ends are trimmed.
    newlines: usize,
    spaces: String,
    after_cr: bool,
    truncated: bool,
}

impl Text {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            out: String::new(),
            max_bytes,
            newlines: 0,
            spaces: String::new(),
            after_cr: false,
            truncated: false,
        }
    }

    /// Whether the cap is reached, so that more input can only be thrown away.
    pub(crate) fn is_full(&self) -> bool {
        self.truncated
    }

    /// Marks the text as cut although the cap was not reached, because part of the input was not read.
    pub(crate) fn mark_truncated(&mut self) {
        self.truncated = true;
    }

    pub(crate) fn push_str(&mut self, text: &str) {
        for c in text.chars() {
            if self.truncated {
                return;
            }
            self.push(c);
        }
    }

    pub(crate) fn push(&mut self, c: char) {
        let after_cr = std::mem::replace(&mut self.after_cr, c == '\r');
        match c {
            '\n' if after_cr => {}
            // Vertical tab and form feed are Word's line and page breaks; the others are Unicode's line ends.
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => self.newline(),
            // The byte order mark says nothing inside a text.
            '\u{feff}' => {}
            ' ' | '\t' => self.push_space(c),
            _ if c.is_control() => {}
            _ => self.push_visible(c),
        }
    }

    /// Whether a space here would separate two words: not at the start of a line, nor after another space.
    pub(crate) fn wants_space(&self) -> bool {
        !self.out.is_empty() && self.newlines == 0 && self.spaces.is_empty()
    }

    /// Ends the line if anything stands on it.
    pub(crate) fn end_line(&mut self) {
        if self.newlines == 0 {
            self.newline();
        }
    }

    /// Leaves a blank line before what follows.
    pub(crate) fn end_paragraph(&mut self) {
        self.end_line();
        self.newlines = self.newlines.max(2);
    }

    fn newline(&mut self) {
        if self.newlines == 0 {
            // Spaces at the end of a line with text stay: two of them are a line break in Markdown.
            self.flush_spaces();
        }
        self.spaces.clear();
        self.newlines = (self.newlines + 1).min(MAX_BLANK_LINES + 1);
    }

    fn push_space(&mut self, c: char) {
        if self.out.len() + self.spaces.len() < self.max_bytes {
            self.spaces.push(c);
        }
    }

    fn push_visible(&mut self, c: char) {
        if self.out.is_empty() {
            self.newlines = 0;
            self.spaces.clear();
        }
        if self.out.len() + self.newlines + self.spaces.len() + c.len_utf8() > self.max_bytes {
            self.truncated = true;
            return;
        }
        for _ in 0..std::mem::take(&mut self.newlines) {
            self.out.push('\n');
        }
        self.flush_spaces();
        self.out.push(c);
    }

    fn flush_spaces(&mut self) {
        if !self.out.is_empty() {
            self.out.push_str(&self.spaces);
        }
        self.spaces.clear();
    }

    /// The text, and whether it was cut.
    pub(crate) fn finish(mut self) -> (String, bool) {
        self.out.truncate(self.out.trim_end().len());
        (self.out, self.truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(input: &str) -> String {
        let mut text = Text::new(1024);
        text.push_str(input);
        text.finish().0
    }

    #[test]
    fn line_endings_become_one_kind() {
        assert_eq!(normalized("a\r\nb\rc\nd\u{2028}e\u{c}f"), "a\nb\nc\nd\ne\nf");
    }

    #[test]
    fn a_line_end_split_over_two_pushes_counts_once() {
        let mut text = Text::new(1024);
        text.push_str("a\r");
        text.push_str("\nb");
        assert_eq!(text.finish().0, "a\nb");
    }

    #[test]
    fn control_characters_go_and_tabs_stay() {
        assert_eq!(normalized("\u{feff}a\0b\u{7}\tc\u{9d}\u{1b}d"), "ab\tcd");
    }

    #[test]
    fn blank_lines_fold_also_when_they_hold_spaces() {
        assert_eq!(normalized("a\n\n\n\n  \n\t\n\nb"), "a\n\n\nb");
        assert_eq!(normalized("a\n\n\nb"), "a\n\n\nb");
    }

    #[test]
    fn ends_are_trimmed_and_indents_and_markdown_breaks_kept() {
        assert_eq!(normalized(" \n\n  a  \n    b \n \n"), "a  \n    b");
    }

    #[test]
    fn the_cap_falls_between_characters_and_is_said() {
        let mut text = Text::new(5);
        text.push_str("abcé€");
        assert_eq!(text.finish(), ("abcé".to_owned(), true));
    }

    #[test]
    fn only_space_past_the_cap_is_no_cut() {
        let mut text = Text::new(3);
        text.push_str("abc  \n\n ");
        assert_eq!(text.finish(), ("abc".to_owned(), false));
    }
}
