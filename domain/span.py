"""Spans of the calendar: `30 days`, `6 months`, `3 years`.

A month later is the same day of the next month, or its last day where there is no such day.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import StringConstraints

Span = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3} (day|month|year)s?$")]

MONTHS = {"month": 1, "year": 12}


def days_at_least(span: str) -> int:
    """Give how many days a span has at least, wherever it begins."""
    count, unit = span.rstrip("s").split(" ")
    return int(count) * {"day": 1, "month": 28, "year": 365}[unit]


def later(at: datetime, span: str) -> datetime:
    """Give the instant that lies a span after another; the end of the calendar at the latest."""
    count, unit = span.rstrip("s").split(" ")
    try:
        if unit == "day":
            return at + timedelta(days=int(count))
        return months_later(at, int(count) * MONTHS[unit])
    except (OverflowError, ValueError):
        return datetime.max.replace(tzinfo=UTC)


def months_later(at: datetime, months: int) -> datetime:
    """Give the same day some months later, or the last one of that month."""
    years, month = divmod(at.month - 1 + months, 12)
    year = at.year + years
    day = min(at.day, monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)
