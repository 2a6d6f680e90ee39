"""Requests that come at the same time share a batch; each still gets what it would get alone."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg_pool import PoolTimeout
from starlette.testclient import TestClient

from api import together as module
from api.http import create_app
from api.together import AT_ONCE, Together
from commands.ingest import Message, ingest
from commands.ports import Busy, Verdict, Who
from infra.access import LOOKER, looking
from infra.runtime import Runtime
from infra.seeing import SEES_HELD, seeing_held
from tests.api.conftest import Caller

SECONDS = 10
ANN, BOB = Who("acme", "key:ann"), Who("acme", "key:bob")


class Store:
    """Remembers what was taken in together; holds while told to, and refuses odd things."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.known: list[tuple[Who, str, bool]] = []
        self.error: Exception = Busy("Others were quicker.")
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()

    def ingest(self, messages: Sequence[Message], who: Who) -> list[Verdict]:
        names = [str(message.parsed) for message in messages]
        self.batches.append(names)
        self.known.append((who, LOOKER.get().purpose, SEES_HELD.get()))
        assert self.go_on.wait(SECONDS)
        if "bad" in names:
            raise self.error
        return [Verdict("accepted", name) for name in names]


def messages(names: str) -> list[Message]:
    return [Message(name, b"") for name in names.split()]


async def codes(together: Together, names: str, who: Who = ANN) -> list[str]:
    return [verdict.code for verdict in await together.take_in(messages(names), who)]


Asking = Callable[[Together], list[Coroutine[Any, Any, Any]]]


async def after_first(store: Store, asking: Asking, cancel: Sequence[int] = ()) -> list[Any]:
    """Ask while as many batches as possible are held; gives what each that was asked got."""
    together = Together(store.ingest)
    first = []
    for number in range(AT_ONCE):
        first.append(asyncio.create_task(codes(together, f"first{number}")))
        while len(store.batches) == number:
            await asyncio.sleep(0.001)
    asked = [asyncio.create_task(each) for each in asking(together)]
    await asyncio.sleep(0.01)
    for number in cancel:
        asked[number].cancel()
    store.go_on.set()
    got = await asyncio.gather(*asked, return_exceptions=True)
    assert await asyncio.gather(*first) == [[f"first{n}"] for n in range(AT_ONCE)]
    await nothing_left(together)
    return got


async def nothing_left(together: Together) -> None:
    await asyncio.sleep(0.01)
    assert (together._lines, together._tasks) == ({}, set())


def later(store: Store) -> list[list[str]]:
    return [names for names in store.batches if not names[0].startswith("first")]


def test_who_comes_alone_goes_at_once() -> None:
    async def two(together: Together) -> list[list[str]]:
        return [await codes(together, "one"), await codes(together, "two three")]

    store = Store()
    assert asyncio.run(two(Together(store.ingest))) == [["one"], ["two", "three"]]
    assert store.batches == [["one"], ["two", "three"]]


def test_who_waits_shares_a_batch_and_gets_its_own_verdicts_in_order() -> None:
    store = Store(held=True)
    got = asyncio.run(
        after_first(store, lambda all_: [codes(all_, "a b"), codes(all_, "c"), codes(all_, "d e")])
    )
    assert got == [["a", "b"], ["c"], ["d", "e"]]
    assert later(store) == [["a", "b", "c", "d", "e"]]


def test_callers_share_nothing_and_neither_do_purposes() -> None:
    def asking(all_: Together) -> list[Coroutine[Any, Any, Any]]:
        async def for_(purpose: str, names: str, *, sees: bool = False) -> list[str]:
            with looking("key:ann", purpose), seeing_held(sees=sees):
                return await codes(all_, names)

        return [
            for_("care", "a"), codes(all_, "b", BOB), for_("care", "c"), for_("audit", "d"),
            for_("care", "e", sees=True),
        ]  # fmt: skip

    store = Store(held=True)
    got = asyncio.run(after_first(store, asking))
    assert got == [["a"], ["b"], ["c"], ["d"], ["e"]]
    known = dict(zip(map(" ".join, store.batches), store.known, strict=True))
    assert {names: of for names, of in known.items() if "first" not in names} == {
        "a c": (ANN, "care", False),
        "b": (BOB, "not stated", False),
        "d": (ANN, "audit", False),
        "e": (ANN, "care", True),
    }


def test_when_a_batch_fails_only_who_is_to_blame_is_told() -> None:
    store = Store(held=True)
    good, bad, other = asyncio.run(
        after_first(store, lambda all_: [codes(all_, "a b"), codes(all_, "bad"), codes(all_, "c")])
    )
    assert (good, bad, other) == (["a", "b"], store.error, ["c"])
    assert sorted(later(store)) == [["a", "b"], ["a", "b", "bad", "c"], ["bad"], ["c"]]


def test_without_a_connection_nobody_waits_for_one_twice() -> None:
    store = Store(held=True)
    store.error = PoolTimeout()
    got = asyncio.run(after_first(store, lambda all_: [codes(all_, "a"), codes(all_, "bad")]))
    assert got == [store.error, store.error]
    assert later(store) == [["a", "bad"]]


def test_who_hangs_up_harms_nobody_and_is_taken_in_once() -> None:
    store = Store(held=True)
    got = asyncio.run(
        after_first(store, lambda all_: [codes(all_, n) for n in ("a", "b", "c")], cancel=[1])
    )
    assert (got[0], got[2]) == (["a"], ["c"])
    assert isinstance(got[1], asyncio.CancelledError)
    assert later(store) == [["a", "b", "c"]]


def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MESSAGES_MAX", 3)
    store = Store(held=True)
    names = ["a b", "c d", "e", "f g h i", "j"]
    got = asyncio.run(after_first(store, lambda all_: [codes(all_, each) for each in names]))
    assert got == [each.split() for each in names]
    assert sorted(later(store)) == [["a", "b", "c", "d"], ["e", "f", "g", "h", "i"], ["j"]]


def test_nobody_is_left_waiting_in_a_crowd() -> None:
    async def crowd(together: Together) -> list[Any]:
        asked = (codes(together, f"{n}" if n % 50 else "bad") for n in range(1000))
        got = await asyncio.gather(*asked, return_exceptions=True)
        await nothing_left(together)
        return got

    store = Store()
    got = asyncio.run(crowd(Together(store.ingest)))
    assert [n for n, each in enumerate(got) if each is store.error] == list(range(0, 1000, 50))
    assert [each for each in got if each is not store.error] == [
        [str(n)] for n in range(1000) if n % 50
    ]


# ---- Over HTTP, with everything behind it --------------------------------------------------------


def visit(id_: str, **data: Any) -> dict[str, Any]:
    data = {"customer": {"email": "ann@example.org"}, "channel": "web", "kind": "visit"} | data
    return {"id": id_, "source": "shop", "type": "interaction.recorded.v1", "data": data}


@contextmanager
def gathered(
    acme: Any, runtime: Runtime, patch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Callable[..., Any]]]:
    """Let what is posted in the block wait in one line; it is taken in when the block ends."""
    hold, begun = threading.Event(), threading.Semaphore(0)

    def held(messages: Sequence[Message], *others: Any) -> list[Verdict]:
        begun.release()
        assert hold.wait(SECONDS)
        if len(messages) > 1 and any(b"poison" in message.raw for message in messages):
            raise RuntimeError("poison")
        return ingest(messages, *others)

    patch.setattr("api.publish.ingest", held)
    app = create_app(runtime)
    with TestClient(app) as client, ThreadPoolExecutor(16) as threads:
        caller = Caller(client, acme.tenant, acme.key)

        def posted(*messages: dict[str, Any]) -> Future[Any]:
            body = messages[0] if len(messages) == 1 else messages
            waiting = sum(len(line.waiting) for line in app.state.together._lines.values())
            sent = threads.submit(caller.post, "/v1/events", json=body)
            for _ in range(SECONDS * 1000):
                lines = list(app.state.together._lines.values())
                if sum(len(line.waiting) for line in lines) > waiting:
                    return sent
                threading.Event().wait(0.001)
            pytest.fail("It should wait.")

        first = []
        for n in range(AT_ONCE):
            first.append(threads.submit(caller.post, "/v1/events", json=visit(f"first {n}")))
            assert begun.acquire(timeout=SECONDS)
        try:
            yield app, posted
        finally:
            hold.set()
        assert {each.result().status_code for each in first} == {200}


def test_each_request_gets_its_own_answer(
    acme: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, counts: Any
) -> None:
    with gathered(acme, runtime, monkeypatch) as (app, posted):
        new, same = posted(visit("1")), posted(visit("1"))
        other, broken = posted(visit("1", kind="call")), posted({"id": "2"})
        batch = posted(visit("3"), visit("4"), visit("3"))
    first, again = new.result().json(), same.result().json()
    assert (first["items"][0]["status"], again["items"][0]["status"]) == ("accepted", "duplicate")
    assert first["items"][0]["events"] == again["items"][0]["events"]
    assert first["token"]
    assert again["token"]
    assert (other.result().status_code, broken.result().status_code) == (409, 422)
    assert broken.result().json()["item"]["id"] == "2"
    assert batch.result().status_code == 207
    told = [(item["id"], item["status"]) for item in batch.result().json()["items"]]
    assert told == [("3", "accepted"), ("4", "accepted"), ("3", "duplicate")]
    assert counts()["refused"] == 2
    counted = app.state.metrics.exposed().decode()
    for result, number in {"accepted": AT_ONCE + 3, "duplicate": 2, "conflict": 1}.items():
        name = f'crm_ingest_messages_total{{result="{result}",source="http"}}'
        assert f"{name} {number}.0" in counted
    assert f"crm_ingest_request_duration_seconds_count {AT_ONCE + 5}.0" in counted


def test_a_fault_of_one_is_not_the_fault_of_the_others(
    acme: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gathered(acme, runtime, monkeypatch) as (_, posted):
        good, batch = posted(visit("1")), posted(visit("2", message="poison"), visit("3"))
    assert (good.result().status_code, batch.result().status_code) == (200, 500)
    assert batch.result().json()["code"] == "internal.fault"
    assert good.result().json()["items"][0]["status"] == "accepted"
    again = [acme.post("/v1/events", json=visit(id_)).json() for id_ in "123"]
    told = [answer["items"][0]["status"] for answer in again]
    assert told == ["duplicate", "accepted", "accepted"]
