-- Data keys, wrapped by a master key that is not in the database. A schema of its own, so that it
-- can be backed up, restored and destroyed apart from the events.

CREATE SCHEMA IF NOT EXISTS crm_keys;

CREATE TABLE crm_keys.data_key (
    tenant  text COLLATE "C" NOT NULL,
    subject uuid NOT NULL,
    grp     text NOT NULL,
    id      uuid NOT NULL,
    epoch   int  NOT NULL,
    wrapped bytea NOT NULL,
    PRIMARY KEY (tenant, subject, grp)
);
COMMENT ON TABLE crm_keys.data_key IS 'One data key per tenant, subject and group of personal data, wrapped by the master key of an epoch.';
