"""Our checkpoints with an authority's time on them: asked for now and then, kept, checked again.

Stamped is a checkpoint as we signed it; what witnesses add to it later changes nothing.
"""

import time
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

from domain.rejected import Rejected
from infra.audit.tree import StoredTree
from infra.database import Conn, Pool

if TYPE_CHECKING:  # most run without an authority, and start sooner without its library
    from infra.audit.time_stamp import TimeStampAuthority

AGAIN_SECONDS = 60.0
"""An authority that gave no time stamp is not asked again sooner."""

RECENT = """
SELECT EXISTS (
    SELECT FROM crm.tree_head
    WHERE tree = %s AND time_stamp IS NOT NULL
      AND (size >= %s OR signed_at > clock_timestamp() - make_interval(secs => %s)))
"""
STAMPED = """
SELECT size, note, time_stamp FROM crm.tree_head
WHERE tree = %s AND time_stamp IS NOT NULL ORDER BY size
"""
KEEP = "UPDATE crm.tree_head SET time_stamp = %s WHERE tree = %s AND size = %s"

log = structlog.get_logger()


class Stamped(NamedTuple):
    """A checkpoint, and the reply of an authority over it."""

    size: int
    text: str
    reply: bytes


class Times(NamedTuple):
    """How many time stamps were checked, and what the newest that holds says."""

    checked: int = 0
    size: int = 0
    at: datetime | None = None


def as_signed(note: str) -> str:
    """Give a checkpoint with our signature alone: origin, size, root, nothing, who signed."""
    return "\n".join([*note.split("\n")[:5], ""])


class Stamping:
    """Has the newest checkpoint of a tree stamped, every so many seconds."""

    def __init__(self, pool: Pool, authority: "TimeStampAuthority", seconds: float) -> None:
        self._pool, self.authority, self._seconds = pool, authority, seconds
        self._not_before = 0.0

    def when_due(self, tree: StoredTree) -> None:
        """Have it stamped if that is due; an authority that is away is asked again later."""
        if self.authority.url is None or time.monotonic() < self._not_before:
            return
        try:
            self.stamp(tree, self._seconds)
        except Rejected as fault:
            self._not_before = time.monotonic() + AGAIN_SECONDS
            log.error("audit.not_stamped", tree=tree.name, reason=fault.code)  # noqa: TRY400 - the place tells nothing

    def stamp(self, tree: StoredTree, unless_within: float = 0.0) -> None:
        """Have it stamped, unless one was lately. Raises `Rejected`."""
        head = tree.head()
        if head is None or self._was_lately(tree.name, head.size, unless_within):
            return
        reply = self.authority.stamp(as_signed(head.note))
        with self._pool.connection() as conn:
            conn.execute(KEEP, [reply, tree.name, head.size])
        log.info("audit.stamped", tree=tree.name, size=head.size)

    def _was_lately(self, tree: str, size: int, seconds: float) -> bool:
        with self._pool.connection() as conn:
            return conn.execute(RECENT, [tree, size, seconds]).fetchone() == (True,)


def stamped(conn: Conn, tree: str) -> list[Stamped]:
    """Give all checkpoints of a tree that are stamped, the oldest first."""
    rows = conn.execute(STAMPED, [tree])
    return [Stamped(size, as_signed(note), reply) for size, note, reply in rows]


def check_times(
    authority: "TimeStampAuthority", found: list[Stamped]
) -> tuple[Times, list[tuple[int, str]]]:
    """Check time stamps; gives what they say, and which are false and why."""
    times, wrong = Times(), list[tuple[int, str]]()
    for size, text, reply in found:
        try:
            times = Times(times.checked + 1, size, authority.check(reply, text))
        except Rejected as no:
            wrong.append((size, no.sentence))
    return times, wrong
