"""The ledger of erasures: a file beside the database, which no restored backup can wind back.

A backup from before an erasure holds the keys that it destroyed. Whoever starts on such a backup is
told so and does not serve; applying the ledger destroys them again.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from domain.personal import GROUPS, Group
from infra.database import Conn

UNKNOWN = """
SELECT number FROM unnest(%s::text[], %s::uuid[], %s::text[])
    WITH ORDINALITY AS ledger (t, s, grps, number)
WHERE EXISTS (SELECT FROM unnest(string_to_array(grps, ',')) AS g
              WHERE NOT EXISTS (SELECT FROM crm_keys.data_key k
                                WHERE k.tenant = t AND k.subject = s AND k.grp = g
                                  AND k.wrapped IS NULL))
"""


class Entry(NamedTuple):
    """A customer of whom groups were erased; nothing personal."""

    tenant: str
    subject: str
    erasure: str
    groups: tuple[Group, ...] = GROUPS


class ErasuresMissing(Exception):
    """The database is from before an erasure: it must not be served as it is."""


class ErasureLedger:
    """One line for each erased customer, only ever added to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, entries: Iterable[Entry]) -> None:
        """Write erasures down, safely, before anything is destroyed."""
        lines = b"".join(orjson.dumps(entry._asdict()) + b"\n" for entry in entries)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> Iterator[Entry]:
        """Give all erasures; a line that a crash cut off was not begun."""
        if self._path.exists():
            for line in self._path.read_bytes().split(b"\n")[:-1]:
                yield entry_of(orjson.loads(line))

    def missing(self, conn: Conn) -> list[Entry]:
        """Tell which erasures the database does not know of."""
        entries = list(dict.fromkeys(self.entries()))
        if not entries:
            return []
        columns = [
            [entry.tenant for entry in entries],
            [entry.subject for entry in entries],
            [",".join(entry.groups) for entry in entries],
        ]
        return [entries[number - 1] for (number,) in conn.execute(UNKNOWN, columns)]

    def check(self, conn: Conn) -> None:
        """Refuse a database that does not know of an erasure. Raises `ErasuresMissing`."""
        if missing := self.missing(conn):
            raise ErasuresMissing(
                f"{len(missing)} erased customers are back: the database was restored from before"
                " their erasure. `crm privacy reapply` erases them again; then it can be served."
            )


def entry_of(line: Mapping[str, Any]) -> Entry:
    """Read an entry; one without groups is from when all of them were erased, always."""
    groups = tuple(line.get("groups", GROUPS))
    return Entry(line["tenant"], line["subject"], line["erasure"], groups)
