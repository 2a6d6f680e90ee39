"""The calendars of the test vectors, and a slow oracle that walks minute by minute."""

from datetime import UTC, date, datetime, timedelta

from domain.calendar import WEEKDAYS, Calendar, Weekday, span, zone

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
WORKDAYS, EVERY_DAY = WEEKDAYS[:5], WEEKDAYS


def weekly(zone_name: str, window: str, on: tuple[Weekday, ...] = WORKDAYS, **more) -> Calendar:
    return Calendar(zone=zone_name, week=dict.fromkeys(on, (window,)), **more)


def at(text: str) -> datetime:
    """Read `2013-03-21 09:30`, in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def local(text: str, zone_name: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone(zone_name)).astimezone(UTC)


BERLIN = "Europe/Berlin"
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
)
HOLIDAY_2015 = {date(2015, 9, 22): "a holiday"}
B9 = weekly(BERLIN, "09:00-17:00")
B8 = weekly(BERLIN, "08:00-18:00")
D9 = weekly(BERLIN, "09:00-18:00", EVERY_DAY)
H = weekly(BERLIN, "08:00-20:00", holidays={date(2016, 11, 1): "Allerheiligen"})
S = weekly(BERLIN, "09:00-17:00", holidays=HOLIDAY_2015)
E = weekly(BERLIN, "08:00-17:00", EVERY_DAY, holidays=HOLIDAY_2015)
U = weekly("UTC", "09:00-17:00")
F = weekly("UTC", "10:00-18:00")
NEW_YORK = weekly("America/New_York", "09:00-17:00")
Z = Calendar(
    week={
        "monday": ("09:00-17:00",),
        "tuesday": ("10:00-16:00",),
        "wednesday": ("09:00-17:00",),
        "thursday": ("10:00-16:00",),
        "friday": ("09:00-17:00",),
        "saturday": ("11:00-14:30",),
    }
)


def is_open(calendar: Calendar, instant: datetime) -> bool:
    """Tell from the hands of a local clock alone; for windows within a day, away from changes."""
    hands = instant.astimezone(zone(calendar.zone))
    day, time = hands.date(), timedelta(hours=hands.hour, minutes=hands.minute)
    for back in (0, 1):
        opened = day - timedelta(days=back)
        windows = calendar.days.get(opened)
        if windows is None:
            closed = opened in calendar.holidays
            windows = () if closed else calendar.week.get(WEEKDAYS[opened.weekday()], ())
        for window in windows:
            opens, closes = span(window)
            if opens <= time + timedelta(days=back) < closes:
                return True
    return False


def walked(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """Count the open minutes between two full minutes."""
    minutes = int((end - start) / MINUTE)
    return MINUTE * sum(is_open(calendar, start + n * MINUTE) for n in range(minutes))
