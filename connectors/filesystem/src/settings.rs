//! What a person sets, and which files that chooses.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use superfasttt_connector::ConnectorError;

use crate::errors::bad_setting;

/// The same as in `manifest.json`.
const DEFAULT_MAX_SIZE_BYTES: u64 = 100 * 1024 * 1024;

/// The connection's settings, as `manifest.json` declares them.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Settings {
    /// Absolute path of the folder to read.
    pub(crate) root: String,
    /// Only files that match one of these. Empty: every file.
    #[serde(default)]
    pub(crate) include: Vec<String>,
    /// Neither files nor folders that match one of these.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Files over this size are listed without their text.
    #[serde(default = "default_max_size_bytes")]
    pub(crate) max_size_bytes: u64,
}

fn default_max_size_bytes() -> u64 {
    DEFAULT_MAX_SIZE_BYTES
}

/// The include and exclude patterns, compiled.
#[derive(Debug)]
pub(crate) struct Filter {
    /// `None`: every file.
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Filter {
    /// # Errors
    ///
    /// SETTINGS_INVALID for a pattern that does not parse.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConnectorError> {
        let include = compile("include", &settings.include)?;
        let exclude = compile("exclude", &settings.exclude)?;
        Ok(Self { include: (!settings.include.is_empty()).then_some(include), exclude })
    }

    /// Whether a file with this path below the root is chosen.
    pub(crate) fn takes_file(&self, path: &Path) -> bool {
        !self.exclude.is_match(path) && self.include.as_ref().is_none_or(|include| include.is_match(path))
    }

    /// Whether a folder is opened at all.
    pub(crate) fn opens_folder(&self, path: &Path) -> bool {
        !self.exclude.is_match(path)
    }
}

fn compile(field: &str, patterns: &[String]) -> Result<GlobSet, ConnectorError> {
    let bad = |error: globset::Error| bad_setting(field, format!("{field}: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(&anchored(pattern)).literal_separator(true).build().map_err(bad)?);
    }
    set.build().map_err(bad)
}

/// A pattern without `/` is about names at any depth, as people know it from ignore files; one with `/` is about
/// paths from the root.
fn anchored(pattern: &str) -> String {
    let trimmed = pattern.trim_end_matches('/');
    match trimmed.strip_prefix("./").or_else(|| trimmed.strip_prefix('/')) {
        Some(from_root) => from_root.to_owned(),
        None if trimmed.contains('/') => trimmed.to_owned(),
        None => format!("**/{trimmed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let own = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let settings =
            Settings { root: "/".into(), include: own(include), exclude: own(exclude), max_size_bytes: 0 };
        Filter::new(&settings).unwrap()
    }

    #[test]
    fn a_pattern_without_a_slash_is_about_names_and_one_with_it_about_paths() {
        let filter = filter(&["*.pdf", "notes/*.md", "/top.txt", "all/**"], &["*.tmp.pdf", "node_modules/"]);
        for taken in ["a.pdf", "deep/er/a.pdf", "notes/a.md", "top.txt", "all/of/it.bin"] {
            assert!(filter.takes_file(Path::new(taken)), "{taken}");
        }
        for left in ["a.md", "notes/deeper/a.md", "x/notes/a.md", "x/top.txt", "a.tmp.pdf"] {
            assert!(!filter.takes_file(Path::new(left)), "{left}");
        }
        assert!(!filter.opens_folder(Path::new("x/node_modules")) && filter.opens_folder(Path::new("x")));
    }

    #[test]
    fn without_include_every_file_is_taken() {
        assert!(filter(&[], &[]).takes_file(Path::new("a")));
    }

    #[test]
    fn a_broken_pattern_names_its_setting() {
        let settings =
            Settings { root: "/".into(), include: vec!["a[".into()], exclude: vec![], max_size_bytes: 0 };
        let error = Filter::new(&settings).unwrap_err();
        assert_eq!(error.metadata.get("field").map(String::as_str), Some("include"));
    }
}
