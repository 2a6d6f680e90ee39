"""The connection breaks while events are kept: whoever asked cannot know, and asks again."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from commands.command import ByEmail, Command
from commands.customers import RecordPurchase
from commands.execute import execute
from commands.interactions import RecordInteraction
from commands.ports import Request, Verdict, Who
from domain.values import Money
from infra.database import connect
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from tests.faults.proxy import Wire

ME = Who("test", "tester")
ADA = ByEmail(email="ada@example.org")
ASKED = (
    RecordInteraction(customer=ADA, channel="chat", kind="message", message="Hello"),
    RecordPurchase(customer=ADA, amount=Money(amount=499, currency="EUR")),
)


@pytest.fixture
def wire(database_url: str, tmp_path: Path) -> Iterator[Wire]:
    made = Wire(database_url, tmp_path, b"customer.registered.v1")
    yield made
    made.close()


@pytest.fixture
def runtime(wire: Wire, tmp_path: Path) -> Iterator[Runtime]:
    with open_runtime(Settings(database_url=wire.url, directory=tmp_path)) as opened:
        yield opened


def ask(runtime: Runtime, command: Command) -> Verdict:
    """Ask under an id that is always the same."""
    asked = Request(command, "11111111-1111-4111-8111-111111111111")
    return execute([asked], ME, runtime.ports)[0]


@pytest.mark.parametrize("command", ASKED, ids=lambda command: command.name)
@pytest.mark.parametrize(("breaks", "then"), [("before", "accepted"), ("after", "duplicate")])
def test_a_request_is_kept_once_though_the_wire_broke(
    runtime: Runtime, wire: Wire, database_url: str, command: Command, breaks: str, then: str
) -> None:
    wire.breaks = breaks
    with pytest.raises(psycopg.OperationalError):
        ask(runtime, command)
    wire.breaks = None
    verdict = ask(runtime, command)
    assert (verdict.status, bool(verdict.events)) == (then, True)
    with connect(database_url) as conn:
        types = [type_ for (type_,) in conn.execute("SELECT type FROM crm.event ORDER BY seq")]
        pending = conn.execute("SELECT count(*) FROM crm.pending").fetchone()
    assert wire.broken == 1
    assert types == ["customer.registered.v1", "customer.identifier_added.v1", command.publishes]
    assert pending == (3,)
