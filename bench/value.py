"""Fit and scoring of the 2,357 CDNOW customers, against the `lifetimes` package in the same run.

    .venv/bin/python bench/value.py [--install | --lifetimes /path/to/a/venv/bin/python]

`lifetimes` (333 MB with all that it needs, archived by its author) is no dependency of ours: it
runs in a Python of its own, in one process that stays warm, by turns with ours. `--install` puts it
into `build/lifetimes`, from where later runs take it; without it, that part says it is skipped.
Features are compared with the other projections on the same events.
"""

import argparse
import json
import subprocess
import sys
import venv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cdnow
from measure import compare, per_second

from domain.customer import PurchaseRecorded
from domain.events import Recorded
from domain.purchase_history import History, grouped
from domain.purchase_models import MODELS, fit_purchases
from domain.values import Money
from projections.churn_alerts import churn_alerts
from projections.customer_features import customer_features
from projections.customer_view import customer_view
from projections.projection import Projection

FOLDS = 5
LIFETIMES = Path("build/lifetimes")
THEIRS = """
import csv, sys, time, warnings
warnings.simplefilter("ignore")
import pandas
from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter
kinds = {"bg_nbd": BetaGeoFitter, "mbg_nbd": ModifiedBetaGeoFitter, "pareto_nbd": ParetoNBDFitter}
data = pandas.read_csv(sys.argv[1])
x, recency, age = data["frequency"], data["recency"], data["T"]
for line in sys.stdin:
    started = time.perf_counter()
    model = kinds[line.strip()]()
    model.fit(x, recency, age)
    model.conditional_expected_number_of_purchases_up_to_time(39, x, recency, age)
    model.conditional_probability_alive(x, recency, age)
    print(time.perf_counter() - started, *model.params_, flush=True)
"""


def main() -> int:
    """Print a line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lifetimes", type=Path, help="a Python that has the package")
    parser.add_argument("--install", action="store_true", help="install the package apart from us")
    asked = parser.parse_args()
    if not cdnow.available():
        print(json.dumps({"bench": "value", "skipped": f"{cdnow.FOLDER} is not here"}))
        return 0
    features_against_other_projections()
    if asked.install:
        install()
    python = asked.lifetimes or LIFETIMES / "bin" / "python"
    if python.exists():
        fits_against(python)
    else:
        skipped = "the package lifetimes is not here; ARGS=--install puts it into build/lifetimes"
        print(json.dumps({"bench": "value", "case": "fit and score", "skipped": skipped}))
    return 0


def install() -> None:
    """Put the package into an environment of its own."""
    venv.create(LIFETIMES, with_pip=True)
    pip = [
        str(LIFETIMES / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "lifetimes==0.11.3",
    ]
    subprocess.run(pip, check=True)


def fits_against(python: Path) -> None:
    """Fit and score by turns; both processes have done it once before it counts."""
    histories = cdnow.published_histories()
    arguments = [str(python), "-c", THEIRS, str(cdnow.FOLDER / "cdnow_customers_summary.csv")]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as theirs:
        for name in MODELS:
            measured = {
                "ours": lambda n=name: per_second(1, lambda: ours(n, histories)),
                "lifetimes": lambda n=name: 1.0 / told(theirs, n),
            }
            measured["ours"]()
            measured["lifetimes"]()
            compare("value", f"fit and score {name}", measured, {"lifetimes": 1.0})
        theirs.stdin.close()


def ours(name: str, histories: list[History]) -> None:
    """Fit, and score every customer; who are alike are scored once."""
    model = MODELS[name](*fit_purchases(name, grouped(histories)).parameters)
    scored = {
        each: (model.expected_more(each, 39.0), model.p_alive(each)) for each in set(histories)
    }
    assert len([scored[each] for each in histories]) == len(histories)


def told(process: "subprocess.Popen[str]", name: str) -> float:
    """Let the other process do the same, and give the seconds it took by its own clock."""
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return float(process.stdout.readline().split()[0])


def features_against_other_projections() -> None:
    """Fold the same purchases with each projection."""
    history = [recorded(number, p) for number, p in enumerate(cdnow.purchases(sample=True), 1)]

    def folding(projection: Projection) -> Callable[[], float]:
        def fold() -> None:
            for _ in range(FOLDS):
                projection.fold(history)

        return lambda: per_second(FOLDS * len(history), fold)

    measured = {
        "ours": folding(customer_features),
        "customer_view": folding(customer_view),
        "churn_alerts": folding(churn_alerts),
    }
    goals = {"customer_view": 1.0, "churn_alerts": 0.5}
    compare("value", "features, events a second in memory", measured, goals)


def recorded(position: int, purchase: cdnow.Purchase) -> Recorded:
    """Make the event that a purchase becomes."""
    event = PurchaseRecorded(amount=Money(amount=purchase.cents, currency="USD"))
    at = datetime.combine(purchase.day, datetime.min.time(), UTC)
    return Recorded(
        event=event, id="", tenant="t", stream=purchase.customer, version=1, type=event.name,
        subject=purchase.customer, time=at, recordedtime=at + timedelta(days=1), authid="",
        commandid="", correlationid="", causationid="", sealed={}, position=position,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
