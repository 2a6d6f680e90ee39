-- What people asked about their data, as readers are kept to it; and erasures of some groups.

ALTER TABLE crm.erasure
    ADD COLUMN groups text[] NOT NULL DEFAULT '{identity,contact,content,payment}',
    ADD COLUMN schedule text;
COMMENT ON COLUMN crm.erasure.schedule IS 'The schedule under which it was due; NULL when a person asked.';

-- Who works on restrictions and legal holds.
ALTER TABLE crm.api_key DROP CONSTRAINT api_key_role_check,
    ADD CONSTRAINT api_key_role_check CHECK (role IN ('publish', 'read', 'operate', 'hold'));

-- Which tenants have schedules.
CREATE INDEX event_of_schedules ON crm.event (tenant) WHERE type = 'schedule.set.v1';

-- The same transaction that keeps the event keeps readers to it: no follower has to come first.
CREATE TABLE crm.rights (
    tenant     text COLLATE "C" NOT NULL,
    subject    uuid NOT NULL,
    grounds    text[] NOT NULL DEFAULT '{}',
    objections text[] NOT NULL DEFAULT '{}',
    seq        bigint NOT NULL,
    PRIMARY KEY (tenant, subject)
);
COMMENT ON TABLE crm.rights IS 'Customers whose data is restricted, on which grounds, and what they object to; seq is of the event that last changed it.';

-- Whoever objects is no reason to look longer for whose data is restricted.
CREATE INDEX rights_restricted ON crm.rights (tenant, subject) WHERE grounds <> '{}';

CREATE FUNCTION crm.note_rights() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told json := convert_from(NEW.envelope, 'UTF8')::json -> 'data';
    of_it text := coalesce(told ->> 'ground', told ->> 'purpose');
BEGIN
    INSERT INTO crm.rights (tenant, subject, seq) VALUES (NEW.tenant, NEW.subject, NEW.seq)
    ON CONFLICT DO NOTHING;
    UPDATE crm.rights SET
        seq = NEW.seq,
        grounds = CASE NEW.type WHEN 'rights.restricted.v1' THEN grounds || of_it
                                WHEN 'rights.restriction_lifted.v1' THEN array_remove(grounds, of_it)
                                ELSE grounds END,
        objections = CASE NEW.type WHEN 'rights.objected.v1' THEN objections || of_it
                                   WHEN 'rights.objection_withdrawn.v1' THEN array_remove(objections, of_it)
                                   ELSE objections END
    WHERE tenant = NEW.tenant AND subject = NEW.subject;
    RETURN NULL;
END $$;

CREATE TRIGGER note_rights AFTER INSERT ON crm.event FOR EACH ROW
WHEN (NEW.type IN ('rights.restricted.v1', 'rights.restriction_lifted.v1',
                   'rights.objected.v1', 'rights.objection_withdrawn.v1'))
EXECUTE FUNCTION crm.note_rights();
