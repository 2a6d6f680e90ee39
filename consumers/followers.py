"""The followers of one projection: a loop for every version that this program can bring forward.

Versions come and go with rebuilds; what serves, waits to, or is kept is followed all the same.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from consumers.loop import place, run
from infra.read_models.tables import Table
from infra.read_models.versions import ServingTables

LOOK_SECONDS = 0.5

Follow = Callable[[Table, threading.Event], None]

log = structlog.get_logger()


@dataclass(slots=True)
class Followers:
    """The loops at work, by the versions that they follow, and those that take their last step."""

    tables: ServingTables
    name: str
    follow: Follow
    working: dict[int, tuple[threading.Thread, threading.Event]] = field(default_factory=dict)
    stopping: list[threading.Thread] = field(default_factory=list)

    def look(self) -> None:
        """Begin to follow new versions, and stop following those that are gone or paused.

        What ended by itself could not begin, the log being out of reach: it begins again.
        """
        wanted = {table.version: table for table in self.tables.followed(self.name)}
        if not wanted:
            self.tables.only(self.name).create()  # the first one, or nothing if all are paused
        for version in self.working.keys() - wanted.keys():
            thread, stop = self.working.pop(version)
            stop.set()
            self.stopping.append(thread)
        self.working = {n: work for n, work in self.working.items() if work[0].is_alive()}
        self.stopping = [thread for thread in self.stopping if thread.is_alive()]
        for version in wanted.keys() - self.working.keys():
            stop = threading.Event()
            arguments = (wanted[version], stop)
            thread = threading.Thread(
                target=self._work, args=arguments, name=wanted[version].name, daemon=True
            )
            self.working[version] = (thread, stop)
            thread.start()

    def _work(self, table: Table, stop: threading.Event) -> None:
        try:
            self.follow(table, stop)
        except Exception as error:
            log.warning(
                "follower.not_begun", projection=table.name, error=type(error).__name__,
                at=place(error),
            )  # fmt: skip

    def end(self) -> None:
        """Stop all loops and wait for them."""
        working, self.working = self.working, {}
        for _, stop in working.values():
            stop.set()
        for thread in (*(thread for thread, _ in working.values()), *self.stopping):
            thread.join()


def keep_followed(tables: ServingTables, name: str, follow: Follow, stop: threading.Event) -> None:
    """Keep every version of a projection followed, until told to stop."""
    followers = Followers(tables, name, follow)

    def step() -> bool:
        followers.look()
        stop.wait(LOOK_SECONDS)
        return True

    run(f"followers {name}", step, stop)
    followers.end()
