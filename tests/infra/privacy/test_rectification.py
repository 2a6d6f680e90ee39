"""Rectification: what is right is shown everywhere, and what was wrong to auditors alone."""

from datetime import UTC, datetime

import orjson
import pytest

from commands.command import ByEmail, ByExternalId
from commands.customers import MergeCustomer, RegisterCustomer
from commands.interactions import RecordInteraction
from commands.ports import Who
from domain.rejected import Rejected
from infra.audit.replay import Instants, replay
from infra.privacy.rectification import rectify, rectify_event
from infra.privacy.requests import open_request, requests
from infra.read_models.reader import Reader
from tests.world import World

ANN, OTHER = ByEmail(email="ann@example.org"), ByExternalId(system="shop", id="7")
OFFICER = Who("acme", "cli:officer")
LATER = datetime(2999, 1, 1, tzinfo=UTC)
HIDDEN = {"redacted": "rectified"}


@pytest.fixture
def ann(runtime, catch_up):
    """Ann, whose name was told wrong by two channels that were merged."""
    world = World(runtime.store)
    for command in (
        RegisterCustomer(customer=ANN, full_name="Wronge Canary", language="en"),
        RegisterCustomer(customer=OTHER, full_name="Wrongest Canary"),
        MergeCustomer(customer=OTHER, into=ANN, reason="same"),
        RecordInteraction(customer=ANN, channel="web", kind="v", message="Wrong words"),
        RecordInteraction(customer=ANN, channel="web", kind="v", message="other words"),
    ):
        assert world.ask(command).status == "accepted"
    catch_up()
    return runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]


def told(value):
    return orjson.dumps(value, default=str).decode()


def test_the_right_name_is_shown_and_the_wrong_ones_only_to_auditors(runtime, ann, catch_up):
    reader, asked = Reader(runtime), open_request(runtime, OFFICER, ann, "rectification")
    assert rectify(runtime, OFFICER, ann, "typo", field="full_name", value="Ann Right") == 2
    catch_up()
    shown = [
        reader.customer("acme", ann),
        reader.history("acme", ann, limit=99).items,
        reader.changes("acme", "customer_view").items[-1],
        reader.customers("acme").items,
    ]
    assert "Wronge" not in told(shown)
    assert shown[0]["profile"] == {"full_name": "Ann Right", "language": "en"}
    profiles = [e["data"] for e in shown[1] if e["type"] == "customer.profile_changed.v1"]
    assert [data["full_name"] for data in profiles] == [HIDDEN, HIDDEN, "Ann Right"]
    assert profiles[0]["language"] == "en"  # that was right
    audited = told(replay(runtime, "acme", ann, Instants(known=LATER)).events)
    assert "Wronge Canary" in audited
    assert "Wrongest Canary" in audited
    done = {
        each.id: each.status for each in requests(runtime, "acme", runtime.ports.now(), done=True)
    }
    assert done == {asked: "resolved"}
    assert runtime.audit.verify().findings == []


def test_what_one_event_says_is_hidden_as_wrong(runtime, ann, catch_up):
    reader = Reader(runtime)
    said = {e["data"]["message"]: e["id"] for e in reader.history("acme", ann, limit=99).items
            if e["data"].get("message")}  # fmt: skip
    wrong = said["Wrong words"]
    for _ in range(2):
        rectify_event(runtime, OFFICER, ann, "not hers", event=wrong, field="message")
    catch_up()
    messages = {e["id"]: e["data"]["message"] for e in reader.history("acme", ann, limit=99).items
                if e["data"].get("message")}  # fmt: skip
    assert messages == {wrong: HIDDEN, said["other words"]: "other words"}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("shoe_size", "38", "rectification.field"),
        ("country", "AT", "rectification.unknown"),
        ("language", "en", "rectification.same"),
    ],
)
def test_what_cannot_be_rectified_by_name_is_refused(runtime, ann, field, value, code):
    with pytest.raises(Rejected) as no:
        rectify(runtime, OFFICER, ann, "typo", field=field, value=value)
    assert no.value.code == code


def test_only_a_personal_field_of_an_event_of_the_customer_is_wrong(runtime, ann):
    world = World(runtime.store)
    world.ask(
        RegisterCustomer(customer=ByEmail(email="bob@x.org"), full_name="Bob"),
        "b" * 8 + "-0000-0000-0000-000000000000",
    )
    bob = runtime.store.owners("acme", [ByEmail(email="bob@x.org").identifier()])
    [registered, *_] = Reader(runtime).history("acme", ann).items
    for customer, event, field in (
        (ann, registered["id"], "stage"),
        (ann, "00000000-0000-0000-0000-00000000dead", "message"),
        (next(iter(bob.values())), registered["id"], "value"),
    ):
        with pytest.raises(Rejected) as no:
            rectify_event(runtime, OFFICER, customer, "typo", event=event, field=field)
        assert no.value.code == "rectification.unknown"
    nobody = "00000000-0000-0000-0000-00000000dead"
    with pytest.raises(Rejected) as no:
        rectify(runtime, OFFICER, nobody, "typo", field="full_name", value="x")
    assert no.value.code == "customer.unknown"
