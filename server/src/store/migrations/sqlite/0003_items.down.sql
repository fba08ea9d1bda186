UPDATE connections SET follow_work = (follow_work >= 3);
ALTER TABLE connections RENAME COLUMN follow_work TO follow_full;
UPDATE runs SET work = (work >= 3);
ALTER TABLE runs RENAME COLUMN work TO full_sync;
ALTER TABLE sync_states DROP COLUMN listing_mode;
DROP TABLE wanted;
