-- Whoever appends an event has its bytes at hand and hashes them: reading them again to do so costs
-- more than all else that numbering does. A row without a leaf was appended by an older version.

ALTER TABLE crm.pending ADD COLUMN leaf bytea;
COMMENT ON COLUMN crm.pending.leaf IS 'SHA-256(0x00 || envelope), RFC 6962.';
