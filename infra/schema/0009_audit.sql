-- Trees over logs, and what was signed about them. Nothing here is needed to serve: it can be made
-- again from the log, but what was signed and witnessed tells whether the log is still the same.

CREATE TABLE crm.tile (
    tree   text COLLATE "C" NOT NULL,
    level  int    NOT NULL,
    number bigint NOT NULL,
    hashes bytea  NOT NULL,
    PRIMARY KEY (tree, level, number)
);
ALTER TABLE crm.tile ALTER COLUMN hashes SET STORAGE EXTERNAL; -- hashes cannot be compressed
COMMENT ON TABLE crm.tile IS 'Hashes of an RFC 6962 tree, 256 a row (C2SP tlog-tiles); level 0 are the leaves.';

CREATE TABLE crm.tree_head (
    tree      text COLLATE "C" NOT NULL,
    size      bigint NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    note      text NOT NULL,
    PRIMARY KEY (tree, size)
);
COMMENT ON TABLE crm.tree_head IS 'Signed checkpoints (C2SP tlog-checkpoint): the root of a tree when it had so many leaves.';
