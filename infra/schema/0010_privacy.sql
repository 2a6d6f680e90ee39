-- The life of keys, and what needs four eyes.

-- Master keys by epoch. A retired one wraps nothing new and is destroyed when the last backup that
-- could need it is dead.
CREATE TABLE crm_keys.epoch (
    epoch        int PRIMARY KEY,
    made_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at   timestamptz,
    dies_at      timestamptz,
    destroyed_at timestamptz
);
INSERT INTO crm_keys.epoch (epoch) VALUES (1);
COMMENT ON TABLE crm_keys.epoch IS 'Epochs of the master key; the newest that is not retired wraps new data keys.';

-- A destroyed key leaves its row: as long as that is there, nobody can make another one for it.
ALTER TABLE crm_keys.data_key
    ALTER COLUMN wrapped DROP NOT NULL,
    ADD COLUMN held boolean NOT NULL DEFAULT false,
    ADD COLUMN erasure uuid,
    ADD CONSTRAINT data_key_or_tombstone CHECK ((wrapped IS NULL) = (erasure IS NOT NULL));
CREATE INDEX data_key_by_epoch ON crm_keys.data_key (epoch) WHERE wrapped IS NOT NULL;

-- Who may have keys in memory, until when, and whether they know of the last destruction.
CREATE TABLE crm_keys.generation (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation bigint NOT NULL DEFAULT 0
);
INSERT INTO crm_keys.generation DEFAULT VALUES;
COMMENT ON TABLE crm_keys.generation IS 'Counts destructions and holds of keys.';
CREATE TABLE crm_keys.holder (
    holder     uuid PRIMARY KEY,
    generation bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE crm_keys.holder IS 'Processes that may use keys from memory, until when, and as of which generation.';

CREATE TABLE crm.request (
    id          uuid PRIMARY KEY,
    tenant      text COLLATE "C" NOT NULL,
    kind        text NOT NULL,
    asked       bytea NOT NULL,
    asked_by    text NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    approved_by text,
    approved_at timestamptz,
    approved    bytea,
    done_at     timestamptz,
    CHECK (approved_by <> asked_by)
);
CREATE INDEX request_by_tenant ON crm.request (tenant, asked_at);
COMMENT ON TABLE crm.request IS 'What one person asks and another one must approve, to the letter.';

CREATE TABLE crm.erasure (
    id          uuid PRIMARY KEY,
    tenant      text COLLATE "C" NOT NULL,
    subjects    uuid[] NOT NULL,
    state       text NOT NULL CHECK (state IN ('held', 'begun', 'done')),
    begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    certificate text
);
COMMENT ON TABLE crm.erasure IS 'Erasures: those that wait for a legal hold to end, and the certificates of those that are done.';

CREATE TABLE crm.hold (
    tenant  text COLLATE "C" NOT NULL,
    subject uuid NOT NULL,
    reason  text NOT NULL,
    set_by  text NOT NULL,
    set_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, subject)
);
COMMENT ON TABLE crm.hold IS 'Legal holds: nothing about these customers may be destroyed.';
