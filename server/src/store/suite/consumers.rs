//! Consumers: named readers with a position of their own.

use super::support::*;
use crate::store::StoreError;
use crate::store::feed::FeedFilter;

pub async fn a_consumer_is_made_once_and_keeps_its_filter(store: Shared) {
    let filter = FeedFilter { connection: "c-docs".to_owned(), organization: "acme".to_owned() };
    let made = store.consumer("cortex", filter.clone(), at(1)).await.unwrap();
    assert_eq!((made.name.as_str(), made.position.as_str(), made.committed_at), ("cortex", "", None));
    assert_eq!(made.filter, filter);
    let again = store.consumer("cortex", FeedFilter::default(), at(2)).await.unwrap();
    assert_eq!(again, made, "the filter of its first use is fixed");
}

pub async fn a_position_is_kept(store: Shared) {
    let missing = store.commit_position("cortex", "1-2".to_owned(), at(1)).await;
    assert!(matches!(missing, Err(StoreError::Missing("consumer"))), "{missing:?}");
    store.consumer("cortex", FeedFilter::default(), at(1)).await.unwrap();
    let moved = store.commit_position("cortex", "1-2".to_owned(), at(3)).await.unwrap();
    assert_eq!((moved.position.as_str(), moved.committed_at), ("1-2", Some(at(3))));
    assert_eq!(store.consumer("cortex", FeedFilter::default(), at(4)).await.unwrap(), moved);
}

pub async fn consumers_are_listed_in_pages_and_forgotten(store: Shared) {
    for name in ["b", "a", "c"] {
        store.consumer(name, FeedFilter::default(), start()).await.unwrap();
    }
    let names = async |after: &str, limit| {
        let page = store.consumers(after, limit).await.unwrap();
        (page.items.into_iter().map(|consumer| consumer.name).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(names("", 2).await, (vec!["a".into(), "b".into()], Some("b".into())));
    assert_eq!(names("b", 2).await, (vec!["c".into()], None));
    assert!(store.delete_consumer("b").await.unwrap());
    assert!(!store.delete_consumer("b").await.unwrap());
    assert_eq!(names("", 5).await, (vec!["a".into(), "c".into()], None));
}
