-- Who may do what, what was done, and which connection is meant where none is named.

-- The token itself is nowhere: whoever reads this table cannot use what is in it.
CREATE TABLE api_tokens (
  id           TEXT PRIMARY KEY,                -- in order of creation
  name         TEXT NOT NULL,                   -- for people, unique among those that are not revoked
  hash         BLOB NOT NULL UNIQUE,            -- SHA-256 of the token
  organization TEXT NOT NULL,                   -- '': of the whole installation
  permissions  TEXT NOT NULL,                   -- JSON list, such as ["integrations.read"]
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER,                         -- NULL: never
  last_used_at INTEGER,                         -- to a minute or so; NULL: never
  revoked_at   INTEGER,                         -- NULL: it is good
  -- What is the whole installation's to do cannot be one organisation's.
  CHECK (organization = '' OR permissions NOT LIKE '%"admin"%')
) WITHOUT ROWID;
CREATE UNIQUE INDEX api_tokens_by_name ON api_tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE audit_log (
  pk           INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they were written
  first_at     INTEGER NOT NULL,                -- when it was done, the first time
  last_at      INTEGER NOT NULL,                -- the last time
  count        INTEGER NOT NULL,                -- how often: the same things shortly after each other are one row
  token        TEXT NOT NULL,                   -- api_tokens.id; '': none
  actor        TEXT NOT NULL,                   -- who, for people
  address      TEXT NOT NULL,                   -- from where; '': from connectord itself
  organization TEXT NOT NULL,                   -- whose; '': of the installation
  action       TEXT NOT NULL,                   -- an rpc, such as 'SyncService.StartSync', or 'credential.use'
  target       TEXT NOT NULL,                   -- to what, such as 'connection/…'; '': nothing that exists
  outcome      TEXT NOT NULL,                   -- 'OK', or the name of a gRPC code
  detail       TEXT NOT NULL                    -- JSON of audit::Detail, which has no place for a secret
);
CREATE INDEX audit_log_by_organization ON audit_log (organization, pk);
CREATE INDEX audit_log_by_target ON audit_log (target, pk);
CREATE INDEX audit_log_by_time ON audit_log (last_at);
-- Rows are written, and removed when they are old; nothing else.
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE ON audit_log
BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TABLE default_connections (
  organization TEXT NOT NULL,
  category     TEXT NOT NULL,                   -- of the connector, as its manifest had it then
  connection   INTEGER NOT NULL UNIQUE,
  PRIMARY KEY (organization, category)
) WITHOUT ROWID;
