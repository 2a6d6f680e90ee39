"""A server: the HTTP application, and the loops of some roles, in one process."""

import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from api.http import create_app
from consumers.service import ROLES, running
from infra.runtime import Runtime

STOP_SECONDS = 10

log = structlog.get_logger()


def serve(runtime: Runtime, roles: Collection[str] = ROLES) -> None:
    """Serve until a signal says stop: then no new calls are taken, and those in work answered."""
    with listening(runtime) as listener, running(runtime, roles):
        server_of(runtime).run([listener])


@contextmanager
def serving(runtime: Runtime) -> Iterator[str]:
    """Serve while the block lasts, and give the address: for whoever does more meanwhile."""
    server = server_of(runtime)
    with listening(runtime) as listener, running(runtime):
        thread = threading.Thread(target=server.run, args=([listener],), name="http")
        thread.start()
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)


def listening(runtime: Runtime) -> socket.socket:
    """Take the port, before anything is started: calls wait there until they are answered."""
    settings = runtime.settings
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
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
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)
