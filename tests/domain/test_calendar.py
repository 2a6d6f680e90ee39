"""Working time: the vectors of other engines, where they are right, and an oracle that walks."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import ALWAYS, WEEKDAYS, Calendar, zone
from domain.rejected import Rejected
from infra.holidays import public_holidays
from tests.domain.calendars import (
    B8,
    B9,
    BERLIN,
    D9,
    EVERY_DAY,
    HOUR,
    MINUTE,
    NEW_YORK,
    WORKDAYS,
    ZONES,
    E,
    F,
    H,
    S,
    U,
    Z,
    at,
    local,
    walked,
    weekly,
)

SATURDAY_TOO = Calendar(
    zone="America/New_York",
    week={**dict.fromkeys(WORKDAYS, ("09:00-17:00",)), "saturday": ("00:00-24:00",)},
)
TUESDAY_LONG = Calendar(
    zone="America/New_York",
    week={**dict.fromkeys(WORKDAYS, ("09:00-17:00",)), "tuesday": ("09:00-20:00",)},
)
TWO_DAYS_OFF = weekly(
    "UTC", "10:00-18:00", holidays={date(2024, 1, 18): "one", date(2024, 1, 19): "two"}
)
NY = "America/New_York"

AFTER = [
    # number of the vector, calendar, start, minutes of work, the instant
    (1, B9, at("2013-03-21 09:30"), 60, at("2013-03-21 10:30")),
    (1, B9, at("2013-03-21 09:30"), 180, at("2013-03-21 12:30")),
    (1, B9, at("2013-03-21 09:30"), 240, at("2013-03-21 13:30")),
    (12, H, at("2016-11-01 13:56:21"), 120, at("2016-11-02 09:00")),
    (12, H, at("2016-11-01 13:56:21"), 1200, at("2016-11-03 15:00")),
    (13, H, at("2016-11-07 13:26:36"), 1200, at("2016-11-09 09:26:36")),
    (15, S, at("2013-10-21 09:30"), 120, at("2013-10-21 11:30")),
    (15, S, at("2013-10-21 09:30"), 240, at("2013-10-21 13:30")),
    (15, S, at("2013-10-21 05:30"), 120, at("2013-10-21 09:00")),
    (15, S, at("2013-10-21 05:30"), 240, at("2013-10-21 11:00")),
    (16, S, at("2015-09-21 14:30"), 120, at("2015-09-23 08:30")),
    (16, S, at("2015-09-21 14:30"), 240, at("2015-09-23 10:30")),
    (17, E, at("2013-10-21 05:30"), 120, at("2013-10-21 08:00")),
    (17, E, at("2013-10-21 05:30"), 240, at("2013-10-21 10:00")),
    (17, E, at("2015-09-21 14:30"), 120, at("2015-09-23 07:30")),
    (17, E, at("2015-09-21 14:30"), 180, at("2015-09-23 08:30")),
    (17, E, at("2015-09-21 14:30"), 240, at("2015-09-23 09:30")),
    (21, ALWAYS, at("2013-10-21 12:00"), 24 * 60, at("2013-10-22 12:00")),
    (23, Z, at("2006-01-04 15:58:30"), 1.5, at("2006-01-04 16:00:00")),
    (23, Z, at("2006-01-03 00:00"), 0, at("2006-01-03 10:00")),
    (26, U, at("2024-01-17 10:00"), 120, at("2024-01-17 12:00")),
    (26, U, at("2024-01-19 16:00"), 120, at("2024-01-22 10:00")),
    (26, U, at("2024-01-17 07:00"), 120, at("2024-01-17 11:00")),
    (26, U, at("2024-01-17 18:00"), 120, at("2024-01-18 11:00")),
    (26, U, at("2024-01-20 10:00"), 120, at("2024-01-22 11:00")),
    (26, U, at("2024-01-15 16:00"), 600, at("2024-01-17 10:00")),
    (27, NEW_YORK, local("2024-01-19 16:00", NY), 120, local("2024-01-22 10:00", NY)),
    (27, TUESDAY_LONG, local("2024-01-15 18:00", NY), 600, local("2024-01-16 19:00", NY)),
    (30, F, at("2024-01-15 11:00"), 60, at("2024-01-15 12:00")),
    (30, F, at("2024-01-15 11:00"), 240, at("2024-01-15 15:00")),
    (30, F, at("2024-01-15 08:00"), 60, at("2024-01-15 11:00")),
    (30, F, at("2024-01-15 08:00"), 240, at("2024-01-15 14:00")),
    (31, F, at("2024-01-15 20:00"), 30, at("2024-01-16 10:30")),
    (31, F, at("2024-01-15 20:00"), 120, at("2024-01-16 12:00")),
    (31, F, at("2024-01-19 17:00"), 30, at("2024-01-19 17:30")),
    (31, F, at("2024-01-19 17:00"), 120, at("2024-01-22 11:00")),
    (31, F, at("2024-01-19 19:00"), 60, at("2024-01-22 11:00")),
    (31, F, at("2024-01-19 19:00"), 240, at("2024-01-22 14:00")),
    (33, TWO_DAYS_OFF, at("2024-01-18 15:00"), 30, at("2024-01-22 10:30")),
    (33, TWO_DAYS_OFF, at("2024-01-18 15:00"), 120, at("2024-01-22 12:00")),
    (41, ALWAYS, at("2024-03-30 23:00"), 24 * 60, at("2024-03-31 23:00")),
    (41, ALWAYS, at("2024-10-26 22:00"), 24 * 60, at("2024-10-27 22:00")),
    (43, B9, local("2024-03-29 16:30", BERLIN), 120, at("2024-04-01 08:30")),
    (43, B9, local("2024-10-25 16:30", BERLIN), 120, at("2024-10-28 09:30")),
]

AT_CLOSING_TIME = [
    # vector, calendar, start, minutes, what engines answer that stop at closing time, and ours
    (7, D9, at("2013-06-04 14:00"), 120, at("2013-06-04 16:00"), at("2013-06-05 07:00")),
    (
        27,
        SATURDAY_TOO,
        local("2024-01-20 00:00", NY),
        24 * 60,
        local("2024-01-21 00:00", NY),
        local("2024-01-22 09:00", NY),
    ),
    (
        27,
        TUESDAY_LONG,
        local("2024-01-15 16:00", NY),
        12 * 60,
        local("2024-01-16 20:00", NY),
        local("2024-01-17 09:00", NY),
    ),
    (32, F, at("2024-01-20 15:00"), 24 * 60, at("2024-01-24 18:00"), at("2024-01-25 10:00")),
    (32, F, at("2024-01-20 15:00"), 72 * 60, at("2024-02-01 18:00"), at("2024-02-02 10:00")),
    (34, F, at("2024-01-18 16:00"), 120, at("2024-01-18 18:00"), at("2024-01-19 10:00")),
]

BETWEEN = [
    (2, B8, at("2013-03-21 09:30"), at("2013-03-21 10:00"), 30),
    (2, B8, at("2013-03-21 09:30"), at("2013-03-21 14:00"), 270),
    (23, Z, at("2006-01-01 00:00"), at("2006-01-08 00:00"), 39.5 * 60),
    (23, Z, at("2006-01-05 12:00"), at("2006-01-06 12:00"), 420),
    (24, Z, at("2006-01-06 12:00"), at("2006-01-05 12:00"), 0),
    (24, Z, at("2006-01-05 12:00"), at("2006-01-05 12:00"), 0),
]


@pytest.mark.parametrize(("vector", "calendar", "start", "minutes", "expected"), AFTER)
def test_the_instant_after_working_time(vector, calendar, start, minutes, expected):
    assert calendar.after(start, timedelta(minutes=minutes)) == expected


@pytest.mark.parametrize(
    ("vector", "calendar", "start", "minutes", "closing", "opening"), AT_CLOSING_TIME
)
def test_work_used_up_at_closing_time_is_due_at_the_next_opening(
    vector, calendar, start, minutes, closing, opening
):
    work = timedelta(minutes=minutes)
    assert calendar.after(start, work) == opening
    assert calendar.between(start, closing) == work, "at closing time no more than that has passed"
    assert calendar.between(start, opening) == work, "and the whole night long"
    assert calendar.between(start, opening + MINUTE) > work


@pytest.mark.parametrize(("vector", "calendar", "start", "end", "minutes"), BETWEEN)
def test_the_working_time_between_two_instants(vector, calendar, start, end, minutes):
    assert calendar.between(start, end) == timedelta(minutes=minutes)


def test_every_second_counts():
    assert B9.between(at("2024-01-15 08:59:59.5"), at("2024-01-15 09:00:01")) == timedelta(
        seconds=1.5
    )
    assert F.after(at("2024-01-18 16:00:01"), 2 * HOUR) == at("2024-01-19 10:00:01")


def test_vector_24_negative_working_time_is_refused():
    with pytest.raises(Rejected) as no:
        B9.after(at("2024-01-15 09:00"), -MINUTE)
    assert no.value.code == "calendar.negative"


@pytest.mark.parametrize(
    ("week", "code"),
    [
        ({}, "calendar.closed"),
        ({"monday": ()}, "calendar.closed"),
        ({"monday": ("09:00-00:00",)}, "calendar.window"),
        ({"monday": ("09:00-09:00",)}, "calendar.window"),
        ({"monday": ("09:00-24:01",)}, "calendar.window"),
        ({"monday": ("9-17",)}, "calendar.window"),
        ({"monday": ("09:00-12:00", "11:00-17:00")}, "calendar.overlap"),
    ],
)
def test_vectors_22_and_28_a_calendar_that_makes_no_sense_is_rejected(week, code):
    with pytest.raises(Rejected) as no:
        Calendar(week=week)
    assert no.value.code == code


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "", "Europe", "/etc/passwd"])
def test_a_zone_that_does_not_exist_is_rejected(name):
    with pytest.raises(Rejected) as no:
        Calendar(zone=name, week={"monday": ("09:00-17:00",)})
    assert no.value.code == "calendar.zone"


def test_a_calendar_with_no_working_time_left_says_so():
    closed_mondays = {date(1970, 1, 5) + n * timedelta(weeks=1): "closed" for n in range(26_000)}
    calendar = Calendar(week={"monday": ("09:00-17:00",)}, holidays=closed_mondays)
    with pytest.raises(Rejected) as no:
        calendar.after(at("2024-01-15 09:00"), HOUR)
    assert no.value.code == "calendar.too_far"


def test_work_used_up_before_a_long_pause_is_due_after_it_however_far_away():
    """Also where the pause begins at the end of the years that are laid out so far."""
    pause = {date(2026, 12, 1) + n * timedelta(days=1): "closed" for n in range(60)}
    calendar = Calendar(week={"monday": ("09:00-17:00",)}, holidays=pause)
    start = at("2025-11-03 08:00")
    work = calendar.model_copy().between(start, at("2026-11-30 17:00"))
    fresh = Calendar(week={"monday": ("09:00-17:00",)}, holidays=pause)
    assert fresh.after(start, work) == at("2027-02-01 09:00")


# ---- Days that differ ----------------------------------------------------------------------------


def test_a_night_shift_belongs_to_the_day_on_which_it_begins():
    nights = weekly("UTC", "22:00-06:00", ("friday",), holidays={date(2024, 1, 20): "closed"})
    friday = at("2024-01-19 00:00")
    assert nights.between(friday, friday + timedelta(days=3)) == 8 * HOUR
    assert nights.after(friday, 3 * HOUR) == at("2024-01-20 01:00")


def test_a_night_shift_over_new_year_is_not_cut():
    nights = weekly("UTC", "22:00-06:00", EVERY_DAY)
    start = at("2024-12-31 12:00")
    assert nights.between(start, at("2025-01-01 12:00")) == 8 * HOUR
    assert nights.after(start, 8 * HOUR) == at("2025-01-01 22:00")


def test_several_windows_a_day_leave_out_lunch():
    lunch = Calendar(week={"monday": ("09:00-12:00", "13:00-17:00")})
    assert lunch.after(at("2024-01-15 11:30"), HOUR) == at("2024-01-15 13:30")


def test_single_days_go_before_holidays_and_weekdays():
    calendar = weekly(
        "UTC",
        "09:00-17:00",
        holidays={date(2024, 12, 24): "Christmas Eve", date(2024, 12, 25): "Christmas"},
        days={date(2024, 12, 24): ("09:00-12:00",), date(2024, 12, 28): ("10:00-11:00",)},
    )
    worked = {
        day: calendar.between(at(f"2024-12-{day} 00:00"), at(f"2024-12-{day + 1} 00:00")) / HOUR
        for day in range(23, 30)
    }
    assert worked == {23: 8, 24: 3, 25: 0, 26: 8, 27: 8, 28: 1, 29: 0}


def test_a_day_that_ends_a_minute_early_is_taken_at_its_word():
    nearly = weekly("UTC", "00:00-23:59", EVERY_DAY)
    assert nearly.after(at("2013-10-21 12:00"), 24 * HOUR) == at("2013-10-22 12:01")


def test_public_holidays_differ_by_region():
    bavaria = public_holidays("DE", "BY", [2024, 2025])
    assert date(2024, 11, 1) in bavaria
    assert date(2024, 11, 1) not in public_holidays("DE", "BE", [2024])
    closed = weekly(BERLIN, "09:00-17:00", holidays=bavaria)
    assert closed.after(local("2024-10-31 16:30", BERLIN), HOUR) == local(
        "2024-11-04 09:30", BERLIN
    )


def test_an_unknown_country_is_rejected():
    with pytest.raises(Rejected) as no:
        public_holidays("XX", None, [2024])
    assert no.value.code == "calendar.country"


# ---- Laws ----------------------------------------------------------------------------------------

FROM = at("2024-01-01")
instants = st.integers(0, 7 * 365 * 86_400).map(lambda s: FROM + timedelta(seconds=s))
full_minutes = st.integers(0, 60 * 24 * 1500).map(lambda m: FROM + m * MINUTE)
work = st.integers(0, 90 * 86_400).map(lambda s: timedelta(seconds=s))


@st.composite
def windows(draw) -> tuple[str, ...]:
    """One or two windows of a day; the last may reach into the next day."""
    cuts = sorted(draw(st.lists(st.integers(0, 95), min_size=2, max_size=4, unique=True)))
    names = [f"{cut // 4:02}:{cut % 4 * 15:02}" for cut in cuts]
    spans = [f"{a}-{b}" for a, b in zip(names[::2], names[1::2], strict=False)]
    if len(cuts) % 2 and cuts[0] > 0 and draw(st.booleans()):
        spans.append(f"{names[-1]}-{names[0]}")
    return tuple(spans)


@st.composite
def calendars(draw, zones=ZONES) -> Calendar:
    week = draw(st.dictionaries(st.sampled_from(WEEKDAYS), windows(), min_size=1))
    days = st.dates(date(2024, 1, 1), date(2030, 12, 31))
    return Calendar(
        zone=draw(st.sampled_from(zones)),
        week=week,
        holidays=dict.fromkeys(draw(st.lists(days, max_size=9)), "closed"),
        days=draw(st.dictionaries(days, windows() | st.just(()), max_size=9)),
    )


@given(calendars(), instants, instants, instants)
def test_working_time_adds_up(calendar, one, two, three):
    a, b, c = sorted((one, two, three))
    assert calendar.between(a, b) + calendar.between(b, c) == calendar.between(a, c)
    assert timedelta(0) <= calendar.between(a, b) <= b - a


@given(calendars(), instants, work)
def test_the_two_directions_undo_one_another(calendar, start, span_):
    found = calendar.after(start, span_)
    assert calendar.between(start, found) == span_
    assert calendar.between(start, found + timedelta(microseconds=1)) > span_


@given(calendars(), instants, work, work)
def test_more_work_is_never_done_sooner(calendar, start, one, more):
    assert calendar.after(start, one) <= calendar.after(start, one + more)
    assert calendar.after(start, one + more) == calendar.after(calendar.after(start, one), more)


@given(calendars(), instants, instants)
def test_what_was_asked_before_makes_no_difference(calendar, one, other):
    fresh = calendar.model_copy()
    asked_before = calendar.between(min(one, other), max(one, other))
    calendar.after(FROM, timedelta(days=3))
    assert calendar.between(min(one, other), max(one, other)) == asked_before
    assert fresh.between(min(one, other), max(one, other)) == asked_before


@settings(max_examples=25, deadline=None)
@given(
    calendars(zones=("UTC", "Asia/Kathmandu", "Europe/Berlin")),
    full_minutes,
    st.integers(0, 60 * 24 * 4),
)
def test_a_walk_minute_by_minute_finds_the_same(calendar, start, minutes):
    end = start + minutes * MINUTE
    around = zone(calendar.zone)
    day = timedelta(days=1)
    offsets = {(start + n * day - day).astimezone(around).utcoffset() for n in range(7)}
    if len(offsets) == 1:  # at a change of the clocks the hands alone do not tell
        assert calendar.between(start, end) == walked(calendar, start, end)
