"""Messages of requests that come at the same time are taken in together: one batch, one thread.

Alone, a message costs ten times what it costs in a batch. So while messages of a caller are being
taken in, the requests that come meanwhile wait, and are the next batch. There is no timer: whoever
comes alone goes at once.

Not `infra/store/gathering.py`: there, threads that have each decided something share the writing of
it, whoever it is for. Here requests of one caller share all of it, and need no thread of their own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import NamedTuple

from anyio import to_thread

from commands.ingest import Message
from commands.ports import Verdict, Who
from infra.access import LOOKER
from infra.database import NO_CONNECTION
from infra.seeing import SEES_HELD

MESSAGES_MAX = 500
"""A batch takes no further requests once it has so many."""

AT_ONCE = 2
"""So many batches of a caller are taken in at a time: one that must wait never holds up all."""

Ingest = Callable[[Sequence[Message], Who], list[Verdict]]


class Brought(NamedTuple):
    """What one request has brought, and where its verdicts are waited for."""

    messages: Sequence[Message]
    verdicts: asyncio.Future[list[Verdict]]

    def tell(self, verdicts: list[Verdict]) -> None:
        """Hand the verdicts over, if anybody still waits for them."""
        if not self.verdicts.done():
            self.verdicts.set_result(verdicts)

    def fail(self, error: Exception) -> None:
        """Tell that nothing is known of what became of the messages."""
        if not self.verdicts.done():
            self.verdicts.set_exception(error)


class Line:
    """The requests of one caller that wait, and how many batches of it are being taken in."""

    __slots__ = ("at_work", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Brought] = deque()
        self.at_work = 0

    def batch(self) -> list[Brought]:
        """Take those who are next out of the line."""
        batch: list[Brought] = []
        messages = 0
        while self.waiting and messages < MESSAGES_MAX:
            batch.append(self.waiting.popleft())
            messages += len(batch[-1].messages)
        return batch


class Together:
    """Gathers the messages of each caller for `ingest`, which blocks: it is called in a thread."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._lines: dict[Hashable, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """The loop itself keeps none of them alive."""

    async def take_in(self, messages: Sequence[Message], who: Who) -> list[Verdict]:
        """Take in the messages of a request; raises what taking them in alone raises."""
        # What is said once of a call holds for all that is done for it: so it is part of the key.
        key = (who, LOOKER.get(), SEES_HELD.get())
        line = self._lines.setdefault(key, Line())
        loop = asyncio.get_running_loop()
        brought = Brought(messages, loop.create_future())
        line.waiting.append(brought)
        if line.at_work < AT_ONCE:
            line.at_work += 1
            task = loop.create_task(self._work_off(key, who))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await brought.verdicts

    async def _work_off(self, key: Hashable, who: Who) -> None:
        """Take in batch by batch until nobody waits."""
        line = self._lines[key]
        try:
            while batch := line.batch():
                await self._take_in(batch, who)
        finally:
            line.at_work -= 1
            if not line.at_work:
                del self._lines[key]

    async def _take_in(self, batch: Sequence[Brought], who: Who) -> None:
        messages = [message for brought in batch for message in brought.messages]
        try:
            verdicts = iter(await to_thread.run_sync(self._ingest, messages, who))
        except Exception as error:
            if len(batch) == 1 or isinstance(error, NO_CONNECTION):
                for brought in batch:
                    brought.fail(error)
                return
            # It failed as a whole, though perhaps only one is to blame: then each goes alone.
            await asyncio.gather(*(self._take_in([brought], who) for brought in batch))
            return
        for brought in batch:
            brought.tell(list(islice(verdicts, len(brought.messages))))
