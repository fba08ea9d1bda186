-- Ids that the source has to be asked for by name (TARGETED). Written with the page that named them, removed with the page
-- that answers them.
CREATE TABLE wanted (
  connection INTEGER NOT NULL,
  id         TEXT    NOT NULL,
  scope      TEXT    NOT NULL,                  -- it named the id last
  version    TEXT    NOT NULL,                  -- that it is said to have; '': none was said
  why        INTEGER NOT NULL,                  -- 1 present, 2 a person wants it tried again
  attempts   INTEGER NOT NULL DEFAULT 0,        -- how often it was asked for without an answer that was committed
  PRIMARY KEY (connection, id)
) WITHOUT ROWID;

-- connector.v1.PullMode of the listing: 2 FULL, 3 LIST. One is never gone on with as the other.
ALTER TABLE sync_states ADD COLUMN listing_mode INTEGER NOT NULL DEFAULT 2;

-- What is asked of a run: 1 only what is wanted, 2 changes, 3 a comparison with everything, 4 a listing of everything.
ALTER TABLE runs RENAME COLUMN full_sync TO work;
UPDATE runs SET work = CASE work WHEN 1 THEN 4 ELSE 2 END;
ALTER TABLE connections RENAME COLUMN follow_full TO follow_work;
UPDATE connections SET follow_work = CASE WHEN follow_cause = 0 THEN 0 WHEN follow_work = 1 THEN 4 ELSE 2 END;
