//! Documents that are locked, broken, oversized or made to harm end in a typed verdict that is permanent.

mod support;

use std::io::Write;

use proptest::prelude::*;
use superfasttt_extract::{ExtractError, Hints, Limits, extract};
use support::{extract_bytes, extract_fixture, file_of, fixture, named, zip_of};

fn code(result: Result<superfasttt_extract::Extracted, ExtractError>) -> &'static str {
    let error = result.expect_err("this document gives no text");
    assert!(error.is_permanent(), "{error}");
    error.code()
}

#[test]
fn documents_behind_a_password_are_encrypted() {
    assert_eq!(code(extract_fixture("password.pdf")), "encrypted");
    assert_eq!(code(extract_fixture("password.docx")), "encrypted");
    let manifest = br#"<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"#;
    let locked = zip_of(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", manifest),
        ("content.xml", b"\x8f\x01\x02"),
    ]);
    assert_eq!(code(extract_bytes(&locked, "a.odt")), "encrypted");
}

#[test]
fn documents_cut_short_are_damaged() {
    for name in ["french-latin.pdf", "french-truetype.pdf", "french.docx", "french.xlsx", "french.odt"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for kept in [whole.len() / 2, whole.len() * 9 / 10] {
            assert_eq!(code(extract_bytes(&whole[..kept], name)), "damaged", "{name}");
        }
    }
    assert_eq!(code(extract_bytes(br"{\rtf1 cut", "a.rtf")), "damaged");
}

#[test]
fn documents_that_are_something_else_are_damaged() {
    assert_eq!(code(extract_bytes(b"\x01\x02\x03\0\0\0", "a.pdf")), "damaged");
    let no_content = zip_of(&[("[Content_Types].xml", b"<Types/>"), ("word/other.xml", b"<a/>")]);
    assert_eq!(code(extract_bytes(&no_content, "a.docx")), "damaged");
    let bad_xml =
        zip_of(&[("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"<a <b")]);
    assert_eq!(code(extract_bytes(&bad_xml, "a.odt")), "damaged");
}

#[test]
fn files_without_text_are_unsupported() {
    assert_eq!(code(extract_bytes(b"\x89PNG\r\n\x1a\n\0\0\0", "photo.png")), "unsupported");
    assert_eq!(code(extract_bytes(&zip_of(&[("a.txt", b"inside")]), "archive.zip")), "unsupported");
    assert_eq!(code(extract_bytes(&[0, 159, 146, 150, 0, 1, 2], "unknown")), "unsupported");
}

#[test]
fn a_zip_bomb_is_counted_not_believed() {
    let zeros = vec![b' '; 4 << 20];
    let bomb = zip_of(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", &zeros)]);
    assert!(bomb.len() < 64 << 10);
    let limits = Limits { max_unpacked_bytes: 1 << 20, ..Limits::default() };
    let file = file_of(&bomb);
    assert_eq!(code(extract(file.path(), &named("bomb.docx"), &limits)), "too_large");

    // The same with a header that promises ten bytes: local header and directory both lie.
    let mut lying = bomb;
    let honest = u32::try_from(zeros.len()).unwrap().to_le_bytes();
    let at: Vec<usize> = (0..lying.len() - 4).filter(|at| lying[*at..at + 4] == honest).collect();
    for at in at {
        lying[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
    }
    let file = file_of(&lying);
    let verdict = code(extract(file.path(), &named("bomb.docx"), &limits));
    assert!(["too_large", "damaged"].contains(&verdict), "{verdict}");
}

#[test]
fn an_archive_of_very_many_entries_is_refused() {
    let names: Vec<String> = (0..200).map(|number| format!("word/{number}.xml")).collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("[Content_Types].xml", b"<Types/>")];
    entries.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
    let file = file_of(&zip_of(&entries));
    let limits = Limits { max_entries: 100, ..Limits::default() };
    assert_eq!(code(extract(file.path(), &named("many.docx"), &limits)), "too_large");
}

#[test]
fn deep_nesting_overflows_no_stack() {
    let deep_xml = format!("<a>{}été", "<b>".repeat(300_000));
    assert!(extract_bytes(deep_xml.as_bytes(), "a.xml").unwrap().text.ends_with("été"));
    let deep_json = format!("{}\"été\"", "[".repeat(300_000));
    assert!(extract_bytes(deep_json.as_bytes(), "a.json").unwrap().text.ends_with("\"été\""));
    let deep_word = zip_of(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", b"<Relationships/>"),
        ("word/document.xml", "<w:tbl><w:tr><w:tc>".repeat(50_000).as_bytes()),
    ]);
    // Either verdict will do: what matters is that one comes back.
    let _ = extract_bytes(&deep_word, "deep.docx");
}

#[test]
fn a_large_text_is_cut_at_the_cap() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for _ in 0..2000 {
        file.write_all("œuvre ".repeat(1000).as_bytes()).unwrap();
    }
    let limits = Limits { max_text_bytes: 1 << 20, ..Limits::default() };
    let found = extract(file.path(), &named("a.txt"), &limits).unwrap();
    assert!(found.truncated);
    assert!(found.text.len() <= 1 << 20 && found.text.len() > (1 << 20) - 8);
}

/// Starts that lead random bytes past the detection and into a parser.
fn start() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b""[..],
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
        b"{\\rtf1\\ansi ",
        b"PK\x03\x04",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\xff\xfe",
        b"From: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
        b"<html><p>",
        b"<?xml version='1.0' encoding='utf-16'?>",
        b"{\"a\":\"\\u",
    ])
}

fn media_type() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(
        [
            "text/plain; charset=shift_jis",
            "text/html",
            "text/markdown",
            "application/json",
            "application/xml",
            "application/pdf",
            "application/msword",
            "application/rtf",
            "message/rfc822",
            "application/vnd.oasis.opendocument.text",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "image/png",
            "nonsense",
        ]
        .map(str::to_owned)
        .to_vec(),
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_under_any_name_give_capped_text_or_a_verdict(
        start in start(),
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..600), "[ -~é\\\\{}<>&;\n]{0,300}".prop_map(String::into_bytes)],
        media_type in media_type(),
        file_name in prop::option::of("[a-z.]{0,8}\\.(txt|html|docx|eml|rtf|pdf|json)"),
    ) {
        let file = file_of(&[start, &bytes].concat());
        let limits = Limits { max_text_bytes: 100, ..Limits::default() };
        match extract(file.path(), &Hints { media_type, file_name }, &limits) {
            Ok(found) => {
                prop_assert!(found.text.len() <= 100);
                prop_assert!(!found.text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
                prop_assert!(!found.text.contains("\n\n\n\n"));
                prop_assert_eq!(found.text.trim_end(), found.text.as_str());
            }
            Err(error) => prop_assert!(error.is_permanent()),
        }
    }

    #[test]
    fn any_damage_to_a_document_gives_text_or_a_verdict(
        name in prop::sample::select(vec!["french-latin.pdf", "french.docx", "french.xlsx", "french.pptx", "french.odt"]),
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (index, value) in at {
            let position = index.index(bytes.len());
            bytes[position] = value;
        }
        if let Err(error) = extract_bytes(&bytes, name) {
            prop_assert!(error.is_permanent());
        }
    }
}
