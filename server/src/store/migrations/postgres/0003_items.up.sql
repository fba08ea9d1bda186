-- Ids that the source has to be asked for by name (TARGETED). Written with the page that named them, removed with the page
-- that answers them.
CREATE TABLE wanted (
  connection BIGINT  NOT NULL,
  id         TEXT COLLATE "C" NOT NULL,
  scope      TEXT COLLATE "C" NOT NULL,         -- it named the id last
  version    TEXT    NOT NULL,                  -- that it is said to have; '': none was said
  why        INTEGER NOT NULL,                  -- 1 present, 2 a person wants it tried again
  attempts   BIGINT  NOT NULL DEFAULT 0,        -- how often it was asked for without an answer that was committed
  PRIMARY KEY (connection, id)
);

-- connector.v1.PullMode of the listing: 2 FULL, 3 LIST. One is never gone on with as the other.
ALTER TABLE sync_states ADD COLUMN listing_mode INTEGER NOT NULL DEFAULT 2;

-- What is asked of a run: 1 only what is wanted, 2 changes, 3 a comparison with everything, 4 a listing of everything.
ALTER TABLE runs ADD COLUMN work INTEGER NOT NULL DEFAULT 2, DROP COLUMN full_sync;
ALTER TABLE connections ADD COLUMN follow_work INTEGER NOT NULL DEFAULT 0, DROP COLUMN follow_full;
