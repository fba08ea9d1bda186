//! Text from a source on a terminal: titles, paths and messages are written by strangers, and a terminal obeys
//! what it is shown.

/// One line: control characters and marks that reorder text are replaced, line breaks become spaces.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            character if steers(character) => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect()
}

/// The same for text of several lines, whose breaks and tabs stay.
pub fn printable_lines(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            character if steers(character) => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect()
}

/// Control characters (escape sequences begin with one) and those that turn the direction of writing around.
fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a text, at most `length` characters.
pub fn shorten(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(length.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// An enum's value for a person: `STATE_NEEDS_CREDENTIAL` without `STATE_` is "needs credential", and one that is
/// not set is a dash.
pub fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => "-".to_owned(),
        name => name.to_lowercase().replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}d\u{9b}"), "a\u{fffd}[31mb c\u{fffd}d\u{fffd}");
        assert_eq!(printable("Rapport d'été – 100 %"), "Rapport d'été – 100 %");
        assert_eq!(printable_lines("a\nb\tc\r"), "a\nb\tc\u{fffd}");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shorten("été", 3), "été");
        assert_eq!(shorten("étés", 3), "ét…");
    }

    #[test]
    fn enum_values_read_as_words() {
        assert_eq!(word("STATE_NEEDS_CREDENTIAL", "STATE_"), "needs credential");
        assert_eq!(word("STATE_UNSPECIFIED", "STATE_"), "-");
    }
}
