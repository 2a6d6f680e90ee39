"""The packages on the index that reckon working time between two instants, and how right they are.

They are fetched into a temporary directory and are no dependency of anything. Without an index
none takes part, and that is said.
"""

import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta

from domain.calendar import Calendar

Difference = Callable[[datetime, datetime], timedelta]

PACKAGES = ("businesstimedelta==1.0.1", "business-duration==0.68", "businesstime==0.3.0",
            "businesshours==1.2")  # fmt: skip
ONLY_DAYS = ("workalendar", "bizdays")
FETCH_SECONDS = 300
OPENS, CLOSES = time(9), time(17)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


TRIALS = {
    "thirty days": (at("2024-01-15 09:30"), at("2024-02-14 09:30")),
    "over a weekend, seconds": (at("2024-01-19 16:59:30"), at("2024-01-22 09:00:15")),
    "a weekend": (at("2024-01-20 10:00"), at("2024-01-21 18:00")),
    "from before the opening to after the closing": (
        at("2024-01-15 07:00"),
        at("2024-01-15 20:00"),
    ),
    "a night": (at("2024-01-15 17:00"), at("2024-01-16 09:00")),
}
FINE = (at("2024-01-15 10:00:00.500000"), at("2024-01-15 10:00:01"))
"""Half a second: told when it gets lost, but no reason to leave a package out."""


def right_ones(office: Calendar) -> Iterator[tuple[str, Difference]]:
    """Give the packages that are right in every trial; tell of the others where they are wrong."""
    print(f"# {' and '.join(ONLY_DAYS)} take no part: they count days, not hours.")
    with fetched() as there:
        for name, make in MAKERS.items() if there else ():
            fault = wrong_in(make, office)
            if fault:
                print(f"# {name} takes no part: {fault}.")
                continue
            if answer(make(), *FINE) != str(office.between(*FINE)):
                print(f"# {name} loses half a second.")
            yield name, make()


def wrong_in(make: Callable[[], Difference], office: Calendar) -> str:
    """Say in which trial a package is wrong first."""
    for trial, (start, end) in TRIALS.items():
        expected, got = str(office.between(start, end)), answer(make(), start, end)
        if got != expected:
            return f"{trial} is {expected}, it says {got}"
    return ""


def answer(difference: Difference, start: datetime, end: datetime) -> str:
    try:
        return str(difference(start, end))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@contextmanager
def fetched() -> Iterator[bool]:
    """Have the packages while the block lasts; False when there is no index to fetch them from."""
    with tempfile.TemporaryDirectory(prefix="crm-bench-peers-") as directory:
        uv = shutil.which("uv")
        pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
        fetch = [*pip, "install", "--quiet", "--target", directory, *PACKAGES]
        try:
            done = subprocess.run(
                fetch, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
            )
            fault = (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""
        except subprocess.TimeoutExpired:
            fault = f"nothing came within {FETCH_SECONDS} seconds"
        if fault:
            print(f"# The packages cannot be fetched, none takes part: {fault}")
            yield False
            return
        sys.path.append(directory)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield True
        finally:
            sys.path.remove(directory)


# ---- How each is asked; they know no zones, or others, so the instants are bare ------------------


def businesstimedelta() -> Difference:
    import businesstimedelta as package  # noqa: PLC0415 - fetched a moment ago

    day = package.WorkDayRule(start_time=OPENS, end_time=CLOSES, working_days=[0, 1, 2, 3, 4])
    rules = package.Rules([day])
    return lambda start, end: rules.difference(bare(start), bare(end)).timedelta


def business_duration() -> Difference:
    from business_duration import businessDuration  # noqa: PLC0415 - fetched a moment ago

    def difference(start: datetime, end: datetime) -> timedelta:
        found = businessDuration(bare(start), bare(end), OPENS, CLOSES, unit="sec")
        return timedelta(seconds=found)

    return difference


def businesstime() -> Difference:
    from businesstime import BusinessTime  # noqa: PLC0415 - fetched a moment ago

    office = BusinessTime(business_hours=(OPENS, CLOSES))

    def difference(start: datetime, end: datetime) -> timedelta:
        found = office.businesstimedelta(bare(start), bare(end))
        return found.days * timedelta(hours=8) + timedelta(seconds=found.seconds)

    return difference


def businesshours() -> Difference:
    from BusinessHours import BusinessHours  # noqa: PLC0415 - fetched a moment ago

    def difference(start: datetime, end: datetime) -> timedelta:
        found = BusinessHours(bare(start), bare(end), worktiming=[9, 17])
        return timedelta(hours=found.gethours())

    return difference


def bare(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


MAKERS: dict[str, Callable[[], Difference]] = {
    "businesstimedelta": businesstimedelta,
    "business-duration": business_duration,
    "businesstime": businesstime,
    "businesshours": businesshours,
}
