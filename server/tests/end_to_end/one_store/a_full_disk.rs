//! I12 on a disk that is full for a while: nothing is lost, doubled or failed for good, a person learns what to do, and
//! everything goes on without a restart once there is room.

use serde_json::json;
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{GetRunRequest, Run};
use tokio::sync::watch;
use tonic::Code;

use super::chaos::ledgers::{Documents, Ledger};
use super::chaos::reader::{Held, Reader};
use crate::support::postgres::{Cluster, ClusterOptions, Database};
use crate::support::{
    Client, LEDGER, SCRIPTED, Server, SmallDisk, Step, checkpoint, complete, content_doc, new_connection,
    until_async,
};

/// What the documents of a sync come to: several times what a disk has left when it is filled.
const DOCUMENTS: usize = 2000;
const DOCUMENT_BYTES: usize = 8000;
/// What a person is told.
const WHAT_TO_DO: &str = "make room on the disk of";

async fn run(client: &Client, id: &str) -> Run {
    let request = GetRunRequest { run: id.to_owned() };
    client.runs().get_run(request).await.unwrap().into_inner().run.unwrap()
}

/// The run that is under way, in the middle of a sync of a ledger while the disk of the store is full.
struct Outage {
    ledger: Ledger,
    connection: String,
    run: Run,
    reader: Reader,
    reading: tokio::task::JoinHandle<()>,
}

impl Outage {
    /// Begins a sync, and fills the disk when some of it is stored.
    async fn begin(server: &Server, disk: &SmallDisk) -> Self {
        let mut ledger = Ledger::new(server.folder(), 0);
        ledger.grow(DOCUMENTS, DOCUMENT_BYTES);
        let settings = json!({"path": ledger.path(), "page": 20, "page_ms": 10});
        let connection = server.client.create_paused(LEDGER, settings).await;
        let reader = Reader::default();
        let clients = watch::Sender::new(vec![server.client.clone()]);
        let reading = tokio::spawn(reader.clone().follow(clients.subscribe()));
        let run = server.client.begin(&connection, false).await;
        until_async("some documents are stored", async || {
            (server.client.connection(&connection).await.document_count >= 300).then_some(())
        })
        .await;
        disk.fill();
        until_async("the server notices", async || {
            // What was set aside before can still be written to.
            disk.fill();
            let (status, said) = server.client.http("/healthz", "").await;
            assert_eq!(status, 200, "nobody restarts it for that");
            said.contains("cannot be written").then_some(())
        })
        .await;
        assert!(server.log().contains(WHAT_TO_DO), "its log says what to do");
        Self { ledger, connection, run, reader, reading }
    }

    /// There is room again: everything has to be right, in the same process.
    async fn end(mut self, server: &Server) {
        let client = &server.client;
        let ended = client.end_of(&self.run.id).await;
        assert_eq!(ended.state(), State::Succeeded, "{ended:?}");
        assert_eq!(ended.error, None);
        let log = client.log_of(&self.run.id).await;
        assert!(
            log.iter().any(|(_, line)| line.contains(WHAT_TO_DO)),
            "the run tells why it waited: {log:?}"
        );
        // What came meanwhile.
        self.ledger.grow(3, 100);
        let after = client.sync_well(&self.connection).await;
        assert_eq!((after.created, after.updated, after.deleted), (0, 3, 0));

        let stored = client.documents(&self.connection).await;
        let texts: Documents =
            stored.into_iter().map(|(id, document)| (id, document.content.unwrap_or_default())).collect();
        assert!(texts == *self.ledger.documents(), "{} documents, and not the source's", texts.len());
        let mut told = client.feed("").await.told();
        told.sort();
        let ids: Vec<_> = self.ledger.documents().keys().cloned().collect();
        assert_eq!(told, ids, "each once, and none left out");
        let expected: Held =
            texts.into_iter().map(|(id, text)| ((self.connection.clone(), id), text)).collect();
        until_async("the reader has met everything", async || (self.reader.held() == expected).then_some(()))
            .await;
        self.reading.abort();
        let states: Vec<_> = client.runs_of(&self.connection).await.iter().map(Run::state).collect();
        assert_eq!(states, [State::Succeeded; 2], "no run failed for it");
        until_async("probes are told that it is over", async || {
            // Which writes that go through show.
            client.sync_well(&self.connection).await;
            (client.http("/healthz", "").await.1 == "serving\n").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_sqlite_goes_on_when_its_disk_was_full() {
    let test = "one_store::a_full_disk::i12_sqlite_goes_on_when_its_disk_was_full";
    let Some(disk) = SmallDisk::of(test, 64) else { return };
    let server = Server::builder().data_in(disk.path()).start().await;
    let outage = Outage::begin(&server, &disk).await;
    until_async("the run shows what it waits for", async || {
        let error = run(&server.client, &outage.run.id).await.error;
        error.is_some_and(|error| error.message.contains(WHAT_TO_DO)).then_some(())
    })
    .await;
    // What is stored can be read. What would have to be written is refused, in words that tell a client no paths.
    assert!(server.client.connection(&outage.connection).await.document_count >= 300);
    let new = new_connection(LEDGER, json!({"path": "p"}));
    let refused = server.client.connections().create_connection(new).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "the store failed; the server's log says more")
    );
    disk.free();
    outage.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_postgresql_goes_on_when_its_disk_was_full() {
    let test = "one_store::a_full_disk::i12_postgresql_goes_on_when_its_disk_was_full";
    let Some(disk) = SmallDisk::of(test, 160) else { return };
    let data = disk.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let options = ClusterOptions { data: Some(data), ..ClusterOptions::default() };
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(options)).await.unwrap();
    let server = Server::builder()
        .with("DATABASE__URL", cluster.url("postgres"))
        .with("SYNC__LEASE", "5s")
        .start()
        .await;
    let outage = Outage::begin(&server, &disk).await;
    let attempts = server.log().matches("run began").count();
    assert!(attempts < 20, "{attempts} attempts: it went round in circles");
    disk.free();
    if !cluster.is_ready() {
        // Without room for its log PostgreSQL ends, and whoever runs it starts it again.
        cluster.down();
        cluster.up();
    }
    outage.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_full_data_folder_costs_no_document_its_text() {
    let test = "one_store::a_full_disk::i12_a_full_data_folder_costs_no_document_its_text";
    let Some(disk) = SmallDisk::of(test, 8) else { return };
    let database = Database::new().await;
    let server = Server::builder().with("DATABASE__URL", database.url()).data_in(disk.path()).start().await;
    let script = server.script();
    let ids: Vec<String> = (0..150).map(|number| format!("d{number:03}")).collect();
    for id in &ids {
        script.text(id, &format!("the text of {id}"));
    }
    let documents: Vec<Step> = ids.iter().map(|id| content_doc(id, "1")).collect();
    let held = vec![script.touch("at"), script.wait("go")];
    script.next_pulls_of("FULL", [[held, documents, vec![complete("1")]].concat()]);
    // A listing that was cut off is followed by what changed since it began.
    script.next_pulls_of("INCREMENTAL", [vec![checkpoint("2")]]);
    let settings = json!({"script": script.path()});
    let connection = server.client.create(SCRIPTED, settings, false).await.id;
    // The connector is there; only the bytes on their way to extraction find no room.
    script.reached("at").await;
    disk.fill();
    script.release("go");
    let first = server.client.scheduled_run(&connection, "").await;
    let waits = "no room for content in the data folder";
    until_async("it is tried more than once", async || {
        (server.log().matches(waits).count() > 1).then_some(())
    })
    .await;
    let attempts = server.log().matches("run began").count();
    assert!(attempts < 20, "{attempts} attempts: it went round in circles");
    assert!(server.client.item_errors(&connection).await.is_empty(), "it is no fault of the documents");
    disk.free();

    let ended = server.client.end_of(&first.id).await;
    assert_eq!((ended.state(), ended.error.clone()), (State::Succeeded, None), "{ended:?}");
    let log = server.client.log_of(&first.id).await;
    assert!(log.iter().any(|(_, line)| line.contains(WHAT_TO_DO)), "{log:?}");
    let documents = server.client.documents(&connection).await;
    assert_eq!(documents.len(), ids.len());
    for id in &ids {
        assert_eq!(
            documents[id].content.as_deref().map(str::trim),
            Some(format!("the text of {id}").as_str())
        );
    }
    assert!(server.client.item_errors(&connection).await.is_empty());
}
