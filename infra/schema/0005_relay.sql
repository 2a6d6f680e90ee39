-- How far the log has been published to Kafka. `partitions` remembers the last position sent to
-- each partition: every record names its predecessor, so a reader sees that nothing is missing.

INSERT INTO crm.lease (name) VALUES ('relay') ON CONFLICT DO NOTHING;

CREATE TABLE crm.published (
    topic      text PRIMARY KEY,
    position   bigint NOT NULL DEFAULT 0,
    partitions json NOT NULL
);
COMMENT ON TABLE crm.published IS 'Per topic: the position up to which the log is published, and the last one in each partition.';
