"""What was known at an instant, what changed, and what a person is given: all of it."""

import random
import re
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from commands.cases import OpenCase
from commands.command import ByEmail, ByExternalId
from commands.customers import (
    CUSTOMER_COMMANDS,
    ChangeProfile,
    MergeCustomer,
    RegisterCustomer,
    UnmergeCustomer,
)
from commands.leads import CaptureLead, PlanActivity
from consumers.follow import advance
from domain.catalogue import EVENTS
from domain.personal import GROUPS, personal_fields
from domain.rejected import Rejected
from infra.access import looking
from infra.audit.replay import TOLD_IN, Instants, channel_of, replay
from infra.privacy.access_bundle import write_bundle
from infra.privacy.record_of_processing import record
from infra.read_models.reader import Reader
from infra.store.sequencing import Sequencing
from projections.catalogue import ALL
from tests.strategies import EVERYDAY, PROLOGUE, UUIDS, command
from tests.world import NOON, World

ANN = ByEmail(email="ann@example.org")
INSTANTS = 300


def test_as_known_at_is_what_was_really_known_then(runtime):
    """Snapshots are taken at random instants of a story, and each is asked for afterwards."""
    chance, world, reader = random.Random(3), World(runtime.store), Reader(runtime)
    sequencing, view = Sequencing(runtime.pool, "test", 60), runtime.tables["customer_view"]
    taken = []
    world.ask_all([(asked, "", None) for asked in PROLOGUE])
    while len(taken) < INSTANTS:
        world.ask_all([(command(chance, CUSTOMER_COMMANDS), "", None) for _ in range(3)])
        sequencing.run_once()
        while advance(runtime.events, view):
            pass
        id_ = chance.choice(UUIDS[:2])
        snapshot = reader.customer("acme", id_)
        for _ in range(3):  # the next events come a second later
            within = timedelta(microseconds=chance.randrange(1_000_000))
            taken.append((world.now + within, id_, snapshot))
    assert len({at for at, _, _ in taken}) >= INSTANTS
    assert len({orjson.dumps(snapshot) for _, _, snapshot in taken}) > 20
    chance.shuffle(taken)
    for at, id_, snapshot in taken:
        assert replay(runtime, "acme", id_, Instants(known=at), limit=1).customer == snapshot


def test_the_instant_itself_counts_and_the_one_before_does_not(runtime, catch_up):
    world = World(runtime.store)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    catch_up()
    id_ = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    assert replay(runtime, "acme", id_, Instants(known=world.now)).customer
    just_before = Instants(known=world.now - timedelta(microseconds=1))
    assert replay(runtime, "acme", id_, just_before).customer is None


def test_what_changed_between_two_instants_is_told(runtime, catch_up):
    world = World(runtime.store)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    first = world.now
    world.ask(ChangeProfile(customer=ANN, full_name="Anna", country="DE"))
    catch_up()
    id_ = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    found = replay(runtime, "acme", id_, Instants(known=first), world.now)
    told = {each.what: (each.before, each.after) for each in found.differences}
    assert told == {"profile.full_name": ("Ann", "Anna"), "profile.country": (None, "DE")}
    since = [(event["type"], event["authid"]) for event in found.events if event["since"]]
    assert since == [("customer.profile_changed.v1", "tests")]
    assert replay(runtime, "acme", id_, Instants(datetime(2000, 1, 1, tzinfo=UTC))).events == []
    for then, until in ((Instants(), None), (Instants(known=world.now), first)):
        with pytest.raises(Rejected, match="instant"):
            replay(runtime, "acme", id_, then, until)


def test_both_times_are_asked_of_both_instants(runtime, catch_up):
    """Something told late is known later, and had happened before: the later state has it, too."""
    world = World(runtime.store)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"), at=NOON - timedelta(days=9))
    world.ask(ChangeProfile(customer=ANN, full_name="Bea"))
    first = world.now
    world.ask(ChangeProfile(customer=ANN, country="DE"), at=NOON - timedelta(days=3))
    catch_up()
    id_ = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    then = Instants(known=first, effective=NOON - timedelta(days=2))
    found = replay(runtime, "acme", id_, then, world.now)
    assert found.customer["profile"] == {"full_name": "Ann"}  # Bea only two days later
    assert [tuple(each) for each in found.differences] == [("profile.country", None, "DE")]


def test_only_what_was_one_customer_then_is_told(runtime, catch_up):
    world, bob = World(runtime.store), ByEmail(email="bob@example.org")
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    world.ask(RegisterCustomer(customer=bob, full_name="Bob"))
    apart = world.now
    world.ask(MergeCustomer(customer=bob, into=ANN, reason="same"))
    merged = world.now
    owners = runtime.store.owners("acme", [ANN.identifier(), bob.identifier()])
    id_ = owners[ANN.identifier()]
    world.ask(UnmergeCustomer(customer=owners[bob.identifier()], reason="not the same"))
    catch_up()
    names = {
        at: {event["data"].get("full_name") for event in told} - {None}
        for at in (apart, merged, world.now)
        for told in [replay(runtime, "acme", id_, Instants(known=at)).events]
    }
    assert names == {apart: {"Ann"}, merged: {"Ann", "Bob"}, world.now: {"Ann"}}


def test_the_channel_is_what_the_event_says_or_where_it_came_in():
    for name, field in TOLD_IN.items():
        assert field in EVENTS[name].model_fields
    case = {"type": "case.opened.v1", "authid": "key:1", "data": {"channel": "email"}}
    assert channel_of(case) == "email"
    for authid, told in (("key:1", "http"), ("cli:ann", "command line"), ("kafka:crm.in", "kafka"),
                         ("timers", "timers")):  # fmt: skip
        event = {"type": "case.closed.v1", "authid": authid, "data": {"channel": "x"}}
        assert channel_of(event) == told


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
