//! What replicas tell each other: that the feed moved, and that there are runs to be seen. One connection listens and
//! speaks. All of it only saves time: each second the feed's head is looked at anyway, and runs are looked for by a clock
//! as well, so a notification that is lost, or a listener that is cut off, delays and never loses.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::PostgresStore;
use super::session::{Session, Sessions};
use super::transaction::{News, Outcome};
use crate::store::StoreError;

/// How often the head is looked at without being told.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer may take: the server is gone, or as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before the listener connects again: the first, doubled with each that fails, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Names of channels, with the number of the schema: several installations may share a database.
const CHANNELS: &str = "SELECT 'connectord_feed_' || oid, 'connectord_runs_' || oid FROM pg_namespace \
     WHERE nspname = current_schema()";

/// Listens until the store is closed.
pub(super) async fn listen(store: PostgresStore, sessions: Sessions) {
    let closing = store.closing.clone();
    closing.run_until_cancelled_owned(listen_always(store, sessions)).await;
}

async fn listen_always(store: PostgresStore, sessions: Sessions) {
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let ended = match sessions.connect().await {
            Ok(session) => listen_once(&store, session).await.err(),
            Err(error) => Some(error.into()),
        };
        if began.elapsed() > LONGEST_PAUSE {
            pause = PAUSE;
        }
        if let Some(failure) = ended {
            tracing::warn!(error = %failure.told(), "the database is not listened to: trying again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens on one connection until it fails.
async fn listen_once(store: &PostgresStore, mut session: Session) -> Outcome<()> {
    let channels = session.client.query_one(CHANNELS, &[]).await?;
    let (feed, runs): (String, String) = (channels.get(0), channels.get(1));
    session.client.batch_execute(&format!("LISTEN {feed}; LISTEN {runs}")).await?;
    let mut news = store.news.subscribe();
    news.mark_changed();
    // What happened while nobody listened. The head may also lie before the known one: in a restored backup.
    let now_at = head(&session).await?;
    store.feed_head.send_if_modified(|known| std::mem::replace(known, now_at) != now_at);
    store.run_changes.send_modify(|count| *count += 1);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            notification = session.notifications.recv() => {
                let Some(notification) = notification else { return Ok(()) };
                if notification.channel() == feed {
                    // It was moved by a commit that can be read by now.
                    store.moved(notification.payload().parse().unwrap_or(0));
                } else {
                    store.run_changes.send_modify(|count| *count += 1);
                }
            }
            _ = look.tick() => store.moved(answer(head(&session)).await?),
            changed = news.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let mut taken = News::default();
                store.news.send_if_modified(|waiting| {
                    taken = std::mem::take(waiting);
                    false
                });
                answer(tell(&session, &feed, &runs, taken)).await?;
            }
        }
    }
}

/// Tells the others. Several changes are told as one.
async fn tell(session: &Session, feed: &str, runs: &str, news: News) -> Outcome<()> {
    let sql = "SELECT pg_notify($1, $2)";
    if let Some(head) = news.head {
        session.client.execute(sql, &[&feed, &head.to_string()]).await?;
    }
    if news.runs {
        session.client.execute(sql, &[&runs, &""]).await?;
    }
    Ok(())
}

async fn head(session: &Session) -> Outcome<i64> {
    let row = session.client.query_one("SELECT value FROM meta WHERE name = 'feed_head'", &[]).await?;
    Ok(row.get(0))
}

async fn answer<T>(question: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    timeout(PATIENCE, question)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable("the database does not answer".to_owned()).into()))
}
