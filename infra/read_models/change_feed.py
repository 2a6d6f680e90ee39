"""The change feed of a read model: what a follower has to know, in the order of the log.

A row that changed is given as it is now, one that was removed says so, and when a customer is
restricted all its rows are removed, until that is lifted.
"""

from infra.read_models.tables import Table
from projections import customer_view
from projections.projection import Row

# Rows that one batch removed, or that were parked, share a position: no page ends between them.
CHANGES = """
(SELECT t.*, false AS removed FROM read.{table} t
 WHERE tenant = %(tenant)s AND position > %(after)s AND position <= %(upto)s AND {shown}
 ORDER BY position FETCH FIRST (%(limit)s) ROWS WITH TIES)
UNION ALL
(SELECT nothing.*, true FROM crm.removed AS r CROSS JOIN LATERAL json_populate_record(
     NULL::read.{table},
     json_build_object('tenant', r.tenant, 'key', r.key, 'position', r.position)) AS nothing
 WHERE projection = %(projection)s AND version = %(version)s AND r.tenant = %(tenant)s
   AND r.position > %(after)s AND r.position <= %(upto)s
 ORDER BY r.position FETCH FIRST (%(limit)s) ROWS WITH TIES)
{restricted}
ORDER BY position FETCH FIRST (%(limit)s) ROWS WITH TIES
"""

# When a customer is restricted all its rows go, and come back when that is lifted.
RESTRICTED = """
UNION ALL
(SELECT moved.*, NOT {shown} FROM crm.rights r JOIN crm.log l USING (seq)
 JOIN read.{table} t ON t.tenant = r.tenant AND t.{subject} = r.subject
 CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object('position', l.position)) AS moved
 WHERE r.tenant = %(tenant)s AND l.position > %(after)s AND l.position <= %(upto)s
   AND (t.position < l.position OR NOT {shown})
 ORDER BY l.position FETCH FIRST (%(limit)s) ROWS WITH TIES)
"""


def changes_of(table: Table) -> str:
    """Give the question for the changes of a table's rows."""
    subject, names = table.projection.subject, {"table": table.name, "shown": table.shown}
    restricted = RESTRICTED.format(subject=subject, **names) if subject else ""
    return CHANGES.format(restricted=restricted, **names)


def as_change(table: Table, row: Row) -> Row:
    """Give a row as a feed shows it: that of a customer has its own facts alone."""
    if row.pop("removed"):
        return {"key": row["key"], "position": row["position"], "removed": True}
    if table.projection is customer_view.customer_view:
        return {name: v for name, v in customer_view.combine([row]).items() if name != "merged"}
    return row
