"""Writes that come at the same time share a transaction: one statement, one commit, one flush.

Whoever comes while enough others are being written waits, and the first who waits then writes for
all who do. There is no timer and no thread of its own: who comes alone is written at once.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

AT_ONCE = 2
"""While one transaction waits for the disk, the next one is made ready."""

Item = TypeVar("Item")


class Waiting(Generic[Item]):
    """An item on its way; `written` is the number that it got, 0 when it has none yet."""

    __slots__ = ("group", "item", "turn", "written")

    def __init__(self, item: Item) -> None:
        self.item, self.written = item, 0
        self.group: list[Waiting[Item]] = []
        """Those for whom this one is to write, itself among them; mostly another one does."""
        self.turn = threading.Lock()
        self.turn.acquire()


class Gathering(Generic[Item]):
    """Gathers items for `write`, which writes all or none and gives a number above 0 for each."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[int]]) -> None:
        self._write, self._mutex = write, threading.Lock()
        self._waiting: list[Waiting[Item]] = []
        self._writing = 0

    def write(self, item: Item) -> int:
        """Write an item, perhaps together with others; raises what writing it alone raises."""
        mine = Waiting(item)
        with self._mutex:
            self._waiting.append(mine)
            if self._writing < AT_ONCE:
                self._writing += 1
                mine.group, self._waiting = self._waiting, []
        if not mine.group:
            mine.turn.acquire()
        if mine.group:
            self._write_for(mine.group)
        # A group fails as a whole, though perhaps one of it only is to blame: then each goes alone.
        return mine.written or self._write([item])[0]

    def _write_for(self, group: list[Waiting[Item]]) -> None:
        try:
            numbers = self._write([waiting.item for waiting in group])
            for waiting, number in zip(group, numbers, strict=True):
                waiting.written = number
        except Exception:
            if len(group) == 1:
                raise
        finally:
            self._hand_over()
            for waiting in group:
                waiting.turn.release()

    def _hand_over(self) -> None:
        """Let the first who waits write for all who do."""
        with self._mutex:
            if not self._waiting:
                self._writing -= 1
                return
            following = self._waiting[0]
            following.group, self._waiting = self._waiting, []
        following.turn.release()
