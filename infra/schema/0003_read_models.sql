-- Read models: one table per projection and version, made by the follower that fills it.

CREATE SCHEMA IF NOT EXISTS read;

-- How far each projection has come. Compared and set in the transaction that writes its rows.
CREATE TABLE crm.checkpoint (
    projection text NOT NULL,
    version    int  NOT NULL,
    partition  int  NOT NULL DEFAULT -1, -- -1: the whole log
    position   bigint NOT NULL DEFAULT 0,
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version, partition)
);
COMMENT ON TABLE crm.checkpoint IS 'The position up to which a projection has taken the log into account.';

-- Rows that a projection could not bring further: their events wait, all others flow on.
CREATE TABLE crm.parked (
    projection text NOT NULL,
    version    int  NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    key        uuid NOT NULL,
    position   bigint NOT NULL,
    type       text NOT NULL,
    reason     text NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version, tenant, key)
);
COMMENT ON TABLE crm.parked IS 'Poison: the first event of a row that could not be applied, and why. Never its content.';
