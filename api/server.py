"""A server: the HTTP application, and the loops of some roles, in one process."""

import signal
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from api.http import create_app
from api.wire import Wire
from consumers.service import ROLES, running
from infra.runtime import Runtime
from infra.settings import Settings

STOP_SECONDS = 10

log = structlog.get_logger()


def serve(runtime: Runtime, roles: Collection[str] = ROLES) -> None:
    """Serve until a signal says stop: then no new calls are taken, and those in work answered."""
    server = server_of(runtime)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises a signal again when it is done; the loops must have their time to stop, too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with listening(runtime.settings) as listener, running(runtime, roles):
        server.run([listener])


@contextmanager
def serving(runtime: Runtime, roles: Collection[str] = ROLES) -> Iterator[str]:
    """Serve while the block lasts, and give the address: for whoever does more meanwhile."""
    server = server_of(runtime)
    with listening(runtime.settings) as listener, running(runtime, roles):
        thread = threading.Thread(target=server.run, args=([listener],), name="http")
        thread.start()
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)


def listening(settings: Settings) -> socket.socket:
    """Take the port, before anything is started: calls wait there until they are answered."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
    # Head and body of an answer are written one by one: without this, the body waits 40 ms for the
    # other side to acknowledge the head. Connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    log.info("http.listening", address=address(listener))
    return listener


def address(listener: socket.socket) -> str:
    """Give the address under which a port is called."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(runtime: Runtime) -> uvicorn.Server:
    """Set the server up. It keeps no access log: an address may hold a customer's e-mail."""
    config = uvicorn.Config(
        create_app(runtime),
        log_config=None,
        access_log=False,
        server_header=False,
        http=Wire,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)
