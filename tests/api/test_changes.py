"""The change feed: one cursor, every change in order, none skipped whatever happens meanwhile."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from api.questions import opaque
from commands.ingest import Message, ingest
from commands.ports import Who
from infra.read_models.change import Key
from infra.read_models.reader import Reader
from infra.read_models.tables import Step
from infra.runtime import Runtime

FEED = "/v1/changes/customer_view"
WRITERS, BATCHES, BATCH = 4, 30, 5

Feed = Callable[[int], tuple[list[dict[str, Any]], int]]


def test_a_feed_gives_every_row_in_the_order_of_its_last_change(acme: Any, catch_up: Any) -> None:
    ids = [acme.register(f"c{number}@example.org") for number in range(5)]
    acme.command("customer.assign_tier", customer=ids[0], tier="gold")
    catch_up()
    found, cursor = [], ""
    while True:
        page = acme.get(f"{FEED}?limit=2&after={cursor}").json()
        found += page["items"]
        cursor = page["next"]
        if page["caught_up"]:
            break
    assert [row["id"] for row in found] == [*ids[1:], ids[0]]
    positions = [row["position"] for row in found]
    assert positions == sorted(positions)
    assert acme.get(f"{FEED}?after={cursor}").json() == {
        "items": [], "next": cursor, "caught_up": True
    }  # fmt: skip


def test_a_feed_goes_on_where_it_was_left(acme: Any, catch_up: Any) -> None:
    ann = acme.register("ann@example.org")
    catch_up()
    cursor = acme.get(FEED).json()["next"]
    bob = acme.register("bob@example.org")
    assert acme.items(f"{FEED}?after={cursor}") == []
    catch_up()
    assert [row["id"] for row in acme.items(f"{FEED}?after={cursor}")] == [bob]
    acme.command("customer.merge", customer=bob, into=ann, reason="same")
    catch_up()
    merged = acme.items(f"{FEED}?after={cursor}")
    assert [(row["id"], row["merged_into"]) for row in merged] == [(bob, ann), (ann, None)]


def test_a_feed_is_not_caught_up_before_its_read_model_is(
    acme: Any, catch_up: Any, runtime: Runtime
) -> None:
    catch_up()
    acme.register("ann@example.org")
    with runtime.pool.connection() as conn:  # numbered, but not followed yet
        conn.execute("INSERT INTO crm.log SELECT 999999999, max(seq), '' FROM crm.event")
        try:
            assert not acme.get(FEED).json()["caught_up"]
        finally:
            conn.execute("DELETE FROM crm.log WHERE position = 999999999")
    catch_up()
    assert acme.get(FEED).json()["caught_up"]


@pytest.mark.parametrize("read_model", ["customer_view", "sales_pipeline", "sla_clocks"])
def test_rows_are_the_same_as_when_they_are_asked_for(
    acme: Any, catch_up: Any, read_model: str
) -> None:
    ref = {"system": "x", "id": "1"}
    acme.command("lead.capture", lead=ref, customer={"email": "a@example.org"}, source="web")
    acme.command("case.open", case=ref, customer={"email": "a@example.org"}, channel="web")
    catch_up()
    listing = {"customer_view": "customers", "sales_pipeline": "leads", "sla_clocks": "cases"}
    [asked] = acme.items(f"/v1/{listing[read_model]}")
    [fed] = acme.items(f"/v1/changes/{read_model}")
    assert fed == {name: asked[name] for name in fed}
    assert asked.keys() - fed.keys() <= {"merged", "first_answer", "resolution"}


def test_a_row_that_is_gone_says_so(acme: Any, catch_up: Any, runtime: Runtime) -> None:
    ids = [acme.register(f"c{number}@example.org") for number in range(3)]
    catch_up()
    cursor = acme.get(FEED).json()["next"]
    table = runtime.tables["customer_view"]
    acme.register("last@example.org")
    catch_up()
    at = table.position()
    with table.transaction(Step(at, at)) as change:
        gone = [Key(acme.tenant, id_) for id_ in ids]
        change.write(dict.fromkeys(gone), dict.fromkeys(gone, at))
    page = acme.get(f"{FEED}?after={cursor}&limit=1").json()
    gone = [row for row in page["items"] if "removed" in row]
    assert sorted(row["id"] for row in gone) == sorted(ids), "a page never ends between them"
    assert {(row["position"], row["removed"]) for row in gone} == {(at, True)}


def test_a_read_model_that_was_built_anew_says_so(acme: Any) -> None:
    answer = acme.get(f"{FEED}?after={opaque('c', '2.0')}")
    assert (answer.status_code, answer.json()["code"]) == (410, "cursor.superseded")


def test_a_cursor_from_before_a_rebuild_never_goes_back(
    acme: Any, catch_up: Any, runtime: Runtime
) -> None:
    acme.register("ann@example.org")
    far = opaque("c", f"1.{catch_up()}")
    with runtime.pool.connection() as conn:  # made anew: it has not come so far again
        conn.execute("UPDATE crm.checkpoint SET position = 0 WHERE projection = 'customer_view'")
    page = acme.get(f"{FEED}?after={far}").json()
    assert (page["items"], page["next"]) == ([], far)


def test_a_cursor_that_a_restored_log_has_lost_begins_again(acme: Any, catch_up: Any) -> None:
    acme.register("ann@example.org")
    lost = opaque("c", f"1.{catch_up() + 1}")
    answer = acme.get(f"{FEED}?after={lost}")
    assert (answer.status_code, answer.json()["code"]) == (410, "cursor.superseded")
    assert answer.json()["detail"].startswith("The log ends before this place")
    assert len(acme.items(f"{FEED}?after={answer.json()['reset']['next']}")) == 1


# ---- Nothing is skipped --------------------------------------------------------------------------


def test_nothing_is_skipped_while_others_write(live: tuple[Runtime, str]) -> None:
    runtime, _ = live
    reader = Reader(runtime)

    def feed(after: int) -> tuple[list[dict[str, Any]], int]:
        page = reader.changes("feed", "customer_view", after=after, limit=7)
        return page.items, page.next

    written, seen = followed(runtime, "feed", feed)
    assert seen == written


def test_the_control_skips(live: tuple[Runtime, str]) -> None:
    """Reading the rows first and asking afterwards how far they go is what must not be done."""
    runtime, _ = live

    def naive(after: int) -> tuple[list[dict[str, Any]], int]:
        page = Reader(runtime).changes("control", "customer_view", after=after, limit=1000)
        time.sleep(0.005)
        return page.items, runtime.tables["customer_view"].reached()

    written, seen = followed(runtime, "control", naive)
    assert seen < written


def followed(runtime: Runtime, tenant: str, feed: Feed) -> tuple[set[str], set[str]]:
    """Follow a feed while several threads meet new customers: who was met, and who was seen."""
    written: set[str] = set()
    writers = [
        threading.Thread(target=write, args=(runtime, tenant, number, written))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    seen: set[str] = set()
    after, quiet = 0, 0
    while quiet < 3:
        level = not any(w.is_alive() for w in writers) and all_read(runtime)
        rows, after_now = feed(after)
        assert after_now >= after
        after = after_now
        seen |= {row["id"] for row in rows}
        quiet = quiet + 1 if level and not rows else 0
    return written, seen


def all_read(runtime: Runtime) -> bool:
    with runtime.pool.connection() as conn:
        [count] = conn.execute("SELECT count(*) FROM crm.pending").fetchone() or (0,)
    return count == 0 and runtime.tables["customer_view"].reached() == runtime.events.head()


def write(runtime: Runtime, tenant: str, writer: int, written: set[str]) -> None:
    for batch in range(BATCHES):
        messages = [
            Message(
                {"id": f"{writer}-{batch}-{n}", "source": "test", "type": "customer.register",
                 "data": {"customer": {"email": f"c{writer}-{batch}-{n}@example.org"}}},
                b"{}",
            )
            for n in range(BATCH)
        ]  # fmt: skip
        for verdict in ingest(messages, Who(tenant, "test"), runtime.ports, runtime.refused):
            written.add(verdict.events[0].stream)
