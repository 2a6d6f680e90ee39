-- Every look at personal data: who, when, why, at whom. Ordered and hashed like the events.

CREATE TABLE crm.access (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text COLLATE "C" NOT NULL,
    subjects uuid[] NOT NULL,
    entry    bytea NOT NULL
);
CREATE INDEX access_by_subject ON crm.access USING gin (subjects);
COMMENT ON TABLE crm.access IS 'Looks at personal data, as JSON: who, when, for which purpose, which groups, how many rows.';

CREATE TABLE crm.access_pending (
    seq bigint PRIMARY KEY
);
COMMENT ON TABLE crm.access_pending IS 'Looks that have no position yet.';

CREATE TABLE crm.access_log (
    position bigint PRIMARY KEY,
    seq      bigint NOT NULL UNIQUE,
    leaf     bytea  NOT NULL
);
COMMENT ON TABLE crm.access_log IS 'The order of looks: positions without gaps, leaf = SHA-256(0x00 || entry).';
