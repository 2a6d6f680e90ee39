"""The proof of customer value and churn, printed: published tables, and alerts against the future.

    .venv/bin/python bench/churn_report.py [--out DIRECTORY] [--rounds 200]

Imports all CDNOW purchases the way any channel's come in, takes everything as of the end of the
39th week, and compares what was foretold with the 39 weeks that followed. Works on a database of
its own (CRM_BENCH_DATABASE_URL or an embedded one). Exits 1 when a published digit is missed, or
when a baseline ranks better than the alerts do.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cdnow
from measure import fresh_runtime
from ranking import Cell, Figures, by_score, figures, intervals
from repeat_curves import curves

from api.charts import line_chart
from api.files.importing import run_import
from api.output import print_table
from api.retention_report import draw_report, print_report
from commands.catalogue import BY_NAME
from commands.execute import execute
from commands.ports import Request, Who
from consumers.follow import advance
from consumers.retention import Sweep, fit, raise_alerts, settle_alerts
from domain.beta_geometric import BgNbd
from domain.contract_retention import ShiftedBetaGeometric, cohort
from domain.customer_features import Features
from domain.gamma_gamma import usable
from domain.money import money
from domain.purchase_history import History, grouped
from domain.purchase_models import fit_purchases, fit_retention, fit_spend
from domain.silence_model import SilenceModel
from infra.ids import uuid7
from infra.read_models.retention_reader import RetentionReader
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing

WHO = Who("cdnow", "churn-report")
MAPPING = Path(__file__).parent / "mappings" / "cdnow.toml"
CUT = datetime.combine(cdnow.CALIBRATION_END, datetime.max.time(), UTC)
END = datetime.combine(cdnow.END, datetime.max.time(), UTC)
FIXED_DAYS = (60, 90, 120, 180)
GAPS = (1.5, 2.0, 3.0, 4.0)
POLICY = {
    "currency": "USD",
    "horizon_weeks": 39,
    "segments": {
        "rules": [{"name": "regular", "all_of": [{"feature": "purchases", "at_least": 4}]}],
        "otherwise": "occasional",
    },
    "alerts": [{"name": "silent", "basis": "silence", "threshold": 50, "value_at_risk_min": 5000}],
}


class Line(NamedTuple):
    """A figure, what it should be, and how far off it may be."""

    name: str
    expected: float
    got: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Tell whether it came out as it must."""
        return abs(self.got - self.expected) <= self.tolerance


def main() -> int:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/churn-report"))
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args()
    if not cdnow.available():
        print(f"SKIPPED: {cdnow.FOLDER} is not here; nothing was proved.")
        return 1
    asked.out.mkdir(parents=True, exist_ok=True)
    with fresh_runtime() as runtime:
        report = run_import(
            runtime, cdnow.MASTER, tenant=WHO.tenant, authid=WHO.authid, mapping=MAPPING
        )
        level(runtime)
        print(f"imported {report.events} events in {report.seconds:.0f} s")
        customers = look(runtime, CUT).customers()
        later = {each.customer: each for each in look(runtime, END).customers()}
        good = [
            published(runtime, customers),
            curves(histories(runtime, customers), asked.out),
            foretold(runtime, customers, later, asked.rounds, asked.out),
        ]
        alerts(runtime, asked.out)
    return 0 if all(good) else 1


def level(runtime: Runtime) -> None:
    """Number what is pending and bring the read models level."""
    sequencing = Sequencing(runtime.pool, holder="churn-report", seconds=600)
    while sequencing.run_once():
        pass
    sequencing.lease.give_up()
    for name in ("customer_features", "save_queue"):
        while advance(runtime.events, runtime.tables[name]):
            pass


def look(runtime: Runtime, at: datetime) -> Sweep:
    """Look at all customers as of an instant, with all that is known by now."""
    return Sweep(runtime, WHO, at, datetime.now(UTC))


# ---- Published tables ----------------------------------------------------------------------------


def published(runtime: Runtime, customers: Sequence[Features]) -> bool:
    """Compare with the tables of the papers."""
    sample = sample_of(runtime, customers)
    alike = sum(
        (h.frequency, round(h.recency, 2), round(h.age, 2)) == tuple(row[1:])
        for row in cdnow.published()
        if (h := sample[row.id].history) is not None
    )
    lines = [Line("customers equal to the published summary", 2357, alike, 0)]
    groups = grouped(each.history for each in sample.values() if each.history)
    for name, parameters, likelihood in PAPERS:
        found = fit_purchases(name, groups)
        lines += [
            Line(f"{name} parameter {n}", expected, got, 0.0015)
            for n, (expected, got) in enumerate(zip(parameters, found.parameters, strict=True), 1)
        ]
        lines.append(Line(f"{name} log-likelihood", likelihood, found.log_likelihood, 0.05))
    spends = usable(
        each.spend["USD"]._replace(mean=each.spend["USD"].mean / 100)
        for each in sample.values()
        if "USD" in each.spend
    )
    spend = fit_spend(spends)
    for name, expected, got in zip("pqγ", (6.25, 3.74, 15.44), spend.parameters, strict=True):
        lines.append(Line(f"gamma_gamma {name}", expected, got, 0.01))
    for survivors, alpha, beta, likelihood in CONTRACTS:
        curve = fit_retention(cohort(survivors))
        for name, expected, got in zip("αβ", (alpha, beta), curve.parameters, strict=True):
            lines.append(Line(f"{ShiftedBetaGeometric.name} {name}", expected, got, 0.0005))
        lines.append(Line("sbg log-likelihood", likelihood, curve.log_likelihood, 0.05))
    worked = BgNbd(0.2426, 4.4135, 0.7929, 2.4258).expected_more(History(2, 30.43, 38.86), 39.0)
    lines.append(Line("expected purchases of the worked customer", 1.226, worked, 0.0005))
    print("\nPublished tables")
    told = [
        ("ok" if line.ok else "NOT", line.name, f"{line.got:.4f}", f"{line.expected:.4f}")
        for line in lines
    ]
    print_table(("", "figure", "ours", "published"), told, "")
    return all(line.ok for line in lines)


PAPERS = (
    ("bg_nbd", (0.243, 4.414, 0.793, 2.426), -9582.4),
    ("pareto_nbd", (0.553, 10.578, 0.606, 11.669), -9595.0),
    ("mbg_nbd", (0.525, 6.183, 0.891, 1.614), -9582.1),
)
CONTRACTS = (
    ((1000, 869, 743, 653, 593, 551, 517, 491), 0.668, 3.806, -1611.2),
    ((1000, 631, 468, 382, 326, 289, 262, 241), 0.704, 1.182, -1680.3),
)


def sample_of(runtime: Runtime, customers: Sequence[Features]) -> dict[int, Features]:
    """Give the customers of the published sample, by their numbers in it."""
    by_id = {each.customer: each for each in customers}
    owners = runtime.store.owners(WHO.tenant, cdnow.sample_identifiers())
    numbers = cdnow.sample_identifiers()
    return {numbers[identifier]: by_id[owner] for identifier, owner in owners.items()}


def histories(runtime: Runtime, customers: Sequence[Features]) -> dict[str, Counter[History]]:
    """Count the histories of the sample and of everybody, as read off the features."""
    sample = sample_of(runtime, customers).values()
    return {
        name: Counter(each.history for each in among if each.history)
        for name, among in (("the sample", sample), ("everybody", customers))
    }


# ---- Foretold and happened -----------------------------------------------------------------------


def foretold(
    runtime: Runtime,
    customers: Sequence[Features],
    later: dict[str, Features],
    rounds: int,
    out: Path,
) -> bool:
    """Compare the scores of the alerts with what happened, and with three baselines."""
    ask(runtime, "retention_policy.set", policy=POLICY)
    for verdict in fit(look(runtime, CUT), datetime.combine(cdnow.BEGIN, datetime.min.time(), UTC)):
        assert verdict.status == "accepted", verdict.sentence
    models = look(runtime, CUT).models()
    silence, purchases = models.silence, models.purchases
    assert silence is not None
    assert purchases is not None
    signs = sorted({sign(each) for each in customers})
    place = {each: number for number, each in enumerate(signs)}
    counted = [[0, 0] for _ in signs]
    for each in customers:
        counted[place[sign(each)]][later[each.customer].purchases > each.purchases] += 1
    cells = [Cell(*each) for each in counted]
    ours = [score(silence, each) for each in signs]
    baselines = {
        "recency alone": [s.history.age - s.history.recency for s in signs],
        **{f"silent over {d} days": [float(silent_days(s) > d) for s in signs] for d in FIXED_DAYS},
        **{f"silent over {k:g} own gaps": [over(s, k) for s in signs] for k in GAPS},
        f"({purchases.purchases.name} alone)": [
            purchases.purchases.p_silent(s.history, cdnow.WEEKS) for s in signs
        ],
    }
    good = compared(ours, baselines, cells, rounds)
    calibrated(ours, cells, out)
    return good


class Sign(NamedTuple):
    """What a score may look at."""

    history: History
    spent: int


def sign(features: Features) -> Sign:
    """Take what a score may look at."""
    assert features.history is not None
    return Sign(features.history, features.spent["USD"])


def score(model: SilenceModel, of: Sign) -> float:
    """Score a customer as alerts do, before rounding."""
    weeks = of.history.age - of.history.recency
    return model.p_silent(weeks, of.history.frequency + 1, float(of.spent))


def silent_days(of: Sign) -> float:
    """Give the days of silence."""
    return 7 * (of.history.age - of.history.recency)


def over(of: Sign, factor: float) -> float:
    """Tell whether the silence exceeds own mean gaps; who bought only once counts as out."""
    if not of.history.frequency:
        return 1.0
    return float(silent_days(of) > factor * 7 * of.history.recency / of.history.frequency)


def compared(
    ours: Sequence[float], others: dict[str, list[float]], cells: list[Cell], rounds: int
) -> bool:
    """Print how well each score ranks, with intervals of our lead; a baseline may win: say so."""
    lost, all_ = sum(c.lost for c in cells), sum(sum(c) for c in cells)
    print(
        f"\nForetold as of {cdnow.CALIBRATION_END}: {all_} customers, {lost} bought nothing after"
    )
    print("  score                          AUC     av. precision  lift in top decile")
    for name, scores in {"alerts (silence model)": ours, **others}.items():
        found = figures(by_score(scores), cells)
        print(f"  {name:28} {found.auc:8.4f} {found.average_precision:12.4f} {found.lift:12.4f}")
    better = True
    print(f"  our lead, with 95 % intervals of {rounds} bootstrap samples:")
    for figure in Figures._fields:
        leads = intervals(ours, others, cells, rounds, lambda f, n=figure: getattr(f, n))
        print(f"  {figure}: {leads['ours'][0]:.4f} to {leads['ours'][1]:.4f}")
        for name in others:
            low, high = leads[name]
            told = "better" if low > 0 else "WORSE" if high < 0 else "NOT CLEARLY BETTER"
            better = better and (low > 0 or name.startswith("("))
            print(f"    against {name:26} {low:+.4f} to {high:+.4f}  {told}")
    return better


def calibrated(ours: Sequence[float], cells: list[Cell], out: Path) -> None:
    """Print, by tenths of the customers, what was foretold and what happened."""
    order = sorted(range(len(ours)), key=lambda index: ours[index])
    all_ = sum(sum(cell) for cell in cells)
    tenths: list[list[float]] = [[0.0, 0.0, 0.0] for _ in range(10)]
    seen = 0
    for index in order:
        size = sum(cells[index])
        tenth = tenths[min(9, 10 * (seen + size // 2) // all_)]
        tenth[0] += size * ours[index]
        tenth[1] += cells[index].lost
        tenth[2] += size
        seen += size
    print("\nCalibration (tenths of the customers by score)\n  foretold   happened   customers")
    for foretold_sum, lost, size in tenths:
        print(f"  {foretold_sum / size:8.1%} {lost / size:10.1%} {size:11.0f}")
    points = [(f / n, lost / n) for f, lost, n in tenths]
    chart = {"happened": points, "ideal": [(p, p) for p, _ in points]}
    drawn = line_chart("Silent in weeks 40 to 78", chart, "foretold share", "happened")
    (out / "calibration.svg").write_text(drawn)


# ---- Alerts and reports --------------------------------------------------------------------------


def alerts(runtime: Runtime, out: Path) -> None:
    """Raise the alerts of the 39th week, and let the future settle them."""
    raised = [v for v in raise_alerts(look(runtime, CUT)) if v.status == "accepted"]
    level(runtime)
    queue = RetentionReader(runtime.pool).queue(WHO.tenant, CUT, agent=None, limit=5)
    print(f"\nAlerts: {len(raised)} raised as of {CUT.date()}; first of the queue:")
    lines = [
        (
            money(row["value_at_risk"], row["currency"]),
            row["score"],
            ", ".join(f"{r['code']} {r['points']:+}" for r in row["reasons"]),
        )
        for row in queue
    ]
    print_table(("at risk", "score", "reasons, which sum to it"), lines, "")
    settle_alerts(look(runtime, END))
    level(runtime)
    print(f"\nThe report, as of {END.date()}\n")
    report = RetentionReader(runtime.pool).report(WHO.tenant, END)
    print_report(report)
    draw_report(report, out)
    for file in sorted(out.glob("*.svg")):
        print(f"drawn: {file}")


def ask(runtime: Runtime, name: str, **asked: object) -> None:
    """Have a command decided; it must be accepted."""
    (verdict,) = execute(
        [Request(BY_NAME[name].model_validate(asked), uuid7())], WHO, runtime.ports
    )
    assert verdict.status == "accepted", verdict.sentence


if __name__ == "__main__":
    sys.exit(main())
