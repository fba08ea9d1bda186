//! Where the SDKs are: in a checkout, which is used by path.

use std::path::{Component, Path, PathBuf};

/// The folder of the SDKs (`connector-sdk`), relative to `from`, which may still have to be made.
///
/// It is that of `checkout`, where one is named; else of the checkout that `from` stands in, that this program is run in, or
/// that it was built in.
///
/// # Errors
///
/// There is none with this language, or no file could name it; with what to do.
pub fn find(checkout: Option<&Path>, from: &Path, language: &str) -> Result<PathBuf, String> {
    let sdks = match checkout {
        Some(checkout) => sdks_in(checkout, language).ok_or_else(|| {
            format!("{} has no connector-sdk/{language}: name a checkout of superfasttt connectors", checkout.display())
        })?,
        None => near(from, language).ok_or_else(|| {
            format!(
                "the {language} SDK is used from a checkout of superfasttt connectors, and there is none around here: name one \
                 with --sdk"
            )
        })?,
    };
    let absolute = sdks.canonicalize().map_err(|error| format!("{}: {error}", sdks.display()))?;
    let way = relative(from, &absolute);
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@".contains(letter);
    match way.to_str() {
        Some(text) if text.chars().all(is_plain) => Ok(way),
        _ => Err(format!(
            "the way to the SDK, {}, has characters that not every toolchain takes in a path: put the checkout or the connector \
             somewhere else",
            way.display()
        )),
    }
}

fn near(from: &Path, language: &str) -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    [Some(from), here.as_deref(), program.as_deref()]
        .into_iter()
        .flatten()
        .flat_map(Path::ancestors)
        .find_map(|folder| sdks_in(folder, language))
}

fn sdks_in(checkout: &Path, language: &str) -> Option<PathBuf> {
    let sdks = checkout.join("connector-sdk");
    // Its README tells an SDK from any folder of that name.
    sdks.join(language).join("README.md").is_file().then_some(sdks)
}

/// The way from one folder to another, both absolute and without links.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_goes_up_as_far_as_it_must() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b/wiki", "/a/connector-sdk"), "../../connector-sdk");
        assert_eq!(way("/wiki", "/a/connector-sdk"), "../a/connector-sdk");
        assert_eq!(way("/a/wiki", "/a/wiki/connector-sdk"), "connector-sdk");
    }

    #[test]
    fn a_checkout_without_the_language_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Some(folder.path()), Path::new("/x/wiki"), "go").unwrap_err();
        assert!(error.contains("connector-sdk/go"), "{error}");
    }
}
