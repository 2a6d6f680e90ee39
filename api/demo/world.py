"""A virtual clock and everything that goes on: messages come in the order in which they arrive.

Processes are iterators; each tells its messages in order of arrival and may begin others. One
seeded source of chance serves all of them, so the same seed gives the same world. What is kept in
memory grows with the processes that go on, never with the messages.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, NamedTuple

from commands.ports import Status

END = datetime(2026, 1, 1, tzinfo=UTC)
"""When the generated year ends; fixed, so that the numbers are the same whenever it is played."""
YEAR = timedelta(days=365)

SENT_TWICE = 0.01
"""How many of the messages come a second time."""

Message = dict[str, Any]


class Sent(NamedTuple):
    """A message, the instant it reaches us, and what should become of it."""

    arrival: datetime
    message: Message
    verdict: Status = "accepted"


Process = Iterator[Sent]
"""Something that goes on in the world; its messages come in order of arrival."""


class World:
    """A virtual clock, and everything that is going on."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a story, not a secret
        self.end = END
        self.start = END - YEAR
        self._due: list[tuple[datetime, int, Sent, Process]] = []
        self._order = count()
        self._ids: Counter[str] = Counter()

    def begin(self, process: Process) -> None:
        """Let a process go on until its next message, or let it end."""
        sent = next(process, None)
        if sent is not None and sent.arrival < self.end:
            heappush(self._due, (sent.arrival, next(self._order), sent, process))

    def run(self) -> Iterator[Sent]:
        """Let time pass until the end; gives what arrives, some of it twice."""
        while self._due:
            arrival, _, sent, process = heappop(self._due)
            yield sent
            self.begin(process)
            if sent.verdict == "accepted" and self.chance(SENT_TWICE):
                again = self.later(arrival, self.random.choice((0, 0, 1, 7)))
                self.begin(iter([sent._replace(arrival=again, verdict="duplicate")]))

    def number(self, series: str) -> int:
        """Give the next number of a series, from 1."""
        self._ids[series] += 1
        return self._ids[series]

    def chance(self, probability: float) -> bool:
        """Toss a coin."""
        return self.random.random() < probability

    def later(self, at: datetime, days: float) -> datetime:
        """Give a moment of the waking hours, about some days on and never before `at`."""
        day = (at + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        waking = day + timedelta(seconds=int(self.random.triangular(7, 23, 18) * 3600))
        return max(waking, soon(at, 60 * self.random.randint(1, 20)))

    def tell(self, at: datetime, channel: str, type_: str, data: Message) -> Sent:
        """Let a channel tell that something happened."""
        message = {
            "specversion": "1.0",
            "id": f"{channel}-{self.number(channel):07}",
            "source": f"/channels/{channel}",
            "type": type_,
            "time": at.isoformat(),
            "data": data,
        }
        return Sent(at, message)

    def tell_late(self, sent: Sent) -> None:
        """Let a message arrive hours or days after what it tells of."""
        delay = timedelta(hours=self.random.triangular(2, 72, 8))
        self.begin(iter([sent._replace(arrival=whole(sent.arrival + delay))]))


def soon(at: datetime, seconds: int) -> datetime:
    """Give a moment shortly after another."""
    return at + timedelta(seconds=seconds)


def whole(at: datetime) -> datetime:
    """Drop the fractions of a second."""
    return at.replace(microsecond=0)
