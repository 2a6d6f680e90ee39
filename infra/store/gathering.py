"""Writes that come at the same time share a transaction: one statement, one commit, one flush.

A few write at once, each alone: the server flushes the disk for all of them together. A crowd would
only take the interpreter from each other: there one writes, those who come meanwhile wait, and the
first of them writes for all. There is no timer and no thread of its own.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

FEW, CROWD = 4, 6
"""So many write at once, unless whoever comes usually meets this many, itself among them."""

MEMORY = 0.05
"""How much the latest arrival counts in what is usual."""

Item = TypeVar("Item")


class Group(Generic[Item]):
    """Items that are written together; whoever brought the first one writes for all."""

    __slots__ = ("done", "items", "numbers", "turn")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.numbers: Sequence[int] = ()
        """What each item got; empty as long as they are not written, or cannot be together."""
        self.turn, self.done = Lock(), Lock()
        self.done.acquire()


class Gathering(Generic[Item]):
    """Gathers items for `write`, which writes all or none and gives a number above 0 for each."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[int]]) -> None:
        self._write, self._mutex = write, Lock()
        self._gathered: Group[Item] | None = None
        self._writing = self._here = 0
        self._usually_here = 0.0

    def write(self, item: Item) -> int:
        """Write an item, perhaps together with others; raises what writing it alone raises."""
        group, place = self._join(item)
        try:
            if place == 0:
                with group.turn:
                    self._write_for(group)
            else:
                with group.done:  # and each who wakes up wakes the next one
                    pass
        finally:
            with self._mutex:
                self._here -= 1
        # A group fails as a whole, though perhaps one of it only is to blame: then each goes alone.
        return group.numbers[place] if group.numbers else self._write([item])[0]

    def _join(self, item: Item) -> tuple[Group[Item], int]:
        with self._mutex:
            self._here += 1
            self._usually_here += MEMORY * (self._here - self._usually_here)
            group = self._gathered
            if group is None:
                group = Group()
                if self._writing < (FEW if self._usually_here < CROWD else 1):
                    self._writing += 1
                else:
                    group.turn.acquire()
                    self._gathered = group
            group.items.append(item)
            return group, len(group.items) - 1

    def _write_for(self, group: Group[Item]) -> None:
        try:
            group.numbers = self._write(group.items)
        except Exception:  # of several, each is written alone then, and told its own fault
            if len(group.items) == 1:
                raise
        finally:
            self._hand_over()
            group.done.release()

    def _hand_over(self) -> None:
        """Let those who wait be written when nobody else is any more: so they are many."""
        with self._mutex:
            self._writing -= 1
            following = self._gathered
            if following is None or self._writing:
                return
            self._gathered, self._writing = None, 1
        following.turn.release()
