"""Service levels: working time, clocks and timers, each against its control in the same run.

    .venv/bin/python bench/sla.py

Working time runs against a walk second by second, and against the packages of PEERS if they are
installed (`uv run --with businesstimedelta --with business-duration --with businesstime ...`);
a peer takes part only if its answer is right. The clocks run against the sales pipeline, by events
folded into rows. Looking for what is due runs on tables of few and of many clocks that are not due.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from measure import compare, fresh_runtime, per_second

from consumers.follow import fold
from domain.calendar import WEEKDAYS, Calendar
from domain.case import AgentAnswered, CaseOpened, CaseResolved, CaseResumed, CaseWaiting
from domain.events import Event, Recorded
from domain.lead import LeadCaptured, LeadQualified, LeadScored, LeadStageMoved, LeadWon
from domain.values import Money
from infra.due import DueCases
from infra.envelope import decode, encode
from infra.runtime import Runtime
from projections.projection import Projection
from projections.sales_pipeline import sales_pipeline
from projections.sla_clocks import sla_clocks

OFFICE = Calendar(week=dict.fromkeys(WEEKDAYS[:5], ("09:00-17:00",)))
START = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)
END = START + timedelta(days=30)
CUSTOMER = str(UUID(int=1))


def main() -> None:
    working_time()
    clocks()
    with fresh_runtime() as runtime:
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
    for name, peer in peers():
        answer = peer()
        if answer != OFFICE.between(START, END):
            print(f"# {name} takes no part: it says {answer}")
            continue

        def theirs(peer: Callable[[], object] = peer) -> float:
            return per_second(50, lambda: [peer() for _ in range(50)])

        compare("sla", "working time in 30 days", {"ours": ours, name: theirs}, {name: 1})


def walked(start: datetime, end: datetime) -> timedelta:
    """The control: is it open in this second, and in the next?"""
    count, second, at = 0, timedelta(seconds=1), start
    while at < end:
        if at.weekday() < 5 and 9 <= at.hour < 17:
            count += 1
        at += second
    return timedelta(seconds=count)


def peers() -> Iterator[tuple[str, Callable[[], timedelta]]]:
    """The packages that reckon working time between two instants, as far as installed."""
    start, end = START.replace(tzinfo=None), END.replace(tzinfo=None)
    if importlib.util.find_spec("businesstimedelta"):
        import businesstimedelta  # noqa: PLC0415 - as far as installed

        day = businesstimedelta.WorkDayRule(
            start_time=time(9), end_time=time(17), working_days=[0, 1, 2, 3, 4]
        )
        rules = businesstimedelta.Rules([day])
        yield "businesstimedelta", lambda: rules.difference(start, end).timedelta
    if importlib.util.find_spec("business_duration"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from business_duration import businessDuration  # noqa: PLC0415

        def duration() -> timedelta:
            hours = businessDuration(start, end, time(9), time(17), unit="sec")
            return timedelta(seconds=hours)

        yield "business-duration", duration
    if importlib.util.find_spec("businesstime"):
        from businesstime import BusinessTime  # noqa: PLC0415

        office = BusinessTime(business_hours=(time(9), time(17)))

        def counted() -> timedelta:
            found = office.businesstimedelta(start, end)
            return found.days * timedelta(hours=8) + timedelta(seconds=found.seconds)

        yield "businesstime", counted


# ---- Clocks --------------------------------------------------------------------------------------

CASE: tuple[Event, ...] = (
    CaseOpened(customer=CUSTOMER, channel="email", category="billing", priority="normal"),
    AgentAnswered(agent="Kim"),
    CaseWaiting(waiting_for="customer"),
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
STREAMS = 1_000


def clocks() -> None:
    cases, leads = envelopes(CASE), envelopes(LEAD)
    compare(
        "sla",
        "events a second, decoded and folded into rows",
        {
            "ours": lambda: folding(sla_clocks, cases),
            "pipeline": lambda: folding(sales_pipeline, leads),
        },
        {"pipeline": 0.5},
    )


def envelopes(story: tuple[Event, ...]) -> list[bytes]:
    return [
        encode(recorded(event, str(UUID(int=stream + 2)), version), {})
        for stream in range(STREAMS)
        for version, event in enumerate(story, 1)
    ]


def recorded(event: Event, stream: str, version: int) -> Recorded[Event]:
    at = START + timedelta(hours=version)
    return Recorded(
        event, stream, "bench", stream, version, event.name, CUSTOMER,
        at, at, "bench", stream, stream, "", {},
    )  # fmt: skip


def folding(projection: Projection, log: list[bytes]) -> float:
    def work() -> None:
        history = [decode(envelope, position) for position, envelope in enumerate(log, 1)]
        folded = fold(projection, {}, history)
        assert len(folded.rows) == STREAMS
        assert not folded.parkings

    return per_second(len(log), work)


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
