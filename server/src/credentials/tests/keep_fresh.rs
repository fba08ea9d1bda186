//! What is due is refreshed though nobody uses it, and what cannot be refreshed stands in nobody's way.

use super::*;
use crate::credentials::refresh::refresh_at;

/// Keeps credentials fresh until this holds.
async fn keep_fresh_until(installation: &Installation, mut holds: impl AsyncFnMut() -> bool) {
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(installation.replicas[0].clone().keep_fresh(stop.clone()));
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it comes about");
    stop.cancel();
    keeping.await.unwrap();
}

/// Until nothing is due any more.
async fn keep_fresh(installation: &Installation) {
    let due = || installation.store.due_refreshes(10, installation.clock.now());
    assert_eq!(due().await.unwrap().len(), 1, "it is due");
    keep_fresh_until(installation, async || due().await.unwrap().is_empty()).await;
}

async fn status(installation: &Installation) -> Status {
    installation.store.credential(installation.connection.key).await.unwrap().unwrap().0.status
}

#[tokio::test]
async fn a_grant_that_nobody_uses_is_refreshed_in_time() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::hours(1)).await;
    let second =
        json!({"access_token": "second", "refresh_token": "r2", "token_type": "Bearer", "expires_in": 3600});
    installation.provider.answer(Answer::json(200, &second));
    installation.clock.advance(TimeDelta::minutes(31));
    keep_fresh(&installation).await;
    assert_eq!(installation.provider.last().params()["refresh_token"], "r1");
    assert_eq!(token(&installation.usable(0).await.unwrap()), "second");
    assert_eq!(installation.provider.asked().len(), 1);
}

#[tokio::test]
async fn a_grant_that_cannot_be_renewed_is_left_until_it_ends() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(None, TimeDelta::hours(1)).await;
    installation.clock.advance(TimeDelta::minutes(31));
    keep_fresh(&installation).await;
    let before = status(&installation).await;
    assert_eq!((before.state, before.trouble), (State::Connected, None), "nothing is wrong with it");
    assert_eq!(token(&installation.usable(0).await.unwrap()), "first");
    installation.clock.advance(TimeDelta::minutes(29));
    keep_fresh(&installation).await;
    let ended = status(&installation).await;
    assert_eq!(ended.state, State::NeedsReconnect);
    assert!(ended.trouble.unwrap().message.contains("connect the account again"));
    assert!(installation.provider.asked().is_empty());
}

#[tokio::test]
async fn a_refresh_of_a_connector_that_is_gone_is_put_off() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::minutes(1)).await;
    std::fs::remove_dir_all(installation.folder.path().join("demo")).unwrap();
    installation.catalog.rescan().unwrap();
    installation.clock.advance(TimeDelta::hours(1));
    keep_fresh(&installation).await;
    assert!(installation.provider.asked().is_empty());
    assert_eq!(installation.state().await, State::Connected);
}

#[tokio::test]
async fn a_refresh_of_what_the_connector_no_longer_takes_is_put_off() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::minutes(1)).await;
    let manifest = json!({"id": "demo", "sync": {"mode": "full"}, "auth": {"type": "api_key"}}).to_string();
    std::fs::write(installation.folder.path().join("demo/manifest.json"), manifest).unwrap();
    installation.catalog.rescan().unwrap();
    installation.clock.advance(TimeDelta::hours(1));
    keep_fresh(&installation).await;
    assert!(installation.provider.asked().is_empty());
    assert_eq!(installation.state().await, State::Connected);
}

#[test]
fn refreshes_come_ahead_of_the_end_each_a_bit_apart_and_before_idleness_kills() {
    let (now, hour, day) = (start(), TimeDelta::hours(1), Duration::from_secs(86400));
    let times: Vec<_> = (0..200).map(|_| refresh_at(now, Some(now + hour), None).unwrap()).collect();
    assert!(times.iter().all(|at| (now + hour - *at) <= TimeDelta::minutes(10)));
    assert!(times.iter().all(|at| (now + hour - *at) >= TimeDelta::minutes(5)));
    let span = *times.iter().max().unwrap() - *times.iter().min().unwrap();
    assert!(span > TimeDelta::minutes(2), "they spread over {span}");
    // A fifth of a life that is short.
    let at = refresh_at(now, Some(now + TimeDelta::seconds(50)), None).unwrap();
    assert!((now + TimeDelta::seconds(40)..=now + TimeDelta::seconds(45)).contains(&at), "{at}");
    // A token without an end, of a grant that dies of idleness; and one that ends long before.
    let at = refresh_at(now, None, Some(90 * day)).unwrap();
    assert!((now + TimeDelta::days(33)..=now + TimeDelta::days(45)).contains(&at), "{at}");
    assert!(refresh_at(now, Some(now + hour), Some(90 * day)).unwrap() < now + hour);
    assert_eq!(refresh_at(now, None, None), None);
    // One that has ended already is due at once.
    assert!(refresh_at(now, Some(now - hour), None).unwrap() <= now);
}
