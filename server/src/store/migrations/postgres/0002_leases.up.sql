-- Schedules as people write them, leases of replicas, and lanes in which runs wait.

ALTER TABLE connections
  ADD COLUMN schedule     TEXT    NOT NULL DEFAULT '{}',  -- JSON of Schedule
  ADD COLUMN follow_cause INTEGER NOT NULL DEFAULT 0,     -- a run follows the one under way; 0: none
  ADD COLUMN follow_full  BOOLEAN NOT NULL DEFAULT FALSE, -- and lists everything
  ADD COLUMN lease_holder TEXT,                           -- the replica that works on it
  ADD COLUMN lease_until  BIGINT,                         -- when others may take over, by the database's clock
  -- No release kept connections in PostgreSQL before this: there are none to carry over.
  DROP COLUMN interval_s,
  DROP COLUMN full_interval_s;

DROP INDEX connections_due;
CREATE INDEX connections_due ON connections (next_run_at)
  WHERE next_run_at IS NOT NULL AND NOT disabled AND NOT paused AND deleting_at IS NULL;
-- No index on leases: they are found through the runs and deletions under way, and a claim then rewrites its row in
-- place, without an entry in any index.
CREATE INDEX connections_deleting ON connections (pk) WHERE deleting_at IS NOT NULL AND deleted_at IS NULL;

ALTER TABLE runs
  ADD COLUMN organization TEXT COLLATE "C" NOT NULL DEFAULT '', -- the connection's
  ADD COLUMN connector    TEXT COLLATE "C" NOT NULL DEFAULT '', -- the connection's
  ADD COLUMN turn         INTEGER NOT NULL DEFAULT 1;           -- 0: somebody waits for it; 1: it is scheduled

DROP INDEX runs_waiting;
-- A lane is an organisation and a connector; within it runs wait in their order.
CREATE INDEX runs_queued ON runs (organization, connector, turn, created_at, id) WHERE state = 1;
CREATE INDEX runs_running ON runs (organization, connector) WHERE state = 2;
CREATE INDEX runs_parked ON runs (resume_at) WHERE state = 3;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
