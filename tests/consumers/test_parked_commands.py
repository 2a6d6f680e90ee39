"""Parked rows on the command line: looked at, tried again, and let go on without an event."""

import json
import sys
from collections.abc import Callable

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from api.cli import main as cli
from api.cli.common import FAILED, NOT_FOUND, USAGE
from commands.command import ByExternalId
from commands.customers import AssignTier, RegisterCustomer
from commands.execute import execute
from commands.ports import Request, Who
from infra.ids import uuid7
from infra.runtime import Runtime
from infra.settings import Settings
from infra.store.recorder import Recorder

ANN = ByExternalId(system="shop", id="ann")


@pytest.fixture
def crm(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process."""
    monkeypatch.setenv("CRM_DATABASE_URL", str(runtime.settings.database_url))
    monkeypatch.setenv("CRM_DIRECTORY", str(runtime.settings.directory))

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()  # what was logged before
        monkeypatch.setattr(sys, "argv", ["crm", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), *capfd.readouterr()

    return run


@pytest.fixture
def ann(runtime: Runtime, catch_up: Callable[[], int]) -> str:
    """A customer with an event that nobody understands, and one behind it."""
    tenant = Settings().tenant
    asked = [RegisterCustomer(customer=ANN), AssignTier(customer=ANN, tier="gold")]
    verdicts = execute([Request(each, uuid7()) for each in asked], Who(tenant, "t"), runtime.ports)
    stream = verdicts[0].events[0].stream
    for number, (type_, data) in enumerate(
        [("customer.danced.v1", {}), ("customer.tier_assigned.v1", {"tier": "silver"})]
    ):
        version = len(verdicts[0].events) + len(verdicts[1].events) + 1 + number
        envelope = {
            "authid": "t", "causationid": "", "commandid": stream, "correlationid": stream,
            "data": data, "id": uuid7(), "recordedtime": "2026-01-01T12:00:00Z", "sealed": {},
            "stream": stream, "subject": stream, "tenant": tenant, "type": type_,
            "time": "2026-01-01T12:00:00Z", "version": version,
        }  # fmt: skip
        event = StoredEvent(stream, version, type_, orjson.dumps(envelope))
        Recorder(runtime.pool, tenant).append([event], [stream])
    catch_up()
    return stream


def tier(crm: Callable[..., tuple[int, str, str]], customer: str) -> str:
    return str(json.loads(crm("show", "customer", customer, "--json")[1])["tier"])


def test_a_row_is_looked_at_tried_again_and_goes_on_without_the_event(crm, ann: str) -> None:
    code, out, _ = crm("parked", "show", "customer_view", ann, "--json")
    shown = json.loads(out)
    assert (code, shown["event"], shown["waiting"]) == (0, "customer.danced.v1", 2)
    assert "There is no event named" in shown["reason"]
    code, out, err = crm("parked", "retry", "customer_view", ann)
    assert (code, "1 of 1 rows still wait" in err) == (FAILED, True)
    assert "0 applied, waits at" in out
    assert tier(crm, ann) == "gold"
    code, out, _ = crm("parked", "discard", "customer_view", ann, "--reason", "a typo", "--yes")
    assert (code, "1 applied, level" in out) == (0, True)
    assert tier(crm, ann) == "silver"
    assert crm("parked", "show", "customer_view", ann)[0] == NOT_FOUND


def test_what_cannot_be_meant_is_refused(crm, ann: str) -> None:
    assert crm("parked", "retry")[0] == USAGE
    assert crm("parked", "show", "customer_view", "ann")[0] == USAGE
    assert crm("parked", "show", "no_such", ann)[0] == NOT_FOUND
    code, out, _ = crm("parked", "retry", "--all")
    assert code == FAILED
    assert out.count("waits at") == len(json.loads(crm("parked", "list", "--json")[1])) > 0
