"""A follower takes the log in parts of any size, and one bad row never holds up the others."""

import threading
from uuid import uuid4

import pytest
import structlog

from commands.command import ByExternalId, Command
from commands.customers import AssignTier, RecordPurchase, RegisterCustomer
from commands.execute import execute
from commands.ports import Request, Who
from consumers.follow import advance, follow
from consumers.measured import FOLLOWED
from domain.customer import PurchaseRecorded
from domain.events import EVENTS
from domain.values import Money
from infra.read_models.tables import Table
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing
from projections.projection import Column, Projection, Row, by_customer
from tests.kafka.support import eventually

ME = Who("test", "tester")


def ask(runtime: Runtime, *commands: Command) -> None:
    requests = [Request(command, str(uuid4())) for command in commands]
    assert {v.status for v in execute(requests, ME, runtime.ports)} == {"accepted"}


def customer(number: int) -> ByExternalId:
    return ByExternalId(system="shop", id=str(number))


def rows(runtime: Runtime) -> list[str]:
    with runtime.pool.connection() as conn:
        query = "SELECT t::text FROM read.customer_view t ORDER BY t.key"
        return [row for (row,) in conn.execute(query)]


def test_a_transaction_over_several_parts_gives_the_same_rows(
    runtime: Runtime, catch_up, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(runtime, *(RegisterCustomer(customer=customer(n % 5)) for n in range(20)))
    ask(runtime, *(AssignTier(customer=customer(n % 5), tier=f"t{n}") for n in range(20)))
    catch_up()
    followed, table = rows(runtime), runtime.tables["customer_view"]
    table.drop()
    table.create()
    monkeypatch.setattr("consumers.follow.PART", 3)
    monkeypatch.setattr("infra.read_models.change.MANY", 5)
    assert advance(runtime.events, table)
    assert not advance(runtime.events, table)
    assert rows(runtime) == followed
    assert len(followed) == 5


narrow = Projection(
    name="narrow",
    version=1,
    question="How much was the last purchase, as long as it is little?",
    key=by_customer,
    columns={"amount": Column("smallint", 0)},
    ignores=frozenset(EVENTS) - {PurchaseRecorded.name},
)


@narrow.on(PurchaseRecorded)
def bought(row: Row, event: PurchaseRecorded, _: object) -> Row:
    return row | {"amount": event.amount.amount}


def outcomes() -> list[float]:
    return [
        FOLLOWED.get_sample_value(
            "crm_projection_events_processed_total", {"projection": "narrow", "outcome": outcome}
        )
        or 0
        for outcome in ("applied", "parked", "waiting")
    ]


@pytest.mark.parametrize("many", [1, 200], ids=["copied", "told"])
def test_a_row_that_does_not_fit_is_parked_and_the_others_flow(
    runtime: Runtime, catch_up, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.read_models.change.MANY", many)

    def buy(number: int, amount: int) -> RecordPurchase:
        return RecordPurchase(
            customer=customer(number), amount=Money(amount=amount, currency="EUR")
        )

    counted = outcomes()
    ask(runtime, *(RegisterCustomer(customer=customer(n)) for n in range(5)))
    ask(runtime, *(buy(n, 1) for n in range(5)))
    table = Table(runtime.pool, narrow)
    table.create()
    catch_up()
    assert advance(runtime.events, table)
    ask(runtime, *(buy(n, 2) for n in range(5)), buy(3, 70_000))
    catch_up()
    with structlog.testing.capture_logs() as told:
        assert advance(runtime.events, table)
    with runtime.pool.connection() as conn:
        parked = conn.execute("SELECT position, type, reason FROM crm.parked").fetchall()
        amounts = conn.execute("SELECT amount FROM read.narrow ORDER BY amount").fetchall()
    reason = "NumericValueOutOfRange when the row was written"
    assert parked == [(21, "customer.purchase_recorded.v1", reason)]
    assert amounts == [(2,), (2,), (2,), (2,), (2,)]
    assert [(line["event"], line["position"]) for line in told] == [("follower.parked", 21)]
    assert [now - then for now, then in zip(outcomes(), counted, strict=True)] == [10, 1, 0]


def test_a_follower_goes_on_without_a_word_when_its_version_got_another_token(
    runtime: Runtime,
) -> None:
    """As a promotion gives it one; where it was is remembered, and asked again only then."""
    table, stop = runtime.tables["customer_view"], threading.Event()
    sequencing = Sequencing(runtime.pool, holder="test", seconds=60)
    following = threading.Thread(target=follow, args=(runtime.events, table, stop))
    with structlog.testing.capture_logs() as logs:
        following.start()
        try:
            for number in range(3):
                with runtime.pool.connection() as conn:
                    conn.execute("UPDATE crm.read_model SET token = token + 1")
                ask(runtime, RegisterCustomer(customer=customer(number)))
                while sequencing.run_once():
                    pass
                assert eventually(lambda: table.reached() == runtime.events.head())
                assert len(rows(runtime)) == number + 1
        finally:
            stop.set()
            following.join()
    assert logs == []
