DROP INDEX runs_ended;
DROP INDEX runs_parked;
DROP INDEX runs_running;
DROP INDEX runs_queued;
CREATE INDEX runs_waiting ON runs (state, created_at) WHERE state IN (1, 2, 3);
ALTER TABLE runs DROP COLUMN turn, DROP COLUMN connector, DROP COLUMN organization;

DROP INDEX connections_deleting;
DROP INDEX connections_due;
ALTER TABLE connections
  ADD COLUMN interval_s      BIGINT,
  ADD COLUMN full_interval_s BIGINT,
  DROP COLUMN lease_until,
  DROP COLUMN lease_holder,
  DROP COLUMN follow_full,
  DROP COLUMN follow_cause,
  DROP COLUMN schedule;
CREATE INDEX connections_due ON connections (next_run_at) WHERE next_run_at IS NOT NULL;
