"""Read models rebuilt in tests: what it takes, and what is looked at."""

from consumers import building
from consumers.building import Means, Progress
from infra.database import url_of
from infra.read_models.builds import Poison


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.poisons: list[Poison] = []
        self.hooks = {}

    def progress(self, progress: Progress) -> None:
        self.phases.append(progress.phase)
        self.hooks.pop(progress.phase, lambda: None)()

    def poison(self, poison: Poison) -> None:
        self.poisons.append(poison)


def means(runtime, workers=1, memory=10**9) -> Means:
    return Means(url_of(runtime.pool), workers, memory)


def build(runtime, name, workers=1, memory=10**9, watch=None):
    return building.rebuild(runtime.tables, name, means(runtime, workers, memory), watch or Watch())


def dump(runtime, table) -> list[str]:
    with runtime.pool.connection() as conn:
        query = f"SELECT t::text FROM read.{table} t ORDER BY tenant, key"
        return [row for (row,) in conn.execute(query)]


def waiting(runtime, name, version):
    query = """
        SELECT tenant, key, position, type, reason FROM crm.parked
        WHERE projection = %s AND version = %s ORDER BY tenant, key
    """
    with runtime.pool.connection() as conn:
        return conn.execute(query, [name, version]).fetchall()
