"""The write path on a real PostgreSQL: many at once, sent again, or broken off half-way."""

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import uuid4

import psycopg
import pytest

from commands.command import ByEmail, ByExternalId, Command
from commands.customers import (
    AddIdentifier,
    AssignTier,
    ChangeStage,
    MergeCustomer,
    RegisterCustomer,
    RemoveIdentifier,
)
from commands.execute import ATTEMPTS_MAX, execute
from commands.interactions import RecordInteraction
from commands.ports import Batch, Busy, Request, StaleStream, Verdict, Who
from commands.session import Session
from domain.customer import Customer
from domain.values import email
from infra.database import Conn, connect
from infra.runtime import Runtime
from infra.store.event_store import ANSWERS, LOAD, OWNERS, SUBJECTS, PostgresEventStore

ME = Who("test", "tester")
MANY = 8
T = TypeVar("T")


def request(command: Command, commandid: str = "") -> Request:
    return Request(command, commandid or str(uuid4()))


def ask(runtime: Runtime, *commands: Command) -> list[Verdict]:
    return execute([request(command) for command in commands], ME, runtime.ports)


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Call all of these at the same moment; gives what they gave, or raises what one raised."""
    begin = threading.Barrier(len(calls))

    def after_all_are_here(call: Callable[[], T]) -> T:
        begin.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(after_all_are_here, calls))


def registered(runtime: Runtime, address: str = "") -> str:
    ref = ByEmail(email=address or f"{uuid4()}@example.org")
    (verdict,) = ask(runtime, RegisterCustomer(customer=ref))
    return verdict.events[0].stream


def state(runtime: Runtime, customer: str) -> Customer:
    """Fold a customer's events."""
    found = Session(ME, runtime.ports, []).stream(customer).state
    assert isinstance(found, Customer)
    return found


def owner(runtime: Runtime, address: str) -> str | None:
    return runtime.store.owners(ME.tenant, [email(address)]).get(email(address))


def count(runtime: Runtime, query: str) -> int:
    with runtime.pool.connection() as conn:
        row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def events(runtime: Runtime) -> int:
    return count(runtime, "SELECT count(*) FROM crm.event")


# ---- Many at once --------------------------------------------------------------------------------


def test_a_command_sent_by_many_at_once_has_one_answer(runtime: Runtime) -> None:
    for _ in range(5):
        asked = request(RegisterCustomer(customer=ByEmail(email=f"{uuid4()}@example.org")))
        before = events(runtime)
        answers = at_once([lambda r=asked: execute([r], ME, runtime.ports)[0]] * MANY)
        assert sorted(a.status for a in answers) == ["accepted"] + ["duplicate"] * (MANY - 1)
        assert {(a.events, a.token) for a in answers} == {(answers[0].events, answers[0].token)}
        assert events(runtime) == before + 2


def test_a_message_sent_by_many_at_once_is_kept_once(runtime: Runtime) -> None:
    customer = registered(runtime)
    for number in range(5):
        said = RecordInteraction(customer=customer, channel="chat", kind="message", message="Hi")
        asked = request(said)
        answers = at_once([lambda r=asked: execute([r], ME, runtime.ports)[0]] * MANY)
        assert sorted(a.status for a in answers) == ["accepted"] + ["duplicate"] * (MANY - 1)
        assert len({a.events for a in answers}) == 1
        assert events(runtime) == 2 + number + 1


def test_messages_that_come_at_once_are_each_kept_under_their_own_token(runtime: Runtime) -> None:
    """They share transactions, whoever sends them; one of them was here before."""
    customer = registered(runtime)
    said = [RecordInteraction(customer=customer, channel=f"c{n}", kind="visit") for n in range(60)]
    (before,) = ask(runtime, said[0])
    asked = [request(each) for each in said[1:]]
    asked.append(request(said[0], before.events[0].stream))
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda r: execute([r], ME, runtime.ports)[0], asked))
    assert [v.status for v in answers] == ["accepted"] * 59 + ["duplicate"]
    with runtime.pool.connection() as conn:
        stored = dict(conn.execute("SELECT stream, seq FROM crm.event").fetchall())
    assert [stored[v.events[0].stream] for v in answers[:59]] == [v.token for v in answers[:59]]


def test_channels_that_meet_a_customer_at_once_meet_one(runtime: Runtime) -> None:
    for number in range(5):
        ref = ByEmail(email=f"new-{number}@example.org")
        said = [RecordInteraction(customer=ref, channel=f"c{n}", kind="visit") for n in range(MANY)]
        answers = at_once([lambda c=c: ask(runtime, c)[0] for c in said])
        assert all(a.status == "accepted" for a in answers)
        query = "SELECT count(*) FROM crm.event WHERE type = 'customer.registered.v1'"
        assert count(runtime, query) == number + 1
    assert count(runtime, "SELECT count(DISTINCT subject) FROM crm.event") == 5


def test_merges_that_cross_never_make_a_cycle(runtime: Runtime) -> None:
    for _ in range(10):
        a, b = registered(runtime), registered(runtime)
        both = [
            MergeCustomer(customer=a, into=b, reason="same person"),
            MergeCustomer(customer=b, into=a, reason="same person"),
        ]
        answers = at_once([lambda c=c: ask(runtime, c)[0] for c in both])
        assert sorted(v.status for v in answers) == ["accepted", "rejected"]
        assert {state(runtime, a).merged_into, state(runtime, b).merged_into} in (
            {None, a},
            {None, b},
        )


def test_a_batch_that_meets_a_deadlock_is_decided_again(runtime: Runtime) -> None:
    """Two transactions write the same two customers in opposite order; the server ends one."""
    one, other = registered(runtime), registered(runtime)
    changes = [ChangeStage(customer=customer, stage="friend") for customer in (one, other)]
    with (
        connect(str(runtime.settings.database_url)) as conn,
        ThreadPoolExecutor(1) as thread,
        conn.transaction(force_rollback=True),
    ):
        occupy(conn, other)
        asking = thread.submit(ask, runtime, *changes)
        occupy(conn, one, after=ONCE_AWAITED)
    assert [verdict.status for verdict in asking.result()] == ["accepted", "accepted"]
    wait_until(lambda: count(runtime, DEADLOCKS) == 1)  # the server tells it a little later


# By the server itself: who waits first looks for a deadlock a second later, once, and must find it.
ONCE_AWAITED = """
DO $$ BEGIN
    WHILE NOT EXISTS (
        SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
    ) LOOP PERFORM pg_sleep(0.01); END LOOP;
END $$;
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def occupy(conn: Conn, customer: str, after: str = "") -> None:
    """Take the next version of a customer, after another statement."""
    query = """
        INSERT INTO crm.event (tenant, stream, version, type, subject, envelope)
        VALUES (%s, %s, 3, 'test.v1', %s, '')
    """
    psycopg.ClientCursor(conn).execute(after + query, [ME.tenant, customer, customer])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_busy_is_said_after_a_bounded_number_of_attempts(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    def always_too_late(_: object) -> int:
        nonlocal attempts
        attempts += 1
        raise StaleStream

    monkeypatch.setattr("infra.store.recorder.Recorder.append", lambda *_: always_too_late(_))
    monkeypatch.setattr("commands.execute.PAUSE_MAX_SECONDS", 0)
    with pytest.raises(Busy, match="send again"):
        ask(runtime, RegisterCustomer(customer=ByEmail(email="ada@example.org")))
    assert attempts == ATTEMPTS_MAX


def test_everybody_gets_through_a_crowd_at_one_customer(runtime: Runtime) -> None:
    customer = registered(runtime)
    calls = [
        lambda n=n: ask(runtime, AssignTier(customer=customer, tier=f"t{n}")) for n in range(6)
    ]
    assert all(verdict.status == "accepted" for (verdict,) in at_once(calls))
    assert count(runtime, "SELECT count(*) FROM crm.event WHERE type LIKE '%tier%'") == 6


# ---- Sent again ----------------------------------------------------------------------------------


def test_an_id_belongs_to_one_request_of_any_kind(runtime: Runtime) -> None:
    customer, fact_first, command_first, in_batch = (
        registered(runtime),
        *(str(uuid4()) for _ in "123"),
    )
    said = RecordInteraction(customer=customer, channel="chat", kind="message")
    tier = AssignTier(customer=customer, tier="gold")

    def send(*sent: tuple[Command, str]) -> list[str]:
        return [v.status for v in execute([Request(*each) for each in sent], ME, runtime.ports)]

    assert send((said, fact_first)) + send((tier, fact_first)) == ["accepted", "conflict"]
    assert send((tier, command_first)) + send((said, command_first)) == ["accepted", "conflict"]
    assert send((said, in_batch), (tier, in_batch)) == ["accepted", "conflict"]


def test_a_duplicate_within_a_batch_gets_the_same_answer(runtime: Runtime) -> None:
    registering = request(RegisterCustomer(customer=ByEmail(email="ada@example.org")))
    said = request(
        RecordInteraction(customer=ByEmail(email="bo@example.org"), channel="chat", kind="visit")
    )
    first, fact, second, fact_again = execute(
        [registering, said, registering, said], ME, runtime.ports
    )
    assert (second.status, second.events, second.token) == ("duplicate", first.events, first.token)
    assert (fact_again.status, fact_again.events) == ("duplicate", fact.events[-1:])
    assert fact_again.token == fact.token > 0


def test_a_message_sent_again_meets_nobody_new(runtime: Runtime) -> None:
    """Even when the identifier it came with leads to nobody by now."""
    ref = ByEmail(email="ada@example.org")
    said = request(RecordInteraction(customer=ref, channel="chat", kind="message", message="Hi"))
    (first,) = execute([said], ME, runtime.ports)
    ask(runtime, RemoveIdentifier(customer=ref, identifier=ref))
    before = events(runtime)
    (again,) = execute([said], ME, runtime.ports)
    assert (again.status, again.events) == ("duplicate", first.events[-1:])
    assert events(runtime) == before


# ---- Identifiers ---------------------------------------------------------------------------------


@pytest.fixture
def appends(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Every batch that is appended: one that cannot be kept whole is tried again in parts."""
    tried: list[Batch] = []
    append = type(runtime.store).append

    def tell(store: PostgresEventStore, batch: Batch) -> int:
        tried.append(batch)
        return append(store, batch)

    monkeypatch.setattr(PostgresEventStore, "append", tell)
    return tried


def test_an_identifier_moves_between_customers_in_one_batch(
    runtime: Runtime, appends: list[Batch]
) -> None:
    a, b = registered(runtime, "ada@example.org"), registered(runtime)
    ref = ByEmail(email="ada@example.org")
    remove = RemoveIdentifier(customer=a, identifier=ref)
    answers = ask(runtime, remove, AddIdentifier(customer=b, identifier=ref))
    assert [v.status for v in answers] == ["accepted", "accepted"]
    assert owner(runtime, "ada@example.org") == b
    assert len(appends) == 3


def test_an_identifier_removed_and_added_again_in_one_batch_stays(
    runtime: Runtime, appends: list[Batch]
) -> None:
    a, ref = registered(runtime, "ada@example.org"), ByEmail(email="ada@example.org")
    remove = RemoveIdentifier(customer=a, identifier=ref)
    answers = ask(runtime, remove, AddIdentifier(customer=a, identifier=ref))
    assert [v.status for v in answers] == ["accepted", "accepted"]
    assert owner(runtime, "ada@example.org") == a
    assert len(appends) == 2


def test_an_identifier_added_and_removed_in_one_batch_leads_nowhere(runtime: Runtime) -> None:
    a, ref = registered(runtime), ByExternalId(system="shop", id="1")
    add, remove = (kind(customer=a, identifier=ref) for kind in (AddIdentifier, RemoveIdentifier))
    assert [v.status for v in ask(runtime, add, remove)] == ["accepted", "accepted"]
    assert runtime.store.owners(ME.tenant, [ref.identifier()]) == {}


def test_an_identifier_wanted_by_two_at_once_goes_to_one(runtime: Runtime) -> None:
    for number in range(5):
        a, b = registered(runtime), registered(runtime)
        ref = ByEmail(email=f"wanted-{number}@example.org")
        both = [AddIdentifier(customer=customer, identifier=ref) for customer in (a, b)]
        answers = at_once([lambda c=c: ask(runtime, c)[0] for c in both])
        assert sorted(v.status for v in answers) == ["accepted", "rejected"]
        assert owner(runtime, f"wanted-{number}@example.org") in (a, b)


# ---- Looking up ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "index", "wanted"),
    [
        (LOAD, "event_tenant_stream_version_key", [str(uuid4())]),
        (SUBJECTS, "event_tenant_stream_version_key", [str(uuid4())]),
        (ANSWERS, "command_pkey", [str(uuid4())]),
        (OWNERS, "identifier_pkey", [b"digest"]),
    ],
)
def test_a_plan_made_while_nothing_is_known_of_a_table_serves_when_it_is_large(
    database_url: str, query: str, index: str, wanted: list[object]
) -> None:
    """Plans are kept: one for a small table would compare all rows with all that is wanted."""
    with connect(database_url) as conn:
        conn.execute("SET plan_cache_mode = force_generic_plan")
        arguments = {"tenant": ME.tenant, "wanted": wanted}
        plan = "\n".join(line for (line,) in conn.execute(f"EXPLAIN {query}", arguments))
    assert re.search(rf"Index.* Scan using {index} .*\n +Index Cond: .*tenant.* AND", plan), plan
    assert "Filter" not in plan


# ---- Broken off half-way -------------------------------------------------------------------------

TABLES = ("event", "pending", "command", "identifier")
FAULT = """
CREATE FUNCTION crm.fault() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'the disk is full' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER fault {when} INSERT OR UPDATE OR DELETE ON crm.{table}
FOR EACH {each} EXECUTE FUNCTION crm.fault()
"""


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("when", "each"), [("BEFORE", "STATEMENT"), ("AFTER", "ROW")])
def test_all_of_an_append_is_kept_or_nothing(
    runtime: Runtime, table: str, when: str, each: str
) -> None:
    """A fault at any of the tables that an append writes, before or after its rows."""
    asked = request(RegisterCustomer(customer=ByEmail(email="ada@example.org")))
    with runtime.pool.connection() as conn:
        conn.execute(FAULT.format(table=table, when=when, each=each))
    with pytest.raises(psycopg.errors.DiskFull):
        execute([asked], ME, runtime.ports)
    assert [count(runtime, f"SELECT count(*) FROM crm.{each}") for each in TABLES] == [0, 0, 0, 0]
    with runtime.pool.connection() as conn:
        conn.execute(f"DROP TRIGGER fault ON crm.{table}")
    assert execute([asked], ME, runtime.ports)[0].status == "accepted"
    assert [count(runtime, f"SELECT count(*) FROM crm.{each}") for each in TABLES] == [2, 2, 1, 1]


def test_a_seal_that_was_broken_stops_its_customer_and_nobody_else(runtime: Runtime) -> None:
    ann, bob = registered(runtime), registered(runtime)
    with runtime.pool.connection() as conn:
        found = conn.execute("SELECT seq, envelope FROM crm.event WHERE stream = %s", [ann])
        sealed = [(seq, envelope) for seq, envelope in found if b'"sealed":{}' not in envelope]
        for seq, envelope in sealed:
            at = envelope.index(b'"sealed"') + 90
            altered = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
            conn.execute("UPDATE crm.event SET envelope = %s WHERE seq = %s", [altered, seq])
    assert sealed
    verdicts = ask(runtime, *(AssignTier(customer=who, tier="gold") for who in (ann, bob)))
    assert [verdict.code for verdict in verdicts] == ["stream.unreadable", ""]
    assert "block" in verdicts[0].sentence
