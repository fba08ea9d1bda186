DROP INDEX runs_ended;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
