-- Read models as compacted topics: how far each is announced, and which rows are gone.

CREATE TABLE crm.announced (
    topic    text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE crm.announced IS 'Per read-model topic: the position up to which changed rows are announced.';

CREATE TABLE crm.removed (
    projection text NOT NULL,
    version    int  NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    key        uuid NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (projection, version, tenant, key)
);
CREATE INDEX removed_by_position ON crm.removed (projection, version, position);
COMMENT ON TABLE crm.removed IS 'Rows that an event removed, and its position: what followers of a read model must drop.';
