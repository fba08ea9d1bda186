-- The first schema. Times are microseconds since 1970, UTC. `connection` columns hold connections.pk.

-- One row per fact about the whole installation.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE connections (
  pk               INTEGER PRIMARY KEY,
  id               TEXT    NOT NULL UNIQUE,     -- what the world calls it
  organization     TEXT    NOT NULL,
  connector        TEXT    NOT NULL,
  name             TEXT    NOT NULL,
  settings         TEXT    NOT NULL,            -- JSON object
  interval_s       INTEGER,                     -- NULL: only when asked
  full_interval_s  INTEGER,                     -- NULL: only when needed
  disabled         INTEGER NOT NULL DEFAULT 0,
  paused           INTEGER NOT NULL DEFAULT 0,
  deleting_at      INTEGER,                     -- a person asked for deletion
  deleted_at       INTEGER,                     -- nothing is left but tombstones
  revision         INTEGER NOT NULL DEFAULT 1,  -- counts updates by people: the etag
  fence            INTEGER NOT NULL DEFAULT 0,  -- counts claims: a commit with an older one is refused
  synced_settings  BLOB,                        -- hash of the settings that the state was made with
  next_run_at      INTEGER,                     -- NULL: not due by itself
  next_cause       INTEGER NOT NULL DEFAULT 1,  -- control.v1.Run.Trigger: why it is due then
  last_full_at     INTEGER,
  last_run         TEXT,
  last_success_at  INTEGER,
  failures         INTEGER NOT NULL DEFAULT 0,  -- failed runs in a row
  document_count   INTEGER NOT NULL DEFAULT 0,  -- documents that are not gone
  request_id       TEXT,                        -- of the request that made it
  request_hash     BLOB,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL
);
CREATE UNIQUE INDEX connections_by_name ON connections (organization, name) WHERE deleted_at IS NULL;
CREATE INDEX connections_by_request ON connections (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX connections_due ON connections (next_run_at) WHERE next_run_at IS NOT NULL;

CREATE TABLE runs (
  id          TEXT    PRIMARY KEY,              -- in order of creation
  connection  INTEGER NOT NULL,
  state       INTEGER NOT NULL,                 -- control.v1.Run.State
  cause       INTEGER NOT NULL,                 -- control.v1.Run.Trigger
  full_sync   INTEGER NOT NULL,                 -- everything was asked for
  mode        INTEGER NOT NULL DEFAULT 0,       -- connector.v1.PullMode, once it is decided
  created_at  INTEGER NOT NULL,
  started_at  INTEGER,
  ended_at    INTEGER,
  resume_at   INTEGER,
  pulls       INTEGER NOT NULL DEFAULT 0,
  attempts    INTEGER NOT NULL DEFAULT 0,
  crashes     INTEGER NOT NULL DEFAULT 0,       -- of the server in the middle of it, since it last stopped in order
  counts      TEXT    NOT NULL DEFAULT '{}',    -- JSON of RunCounts
  error       TEXT,                             -- JSON of RunError
  held_sweeps TEXT    NOT NULL DEFAULT '[]',    -- JSON of HeldSweep
  log_records INTEGER NOT NULL DEFAULT 0,
  log_dropped INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX runs_by_connection ON runs (connection, id);
-- One run at a time per connection: queued, running or parked.
CREATE UNIQUE INDEX runs_active ON runs (connection) WHERE state IN (1, 2, 3);
CREATE INDEX runs_waiting ON runs (state, created_at) WHERE state IN (1, 2, 3);

CREATE TABLE run_logs (
  run      TEXT    NOT NULL,
  seq      INTEGER NOT NULL,
  time     INTEGER NOT NULL,
  level    INTEGER NOT NULL,                    -- connector.v1.LogRecord.Level
  origin   TEXT    NOT NULL,
  message  TEXT    NOT NULL,
  fields   TEXT    NOT NULL DEFAULT '{}',       -- JSON object of strings
  PRIMARY KEY (run, seq)
) WITHOUT ROWID;

CREATE TABLE item_errors (
  pk               INTEGER PRIMARY KEY,
  connection       INTEGER NOT NULL,
  scope            TEXT    NOT NULL,
  target           TEXT    NOT NULL,            -- 'i' + id, 'l' + locator, or '?' + message
  item             TEXT    NOT NULL,
  locator          TEXT    NOT NULL,
  with_descendants INTEGER NOT NULL,
  reason           INTEGER NOT NULL,            -- connector.v1.Reason
  code             TEXT    NOT NULL,
  message          TEXT    NOT NULL,
  metadata         TEXT    NOT NULL,            -- JSON object of strings
  first_seen_at    INTEGER NOT NULL,
  last_seen_at     INTEGER NOT NULL,
  attempts         INTEGER NOT NULL,
  run              TEXT    NOT NULL,
  UNIQUE (connection, scope, target)
);
CREATE INDEX item_errors_by_item ON item_errors (connection, item);

-- Where each scope of a connection stands. A listing is a FULL pull in progress.
CREATE TABLE sync_states (
  connection           INTEGER NOT NULL,
  scope                TEXT    NOT NULL,
  cursor               BLOB,
  listing              INTEGER NOT NULL DEFAULT 0, -- 0 none, 1 under way, 2 complete and not swept yet
  listing_cursor       BLOB,
  listing_unreliable   INTEGER NOT NULL DEFAULT 0, -- something was skipped unnamed: no deletion by absence
  listing_for_settings INTEGER NOT NULL DEFAULT 0, -- a person changed settings: no hold
  listing_started_at   INTEGER,
  listing_completed_at INTEGER,
  generation           INTEGER NOT NULL DEFAULT 0, -- counts listings; documents carry the one they were seen in
  checkpoint_at        INTEGER,
  held_generation      INTEGER,                    -- documents seen before this listing wait for a person
  held_absent          INTEGER,
  held_total           INTEGER,
  held_at              INTEGER,
  approved_generation  INTEGER,                    -- a person let documents last seen before this listing go
  PRIMARY KEY (connection, scope)
) WITHOUT ROWID;

-- What a listing could not read: it takes no part in deletion by absence.
CREATE TABLE shields (
  connection       INTEGER NOT NULL,
  scope            TEXT    NOT NULL,
  target           TEXT    NOT NULL,            -- as in item_errors
  with_descendants INTEGER NOT NULL,
  PRIMARY KEY (connection, scope, target)
) WITHOUT ROWID;

-- Documents are in two tables: what the engine compares is narrow, so that a seen-mark does not rewrite texts.
CREATE TABLE documents (
  pk              INTEGER PRIMARY KEY,
  connection      INTEGER NOT NULL,
  id              TEXT    NOT NULL,
  scope           TEXT    NOT NULL,             -- the owner: it upserted the document last
  gone            INTEGER NOT NULL,             -- a tombstone
  generation      INTEGER NOT NULL,             -- the scope's listing in which it was last seen
  version         TEXT    NOT NULL,             -- '': the source has none
  content_version TEXT,                         -- whose content is held; NULL: none, or not that of any version
  content_state   INTEGER NOT NULL,             -- see ContentState
  extractor       INTEGER NOT NULL,             -- revision of the extractor that read the text; 0: none did
  text_hash       BLOB,                         -- SHA-256; NULL: no text
  text_bytes      INTEGER NOT NULL,
  envelope_hash   BLOB    NOT NULL,             -- SHA-256 of what a consumer sees
  message_hash    BLOB,                         -- of the message that it was made of; NULL: not of one alone
  parent_id       TEXT    NOT NULL,
  locator         TEXT    NOT NULL,
  feed_offset     INTEGER NOT NULL,
  content_offset  INTEGER NOT NULL,             -- the feed offset at which the text last changed
  committed_at    INTEGER NOT NULL,
  UNIQUE (connection, id)
);
CREATE UNIQUE INDEX documents_by_offset ON documents (feed_offset);
CREATE INDEX documents_by_parent ON documents (connection, parent_id) WHERE parent_id <> '';
CREATE INDEX documents_by_locator ON documents (connection, scope, locator) WHERE locator <> '';

CREATE INDEX documents_gone ON documents (committed_at) WHERE gone = 1;

CREATE TABLE document_bodies (
  pk       INTEGER PRIMARY KEY,                 -- documents.pk
  envelope BLOB NOT NULL,                       -- encoded DocumentEnvelope without content
  text     TEXT                                 -- NULL: no text
);

CREATE TABLE containers (
  connection INTEGER NOT NULL,
  id         TEXT    NOT NULL,
  scope      TEXT    NOT NULL,
  parent_id  TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  locator    TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  PRIMARY KEY (connection, id)
) WITHOUT ROWID;
CREATE INDEX containers_by_parent ON containers (connection, parent_id) WHERE parent_id <> '';
CREATE INDEX containers_by_locator ON containers (connection, scope, locator) WHERE locator <> '';

-- Named readers of the feed.
CREATE TABLE consumers (
  name         TEXT PRIMARY KEY,
  connection   TEXT NOT NULL,                   -- connections.id; '': of all
  organization TEXT NOT NULL,                   -- '': of all
  position     TEXT NOT NULL,                   -- '': the beginning
  committed_at INTEGER,
  created_at   INTEGER NOT NULL
) WITHOUT ROWID;
