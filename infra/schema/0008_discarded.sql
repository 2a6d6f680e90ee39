-- Events that somebody decided to leave out of a row, so that those behind them could go on.

CREATE TABLE crm.discarded (
    projection   text NOT NULL,
    version      int  NOT NULL,
    tenant       text COLLATE "C" NOT NULL,
    key          uuid NOT NULL,
    position     bigint NOT NULL,
    type         text NOT NULL,
    reason       text NOT NULL,
    because      text NOT NULL,
    discarded_by text NOT NULL,
    discarded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE crm.discarded IS 'Events left out of a row of a read model: why it could not be applied, who decided that, and because of what.';
