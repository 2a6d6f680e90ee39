"""Reads the CDNOW purchases (Fader and Hardie), which are not part of this repository."""

from collections.abc import Iterator
from csv import DictReader
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from domain.purchase_history import History
from domain.values import Identifier, external_id

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "cdnow"
MASTER, SAMPLE = FOLDER / "CDNOW_master.txt", FOLDER / "CDNOW_sample.txt"
SOURCE = "cdnow"
BEGIN = date(1997, 1, 1)
CALIBRATION_END = date(1997, 9, 30)
END = date(1998, 6, 30)
WEEKS = 39.0


class Purchase(NamedTuple):
    """One line of a file, numbered from 1."""

    line: int
    customer: str
    day: date
    quantity: int
    cents: int


def available() -> bool:
    """Tell whether the files are here."""
    return FOLDER.is_dir()


def purchases(*, sample: bool) -> Iterator[Purchase]:
    """Give all purchases, or those of the published sample of 2,357 customers."""
    for line, text in enumerate((SAMPLE if sample else MASTER).read_text().splitlines(), 1):
        *ids, day, quantity, dollars = text.split()
        if day.isdigit():
            whole, cents = dollars.split(".")
            amount = int(whole) * 100 + int(cents)
            when = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()
            yield Purchase(line, ids[-1], when, int(quantity), amount)


def sample_identifiers() -> dict[Identifier, int]:
    """Give what the customers of the sample are known by, and their numbers in it."""
    ids = (line.split()[:2] for line in SAMPLE.read_text().splitlines())
    return {external_id(SOURCE, master): int(number) for master, number in ids}


def raw_sample() -> str:
    """Give the lines of the master file that are about customers of the sample."""
    known = {identifier.value for identifier in sample_identifiers()}
    head, *lines = MASTER.read_text().splitlines(keepends=True)
    return "".join([head, *(line for line in lines if line.split()[0] in known)])


def repeats_by_day(*, sample: bool) -> list[int]:
    """Count the repeat purchases of each day from the first on; those of a day count once."""
    days: dict[str, set[date]] = {}
    for purchase in purchases(sample=sample):
        days.setdefault(purchase.customer, set()).add(purchase.day)
    counted = [0] * ((END - BEGIN).days + 1)
    for bought in days.values():
        for day in bought - {min(bought)}:
            counted[(day - BEGIN).days] += 1
    return counted


class Published(NamedTuple):
    """One customer of the sample, as the authors published it; time is in weeks."""

    id: int
    frequency: int
    recency: float
    age: float


def published() -> list[Published]:
    """Give frequency, recency and age of the sample's customers, as the authors published them."""
    with (FOLDER / "cdnow_customers_summary.csv").open() as lines:
        return [
            Published(int(row["ID"]), int(row["frequency"]), float(row["recency"]), float(row["T"]))
            for row in DictReader(lines)
        ]


def published_histories() -> list[History]:
    """Give the published summary as the models take it."""
    return [History(*row[1:]) for row in published()]
