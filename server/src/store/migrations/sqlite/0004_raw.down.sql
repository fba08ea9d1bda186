DROP TABLE raw_items;
ALTER TABLE runs DROP COLUMN renormalized_to;
ALTER TABLE runs DROP COLUMN renormalizes;
DROP INDEX connections_raw;
ALTER TABLE connections DROP COLUMN raw_epoch;
ALTER TABLE connections DROP COLUMN keep_raw;
