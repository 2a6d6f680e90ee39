-- Versions of read models: the one that serves, the one being built beside it, the one kept.

CREATE TABLE crm.read_model (
    projection text NOT NULL,
    version    int  NOT NULL,
    definition int  NOT NULL, -- the version of the projection whose handlers fill it
    state      text NOT NULL CHECK (state IN ('building', 'built', 'serving', 'kept', 'check')),
    paused     boolean NOT NULL DEFAULT false,
    token      bigint  NOT NULL DEFAULT 1, -- fences whoever worked on it before
    target     bigint  NOT NULL DEFAULT 0, -- the head of the log when its building began
    holder     text    NOT NULL DEFAULT '',
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version)
);
CREATE UNIQUE INDEX read_model_serving ON crm.read_model (projection) WHERE state = 'serving';
CREATE UNIQUE INDEX read_model_next ON crm.read_model (projection)
    WHERE state IN ('building', 'built');
CREATE UNIQUE INDEX read_model_kept ON crm.read_model (projection) WHERE state = 'kept';
COMMENT ON TABLE crm.read_model IS 'Versions of read models: which one serves, and who may write.';

INSERT INTO crm.read_model (projection, version, definition, state)
SELECT projection, max(version), max(version), 'serving' FROM crm.checkpoint GROUP BY projection;

-- The parts of a version that is being built: customers by the hash of their id.
CREATE TABLE crm.slice (
    projection text NOT NULL,
    version    int  NOT NULL,
    low        int  NOT NULL,
    high       int  NOT NULL,
    saved      bigint NOT NULL DEFAULT 0, -- its rows up to here are safe
    seen       bigint NOT NULL DEFAULT 0,
    events     bigint NOT NULL DEFAULT 0,
    finished   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (projection, version, low)
);
COMMENT ON TABLE crm.slice IS 'Parts of a read model that is being built, and how far each is.';

-- The version whose rows a compacted topic holds.
ALTER TABLE crm.announced ADD COLUMN version int NOT NULL DEFAULT 0;
