//! What the benchmark asks of connectord: make connections, sync them, read the feed.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use superfasttt_connector::testing::settings_struct;
use superfasttt_proto::control::v1::connection_service_client::ConnectionServiceClient;
use superfasttt_proto::control::v1::document_service_client::DocumentServiceClient;
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::sync_service_client::SyncServiceClient;
use superfasttt_proto::control::v1::{
    Connection, CreateConnectionRequest, EnableConnectionRequest, PauseConnectionRequest, Run, Schedule,
    StartSyncRequest, WatchDocumentsRequest, WatchRunRequest,
};
use tonic::transport::Channel;

use crate::connectord::Connectord;
use crate::source::Settings;

/// Calls that are under way at once where many are made.
const CALLS_AT_ONCE: usize = 64;

impl Connectord {
    /// Makes a connection; it has a schedule where `interval` says so. Gives its id.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn create(
        &self,
        name: String,
        settings: &Settings,
        interval: Option<Duration>,
    ) -> anyhow::Result<String> {
        self.create_as(name, settings, interval, false).await
    }

    async fn create_as(
        &self,
        name: String,
        settings: &Settings,
        interval: Option<Duration>,
        disabled: bool,
    ) -> anyhow::Result<String> {
        let interval = interval.map(TryInto::try_into).transpose()?;
        let connection = Connection {
            connector: "bench-source".to_owned(),
            name,
            settings: Some(settings_struct(serde_json::to_value(settings)?)),
            schedule: interval.map(|interval| Schedule { interval: Some(interval), ..Default::default() }),
            ..Default::default()
        };
        let request =
            CreateConnectionRequest { connection: Some(connection), disabled, ..Default::default() };
        let created = ConnectionServiceClient::new(self.channel.clone()).create_connection(request).await?;
        Ok(created.into_inner().connection.context("it was made")?.id)
    }

    /// Makes so many connections of one kind.
    ///
    /// # Errors
    /// Where one is refused.
    pub async fn create_many(
        &self,
        connections: usize,
        settings: &Settings,
        interval: Duration,
    ) -> anyhow::Result<()> {
        stream::iter(0..connections)
            .map(|number| self.create(format!("bench-{number}"), settings, Some(interval)))
            .buffer_unordered(CALLS_AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
    }

    /// Makes the connection and syncs it for the first time. From then on it syncs only when it is told to.
    ///
    /// # Errors
    /// Where the sync does not succeed with all of its documents.
    pub async fn first_sync(&self, settings: &Settings) -> anyhow::Result<(String, Synced)> {
        self.first_sync_of("bench", settings).await
    }

    /// As [`Self::first_sync`], of a connection of this name.
    ///
    /// # Errors
    /// Where the sync does not succeed with all of its documents.
    pub async fn first_sync_of(&self, name: &str, settings: &Settings) -> anyhow::Result<(String, Synced)> {
        // One that is not paused has a run of its own as soon as it is there, and the one that is measured would be a second.
        let connection = self.create_as(name.to_owned(), settings, None, true).await?;
        let mut client = ConnectionServiceClient::new(self.channel.clone());
        client.pause_connection(PauseConnectionRequest { connection: connection.clone() }).await?;
        client.enable_connection(EnableConnectionRequest { connection: connection.clone() }).await?;
        let synced = self.sync(&connection).await?;
        ensure!(
            synced.created == settings.documents,
            "the sync of {} documents made {}",
            settings.documents,
            synced.created
        );
        Ok((connection, synced))
    }

    /// Syncs in full: waits for the run that goes on, or starts one.
    ///
    /// # Errors
    /// Where it does not succeed.
    pub async fn sync(&self, connection: &str) -> anyhow::Result<Synced> {
        self.sync_as(connection, true).await
    }

    /// Syncs what changed: waits for the run that goes on, or starts one.
    ///
    /// # Errors
    /// Where it does not succeed.
    pub async fn sync_changes(&self, connection: &str) -> anyhow::Result<Synced> {
        self.sync_as(connection, false).await
    }

    async fn sync_as(&self, connection: &str, full: bool) -> anyhow::Result<Synced> {
        let mut client = SyncServiceClient::new(self.channel.clone());
        let (cpu_before, connectors_before) = (self.cpu_time()?, self.connectors_cpu_time()?);
        let request = StartSyncRequest { connection: connection.to_owned(), full, at: None };
        let started = client.start_sync(request).await?.into_inner().run.context("a sync is a run")?;
        let mut states = client.watch_run(WatchRunRequest { run: started.id }).await?.into_inner();
        let mut last = None;
        while let Some(state) = states.message().await? {
            last = state.run;
        }
        let cpu = self.cpu_time()?.saturating_sub(cpu_before);
        let connectors_cpu = self.connectors_cpu_time()?.saturating_sub(connectors_before);
        Synced::new(&last.context("a watched run is told of")?, cpu, connectors_cpu)
    }

    /// Reads the feed from its beginning to its end; says how many entries it has.
    ///
    /// # Errors
    /// Where the feed breaks.
    pub async fn read_feed(&self) -> anyhow::Result<u64> {
        read_feed(self.channel.clone()).await
    }
}

/// What a run did, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Synced {
    /// Documents that it made.
    pub created: u64,
    /// Documents that it changed.
    pub updated: u64,
    /// Documents that it saw unchanged.
    pub unchanged: u64,
    /// From its start to its end, as connectord has it.
    pub duration: Duration,
    /// The processor time that connectord used, the connector not counted.
    pub cpu: Duration,
    /// The processor time that the connector used; of a process that ended meanwhile, none.
    pub connectors_cpu: Duration,
}

impl Synced {
    fn new(run: &Run, cpu: Duration, connectors_cpu: Duration) -> anyhow::Result<Self> {
        if run.state() != State::Succeeded {
            let error = run.error.as_ref().map_or("", |error| &error.message);
            bail!("the run ended as {}: {error}", run.state().as_str_name());
        }
        let counts = run.counts.unwrap_or_default();
        let (started, ended) =
            run.started_at.zip(run.ended_at).context("a run that ended has both its times")?;
        let micros =
            |time: superfasttt_connector::Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos) / 1000;
        let duration = Duration::from_micros((micros(ended) - micros(started)).try_into()?);
        Ok(Self {
            created: counts.created,
            updated: counts.updated,
            unchanged: counts.unchanged,
            duration,
            cpu,
            connectors_cpu,
        })
    }
}

/// Reads a feed to its end, decodes it and drops it; says how many entries it has.
///
/// # Errors
/// Where it breaks.
pub async fn read_feed(channel: Channel) -> anyhow::Result<u64> {
    let request = WatchDocumentsRequest { until_caught_up: true, ..Default::default() };
    let mut messages = DocumentServiceClient::new(channel).watch_documents(request).await?.into_inner();
    let mut entries = 0;
    while let Some(message) = messages.message().await? {
        entries += message.entries.len() as u64;
    }
    Ok(entries)
}
