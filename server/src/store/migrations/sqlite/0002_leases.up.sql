-- Schedules as people write them, leases of replicas, and lanes in which runs wait.

ALTER TABLE connections ADD COLUMN schedule       TEXT    NOT NULL DEFAULT '{}'; -- JSON of Schedule
ALTER TABLE connections ADD COLUMN follow_cause   INTEGER NOT NULL DEFAULT 0;    -- a run follows the one under way; 0: none
ALTER TABLE connections ADD COLUMN follow_full    INTEGER NOT NULL DEFAULT 0;    -- and lists everything
ALTER TABLE connections ADD COLUMN lease_holder   TEXT;                          -- the replica that works on it
ALTER TABLE connections ADD COLUMN lease_until    INTEGER;                       -- when others may take over
UPDATE connections SET schedule = json_patch(
  CASE WHEN interval_s IS NULL THEN '{}' ELSE json_object('frequency', interval_s || 's') END,
  CASE WHEN full_interval_s IS NULL THEN '{}' ELSE json_object('full_frequency', full_interval_s || 's') END);
ALTER TABLE connections DROP COLUMN interval_s;
ALTER TABLE connections DROP COLUMN full_interval_s;

DROP INDEX connections_due;
CREATE INDEX connections_due ON connections (next_run_at)
  WHERE next_run_at IS NOT NULL AND disabled = 0 AND paused = 0 AND deleting_at IS NULL;
-- No index on leases: they are found through the runs and deletions under way, and a claim then writes no entry of any index
-- of connections.
CREATE INDEX connections_deleting ON connections (pk) WHERE deleting_at IS NOT NULL AND deleted_at IS NULL;

ALTER TABLE runs ADD COLUMN organization TEXT    NOT NULL DEFAULT '';            -- the connection's
ALTER TABLE runs ADD COLUMN connector    TEXT    NOT NULL DEFAULT '';            -- the connection's
ALTER TABLE runs ADD COLUMN turn         INTEGER NOT NULL DEFAULT 1;             -- 0: somebody waits for it; 1: it is scheduled
UPDATE runs SET organization = c.organization, connector = c.connector FROM connections c WHERE c.pk = runs.connection;

DROP INDEX runs_waiting;
-- A lane is an organisation and a connector; within it runs wait in their order.
CREATE INDEX runs_queued ON runs (organization, connector, turn, created_at, id) WHERE state = 1;
CREATE INDEX runs_running ON runs (organization, connector) WHERE state = 2;
CREATE INDEX runs_parked ON runs (resume_at) WHERE state = 3;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
