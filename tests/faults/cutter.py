"""A wire between clients and a broker that can be cut in the middle of what is being said."""

import contextlib
import socket
import threading
import time
from random import Random

CHUNK = 65_536
AWAY_SECONDS = 0.1
"""How long whoever asks for a broker that is away is kept waiting.

Refused, a client would ask less and less often; let in and then dropped, it asks again at once, and
all of them together take the processor that the broker needs to start.
"""


class Cutter:
    """Relays TCP connections to a port; cuts all of them at once when told to."""

    def __init__(self, port: int, seed: int = 0) -> None:
        self._port, self._chance = port, Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._guard = threading.Lock()
        self._cutting = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds: float = 0.3) -> None:
        """Let every connection end within its next message: a part is handed on, then nothing."""
        self._cutting.set()
        threading.Timer(seconds, self._cutting.clear).start()

    def close(self) -> None:
        """End all connections and take no new ones."""
        self._listener.close()
        with self._guard:
            for pair in self._pairs:
                end(*pair)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                    server.settimeout(None)
                except OSError:  # the broker is away
                    time.sleep(AWAY_SECONDS)
                    client.close()
                    continue
                with self._guard:
                    self._pairs.add((client, server))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=(one, other), daemon=True).start()

    def _hand_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := one.recv(CHUNK):
                if self._cutting.is_set():
                    other.sendall(said[: self._chance.randrange(len(said))])
                    break
                other.sendall(said)
        end(one, other)
        with self._guard:
            self._pairs -= {(one, other), (other, one)}


def end(*sockets: socket.socket) -> None:
    """End connections, whatever state they are in."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
