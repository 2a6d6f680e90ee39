"""Expected against actual cumulative repeat purchases, week by week, as the papers draw them.

Every customer counts from the day of its own first purchase: the expectation of week t is the sum
over all customers of E[X(t - s)], s being the day of the first purchase; actual repeats are counted
up to the same day, and several purchases of one day are one. The parameters come from weeks 1 to
39 alone.
"""

from collections import Counter
from collections.abc import Mapping
from math import fsum
from pathlib import Path
from typing import NamedTuple

import cdnow

from api.charts import line_chart
from api.output import print_table
from domain.purchase_history import History, grouped
from domain.purchase_models import MODELS, PurchaseModel, fit_purchases

CALIBRATION, LAST = 39, 78
BOUND = 0.03
PROMISED = ("pareto_nbd", "the sample")
"""Who is held to the bound; the others are shown."""


class Curve(NamedTuple):
    """How far the expectation is from the actual number, as a share of it, for weeks 1, 2 …"""

    gaps: list[float]

    @property
    def holdout(self) -> list[float]:
        """Give the weeks that the model has not seen."""
        return self.gaps[CALIBRATION:]

    def row(self, model: str, customers: str) -> tuple[str, ...]:
        """Tell the curve in a line of a table."""
        worst = max(self.holdout, key=abs)
        beyond = [w for w, gap in enumerate(self.holdout, CALIBRATION + 1) if abs(gap) > BOUND]
        return (
            model,
            customers,
            f"{self.gaps[CALIBRATION - 1]:+.2%}",
            f"{worst:+.2%} in week {CALIBRATION + 1 + self.holdout.index(worst)}",
            f"{self.holdout[-1]:+.2%}",
            f"not from week {beyond[0]} on" if beyond else "in every week",
        )


def curves(everybody: Mapping[str, Mapping[History, int]], out: Path) -> bool:
    """Print and draw the curves of all models; tells whether the one that is promised holds."""
    rows, good = [], False
    for customers, histories in everybody.items():
        firsts = Counter[int]()
        for history, count in histories.items():
            firsts[(cdnow.CALIBRATION_END - cdnow.BEGIN).days - round(7 * history.age)] += count
        actual = cdnow.repeats_by_day(sample=customers == "the sample")
        lines = {"actual": [float(sum(actual[: 7 * week])) for week in range(1, LAST + 1)]}
        for name, kind in MODELS.items():
            fitted = fit_purchases(name, grouped(Counter(histories).elements()))
            lines[name] = expected(kind(*fitted.parameters), firsts)
            pairs = zip(lines[name], lines["actual"], strict=True)
            curve = Curve([e / a - 1 if a else 0.0 for e, a in pairs])
            rows.append(curve.row(name, customers))
            if (name, customers) == PROMISED:
                good = all(abs(gap) <= BOUND for gap in curve.holdout)
        drawn = {name: list(enumerate(line, 1)) for name, line in lines.items()}
        chart = line_chart(f"Repeat purchases of {customers}", drawn, "week", "cumulative")
        (out / f"repeats_{customers.replace(' ', '_')}.svg").write_text(chart)
    print(f"\nExpected against actual cumulative repeat purchases, weeks 40 to {LAST}")
    columns = ("model", "customers", "week 39", "worst", "week 78", f"within {BOUND:.0%}")
    print_table(columns, rows, "")
    told = "within" if good else "NOT within"
    print(f"{PROMISED[0]} on {PROMISED[1]}: {told} {BOUND:.0%} in every week")
    return good


def expected(model: PurchaseModel, firsts: Mapping[int, int]) -> list[float]:
    """Sum up what every customer is expected to have bought again by the end of each week."""
    days = sorted(firsts.items())
    return [
        fsum(n * model.expected(max(0, 7 * week - 1 - day) / 7) for day, n in days)
        for week in range(1, LAST + 1)
    ]
