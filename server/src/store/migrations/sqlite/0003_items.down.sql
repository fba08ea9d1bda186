ALTER TABLE sync_states DROP COLUMN listing_mode;
DROP TABLE wanted;
