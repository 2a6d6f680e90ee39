"""Versions of read models: which one serves, which is built beside it, and how they change places.

A version is filled by one definition: the version of its projection's handlers. Followers bring
forward every version of their own definition, whether it serves, waits to, or is kept. All changes
lock the versions of a projection, so no follower is between reading and writing meanwhile, and
give the changed ones a new token.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal, NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from domain.rejected import Rejected
from infra.database import Conn, Pool
from infra.read_models.tables import WHOLE_LOG, Table
from projections.projection import Projection

State = Literal["building", "built", "serving", "kept", "check"]
LOCK_SECONDS = 2
"""How long a switch waits for those who are reading; then it lets them pass and tries again."""

VERSIONS = """
SELECT projection, version, definition, state, paused, token, target, holder, began_at
FROM crm.read_model WHERE projection = %s ORDER BY version
"""

SHOWING_ALL = """
SELECT viewname FROM pg_views WHERE schemaname = 'read' AND definition NOT LIKE '%crm.rights%'
"""

# Rows that are in the version which served and not in the one that is going to.
GONE = """
INSERT INTO crm.removed (projection, version, tenant, key, position)
SELECT %(projection)s, %(version)s, tenant, key, %(position)s
FROM {old} AS old WHERE NOT EXISTS (
    SELECT FROM {new} AS new WHERE new.tenant = old.tenant AND new.key = old.key
) ON CONFLICT (projection, version, tenant, key) DO UPDATE SET position = excluded.position
"""


class Version(NamedTuple):
    """One version of a read model."""

    projection: str
    version: int
    definition: int
    state: State
    paused: bool
    token: int
    target: int
    holder: str
    began_at: datetime


class NotLevel(Exception):
    """The version is behind the one that serves: readers would go back in time."""

    def __init__(self, new: int, old: int) -> None:
        super().__init__(f"It is at position {new:,}; the version that serves is at {old:,}.")


class ServingTables(Mapping[str, Table]):
    """The table of each projection that serves at the moment one asks."""

    def __init__(self, pool: Pool, projections: tuple[Projection, ...], topic: str | None) -> None:
        self.pool, self._topic = pool, topic
        self._projections = {projection.name: projection for projection in projections}

    def create(self) -> None:
        """Make the first version of what is new."""
        for name, projection in self._projections.items():
            if find(self.pool, name, "serving") is None:
                self.version(name, projection.version).create()
        self._show_anew()

    def _show_anew(self) -> None:
        """Let views from before there were restrictions hide what is restricted."""
        with self.pool.connection() as conn:
            old = {name for (name,) in conn.execute(SHOWING_ALL)}
            for name in sorted(old & self._projections.keys()):
                table = self[name]
                if table.projection.subject:
                    with conn.transaction():
                        table.show(conn)

    def only(self, name: str) -> "ServingTables":
        """Give the tables of one projection."""
        return ServingTables(self.pool, (self._projections[name],), self._topic)

    def __getitem__(self, name: str) -> Table:
        """Give the table that serves; a new projection's is the first one."""
        projection = self._projections[name]
        serving = find(self.pool, name, "serving")
        return self.version(name, serving.version if serving else projection.version)

    def __iter__(self) -> Iterator[str]:
        """Give the names of all projections."""
        return iter(self._projections)

    def __len__(self) -> int:
        """Count the projections."""
        return len(self._projections)

    def version(self, name: str, version: int) -> Table:
        """Give the table of any version."""
        return Table(self.pool, self._projections[name], self._topic, version)

    def followed(self, name: str) -> list[Table]:
        """Give the tables that this program can bring forward, except those being built."""
        definition = self._projections[name].version
        return [
            self.version(name, each.version)
            for each in versions(self.pool, name)
            if each.definition == definition
            and each.state in ("built", "serving", "kept")
            and not each.paused
        ]


def versions(pool: Pool, projection: str) -> list[Version]:
    """Give all versions of a projection, oldest first."""
    with pool.connection() as conn:
        return versions_in(conn, projection)


def versions_in(conn: Conn, projection: str, *, lock: bool = False) -> list[Version]:
    """Give them as part of a transaction; locked, nobody changes them or writes to them."""
    query = VERSIONS + "FOR UPDATE" * lock
    with conn.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(query, [projection]).fetchall()


def find(pool: Pool, projection: str, *states: State) -> Version | None:
    """Give the version that is in one of some states, if there is one."""
    return next((v for v in versions(pool, projection) if v.state in states), None)


@contextmanager
def locked(pool: Pool, projection: str) -> Iterator[tuple[Conn, dict[str, Version]]]:
    """Change the versions of a projection, given by their states; all of it or nothing."""
    with pool.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [projection])
        yield conn, {v.state: v for v in versions_in(conn, projection, lock=True)}


def put(conn: Conn, version: Version, **changed: Any) -> None:  # noqa: ANN401 - values of columns
    """Change a version; whoever worked on it before is turned away from now on."""
    assigned = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changed
    )
    query = sql.SQL(
        "UPDATE crm.read_model SET token = token + 1, {}"
        " WHERE projection = %(projection)s AND version = %(version)s"
    )
    told = {"projection": version.projection, "version": version.version, **changed}
    conn.execute(query.format(assigned), told)


def pause(pool: Pool, projection: str, version: int, *, paused: bool) -> bool:
    """Let a version stand still, or go on; False when it does so already."""
    with locked(pool, projection) as (conn, found):
        chosen = one_of(found, projection, version)
        if chosen.paused == paused:
            return False
        if chosen.state in ("building", "check"):  # whoever builds it looks, and keeps its token
            conn.execute(
                "UPDATE crm.read_model SET paused = %s WHERE projection = %s AND version = %s",
                [paused, projection, version],
            )
        else:
            put(conn, chosen, paused=paused)
    return True


def one_of(found: Mapping[str, Version], projection: str, version: int) -> Version:
    """Give a version by its number."""
    for each in found.values():
        if each.version == version:
            return each
    raise Rejected("projection.no_version", f"{projection} has no version {version}.")


# ---- Changing places -----------------------------------------------------------------------------


def switch(tables: ServingTables, name: str, to: State, *, may_lag: bool = False) -> Version:
    """Let the built or the kept version serve from now on, and keep the one that did.

    One transaction: readers see the old rows or the new ones. Raises `NotLevel` when the version is
    behind the one that serves, unless it `may_lag`; `Rejected` when there is no such version.
    """
    with locked(tables.pool, name) as (conn, found):
        conn.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        new, old = found.get(to), found.get("serving")
        if new is None:
            raise nothing_to_serve(name, to)
        table = tables.version(name, new.version)
        if old is not None:
            behind(table, tables.version(name, old.version), may_lag=may_lag)
            step_down(tables, conn, old, found.get("kept") if to == "built" else None)
            note_removed(conn, table, tables.version(name, old.version))
        put(conn, new, state="serving", paused=False)
        table.show(conn)
    return new


def nothing_to_serve(name: str, to: State) -> Rejected:
    """Say that there is no version that could serve."""
    if to == "kept":
        sentence = f"There is no older version of {name} to go back to."
        return Rejected("projection.nothing_kept", sentence)
    sentence = f"There is no version of {name} that is built: `crm projections rebuild {name}`."
    return Rejected("projection.nothing_built", sentence)


def behind(new: Table, old: Table, *, may_lag: bool) -> None:
    """Refuse a version that is not as far as the one that serves, in any partition of the topic.

    Nobody moves meanwhile. What was never published to a partition is missing from neither.
    """
    if may_lag:
        return
    at, level, published = new.positions(), old.positions(), new.published()
    last = dict(enumerate(published)) or {WHOLE_LOG: level.get(WHOLE_LOG, 0)}
    for partition, end in last.items():
        here = at.get(partition, at.get(WHOLE_LOG, 0))
        there = min(end, level.get(partition, level.get(WHOLE_LOG, 0)))
        if here < there:
            raise NotLevel(here, there)


def step_down(tables: ServingTables, conn: Conn, old: Version, kept: Version | None) -> None:
    """Keep the version that served until now, in place of the one that was kept before."""
    if kept is not None:
        tables.version(kept.projection, kept.version).forget(conn)
    else:
        # Of two that change places, one has to stand aside for a moment.
        conn.execute(
            "UPDATE crm.read_model SET state = 'check' WHERE projection = %s AND state = 'kept'",
            [old.projection],
        )
    put(conn, old, state="kept")


def note_removed(conn: Conn, new: Table, old: Table) -> None:
    """Tell followers of the read model which rows of the old version are gone."""
    query = sql.SQL(GONE).format(old=old.id, new=new.id)
    conn.execute(query, {**new.arguments, "position": new.reached()})


def drop(tables: ServingTables, name: str, version: int) -> Version:
    """Forget a version that does not serve."""
    with locked(tables.pool, name) as (conn, found):
        chosen = one_of(found, name, version)
        if chosen.state == "serving":
            raise Rejected("projection.serves", f"Version {version} of {name} serves: it stays.")
        tables.version(name, version).forget(conn)
    return chosen


def waiting_rows(pool: Pool, name: str, version: int) -> int:
    """Count the rows that wait because an event could not be applied."""
    query = "SELECT count(*) FROM crm.parked WHERE projection = %s AND version = %s"
    with pool.connection() as conn:
        row = conn.execute(query, [name, version]).fetchone()
    return int(row[0]) if row else 0
