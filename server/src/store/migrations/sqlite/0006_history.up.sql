-- Ended runs in an order that can be gone on with: upkeep forgets them a piece at a time.
DROP INDEX runs_ended;
CREATE INDEX runs_ended ON runs (ended_at, id) WHERE ended_at IS NOT NULL;
