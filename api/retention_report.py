"""The report on keeping customers as people read it: tables of text, and small charts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from api.charts import bar_chart, line_chart
from api.output import NOTHING, print_line, print_table
from domain.money import money
from projections.projection import Row

MONTHS_SHOWN = 12

Report = Mapping[str, Sequence[Row]]


class Told(NamedTuple):
    """A table with what it is about, and what is said when it is empty."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str = "Nothing yet."


def print_report(report: Report) -> None:
    """Print all tables, a blank line before each but the first."""
    for number, table in enumerate(tables(report)):
        print_line(("\n" if number else "") + table.title)
        print_table(table.columns, table.rows, table.empty)


def tables(report: Report) -> Iterator[Told]:
    """Tell a report table by table."""
    yield Told(
        "Who left, and why",
        ("month", "segment", "lost", "value lost", "drivers"),
        [
            (r["month"][:7], r["segment"], r["lost"], paid(r, "value_lost"), r["drivers"])
            for r in report["defections"]
        ],
        "Nobody is known to have left.",
    )
    yield Told(
        "What plays saved",
        ("play", "settled", "saved", "lost", "false alarms", "overturned", "saved %"),
        [tuple(r.values()) for r in report["save_rate_by_play"]],
        "No alert is settled.",
    )
    yield Told(
        "How right alerts were (lost % is of those that nobody acted on)",
        ("rule", "by", "settled", "lost %", "days ahead"),
        [tuple(r.values()) for r in report["precision_and_lead_time"]],
        "No alert is settled.",
    )
    yield Told(
        "What is at risk",
        ("segment", "open", "unassigned", "overdue", "value at risk"),
        [
            (r["segment"], r["open"], r["unassigned"], r["overdue"], paid(r, "value_at_risk"))
            for r in report["value_at_risk"]
        ],
        "No alert is open.",
    )
    yield stayed(report["cohorts"])


def stayed(cohorts: Sequence[Row]) -> Told:
    """Tell how many of those who came in a month bought in each month after."""
    longest = max((len(cohort["active"]) for cohort in cohorts), default=1)
    months = range(1, min(MONTHS_SHOWN + 1, longest))
    rows = [
        (
            cohort["month"],
            cohort["customers"],
            *(share(cohort, month) for month in months),
        )
        for cohort in cohorts
    ]
    columns = ("first bought", "customers", *(f"+{month}" for month in months))
    return Told("Who came back, in % by months after the first purchase", columns, rows)


def share(cohort: Row, month: int) -> str:
    """Tell which part of a cohort bought in a month; nothing where that is yet to come."""
    active = cohort["active"]
    return f"{100 * active[month] / cohort['customers']:.0f}" if month < len(active) else NOTHING


def paid(row: Row, name: str) -> str:
    """Tell an amount; without a currency nothing was known to be at stake."""
    return NOTHING if row["currency"] is None else money(row[name], row["currency"])


def draw_report(report: Report, out: Path) -> list[Path]:
    """Draw what there is to draw, a file for each chart."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = dict(charts(report))
    for name, chart in drawn.items():
        (out / f"{name}.svg").write_text(chart, "utf-8")
    return [out / f"{name}.svg" for name in drawn]


def charts(report: Report) -> Iterator[tuple[str, str]]:
    """Draw charts, each with its name."""
    for title, name, amount in (("Value lost", "defections", "value_lost"),
                                ("Value at risk", "value_at_risk", "value_at_risk")):  # fmt: skip
        for currency in sorted({r["currency"] for r in report[name] if r["currency"]}):
            bars: dict[str, float] = {}
            for r in report[name]:
                label = r["month"][:7] if name == "defections" else r["segment"] or "all"
                if r["currency"] == currency:
                    bars[label] = bars.get(label, 0.0) + r[amount] / 100
            yield f"{amount}_{currency}", bar_chart(title, bars, currency)
    rates = {r["play"]: r["save_rate_percent"] for r in report["save_rate_by_play"]}
    told = {play: rate for play, rate in rates.items() if rate is not None}
    if told:
        yield "save_rate", bar_chart("Saved of saved and lost, by play", told, "%")
    lines = {
        c["month"]: [(n, 100 * count / c["customers"]) for n, count in enumerate(c["active"])][1:]
        for c in report["cohorts"][:5]
        if len(c["active"]) > 2
    }
    if lines:
        title = "Who came back, by month of the first purchase"
        yield "cohorts", line_chart(title, lines, "months after", "%")
