-- What a time-stamp authority has signed is kept with the checkpoint that it is of.

ALTER TABLE crm.tree_head ADD COLUMN time_stamp bytea;
COMMENT ON COLUMN crm.tree_head.time_stamp IS 'The reply of an authority (RFC 3161, DER) over the first five lines of the note.';

CREATE INDEX tree_head_stamped ON crm.tree_head (tree, size) WHERE time_stamp IS NOT NULL;
