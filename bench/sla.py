"""Service levels: working time, clocks and timers, each against its control in the same run.

    .venv/bin/python bench/sla.py

Working time runs against a walk second by second, and against the packages of `sla_peers.py`, which
are fetched into a temporary directory; one takes part only if its answers are right. The clocks run
against the sales pipeline: 100,000 cases under an agreement, from envelopes to rows in PostgreSQL.
Looking for what is due runs on tables of few and of many clocks that are not due.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sla_peers as peers
from measure import compare, fresh_runtime, per_second

from consumers.follow import apply
from domain.calendar import WEEKDAYS, Calendar
from domain.case import (
    AgentAnswered,
    AgreementMatched,
    CaseOpened,
    CaseResolved,
    CaseResumed,
    CaseWaiting,
    CustomerWrote,
)
from domain.events import Event, Recorded
from domain.lead import LeadCaptured, LeadQualified, LeadScored, LeadStageMoved, LeadWon
from domain.terms import ClockRule, Terms
from domain.values import Money
from infra.read_models.due import DueCases
from infra.read_models.tables import Step, Table
from infra.runtime import Runtime
from infra.store.envelope import encode
from infra.store.log import Page

OFFICE = Calendar(week=dict.fromkeys(WEEKDAYS[:5], ("09:00-17:00",)))
START = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)
END = START + timedelta(days=30)
CUSTOMER = str(UUID(int=1))


def main() -> None:
    working_time()
    with fresh_runtime() as runtime:
        clocks(runtime)
        timers(runtime)


# ---- Working time --------------------------------------------------------------------------------


def working_time() -> None:
    def ours() -> float:
        return per_second(20_000, lambda: [OFFICE.between(START, END) for _ in range(20_000)])

    def walk() -> float:
        return per_second(1, lambda: walked(START, END))

    assert walked(START, END) == OFFICE.between(START, END)
    compare(
        "sla", "working time in 30 days", {"ours": ours, "second by second": walk},
        {"second by second": 1_000},
    )  # fmt: skip
    for name, difference in peers.right_ones(OFFICE):

        def theirs(difference: peers.Difference = difference) -> float:
            return per_second(50, lambda: [difference(START, END) for _ in range(50)])

        compare("sla", "working time in 30 days", {"ours": ours, name: theirs}, {name: 1})


def walked(start: datetime, end: datetime) -> timedelta:
    """The control: is it open in this second, and in the next?"""
    count, second, at = 0, timedelta(seconds=1), start
    while at < end:
        if at.weekday() < 5 and 9 <= at.hour < 17:
            count += 1
        at += second
    return timedelta(seconds=count)


# ---- Clocks --------------------------------------------------------------------------------------

TERMS = Terms(
    calendar=OFFICE,
    clocks=tuple(
        ClockRule(clock=clock, targets={"normal": timedelta(hours=hours)})
        for clock, hours in (("first_response", 4), ("next_response", 8), ("resolution", 24))
    ),
)
CASE: tuple[Event, ...] = (
    CaseOpened(customer=CUSTOMER, channel="email", category="billing", priority="normal"),
    AgreementMatched(agreement=CUSTOMER, version=1, reason="it is for everything", terms=TERMS),
    AgentAnswered(agent="Kim"),
    CaseWaiting(waiting_for="customer"),
    CustomerWrote(),
    CaseResumed(),
    CaseResolved(resolution="solved"),
)
LEAD: tuple[Event, ...] = (
    LeadCaptured(customer=CUSTOMER, source="web", pipeline="sales", stage="new", probability=10),
    LeadScored(score=50, model="manual"),
    LeadQualified(),
    LeadStageMoved(stage="proposal", probability=60),
    LeadWon(value=Money(amount=100_00, currency="EUR")),
)
STREAMS = 100_000
PART = 20_000
"""How many events a follower takes into account in one transaction."""


def clocks(runtime: Runtime) -> None:
    cases, leads = runtime.tables["sla_clocks"], runtime.tables["sales_pipeline"]
    compare(
        "sla",
        f"events a second, decoded, folded and written: {STREAMS} cases against leads",
        {"ours": lambda: following(cases, CASE), "pipeline": lambda: following(leads, LEAD)},
        {"pipeline": 0.5},
    )


def following(table: Table, story: tuple[Event, ...]) -> float:
    """Follow the same story of many streams; making its events is not counted."""
    table.drop()
    table.create()
    seconds, position, envelopes = 0.0, 0, template(story)
    for first in range(0, STREAMS, PART // len(story)):
        numbers = range(first, min(first + PART // len(story), STREAMS))
        told_now = [envelope for n in numbers for envelope in told(envelopes, n)]
        page = list(enumerate(told_now, position + 1))
        started = time.perf_counter()
        upto = position + len(page)
        apply(table, [Step(position, upto)], Page(page, upto))
        seconds += time.perf_counter() - started
        position += len(page)
    assert count(table) == STREAMS
    return position / seconds


def count(table: Table) -> int:
    with table.pool.connection() as conn:
        return conn.execute(f"SELECT count(*) FROM read.{table.name}").fetchone()[0]


def told(envelopes: list[bytes], number: int) -> list[bytes]:
    """Tell the same story of another stream."""
    stream = str(UUID(int=number + 2)).encode()
    return [envelope.replace(PLACEHOLDER, stream) for envelope in envelopes]


PLACEHOLDER = str(UUID(int=2**100)).encode()


def template(story: tuple[Event, ...]) -> list[bytes]:
    return [
        encode(recorded(event, PLACEHOLDER.decode(), version), {})
        for version, event in enumerate(story, 1)
    ]


def recorded(event: Event, stream: str, version: int) -> Recorded[Event]:
    # A case is matched when it is opened; everything else happens an hour apart.
    at = START + timedelta(hours=1 if isinstance(event, AgreementMatched) else version)
    return Recorded(
        event, stream, "bench", stream, version, event.name, CUSTOMER,
        at, at, "bench", stream, stream, "", {},
    )  # fmt: skip


# ---- Timers --------------------------------------------------------------------------------------

FEW, MANY = 1_000, 100_000

FILL = """
INSERT INTO {table} (tenant, key, facts, events, next_due, position, status)
SELECT 'bench', gen_random_uuid(), '[]', 1, now() + interval '1 day' + n * interval '1 s', n, ''
FROM generate_series(1, %s) n
"""


def timers(runtime: Runtime) -> None:
    table = runtime.tables["sla_clocks"].name
    looks = {}
    for name, count in (("few", FEW), ("ours", MANY)):
        copy = f"{table}_{name}"
        with runtime.pool.connection() as conn:
            conn.execute(f"CREATE TABLE read.{copy} (LIKE read.{table} INCLUDING ALL)")
            conn.execute(FILL.format(table=f"read.{copy}"), [count])
            conn.execute(f"ANALYZE read.{copy}")
        looks[name] = looking(DueCases(runtime.pool, copy))
    case = f"looks a second for what is due, {MANY} clocks not due against {FEW}"
    compare("sla", case, looks, {"few": 0.7})


def looking(due: DueCases) -> Callable[[], float]:
    def look() -> None:
        for _ in range(300):
            assert due.look(datetime.now(UTC), [], 200) == []

    return lambda: per_second(300, look)


if __name__ == "__main__":
    main()
