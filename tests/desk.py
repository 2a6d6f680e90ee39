"""A help desk on the real write path, with an agreement, and with a clock of its own."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from commands.agreements import DefineAgreement
from commands.cases import OpenCase
from commands.command import ByExternalId, Command
from commands.customers import AssignTier
from commands.execute import execute
from commands.ports import Request, Who
from commands.session import Ports
from consumers.timers import fire
from domain.agreement import Compensation, Credit, Escalation, Promise, Scope
from domain.calendar import ALWAYS
from domain.terms import ClockRule, Terms, WarnAt
from domain.values import Money
from infra.read_models.due import DueCases
from infra.read_models.sla import SlaReader
from infra.store.envelope import decode

START = datetime(2024, 1, 15, 10, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ANN = ByExternalId(system="shop", id="ann")
GOLD = ByExternalId(system="contracts", id="gold")
EUR = {"currency": "EUR"}


def case(number: int) -> ByExternalId:
    return ByExternalId(system="desk", id=str(number))


PROMISE = Promise(
    title="Gold",
    scope=Scope(tiers=("gold",)),
    terms=Terms(
        calendar=ALWAYS,
        clocks=(
            ClockRule(
                clock="resolution",
                targets={"normal": 4 * HOUR, "urgent": HOUR},
                warnings=(WarnAt(percent=50),),
                critical_percent=200,
            ),
        ),
        forgotten_after=24 * HOUR,
    ),
    escalations=(
        Escalation(on="warned", notify=("team lead",)),
        Escalation(on="breached", level=2, team="second", agent="Lee"),
        Escalation(on="critical", level=3, notify=("director",)),
    ),
    compensation=Compensation(
        fee=Money(amount=100_000, **EUR),
        cap=Money(amount=8_000, **EUR),
        credits={"resolution": Credit(percent=5)},
    ),
)


class Desk:
    """A help desk with its own clock on the real write path; the database's clock is far ahead."""

    def __init__(self, runtime, catch_up):
        self.runtime, self.catch_up, self.now = runtime, catch_up, START
        self.ports = Ports(runtime.store, lambda: self.now, runtime.ports.new_id)
        self.due = DueCases(runtime.pool, runtime.tables["sla_clocks"].name)

    def ask(self, command: Command) -> str:
        [verdict] = execute([Request(command, str(uuid4()))], Who("acme", "tests"), self.ports)
        return verdict.code or verdict.status

    def fire_all(self) -> int:
        """Look again and again until nothing is due, as a timer does."""
        fired = 0
        self.catch_up()
        while (result := fire(self.due, self.ports)).fired:
            fired += result.fired
            self.catch_up()
        return fired

    def events(self, *prefixes: str) -> list[tuple[str, datetime]]:
        self.catch_up()
        page = self.runtime.events.read(0, 10_000, [])
        recorded = [decode(envelope) for _, envelope in page.events]
        return [(r.event, r.time) for r in recorded if r.type.startswith(prefixes)]

    def rows(self, query: str) -> list[tuple]:
        self.catch_up()
        with self.runtime.pool.connection() as conn:
            return conn.execute(query).fetchall()

    @property
    def sla(self) -> SlaReader:
        self.catch_up()
        return SlaReader(self.runtime.pool)

    def marks(self) -> list[tuple[str, datetime]]:
        return [(event.mark, at) for event, at in self.events("case.mark_reached")]


def opened(runtime, catch_up, promise: Promise = PROMISE) -> Desk:
    """A desk with Ann, who is a gold customer, her agreement, and her first case."""
    desk = Desk(runtime, catch_up)
    define = DefineAgreement(agreement=GOLD, promise=promise, applies_from=START)
    for command in (
        AssignTier(customer=ANN, tier="gold"),
        define,
        OpenCase(case=case(1), customer=ANN, channel="email"),
    ):
        assert desk.ask(command) == "accepted"
    return desk
