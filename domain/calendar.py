"""Working time: when somebody is there to work, and how much of that lies between two instants.

A calendar says in local time when it is open. Local times become instants by one rule: a time that
the clocks skip in spring moves on by what they skip, a time that comes twice in autumn is the first
of the two. Opening times are half open: at closing time it is closed.
"""

import re
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, model_validator

from domain.rejected import Rejected
from domain.values import Label

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)

WINDOW = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?-(\d\d):([0-5]\d)(?::([0-5]\d))?$")
DAY = timedelta(days=1)
NOTHING = timedelta(0)
YEARS_AHEAD_MAX = 200
"""How far ahead working time is looked for before a calendar counts as closed for good."""


class Span(NamedTuple):
    """A window as times after the midnight that its day begins with."""

    opens: timedelta
    closes: timedelta


@lru_cache(maxsize=4096)
def span(window: str) -> Span:
    """Read `09:00-17:00`; `22:00-06:00` ends on the next day, and a day ends at `24:00`."""
    parts = WINDOW.match(str(window))
    if parts is None:
        raise Rejected("calendar.window", f"{window!r} is not a window such as 09:00-17:00.")
    numbers = [int(part or 0) for part in parts.groups()]
    opens, closes = (
        timedelta(hours=hours, minutes=minutes, seconds=seconds)
        for hours, minutes, seconds in (numbers[:3], numbers[3:])
    )
    if closes > DAY:
        raise Rejected("calendar.window", f"{window!r} ends after 24:00.")
    if closes in (NOTHING, opens):
        raise Rejected("calendar.window", f"{window!r} is empty; a day ends at 24:00.")
    return Span(opens, closes if closes > opens else closes + DAY)


def checked_window(window: str) -> str:
    """Refuse a window that cannot be read."""
    span(window)
    return window


def zone(name: str) -> ZoneInfo:
    """Give an IANA zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise Rejected("calendar.zone", f"There is no time zone {name!r}.") from None


def checked_zone(name: str) -> str:
    """Refuse a zone that does not exist."""
    zone(name)
    return name


Window = Annotated[
    str, BeforeValidator(checked_window), StringConstraints(pattern=r"^[0-9:]{5,8}-[0-9:]{5,8}$")
]
Zone = Annotated[
    str, BeforeValidator(checked_zone), StringConstraints(pattern=r"^[A-Za-z0-9_+/-]+$")
]


class Calendar(BaseModel):
    """When it is open: windows per weekday, closed holidays, and single days that differ.

    A day in `days` has exactly the windows given there, whatever its weekday and even on a holiday;
    none is closed. The part of a window after midnight belongs to the day on which it opened.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: Zone = "UTC"
    week: dict[Weekday, tuple[Window, ...]]
    holidays: dict[date, Label] = {}
    days: dict[date, tuple[Window, ...]] = {}

    @model_validator(mode="after")
    def _is_sound(self) -> "Calendar":
        if not any(self.week.values()):
            raise Rejected("calendar.closed", "A calendar must be open at some time of the week.")
        for windows in (*self.week.values(), *self.days.values()):
            spans = sorted(map(span, windows))
            if any(later.opens < earlier.closes for earlier, later in pairwise(spans)):
                raise Rejected("calendar.overlap", "The windows of a day overlap.")
        return self

    def between(self, start: datetime, end: datetime) -> timedelta:
        """Give the working time between two instants; none when the end is not later."""
        if end <= start:
            return NOTHING
        if self._always:
            return end - start
        opening = self._opening_around(start, end)
        if end <= opening.open_until(start):
            return end - start
        return opening.before(end) - opening.before(start)

    def after(self, start: datetime, work: timedelta) -> datetime:
        """Give the instant at which more than so much working time begins to have passed.

        Work that is used up exactly at closing time gives the next opening: all night long not a
        microsecond more than `work` has passed, so the night is still in time.
        """
        if work < NOTHING:
            raise Rejected("calendar.negative", "Working time cannot be negative.")
        if self._always:
            return start + work
        opening = self._opening_around(start, start + work)
        if start + work < opening.open_until(start):
            return start + work
        while (found := opening.when(opening.before(start) + work)) is None:
            opening = self._further(opening, start)
        return found

    # ---- The open time, laid out as far as it was needed so far ----------------------------------

    @cached_property
    def _always(self) -> bool:
        """Whether it is open around the clock, every day: then time is all working time."""
        around = [("00:00-24:00",)] * 7
        return [self.week.get(day) for day in WEEKDAYS] == around and not (
            self.holidays or any(windows != ("00:00-24:00",) for windows in self.days.values())
        )

    def _opening_around(self, start: datetime, end: datetime) -> "Opening":
        """Give what is laid out, after laying out more if it does not cover these instants."""
        opening: Opening | None = self.__dict__.get("_opening")
        if opening is None:
            opening = self._laid_out((start - 2 * DAY).year, (end + 2 * DAY).year + 1)
        elif start < opening.sure_from or end > opening.sure_until:
            first = min((start - 2 * DAY).year, opening.first_year)
            last = max((end + 2 * DAY).year + 1, opening.last_year)
            opening = self._laid_out(first, last)
        return opening

    def _further(self, opening: "Opening", start: datetime) -> "Opening":
        years = opening.last_year - opening.first_year + 1
        if opening.last_year - start.year > YEARS_AHEAD_MAX:
            raise Rejected("calendar.too_far", "There is not so much working time to come.")
        return self._laid_out(opening.first_year, opening.last_year + years)

    def _laid_out(self, first_year: int, last_year: int) -> "Opening":
        """Lay the open time of some years out; replaced as a whole, so threads can share it."""
        start, end = date(first_year, 1, 1), date(last_year, 12, 31)
        windows = [
            w for n in range((end - start).days + 1) for w in self._instants(start + n * DAY)
        ]
        opening = Opening.of(merged(windows), first_year, last_year)
        self.__dict__["_opening"] = opening
        return opening

    def _instants(self, day: date) -> list[tuple[datetime, datetime]]:
        windows = self.days.get(day)
        if windows is None:
            windows = () if day in self.holidays else self.week.get(WEEKDAYS[day.weekday()], ())
        if not windows:
            return []
        # Adding to an aware datetime moves its hands, and fold=0 is the rule for gaps and repeats.
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone(self.zone))
        return [
            ((midnight + opens).astimezone(UTC), (midnight + closes).astimezone(UTC))
            for opens, closes in map(span, windows)
        ]


ALWAYS = Calendar(week=dict.fromkeys(WEEKDAYS, ("00:00-24:00",)))
"""Around the clock."""


def merged(windows: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Join windows that touch or overlap; what a change of the clocks left empty goes."""
    joined: list[tuple[datetime, datetime]] = []
    for opens, closes in sorted(window for window in windows if window[0] < window[1]):
        if joined and opens <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(closes, joined[-1][1]))
        else:
            joined.append((opens, closes))
    return joined


class Opening(NamedTuple):
    """The open time of some years as sorted intervals, with the working time before each."""

    opens: list[datetime]
    closes: list[datetime]
    sums: list[timedelta]
    first_year: int
    last_year: int
    sure_from: datetime
    sure_until: datetime
    """Within these, neighbouring years, other zones and night windows change nothing."""

    @classmethod
    def of(cls, intervals: list[tuple[datetime, datetime]], first: int, last: int) -> "Opening":
        """Sum intervals up."""
        return cls(
            opens=[opens for opens, _ in intervals],
            closes=[closes for _, closes in intervals],
            sums=list(accumulate((c - o for o, c in intervals), initial=NOTHING))[:-1],
            first_year=first,
            last_year=last,
            sure_from=datetime(first, 1, 3, tzinfo=UTC),
            sure_until=datetime(last, 12, 29, tzinfo=UTC),
        )

    def open_until(self, at: datetime) -> datetime:
        """Give when it closes again; when it is closed at the instant, nothing that is later."""
        number = bisect_right(self.opens, at) - 1
        return self.closes[number] if number >= 0 else at

    def before(self, at: datetime) -> timedelta:
        """Give the working time from the beginning to an instant."""
        number = bisect_right(self.opens, at) - 1
        if number < 0:
            return NOTHING
        return self.sums[number] + (min(at, self.closes[number]) - self.opens[number])

    def when(self, work: timedelta) -> datetime | None:
        """Give the instant until which no more than so much working time passes, if it is sure."""
        number = bisect_right(self.sums, work) - 1
        if number < 0:
            return None
        at = self.opens[number] + (work - self.sums[number])
        return at if at < min(self.closes[number], self.sure_until) else None
