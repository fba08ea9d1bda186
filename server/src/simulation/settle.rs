//! The end of a history: everything heals, the engine settles by itself, and what it holds is compared with the sources.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;
use superfasttt_proto::connector::v1::{DocumentEnvelope, Reason};
use superfasttt_proto::control::v1::run::State;

use super::history::History;
use super::port::Life;
use super::reader::Reader;
use super::source::Source;
use super::watcher::excused;
use super::words::{envelope, has_raw, listing_of, made_by, plain_title, text_of};
use super::world::lock;
use crate::store::connections::Connection;
use crate::store::memory::Data;
use crate::store::runs::{Run, Work};

/// How long the engine may take to serve every connection when all is well again.
const PATIENCE_S: u32 = 900;
/// How often what is held is approved: each approval lists once more.
const ROUNDS: u32 = 4;

/// Heals everything and checks what comes of it.
pub(super) async fn settle(history: &mut History) {
    let world = history.world.clone();
    world.heal();
    for replica in &history.replicas {
        replica.port.set(Life::Running);
        replica.clock.set_off(0);
    }
    world.tell("everything heals");
    // What drains still has its time.
    tokio::time::sleep(Duration::from_secs(10)).await;
    history.replace_dead();
    // Twice: the first may go on with a listing from before, and what has changed since is told by the next.
    serve_each(history, Errand::Due).await;
    serve_each(history, Errand::Due).await;
    if world.wrong().is_some() {
        return;
    }
    compare(history, false);
    for source in lock(&world.sources).values_mut() {
        source.mend();
    }
    world.tell("everything can be read");
    for _ in 0..ROUNDS {
        serve_each(history, Errand::Everything).await;
        if world.wrong().is_some() {
            return;
        }
        let mut held = false;
        for connection in &history.connections {
            let waits = world
                .store
                .look(|data| data.states_of(connection.key).iter().any(|state| state.held.is_some()));
            if waits {
                held = true;
                history.approve(connection).await;
            }
        }
        if !held {
            break;
        }
    }
    serve_each(history, Errand::Renormalize).await;
    quiet(history).await;
    compare(history, true);
    for reader in &history.readers {
        Reader::catch_up(&world, reader).await;
    }
}

/// What every connection is to be served with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// Whatever its schedule brings, or a run that is asked for where it has none.
    Due,
    /// A comparison with all that the source has: of ids and versions where the connector can, else in full.
    Everything,
    /// All documents made anew, where raw items are kept.
    Renormalize,
}

impl Errand {
    fn is_for(self, history: &History, connection: &Connection) -> bool {
        self != Errand::Renormalize || history.keeps_raw(connection)
    }

    /// What compares everything. A comparison of versions shows neither whether a raw item is kept, nor permissions that
    /// changed before a listing that left their document out and was believed to be complete.
    fn comparison(history: &History, connection: &Connection) -> Work {
        let lied = lock(&history.world.sources).get(&connection.id).is_some_and(Source::has_lied);
        if lied || history.keeps_raw(connection) { Work::Full } else { Work::Reconcile }
    }

    fn is_done_by(self, run: &Run, comparison: Work) -> bool {
        let went_through = matches!(run.state, State::Succeeded | State::SucceededWithErrors);
        went_through
            && match self {
                Errand::Due => !run.renormalizes,
                Errand::Everything => run.work >= comparison,
                Errand::Renormalize => run.renormalizes,
            }
    }

    async fn ask(self, history: &History, connection: &Connection) {
        match self {
            Errand::Due if connection.schedule.frequency.is_some() => {}
            Errand::Due => history.ask(connection, Work::Changes).await,
            Errand::Everything => {
                history.ask(connection, Self::comparison(history, connection)).await;
            }
            Errand::Renormalize => history.renormalize(connection).await,
        }
    }
}

/// Waits until each connection was served by a run that was not there before.
async fn serve_each(history: &History, errand: Errand) {
    let world = &history.world;
    let before: BTreeSet<String> =
        world.store.look(|data| data.all_runs().map(|run| run.id.clone()).collect());
    let mut parked: Vec<(String, u32)> = Vec::new();
    for second in 0..PATIENCE_S {
        let served = |connection: &Connection| {
            let comparison = Errand::comparison(history, connection);
            world.store.look(|data| {
                let mut runs = data.all_runs().filter(|run| run.connection == connection.key);
                runs.any(|run| !before.contains(&run.id) && errand.is_done_by(run, comparison))
            })
        };
        let unserved: Vec<&Connection> = history
            .connections
            .iter()
            .filter(|connection| errand.is_for(history, connection) && !served(connection))
            .collect();
        if unserved.is_empty() {
            return;
        }
        for connection in unserved {
            if failed_for_its_items(history, connection, &before)
                && let Some(source) = lock(&world.sources).get_mut(&connection.id)
            {
                // I10: so many items cannot be read that no run goes through before a person has mended their cause.
                world.tell(format!("{}: {}", connection.id, source.mend()));
            }
            match history.active(connection) {
                None => errand.ask(history, connection).await,
                Some((run, State::Parked)) => match parked.iter().find(|(parked, _)| *parked == run) {
                    None => parked.push((run, second)),
                    Some((_, since)) if second < since + 3 => {}
                    Some(_) => {
                        // I9: nobody works on a run that is parked.
                        if history.replicas.iter().any(|replica| replica.scheduler.live().get(&run).is_some())
                        {
                            world.accuse(format!("I9: {run} is parked and holds a place"));
                        }
                    }
                },
                Some(_) => parked.retain(|(run, _)| {
                    world.store.look(|data| {
                        data.all_runs().any(|other| other.id == *run && other.state == State::Parked)
                    })
                }),
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        if world.wrong().is_some() {
            return;
        }
    }
    world.accuse("a connection that is due is not served");
}

/// Whether a run of the connection that was not there before failed because too large a share of its items did.
fn failed_for_its_items(history: &History, connection: &Connection, before: &BTreeSet<String>) -> bool {
    let failed = |run: &Run| {
        run.connection == connection.key
            && !before.contains(&run.id)
            && run.state == State::Failed
            && run.error.as_ref().is_some_and(|error| error.reason() == Reason::TooManyItemErrors)
    };
    history.world.store.look(|data| data.all_runs().any(failed))
}

/// Waits until nothing is under way, and nobody holds anything.
async fn quiet(history: &History) {
    let world = &history.world;
    for connection in &history.connections {
        let id = connection.id.clone();
        lock(&world.sources).entry(id).and_modify(|source| source.bad_folders.clear());
    }
    for _ in 0..60 {
        let under_way = world.store.look(|data| {
            data.all_runs().any(|run| run.state == State::Running)
                || data.present().any(|connection| connection.deleting_at.is_some())
        });
        let live: usize = history.replicas.iter().map(|replica| replica.scheduler.live().count()).sum();
        if !under_way && live == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.accuse("something is under way and never ends");
}

fn compare(history: &History, exactly: bool) {
    let world = &history.world;
    let sources = lock(&world.sources);
    for connection in &history.connections {
        let Some(source) = sources.get(&connection.id) else { continue };
        let keeps_raw = history.keeps_raw(connection);
        let faults = world.store.look(|data| faults(data, connection, source, keeps_raw, exactly));
        for fault in faults {
            world.accuse(format!("I12: {} of {}: {fault}", connection.id, source.kind.id));
        }
    }
}

/// What of a source is not as it should be in the store. Before everything can be read, what is on record as unread is
/// excused, and so is what a listing did not name and no sweep has taken.
fn faults(
    data: &Data,
    connection: &Connection,
    source: &Source,
    keeps_raw: bool,
    exactly: bool,
) -> Vec<String> {
    let key = connection.key;
    let mut faults = Vec::new();
    let states = data.states_of(key);
    for row in data.live(key) {
        let document = &row.document;
        let state = states.iter().find(|state| state.scope == document.scope);
        let absent = state.is_some_and(|state| document.generation < state.generation);
        let may_stay = absent && (!exactly || !source.kind.full_listing);
        let excused = !exactly && excused(data, key, source, &document.scope, &document.id);
        if !(source.items.contains_key(&document.id) || may_stay || excused) {
            faults.push(format!("{} is there, and not in the source", document.id));
        }
    }
    for (id, item) in &source.items {
        let state = states.iter().find(|state| state.scope == item.scope);
        let cursor = state.and_then(|state| state.cursor.as_deref());
        let denied = cursor.is_some_and(|cursor| source.denied(listing_of(cursor), id));
        if !exactly && (denied || excused(data, key, source, &item.scope, id)) {
            continue;
        }
        let Some(row) = data.document(key, id).filter(|row| !row.document.gone) else {
            faults.push(format!("{id} is missing"));
            continue;
        };
        let mut expected = envelope(id, item);
        expected.content = None;
        expected.source.clone_from(&connection.connector);
        let (stored, text) = row.body.clone().unwrap_or_default();
        let mut stored = DocumentEnvelope::decode(stored.as_slice()).unwrap_or_default();
        if keeps_raw && exactly {
            let raw = data.kept_raw_items(key).find(|raw| raw.put.id == *id);
            if raw.map(|raw| raw.put.version.clone()) != has_raw(item).then(|| item.version.to_string()) {
                faults.push(format!("what is kept of {id} is {raw:?}"));
            }
            if has_raw(item) {
                expected.title = made_by(&expected.title, source.normalizer);
            }
        } else {
            // Whoever made it, and when.
            stored.title = plain_title(&stored.title).to_owned();
        }
        if stored != expected || text != text_of(id, item) || row.document.scope != item.scope {
            faults.push(format!("{id} is {stored:?} with {text:?} and should be {expected:?}"));
        }
    }
    if exactly && source.kind.full_listing {
        for (id, scope) in &source.folders {
            if data.container(key, id).is_none_or(|put| put.scope != *scope) {
                faults.push(format!("folder {id} of {scope:?} is not known"));
            }
        }
    }
    faults
}
