//! The folder of a new connector: a template with the connector's own names in it.

mod sdk;
mod templates;

use std::io;
use std::path::{Path, PathBuf};

pub use self::sdk::find as find_sdk;
use self::templates::{File, GO, PYTHON, RUST, SHARED, TYPESCRIPT};

/// What stands in the templates for the connector's id, its name, and the way to the SDKs.
const ID: &str = "my-service";
const NAME: &str = "My service";
const SDKS: &str = "../../../../connector-sdk";

/// A language that there is an SDK for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Rust
    Rust,
    /// Python 3.10 or newer
    Python,
    /// TypeScript, for Node 20.18.1 or newer
    #[value(name = "typescript", alias = "ts")]
    TypeScript,
    /// Go 1.26 or newer
    Go,
}

impl Language {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::TypeScript => "TypeScript",
            Self::Go => "Go",
        }
    }

    fn files(self) -> impl Iterator<Item = &'static File> {
        let own = match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::TypeScript => TYPESCRIPT,
            Self::Go => GO,
        };
        own.iter().chain(SHARED)
    }

    /// What makes a fresh folder ready, typed in it.
    pub fn make_ready(self, sdks: &Path) -> String {
        match self {
            Self::Rust => "cargo build --release".to_owned(),
            Self::Python => "python3 -m venv .venv && .venv/bin/pip install -e '.[test]'".to_owned(),
            Self::TypeScript => {
                let sdk = sdks.join("typescript");
                format!("(cd {} && npm ci) && npm install && npm run build", sdk.display())
            }
            Self::Go => "go build -o connector .".to_owned(),
        }
    }
}

/// What is wrong with an id, by the manifest's rule; `None`: nothing.
pub fn id_problem(id: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = id.len() <= 63 && id.bytes().all(|byte| is_plain(byte) || byte == b'-');
    if fits && id.bytes().next().is_some_and(is_plain) {
        return None;
    }
    Some(format!(
        "{id:?} cannot be the id of a connector: write 1 to 63 lower-case letters, digits and hyphens that begin with a letter \
         or digit, such as google-drive"
    ))
}

/// Makes `folder`, which is not there yet, and gives the paths of its files. `sdks` is the folder of the SDKs, relative to it.
///
/// # Errors
///
/// It is there already (`AlreadyExists`), or cannot be written; nothing of it is left then.
pub fn make(folder: &Path, id: &str, language: Language, sdks: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir(folder)?;
    let made = write_files(folder, id, language, sdks);
    if made.is_err() {
        // What was made is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_dir_all(folder);
    }
    made
}

fn write_files(folder: &Path, id: &str, language: Language, sdks: &Path) -> io::Result<Vec<PathBuf>> {
    let sdks = sdks.to_string_lossy();
    let name = name_of(id);
    let mut made = Vec::new();
    for file in language.files() {
        let path = folder.join(file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let text = file.text.replace(SDKS, &sdks).replace(ID, id).replace(NAME, &name);
        std::fs::write(path, text)?;
        made.push(PathBuf::from(file.path));
    }
    made.sort();
    Ok(made)
}

/// How people may call it: "google-drive" is "Google drive".
fn name_of(id: &str) -> String {
    let words = id.replace('-', " ");
    let mut letters = words.trim().chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use superfasttt_conformance::Manifest;

    use super::*;

    const LANGUAGES: [Language; 4] = [Language::Rust, Language::Python, Language::TypeScript, Language::Go];

    #[test]
    fn an_id_is_refused_where_the_manifest_s_schema_refuses_it() {
        let long = "a".repeat(64);
        for id in [
            "a",
            "3cx",
            "google-drive",
            "a-",
            "",
            "-a",
            "A",
            "a_b",
            "a b",
            "é",
            "a/b",
            "..",
            &long,
            &long[1..],
        ] {
            let manifest = serde_json::json!({"id": id, "auth": {"type": "none"}, "sync": {"mode": "full"}});
            let refused = Manifest::parse(&manifest.to_string()).is_err();
            assert_eq!(id_problem(id).is_some(), refused, "{id:?}");
        }
    }

    #[test]
    fn every_folder_has_the_connector_s_names_and_a_valid_manifest() {
        for language in LANGUAGES {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("acme-wiki");
            let made = make(&folder, "acme-wiki", language, Path::new("../sdks")).unwrap();
            for file in &made {
                let text = std::fs::read_to_string(folder.join(file)).unwrap();
                for left in [ID, NAME, SDKS] {
                    assert!(!text.contains(left), "{} has {left:?}", file.display());
                }
            }
            let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
            let manifest = Manifest::parse(&manifest).unwrap();
            assert_eq!(manifest.id, "acme-wiki");
            assert!(manifest.text.contains("\"Acme wiki\""), "{}", manifest.text);
            for file in ["README.md", "conformance.json", "schemas/item/1.json"] {
                assert!(made.iter().any(|made| made == Path::new(file)), "{file} of {language:?}");
            }
        }
    }

    #[test]
    fn the_manifests_differ_in_what_is_started_and_in_nothing_else() {
        let manifest = |language: Language| {
            let file = language.files().find(|file| file.path == "manifest.json").unwrap();
            let mut manifest: serde_json::Value = serde_json::from_str(file.text).unwrap();
            manifest.as_object_mut().unwrap().remove("runtime");
            manifest
        };
        for language in LANGUAGES {
            assert_eq!(manifest(language), manifest(Language::Rust), "{language:?}");
        }
    }

    #[test]
    fn a_name_begins_with_a_capital() {
        assert_eq!(name_of("google-drive"), "Google drive");
        assert_eq!(name_of("3cx-"), "3cx");
    }
}
