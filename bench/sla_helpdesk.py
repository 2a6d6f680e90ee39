"""The tickets of a real help desk under an agreement: every figure, reckoned twice.

    .venv/bin/python bench/sla_helpdesk.py

Imports the log of 4,580 tickets under an agreement (office hours in Rome, `Wait` is a pause), asks
for the compliance, and reckons each figure again from the raw file: with nothing of this program,
day by day, and with the zones of the machine. Prints the table; exits 1 if any figure differs.
"""

import csv
import os
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from measure import fresh_runtime

from api.files.importing import run_import
from commands.agreements import DefineAgreement
from commands.command import ByExternalId
from commands.execute import execute
from commands.ports import Request, Who
from consumers.follow import advance
from domain.agreement import Promise, Scope
from domain.calendar import WEEKDAYS, Calendar
from domain.terms import ClockRule, Terms
from infra.read_models.sla import SlaReader
from infra.store.sequencing import Sequencing

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CRM_REAL_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "helpdesk" / "helpdesk.csv"
AT = datetime(2015, 1, 1, tzinfo=UTC)
TARGET, FORGOTTEN = timedelta(hours=80), timedelta(hours=240)

PROMISE = Promise(
    title="Help desk",
    objective="Customers can work again within ten working days.",
    services=("software support",),
    scope=Scope(everything=True),
    terms=Terms(
        calendar=Calendar(
            zone="Europe/Rome", week=dict.fromkeys(WEEKDAYS[:5], ("09:00-13:00", "14:00-18:00"))
        ),
        clocks=(ClockRule(clock="resolution", targets={"normal": TARGET}),),
        forgotten_after=FORGOTTEN,
    ),
)
FIGURES = ("promises", "met", "breached", "forgotten", "open", "cancelled", "median_seconds",
           "p90_seconds")  # fmt: skip

# ---- By the program ------------------------------------------------------------------------------


def by_the_program() -> dict[str, float]:
    with fresh_runtime() as runtime:
        define = DefineAgreement(
            agreement=ByExternalId(system="bench", id="helpdesk"),
            promise=PROMISE,
            applies_from=datetime(2000, 1, 1, tzinfo=UTC),
        )
        request = Request(define, runtime.ports.new_id())
        [verdict] = execute([request], Who("helpdesk", "bench"), runtime.ports)
        assert verdict.status == "accepted", verdict
        mapping = ROOT / "bench" / "mappings" / "helpdesk.toml"
        report = run_import(runtime, FILE, tenant="helpdesk", authid="bench", mapping=mapping)
        assert not report.verdicts["rejected"], report
        sequencing = Sequencing(runtime.pool, holder="bench", seconds=600)
        while sequencing.run_once():
            pass
        while advance(runtime.events, runtime.tables["sla_clocks"]):
            pass
        [row] = SlaReader(runtime.pool).compliance("helpdesk", at=AT)
        return {name: row[name] for name in FIGURES}


# ---- By hand -------------------------------------------------------------------------------------

ROME = ZoneInfo("Europe/Rome")
OFFICE = ((time(9), time(13)), (time(14), time(18)))
WORK_ON = ("Take in charge ticket", "Wait", "Require upgrade", "Create SW anomaly")


def office_time(start: datetime, end: datetime) -> timedelta:
    """Add up what each window of each day has in common with the time between two instants."""
    total, day = timedelta(0), start.astimezone(ROME).date()
    while day <= end.astimezone(ROME).date():
        if day.weekday() < 5:
            for window in windows(day):
                total += max(timedelta(0), min(end, window[1]) - max(start, window[0]))
        day += timedelta(days=1)
    return total


def windows(day: date) -> Iterator[tuple[datetime, datetime]]:
    for opens, closes in OFFICE:
        yield tuple(datetime.combine(day, t, ROME).astimezone(UTC) for t in (opens, closes))


class Ticket:
    """A resolution clock in the plainest words."""

    def __init__(self) -> None:
        self.status, self.since, self.paused_at = "new", None, None
        self.used, self.forgotten = timedelta(0), False

    def tell(self, at: datetime, activity: str) -> None:
        if self.status == "new":
            self.status, self.since = "running", at
        done = self.status in ("resolved", "closed", "cancelled")
        if done and activity in WORK_ON:
            self.status, self.since, done = "running", at, False
        if activity == "Take in charge ticket" and self.status == "paused":
            self.status, self.since = "running", at
        elif activity in ("Wait", "Create SW anomaly") and self.status == "running":
            self.run_until(at)
            self.status, self.paused_at = "paused", at
        elif activity == "Resolve ticket" and not done:
            self.end(at, "resolved")
        elif activity == "Closed" and not done:
            self.end(at, "cancelled")

    def run_until(self, at: datetime) -> None:
        self.used += office_time(self.since, at)

    def end(self, at: datetime, status: str) -> None:
        self.forgotten = False
        if self.status == "running":
            self.run_until(at)
        else:
            self.forgotten = office_time(self.paused_at, at) > FORGOTTEN
        self.status = status

    def verdict(self) -> str:
        used = self.used
        if self.status == "running":
            used += office_time(self.since, AT)
        if used > TARGET:
            return "breached"
        if self.status == "paused":
            return "forgotten" if office_time(self.paused_at, AT) > FORGOTTEN else "open"
        if self.status == "resolved":
            return "forgotten" if self.forgotten else "met"
        return {"cancelled": "cancelled", "running": "open"}[self.status]


def by_hand() -> dict[str, float]:
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = [(row[0], moment(row[3]), row[1]) for row in list(csv.reader(file))[1:]]
    rows = [(number, *row) for number, row in enumerate(rows)]
    rows.sort(key=lambda row: (row[1], row[2], row[0]))
    tickets = []
    for _, told in groupby(rows, key=lambda row: row[1]):
        ticket = Ticket()
        for _, _, at, activity in told:
            ticket.tell(at, activity)
        tickets.append(ticket)
    verdicts = [ticket.verdict() for ticket in tickets]
    used = sorted(t.used.total_seconds() for t in tickets if t.status == "resolved")
    deciles = statistics.quantiles(used, n=10, method="inclusive")
    counts = {name: verdicts.count(name) for name in FIGURES[1:6]}
    return {
        "promises": len(tickets), **counts,
        "median_seconds": statistics.median(used), "p90_seconds": deciles[8],
    }  # fmt: skip


def moment(text: str) -> datetime:
    local = datetime.strptime(text, "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=ROME)
    return local.astimezone(UTC)


def main() -> int:
    hand, program = by_hand(), by_the_program()
    same = True
    print(f"{'figure':<16}{'program':>14}{'by hand':>14}")
    for name in FIGURES:
        agrees = abs(hand[name] - program[name]) < 0.001
        same = same and agrees
        print(f"{name:<16}{program[name]:>14.1f}{hand[name]:>14.1f}  {'' if agrees else 'DIFFERS'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
