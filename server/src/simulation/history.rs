//! One history: a few connections, one to three replicas, and everything that a few minutes in bad weather bring.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::port::{Life, SimulatedClock};
use super::reader::{self, Reader};
use super::replica::Replica;
use super::settle;
use super::source::{KINDS, Source};
use super::watcher;
use super::world::{Weather, World, lock};
use crate::catalog::Frequency;
use crate::chance;
use crate::clock::Clock;
use crate::schedule::times;
use crate::store::Maintenance;
use crate::store::connections::{
    Connection, ConnectionChange, ConnectionStore, NewConnection, Overlap, Schedule,
};
use crate::store::feed::FeedStore;
use crate::store::raw_items::RawItemStore;
use crate::store::runs::{RunStore, Work};
use crate::store::sync_states::SyncStateStore;
use crate::store::wanted::WantedStore;

/// Everything that takes part in a history.
pub(super) struct History {
    pub world: Arc<World>,
    pub clock: SimulatedClock,
    pub connections: Vec<Connection>,
    pub replicas: Vec<Replica>,
    pub readers: Vec<Arc<Mutex<Reader>>>,
    started: u32,
}

impl History {
    /// Lives through one history.
    pub(super) async fn live(seed: u64) -> Arc<World> {
        let mut history = Self::begin(seed).await;
        let steps = history.world.choose(|chance| chance.random_range(5..25_u32));
        for _ in 0..steps {
            tokio::time::sleep(history.world.while_up_to(Duration::from_secs(20))).await;
            history.step().await;
            if history.world.wrong().is_some() {
                return history.world;
            }
        }
        settle::settle(&mut history).await;
        history.world
    }

    async fn begin(seed: u64) -> Self {
        let shared = !seed.is_multiple_of(4);
        let world = World::new(seed, shared);
        let onlooker = Arc::downgrade(&world);
        world.store.let_look_on(Box::new(move |data, fence| {
            if let Some(world) = onlooker.upgrade() {
                watcher::look_on(&world, data, fence);
            }
        }));
        let clock = SimulatedClock::new();
        let mut connections = Vec::new();
        for number in 0..world.choose(|chance| chance.random_range(1..4_u32)) {
            connections.push(connect(&world, &clock, number).await);
        }
        let mut history =
            Self { world, clock, connections, replicas: Vec::new(), readers: Vec::new(), started: 0 };
        history.change_weather();
        let most = [1, 1, 2, 2, 3];
        let replicas =
            if shared { history.world.choose(|chance| most[chance.random_range(0..most.len())]) } else { 1 };
        for _ in 0..replicas {
            history.start_replica();
        }
        for (name, away) in [("near reader", 4), ("far reader", 90)] {
            let reader = Reader::new(name);
            tokio::spawn(reader::read_on(history.world.clone(), reader.clone(), Duration::from_secs(away)));
            history.readers.push(reader);
        }
        history
    }

    pub(super) fn start_replica(&mut self) {
        self.started += 1;
        let name = format!("replica {}", self.started);
        self.replicas.push(Replica::start(&self.world, name, self.clock.another()));
    }

    /// Starts another for each replica that died.
    pub(super) fn replace_dead(&mut self) {
        let before = self.replicas.len();
        self.replicas.retain(|replica| !replica.is_dead());
        for _ in self.replicas.len()..before {
            self.start_replica();
        }
    }

    fn change_weather(&self) {
        let mut weather = self.world.choose(Weather::new);
        if !self.world.store.is_shared() {
            // In one process a call that fails was not done.
            (weather.store_loses_reply, weather.store_repeats) = (0.0, 0.0);
        }
        *lock(&self.world.weather) = weather;
    }

    async fn step(&mut self) {
        let world = self.world.clone();
        let place = world.choose(|chance| chance.random_range(0..self.connections.len()));
        let connection = self.connections[place].clone();
        let replica = world.choose(|chance| chance.random_range(0..self.replicas.len().max(1)));
        match world.choose(|chance| chance.random_range(0..100_u32)) {
            0..30 => {
                for _ in 0..world.choose(|chance| chance.random_range(1..6_u32)) {
                    if let Some(source) = lock(&world.sources).get_mut(&connection.id) {
                        let what = world.choose(|chance| source.change(chance));
                        world.tell(format_args!("in {}: {what}", connection.id));
                    }
                }
            }
            30..40 => {
                let works = [Work::Changes, Work::Changes, Work::Reconcile, Work::Full];
                let work = works[world.choose(|chance| chance.random_range(0..works.len()))];
                self.ask(&connection, work).await;
            }
            40..44 => self.change_weather(),
            44 => self.upgrade(&connection).await,
            45..53 => {
                if let Some(replica) = self.replicas.get(replica) {
                    world.tell(format_args!("{} is killed", replica.port.name));
                    replica.port.set(Life::Dead);
                }
            }
            53..63 => self.replace_dead(),
            63..70 => {
                if let Some(replica) = self.replicas.get(replica) {
                    let time = world.while_up_to(Duration::from_secs(25));
                    world.tell(format_args!("{} is suspended for {time:?}", replica.port.name));
                    replica.port.set(Life::Suspended);
                    let port = replica.port.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(time).await;
                        port.set(Life::Running);
                    });
                }
            }
            70..75 => {
                if let Some(replica) = self.replicas.get(replica) {
                    let seconds = world.choose(|chance| chance.random_range(-60..60_i64));
                    world.tell(format_args!("the clock of {} is {seconds} s off", replica.port.name));
                    replica.clock.set_off(seconds);
                }
            }
            75..79 => {
                let time = world.while_up_to(Duration::from_secs(15));
                world.tell(format_args!("the store is away for {time:?}"));
                world.take_store_down(time);
            }
            79..83 => self.drain(replica),
            83..85 => self.cancel(&connection).await,
            85 => self.retry(&connection).await,
            86..88 => self.reset(&connection).await,
            88..91 => self.approve(&connection).await,
            91..93 => self.change_settings(&connection).await,
            93..99 => {
                // As another replica does each few minutes.
                let old = self.now() - TimeDelta::seconds(20);
                let trimmed = world.store.trim_tombstones(old, 100).await;
                world.tell(format_args!("tombstones are trimmed: {trimmed:?}"));
                let trimmed = world.store.trim_raw_items(100).await;
                world.tell(format_args!("raw items are trimmed: {trimmed:?}"));
            }
            _ if self.connections.len() > 1 => {
                world.tell(format_args!("{} is to be deleted", connection.id));
                let begun = world.store.begin_deletion(&connection.id, None, self.now()).await;
                world.tell(format_args!("deletion: {:?}", begun.map(|_| ())));
                self.connections.remove(place);
            }
            _ => {}
        }
    }

    /// The time, as a person's clock has it.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Asks for a run, as the API does.
    pub(super) async fn ask(&self, connection: &Connection, work: Work) {
        let (id, now) = (chance::new_id(), self.now());
        let asked = self.world.store.queue_run(id, connection.key, Trigger::Manual, work, now).await;
        self.world.tell(format_args!("{work:?} of {} is asked for: {}", connection.id, asked.is_ok()));
    }

    /// A new version of the connector makes other documents of raw items: those that are kept are normalized again.
    async fn upgrade(&self, connection: &Connection) {
        if let Some(source) = lock(&self.world.sources).get_mut(&connection.id) {
            source.normalizer += 1;
        }
        self.world.tell(format_args!("the connector of {} normalizes otherwise", connection.id));
        self.renormalize(connection).await;
    }

    /// Asks for the documents of a connection that keeps raw items to be made anew, as the API does.
    pub(super) async fn renormalize(&self, connection: &Connection) {
        if self.keeps_raw(connection) {
            let (id, now) = (chance::new_id(), self.now());
            let asked = self.world.store.queue_renormalization(id, connection.key, now).await;
            self.world.tell(format_args!("{} is to be normalized again: {}", connection.id, asked.is_ok()));
        }
    }

    /// Whether raw items are kept of a connection now.
    pub(super) fn keeps_raw(&self, connection: &Connection) -> bool {
        self.world.store.look(|data| data.present().any(|now| now.key == connection.key && now.keep_raw))
    }

    fn drain(&mut self, replica: usize) {
        if self.replicas.get(replica).is_none_or(Replica::is_dead) {
            return;
        }
        let replica = &self.replicas[replica];
        self.world.tell(format_args!("{} is drained", replica.port.name));
        let (scheduler, port) = (replica.scheduler.clone(), replica.port.clone());
        tokio::spawn(async move {
            scheduler.shutdown(Duration::from_secs(8)).await;
            port.set(Life::Dead);
        });
    }

    async fn cancel(&self, connection: &Connection) {
        if let Ok(Some(run)) = self.world.store.active_run(connection.key).await {
            let cancelled = self.world.store.cancel_run(&run.id, self.now()).await;
            self.world.tell(format_args!("{} is cancelled: {cancelled:?}", run.id));
        }
    }

    /// Wants item errors tried again, as the API does where the connector can be asked by id.
    async fn retry(&self, connection: &Connection) {
        if lock(&self.world.sources).get(&connection.id).is_some_and(|source| source.kind.targeted) {
            let retried = self.world.store.retry_item_errors(connection.key, Vec::new()).await;
            self.world.tell(format_args!("item errors of {} are tried again: {retried:?}", connection.id));
            let (id, now) = (chance::new_id(), self.now());
            let asked =
                self.world.store.queue_run(id, connection.key, Trigger::Manual, Work::Items, now).await;
            self.world.tell(format_args!("a run of what is wanted is asked for: {}", asked.is_ok()));
        }
    }

    async fn reset(&self, connection: &Connection) {
        let may =
            lock(&self.world.sources).get(&connection.id).is_some_and(|source| source.kind.full_listing);
        if may {
            let reset = self.world.store.reset_sync_states(connection.key, Vec::new()).await;
            self.world.tell(format_args!("{} is reset: {reset:?}", connection.id));
        }
    }

    /// Approves what is held, and asks for the run that acts on it, as the API does.
    pub(super) async fn approve(&self, connection: &Connection) {
        let approved = self.world.store.approve_held(connection.key, Vec::new()).await;
        if approved.is_ok_and(|approved| !approved.is_empty()) {
            self.world.tell(format_args!("what is held of {} is approved", connection.id));
            self.ask(connection, Work::Full).await;
        }
    }

    async fn change_settings(&self, connection: &Connection) {
        let change = if self.world.choose(|chance| chance.random_bool(0.4)) {
            ConnectionChange { keep_raw: Some(!self.keeps_raw(connection)), ..ConnectionChange::default() }
        } else {
            let number = self.world.choose(|chance| chance.random_range(0..100_u32));
            let settings = [("number".to_owned(), number.into())].into_iter().collect();
            ConnectionChange { settings: Some(settings), ..ConnectionChange::default() }
        };
        let what = change.keep_raw.map_or("the settings change", |keeps| match keeps {
            true => "raw items are to be kept",
            false => "raw items are no longer to be kept",
        });
        let changed = self.world.store.update_connection(&connection.id, None, change, self.now()).await;
        self.world.tell(format_args!("of {}, {what}: {}", connection.id, changed.is_ok()));
    }

    /// The run of a connection that has not ended.
    pub(super) fn active(&self, connection: &Connection) -> Option<(String, State)> {
        self.world.store.look(|data| {
            let mut runs = data.all_runs().filter(|run| run.connection == connection.key);
            let active = |state| matches!(state, State::Queued | State::Running | State::Parked);
            runs.find(|run| active(run.state)).map(|run| (run.id.clone(), run.state))
        })
    }
}

async fn connect(world: &Arc<World>, clock: &SimulatedClock, number: u32) -> Connection {
    let kind = world.choose(|chance| KINDS[chance.random_range(0..KINDS.len())]);
    let (scopes, documents) =
        world.choose(|chance| (chance.random_range(1..4_usize), chance.random_range(0..16_usize)));
    let mut source = Source::new(kind, scopes);
    world.choose(|chance| source.fill(documents, chance));
    let id = format!("c{number}");
    world.tell(format_args!("{id} is a {} with {scopes} scopes and {documents} documents", kind.id));
    lock(&world.sources).insert(id.clone(), source);
    let seconds = world.choose(|chance| chance.random_range(6..30_u64));
    let every = |times: u64| Some(Frequency::Every(Duration::from_secs(seconds * times)));
    let schedule = Schedule {
        frequency: every(1).filter(|_| number != 2),
        full_frequency: every(5).filter(|_| world.choose(|chance| chance.random_bool(0.3))),
        overlap: if world.choose(|chance| chance.random_bool(0.3)) { Overlap::Buffer } else { Overlap::Skip },
        ..Schedule::default()
    };
    let new = NewConnection {
        id: id.clone(),
        organization: format!("o{}", number % 2),
        connector: kind.id.to_owned(),
        name: id.clone(),
        settings: serde_json::Map::new(),
        next: times::next(&id, &schedule, None, clock.now()),
        schedule,
        disabled: false,
        keep_raw: world.choose(|chance| chance.random_bool(0.3)),
        request: None,
    };
    world.store.create_connection(new, clock.now()).await.expect("its name is its own")
}
