"""Every look at personal data is noted: who, when, why, at whom; and nobody can alter it."""

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from api.http import create_app
from commands.command import ByEmail
from commands.customers import RecordPurchase, RegisterCustomer
from infra.access import looking
from infra.api_keys import ApiKeys
from infra.audit.tree import ACCESS
from infra.read_models.reader import Reader
from tests.world import World

ANN, BOB = ByEmail(email="ann@example.org"), ByEmail(email="bob@example.org")


@pytest.fixture
def ids(runtime, catch_up):
    world = World(runtime.store)
    for ref in (ANN, BOB):
        world.ask(RegisterCustomer(customer=ref, full_name="Somebody"))
        world.ask(RecordPurchase(customer=ref, amount={"amount": 1, "currency": "EUR"}))
    catch_up()
    assert looks(runtime, "0" * 8 + "-0000-0000-0000-000000000000") == []
    return [runtime.store.owners("acme", [r.identifier()])[r.identifier()] for r in (ANN, BOB)]


def looks(runtime, id_):
    return runtime.keyring.access.looks("acme", [id_], 100)


def test_a_look_is_noted_with_who_why_and_what(runtime, ids):
    ann, bob = ids
    with looking("cli:alice", "support call"):
        Reader(runtime).customer("acme", ann)
    (look,) = looks(runtime, ann)
    assert (look.who, look.purpose, look.rows) == ("cli:alice", "support call", 1)
    assert look.groups == ["contact", "identity"]
    assert look.fields == ["full_name", "value"]
    assert datetime.now(UTC) - look.at < timedelta(minutes=1)
    assert looks(runtime, bob) == []
    assert runtime.keyring.access.looks("other", [ann], 100) == []


def test_every_way_of_reading_leaves_a_look(runtime, ids):
    ann, bob = ids
    reader = Reader(runtime)
    for read in (
        lambda: reader.customer("acme", ann),
        lambda: reader.customer("acme", ann, recorded_at=datetime.now(UTC)),
        lambda: reader.customers("acme"),
        lambda: reader.customer_known_by("acme", ANN.identifier()),
        lambda: reader.history("acme", ann),
        lambda: reader.changes("acme", "customer_view"),
    ):
        before = len(looks(runtime, ann))
        read()
        assert len(looks(runtime, ann)) == before + 1
    assert len(looks(runtime, bob)) == 2  # in the list and in the feed
    reader.pipeline_summary("acme")
    reader.history("acme", bob, types=["customer.purchase_recorded.v1"])
    assert len(looks(runtime, bob)) == 2  # nothing personal was shown


def test_over_http_the_key_says_who_and_a_header_why(runtime, ids):
    key = ApiKeys(runtime.pool).create("acme", "read")
    headers = {"authorization": f"Bearer {key}", "x-purpose": "complaint 7"}
    with TestClient(create_app(runtime)) as client:
        assert client.get(f"/v1/customers/{ids[0]}", headers=headers).status_code == 200
        del headers["x-purpose"]
        assert client.get(f"/v1/customers/{ids[0]}", headers=headers).status_code == 200
    last, first = looks(runtime, ids[0])
    assert first.who == f"key:{key.split('_')[1]}"
    assert (first.purpose, last.purpose) == ("complaint 7", "not stated")


def test_the_access_log_has_a_tree_of_its_own_and_alterations_are_found(runtime, ids):
    for _ in range(3):
        Reader(runtime).customer("acme", ids[0])
        runtime.audit.checkpoint()
    assert runtime.audit.verify(ACCESS).findings == []
    assert runtime.audit.verify(ACCESS).witnessed == 3
    assert [look.position for look in looks(runtime, ids[0])] == [3, 2, 1]
    second = "seq = (SELECT seq FROM crm.access_log WHERE position = 2)"
    for change in (
        f"UPDATE crm.access SET entry = overlay(entry PLACING 'x' FROM 20) WHERE {second}",
        f"DELETE FROM crm.access WHERE {second}",
        "DELETE FROM crm.access_log WHERE position = 2",
        f"UPDATE crm.access SET subjects = '{{}}' WHERE {second}",
    ):
        with runtime.pool.connection() as conn, conn.transaction(force_rollback=True):
            conn.execute(change)
            found = runtime.audit.verify_on(conn, ACCESS)
            assert found.first_bad == 2, change
