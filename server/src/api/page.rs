//! Pages: sizes within bounds, and tokens that hold the key after which the next page begins. A token is bound to the
//! filters of its request, so that it is refused with others.

use ring::digest::{SHA256, digest};

use super::error::ApiError;

const DEFAULT_SIZE: i32 = 100;
const MAX_SIZE: i32 = 1000;

/// How many rows a request asks for.
pub fn size(page_size: i32) -> Result<usize, ApiError> {
    match page_size {
        0 => Ok(DEFAULT_SIZE as usize),
        1..=MAX_SIZE => Ok(page_size as usize),
        _ => Err(ApiError::field("page_size", format!("must be 0 to {MAX_SIZE}"))),
    }
}

/// The token for the page after `key`.
pub fn token(filters: &[&str], key: &str) -> String {
    format!("{}.{}", fingerprint(filters), hex(key.as_bytes()))
}

/// The key in a token; `None` for the first page.
pub fn key(filters: &[&str], page_token: &str) -> Result<Option<String>, ApiError> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let (bound_to, key) = page_token.split_once('.').ok_or_else(bad_token)?;
    if bound_to != fingerprint(filters) {
        return Err(bad_token());
    }
    let key = unhex(key).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad_token)?;
    Ok(Some(key))
}

/// The token is of another request, or of nobody.
pub fn bad_token() -> ApiError {
    ApiError::field("page_token", "is not a token of this server for the same request")
}

fn fingerprint(filters: &[&str]) -> String {
    hex(&digest(&SHA256, filters.join("\0").as_bytes()).as_ref()[..4])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_the_same_filters_only() {
        let given = token(&["a", "b"], "clé");
        assert_eq!(key(&["a", "b"], &given).unwrap().as_deref(), Some("clé"));
        assert!(key(&["a", "c"], &given).is_err());
        assert!(key(&["a", "b"], "nonsense").is_err());
        assert_eq!(key(&[], "").unwrap(), None);
    }

    #[test]
    fn a_size_out_of_bounds_is_refused() {
        assert_eq!(size(0).unwrap(), 100);
        assert_eq!(size(1000).unwrap(), 1000);
        assert!(size(-1).is_err());
        assert!(size(1001).is_err());
    }
}
