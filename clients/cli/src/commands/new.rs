//! `new`: the folder of a new connector, which works before anything is written in it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};
use crate::output::{Output, note};
use crate::scaffold::{Language, find_sdk, id_problem, make};

const EXAMPLES: &str = "\
The folder holds a connector that reads a file, a JSON object a line: it passes conformance and syncs as it is. Write your \
source where it reads the file, and run both again. Its README says what is where; docs/write-a-connector.md has the whole way, \
from here to a running sync.

Examples:
  connectorctl new acme-wiki --lang python                 a folder acme-wiki, here
  connectorctl new acme-wiki --lang rust --dir connectors  a folder connectors/acme-wiki
  connectorctl new acme-wiki --lang go --sdk ~/connectors  with the SDK of the checkout there

The SDK is used by path, from a checkout: the one that DIR stands in, that you are in, or that connectorctl was built in.";

/// What is made, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The connector's name for machines, stable for ever: lower-case letters, digits and hyphens
    #[arg(value_name = "ID")]
    id: String,
    /// The language that it is written in
    #[arg(long, value_enum)]
    lang: Language,
    /// Where the folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The checkout of superfasttt connectors whose SDK is used
    #[arg(long, value_name = "CHECKOUT")]
    sdk: Option<PathBuf>,
}

/// `new ID --lang LANGUAGE`.
pub fn run(args: &Args, out: &mut Output) -> Result<()> {
    if let Some(problem) = id_problem(&args.id) {
        return Err(Error::Usage(problem));
    }
    let parent = args.dir.canonicalize().map_err(|error| {
        Error::Usage(format!("{}: {error}; name a folder with --dir", args.dir.display()))
    })?;
    let folder = parent.join(&args.id);
    let sdks =
        find_sdk(args.sdk.as_deref(), &folder, &args.lang.name().to_lowercase()).map_err(Error::Failed)?;
    let shown = shown(&args.dir, &args.id);
    let files = make(&folder, &args.id, args.lang, &sdks).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Failed(format!(
            "{} is there already: take another id, or another folder with --dir",
            shown.display()
        )),
        _ => Error::Failed(format!("cannot make {}: {error}", shown.display())),
    })?;
    let next = [
        format!("cd {} && {}", quoted(&shown), args.lang.make_ready(&sdks)),
        "connectorctl dev . --set file=testdata/items.jsonl".to_owned(),
        "connectorctl conformance .".to_owned(),
    ];
    if out.is_json() {
        out.line(&json!({ "folder": folder, "files": files, "next": next }).to_string())?;
        return out.flush();
    }
    note(&format!("made {}, a connector in {}:", shown.display(), args.lang.name()));
    for file in &files {
        note(&format!("  {}", file.display()));
    }
    note("next:");
    for command in next {
        out.line(&format!("  {command}"))?;
    }
    out.flush()
}

/// The folder as it is typed.
fn shown(dir: &Path, id: &str) -> PathBuf {
    if dir == Path::new(".") { PathBuf::from(id) } else { dir.join(id) }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@~".contains(letter);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_space_can_be_typed() {
        assert_eq!(quoted(Path::new("my connectors/a")), "'my connectors/a'");
        assert_eq!(quoted(Path::new("connectors/a")), "connectors/a");
    }
}
