DROP INDEX runs_ended;
DROP INDEX runs_parked;
DROP INDEX runs_running;
DROP INDEX runs_queued;
CREATE INDEX runs_waiting ON runs (state, created_at) WHERE state IN (1, 2, 3);
ALTER TABLE runs DROP COLUMN turn;
ALTER TABLE runs DROP COLUMN connector;
ALTER TABLE runs DROP COLUMN organization;

DROP INDEX connections_deleting;
DROP INDEX connections_due;
-- Cron times have no place here: such connections sync when they are asked to.
ALTER TABLE connections ADD COLUMN interval_s INTEGER;
ALTER TABLE connections ADD COLUMN full_interval_s INTEGER;
ALTER TABLE connections DROP COLUMN lease_until;
ALTER TABLE connections DROP COLUMN lease_holder;
ALTER TABLE connections DROP COLUMN follow_full;
ALTER TABLE connections DROP COLUMN follow_cause;
ALTER TABLE connections DROP COLUMN schedule;
CREATE INDEX connections_due ON connections (next_run_at) WHERE next_run_at IS NOT NULL;
