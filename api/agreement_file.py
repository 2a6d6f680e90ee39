"""An agreement as people write it down: TOML, durations such as `4h 30m`, holidays by country.

What is published are plain facts: the file is read once, holidays become dates, and whatever a
country decides later changes nothing that was promised.
"""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from domain.agreement import Promise
from domain.calendar import WEEKDAYS
from domain.rejected import Rejected
from domain.values import Instant, Label
from infra.holidays import public_holidays

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile(r"(\d+)\s*([wdhms])\s*")
HOLIDAY_YEARS = 5
"""For how many years holidays are looked up, the year in which the agreement begins included."""
DAYS = {"every_day": WEEKDAYS, "workdays": WEEKDAYS[:5]}
"""Names for several days of the week; a single day goes before them."""


class AgreementFile(BaseModel):
    """What a file says: which agreement it is, from when on, and all that is promised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """The same one again is the next version."""
    applies_from: Instant
    reason: Label = "revised"
    promise: Promise


def read_agreement(file: Path) -> AgreementFile:
    """Read a file. Raises `Rejected` for what is no TOML, `ValidationError` for what is wrong."""
    try:
        told = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Rejected("agreement.file", f"{file} is not TOML: {error}.") from None
    return agreement_of(told)


def agreement_of(told: dict[str, Any]) -> AgreementFile:
    """Take the shorthands out of what was written, and check the rest by the rules."""
    outside: dict[str, Any] = {
        name: told[name] for name in ("id", "applies_from", "reason") if name in told
    }
    terms: dict[str, Any] = {
        name: told[name] for name in ("calendar", "clocks", "forgotten_after") if name in told
    }
    promised = {name: told[name] for name in told if name not in (*outside, *terms)}
    begins = outside.get("applies_from")
    if isinstance(terms.get("calendar"), dict):
        year = begins.year if isinstance(begins, datetime) else datetime.now(UTC).year
        terms["calendar"] = calendar_of(terms["calendar"], year)
    return AgreementFile.model_validate(
        {**outside, "promise": {**promised, "terms": with_durations(terms)}}
    )


def calendar_of(told: dict[str, Any], year: int) -> dict[str, Any]:
    """Write out `workdays`, `every_day` and `holidays_of = "DE-BY"`."""
    calendar = dict(told)
    week = calendar.get("week", {})
    if isinstance(week, dict):
        several = ((day, week[name]) for name in DAYS if name in week for day in DAYS[name])
        single = ((day, windows) for day, windows in week.items() if day not in DAYS)
        calendar["week"] = dict([*several, *single])
    country = str(calendar.pop("holidays_of", ""))
    if country:
        code, _, region = country.partition("-")
        found = public_holidays(code, region or None, range(year, year + HOLIDAY_YEARS))
        own = calendar.get("holidays", {})
        calendar["holidays"] = {**{day.isoformat(): name for day, name in found.items()}, **own}
    return calendar


def with_durations(terms: dict[str, Any]) -> dict[str, Any]:
    """Read every duration of the terms; what is none is left for the rules to refuse."""
    read = dict(terms)
    if "forgotten_after" in read:
        read["forgotten_after"] = duration(read["forgotten_after"])
    clocks = read.get("clocks")
    if isinstance(clocks, list):
        read["clocks"] = [clock_of(clock) for clock in clocks]
    return read


def clock_of(told: object) -> object:
    """Read the durations of a clock."""
    if not isinstance(told, dict):
        return told
    clock = dict(told)
    if isinstance(clock.get("targets"), dict):
        clock["targets"] = {name: duration(each) for name, each in clock["targets"].items()}
    if isinstance(clock.get("warnings"), list):
        clock["warnings"] = [warning_of(each) for each in clock["warnings"]]
    return clock


def warning_of(told: object) -> object:
    """Read the duration of a warning."""
    if isinstance(told, dict) and "after" in told:
        return {**told, "after": duration(told["after"])}
    return told


def duration(told: object) -> object:
    """Read `1d 4h 30m`; a day has 24 hours, of working time like every other."""
    parts = DURATION.findall(told) if isinstance(told, str) else []
    if not parts or DURATION.sub("", str(told)).strip():
        return told
    return sum((timedelta(**{UNITS[u]: int(n)}) for n, u in parts), timedelta())
