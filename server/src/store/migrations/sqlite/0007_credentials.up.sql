-- What connections authenticate with. Secrets are in one table of their own, sealed: so one walk seals all of them again.

CREATE TABLE secrets (
  pk           INTEGER PRIMARY KEY,
  organization TEXT NOT NULL,                   -- '': of the whole installation
  owner        TEXT NOT NULL,                   -- 'connection/…', 'oauth_app/…', 'oauth_session/…' with an id; '': the vault
  field        TEXT NOT NULL,                   -- which of the owner's
  sealed       BLOB NOT NULL,                   -- layout in docs/vault.md; bytes 2 to 9 are the key's id
  UNIQUE (organization, owner, field)
);

CREATE TABLE credentials (
  connection   INTEGER PRIMARY KEY,             -- its secrets are those of 'connection/' and connections.id
  version      INTEGER NOT NULL,                -- counts writes; whoever writes names the one that it read
  removed      INTEGER NOT NULL DEFAULT 0,      -- there is none; the row stays, so that no version comes twice
  kind         TEXT    NOT NULL,                -- as in a manifest's auth.type
  status       TEXT    NOT NULL,                -- JSON of credentials::Status
  expires_at   INTEGER,                         -- when what a connector gets ends; NULL: it does not, or nobody said
  refresh_at   INTEGER,                         -- when it is to be refreshed; NULL: not by itself
  lease_holder TEXT,                            -- who refreshes it
  lease_until  INTEGER,                         -- when others may
  updated_at   INTEGER NOT NULL
);
CREATE INDEX credentials_due ON credentials (refresh_at) WHERE refresh_at IS NOT NULL;

-- What an installation, or an organisation, is known to a provider by.
CREATE TABLE oauth_apps (
  id           TEXT PRIMARY KEY,                -- in order of creation
  organization TEXT NOT NULL,                   -- '': for all that have none of their own
  connector    TEXT NOT NULL,
  client_id    TEXT NOT NULL,
  revision     INTEGER NOT NULL DEFAULT 1,      -- counts updates by people: the etag
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  UNIQUE (connector, organization)
) WITHOUT ROWID;

-- Authorizations under way: between a person's start and the provider's answer.
CREATE TABLE oauth_sessions (
  id         TEXT PRIMARY KEY,                  -- SHA-256 of `state` in hex
  connection INTEGER NOT NULL,
  details    TEXT    NOT NULL,                  -- JSON of oauth_sessions::Details
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  taken_at   INTEGER                            -- an answer came: no other is taken
) WITHOUT ROWID;
CREATE INDEX oauth_sessions_expired ON oauth_sessions (expires_at);
CREATE INDEX oauth_sessions_by_connection ON oauth_sessions (connection);
