//! One storm: processes, sources and a reader; faults for a while; then calm, and everything has to be right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{Connection, CreateConnectionRequest, ListRunsRequest, Run, Schedule};
use tokio::sync::watch;

use super::faults::{Fault, LEASE};
use super::ledgers::{Documents, Ledger};
use super::reader::{Held, Reader};
use crate::support::postgres::Cluster;
use crate::support::{Client, LEDGER, Server, new_connection};

/// How long it may take after the storm until everything is right.
const CALM: Duration = Duration::from_secs(240);

/// Where the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In the data folder of the one replica.
    Sqlite,
    /// In a database of its own.
    Postgres,
}

/// A storm.
pub struct Chaos {
    /// Where the state is.
    pub store: Store,
    /// How many connectords share it.
    pub replicas: usize,
    /// What goes wrong, in turn as chance has it.
    pub faults: &'static [Fault],
    /// How many sources there are.
    pub connections: usize,
    /// How long things go wrong.
    pub lasts: Duration,
    /// What decides over chance.
    pub seed: u64,
}

/// What there is during a storm.
pub struct Stage {
    /// The replicas.
    pub servers: Vec<Server>,
    cluster: Option<Cluster>,
    clients: watch::Sender<Vec<Client>>,
}

impl Stage {
    /// The database.
    pub fn database(&self) -> &Cluster {
        self.cluster.as_ref().expect("faults of the database come only where there is one")
    }

    /// A restarted replica has another address.
    pub fn tell_clients(&self) {
        self.clients.send_replace(self.servers.iter().map(|server| server.client.clone()).collect());
    }
}

impl Chaos {
    /// Goes through it.
    ///
    /// # Panics
    /// Where something is not right in the end.
    #[expect(clippy::print_stdout, reason = "what has to be known to repeat it")]
    pub async fn run(self) {
        println!("CHAOS_SEED={}", self.seed);
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut stage = self.stage().await;
        let folder = tempfile::tempdir().unwrap();
        let mut ledgers: BTreeMap<String, Ledger> = BTreeMap::new();
        for number in 0..self.connections {
            let ledger = Ledger::new(folder.path(), number);
            let connection = self.connect(&stage.servers[0].client, &ledger).await;
            ledgers.insert(connection, ledger);
        }
        let reader = Reader::default();
        let reading = tokio::spawn(reader.clone().follow(stage.clients.subscribe()));

        let began = Instant::now();
        let mut happened = BTreeMap::new();
        while began.elapsed() < self.lasts {
            let quiet = Instant::now() + Duration::from_millis(random.random_range(300..2500));
            while Instant::now() < quiet {
                self.change(&mut ledgers, &mut random);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let fault = self.faults[random.random_range(0..self.faults.len())];
            fault.happen(&mut stage, &mut random).await;
            *happened.entry(format!("{fault:?}")).or_insert(0) += 1;
        }
        println!("{} connections, {happened:?}", self.connections);

        self.calm(&stage, &ledgers, &reader).await;
        reading.abort();
        for (connection, ledger) in &ledgers {
            check_documents(&stage.servers[0].client, connection, ledger.documents()).await;
            check_runs(&stage.servers[0].client, connection).await;
        }
        for server in &mut stage.servers {
            server.stop().await;
        }
    }

    async fn stage(&self) -> Stage {
        let cluster = (self.store == Store::Postgres).then(|| Cluster::start(Default::default()));
        let mut servers = Vec::new();
        for _ in 0..self.replicas {
            let mut builder =
                Server::builder().with("SYNC__LEASE", humantime(LEASE)).with("PROCESS__ISOLATION", "shared");
            if let Some(cluster) = &cluster {
                builder = builder.with("DATABASE__URL", cluster.url("postgres"));
            }
            servers.push(builder.start().await);
        }
        let clients = watch::Sender::new(servers.iter().map(|server| server.client.clone()).collect());
        Stage { servers, cluster, clients }
    }

    /// A connection that is due again and again, about fifty of all of them each second.
    async fn connect(&self, client: &Client, ledger: &Ledger) -> String {
        let seconds = (self.connections as i64 / 50).max(1);
        let schedule =
            Schedule { interval: Some(prost_types::Duration { seconds, nanos: 0 }), ..Schedule::default() };
        let new = new_connection(LEDGER, json!({"path": ledger.path(), "page_ms": 20}));
        let connection = Connection { schedule: Some(schedule), ..new.connection.unwrap_or_default() };
        let request = CreateConnectionRequest { connection: Some(connection), ..Default::default() };
        let made = client.connections().create_connection(request).await.unwrap().into_inner();
        made.connection.unwrap().id
    }

    fn change(&self, ledgers: &mut BTreeMap<String, Ledger>, random: &mut StdRng) {
        let place = random.random_range(0..ledgers.len());
        if let Some(ledger) = ledgers.values_mut().nth(place) {
            ledger.change(random);
        }
    }

    /// Waits until the reader holds exactly what the sources have, and every connection was served once more.
    #[expect(clippy::disallowed_methods, reason = "it is compared with what the server has written down")]
    async fn calm(&self, stage: &Stage, ledgers: &BTreeMap<String, Ledger>, reader: &Reader) {
        let began = Instant::now();
        let since = std::time::SystemTime::now();
        let expected: Held = ledgers
            .iter()
            .flat_map(|(connection, ledger)| {
                let documents = ledger.documents().iter();
                documents.map(|(id, text)| ((connection.clone(), id.clone()), text.clone()))
            })
            .collect();
        loop {
            let held = reader.held();
            let unserved = self.unserved(stage, ledgers, since).await;
            if held == expected && unserved.is_empty() {
                return;
            }
            if began.elapsed() > CALM {
                let lost: Vec<_> =
                    expected.iter().filter(|(key, text)| held.get(key) != Some(text)).take(5).collect();
                let more: Vec<_> = held.keys().filter(|key| !expected.contains_key(key)).take(5).collect();
                panic!(
                    "after {CALM:?} of calm the reader lacks {lost:?}, holds {more:?} that is gone, and {} connections \
                     were not served: {:?}",
                    unserved.len(),
                    unserved.iter().take(5).collect::<Vec<_>>()
                );
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The connections that no run went through for since then.
    async fn unserved(
        &self,
        stage: &Stage,
        ledgers: &BTreeMap<String, Ledger>,
        since: std::time::SystemTime,
    ) -> Vec<String> {
        let since = prost_types::Timestamp::from(since).seconds;
        let mut unserved = Vec::new();
        for connection in ledgers.keys() {
            let shown = stage.servers[0].client.connection(connection).await;
            if shown.last_success_at.is_none_or(|at| at.seconds <= since) {
                unserved.push(format!("{connection}: {}", shown.status_message));
            }
        }
        unserved
    }
}

fn humantime(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// The documents are the source's, each once.
async fn check_documents(client: &Client, connection: &str, expected: &Documents) {
    let documents = client.documents(connection).await;
    let texts: Documents =
        documents.into_iter().map(|(id, document)| (id, document.content.unwrap_or_default())).collect();
    assert_eq!(texts, *expected, "the documents of {connection}");
    assert_eq!(client.connection(connection).await.document_count as usize, expected.len());
}

/// No run of the connection went on while another did, and none failed for good.
async fn check_runs(client: &Client, connection: &str) {
    let request =
        ListRunsRequest { connection: connection.to_owned(), page_size: 1000, ..Default::default() };
    let mut runs = client.runs().list_runs(request).await.unwrap().into_inner().runs;
    let micros = |at: &Option<prost_types::Timestamp>| {
        at.as_ref().map(|at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1000)
    };
    runs.retain(|run: &Run| run.started_at.is_some());
    runs.sort_by_key(|run| micros(&run.started_at));
    for pair in runs.windows(2) {
        // Only the newest may still be under way.
        let ended = micros(&pair[0].ended_at);
        let apart = ended.is_some() && ended <= micros(&pair[1].started_at);
        assert!(apart, "two runs of {connection} at once: {pair:?}");
    }
    let succeeded = runs.iter().filter(|run| run.state() == State::Succeeded).count();
    assert!(succeeded > 0, "no run of {connection} went through: {runs:?}");
}
