"""What was known at an instant, what changed, and what a person is given: all of it."""

import random
import re
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from commands.cases import OpenCase
from commands.command import ByEmail, ByExternalId
from commands.customers import CUSTOMER_COMMANDS, ChangeProfile, RegisterCustomer
from commands.leads import CaptureLead, PlanActivity
from domain.catalogue import EVENTS
from domain.personal import GROUPS, personal_fields
from infra.access import looking
from infra.access_bundle import write_bundle
from infra.reader import Reader
from infra.record_of_processing import record
from infra.replay import differences, replay
from projections.catalogue import ALL
from tests.strategies import EVERYDAY, PROLOGUE, UUIDS, command
from tests.world import NOON, World

ANN = ByEmail(email="ann@example.org")
INSTANTS = 300


def test_as_known_at_is_what_was_really_known_then(runtime, catch_up):
    """Snapshots are taken while a story happens, and each is asked for afterwards."""
    chance, world, reader = random.Random(3), World(runtime.store), Reader(runtime)
    taken = {}
    world.ask_all([(asked, "", None) for asked in PROLOGUE])
    for _ in range(INSTANTS // 5):
        world.ask_all([(command(chance, CUSTOMER_COMMANDS), "", None) for _ in range(2)])
        catch_up()
        for id_ in UUIDS[:2]:
            taken[world.now, id_] = reader.customer("acme", id_)
    assert len({orjson.dumps(each) for each in taken.values()}) > 20
    asked = 0
    for (at, id_), snapshot in taken.items():
        for later in (timedelta(0), timedelta(milliseconds=1), timedelta(milliseconds=999)):
            then = replay(reader, "acme", id_, known_at=at + later).customer
            assert then == snapshot
            asked += 1
    assert asked >= INSTANTS


def test_what_changed_between_two_instants_is_told(runtime, catch_up):
    world, reader = World(runtime.store), Reader(runtime)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    first = world.now
    world.ask(ChangeProfile(customer=ANN, full_name="Anna", country="DE"))
    catch_up()
    id_ = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    one = replay(reader, "acme", id_, known_at=first)
    two = replay(reader, "acme", id_, known_at=world.now)
    told = {
        each.what: (each.before, each.after) for each in differences(one.customer, two.customer)
    }
    assert told == {"profile.full_name": ("Ann", "Anna"), "profile.country": (None, "DE")}
    assert [e["type"] for e in two.events[len(one.events) :]] == ["customer.profile_changed.v1"]
    assert replay(reader, "acme", id_, known_at=datetime(2000, 1, 1, tzinfo=UTC)).customer is None


# ---- Access --------------------------------------------------------------------------------------


@pytest.fixture
def everybody(runtime, catch_up):
    """Stories in which everything personal occurs."""
    world, chance = World(runtime.store), random.Random(5)
    thing = ByExternalId(system="desk", id="note")
    asked = [
        *PROLOGUE,
        *(command(chance, EVERYDAY) for _ in range(700)),
        CaptureLead(lead=thing, customer=UUIDS[0], source="web"),
        PlanActivity(lead=thing, activity="a", kind="call", due=NOON, note="call her"),
        OpenCase(case=thing, customer=UUIDS[0], channel="email", title="broken"),
    ]
    world.ask_all([(each, "", None) for each in asked])
    catch_up()
    with runtime.pool.connection() as conn:
        return [s for (s,) in conn.execute("SELECT DISTINCT subject::text FROM crm.event")]


def test_every_personal_field_of_every_event_is_in_the_bundle(runtime, everybody, tmp_path):
    count = write_bundle(runtime, "acme", everybody, tmp_path / "all", "cli:dpo")
    lines = (tmp_path / "all/events.jsonl").read_bytes().splitlines()
    events = [*map(orjson.loads, lines)]
    assert len(events) == count
    given = {(e["type"], field) for e in events for field, held in e["data"].items()
             if held not in (None, "", {}) and "redacted" not in str(held)}  # fmt: skip
    happened = {event["type"] for event in events}
    wanted = {(name, field) for name in happened for field in EVENTS[name].personal}
    assert len(wanted) >= 10
    assert wanted - given == set()
    schemas = orjson.loads((tmp_path / "all/schemas.json").read_bytes())
    assert schemas.keys() == happened
    for event in events:
        EVENTS[event["type"]].model_validate(event["data"])  # it can be read in again


def test_the_bundle_tells_every_look_but_not_by_whom(runtime, catch_up, tmp_path):
    World(runtime.store).ask(RegisterCustomer(customer=ANN, full_name="Ann <b>"))
    catch_up()
    id_ = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    with looking("cli:max", "complaint 9"):
        Reader(runtime).customer("acme", id_)
    write_bundle(runtime, "acme", [id_], tmp_path / "ann", "cli:dpo")
    (look,) = map(orjson.loads, (tmp_path / "ann/looks.jsonl").read_bytes().splitlines())
    assert (look["purpose"], look["who"]) == ("complaint 9", "not told")
    page = (tmp_path / "ann/index.html").read_text()
    assert "Ann &lt;b&gt;" in page
    assert "complaint 9" in page
    assert "cli:max" not in page
    latest = runtime.keyring.access.looks("acme", [id_], 1)[0]
    assert (latest.who, latest.purpose) == ("cli:dpo", "access request of the customer")


# ---- The record of processing --------------------------------------------------------------------


def test_the_record_of_processing_names_every_personal_field_and_every_read_model():
    told = record()
    for name, event in EVENTS.items():
        assert personal_fields(event) == event.personal
        for field, group in event.personal.items():
            assert re.search(rf"^\| {group} \| `{re.escape(name)}` \|.*`{field}`", told, re.M)
    for projection in ALL:
        assert f"`{projection.name}` | {projection.question}" in told
    assert set(re.findall(r"^\| (\w+) \| `\w+\.", told, re.M)) <= set(GROUPS)
