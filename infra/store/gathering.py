"""Writes that come at the same time share a transaction: one statement, one commit, one flush.

A few write at once, each for itself: the server flushes the disk for all of them together. A crowd
would only take the interpreter from each other: its items are left to one thread, which writes all
that came while it wrote the ones before. There is no timer: nobody waits for others to come.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

CROWD = 6
"""From so many on that are usually here, whoever comes among them, one thread writes for all."""

MEMORY = 0.05
"""How much the latest arrival counts in what is usual."""

IDLE_SECONDS = 1.0
"""After so long without work the thread ends; the next crowd gets another one."""

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """An item that somebody else writes."""

    __slots__ = ("done", "item", "number")

    def __init__(self, item: Item) -> None:
        self.item, self.number, self.done = item, 0, Lock()
        self.done.acquire()


class Gathering(Generic[Item]):
    """Gathers items for `write`, which writes all or none and gives a number above 0 for each."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[int]]) -> None:
        self._write, self._mutex = write, Lock()
        self._queue: SimpleQueue[Waiting[Item]] = SimpleQueue()
        self._thread: Thread | None = None
        self._here, self._usually_here = 0, 0.0

    def write(self, item: Item) -> int:
        """Write an item, perhaps together with others; raises what writing it alone raises."""
        waiting = self._come(item)
        try:
            if waiting is not None:
                with waiting.done:
                    pass
                if waiting.number:
                    return waiting.number
            # A group fails as a whole, though perhaps one of it is to blame: then each goes alone.
            return self._write([item])[0]
        finally:
            with self._mutex:
                self._here -= 1

    def _come(self, item: Item) -> Waiting[Item] | None:
        """Join those who are here; in a crowd the item is left to the thread."""
        with self._mutex:
            self._here += 1
            self._usually_here += MEMORY * (self._here - self._usually_here)
            if self._usually_here < CROWD:
                return None
            if self._thread is None:
                thread = Thread(target=self._write_for_all, name="gathering", daemon=True)
                thread.start()
                self._thread = thread
            waiting = Waiting(item)
            self._queue.put(waiting)
        return waiting

    def _write_for_all(self) -> None:
        for group in self._groups():
            with suppress(Exception):  # who was written gets a number, nobody else
                numbers = self._write([waiting.item for waiting in group])
                for waiting, number in zip(group, numbers, strict=True):
                    waiting.number = number
            for waiting in group:
                waiting.done.release()

    def _groups(self) -> Iterator[list[Waiting[Item]]]:
        """Give what came meanwhile, until nobody comes any more."""
        while True:
            try:
                first = self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._mutex:
                    if self._queue.empty():
                        self._thread = None
                        return
            else:
                yield [first, *(self._queue.get_nowait() for _ in range(self._queue.qsize()))]
