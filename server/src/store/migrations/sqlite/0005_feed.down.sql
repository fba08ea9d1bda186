INSERT INTO meta (name, value) SELECT 'feed_epoch', number FROM feed_histories ORDER BY from_offset LIMIT 1;
DROP TABLE feed_histories;
