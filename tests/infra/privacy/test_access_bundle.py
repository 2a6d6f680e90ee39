"""What a person gets who asks: complete by the schemas, and readable by machines and people."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from commands.command import ByEmail
from commands.customers import GrantConsent, RegisterCustomer
from commands.ports import Batch, Who
from domain.catalogue import EVENTS
from domain.events import RETIRED, Recorded
from domain.personal import Redacted
from domain.rejected import Rejected
from infra.access import looking
from infra.ids import uuid7
from infra.privacy import rights
from infra.privacy.access_bundle import write_bundle
from infra.read_models.reader import Reader
from infra.store.envelope import decode_opened
from tests.test_event_names import ENVELOPES_FILE, FixedKeys, golden
from tests.world import NOON, World

ANN = ByEmail(email="ann@example.org")
OFFICER = Who("acme", "cli:officer")
PERSONAL = sorted(name for name, event in EVENTS.items() if event.personal)


@pytest.fixture
def ann(runtime, catch_up):
    """Ann, with an event of every kind that has personal fields, each of them marked."""
    world = World(runtime.store)
    world.ask(RegisterCustomer(customer=ANN, full_name="Ann"))
    said = {"customer": ANN, "purpose": "news", "channel": "email", "text_version": "text 7"}
    world.ask(GrantConsent(**said))
    ann = runtime.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    runtime.store.append(Batch("acme", [marked(name, ann) for name in PERSONAL]))
    catch_up()
    return ann


def marked(name: str, subject: str) -> Recorded:
    """An event whose every personal field says which field it is; a stream of its own."""
    stored = golden(ENVELOPES_FILE)[name].encode()
    recorded = decode_opened(stored, FixedKeys())
    sample = recorded.event if name not in RETIRED else EVENTS[name].model_construct()
    values = {field: mark(name, field, getattr(sample, field)) for field in sample.personal}
    event = sample.model_copy(update=values)
    return recorded._replace(
        event=event, id=uuid7(), tenant="acme", stream=uuid7(), version=1, type=name,
        subject=subject, time=NOON, recordedtime=NOON + timedelta(days=1), storedtype="",
    )  # fmt: skip


def mark(name, field, before):
    """A value of the field's own form."""
    assert not isinstance(before, Redacted)
    canary = f"canary {name} {field}"
    return (
        {"said": canary} if "dict" in str(EVENTS[name].model_fields[field].annotation) else canary
    )


def bundle(runtime, ann, tmp_path):
    write_bundle(runtime, "acme", [ann], tmp_path / "ann", "cli:officer")
    return {file.name: file.read_text() for file in (tmp_path / "ann").iterdir()}


def test_every_field_that_is_classified_personal_is_in_the_bundle(runtime, ann, tmp_path):
    files = bundle(runtime, ann, tmp_path)
    fields = [(name, field) for name in PERSONAL for field in EVENTS[name].personal]
    assert len(fields) >= 15
    for file in ("events.jsonl", "index.html"):
        missing = [each for each in fields if "canary {} {}".format(*each) not in files[file]]
        assert missing == [], file
    left_out = files["events.jsonl"].replace("canary case.opened.v1 title", "")
    assert "canary case.opened.v1 title" not in left_out  # the search can fail


def test_every_line_can_be_read_by_the_schema_that_comes_with_it(runtime, ann, tmp_path):
    files = bundle(runtime, ann, tmp_path)
    schemas = json.loads(files["schemas.json"])
    lines = [json.loads(line) for line in files["events.jsonl"].splitlines()]
    assert {line["type"] for line in lines} == schemas.keys()
    for line in lines:
        schema = schemas[line["type"]]
        assert set(line["data"]) <= set(schema["properties"])
        assert set(schema.get("required", ())) <= set(line["data"])
        EVENTS[line["type"]].model_validate(line["data"])


def test_it_tells_what_was_agreed_kept_and_restricted_and_may_be_had_all_the_same(
    runtime, ann, tmp_path
):
    rights.restrict(runtime, OFFICER, ann, "accuracy")
    rights.object_to(runtime, OFFICER, ann, "marketing")
    files = bundle(runtime, ann, tmp_path)
    told = {"restricted": ["accuracy"], "objections": ["marketing"]}
    assert json.loads(files["rights.json"]) == told
    assert json.loads(files["retention.json"]) == []
    [said] = json.loads(files["consents.json"])
    assert (said["purpose"], said["text_version"]) == ("news", "text 7")
    assert "text 7" in files["index.html"]
    assert json.loads(files["customer.json"])["profile"]  # it is theirs, restricted or not


def test_it_tells_to_whom_the_data_was_shown_services_by_key_and_staff_as_one(
    runtime, ann, tmp_path
):
    for who in ("key:0a1b", "key:0a1b", "cli:max", "cli:mia"):
        with looking(who, "support"):
            Reader(runtime).customer("acme", ann)
    files = bundle(runtime, ann, tmp_path)
    told = [(each["who"], each["looks"]) for each in json.loads(files["recipients.json"])]
    assert told == [("staff", 2), ("key:0a1b", 2)]
    assert "key:0a1b" in files["index.html"]
    assert not [name for name in files if "cli:m" in files[name]]


def test_nobody_is_given_a_part_of_it_while_the_log_is_behind(runtime, ann, tmp_path, catch_up):
    impatient = replace(
        runtime, settings=runtime.settings.model_copy(update={"read_wait_seconds": 0.0})
    )
    runtime.store.append(Batch("acme", [marked(PERSONAL[0], ann)._replace(stream=uuid7())]))
    with pytest.raises(Rejected) as no:
        write_bundle(impatient, "acme", [ann], tmp_path / "part", "cli:officer")
    assert (no.value.code, (tmp_path / "part").exists()) == ("access.incomplete", False)
    catch_up()
    assert write_bundle(impatient, "acme", [ann], tmp_path / "all", "cli:officer") > len(PERSONAL)
