-- Which offsets of the feed were given in which life of the database: each opening begins a history behind the head.
-- A position names the history of its offset, so that one from beyond a restored backup is known for what it is.
CREATE TABLE feed_histories (
  from_offset BIGINT PRIMARY KEY,               -- it ends where the next one begins
  number      BIGINT NOT NULL                   -- drawn at random
);
