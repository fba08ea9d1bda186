-- Raw items: what a connector gave before Normalize, kept where a connection says so.

ALTER TABLE connections ADD COLUMN keep_raw INTEGER NOT NULL DEFAULT 0;
-- Counts up when keep_raw is switched, either way: raw items of an older number are no longer kept, and removed.
ALTER TABLE connections ADD COLUMN raw_epoch INTEGER NOT NULL DEFAULT 0;
CREATE INDEX connections_raw ON connections (pk) WHERE raw_epoch > 0;

ALTER TABLE runs ADD COLUMN renormalizes INTEGER NOT NULL DEFAULT 0; -- it makes documents anew of raw items
ALTER TABLE runs ADD COLUMN renormalized_to TEXT NOT NULL DEFAULT ''; -- the last id that it has committed

CREATE TABLE raw_items (
  pk          INTEGER PRIMARY KEY,
  connection  INTEGER NOT NULL,
  id          TEXT    NOT NULL,                 -- the document's
  scope       TEXT    NOT NULL,                 -- that sent it last
  generation  INTEGER NOT NULL,                 -- the scope's listing in which it was sent
  epoch       INTEGER NOT NULL,                 -- connections.raw_epoch when it was kept
  version     TEXT    NOT NULL,                 -- '': the source has none
  content_ref TEXT    NOT NULL,
  schema      TEXT    NOT NULL,                 -- which of the connector's schemas `data` follows
  permissions BLOB,                             -- encoded; came after the item; NULL: none did
  normalizer  TEXT    NOT NULL,                 -- version of the connector that normalized it last
  made        INTEGER NOT NULL,                 -- a document was made of it
  failed      INTEGER NOT NULL,                 -- the last Normalize gave an error
  stored_at   INTEGER NOT NULL,
  data        BLOB    NOT NULL,                 -- the source's own bytes
  UNIQUE (connection, id)
);
-- Those that could not be normalized and may have no document.
CREATE INDEX raw_items_unmade ON raw_items (connection, scope) WHERE made = 0;
CREATE INDEX raw_items_by_normalizer ON raw_items (connection, epoch, normalizer);
