-- The event store: what happened, in streams, ordered once.

CREATE SCHEMA IF NOT EXISTS crm;

-- One row per event, never changed. (tenant, stream, version) is the gate that keeps streams
-- consistent; seq only tells rows apart and is NOT an order that may be read by: transactions
-- commit in another order than they take their numbers. The order is crm.log.
CREATE TABLE crm.event (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text COLLATE "C" NOT NULL,
    stream   uuid   NOT NULL,
    version  bigint NOT NULL,
    type     text COLLATE "C" NOT NULL,
    subject  uuid   NOT NULL,
    envelope bytea  NOT NULL,
    UNIQUE (tenant, stream, version)
);
CREATE INDEX event_by_subject ON crm.event (tenant, subject, seq);
COMMENT ON TABLE crm.event IS 'Every event, once. The envelope is the same byte string in the log, in Kafka and in the Merkle tree.';

-- Events that have no position yet. Written with the event, taken by the sequencer.
CREATE TABLE crm.pending (
    seq bigint PRIMARY KEY
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE crm.pending IS 'Events that wait for their position.';

-- The order of everything: positions without gaps. leaf = SHA-256(0x00 || envelope), RFC 6962.
CREATE TABLE crm.log (
    position bigint PRIMARY KEY,
    seq      bigint NOT NULL UNIQUE,
    leaf     bytea  NOT NULL
);
COMMENT ON TABLE crm.log IS 'The log: every event has one position, from 1, without gaps.';

-- Who may do what only one process may do. A higher epoch fences whoever held the lease before.
CREATE TABLE crm.lease (
    name       text PRIMARY KEY,
    holder     text NOT NULL DEFAULT '',
    epoch      bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    position   bigint NOT NULL DEFAULT 0
);
INSERT INTO crm.lease (name) VALUES ('sequencer');
COMMENT ON TABLE crm.lease IS 'Single-writer roles: holder, fencing epoch and progress.';

-- The first answer of every command, so that sending it again changes nothing.
CREATE TABLE crm.command (
    tenant      text COLLATE "C" NOT NULL,
    commandid   uuid  NOT NULL,
    fingerprint bytea NOT NULL,
    events      json  NOT NULL,
    seq         bigint,
    PRIMARY KEY (tenant, commandid)
);
COMMENT ON TABLE crm.command IS 'Idempotency records: the first answer of every command.';

-- Which customer an identifier leads to. Only a keyed digest of the identifier is kept.
CREATE TABLE crm.identifier (
    tenant   text COLLATE "C" NOT NULL,
    digest   bytea NOT NULL,
    customer uuid  NOT NULL,
    PRIMARY KEY (tenant, digest)
);
CREATE INDEX identifier_by_customer ON crm.identifier (tenant, customer);
COMMENT ON TABLE crm.identifier IS 'Blind index: keyed digest of an identifier → customer.';

-- Configuration of a tenant: the stages of its sales pipelines, in order.
CREATE TABLE crm.pipeline (
    tenant text COLLATE "C" NOT NULL,
    name   text NOT NULL,
    stages json NOT NULL,
    PRIMARY KEY (tenant, name)
);
COMMENT ON TABLE crm.pipeline IS 'Sales pipelines: [[stage, probability in percent], …].';
