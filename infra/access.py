"""The access log: every look at personal data is noted before it is answered.

Who looks and why is said once where a request comes in and holds for all that is done for it. What
was opened is noted where it is opened, so that no question can be asked beside the log.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from infra.database import Conn, Pool

NOTE = """
WITH noted AS (
    INSERT INTO crm.access (tenant, subjects, entry) VALUES (%s, %b::uuid[], %b) RETURNING seq
)
INSERT INTO crm.access_pending SELECT seq FROM noted
"""
NUMBER = """
WITH taken AS (
    DELETE FROM crm.access_pending
    WHERE seq = ANY(ARRAY(SELECT seq FROM crm.access_pending ORDER BY seq LIMIT %s))
    RETURNING seq
), last AS (
    SELECT coalesce(max(position), 0) AS position FROM crm.access_log
)
INSERT INTO crm.access_log (position, seq, leaf)
SELECT last.position + row_number() OVER (ORDER BY seq), seq, sha256('\\x00'::bytea || entry)
FROM last, taken JOIN crm.access USING (seq)
"""
LOOKS = """
SELECT l.position, a.entry FROM crm.access a LEFT JOIN crm.access_log l USING (seq)
WHERE a.tenant = %s AND a.subjects && %s::uuid[] ORDER BY a.seq DESC LIMIT %s
"""
RECIPIENTS = """
SELECT entry ->> 'who', count(DISTINCT seq),
       count(DISTINCT seq) FILTER (WHERE (entry ->> 'exported')::boolean),
       array_agg(DISTINCT grp ORDER BY grp), max((entry ->> 'at')::timestamptz)
FROM (SELECT seq, convert_from(entry, 'UTF8')::json AS entry FROM crm.access
      WHERE tenant = %s AND subjects && %s::uuid[]) AS look,
     LATERAL (SELECT json_array_elements_text(entry -> 'groups') AS grp) AS of
GROUP BY 1 ORDER BY 1
"""
AT_ONCE = 10_000


class Looker(NamedTuple):
    """On whose behalf something is looked at, and why."""

    who: str
    purpose: str = "not stated"
    exported: bool = False
    """Whether it leaves us, as a file."""


SYSTEM = Looker("system")
LOOKER: ContextVar[Looker] = ContextVar("looker", default=SYSTEM)


@contextmanager
def looking(who: str, purpose: str, *, exported: bool = False) -> Iterator[None]:
    """Say who looks and why, for as long as the block lasts."""
    before = LOOKER.set(Looker(who, purpose or "not stated", exported))
    try:
        yield
    finally:
        LOOKER.reset(before)


class Look(NamedTuple):
    """A look at somebody's personal data; `position` is None until it is numbered."""

    position: int | None
    at: datetime
    who: str
    purpose: str
    groups: list[str]
    rows: int
    fields: list[str]
    """Of a look that was noted before fields were, none."""


class Recipient(NamedTuple):
    """To whom personal data was shown: how often, how often for a file, which groups, when last."""

    who: str
    looks: int
    exports: int
    groups: list[str]
    last_at: datetime


class Step(NamedTuple):
    """What somebody did to a request that needs two people."""

    step: str
    request: str
    who: str
    digest: str


class AccessLog:
    """Notes looks, and tells a person of those at them."""

    def __init__(self, pool: Pool, host: str = "") -> None:
        self._pool, self._host = pool, host or socket.gethostname()

    def note(
        self, tenant: str, opened: Iterable[tuple[str, str]], rows: int, fields: Iterable[str] = ()
    ) -> None:
        """Note that groups of personal data of some customers are about to be shown."""
        pairs = set(opened)
        if not pairs:
            return
        looker, subjects = LOOKER.get(), sorted({subject for subject, _ in pairs})
        entry: dict[str, Any] = {
            "at": datetime.now(UTC), "tenant": tenant, "who": looker.who,
            "purpose": looker.purpose, "subjects": subjects, "rows": rows,
            "groups": sorted({group for _, group in pairs}), "exported": looker.exported,
            "fields": sorted(set(fields)), "host": self._host,
        }  # fmt: skip
        with self._pool.connection() as conn:
            conn.execute(NOTE, [tenant, subjects, orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)])

    def recipients(self, tenant: str, subjects: Sequence[str]) -> list[Recipient]:
        """Tell to whom personal data of customers was shown."""
        with self._pool.connection() as conn:
            return [Recipient(*row) for row in conn.execute(RECIPIENTS, [tenant, list(subjects)])]

    def looks(self, tenant: str, subjects: list[str], limit: int) -> list[Look]:
        """Tell who looked at a customer, when and why; the newest first."""
        with self._pool.connection() as conn:
            rows = conn.execute(LOOKS, [tenant, subjects, limit], binary=True).fetchall()
        return [look_of(position, orjson.loads(entry)) for position, entry in rows]


def note_step(conn: Conn, tenant: str, step: Step) -> None:
    """Note that somebody asked, approved or carried out what needs two people."""
    entry: dict[str, Any] = {
        "at": datetime.now(UTC), "tenant": tenant, "subjects": [], "groups": [], "rows": 0,
        "purpose": "four eyes", **step._asdict(),
    }  # fmt: skip
    conn.execute(NOTE, [tenant, [], orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)])


def steps(conn: Conn) -> Iterator[Step]:
    """Give the steps that were noted; what cannot be read is left to who checks the log."""
    for (entry,) in conn.execute("SELECT entry FROM crm.access WHERE subjects = '{}'"):
        with suppress(ValueError):
            told = orjson.loads(entry)
            if "step" in told:
                yield Step(*(told[name] for name in Step._fields))


def look_of(position: int | None, entry: dict[str, Any]) -> Look:
    """Read an entry."""
    at = datetime.fromisoformat(entry["at"])
    who, purpose, groups, rows = (entry[name] for name in ("who", "purpose", "groups", "rows"))
    return Look(position, at, who, purpose, groups, rows, entry.get("fields", []))


def number(conn: Conn) -> None:
    """Give positions to the looks that have none, in a transaction that holds their tree's lock."""
    while conn.execute(NUMBER, [AT_ONCE]).rowcount == AT_ONCE:
        pass
