//! Reading lists page by page.

use std::future::Future;

use tonic::Status;

use crate::error::{Error, Result};

/// How many entries are asked for at once.
const PAGE_SIZE: usize = 500;

/// Calls `fetch(page_size, page_token)` until the list or `limit` ends, and hands each page on as it comes, so
/// that memory holds one page whatever the length of the list. The second argument of `each` says whether it is
/// the first page.
///
/// # Errors
///
/// What `fetch` and `each` say; and a server that gives the same token twice is not followed for ever.
pub async fn each_page<T, Fetching>(
    limit: Option<usize>,
    fetch: impl Fn(i32, String) -> Fetching,
    mut each: impl FnMut(Vec<T>, bool) -> Result<()>,
) -> Result<()>
where
    Fetching: Future<Output = std::result::Result<(Vec<T>, String), Status>>,
{
    let mut left = limit.unwrap_or(usize::MAX);
    let mut token = String::new();
    let mut first = true;
    while left > 0 {
        let size = left.min(PAGE_SIZE);
        let (mut entries, next) = fetch(i32::try_from(size).unwrap_or(i32::MAX), token.clone()).await?;
        entries.truncate(left);
        left -= entries.len();
        each(entries, first)?;
        first = false;
        if next.is_empty() {
            break;
        }
        if next == token {
            return Err(Error::Failed(
                "the server gave the same page twice; it needs a newer version".to_owned(),
            ));
        }
        token = next;
    }
    Ok(())
}

/// The whole of a list that is known to be short.
///
/// # Errors
///
/// As [`each_page`].
pub async fn all<T, Fetching>(limit: Option<usize>, fetch: impl Fn(i32, String) -> Fetching) -> Result<Vec<T>>
where
    Fetching: Future<Output = std::result::Result<(Vec<T>, String), Status>>,
{
    let mut entries = Vec::new();
    each_page(limit, fetch, |page, _| {
        entries.extend(page);
        Ok(())
    })
    .await?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_read_up_to_the_limit() {
        let fetch = async |size: i32, token: String| {
            let start: i32 = token.parse().unwrap_or(0);
            let size = size.min(3);
            Ok((
                (start..start + size).collect::<Vec<_>>(),
                if start + size >= 7 { String::new() } else { (start + size).to_string() },
            ))
        };
        assert_eq!(all(Some(5), fetch).await.unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(all(None, fetch).await.unwrap().len(), 9);
    }

    #[tokio::test]
    async fn a_token_that_does_not_move_ends_the_list_with_an_error() {
        let fetch = async |_: i32, _: String| Ok((vec![1], "same".to_owned()));
        assert!(all(None, fetch).await.is_err());
    }
}
