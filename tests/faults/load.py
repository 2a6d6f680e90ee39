"""Traffic while faults happen: messages are sent, and sent again until there is a verdict."""

import threading
import time
from itertools import count

from commands.ingest import ingest
from infra.runtime import Runtime
from tests.faults.life import ME, message

PAUSE_SECONDS = 0.01
SIZES = (1, 1, 2, 5, 20)


class Load:
    """One writer, which can be held."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime, self._name = runtime, name
        self._turn, self._stop = threading.Lock(), threading.Event()
        self.acknowledged = 0
        self.unexpected: set[str] = set()
        self._thread = threading.Thread(target=self._write, name="load", daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Let nothing be written from here on; returns when the last write has its verdict."""
        self._turn.acquire()

    def go_on(self) -> None:
        """Let it be written again."""
        self._turn.release()

    def close(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(30)

    def _write(self) -> None:
        numbers = count()
        while not self._stop.is_set():
            size = SIZES[next(numbers) % len(SIZES)]
            batch = [f"{self._name}-{next(numbers)}" for _ in range(size)]
            with self._turn:
                self._send(batch)
            time.sleep(PAUSE_SECONDS)

    def _send(self, batch: list[str]) -> None:
        messages = [message(id_) for id_ in batch]
        while not self._stop.is_set():
            try:
                verdicts = ingest(messages, ME, self._runtime.ports, self._runtime.refused)
            except Exception:  # whatever it is, nobody can know whether it was kept: again
                time.sleep(0.05)
                continue
            told = {verdict.status for verdict in verdicts}
            self.unexpected |= told - {"accepted", "duplicate"}
            self.acknowledged += len(batch)
            return
