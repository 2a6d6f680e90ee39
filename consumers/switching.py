"""Letting another version of a read model serve: forward when it is built, back while one is kept.

The version is brought level first and switched in one transaction, so readers see old rows or new
ones and never go back in time. Writers are not held up; followers wait for the switch.
"""

import time
from collections.abc import Callable

from consumers.building import LEVEL
from consumers.follow import advance
from domain.rejected import Rejected
from infra.database import BUSY
from infra.read_models.tables import Moved
from infra.read_models.versions import NotLevel, ServingTables, Version, find, switch, waiting_rows
from infra.store.log import EmbeddedLog

PAUSE_SECONDS = 0.05


def promote(
    tables: ServingTables, name: str, *, even_parked: bool = False, seconds: float = 60.0
) -> Version:
    """Let the version that is built serve, as soon as it is level."""
    new = find(tables.pool, name, "built")
    if new is not None and not even_parked:
        refuse_parked(tables, name, new)
    return patiently(tables, name, new, lambda: switch(tables, name, "built"), seconds)


def roll_back(tables: ServingTables, name: str, *, seconds: float = 60.0) -> Version:
    """Let the version that was kept serve again; one of another release is taken as it is."""
    kept = find(tables.pool, name, "kept")
    foreign = kept is not None and kept.definition != tables[name].projection.version
    return patiently(
        tables, name, kept, lambda: switch(tables, name, "kept", may_lag=foreign), seconds
    )


def patiently(
    tables: ServingTables,
    name: str,
    version: Version | None,
    switching: Callable[[], Version],
    seconds: float,
) -> Version:
    """Bring a version level and switch; again while others read, or write faster."""
    end = time.monotonic() + seconds
    while True:
        try:
            if version is not None:
                bring_level(tables, name, version)
            return switching()
        except (NotLevel, Moved, *BUSY) as wait:
            if time.monotonic() > end:
                raise Rejected("projection.not_level", told(name, wait)) from wait
            time.sleep(PAUSE_SECONDS)


def told(name: str, wait: Exception) -> str:
    """Say why a version cannot serve yet."""
    reason = str(wait) if isinstance(wait, NotLevel) else "Somebody reads without an end."
    return f"{name} cannot be switched: {reason} Is it paused, or does nobody follow it?"


def bring_level(tables: ServingTables, name: str, version: Version) -> None:
    """Bring a version forward that may have no follower; over Kafka only followers do that."""
    table = tables.version(name, version.version)
    if table.topic is None and version.definition == table.projection.version:
        events = EmbeddedLog(table.pool)
        while advance(events, table) and events.head() - table.position() > LEVEL:
            pass


def refuse_parked(tables: ServingTables, name: str, new: Version) -> None:
    """Refuse a version in which more rows wait than in the one that serves."""
    serving = waiting_rows(tables.pool, name, tables[name].version)
    waiting = waiting_rows(tables.pool, name, new.version)
    if waiting > serving:
        raise Rejected(
            "projection.parked",
            f"{waiting} rows of version {new.version} of {name} wait for an event that could not"
            f" be applied, {serving} of the one that serves. `crm parked list` tells why;"
            " --even-parked promotes it all the same.",
        )
