"""Publishing over HTTP: single messages on 1 and on 16 connections, and batches of 100.

Ours is `crm api`, from the socket to the commit. The control is what HTTP alone can do: the same
uvicorn with one route that reads the body and gives a constant answer. Each is a process of its
own, and so is whoever sends: on each connection a new message once the one before is answered.
"""

import asyncio
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import uvicorn
from measure import compare, fresh_runtime, report
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.api_keys import ApiKeys

SECONDS = 2.0
CUSTOMERS = 500
PATIENCE_SECONDS = 30.0
CONTROL = "HTTP alone"
CASES = ((1, 1), (16, 1), (4, 100))
"""How many connections, and how many messages in each request."""

ANSWER = json.dumps(
    {
        "items": [
            {"id": str(uuid4()), "status": "accepted", "code": "", "sentence": "",
             "events": [{"id": str(uuid4()), "type": "interaction.recorded.v1",
                         "stream": str(uuid4()), "version": 1}]}
        ],
        "token": "dzEyMzQ1Ng",
    }
).encode()  # fmt: skip


class Sent(NamedTuple):
    """How many messages a second were taken in, and how long each request took, in seconds."""

    rate: float
    waits: list[float]


def message(number: int) -> dict[str, Any]:
    """Make a new message of one of some customers."""
    return {
        "specversion": "1.0", "id": str(uuid4()), "source": "bench",
        "type": "interaction.recorded.v1", "time": "2026-01-01T00:00:00Z",
        "data": {
            "customer": {"system": "bench", "id": str(number % CUSTOMERS)}, "channel": "chat",
            "direction": "inbound", "kind": "message",
            "message": "My parcel has not arrived, although it was promised for Monday. What now?",
        },
    }  # fmt: skip


async def send(port: int, key: str, batch: int, until: float, waits: list[float]) -> None:
    """Send requests over one connection, one after another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    for number in count():
        messages = [message(number * batch + n) for n in range(batch)]
        body = json.dumps(messages if batch > 1 else messages[0])
        began = time.perf_counter()
        if began > until:
            break
        writer.write(f"{head}{len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 20"), answer
        length = re.search(rb"content-length: (\d+)", answer.lower())
        assert length, answer
        await reader.readexactly(int(length[1]))
        waits.append(time.perf_counter() - began)
    writer.close()


def load(port: int, key: str, connections: int, batch: int) -> Sent:
    """Send over some connections at a time; called in a process of its own."""

    async def all_of_them() -> Sent:
        waits: list[float] = []
        began = time.perf_counter()
        sending = (send(port, key, batch, began + SECONDS, waits) for _ in range(connections))
        await asyncio.gather(*sending)
        return Sent(len(waits) * batch / (time.perf_counter() - began), waits)

    return asyncio.run(all_of_them())


async def constant(request: Request) -> Response:
    """Read the body and answer with something as long as ours."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


def serve_constant(port: int) -> None:
    """Serve the control; called in a process of its own."""
    app = Starlette(routes=[Route("/v1/events", constant, methods=["POST"])])
    uvicorn.run(app, port=port, log_config=None, access_log=False, ws="none", lifespan="off")


@contextmanager
def started(*command: str, env: dict[str, str]) -> Iterator[int]:
    """Start a server at a port of its own, and stop it at the end; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    told = {**os.environ, **env, "CRM_PORT": str(port)}
    process = subprocess.Popen([*command], env=told, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("The server does not answer.")


def percentile(waits: list[float], percent: int) -> float:
    """Give a percentile in milliseconds."""
    return statistics.quantiles(waits, n=100)[percent - 1] * 1000


def measure(ports: dict[str, int], key: str, elsewhere: ProcessPoolExecutor) -> None:
    """Compare each case by its rate, and single messages by how long they take, too."""
    for connections, batch in CASES:
        waits: dict[str, list[float]] = {name: [] for name in ports}

        def rate(name: str, case: tuple[int, int], waits: dict[str, list[float]]) -> float:
            sent = elsewhere.submit(load, ports[name], key, *case).result()
            waits[name] += sent.waits
            return sent.rate

        name = f"{connections} connection{'s' if connections > 1 else ''}"
        case = f"messages/s, {name}" + (f", {batch} a request" if batch > 1 else "")
        measured = {each: partial(rate, each, (connections, batch), waits) for each in ports}
        compare("publish", case, measured, {CONTROL: None})
        for percent in (50, 99) if batch == 1 else ():
            ours, control = (percentile(waits[each], percent) for each in ("ours", CONTROL))
            told = f"p{percent} ms, {name}, against {CONTROL}"
            report("publish", told, ours, control, None, len(waits["ours"]), less=True)


def main() -> None:
    """Start everything, and let each sender warm up what it meets."""
    context = multiprocessing.get_context("spawn")
    with fresh_runtime() as runtime, ExitStack() as stack:
        key = ApiKeys(runtime.pool).create("bench", "publish")
        env = {
            "CRM_DATABASE_URL": str(runtime.settings.database_url),
            "CRM_DIRECTORY": str(runtime.settings.directory),
        }
        crm = str(Path(sys.executable).with_name("crm"))
        ports = {
            "ours": stack.enter_context(started(crm, "api", env=env)),
            CONTROL: stack.enter_context(started(sys.executable, __file__, "--control", env={})),
        }
        elsewhere = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
        for port in ports.values():
            elsewhere.submit(load, port, key, 4, 1).result()
        measure(ports, key, elsewhere)


if __name__ == "__main__":
    if "--control" in sys.argv:
        serve_constant(int(os.environ["CRM_PORT"]))
    else:
        main()
