"""Plays a generated year through the real ingest, as if it were happening now."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import orjson

from api.demo.story import STORY
from api.demo.world import Sent
from commands.ingest import Message, ingest
from commands.ports import Verdict, Who
from infra.progress import progress
from infra.runtime import Runtime

SLICE = timedelta(days=1)
"""How much of the year is taken in at once; what Ada sends is always taken in at once."""
LEVEL_SECONDS_MAX = 300.0


def play(year: Iterable[Sent], runtime: Runtime, who: Who) -> Iterator[tuple[Sent, Verdict]]:
    """Take a year in, on its own clock; gives each message with what became of it."""
    for part in slices(year):
        ports = runtime.ports._replace(now=standing(part[-1].arrival))
        messages = [Message(sent.message, orjson.dumps(sent.message)) for sent in part]
        yield from zip(part, ingest(messages, who, ports, runtime.refused), strict=True)


def standing(at: datetime) -> Callable[[], datetime]:
    """Give a clock that stands at an instant."""
    return lambda: at


def slices(year: Iterable[Sent]) -> Iterator[list[Sent]]:
    """Cut a year into parts that arrive together."""
    part: list[Sent] = []
    for sent in year:
        if part and sent.arrival - part[0].arrival > SLICE:
            yield part
            part = []
        part.append(sent)
        if sent.message.get("correlationid") == STORY:
            yield part
            part = []
    if part:
        yield part


def level(runtime: Runtime) -> None:
    """Wait until everything that was kept is in every read model."""
    deadline = time.monotonic() + LEVEL_SECONDS_MAX
    while any(each.lag_events for each in progress(runtime.pool, runtime.tables).levels):
        if time.monotonic() > deadline:
            raise TimeoutError("The read models do not catch up.")
        time.sleep(0.02)
