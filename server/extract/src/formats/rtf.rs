//! Rich Text Format, by a small tokenizer: groups, control words, `\'hh` bytes in the character set of their font,
//! `\uN` characters with the fallback that follows them, and the destinations that are not text.

use std::collections::HashMap;

use encoding_rs::{Encoding, MACINTOSH, WINDOWS_1252};

use super::Source;
use crate::ExtractError;
use crate::normalize::Text;

/// Groups nested deeper than this share one state: no writer nests so deep, and a stack must not grow with the input.
const MAX_DEPTH: usize = 1000;

/// Destinations whose content is not the document's text. Those marked with `\*` are left out in any case.
const NOT_TEXT: &[&str] = &[
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "fldinst",
    "generator",
    "themedata",
    "datastore",
    "listtable",
    "listoverridetable",
    "revtbl",
    "rsidtbl",
    "filetbl",
    "nonshppict",
    "xe",
    "tc",
    "private",
    "bkmkstart",
    "bkmkend",
    "atnid",
    "atnauthor",
    "falt",
    "panose",
    "template",
    "latentstyles",
    "mmathPr",
    "xmlnstbl",
];

pub(super) fn read(source: &mut Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    let bytes = source.read_whole()?;
    let mut reader = Rtf::new(&bytes, text);
    if reader.run() { Ok(()) } else { Err(ExtractError::damaged("it is cut short")) }
}

/// What a group inherits from the one around it.
#[derive(Clone, Copy)]
struct Group {
    /// Its content is not text.
    hidden: bool,
    /// It is the font table, read for the fonts' character sets.
    font_table: bool,
    font: i32,
    /// How many characters follow a `\u` for readers that do not know it.
    fallback: i32,
}

struct Rtf<'a> {
    bytes: &'a [u8],
    at: usize,
    text: &'a mut Text,
    groups: Vec<Group>,
    /// Groups open beyond [`MAX_DEPTH`].
    deeper: usize,
    document_encoding: &'static Encoding,
    font_encodings: HashMap<i32, &'static Encoding>,
    /// Bytes of `\'hh`, decoded together: some character sets take two of them for one character.
    pending: Vec<u8>,
    /// A high surrogate waiting for its low one.
    surrogate: Option<u16>,
    /// Characters left to skip after a `\u`.
    skip: i32,
}

impl<'a> Rtf<'a> {
    fn new(bytes: &'a [u8], text: &'a mut Text) -> Self {
        let first = Group { hidden: false, font_table: false, font: 0, fallback: 1 };
        Self {
            bytes,
            at: 0,
            text,
            groups: vec![first],
            deeper: 0,
            document_encoding: WINDOWS_1252,
            font_encodings: HashMap::new(),
            pending: Vec::new(),
            surrogate: None,
            skip: 0,
        }
    }

    /// Reads to the end of the outermost group; `false` when the input ends before that.
    fn run(&mut self) -> bool {
        while let Some(byte) = self.next() {
            if self.text.is_full() {
                return true;
            }
            match byte {
                b'{' => self.open(),
                b'}' => {
                    self.close();
                    if self.groups.len() <= 1 {
                        return true;
                    }
                }
                b'\\' => self.control(),
                b'\r' | b'\n' => {}
                _ if self.skip > 0 => self.skip -= 1,
                _ => self.pending.push(byte),
            }
        }
        self.flush();
        false
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn group(&mut self) -> &mut Group {
        // `new` puts the first one there and `close` never takes it away.
        self.groups.last_mut().expect("the outermost group stays")
    }

    fn open(&mut self) {
        self.flush();
        self.skip = 0;
        if self.groups.len() > MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        let group = *self.group();
        self.groups.push(group);
    }

    fn close(&mut self) {
        self.flush();
        self.skip = 0;
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if self.groups.len() > 1 {
            self.groups.pop();
        }
    }

    fn control(&mut self) {
        let Some(byte) = self.next() else { return };
        if byte.is_ascii_alphabetic() {
            self.at -= 1;
            return self.word();
        }
        match byte {
            b'\'' => {
                let digits =
                    self.bytes.get(self.at..self.at + 2).and_then(|digits| std::str::from_utf8(digits).ok());
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                if let Some(value) = value {
                    self.at += 2;
                    if self.skip > 0 {
                        self.skip -= 1;
                    } else {
                        self.pending.push(value);
                    }
                }
            }
            b'*' => self.group().hidden = true,
            b'~' => self.put('\u{a0}'),
            b'_' => self.put('\u{2011}'),
            b'\r' | b'\n' => self.put('\n'),
            b'\\' | b'{' | b'}' if self.skip > 0 => self.skip -= 1,
            b'\\' | b'{' | b'}' => self.pending.push(byte),
            _ => {}
        }
    }

    fn word(&mut self) {
        let letters =
            self.bytes[self.at..].iter().take(32).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let bytes = self.bytes;
        let word = std::str::from_utf8(&bytes[self.at..self.at + letters]).unwrap_or_default();
        self.at += letters;
        let number = self.number();
        if self.bytes.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        self.apply(word, number);
    }

    fn number(&mut self) -> Option<i32> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[sign..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        self.at += sign + digits;
        std::str::from_utf8(&rest[..sign + digits]).ok()?.parse().ok()
    }

    fn apply(&mut self, word: &str, number: Option<i32>) {
        match (word, number) {
            ("u", Some(code)) => return self.unicode(code),
            ("bin", Some(length)) => self.at = self.at.saturating_add(usize::try_from(length).unwrap_or(0)),
            _ => {}
        }
        // A control word stands for one character of the fallback.
        if self.skip > 0 && symbol(word).is_some() {
            self.skip -= 1;
            return;
        }
        if let Some(symbol) = symbol(word) {
            return self.put(symbol);
        }
        self.flush();
        match (word, number) {
            ("uc", Some(count)) => self.group().fallback = count.clamp(0, 32),
            ("ansicpg", Some(page)) => {
                self.document_encoding = code_page(page).unwrap_or(WINDOWS_1252);
            }
            ("mac", _) => self.document_encoding = MACINTOSH,
            ("f", Some(font)) => self.group().font = font,
            ("fcharset", Some(charset)) if self.group().font_table => {
                let font = self.group().font;
                if let Some(encoding) = charset_encoding(charset) {
                    self.font_encodings.insert(font, encoding);
                }
            }
            ("plain", _) => self.group().font = 0,
            ("fonttbl", _) => {
                self.group().font_table = true;
                self.group().hidden = true;
            }
            // The only destination behind `\*` that people see: text in shapes.
            ("shptxt", _) => self.group().hidden = false,
            _ if NOT_TEXT.contains(&word) => self.group().hidden = true,
            _ => {}
        }
    }

    fn unicode(&mut self, code: i32) {
        self.flush_bytes();
        // Codes above 32767 are written as negative numbers.
        let unit = (code & 0xffff) as u16;
        self.skip = self.group().fallback;
        if self.group().hidden {
            return;
        }
        match (self.surrogate.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                for c in char::decode_utf16([high, unit]).flatten() {
                    self.text.push(c);
                }
            }
            (_, 0xd800..=0xdbff) => self.surrogate = Some(unit),
            _ => {
                if let Some(c) = char::from_u32(unit.into()) {
                    self.text.push(c);
                }
            }
        }
    }

    fn put(&mut self, c: char) {
        self.flush();
        if !self.group().hidden {
            self.text.push(c);
        }
    }

    fn flush(&mut self) {
        self.flush_bytes();
        self.surrogate = None;
    }

    fn flush_bytes(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let group = *self.group();
        if !group.hidden {
            let encoding = self.font_encodings.get(&group.font).copied().unwrap_or(self.document_encoding);
            self.text.push_str(&encoding.decode_without_bom_handling(&self.pending).0);
        }
        self.pending.clear();
        self.surrogate = None;
    }
}

/// Control words that stand for a character.
fn symbol(word: &str) -> Option<char> {
    Some(match word {
        "par" | "line" | "sect" | "page" | "row" | "column" => '\n',
        "tab" | "cell" | "nestcell" => '\t',
        "emdash" => '—',
        "endash" => '–',
        "lquote" => '‘',
        "rquote" => '’',
        "ldblquote" => '“',
        "rdblquote" => '”',
        "bullet" => '•',
        "emspace" | "enspace" | "qmspace" => ' ',
        _ => return None,
    })
}

fn code_page(page: i32) -> Option<&'static Encoding> {
    let label = match page {
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        10000 => "macintosh".to_owned(),
        65001 => "utf-8".to_owned(),
        page => format!("windows-{page}"),
    };
    Encoding::for_label(label.as_bytes())
}

/// The code page that a font's character set number stands for. 0 and 1 mean the document's own.
fn charset_encoding(charset: i32) -> Option<&'static Encoding> {
    let page = match charset {
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    code_page(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(rtf: &str) -> Option<String> {
        let mut text = Text::new(1 << 20);
        let whole = Rtf::new(rtf.as_bytes(), &mut text).run();
        whole.then(|| text.finish().0)
    }

    #[test]
    fn bytes_are_read_in_the_document_s_character_set() {
        let rtf = r"{\rtf1\ansi\ansicpg1252 Le c\'9cur de l'\'e9t\'e9 : \'ab 12 \'80 \'bb\par fin}";
        assert_eq!(read_all(rtf).unwrap(), "Le cœur de l'été : « 12 € »\nfin");
    }

    #[test]
    fn unicode_skips_its_fallback() {
        assert_eq!(read_all(r"{\rtf1\uc1 \u233?t\u233\'e9 \u-4054? x}").unwrap(), "été \u{f02a} x");
        assert_eq!(read_all(r"{\rtf1{\uc0\u8364}{\uc2\u339 oe}uvre}").unwrap(), "€œuvre");
        assert_eq!(read_all(r"{\rtf1\u-10179?\u-8704?}").unwrap(), "😀");
    }

    #[test]
    fn a_font_has_its_own_character_set() {
        let rtf = r"{\rtf1\ansi{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}}\f0 \'e9 {\f1 \'e4\'ee\'ec} \'e9}";
        assert_eq!(read_all(rtf).unwrap(), "é дом é");
    }

    #[test]
    fn what_is_not_text_is_left_out() {
        let rtf = r"{\rtf1{\stylesheet{\s0 Normal;}}{\info{\title Secret}}{\*\generator Word;}{\pict\bin3 {}}x}a{\field{\*\fldinst HYPERLINK x}{\fldrslt lien}} b}";
        assert_eq!(read_all(rtf).unwrap(), "alien b");
    }

    #[test]
    fn tables_symbols_and_escapes() {
        let rtf = r"{\rtf1 a\cell b\cell\row \{x\} \\ y\~\emdash z}";
        assert_eq!(read_all(rtf).unwrap(), "a\tb\t\n{x} \\ y\u{a0}—z");
    }

    #[test]
    fn a_cut_file_is_noticed_and_deep_nesting_is_not_a_problem() {
        assert_eq!(read_all(r"{\rtf1 abc"), None);
        let deep = format!(r"{{\rtf1 {}dedans{}}}", "{".repeat(300_000), "}".repeat(300_000));
        assert_eq!(read_all(&deep).unwrap(), "dedans");
    }
}
