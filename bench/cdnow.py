"""Reads the CDNOW purchases (Fader and Hardie), which are not part of this repository."""

from collections.abc import Iterator
from csv import DictReader
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from domain.purchase_history import History

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "cdnow"
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
    path = FOLDER / ("CDNOW_sample.txt" if sample else "CDNOW_master.txt")
    for line, text in enumerate(path.read_text().splitlines(), 1):
        *ids, day, quantity, dollars = text.split()
        if day.isdigit():
            whole, cents = dollars.split(".")
            amount = int(whole) * 100 + int(cents)
            when = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()
            yield Purchase(line, ids[-1], when, int(quantity), amount)


def message(purchase: Purchase) -> dict[str, object]:
    """Give a purchase as a channel would publish it."""
    return {
        "id": str(purchase.line),
        "source": SOURCE,
        "type": "customer.purchase_recorded.v1",
        "time": f"{purchase.day.isoformat()}T00:00:00Z",
        "data": {
            "customer": {"system": SOURCE, "id": purchase.customer},
            "amount": {"amount": purchase.cents, "currency": "USD"},
            "quantity": purchase.quantity,
        },
    }


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
