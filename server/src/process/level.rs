//! How much a line matters that a connector's process wrote: loggers say it in words, as a field, or in JSON.

use serde::Deserialize;
use serde_json::Value;
use tracing::Level;

/// Words of a line among which its level is looked for.
const FIRST_WORDS: usize = 4;

/// The level that a line names: that of a JSON object, or among its first words, as most loggers write it. `INFO` where it
/// names none.
pub(super) fn level_of(line: &str) -> Level {
    let named = match line.trim_start().starts_with('{') {
        true => in_json(line),
        false => line.split_whitespace().take(FIRST_WORDS).find_map(in_word),
    };
    named.unwrap_or(Level::INFO)
}

/// A line of a structured logger, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "severity", alias = "lvl", alias = "log.level", alias = "levelname")]
    level: Option<Value>,
}

fn in_json(line: &str) -> Option<Level> {
    let line: Line = serde_json::from_str(line).ok()?;
    match line.level? {
        Value::String(word) => by_name(&word),
        // As pino and bunyan count: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.
        Value::Number(number) => match number.as_u64()? {
            0..20 => Some(Level::TRACE),
            20..30 => Some(Level::DEBUG),
            30..40 => Some(Level::INFO),
            40..50 => Some(Level::WARN),
            50.. => Some(Level::ERROR),
        },
        _ => None,
    }
}

/// A word, alone (`[WARN]`, `Error:`) or as a field (`level=warn`).
fn in_word(word: &str) -> Option<Level> {
    match word.split_once('=') {
        Some(("level" | "lvl" | "severity", value)) => by_name(value),
        Some(_) => None,
        // As Python writes it: WARNING:root:slow.
        None => by_name(word.split_once(':').map_or(word, |(first, _)| first)),
    }
}

fn by_name(word: &str) -> Option<Level> {
    let name = word.trim_matches(|letter: char| !letter.is_ascii_alphabetic()).to_ascii_lowercase();
    match name.as_str() {
        "error" | "err" | "fatal" | "critical" | "panic" => Some(Level::ERROR),
        "warn" | "warning" => Some(Level::WARN),
        "info" | "notice" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        "trace" => Some(Level::TRACE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_name_their_level_in_many_ways() {
        let lines = [
            ("2026-01-01T00:00:00Z  WARN demo: slow", Level::WARN),
            ("[ERROR] broken", Level::ERROR),
            ("Error: no such file", Level::ERROR),
            ("CRITICAL:root:no memory", Level::ERROR),
            ("CRITICAL no memory", Level::ERROR),
            ("ts=1 level=debug msg=x", Level::DEBUG),
            ("level=\"warning\" msg=x", Level::WARN),
            (r#"{"time":"now","level":"error","msg":"x"}"#, Level::ERROR),
            (r#"{"severity":"WARNING","message":"info"}"#, Level::WARN),
            (r#"{"level":20,"msg":"x"}"#, Level::DEBUG),
            (r#"{"level":60,"msg":"x"}"#, Level::ERROR),
            (r#"{"msg":"error"}"#, Level::INFO),
            (r#"{"level":{"error":1}}"#, Level::INFO),
            ("{ error", Level::INFO),
            ("hello", Level::INFO),
            ("a long line of words and then an error", Level::INFO),
            ("", Level::INFO),
        ];
        for (line, level) in lines {
            assert_eq!(level_of(line), level, "{line}");
        }
    }
}
