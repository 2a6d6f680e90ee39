"""Read models in PostgreSQL are exactly what the pure projections say, whatever gets in the way."""

import threading
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import orjson
import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from structlog.testing import capture_logs

from consumers.follow import advance
from infra.read_models.change import Key
from infra.read_models.tables import Moved, Step, Table
from infra.store.envelope import decode
from infra.store.recorder import Recorder
from projections.catalogue import ALL
from projections.projection import Column, Projection, by_customer
from tests.strategies import PROLOGUE, UUIDS, command
from tests.world import NOON, World

ANN = UUIDS[0]
DUMP = "SELECT t::text FROM read.{} t ORDER BY tenant, key"


@pytest.fixture
def world(runtime):
    """A world on PostgreSQL in which some hundred things have happened."""
    chance, world = Random(5), World(runtime.store)
    world.now += timedelta(days=30)
    asked = [*PROLOGUE, *(command(chance) for _ in range(150))]
    world.ask_all([(each, str(UUID(int=n)), None) for n, each in enumerate(asked, 1)])
    return world


def history_of(runtime):
    page = runtime.events.read(0, 100_000, ())
    return [decode(envelope, position) for position, envelope in page.events]


def dump(runtime, projection):
    with runtime.pool.connection() as conn:
        return [text for (text,) in conn.execute(DUMP.format(projection.name))]


def rows_of(table, keys):
    after = table.position()
    with table.transaction(Step(after, after)) as change:
        return change.rows(keys)


def in_json(rows):
    return orjson.dumps(rows, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()


def test_every_table_holds_what_the_pure_fold_gives(runtime, world, catch_up):
    catch_up()
    history = history_of(runtime)
    for table in runtime.tables.values():
        expected = table.projection.fold(history)
        rows = rows_of(table, [Key("acme", key) for key in expected])
        assert len(dump(runtime, table.projection)) == len(expected) > 0
        assert in_json({key.key: row for key, row in rows.items()}) == in_json(expected)


def test_dropped_and_followed_again_in_other_parts_a_table_is_the_same_to_the_byte(
    runtime, world, catch_up
):
    catch_up()
    for table in runtime.tables.values():
        before = dump(runtime, table.projection)
        table.drop()
        table.create()
        assert dump(runtime, table.projection) == []
        while advance(runtime.events, table, limit=7):
            pass
        assert dump(runtime, table.projection) == before


VALUES = {
    "uuid": ANN,
    "text": '"quoted", \\back\\slashed, {braced}, 🦊, \u202e, \t',
    "int": -(2**31),
    "bigint": 2**63 - 1,
    "boolean": False,
    "double precision": 0.1 + 0.2,
    "timestamptz": datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "jsonb": {"b": [1, 2**53, 0.1, None, True, ""], "a": {"nested": '"\\ 🦊'}, "": []},
}


@pytest.mark.parametrize("values", [VALUES, dict.fromkeys(VALUES)], ids=["values", "nulls"])
def test_a_value_of_any_column_type_is_read_as_it_was_written(runtime, values):
    types = {column.type for projection in ALL for column in projection.columns.values()}
    assert types <= set(VALUES)
    columns = {type_.split()[0]: Column(type_) for type_ in VALUES}
    table = Table(runtime.pool, Projection("every_type", 1, "Is it kept?", by_customer, columns))
    table.create()
    row = {type_.split()[0]: value for type_, value in values.items()} | {"position": 1}
    with table.transaction(Step(0, 1)) as change:
        change.write({Key("acme", ANN): row}, {})
    assert rows_of(table, [Key("acme", ANN)]) == {Key("acme", ANN): row}


def test_two_followers_of_one_projection_never_apply_anything_twice(runtime, world, catch_up):
    """The slower one waits, is turned away, and goes on from where the quicker one came to."""
    catch_up()
    table = runtime.tables["customer_view"]
    expected = dump(runtime, table.projection)
    table.drop()
    table.create()
    turned_away, start = [], threading.Barrier(2)

    def follow():
        start.wait()
        while True:
            try:
                if not advance(runtime.events, table, limit=20):
                    return
            except Moved as moved:
                turned_away.append(str(moved))

    followers = [threading.Thread(target=follow) for _ in range(2)]
    for each in followers:
        each.start()
    for each in followers:
        each.join(30)
    assert dump(runtime, table.projection) == expected


def test_the_second_follower_is_turned_away_and_leaves_no_trace(runtime, world, catch_up):
    catch_up()
    table = runtime.tables["customer_view"]
    at, row = table.position(), dump(runtime, table.projection)
    second = Table(runtime.pool, table.projection)
    with table.transaction(Step(at, at + 1)):
        pass
    with (
        pytest.raises(Moved, match="somebody else follows it"),
        second.transaction(Step(at, at + 1)) as c,
    ):
        c.write({Key("acme", ANN): table.projection.new_row() | {"position": 9}}, {})
    assert table.position() == at + 1
    assert dump(runtime, table.projection) == row


def test_only_the_transaction_of_a_follower_does_not_wait_for_the_disk(runtime):
    table, shown = runtime.tables["customer_view"], "SHOW synchronous_commit"
    with table.transaction(Step(0, 1)) as change:
        assert change._conn.execute(shown).fetchone() == ("off",)
    with runtime.pool.connection() as conn:
        assert conn.execute(shown).fetchone() == ("on",)


def write_and_be_killed(table, rows, upto):
    with table.transaction(Step(0, upto)) as change:
        change.write(rows, {})
        change._conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_rows_and_checkpoint_change_together_or_not_at_all(runtime, world, catch_up):
    """The connection is killed after the rows are written and before they are committed."""
    catch_up()
    for table in runtime.tables.values():
        expected = dump(runtime, table.projection)
        table.drop()
        table.create()

        page = runtime.events.read(0, 50, table.projection.ignores)
        history = [decode(envelope, position) for position, envelope in page.events]
        rows = {Key("acme", key): row for key, row in table.projection.fold(history).items()}
        with pytest.raises(psycopg.OperationalError):
            write_and_be_killed(table, rows, page.upto)
        assert table.position() == 0
        assert dump(runtime, table.projection) == []
        while advance(runtime.events, table):
            pass
        assert dump(runtime, table.projection) == expected


def poison(runtime, stream, version, type_, data):
    """Put an event into the store that this version of the program cannot understand."""
    envelope = {
        "authid": "tests", "causationid": "", "commandid": ANN, "correlationid": ANN,
        "data": data, "id": str(UUID(int=version)), "recordedtime": NOON, "sealed": {},
        "stream": stream, "subject": stream, "tenant": "acme", "time": NOON, "type": type_,
        "version": version,
    }  # fmt: skip
    stored = StoredEvent(stream, version, type_, orjson.dumps(envelope))
    Recorder(runtime.pool, "acme").append([stored], [stream])


@pytest.mark.parametrize(
    ("type_", "data", "reason"),
    [
        ("customer.danced.v1", {"canary@example.org": 1}, "There is no event named"),
        ("customer.tier_assigned.v1", {"tier": ["canary@example.org"]}, "cannot be read: tier"),
        ("customer.tier_assigned.v1", {}, "cannot be read: tier"),
    ],
)
def test_a_poisoned_customer_waits_and_all_others_flow(
    runtime, world, catch_up, type_, data, reason
):
    catch_up()
    table = runtime.tables["customer_view"]
    version = len(runtime.store.load("acme", [ANN])[ANN])
    (before,) = rows_of(table, [Key("acme", ANN)]).values()
    poison(runtime, ANN, version + 1, type_, data)
    poison(runtime, ANN, version + 2, "customer.tier_assigned.v1", {"tier": "after"})
    poison(runtime, UUIDS[1], 1_000, "customer.tier_assigned.v1", {"tier": "flows"})
    with capture_logs() as logs:
        head = catch_up()
    assert table.position() == head
    rows = rows_of(table, [Key("acme", ANN), Key("acme", UUIDS[1])])
    assert rows[Key("acme", ANN)] == before
    assert rows[Key("acme", UUIDS[1])]["tier"] == "flows"
    with runtime.pool.connection() as conn:
        parked = conn.execute(
            "SELECT key, position, type, reason FROM crm.parked WHERE projection = 'customer_view'"
        ).fetchall()
    assert [(key, position, name) for key, position, name, _ in parked] == [(ANN, head - 2, type_)]
    assert reason in parked[0][3]
    told = [line for line in logs if line["event"] == "follower.parked"]
    assert "customer_view_v1" in {line["projection"] for line in told}
    assert "canary" not in f"{parked} {logs}"
