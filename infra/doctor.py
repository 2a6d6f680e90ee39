"""Looks at everything that could be wrong, and changes nothing."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from infra.database import Conn, Pool, connect, pool, unapplied, unsafe_settings
from infra.keys.keyring import Keyring
from infra.keys.master_key import WrongKey
from infra.keys.masters import FileMasterKeys, LostEpoch
from infra.progress import Level, progress, refused
from infra.read_models.versions import ServingTables
from infra.runtime import database_url, pool_of_keys
from infra.settings import Settings
from projections.catalogue import ALL

POSTGRES_MIN = 15

LEASES = """
SELECT name, holder, epoch, expires_at > clock_timestamp() FROM crm.lease
WHERE epoch > 0 OR name = 'sequencer' ORDER BY name
"""


class Finding(NamedTuple):
    """What was looked at, how it is, and in which words. A fault is what cannot stay so."""

    what: str
    state: Literal["ok", "note", "fault"]
    told: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at the settings, the master key, the database, and how far everything has come."""
    yield from misspelt(os.environ)
    yield from processors(Path("/"))
    yield master_key(settings)
    with database_url(settings) as url:
        with connect(url) as conn:
            yield server(conn)
            yield durability(conn)
            missing = unapplied(conn)
            if missing:
                waiting = f"{', '.join(missing)} not applied yet; the next start does it."
                yield Finding("schema", "note", waiting)
                return
            yield Finding("schema", "ok", "Up to date.")
            yield from leases(conn)
        with pool(url, size=1) as connections:
            with pool_of_keys(settings, connections) as keys:
                yield data_keys(settings, keys)
            yield from flow(connections)


def misspelt(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look for variables that look like a setting and are none: they do nothing."""
    for name in sorted(environment):
        prefix, _, setting = name.partition("_")
        ours = prefix == "CRM" and not setting.startswith(("TEST_", "BENCH_"))
        if ours and setting.lower() not in Settings.model_fields:
            yield Finding(name, "note", "There is no such setting; it does nothing.")


def processors(root: Path) -> Iterator[Finding]:
    """Look whether Linux shares processors by session: each process of the server is one."""
    try:
        on = (root / "proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # another system, or Linux without it
    if on and not any(shares_processors(root, *line.split(":", 2)[1:]) for line in groups):
        yield Finding(
            "processors",
            "note",
            "Shared by session: under load a process of the database may wait 200 ms for one."
            " Start both by a service manager, or: sysctl kernel.sched_autogroup_enabled=0",
        )


def shares_processors(root: Path, kinds: str, group: str) -> bool:
    """Tell whether a control group that this process is in has a share of the processors."""
    if kinds:  # the first version names what a group is for
        return "cpu" in kinds.split(",") and group != "/"
    whole = root / "sys/fs/cgroup"
    own = whole / group.lstrip("/")
    return any((each / "cpu.weight").exists() for each in (own, *own.parents))


def master_key(settings: Settings) -> Finding:
    """Look at the file of the master key."""
    path = settings.key_file
    if not path.exists():
        return Finding("master key", "note", f"{path} does not exist; the first start makes it.")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("master key", "fault", f"{path} can be read by others: chmod 600 it.")
    return Finding("master key", "ok", f"{path}, readable by its owner alone.")


def data_keys(settings: Settings, keys: Pool) -> Finding:
    """Open one data key, if that takes no key service; a key that is missing is not made."""
    if settings.master_keys != "file" or not settings.key_file.exists():
        return Finding("data keys", "note", "Not looked at: they open with a master key elsewhere.")
    try:
        Keyring(keys, FileMasterKeys(settings.key_file)).check()
    except (WrongKey, LostEpoch) as wrong:
        return Finding("data keys", "fault", str(wrong))
    return Finding("data keys", "ok", "The master key opens them.")


def server(conn: Conn) -> Finding:
    """Look at the version of PostgreSQL."""
    number = conn.info.server_version
    told = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number // 10_000 < POSTGRES_MIN:
        return Finding("database", "fault", f"{told}; {POSTGRES_MIN} or newer is needed.")
    return Finding("database", "ok", f"{told}.")


def durability(conn: Conn) -> Finding:
    """Look at the settings that keep what was acknowledged."""
    faults = unsafe_settings(conn)
    if faults:
        return Finding("durability", "fault", " ".join(faults))
    return Finding("durability", "ok", "What is acknowledged survives a crash.")


def leases(conn: Conn) -> Iterator[Finding]:
    """Look at who does what only one process may do."""
    for name, holder, epoch, is_held in conn.execute(LEASES).fetchall():
        if is_held:
            yield Finding(name, "ok", f"Held by {holder}, epoch {epoch}.")
        else:
            yield Finding(name, "note", "Nobody does this at the moment; `crm up` would.")


def flow(connections: Pool) -> Iterator[Finding]:
    """Look at how far the log and the read models have come, and at what was refused."""
    tables = ServingTables(connections, ALL, None)
    now = progress(connections, tables)
    waiting = f", {now.pending:,} more wait for their position" if now.pending else ""
    yield Finding("log", "ok" if not now.pending else "note", f"{now.head:,} events{waiting}.")
    yield from map(read_model, now.levels)
    count, _ = refused(connections)
    told = f"{count:,} messages were not kept; `crm refused list` tells why."
    yield Finding("refused", "note", told) if count else Finding("refused", "ok", "Nothing.")


def read_model(level: Level) -> Finding:
    """Look at one read model."""
    name = f"{level.projection} v{level.version}"
    if level.parked:
        return Finding(name, "note", f"{level.parked:,} rows are parked; see `crm parked list`.")
    if level.lag_events:
        events = "1 event" if level.lag_events == 1 else f"{level.lag_events:,} events"
        behind = f"{events} and {level.lag_seconds:,.1f} s behind."
        return Finding(name, "note", behind)
    return Finding(name, "ok", f"Level, at position {level.position:,}.")
