//! Every promised format gives its text, with French in the right characters.

mod support;

use encoding_rs::WINDOWS_1252;
use support::{extract_bytes, extract_fixture};

const FRENCH: &str = "Le cœur de l’été : « où êtes-vous, Zoé ? » coûte 12 € à Nîmes";
const WORD: &str = "Œuvre complète";

/// Checks extractor and media type of what `name` gives, and that each of `parts` is in its text, in order.
#[track_caller]
fn check(found: superfasttt_extract::Extracted, extractor: &str, media_type: &str, parts: &[&str]) {
    assert_eq!((found.extractor, found.media_type.as_str(), found.truncated), (extractor, media_type, false));
    let mut rest = found.text.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in order in {:?}", found.text));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn text_in_every_usual_character_set() {
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| FRENCH.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
    let with_mark = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
    for bytes in [
        FRENCH.as_bytes().to_vec(),
        with_mark(b"\xef\xbb\xbf", FRENCH.as_bytes().to_vec()),
        with_mark(b"\xff\xfe", utf16(u16::to_le_bytes)),
        with_mark(b"\xfe\xff", utf16(u16::to_be_bytes)),
        utf16(u16::to_le_bytes),
        WINDOWS_1252.encode(FRENCH).0.into_owned(),
    ] {
        let found = extract_bytes(&bytes, "note.txt").unwrap();
        assert_eq!(found.text, FRENCH);
        check(found, "text", "text/plain", &[]);
    }
}

#[test]
fn markdown_csv_json_and_xml_are_kept_as_written() {
    let markdown = format!("# {WORD}\n\n- {FRENCH}");
    check(extract_bytes(markdown.as_bytes(), "a.md").unwrap(), "markdown", "text/markdown", &[&markdown]);
    let csv = format!("nom;prix\n\"{FRENCH}\";3,50 €");
    check(extract_bytes(&WINDOWS_1252.encode(&csv).0, "a.csv").unwrap(), "csv", "text/csv", &[&csv]);
    let json = format!("{{\"{WORD}\": \"{FRENCH}\"}}");
    check(extract_bytes(json.as_bytes(), "a.json").unwrap(), "json", "application/json", &[&json]);
    let escaped = br#"{"\u0152uvre": "\u00e9t\u00e9"}"#;
    check(extract_bytes(escaped, "a.json").unwrap(), "json", "application/json", &[r#"{"Œuvre": "été"}"#]);
    let xml = format!("<?xml version=\"1.0\" encoding=\"windows-1252\"?>\n<a>{FRENCH}</a>");
    check(extract_bytes(&WINDOWS_1252.encode(&xml).0, "a.xml").unwrap(), "xml", "text/xml", &[FRENCH]);
}

#[test]
fn html_in_its_declared_character_set() {
    let html = format!(
        "<html><head><meta charset=\"windows-1252\"><title>{WORD}</title></head><body><p>{FRENCH}</p>\
         <p>&Eacute;t&eacute;</p><script>alert('non')</script></body></html>"
    );
    let found = extract_bytes(&WINDOWS_1252.encode(&html).0, "page.html").unwrap();
    assert!(!found.text.contains("alert"));
    check(found, "html", "text/html", &[WORD, FRENCH, "Été"]);
}

#[test]
fn pdf_with_either_kind_of_font() {
    for name in ["french-latin.pdf", "french-truetype.pdf"] {
        let pages = [&format!("{WORD}, page 1"), FRENCH, &format!("{WORD}, page 2"), FRENCH];
        check(extract_fixture(name).unwrap(), "pdf", "application/pdf", &pages);
    }
}

#[test]
fn a_pdf_that_opens_without_a_password_is_read() {
    check(extract_fixture("owner-password-only.pdf").unwrap(), "pdf", "application/pdf", &[WORD, FRENCH]);
}

#[test]
fn word_with_headers_lists_and_tables() {
    let parts = [
        "En-tête : société Lumière\n",
        WORD,
        FRENCH,
        "Un mot coupé en deux\n",
        "premier point\n",
        "Désignation\tPrix\nThé à la menthe\t3,50 €\n",
        "Pied de page n° 7",
    ];
    let media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    check(extract_fixture("french.docx").unwrap(), "docx", media_type, &parts);
}

#[test]
fn excel_with_sheet_names_and_numbers() {
    let parts = [
        "Trésorerie\n",
        "Désignation\tPrix\n",
        "Thé à la menthe\t3.5\n",
        FRENCH,
        "\t1200",
        "Février\n",
        WORD,
    ];
    let media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    check(extract_fixture("french.xlsx").unwrap(), "xlsx", media_type, &parts);
}

#[test]
fn powerpoint_with_speaker_notes() {
    let parts = [WORD, FRENCH, "Note de l’orateur : ne pas oublier le café"];
    let media_type = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
    check(extract_fixture("french.pptx").unwrap(), "pptx", media_type, &parts);
}

#[test]
fn open_documents_of_all_three_kinds() {
    let base = "application/vnd.oasis.opendocument.";
    check(extract_fixture("french.odt").unwrap(), "odt", &format!("{base}text"), &[WORD, FRENCH]);
    let rows = ["Trésorerie\n", "Désignation\tPrix\n", "Thé à la menthe\t3,50 €"];
    check(extract_fixture("french.ods").unwrap(), "ods", &format!("{base}spreadsheet"), &rows);
    check(extract_fixture("french.odp").unwrap(), "odp", &format!("{base}presentation"), &[FRENCH]);
}

#[test]
fn rtf_with_bytes_and_unicode() {
    let rtf = br"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Times;}}\u338?uvre compl\'e8te\par Le c\'9cur : \'ab 12 \u8364\'80 \'bb}";
    check(extract_bytes(rtf, "a.rtf").unwrap(), "rtf", "application/rtf", &[WORD, "\nLe cœur : « 12 € »"]);
}

#[test]
fn mail_with_encoded_headers_html_body_and_attachment() {
    let mail = b"From: =?utf-8?B?Wm/DqSBMZWbDqHZyZQ==?= <zoe@example.fr>\r\n\
        To: Compta <compta@example.fr>, paul@example.fr\r\n\
        Subject: =?iso-8859-1?Q?R=E9union_d'=E9t=E9?=\r\n\
        Date: Mon, 3 Aug 2026 09:30:00 +0200\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\n\
        --x\r\nContent-Type: text/html; charset=windows-1252\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        <p>Le c=9Cur : 12 =80</p><style>p{}</style>\r\n\
        --x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''Relev%C3%A9.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x--\r\n";
    let parts = [
        "Subject: Réunion d'été\n",
        "From: Zoé Lefèvre <zoe@example.fr>\n",
        "To: Compta <compta@example.fr>, paul@example.fr\n",
        "Date: 2026-08-03T09:30:00+02:00\n",
        "Le cœur : 12 €\n",
        "Attachments: Relevé.pdf",
    ];
    let found = extract_bytes(mail, "message.eml").unwrap();
    assert!(!found.text.contains("p{}"));
    check(found, "email", "message/rfc822", &parts);
}
