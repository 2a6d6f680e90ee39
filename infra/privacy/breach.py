"""What was exposed, if a key, an account or a host leaked between two instants (GDPR 33).

The access log tells which customers' data was shown to it or from it, in which groups. Whoever
holds only ciphertext, a Kafka consumer or a backup without keys, has seen nothing personal.
"""

from datetime import datetime
from typing import NamedTuple

from infra.database import Pool

# One pass over the log, which is in order of time but for what was noted at once. A look that was
# noted before hosts were may have been from any.
EXPOSED = """
WITH look AS (
    SELECT tenant, subjects, entry FROM (
        SELECT tenant, subjects, convert_from(entry, 'UTF8')::json AS entry FROM crm.access
    ) AS each
    WHERE (%(who)s::text IS NULL OR entry ->> 'who' = %(who)s)
      AND (%(host)s::text IS NULL OR coalesce(entry ->> 'host', %(host)s) = %(host)s)
      AND (entry ->> 'at')::timestamptz >= %(since)s AND (entry ->> 'at')::timestamptz < %(until)s
), of AS (
    SELECT DISTINCT tenant, subject, grp
    FROM look, unnest(subjects) AS subject, json_array_elements_text(entry -> 'groups') AS grp
)
SELECT tenant, subject, array_agg(grp ORDER BY grp) FROM of GROUP BY tenant, subject
ORDER BY tenant, subject
"""


class Exposed(NamedTuple):
    """A customer whose data was shown, and the groups of it."""

    tenant: str
    customer: str
    groups: list[str]


def exposed(
    pool: Pool, who: str | None, since: datetime, until: datetime, host: str | None = None
) -> list[Exposed]:
    """Tell whose data was shown to somebody, or to anybody, from a host or any, in between."""
    arguments = {"who": who, "since": since, "until": until, "host": host}
    with pool.connection() as conn:
        return [Exposed(*row) for row in conn.execute(EXPOSED, arguments)]
