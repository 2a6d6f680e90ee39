"""What every event store promises to the write path: the one in memory and the real one alike."""

import os
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from commands.customers import RecordPurchase
from commands.ports import Answer, Batch, Kept, StaleStream
from domain.customer import CustomerRegistered, ProfileChanged, TierAssigned
from domain.events import Recorded
from domain.values import email, external_id
from infra.runtime import open_runtime
from infra.settings import Settings
from tests.world import NOON, MemoryStore

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
COMMAND = "c0000000-0000-0000-0000-000000000000"
REGISTERED = CustomerRegistered(kind="person", stage="stranger", channel="web")
TIER = TierAssigned(tier="gold")
MAIL = email("ann@example.org")


@pytest.fixture(scope="module")
def one_runtime(server_url, tmp_path_factory):
    """One database for all these tests: making one takes longer than the tests."""
    name = f"crm_test_contract_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        url = make_conninfo(server_url, dbname=name)
        settings = Settings(database_url=url, directory=tmp_path_factory.mktemp("crm"))
        with open_runtime(settings) as opened:
            yield opened
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["memory", "postgres"])
def store(request):
    if request.param == "memory":
        return MemoryStore()
    runtime = request.getfixturevalue("one_runtime")
    with runtime.pool.connection() as conn:
        conn.execute("TRUNCATE crm.event, crm.pending, crm.command, crm.identifier")
    return runtime.store


def recorded(stream, version, event, tenant="acme"):
    return Recorded(
        event, f"e{version:07}-0000-7000-8000-{stream[-12:]}", tenant, stream, version, event.name,
        stream, NOON - timedelta(days=1), NOON, "tests", COMMAND, COMMAND, "", {},
    )  # fmt: skip


def batch(*events, tenant="acme", **more):
    return Batch(tenant, list(events), **more)


def test_what_was_appended_is_loaded_in_order_and_open(store):
    profile = ProfileChanged(full_name="Ann Lee", attributes={"size": "M"})
    events = [recorded(ANN, 1, REGISTERED), recorded(ANN, 2, profile), recorded(BOB, 1, REGISTERED)]
    store.append(batch(*events))
    loaded = store.load("acme", [ANN, BOB, COMMAND])
    assert set(loaded) == {ANN, BOB}
    assert [r.event for r in loaded[ANN]] == [REGISTERED, profile]
    assert [r._replace(sealed={}) for r in loaded[ANN]] == events[:2]


def test_a_version_is_taken_once_and_then_nothing_of_the_batch_is_kept(store):
    store.append(batch(recorded(ANN, 1, REGISTERED)))
    answer = {COMMAND: Answer(b"x", ())}
    late = batch(
        recorded(BOB, 1, REGISTERED), recorded(ANN, 1, TIER), answers=answer, owners={MAIL: BOB}
    )
    with pytest.raises(StaleStream):
        store.append(late)
    assert store.load("acme", [BOB]) == {}
    assert store.answers("acme", [COMMAND]) == {}
    assert store.owners("acme", [MAIL]) == {}


def test_a_command_is_answered_once(store):
    kept = Kept("e0000000-0000-7000-8000-000000000000", REGISTERED.name, ANN, 1)
    first = Answer(b"fingerprint", (kept,))
    token = store.append(batch(recorded(ANN, 1, REGISTERED), answers={COMMAND: first}))
    assert store.answers("acme", [COMMAND, ANN]) == {COMMAND: first._replace(token=token)}
    with pytest.raises(StaleStream):
        store.append(batch(recorded(ANN, 2, TIER), answers={COMMAND: Answer(b"other", ())}))
    assert len(store.load("acme", [ANN])[ANN]) == 1


def test_a_command_that_changes_nothing_is_answered_too(store):
    token = store.append(batch(answers={COMMAND: Answer(b"x", ())}))
    assert token == 0
    assert store.answers("acme", [COMMAND]) == {COMMAND: Answer(b"x", ())}


def test_an_identifier_leads_to_one_customer_until_it_is_released(store):
    store.append(batch(recorded(ANN, 1, REGISTERED), owners={MAIL: ANN}))
    with pytest.raises(StaleStream):
        store.append(batch(recorded(BOB, 1, REGISTERED), owners={MAIL: BOB}))
    assert store.owners("acme", [MAIL, external_id("shop", "1")]) == {MAIL: ANN}
    was_anns = {MAIL: ANN}
    store.append(batch(recorded(ANN, 2, TIER), owners={MAIL: None}, owners_before=was_anns))
    assert store.owners("acme", [MAIL]) == {}
    store.append(batch(recorded(BOB, 1, REGISTERED), owners={MAIL: BOB}))
    assert store.owners("acme", [MAIL]) == {MAIL: BOB}
    moved = batch(recorded(BOB, 2, TIER), owners={MAIL: ANN}, owners_before={MAIL: BOB})
    store.append(moved)
    assert store.owners("acme", [MAIL]) == {MAIL: ANN}


def test_nothing_of_one_tenant_is_seen_by_another(store):
    answer = {COMMAND: Answer(b"x", ())}
    store.append(batch(recorded(ANN, 1, REGISTERED), owners={MAIL: ANN}, answers=answer))
    assert store.load("other", [ANN]) == {}
    assert store.owners("other", [MAIL]) == {}
    assert store.answers("other", [COMMAND]) == {}
    assert store.subjects("other", [ANN]) == {}
    mine = recorded(ANN, 1, REGISTERED, tenant="other")
    store.append(batch(mine, tenant="other", owners={MAIL: ANN}, answers=answer))
    assert set(store.load("other", [ANN])) == {ANN}


def test_a_stream_is_about_the_subject_of_its_first_event(store):
    store.append(
        batch(recorded(ANN, 1, REGISTERED), recorded(BOB, 1, REGISTERED)._replace(subject=ANN))
    )
    assert store.subjects("acme", [ANN, BOB, COMMAND]) == {ANN: ANN, BOB: ANN}


def test_two_commands_have_one_fingerprint_if_they_ask_the_same(store):
    def bought(amount):
        return RecordPurchase(customer=ANN, amount={"amount": amount, "currency": "EUR"})

    assert store.fingerprint("acme", bought(1)) == store.fingerprint("acme", bought(1))
    assert store.fingerprint("acme", bought(1)) != store.fingerprint("acme", bought(2))
    assert store.fingerprint("acme", bought(1)) != store.fingerprint("other", bought(1))


def test_the_token_of_facts_is_that_of_the_newest(store):
    tokens = [store.append(batch(recorded(each, 1, REGISTERED))) for each in (ANN, BOB)]
    assert [store.token("acme", each) for each in ([ANN], [BOB], [BOB, ANN])] == [
        *tokens,
        tokens[1],
    ]
    assert store.token("acme", [COMMAND]) == store.token("other", [ANN]) == 0


def test_the_token_grows_with_every_append(store):
    tokens = [store.append(batch(recorded(ANN, n, TIER))) for n in (1, 2, 3)]
    assert tokens == sorted(set(tokens))
    assert tokens[0] > 0


def test_there_is_a_sales_pipeline_to_begin_with(store):
    sales = store.pipelines("acme")["sales"]
    assert sales.stages[0].name == "new"
    assert all(0 <= stage.probability <= 100 for stage in sales.stages)
