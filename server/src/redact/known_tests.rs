use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn known(secrets: &[&[u8]]) -> Known {
    let mut known = Known::default();
    for secret in secrets {
        known.keep(secret, Instant::now());
    }
    known
}

fn redacted(secret: &str, text: &str) -> String {
    String::from_utf8(known(&[secret.as_bytes()]).redact(text.as_bytes()).into_owned()).unwrap()
}

/// Percent-encodes what `plain` does not name.
fn percent(text: &[u8], upper: bool, plain: &str) -> String {
    let one = |byte: &u8| match byte {
        _ if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(byte) => char::from(*byte).to_string(),
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    };
    text.iter().map(one).collect()
}

/// The ways in which a text may carry a value.
fn written(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let inner = &json[1..json.len() - 1];
    let mut ways = vec![
        secret.to_owned(),
        inner.to_owned(),
        inner.replace('/', "\\/"),
        serde_json::to_string(&json).unwrap(),
        format!("{secret:?}"),
        format!("{:?}", Some(secret)),
        secret
            .chars()
            .map(|c| {
                if c.is_alphanumeric() && c.is_ascii() {
                    c.to_string()
                } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
            })
            .collect(),
        percent(inner.as_bytes(), true, ""),
        secret.replace(' ', "+"),
    ];
    for upper in [true, false] {
        for plain in ["", "-._~", "-_.!~*'()", "/", ":/?#[]@!$&'()*+,;=", "%"] {
            ways.push(percent(secret.as_bytes(), upper, plain));
        }
        ways.push(percent(percent(secret.as_bytes(), upper, "").as_bytes(), upper, ""));
    }
    for before in ["", "u", "us", "user:", "{\"token\":\""] {
        for after in ["", "\"", "\"}", ", and more"] {
            let whole = format!("{before}{secret}{after}");
            let form = format!("{before}{}{after}", percent(secret.as_bytes(), true, "-._~"));
            for text in [whole, form] {
                for alphabet in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                    ways.push(alphabet.encode(&text));
                }
                ways.push(percent(STANDARD.encode(&text).as_bytes(), true, ""));
            }
        }
    }
    ways
}

/// The parts of base64 that are of the value's bytes alone, in any of the alignments.
fn cores(secret: &[u8]) -> Vec<String> {
    forms(secret).iter().filter_map(|form| String::from_utf8(form.to_vec()).ok()).collect()
}

proptest! {
    #[test]
    fn no_form_of_a_secret_gets_through(
        // The last is full of what looks like an escape.
        secret in "[ -~]{8,80}|[A-Za-z0-9+/]{8,300}={0,2}|[A-Za-z0-9_.-]{8,300}|\\PC{8,40}|[%\\\\n!4au0{} ]{8,16}",
        before in "[ -~]{0,40}", after in "[ -~]{0,40}",
    ) {
        prop_assume!(secret.trim_ascii().len() >= 8);
        let known = known(&[secret.as_bytes()]);
        for way in written(&secret) {
            // Two spaces: what stands before must not begin or end an escape of the value's.
            let text = format!("{before}  {way}  {after}");
            let redacted = known.redact(text.as_bytes()).into_owned();
            let redacted = String::from_utf8(redacted).expect("text stays text");
            prop_assert!(redacted.contains(REDACTED), "{way:?} in {text:?} became {redacted:?}");
            for core in cores(secret.as_bytes()) {
                prop_assert!(!redacted.contains(&core), "{core:?} of {secret:?} is in {redacted:?}");
            }
        }
    }

    #[test]
    fn texts_without_the_secret_are_left_alone(secret in "[a-z0-9]{12,60}", text in "[A-Z %\\\\\"u0-9é]{0,200}") {
        prop_assert_eq!(redacted(&secret, &text), text);
    }

    #[test]
    fn any_bytes_are_taken(secrets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4), text in prop::collection::vec(any::<u8>(), 0..300)) {
        let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        known(&secrets).redact(&text);
    }

    #[test]
    fn whatever_comes_and_goes_the_table_holds_what_is_kept(steps in prop::collection::vec((0..4_usize, any::<bool>()), 0..40)) {
        const VALUES: [&[u8]; 4] = [b"first-secret", b"second-secret", b"first-secret-and-more", b"third-secret"];
        let mut known = Known::default();
        let mut keepers = [0_usize; 4];
        let mut now = Instant::now();
        for (value, is_kept) in steps {
            if is_kept {
                known.keep(VALUES[value], now);
                keepers[value] += 1;
            } else if keepers[value] > 0 {
                known.release(name(VALUES[value]), now);
                keepers[value] -= 1;
            }
            now += LINGER / 3;
        }
        now += LINGER;
        known.forget_old(now);
        for (value, keepers) in VALUES.iter().zip(keepers) {
            prop_assert_eq!(known.secrets.contains_key(&name(value)), keepers > 0);
        }
        if keepers == [0; 4] {
            prop_assert!(matches!(known.redact(VALUES[2]), Cow::Borrowed(_)));
        }
    }
}

#[test]
fn a_secret_that_is_short_beneath_its_escapes_is_found_in_an_address() {
    assert_eq!(redacted(r"%a04{\a%", "?key=%a04%7B%5Ca%"), "?key=[redacted]");
    assert_eq!(redacted("%41%42%43{}", "?key=%41%42%43%7b%7d&"), "?key=[redacted]&");
}

#[test]
fn neighbours_and_overlaps_become_one_word() {
    let known = known(&[b"abcdefgh1234", b"1234ijkl"]);
    assert_eq!(known.redact(b"abcdefgh1234ijkl").as_ref(), b"[redacted]");
    assert_eq!(known.redact(b"x1234ijklabcdefgh1234y").as_ref(), b"x[redacted]y");
    assert_eq!(known.redact(b"1234ijkl, 1234ijkl").as_ref(), b"[redacted], [redacted]");
}

#[test]
fn a_secret_is_looked_for_a_while_after_its_use_and_then_forgotten() {
    let mut known = known(&[b"hunter22"]);
    let now = Instant::now();
    known.release(name(b"hunter22"), now);
    assert_eq!(known.redact(b"hunter22").as_ref(), b"[redacted]");
    // Used again in time: it stays, however long.
    known.keep(b"hunter22", now + LINGER / 2);
    known.forget_old(now + LINGER * 10);
    assert_eq!(known.redact(b"hunter22").as_ref(), b"[redacted]");
    known.release(name(b"hunter22"), now + LINGER * 10);
    known.forget_old(now + LINGER * 11);
    assert_eq!(known.redact(b"hunter22").as_ref(), b"hunter22");
    assert!(known.secrets.is_empty() && known.lingering.is_empty());
}

#[test]
fn those_that_linger_are_bounded() {
    let mut known = Known::default();
    let now = Instant::now();
    for number in 0..MAX_LINGERING * 3 {
        let secret = format!("secret-number-{number}");
        known.keep(secret.as_bytes(), now);
        known.release(name(secret.as_bytes()), now);
    }
    assert_eq!(known.secrets.len(), MAX_LINGERING);
}

#[test]
fn keys_of_several_lines_are_found_line_by_line_and_within_json() {
    let body: Vec<String> = (0..5_u64)
        .map(|line| format!("{:064x}", line.wrapping_mul(0x9e37_79b9_7f4a_7c15) as u128 * 77))
        .collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", body.join("\n"));
    let account = serde_json::json!({"type": "service_account", "private_key": pem,
        "token_uri": "https://oauth2.googleapis.com/token"})
    .to_string();
    for line in &body {
        assert_eq!(redacted(&pem, &format!("line {line}!")), "line [redacted]!");
        assert_eq!(redacted(&account, &format!("line {line}!")), "line [redacted]!");
    }
    // What stands in it and is no secret may be told.
    for harmless in ["-----BEGIN PRIVATE KEY-----", "cannot reach https://oauth2.googleapis.com/token"] {
        assert_eq!(redacted(&account, harmless), harmless);
    }
}

/// A line of a log costs a few microseconds at most, however many secrets are in use, and nothing where there are none.
#[test]
fn looking_costs_little() {
    let long =
        |number: usize| -> String { (0..30).map(|part| format!("{number:08}{part:08}AbCdEfGh")).collect() };
    let mut known = Known::default();
    let keeping = std::time::Instant::now();
    for number in 0..1_000 {
        let secret = long(number);
        known.keep(secret.as_bytes(), Instant::now());
    }
    let keeping = keeping.elapsed();
    let line = "2026-01-01T00:00:00Z  INFO sync.run.execute{run=\"0190\" connection=\"c1\"}: 1,000 documents were committed, \
                the cursor is at 4711 and the next page is asked for with the same states as before; all is well";
    let reading = std::time::Instant::now();
    for _ in 0..1_000 {
        assert!(matches!(known.redact(std::hint::black_box(line.as_bytes())), Cow::Borrowed(_)));
    }
    let reading = reading.elapsed();
    println!(
        "1,000 secrets of 720 bytes kept in {keeping:?}; a line of {} bytes in {:?}",
        line.len(),
        reading / 1_000
    );
    // Without optimization and on a busy machine; with it a hundredth (docs/redaction.md).
    assert!(reading < Duration::from_millis(500), "{reading:?}");
}

#[test]
fn a_text_without_measure_is_cut_and_has_no_secret_at_its_end() {
    let _kept = keep("a-canary-of-long-texts");
    let mut text = "x".repeat(MAX_TEXT_BYTES - 12);
    text.push_str("a-canary-of-long-texts and more");
    let redacted = super::super::text(&text).into_owned();
    assert!(redacted.ends_with("xxx[redacted]… (cut)"), "{}", &redacted[redacted.len() - 60..]);
}
