-- A rebuild reads only its share of the log: each position tells which bucket its customer is in.

-- Numbered as infra/store/log.py says. What was numbered before has none: there the event itself tells.
ALTER TABLE crm.log ADD COLUMN bucket smallint;
COMMENT ON COLUMN crm.log.bucket IS 'Which share of the customers the event is about, by the hash of the id.';
