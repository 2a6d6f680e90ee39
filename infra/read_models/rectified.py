"""What was wrong about a customer and has been rectified: hidden where people read, and kept."""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.rights import DataRectified
from infra.database import Pool
from infra.store.envelope import decode

RECTIFIED = {"redacted": "rectified"}
"""Shown in place of what was wrong."""

FOUND = """
SELECT envelope FROM crm.event
WHERE tenant = %s AND subject = ANY(%s::uuid[]) AND type = 'rights.rectified.v1'
"""


def hide_wrong(
    pool: Pool, tenant: str, subjects: Sequence[str], events: Sequence[dict[str, Any]]
) -> None:
    """Put `RECTIFIED` in place of what opened events about some customers were wrong in."""
    wrong = wrong_in(pool, tenant, subjects)
    for event in events:
        for field in wrong.get(event["id"], ()):
            if field in event["data"]:
                event["data"][field] = RECTIFIED


def wrong_in(pool: Pool, tenant: str, subjects: Sequence[str]) -> Mapping[str, set[str]]:
    """Tell by the ids of events in which fields they were wrong."""
    found: dict[str, set[str]] = {}
    with pool.connection() as conn:
        rows = conn.execute(FOUND, [tenant, list(subjects)], binary=True).fetchall()
    for recorded in (decode(envelope) for (envelope,) in rows):
        if isinstance(recorded.event, DataRectified):
            for id_ in recorded.event.events:
                found.setdefault(id_, set()).update(recorded.event.fields)
    return found
