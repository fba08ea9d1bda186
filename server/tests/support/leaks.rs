//! How a secret may get out, and where to look for it.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

/// What a connector might print of a secret, with what must be seen of it nowhere.
pub fn printed(secret: &[u8]) -> Vec<(String, String)> {
    let mut printed = Vec::new();
    for before in ["", "u", "u:"] {
        let all = [before.as_bytes(), secret].concat();
        // What surely is of the secret's bytes alone.
        let (first, end) = ((before.len() * 8).div_ceil(6), all.len() * 8 / 6);
        for alphabet in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE] {
            let text = alphabet.encode(&all);
            let core = text[first..end].to_owned();
            printed.push((text, core));
        }
    }
    let Ok(text) = std::str::from_utf8(secret) else { return printed };
    let percent = |upper: bool| -> String {
        let one = |byte: &u8| match byte {
            _ if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        secret.iter().map(one).collect()
    };
    let json = serde_json::to_string(text).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    for whole in [text.to_owned(), percent(true), percent(false), json.replace('/', "\\/"), json] {
        printed.push((whole.clone(), whole));
    }
    printed
}

/// What must be seen nowhere of these secrets.
pub fn needles<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    secrets.into_iter().flat_map(printed).map(|(_, needle)| needle).collect()
}

/// All of what a connector might print of a secret, as one line.
pub fn all_printed(secret: &[u8]) -> String {
    printed(secret).into_iter().map(|(text, _)| text + " ").collect()
}

/// Where one of these is, if anywhere.
pub fn leak(needles: &[String], text: &[u8]) -> Option<String> {
    let holds = |needle: &&String| text.windows(needle.len()).any(|part| part == needle.as_bytes());
    needles.iter().find(holds).cloned()
}

/// All files of a folder, and of those in it.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&path));
        } else if entry.file_type().unwrap().is_file() {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    all
}
