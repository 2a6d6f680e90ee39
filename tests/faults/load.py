"""Traffic while faults happen: messages are sent, and sent again until there is a verdict."""

import threading
import time
from itertools import count, cycle

from commands.ingest import ingest
from infra.runtime import Runtime
from tests.faults.life import ME, message

WRITERS = 3
PAUSE_SECONDS = 0.05
SIZES = (1, 1, 2, 5, 20)


class Load:
    """Some writers, which can be held."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime = runtime
        self._turns = [threading.Lock() for _ in range(WRITERS)]
        self._stop = threading.Event()
        self.unexpected: set[str] = set()
        self._threads = [
            threading.Thread(target=self._write, args=(f"{name}-{number}", turn), daemon=True)
            for number, turn in enumerate(self._turns)
        ]
        for thread in self._threads:
            thread.start()

    def hold(self) -> None:
        """Let nothing be written from here on; returns when the last write has its verdict."""
        for turn in self._turns:
            turn.acquire()

    def go_on(self) -> None:
        """Let it be written again."""
        for turn in self._turns:
            turn.release()

    def close(self) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _write(self, name: str, turn: threading.Lock) -> None:
        sizes, numbers = cycle(SIZES), count()
        while not self._stop.is_set():
            batch = [f"{name}-{next(numbers)}" for _ in range(next(sizes))]
            with turn:
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
            return
