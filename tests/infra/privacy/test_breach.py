"""After a leak: whose data was shown to whom; before sending: who agreed to what."""

import time
from datetime import UTC, datetime, timedelta
from socket import gethostname

import pytest

from commands.command import ByEmail
from commands.customers import GrantConsent, RegisterCustomer, WithdrawConsent
from domain.rejected import Rejected
from infra.access import AccessLog, looking
from infra.privacy.breach import exposed
from infra.privacy.consents import consent, must_consent
from infra.read_models.reader import Reader
from tests.world import NOON, World

ANN, BOB = ByEmail(email="ann@example.org"), ByEmail(email="bob@example.org")


@pytest.fixture
def world(runtime, catch_up):
    world = World(runtime.store)
    for ref in (ANN, BOB):
        world.ask(RegisterCustomer(customer=ref, full_name="Somebody"))
    catch_up()
    return world


def id_of(runtime, ref):
    return runtime.store.owners("acme", [ref.identifier()])[ref.identifier()]


def test_what_a_leaked_key_was_shown_and_nothing_else(runtime, world):
    began, reader = datetime.now(UTC), Reader(runtime)
    with looking("key:leaked", ""):
        reader.customer("acme", id_of(runtime, ANN))
        reader.customer("acme", id_of(runtime, ANN))
    with looking("key:other", ""):
        reader.customers("acme")
    ended, hour = datetime.now(UTC), timedelta(hours=1)
    shown = exposed(runtime.pool, "key:leaked", began, ended + hour)
    assert shown == [("acme", id_of(runtime, ANN), ["contact", "identity"])]
    assert len(exposed(runtime.pool, None, began, ended + hour)) == 2
    assert exposed(runtime.pool, "key:leaked", began - hour, began) == []
    assert exposed(runtime.pool, "key:leaked", ended + hour, ended + 2 * hour) == []
    assert exposed(runtime.pool, "key:unknown", began, ended + hour) == []


def test_a_leaked_host_exposed_what_was_shown_from_there(runtime, world):
    ann, bob, hour = id_of(runtime, ANN), id_of(runtime, BOB), timedelta(hours=1)
    began = datetime.now(UTC) - hour
    for host, customer in (("web-1", ann), ("web-2", bob)):
        AccessLog(runtime.pool, host).note("acme", [(customer, "identity")], 1)

    def shown(host, who=None):
        found = exposed(runtime.pool, who, began, began + 2 * hour, host)
        return [each.customer for each in found]

    assert (shown("web-1"), shown("web-2"), shown("web-3")) == ([ann], [bob], [])
    assert shown("web-1", "key:other") == []
    with looking("cli:alice", ""):
        Reader(runtime).customer("acme", ann)
    assert shown(gethostname()) == [ann]
    with runtime.pool.connection() as conn:  # as it was noted before hosts were
        conn.execute(
            "UPDATE crm.access SET entry = convert_to("
            "(convert_from(entry, 'UTF8')::jsonb - 'host' - 'fields')::text, 'UTF8')"
        )
    assert shown("web-3") == sorted([ann, bob])
    assert runtime.keyring.access.looks("acme", [ann], 1)[0].fields == []


MANY = """
INSERT INTO crm.access (tenant, subjects, entry)
SELECT 'acme', ARRAY[md5((n %% 5000)::text)::uuid], convert_to(json_build_object(
    'at', timestamptz '2026-01-01' + n * interval '1 second', 'who', 'key:' || n %% 10,
    'groups', ARRAY['identity'], 'rows', 1)::text, 'UTF8')
FROM generate_series(1, %s) AS n
"""


@pytest.mark.parametrize("looks", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_the_answer_after_a_leak_takes_less_than_a_minute(runtime, looks):
    with runtime.pool.connection() as conn:
        conn.execute(MANY, [looks])
    began = time.monotonic()
    shown = exposed(runtime.pool, "key:7", NOON - timedelta(days=31), NOON + timedelta(days=31))
    assert time.monotonic() - began < 60
    assert len(shown) == 500


def test_a_consent_is_known_for_any_instant_and_guards_what_is_sent(runtime, world, catch_up):
    days = [NOON - timedelta(days=n) for n in (30, 20, 10)]
    said = {"customer": ANN, "purpose": "news", "channel": "email"}
    for at, command in zip(days, (
        GrantConsent(**said, text_version="v1"), WithdrawConsent(**said),
        GrantConsent(**said, text_version="v2"),
    ), strict=True):  # fmt: skip
        assert world.ask(command, at=at).status == "accepted"
    catch_up()
    ann, hour = id_of(runtime, ANN), timedelta(hours=1)

    def at(instant):
        found = consent(runtime, "acme", ann, "news", "email", at=instant)
        return found.granted, found.text_version

    assert [at(day + hour) for day in days] == [(True, "v1"), (False, None), (True, "v2")]
    assert at(days[0] - hour) == (False, None)
    assert must_consent(runtime, "acme", ann, "news", "email").text_version == "v2"
    world.ask(WithdrawConsent(**said))
    catch_up()
    for customer, purpose, channel in ((ann, "news", "email"), (ann, "news", "phone"),
                                       (id_of(runtime, BOB), "news", "email")):  # fmt: skip
        with pytest.raises(Rejected) as no:
            must_consent(runtime, "acme", customer, purpose, channel)
        assert no.value.code == "consent.missing"
