"""The server itself: over a real socket, in a process of its own, told to stop by a signal."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from api.bodies import BODY_MAX
from api.server import listening, serving
from api.together import Together
from commands.ingest import ingest
from infra.api_keys import ApiKeys
from infra.settings import Settings

SERVE = """
import sys
from pathlib import Path
from api.server import serve
from infra.runtime import open_runtime
from infra.settings import Settings
settings = Settings(database_url=sys.argv[1], directory=Path(sys.argv[2]), port=0)
with open_runtime(settings) as runtime:
    serve(runtime)
print("closed", flush=True)
"""


def test_it_listens_on_loopback_alone_by_default(live: Any) -> None:
    assert urlsplit(live[1]).hostname == "127.0.0.1"


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    with (
        listening(Settings(port=0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_body_that_never_ends_is_cut_off(live_caller: Any) -> None:
    def endless() -> Any:
        for _ in range(200):
            yield b" " * 100_000

    try:
        answer = live_caller.post(
            "/v1/events", content=endless(), headers={"Content-Type": "application/json"}
        )
    except (httpx2.WriteError, httpx2.RemoteProtocolError):
        return  # the connection was closed while we were still sending
    assert (answer.status_code, answer.json()["code"]) == (413, "body.too_large")


def test_a_body_that_is_announced_too_large_is_refused_at_once(live_caller: Any, live: Any) -> None:
    place = urlsplit(live[1])
    with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
        wire.sendall(
            f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {live_caller.key}\r\n"
            f"Content-Length: {BODY_MAX + 1}\r\n\r\n".encode()
        )
        assert wire.recv(100).startswith(b"HTTP/1.1 413 ")


CHUNKED = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1"
HEADS = {
    "address": (b"GET /", b"x"),
    "header": (b"GET /livez HTTP/1.1\r\nHost: ", b"x"),
    "headers": (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n"),
    "chunk": (CHUNKED + b";", b"x"),
    "trailer": (CHUNKED + b"\r\nx\r\n0\r\nEnd: ", b"x"),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_never_ends_is_cut_off(live: Any, name: str) -> None:
    begun, more = HEADS[name]
    place = urlsplit(live[1])
    with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
        wire.sendall(begun)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            send_for_ever(wire, more * 8_000)


def send_for_ever(wire: socket.socket, more: bytes) -> None:
    """Send a megabyte or more; raises once the other side has closed."""
    for _ in range(150):
        wire.sendall(more)
        sleep(0.002)


def test_what_is_not_http_is_refused(live: Any) -> None:
    place = urlsplit(live[1])
    for sent in (b"\x16\x03\x01\x00\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost x\r\n\r\n"):
        with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
            wire.sendall(sent)
            assert wire.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_large_batch_is_taken_in(live_caller: Any) -> None:
    batch = [
        {"id": str(number), "source": "s", "type": "interaction.record",
         "data": {"customer": {"email": f"c{number % 50}@example.org"}, "channel": "web",
                  "kind": "visit"}}
        for number in range(2500)
    ]  # fmt: skip
    answer = live_caller.post("/v1/events", json=batch, timeout=60)
    assert answer.status_code == 207
    assert {item["status"] for item in answer.json()["items"]} == {"accepted"}


def test_whoever_hangs_up_leaves_nothing_behind(live_caller: Any, live: Any) -> None:
    place = urlsplit(live[1])
    with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
        wire.sendall(
            f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {live_caller.key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n[".encode()
        )
        sleep(0.1)
    assert live_caller.items("/v1/refused") == []


def test_a_call_in_work_is_answered_before_the_end(
    runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.read_models.reader import Listing, Reader  # noqa: PLC0415

    begun = threading.Event()

    def slow(*_: object, **__: object) -> Listing:
        begun.set()
        sleep(0.3)
        return Listing([], None)

    monkeypatch.setattr(Reader, "leads", slow)
    key = ApiKeys(runtime.pool).create("acme", "read")
    answers: list[int] = []

    def call(address: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        answers.append(httpx2.get(f"{address}/v1/leads", headers=headers, timeout=60).status_code)

    with serving(runtime, roles=()) as address:
        thread = threading.Thread(target=call, args=(address,))
        thread.start()
        assert begun.wait(10)
    thread.join()
    assert answers == [200]


def test_whoever_waits_to_be_taken_in_is_answered_before_the_end(
    runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, here = threading.Event(), threading.Semaphore(0)
    take_in = Together.take_in

    def held(*asked: Any) -> Any:
        assert go_on.wait(10)
        return ingest(*asked)

    async def counted(*asked: Any) -> Any:
        here.release()
        return await take_in(*asked)

    monkeypatch.setattr("api.publish.ingest", held)
    monkeypatch.setattr(Together, "take_in", counted)
    headers = {"Authorization": f"Bearer {ApiKeys(runtime.pool).create('waiting', 'publish')}"}

    def call(address: str, number: int) -> int:
        with httpx2.Client(base_url=address, headers=headers, timeout=60) as client:
            return client.post("/v1/events", json=visit(number)).status_code

    with ThreadPoolExecutor(6) as threads, serving(runtime, roles=()) as address:
        answers = [threads.submit(call, address, number) for number in range(6)]
        for _ in answers:
            assert here.acquire(timeout=10)
        hang_up(address, visit(6), headers)
        assert here.acquire(timeout=10)
        threading.Timer(0.2, go_on.set).start()
    assert [answer.result() for answer in answers] == [200] * 6
    with runtime.pool.connection() as conn:
        kept = "SELECT count(*) FROM crm.event WHERE tenant = 'waiting' AND type LIKE 'inter%'"
        assert conn.execute(kept).fetchone() == (7,)


def visit(number: int) -> dict[str, Any]:
    data = {"customer": {"email": "ann@example.org"}, "channel": "web", "kind": "visit"}
    return {"id": str(number), "source": "s", "type": "interaction.record", "data": data}


def hang_up(address: str, message: dict[str, Any], headers: dict[str, str]) -> None:
    """Send a message and be gone before there is an answer."""
    place, body = urlsplit(address), json.dumps(message)
    lines = [f"{name}: {told}" for name, told in headers.items()]
    head = ["POST /v1/events HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(body)}"]
    with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
        wire.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())


def test_a_signal_stops_everything_in_order(database_url: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", SERVE, database_url, str(tmp_path / "crm")]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "service.started" in line:
                    break
            process.send_signal(signal.SIGTERM)
            told = process.stdout.read()
        finally:
            process.kill()
    assert process.returncode == 0
    assert "service.stopped" in told
    assert "closed" in told
