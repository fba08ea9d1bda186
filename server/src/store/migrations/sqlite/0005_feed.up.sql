-- Which offsets of the feed were given in which life of the database: each opening begins a history behind the head.
-- A position names the history of its offset, so that one from beyond a restored backup is known for what it is.
CREATE TABLE feed_histories (
  from_offset INTEGER PRIMARY KEY,              -- it ends where the next one begins
  number      INTEGER NOT NULL                  -- drawn at random
);
-- Positions of before carry the feed's epoch: it is the number of everything so far.
INSERT INTO feed_histories (from_offset, number) SELECT 1, value FROM meta WHERE name = 'feed_epoch';
DELETE FROM meta WHERE name = 'feed_epoch';
