DROP TABLE raw_items;
ALTER TABLE runs DROP COLUMN renormalized_to, DROP COLUMN renormalizes;
DROP INDEX connections_raw;
ALTER TABLE connections DROP COLUMN raw_epoch, DROP COLUMN keep_raw;
