"""A wire between a client and PostgreSQL that breaks at a chosen moment."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SECONDS = 10


class Wire:
    """Relays connections; when told to, breaks the one that says a word."""

    def __init__(self, url: str, directory: Path, word: bytes) -> None:
        self.breaks: Literal["before", "after", None] = None
        """Break before the server hears the word, or after it has done what it was asked."""
        self.broken = 0
        self._word, self._server_url = word, url
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen()
        self.url = make_conninfo(url, host=str(directory), port=5432)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        server, deaf, answered = connected(self._server_url), threading.Event(), threading.Event()

        def answer() -> None:
            with contextlib.suppress(OSError):
                while (said := server.recv(65_536)) and not deaf.is_set():
                    client.sendall(said)
            answered.set()

        threading.Thread(target=answer, daemon=True).start()
        with client, server, contextlib.suppress(OSError):
            while said := client.recv(65_536):
                meant = self.breaks if self._word in said else None
                if meant:
                    deaf.set()
                if meant != "before":
                    server.sendall(said)
                if meant:
                    # The server answers when it has committed.
                    assert meant == "before" or answered.wait(SECONDS)
                    self.broken += 1
                    break
            for end in (client, server):
                end.shutdown(socket.SHUT_RDWR)


def connected(url: str) -> socket.socket:
    """Connect to a server, over its socket or over TCP."""
    at = conninfo_to_dict(url)
    host, port = str(at["host"]), int(at.get("port") or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server
