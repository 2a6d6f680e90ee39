-- What came in and was not kept, and who may send.

CREATE TABLE crm.refused (
    id         uuid PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    source     text NOT NULL,
    message_id text NOT NULL,
    digest     bytea NOT NULL,
    authid     text NOT NULL,
    code       text NOT NULL,
    sentence   text NOT NULL,
    sealed     bytea NOT NULL,
    attempts   int NOT NULL DEFAULT 1,
    first_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, digest)
);
COMMENT ON TABLE crm.refused IS 'Dead letters of the ingest: the reason in the clear, the message sealed under a key of its own.';

CREATE TABLE crm.api_key (
    id         text PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    role       text NOT NULL CHECK (role IN ('publish', 'read', 'operate')),
    digest     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
COMMENT ON TABLE crm.api_key IS 'API keys: SHA-256 of 256 random bits; the key itself is shown once.';
